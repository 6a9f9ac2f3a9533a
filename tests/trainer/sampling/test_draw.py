"""Samples: the pictures diffusers' own pipeline draws, prompts and negative prompts, and good manners."""

import copy
import json
import shutil
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig

from tests.trainer.support.networks import copied
from trainer.errors import BadSample
from trainer.model.base import load_base
from trainer.model.text import encode_prompts
from trainer.sampling import draw as module
from trainer.sampling.decode import picture
from trainer.sampling.draw import STEP, Drawing, draw
from trainer.sampling.samplers import solver

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loaded(tiny_sdxl):
    return load_base(str(tiny_sdxl), device=CPU, dtype=torch.float32)


@pytest.fixture
def base(loaded):
    """As if loaded anew: tests change its schedule, hang things on its models, and let its VAE run out of memory."""
    return replace(copied(loaded), vae=copy.deepcopy(loaded.vae), scheduler_config=dict(loaded.scheduler_config))


def small(steps, **settings):
    return Drawing(**{"size": (64, 64), "guidance": 5.0, "steps": steps, **settings})


def pixels(pictures):
    return np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])


def pipeline_pictures(folder, prompts, seeds, *, steps, guidance, size, negative_prompt=None, **scheduler):
    """The same request drawn by diffusers' pipeline."""
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = solver("dpm++ 2m karras", {**SDXL, **scheduler}, steps).scheduler
    width, height = size
    latents = torch.stack(
        [torch.randn(4, height // 8, width // 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    return pipe(
        prompts,
        negative_prompt=None if negative_prompt is None else [negative_prompt] * len(prompts),
        latents=latents,
        num_inference_steps=steps,
        guidance_scale=guidance,
        width=width,
        height=height,
        output_type="np",
    ).images


@pytest.mark.parametrize(("guidance", "prediction"), [(7.0, "epsilon"), (1.0, "epsilon"), (4.0, "v_prediction")])
def test_it_draws_what_the_pipeline_draws(base, tiny_sdxl, guidance, prediction):
    base.scheduler_config["prediction_type"] = prediction
    prompts, seeds = ["lisaxl, woman", "a blue cat", "a house"], [11, 12, 13]
    ours = pixels(draw(base, prompts, seeds, Drawing(size=(72, 64), steps=3, guidance=guidance)))
    theirs = pipeline_pictures(
        tiny_sdxl, prompts, seeds, steps=3, guidance=guidance, size=(72, 64), prediction_type=prediction
    )
    assert ours.shape == theirs.shape == (3, 64, 72, 3)
    assert np.abs(ours - theirs).max() < 0.5 / 255 + 1e-3  # ours are rounded to 8 bits
    assert ours.std() > 0.01


def test_a_picture_depends_on_its_seed_alone_not_on_its_neighbours(base):
    three = pixels(draw(base, ["a", "b", "c"], [1, 2, 3], small(2)))
    alone = pixels(draw(base, ["c"], [3], small(2)))
    other = pixels(draw(base, ["c"], [4], small(2)))
    assert np.abs(three[2] - alone[0]).max() <= 1.001 / 255
    assert np.abs(other - alone).max() > 0.05


def test_each_piece_of_work_is_told_before_it_begins_and_may_be_called_off(base):
    begun = []
    draw(base, ["a", "b"], [1, 2], small(3), begun.append)
    assert begun == ["encoding a prompt", *[STEP] * 3, *["decoding a picture"] * 2]

    def call_off(work):
        if begun.append(work) is None and begun.count(STEP) == 2:
            raise KeyboardInterrupt

    begun.clear()
    with pytest.raises(KeyboardInterrupt):
        draw(base, ["a", "b"], [1, 2], small(3), call_off)
    assert len(begun) == 3


def test_no_prompt_is_what_the_base_was_trained_with(base, tiny_sdxl, tmp_path):
    """A base trained with empty captions says so in its model_index.json; diffusers' pipeline goes by the same line."""
    folder = shutil.copytree(tiny_sdxl, tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "force_zeros_for_empty_prompt": False}))
    other = load_base(str(folder), device=CPU, dtype=torch.float32)
    with_zeros, with_text = (pixels(draw(one, ["a cat"], [1], small(4, guidance=7.0))) for one in (base, other))
    theirs = pipeline_pictures(folder, ["a cat"], [1], steps=4, guidance=7.0, size=(64, 64))
    assert np.abs(with_text - theirs).max() < 0.5 / 255 + 1e-3
    assert np.abs(with_text - with_zeros).max() > 0.01


def test_the_attached_lora_is_drawn_with(base):
    before = pixels(draw(base, ["a cat"], [1], small(3)))
    base.unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
    assert np.abs(pixels(draw(base, ["a cat"], [1], small(3))) - before).max() > 0.01


@pytest.mark.parametrize("training", [True, False])
def test_it_leaves_no_traces(base, training):
    base.unet.train(training)
    state = torch.random.get_rng_state()
    draw(base, ["a"], [1], small(1))
    assert base.unet.training is training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_the_mode_is_restored_after_an_error(base, monkeypatch):
    base.unet.train()
    monkeypatch.setattr(module, "decode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw(base, ["a"], [1], small(1))
    assert base.unet.training


def test_a_bf16_base_draws_with_the_vae_in_fp32(tiny_sdxl):
    base = load_base(str(tiny_sdxl), device=CPU, dtype=torch.bfloat16)
    seen = []
    base.vae.decoder.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    [drawn] = draw(base, ["a"], [1], small(2))
    assert drawn.size == (64, 64)
    assert seen == [torch.float32]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("…"), RuntimeError("GET was unable to find an engine …")])
