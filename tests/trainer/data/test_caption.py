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


def test_tag_dropout_leaves_its_share_of_the_tags_behind_the_first_out():
    thinned = captions(TrainConfig(tag_dropout=0.25, keep_tokens=2), 2000)
    assert all(caption.startswith("lisaxl, woman") for caption in thinned)
    tags = [caption.split(", ")[2:] for caption in thinned]
    assert all(one == sorted(one) for one in tags), "their order stays"
    assert 0.72 < sum(map(len, tags)) / (6 * len(tags)) < 0.78
    assert set(captions(TrainConfig(tag_dropout=1.0))) == {"lisaxl, woman"}
    assert "" in captions(TrainConfig(tag_dropout=0.9, keep_tokens=0))


def test_tags_are_shuffled_and_thinned_together():
    both = captions(TrainConfig(tag_dropout=0.5, shuffle_caption=True))
    assert any(caption.split(", ")[2:] != sorted(caption.split(", ")[2:]) for caption in both)
    assert len({len(caption) for caption in both}) > 3


def test_a_sentence_is_never_torn_apart():
    sentence = " A photo of lisaxl on a beach.  She smiles "
    config = TrainConfig(tag_dropout=1.0, shuffle_caption=True, keep_tokens=0)
    assert caption_for_step(sentence, config, 1, 0) == sentence
