"""Sample pictures: DPM++ 2M Karras with classifier-free guidance, as A1111 draws them.

Equal to A1111 (k-diffusion's `sample_dpmpp_2m` over `get_sigmas_karras`, rho 7) up to its fractional timesteps, which
diffusers rounds, and 0.2 % of the first noise's strength. Not covered: negative prompts, prompt weights, hires fix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from PIL import Image
from torch import Tensor, nn

from trainer.contract.limits import LATENT_FACTOR
from trainer.model.base import BaseModel
from trainer.model.device import release_cached, resident
from trainer.model.text import encode_prompts

CHUNK = 2
"""Pictures drawn at once; guidance doubles them. Training fits with 5 and gradients, so this always does."""

_KEPT_SETTINGS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
"""What belongs to the base model itself; the rest of its scheduler config is a taste in sampling."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Conditioning of a few pictures on the UNet's device; with guidance the rows without a prompt come first."""

    text: Tensor
    """`(2n, 77, 2048)` on SDXL, or `(n, …)` without guidance."""
    pooled: Tensor
    """`(2n, 1280)` on SDXL."""
    time_ids: Tensor
    """`(2n, 6)` fp32: original height and width, crop top and left, target height and width, in pixels."""
    guidance: float


Begin = Callable[[str], None]
"""Called with the name of each piece of work before it begins; what it raises ends the drawing."""


def _nobody_asks(_work: str) -> None:
    pass


def draw(
    base: BaseModel,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    size: tuple[int, int],
    begin: Begin = _nobody_asks,
) -> list[Image.Image]:
    """One picture per prompt with the UNet as it is now, a LoRA attached to it included.

    seeds: one per prompt; a seed and a size give the same noise on every device. guidance: scale of classifier-free
    guidance (Ho and Salimans 2022, arXiv:2207.12598), 1 or less is without. size: width and height in pixels,
    multiples of 8. begin: called before the texts, each denoising step, and each decoding. Text encoders and VAE are on
    the UNet's device only while they work. The UNet's train mode and torch's global random state are left as found.
    Raises ValueError when the numbers do not fit.
    """
    width, height = size
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
    if steps < 1 or width < LATENT_FACTOR or height < LATENT_FACTOR or width % LATENT_FACTOR or height % LATENT_FACTOR:
        raise ValueError(f"cannot draw {width} x {height} in {steps} steps; sides are multiples of {LATENT_FACTOR}")
    if not prompts:
        return []
    device = base.unet.device
    with torch.no_grad(), _eval_mode(base.unet):
        begin("encoding a prompt")
        with resident(device, base.text_encoder, base.text_encoder_2):
            text, pooled = encode_prompts(base, prompts)
            no_text, no_pooled = _no_prompt(base, text, pooled)
        latents = []
        for first in range(0, len(prompts), CHUNK):
            rows = slice(first, first + CHUNK)
            with_prompt, without = (text[rows], pooled[rows]), (no_text, no_pooled)
            chunk = _conditioning(with_prompt, without if guidance > 1 else None, guidance, size)
            noise = torch.stack([_noise(seed, width, height) for seed in seeds[rows]])
            latents.append(_denoise(base, noise.to(device), chunk, steps, begin))
        return _decode(base, torch.cat(latents), begin)


def karras_scheduler(settings: dict[str, Any]) -> DPMSolverMultistepScheduler:
    """DPM++ 2M Karras for a base with this scheduler config; noise schedule and prediction type stay the base's own.

    `midpoint` is k-diffusion's second-order step. `zero` ends at no noise at all, as k-diffusion's appended sigma 0
    does, with its first-order last step. Karras sigmas run over the whole training range whatever the
    timestep_spacing, as A1111's do.
    """
    return DPMSolverMultistepScheduler(
        **{name: settings[name] for name in _KEPT_SETTINGS if settings.get(name) is not None},
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        # k-diffusion takes second-order steps to the end however few there are.
        lower_order_final=False,
        use_karras_sigmas=True,
        final_sigmas_type="zero",
    )


