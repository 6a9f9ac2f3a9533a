from trainer.contract.config import TrainConfig
from trainer.data.caption import caption_for_step

CAPTION = "lisaxl, woman, a, b, c, d, e, f"


def captions(config, count=200):
    return [caption_for_step(CAPTION, config, step, place) for step in range(count // 2) for place in range(2)]


def test_captions_stay_as_written_by_default():
    assert set(captions(TrainConfig())) == {CAPTION}


def test_shuffling_keeps_the_first_tags_and_loses_none():
    shuffled = captions(TrainConfig(shuffle_caption=True, keep_tokens=2))
    assert len(set(shuffled)) > 100
    assert all(caption.startswith("lisaxl, woman, ") for caption in shuffled)
    assert {tuple(sorted(caption.split(", "))) for caption in shuffled} == {tuple(sorted(CAPTION.split(", ")))}


def test_dropout_shows_its_share_of_empty_captions():
    dropped = captions(TrainConfig(caption_dropout=0.25), 2000).count("")
    assert 400 < dropped < 600
    assert set(captions(TrainConfig(caption_dropout=1.0))) == {""}


def test_the_same_place_has_the_same_caption():
    config = TrainConfig(shuffle_caption=True, caption_dropout=0.5, seed=3)
    assert captions(config) == captions(config)
    assert captions(config) != captions(config.with_overrides({"seed": 4}))
