"""Samples: the pictures diffusers' own pipeline draws, DPM++ 2M Karras as k-diffusion defines it, and good manners."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig

from trainer.model.base import load_base
from trainer.sampling import draw as module
from trainer.sampling.draw import draw, karras_scheduler

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
CPU = torch.device("cpu")


@pytest.fixture
def base(tiny_sdxl):
    return load_base(str(tiny_sdxl), device=CPU, dtype=torch.float32)


def pixels(pictures):
    return np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])


def pipeline_pictures(folder, prompts, seeds, *, steps, guidance, size, **scheduler):
    """The same request drawn by diffusers' pipeline."""
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = karras_scheduler({**SDXL, **scheduler})
    width, height = size
    latents = torch.stack(
        [torch.randn(4, height // 8, width // 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    return pipe(
        prompts,
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
    ours = pixels(draw(base, prompts, seeds=seeds, steps=6, guidance=guidance, size=(72, 64)))
    theirs = pipeline_pictures(
        tiny_sdxl, prompts, seeds, steps=6, guidance=guidance, size=(72, 64), prediction_type=prediction
    )
    assert ours.shape == theirs.shape == (3, 64, 72, 3)
    assert np.abs(ours - theirs).max() < 0.5 / 255 + 1e-3  # ours are rounded to 8 bits
    assert ours.std() > 0.01


def k_diffusion_2m(model, x, sigmas):
    """k-diffusion's sample_dpmpp_2m, restated from its paper (Lu et al. 2022, arXiv:2211.01095, algorithm 2)."""
    previous = None
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i])
        t, t_next = -torch.log(sigmas[i]), -torch.log(sigmas[i + 1])
        h = t_next - t
        if previous is None or sigmas[i + 1] == 0:
            mixed = denoised
        else:
            r = (t + torch.log(sigmas[i - 1])) / h
            mixed = (1 + 1 / (2 * r)) * denoised - previous / (2 * r)
        x = (sigmas[i + 1] / sigmas[i]) * x - torch.expm1(-h) * mixed
        previous = denoised
    return x


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_the_solver_is_k_diffusions(steps):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    cumulative = torch.cumprod(1 - betas, 0)
    trained = ((1 - cumulative) / cumulative) ** 0.5
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = trained[0] ** (1 / 7), trained[-1] ** (1 / 7)
    sigmas = torch.cat([(high + ramp * (low - high)) ** 7, torch.zeros(1, dtype=torch.float64)])

    def denoise(x, sigma):  # any smooth function will do as a model
        return torch.tanh(x / (1 + sigma**2) ** 0.5 + 0.1 * sigma / (1 + sigma))

    scheduler = karras_scheduler(SDXL)
    scheduler.set_timesteps(steps)
    assert torch.allclose(scheduler.sigmas.double(), sigmas, rtol=1e-4)
    sigmas = scheduler.sigmas.double()  # from here on in its fp32

    noise = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = (1 + sigmas[0] ** 2) ** 0.5
    expected = k_diffusion_2m(denoise, noise * scale, sigmas)
    latents = noise  # diffusers keeps the variance, k-diffusion lets it explode: x = latents (1 + sigma^2)^0.5
    for i, timestep in enumerate(scheduler.timesteps):
        x = latents * (1 + sigmas[i] ** 2) ** 0.5
        epsilon = (x - denoise(x, sigmas[i])) / sigmas[i]
        latents = scheduler.step(epsilon, timestep, latents, return_dict=False)[0]
    assert torch.allclose(latents, expected, atol=1e-4)


def test_the_bases_noise_is_kept_and_its_taste_in_sampling_is_not(base):
    """A zero-terminal-SNR model that would sample otherwise; diffusers refuses `use_beta_sigmas` beside Karras."""
    base.scheduler_config.update(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        use_beta_sigmas=True,
        timestep_spacing="trailing",
        final_sigmas_type="sigma_min",
    )
    scheduler = karras_scheduler(base.scheduler_config)
    scheduler.set_timesteps(4)
    assert scheduler.sigmas[0] > 1000  # zero SNR, against 14.6 of plain SDXL
    assert scheduler.sigmas[-1] == 0
    [picture] = draw(base, ["a"], seeds=[1], steps=4, guidance=3.0, size=(64, 64))
    assert pixels([picture]).std() > 0.01


def test_a_picture_depends_on_its_seed_alone_not_on_its_neighbours(base):
    settings = {"steps": 2, "guidance": 5.0, "size": (64, 64)}
    three = pixels(draw(base, ["a", "b", "c"], seeds=[1, 2, 3], **settings))
    alone = pixels(draw(base, ["c"], seeds=[3], **settings))
    other = pixels(draw(base, ["c"], seeds=[4], **settings))
    assert np.abs(three[2] - alone[0]).max() <= 1.001 / 255
    assert np.abs(other - alone).max() > 0.05


def test_each_piece_of_work_is_told_before_it_begins_and_may_be_called_off(base):
    begun = []
    settings = {"seeds": [1, 2], "steps": 3, "guidance": 5.0, "size": (64, 64)}
    draw(base, ["a", "b"], **settings, begin=begun.append)
    assert begun == ["encoding a prompt", *["a denoising step"] * 3, *["decoding a picture"] * 2]

    def call_off(work):
        if begun.append(work) is None and begun.count("a denoising step") == 2:
            raise KeyboardInterrupt

    begun.clear()
    with pytest.raises(KeyboardInterrupt):
        draw(base, ["a", "b"], **settings, begin=call_off)
    assert len(begun) == 3


def test_no_prompt_is_what_the_base_was_trained_with(base, tiny_sdxl, tmp_path):
    """A base trained with empty captions says so in its model_index.json; diffusers' pipeline goes by the same line."""
    folder = shutil.copytree(tiny_sdxl, tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "force_zeros_for_empty_prompt": False}))
    other = load_base(str(folder), device=CPU, dtype=torch.float32)
    settings = {"seeds": [1], "steps": 4, "guidance": 7.0, "size": (64, 64)}
    with_zeros, with_text = (pixels(draw(one, ["a cat"], **settings)) for one in (base, other))
    theirs = pipeline_pictures(folder, ["a cat"], [1], steps=4, guidance=7.0, size=(64, 64))
    assert np.abs(with_text - theirs).max() < 0.5 / 255 + 1e-3
    assert np.abs(with_text - with_zeros).max() > 0.01