def test_small_memory_decodes_in_tiles(base, monkeypatch, error):
    decode, calls = base.vae.decode, []

    def short_of_memory(*arguments, **keywords):
        calls.append(base.vae.use_tiling)
        if not base.vae.use_tiling:
            raise error
        return decode(*arguments, **keywords)

    monkeypatch.setattr(base.vae, "decode", short_of_memory)
    pictures = draw(base, ["a", "b"], [1, 2], small(1, guidance=1.0))
    assert len(pictures) == 2
    assert calls == [False, True, True]


def test_cudnn_tries_nothing_out_in_the_vae(base, monkeypatch):
    """Its trials are for the steps, whose sizes come again and again; there they go on afterwards."""
    seen, decode = [], base.vae.decode

    def decoding(*arguments, **keywords):
        seen.append(torch.backends.cudnn.benchmark)
        return decode(*arguments, **keywords)

    monkeypatch.setattr(base.vae, "decode", decoding)
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        draw(base, ["a"], [1], small(1, guidance=1.0))
        assert torch.backends.cudnn.benchmark
    assert seen == [False]


def test_another_error_of_the_vae_is_not_tried_again(base, monkeypatch):
    error = RuntimeError("something else")
    monkeypatch.setattr(base.vae, "decode", Mock(side_effect=error))
    with pytest.raises(RuntimeError) as caught:
        draw(base, ["a"], [1], small(1))
    assert caught.value is error
    assert not base.vae.use_tiling


def test_numbers_that_are_none_become_black_not_a_crash():
    drawn = picture(torch.full((3, 8, 8), float("nan")))
    assert drawn.getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0},
        {"steps": 201},
        {"size": (65, 64)},
        {"size": (64, 0)},
        {"size": (64, -8)},
        {"size": (8192, 64)},
        {"guidance": -1.0},
        {"guidance": 31.0},
        {"guidance": float("nan")},
    ],
)
def test_settings_that_do_not_fit_are_refused_in_a_sentence(bad):
    with pytest.raises(BadSample) as error:
        Drawing(**{"size": (64, 64), **bad})
    assert str(error.value).endswith(".")


def test_each_prompt_has_its_seed(base):
    for seeds in ([], [1, 2]):
        with pytest.raises(ValueError):
            draw(base, ["a"], seeds, small(1))
    assert draw(base, [], [], small(1)) == []


# --- prompts ---------------------------------------------------------------------------------------------------------
def seen_by_the_unet(base, monkeypatch, prompts, drawing):
    """The text each UNet call gets, `(rows, 77 * chunks, c)`."""
    seen, forward = [], base.unet.forward

    def spy(*arguments, **keywords):
        seen.append((keywords["encoder_hidden_states"], keywords["added_cond_kwargs"]["text_embeds"]))
        return forward(*arguments, **keywords)

    monkeypatch.setattr(base.unet, "forward", spy)
    pictures = draw(base, prompts, range(len(prompts)), drawing)
    return seen, pictures


def test_a_negative_prompt_takes_the_place_of_no_prompt(base, monkeypatch, tiny_sdxl):
    seen, _ = seen_by_the_unet(base, monkeypatch, ["a cat", "a dog"], small(1, negative="a house"))
    text, pooled = encode_prompts(base, ["a house", "a house", "a cat", "a dog"])
    [(got_text, got_pooled)] = seen
    assert (got_text - text).abs().max() < 1e-5
    assert (got_pooled - pooled).abs().max() < 1e-5


def test_the_negative_prompt_is_drawn_with_as_diffusers_does(base, tiny_sdxl):
    ours = pixels(draw(base, ["a cat"], [3], small(4, negative="a house, red")))
    theirs = pipeline_pictures(
        tiny_sdxl, ["a cat"], [3], steps=4, guidance=5.0, size=(64, 64), negative_prompt="a house, red"
    )
    assert np.abs(ours - theirs).max() < 0.5 / 255 + 1e-3
    assert np.abs(ours - pixels(draw(base, ["a cat"], [3], small(4)))).max() > 0.01


def test_prompt_and_negative_prompt_are_filled_to_the_same_number_of_chunks(base, monkeypatch):
    long = "cat dog " * 25
    seen, _ = seen_by_the_unet(base, monkeypatch, ["a cat", long], small(1, negative="a house"))
    assert [tuple(text.shape[:2]) for text, _ in seen] == [(2, 77), (2, 154)]  # drawn apart: the numbers differ
    assert (seen[1][0] - encode_prompts(base, ["a house", long], chunks=2)[0]).abs().max() < 1e-5
    seen, _ = seen_by_the_unet(base, monkeypatch, ["a cat"], small(1, negative=long))
    assert (seen[0][0] - encode_prompts(base, [long, "a cat"], chunks=2)[0]).abs().max() < 1e-5


def test_a_long_neighbour_changes_no_picture(base):
    together = pixels(draw(base, ["a cat", "cat dog " * 25], [1, 2], small(2)))
    alone = pixels(draw(base, ["a cat"], [1], small(2)))
    assert np.abs(together[0] - alone[0]).max() <= 1.001 / 255


def test_weights_reach_the_picture_and_lora_tags_do_not(base):
    plain, tagged, heavy = (
        pixels(draw(base, [prompt], [1], small(2))) for prompt in ("a cat", "<lora:x:0.9>a cat", "a (cat:1.8)")
    )
    assert np.array_equal(plain, tagged)
    assert np.abs(plain - heavy).max() > 1 / 255


def test_without_guidance_nothing_is_avoided(base, monkeypatch):
    seen, _ = seen_by_the_unet(base, monkeypatch, ["a cat"], small(1, guidance=1.0, negative="a house"))
    assert seen[0][0].shape[0] == 1