def _noise(seed: int, width: int, height: int) -> Tensor:
    """Standard normal latents `(4, h/8, w/8)` from a CPU generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, height // LATENT_FACTOR, width // LATENT_FACTOR, generator=generator)


def _no_prompt(base: BaseModel, text: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
    """What stands for "no prompt", `(1, 77, c)` and `(1, p)`, by what the base model was trained with.

    Zeros for SDXL (A1111 does the same); a model trained with empty captions wants these encoded.
    """
    if base.zeros_for_empty_prompt:
        return torch.zeros_like(text[:1]), torch.zeros_like(pooled[:1])
    return encode_prompts(base, [""])


_Embeddings = tuple[Tensor, Tensor]


def _conditioning(
    with_prompt: _Embeddings, without: _Embeddings | None, guidance: float, size: tuple[int, int]
) -> _Chunk:
    """The rows with their prompts, behind as many without one if `without` is given."""
    text, pooled = with_prompt
    if without is not None:
        text = torch.cat([without[0].expand_as(text), text])
        pooled = torch.cat([without[1].expand_as(pooled), pooled])
    width, height = size
    # Always fp32: bf16 has 8 bits, not enough for every size.
    time_ids = torch.tensor([height, width, 0, 0, height, width], device=text.device, dtype=torch.float32)
    return _Chunk(text, pooled, time_ids.expand(len(text), -1), guidance)


def _denoise(base: BaseModel, noise: Tensor, chunk: _Chunk, steps: int, begin: Begin) -> Tensor:
    """Latents `(n, 4, h/8, w/8)` in fp32 from standard normal noise."""
    scheduler = karras_scheduler(base.scheduler_config)
    scheduler.set_timesteps(steps, device=noise.device)
    latents: Tensor = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        begin("a denoising step")
        prediction = _predict(base, scheduler.scale_model_input(latents, timestep), timestep, chunk)
        (latents,) = scheduler.step(prediction, timestep, latents, return_dict=False)
    return latents


def _predict(base: BaseModel, latents: Tensor, timestep: Tensor, chunk: _Chunk) -> Tensor:
    """The UNet's guided prediction in fp32: uncond + guidance (cond - uncond)."""
    batch = latents if chunk.guidance <= 1 else torch.cat([latents, latents])
    prediction: Tensor = base.unet(
        batch.to(chunk.text.dtype),
        timestep,
        encoder_hidden_states=chunk.text,
        added_cond_kwargs={"text_embeds": chunk.pooled, "time_ids": chunk.time_ids},
        return_dict=False,
    )[0].float()
    if chunk.guidance <= 1:
        return prediction
    without, guided = prediction.chunk(2)
    return torch.lerp(without, guided, chunk.guidance)


def _decode(base: BaseModel, latents: Tensor, begin: Begin) -> list[Image.Image]:
    """Pictures of latents, one at a time and in the VAE's own fp32 even under autocast."""
    device = latents.device
    with resident(device, base.vae), torch.autocast(device.type, enabled=False):
        pictures = []
        for one in latents:
            begin("decoding a picture")
            pictures.append(_picture(_decode_one(base, one[None] / base.vae.config.scaling_factor)))
        return pictures


def _decode_one(base: BaseModel, latents: Tensor) -> Tensor:
    """`(3, h, w)` in -1..1; in tiles when the device's memory is too small for the whole."""
    latents = latents.to(base.vae.dtype)
    with suppress(torch.OutOfMemoryError):
        whole: Tensor = base.vae.decode(latents, return_dict=False)[0][0]
        return whole
    # Only here, behind the error's end: as long as it lives, its traceback holds the memory of the first try.
    release_cached(latents.device)
    base.vae.enable_tiling()
    tiled: Tensor = base.vae.decode(latents, return_dict=False)[0][0]
    return tiled


def _picture(decoded: Tensor) -> Image.Image:
    """An RGB picture of `(3, h, w)` in -1..1; what is not a number becomes black."""
    pixels = (decoded.float() / 2 + 0.5).nan_to_num(0).clamp(0, 1) * 255
    return Image.fromarray(pixels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    """The module in eval mode for a while."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