def test_the_attached_lora_is_drawn_with(base):
    settings = {"seeds": [1], "steps": 3, "guidance": 5.0, "size": (64, 64)}
    before = pixels(draw(base, ["a cat"], **settings))
    base.unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
    assert np.abs(pixels(draw(base, ["a cat"], **settings)) - before).max() > 0.01


@pytest.mark.parametrize("training", [True, False])
def test_it_leaves_no_traces(base, training):
    base.unet.train(training)
    state = torch.random.get_rng_state()
    draw(base, ["a"], seeds=[1], steps=1, guidance=5.0, size=(64, 64))
    assert base.unet.training is training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_the_mode_is_restored_after_an_error(base, monkeypatch):
    base.unet.train()
    monkeypatch.setattr(module, "_decode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw(base, ["a"], seeds=[1], steps=1, guidance=5.0, size=(64, 64))
    assert base.unet.training


def test_a_bf16_base_draws_under_autocast_with_the_vae_in_fp32(tiny_sdxl):
    base = load_base(str(tiny_sdxl), device=CPU, dtype=torch.bfloat16)
    seen = []
    base.vae.decoder.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        [picture] = draw(base, ["a"], seeds=[1], steps=2, guidance=5.0, size=(64, 64))
    assert picture.size == (64, 64)
    assert seen == [torch.float32]


def test_small_memory_decodes_in_tiles(base, monkeypatch):
    decode, calls = base.vae.decode, []

    def short_of_memory(*arguments, **keywords):
        calls.append(base.vae.use_tiling)
        if not base.vae.use_tiling:
            raise torch.OutOfMemoryError("out of memory")
        return decode(*arguments, **keywords)

    monkeypatch.setattr(base.vae, "decode", short_of_memory)
    pictures = draw(base, ["a", "b"], seeds=[1, 2], steps=1, guidance=1.0, size=(64, 64))
    assert len(pictures) == 2
    assert calls == [False, True, True]


def test_numbers_that_are_none_become_black_not_a_crash():
    picture = module._picture(torch.full((3, 8, 8), float("nan")))
    assert picture.getextrema() == ((0, 0),) * 3


def test_requests_that_do_not_fit_are_refused(base):
    good = {"seeds": [1], "steps": 1, "guidance": 5.0, "size": (64, 64)}
    for bad in ({"seeds": []}, {"seeds": [1, 2]}, {"steps": 0}, {"size": (65, 64)}, {"size": (64, 0)}):
        with pytest.raises(ValueError):
            draw(base, ["a"], **{**good, **bad})
    assert draw(base, [], **{**good, "seeds": []}) == []
