"""Sample pictures as A1111 draws them: prompts with weights, a negative prompt, and samplers by its names.

Equal to A1111 up to what `samplers` says and 0.2 % of the first noise's strength. Not covered: hires fix, refiner,
other schedules than a sampler's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn

from trainer.contract.config import Sampler
from trainer.contract.limits import LATENT_FACTOR
from trainer.errors import BadSample
from trainer.model.base import BaseModel
from trainer.model.device import resident
from trainer.sampling.conditioning import Conditioning, conditionings
from trainer.sampling.decode import decode
from trainer.sampling.prompt import sections_of
from trainer.sampling.samplers import solver

LONGEST_SIDE, MOST_STEPS, MOST_GUIDANCE = 4096, 200, 30.0

Begin = Callable[[str], None]
"""Called with the name of each piece of work before it begins; what it raises ends the drawing."""

STEP = "a denoising step"
"""The piece of work a picture consists of: `begin` hears it once a step and group of pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How pictures are drawn; raises BadSample for what cannot be."""

    size: tuple[int, int]
    """Width and height in pixels, multiples of 8."""
    steps: int = 30
    guidance: float = 7.0
    """Scale of classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598); 1 or less is without, and without a
    negative prompt."""
    sampler: Sampler = "dpm++ 2m karras"
    negative: str = ""
    """What the pictures should not show, in the prompts' syntax (LoRA tags in it do nothing)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        width, height = self.size
        if any(not LATENT_FACTOR <= side <= LONGEST_SIDE or side % LATENT_FACTOR for side in self.size):
            raise BadSample(
                f"A picture of {width} x {height} cannot be drawn; sides are multiples of {LATENT_FACTOR} "
                f"up to {LONGEST_SIDE}."
            )
        if not 1 <= self.steps <= MOST_STEPS:
            raise BadSample(f"{self.steps} steps cannot be drawn; take 1 to {MOST_STEPS}.")
        if not 0 <= self.guidance <= MOST_GUIDANCE:
            raise BadSample(f"A guidance of {self.guidance:g} cannot be drawn with; take 0 to {MOST_GUIDANCE:g}.")


def _nobody_asks(_work: str) -> None:
    pass


def draw(
    base: BaseModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    drawing: Drawing,
    begin: Begin = _nobody_asks,
) -> list[Image.Image]:
    """One picture per prompt with the base as it is now, LoRA files attached to it included.

    prompts: in A1111's syntax; LoRA tags are left out (see `networks`). seeds: one per prompt; a picture depends on its
    own prompt, seed and `drawing` alone, not on its neighbours, and its noise is the same on every device. begin:
    called before the texts, each denoising step, and each decoding. Text encoders and VAE are on the UNet's device only
    while they work. The UNet's train mode and torch's global random state are left as found.
    """
    return draw_encoded(base, encode(base, prompts, drawing, begin), seeds, drawing, begin)


def encode(
    base: BaseModel, prompts: Sequence[str], drawing: Drawing, begin: Begin = _nobody_asks
) -> list[Conditioning]:
    """What the UNet is told of these prompts; stays the same as long as the text encoders do."""
    if not prompts:
        return []
    begin("encoding a prompt")
    negative = sections_of(drawing.negative) if drawing.guidance > 1 else None
    encoders = (base.text_encoder, base.text_encoder_2)
    with torch.no_grad(), _eval_mode(*encoders), resident(base.unet.device, *encoders):
        return conditionings(base, [sections_of(prompt) for prompt in prompts], negative, drawing.size)


def draw_encoded(
    base: BaseModel,
    parts: Sequence[Conditioning],
    seeds: Sequence[int],
    drawing: Drawing,
    begin: Begin = _nobody_asks,
) -> list[Image.Image]:
    """As `draw`, of prompts that `encode` has read for the same `drawing`."""
    pictures = parts[-1].pictures.stop if parts else 0
    if pictures != len(seeds):
        raise ValueError(f"{pictures} prompts need as many seeds, not {len(seeds)}")
    if not parts:
        return []
    with torch.no_grad(), _eval_mode(base.unet):
        latents = [_denoise(base, part, seeds, drawing, begin) for part in parts]
        return decode(base, torch.cat(latents), partial(begin, "decoding a picture"))


def _denoise(base: BaseModel, part: Conditioning, seeds: Sequence[int], drawing: Drawing, begin: Begin) -> Tensor:
    """Latents `(n, 4, h/8, w/8)` in fp32 of the pictures that are drawn at once."""
    width, height = drawing.size
    generators = [torch.Generator().manual_seed(seeds[picture]) for picture in part.pictures]
    shape = (4, height // LATENT_FACTOR, width // LATENT_FACTOR)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    predict = partial(_predict, base, part, drawing.guidance)
    chosen = solver(drawing.sampler, base.scheduler_config, drawing.steps)
    return chosen.run(noise.to(base.unet.device), generators, predict, partial(begin, STEP))


def _predict(base: BaseModel, part: Conditioning, guidance: float, latents: Tensor, timestep: Tensor) -> Tensor:
    """The UNet's guided prediction in fp32: uncond + guidance (cond - uncond)."""
    batch = latents if guidance <= 1 else torch.cat([latents, latents])
    prediction: Tensor = base.unet(
        batch.to(part.text.dtype),
        timestep,
        encoder_hidden_states=part.text,
        added_cond_kwargs={"text_embeds": part.pooled, "time_ids": part.time_ids},
        return_dict=False,
    )[0].float()
    if guidance <= 1:
        return prediction
    without, guided = prediction.chunk(2)
    return torch.lerp(without, guided, guidance)


@contextmanager
def _eval_mode(*modules: nn.Module) -> Iterator[None]:
    """The modules in eval mode for a while."""
    before = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, was_training in zip(modules, before, strict=True):
            module.train(was_training)
