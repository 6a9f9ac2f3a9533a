"""Each setting of pictures and captions changes what the UNet is shown, on real pictures through the tiny SDXL."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trainer.contract.jobs import make_spec
from tests.trainer.jobs import SMALL
from trainer.contract.config import TrainConfig
from trainer.contract.spec import PictureSpec
from trainer.data.dataset import encode_all
from trainer.data.latents import LatentEncoder
from trainer.data.sampler import Sampler
from trainer.data.texts import TextCache
from trainer.errors import BadPicture
from trainer.model.base import load_base

SIZES = ((96, 64), (64, 64), (128, 64), (64, 96))


@pytest.fixture(scope="module")
def vae(tiny_sdxl):
    return load_base(str(tiny_sdxl), device=torch.device("cpu"), dtype=torch.float32).vae


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def store(folder, image):
    path = folder / "new.png"
    image.save(path)
    return path.rename(folder / f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png").name


@pytest.fixture
def pictures(folder):
    """Four pictures without any symmetry; the third and fourth are regularisation."""
    chance = np.random.default_rng(0)
    images = [Image.fromarray(chance.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in SIZES]
    return [
        PictureSpec(file=store(folder, image), caption=f"lisaxl, woman, tag{n}", regularisation=n > 1)
        for n, image in enumerate(images)
    ]


@pytest.fixture
def encoded(vae, folder):
    """Encodes pictures with settings changed from SMALL."""

    def encode(pictures, **settings):
        config = TrainConfig.from_mapping({**SMALL, **settings})
        spec = make_spec([], pictures=tuple(pictures), config=config)
        # Texts that say which caption they are of.
        texts = TextCache(lambda prompts: (torch.full((1, 77, 2), float(len(prompts[0]))), torch.zeros(1, 3)))
        encoder = LatentEncoder(vae, config.vae_precision)
        return encode_all(spec, lambda file: folder / file, config, encoder, texts, lambda *_: None)

    return encode


def time_ids(data, picture=0, step=1):
    return data.batch((picture,), step, 0).time_ids[0].tolist()


# --- size and cut ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, (64, 96, 96, 160)),
        ({"resolution": 64}, (64, 96, 64, 64)),
        ({"bucket_step": 8}, (64, 96, 104, 152)),
        ({"bucket_max": 128, "bucket_min": 64}, (64, 96, 128, 128)),
        ({"bucket_min": 128}, (64, 96, 128, 128)),
        ({"bucket_no_upscale": True}, (64, 96, 64, 96)),
        ({"square": True}, (64, 96, 128, 128)),
    ],
)
def test_the_bucket_is_the_one_that_was_asked_for(encoded, pictures, settings, shown):
    data = encoded(pictures[:2], **{"resolution": 128, **settings})
    ids = tuple(map(int, time_ids(data)))
    assert ids[:2] + ids[4:] == shown, "original and target (h, w)"
    assert data.batch((0,), 1, 0).latents.shape == (1, 4, shown[2] // 8, shown[3] // 8)


def test_a_square_is_cut_around_the_pictures_focus(encoded, pictures):
    left, right = (
        encoded([replace(pictures[0], focus=focus), *pictures[1:]], square=True)
        for focus in ((0.0, 0.0, 0.3, 1.0), (0.7, 0.0, 1.0, 1.0))
    )
    assert time_ids(left) == [64, 96, 0, 0, 64, 64]
    assert time_ids(right) == [64, 96, 0, 32, 64, 64]
    assert not left.batch((0,), 1, 0).latents.equal(right.batch((0,), 1, 0).latents)


# --- flips ----------------------------------------------------------------------------------------------------------
def test_half_of_the_steps_show_a_picture_mirrored(encoded, pictures, folder):
    focused = replace(pictures[0], focus=(0.0, 0.0, 0.3, 1.0))
    mirrored_file = store(folder, Image.open(folder / pictures[0].file).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    plain = encoded([focused], square=True)
    both = encoded([focused], square=True, flip=True)
    other_way = encoded([replace(focused, file=mirrored_file, focus=(0.7, 0.0, 1.0, 1.0))], square=True)
    mirrored = 0
    for step in range(40):
        shown = both.batch((0,), step, 0)
        wanted = other_way if int(shown.time_ids[0, 3]) else plain
        mirrored += wanted is other_way
        assert shown.latents.equal(wanted.batch((0,), step, 0).latents)
        assert shown.time_ids.equal(wanted.batch((0,), step, 0).time_ids)
    assert 10 < mirrored < 30
    seeded = encoded([focused], square=True, flip=True, seed=6)
    assert [time_ids(seeded, step=n) for n in range(40)] != [time_ids(both, step=n) for n in range(40)]
    assert len({tuple(both.batch((0, 0), step, 0).time_ids[:, 3].tolist()) for step in range(20)}) == 4, "by place too"
    assert both.measured([0]).time_ids.tolist() == [time_ids(plain)], "a measured picture is never mirrored"


# --- masks ----------------------------------------------------------------------------------------------------------
def masked(picture, folder, box, size=SIZES[0]):
    mask = Image.new("L", size)
    mask.paste(255, box)
    return replace(picture, mask=store(folder, mask))


def test_masks_come_with_their_pictures_and_mirror_with_them(encoded, pictures, folder):
    ours = [masked(pictures[0], folder, (0, 0, 48, 64)), pictures[1]]
    settings = {"square": True, "masked_loss": True}
    masks = encoded(ours, **settings).batch((0, 1), 1, 0).masks
    assert masks.shape == (2, 1, 8, 8)
    # 16 of 96 columns are cut off on the left, so 32 white ones are left of 64.
    assert masks[0, 0, 0].tolist() == pytest.approx([1] * 4 + [0] * 4, abs=0.05)
    assert (masks[1] == 1).all(), "a picture without a mask counts whole"
    assert encoded(ours, square=True).batch((0, 1), 1, 0).masks is None, "masked_loss is off"
    assert encoded(ours, **settings).batch((1,), 1, 0).masks is None
    flipping = encoded(ours, flip=True, **settings)
    rows = {tuple(flipping.batch((0,), step, 0).masks[0, 0, 0].round().int().tolist()) for step in range(20)}
    assert rows == {(1, 1, 1, 1, 0, 0, 0, 0), (0, 0, 0, 0, 1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("box", "size", "problem"),
    [
        ((0, 0, 8, 8), (64, 64), "has a mask of 64 x 64 pixels where its own size is 96 x 64"),
        ((0, 0, 8, 64), SIZES[0], "has a mask that hides all that is shown of it"),
    ],
)
def test_a_mask_that_cannot_be_used_names_its_picture(encoded, pictures, folder, box, size, problem):
    ours = [masked(pictures[0], folder, box, size), pictures[1]]
    with pytest.raises(BadPicture, match=f"{pictures[0].file[:12]} {problem}"):
        encoded(ours, square=True, masked_loss=True)


# --- which pictures count, and how much -------------------------------------------------------------------------------
def test_regularisation_pictures_weigh_as_much_as_asked(encoded, pictures):
    data = encoded(pictures, prior_weight=0.25)
    assert data.batch((0, 2, 1, 3), 1, 0).weights.tolist() == [1.0, 0.25, 1.0, 0.25]
    assert data.repeats == [1, 1, 1, 1]
    assert encoded(pictures[:3]).repeats == [1, 1, 2], "as often as the subject"


def test_what_is_held_back_is_never_trained_on(encoded, pictures):
    data = encoded(pictures, validation_share=0.5)
    assert len(data.validation) == 1
    assert data.validation[0] in (0, 1)
    assert sorted([*data.training, *data.validation])[:2] == [0, 1]
    assert data.repeats[data.validation[0]] == 0
    assert data.repeats[2:] == [1, 0], "one picture of the subject is left: one to balance it"
    sampler = Sampler.of(data.buckets, data.repeats, data.config)
    shown = {picture for epoch in range(1, 5) for step in sampler.epoch(epoch) for batch in step for picture in batch}
    assert shown == set(data.training)
    assert encoded(pictures).validation == []


def test_a_measured_picture_is_always_the_same(encoded, pictures):
    settings = {"shuffle_caption": True, "tag_dropout": 0.5, "caption_dropout": 0.5, "keep_tokens": 0}
    data = encoded(pictures, validation_share=0.5, **settings)
    first, again = data.measured(data.validation), data.measured(data.validation)
    mean = data.pictures[data.validation[0]].views[0].latent[0]
    assert first.latents[0].equal(mean * 0.13025)
    assert first.latents.equal(again.latents)
    assert first.text[0, 0, 0] == len(pictures[0].caption)


# --- captions ---------------------------------------------------------------------------------------------------------
def lengths(data, steps=20):
    """Lengths of the captions a picture is shown with."""
    return {int(data.batch((0,), step, 0).text[0, 0, 0]) for step in range(steps)}


def test_captions_change_from_step_to_step_as_asked(encoded, pictures):
    whole = len(pictures[0].caption)
    assert lengths(encoded(pictures)) == {whole}
    assert lengths(encoded(pictures, caption_dropout=0.5)) == {0, whole}
    assert lengths(encoded(pictures, tag_dropout=0.5)) == {len("lisaxl, woman"), whole}
    assert len(lengths(encoded(pictures, tag_dropout=0.5, keep_tokens=0))) > 3


def test_a_batch_larger_than_the_set_is_the_whole_set(encoded, pictures):
    data = encoded([replace(picture, regularisation=False) for picture in pictures], square=True, batch_size=50)
    sampler = Sampler.of(data.buckets, data.repeats, data.config)
    assert [len(batch) for step in sampler.epoch(1) for batch in step] == [4]


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_texts_are_kept_for_what_steps_ask_for_and_no_more(encoded, pictures, monkeypatch, weight):
    kept = []
    monkeypatch.setattr(TextCache, "keep", lambda _, caption: kept.append(caption))
    others = [replace(one, caption="woman, hat") if one.regularisation else one for one in pictures]
    data = encoded(others, preservation_weight=weight, caption_dropout=0.5)
    own = {one.caption for one in others} | {""}
    asked = {caption for number in (0, 1) for caption in data.kept.all_of(others[number].caption, number)}
    assert set(kept) == (own | asked if weight else own)
