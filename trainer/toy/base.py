"""The toy SDXL: a UNet with SDXL's structure, trained on avatars together with its text encoders.

The structure is SDXL's, block kind for block kind, so every name and every conditioning path is real; only widths and
depths are small. It is trained on `BASE_HAIR` and unmarked faces only: the subject is new to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor, nn

from trainer.toy.avatars import Avatar, draw, random_avatar
from trainer.toy.captions import Known, caption, known_people, meet
from trainer.toy.loop import Place, Recipe, train
from trainer.toy.text import TextSide, encode, new_text_side
from trainer.toy.vae import SIZE, to_tensor

RECIPE = Recipe(name="base", steps=3500, batch=16, rate=1.5e-3, warmup=60, average=0.996)

FURTHER = Recipe(name="base-further", steps=3900, batch=16, rate=7e-4, warmup=100, average=0.998)
"""For a base that has learned colours and shapes already (`--onto`): it learns the small things, lower and longer."""

CACHED = 4000
"""Pictures drawn and encoded once before training."""

NAMED_SHARE = 0.25
CROPPED_SHARE = 0.15
ZEROED_SHARE = 0.5
"""Share of the empty captions given as zeros instead of an encoded empty text: pipelines differ in which they use."""

SNR_FLOOR = 0.1
"""The noise error is weighted by 1 / (SNR + this) ** `SNR_POWER`: at power 1, where SNR is larger, that is the error of
the clean picture. Less than 1 leaves more weight on the last steps, which draw glasses and mouths.

Plain noise error, and min-SNR weighting too, gives the noisiest steps next to no weight, and colours are decided there:
after 900 steps of min-SNR the base drew faces in colours of its own choice.
"""

SNR_POWER = 0.5

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
"""SDXL's own noise schedule, from its scheduler_config.json."""


def new_unet() -> UNet2DConditionModel:
    """An untrained UNet of about 4 M weights; latents `(b, 4, 16, 16)`, context `(b, 77, 160)`."""
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64, 96),
        layers_per_block=2,
        attention_head_dim=(2, 4, 6),
        transformer_layers_per_block=(1, 1, 1),
        cross_attention_dim=160,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=6 * 32 + 96,
        use_linear_projection=True,
        norm_num_groups=8,
    )


@dataclass(frozen=True)
class Album:
    """Pictures ready for training."""

    means: Tensor
    """`(n, 4, 16, 16)`, scaled by the VAE's factor."""
    deviations: Tensor
    times: Tensor
    """`(n, 6)`: original height and width (filled in per step), crop top and left, target height and width."""
    people: list[tuple[Avatar, Known | None]]


@torch.no_grad()
def make_album(vae: AutoencoderKL, count: int, device: torch.device) -> Album:
    """Draw and encode `count` pictures; a share shows named people, a share is cropped off its middle."""
    rng = np.random.default_rng(2024)
    known = known_people()
    means, deviations, times, people = [], [], [], []
    for _ in range(0, count, 16):
        pictures = []
        for _ in range(16):
            person = known[int(rng.integers(len(known)))] if rng.random() < NAMED_SHARE else None
            avatar = random_avatar(rng) if person is None else meet(person, rng)
            picture, top, left = draw(avatar, SIZE), 0, 0
            if rng.random() < CROPPED_SHARE:
                larger = SIZE * 5 // 4
                top, left = (int(value) for value in rng.integers(0, larger - SIZE + 1, 2))
                picture = draw(avatar, larger).crop((left, top, left + SIZE, top + SIZE))
            pictures.append(picture)
            people.append((avatar, person))
            times.append([SIZE, SIZE, top, left, SIZE, SIZE])
        posterior = vae.encode(to_tensor(pictures).to(device)).latent_dist
        means.append(posterior.mean * vae.config.scaling_factor)
        deviations.append(posterior.std * vae.config.scaling_factor)
    return Album(torch.cat(means), torch.cat(deviations), torch.tensor(times, device=device).float(), people)


class _Trained(nn.Module):
    """Everything the base's training moves, as one module."""

    def __init__(self, unet: UNet2DConditionModel, text: TextSide) -> None:
        super().__init__()
        self.unet = unet
        self.encoders = text.encoders


@dataclass(frozen=True)
class Base:
    """A whole toy SDXL."""

    unet: UNet2DConditionModel
    text: TextSide
    vae: AutoencoderKL

    def pipeline(self) -> StableDiffusionXLPipeline:
        """The parts as diffusers' SDXL pipeline, without a watermark."""
        return StableDiffusionXLPipeline(
            vae=self.vae,
            text_encoder=self.text.first,
            text_encoder_2=self.text.second,
            tokenizer=self.text.tokenizers[0],
            tokenizer_2=self.text.tokenizers[1],
            unet=self.unet,
            scheduler=EulerDiscreteScheduler(**SCHEDULE),
            add_watermarker=False,
        )

    def save(self, folder: Path) -> None:
        """Write the diffusers folder in fp16 safetensors."""
        self.pipeline().to(torch.float16).save_pretrained(folder, safe_serialization=True)
        for path in folder.rglob("*.json"):
            settings = json.loads(path.read_text(encoding="utf-8"))
            # The folder a part was loaded from on this machine says nothing to anyone else.
            if settings.pop("_name_or_path", None) is not None:
                path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def new_base(vae: AutoencoderKL, seed: int) -> Base:
    """An untrained base around a trained VAE."""
    torch.manual_seed(seed)
    return Base(new_unet(), new_text_side(), vae)


def load_base(folder: Path) -> Base:
    """A base that was saved before, in fp32, to be trained on."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    tokenizers = (pipeline.tokenizer, pipeline.tokenizer_2)
    return Base(pipeline.unet, TextSide(tokenizers, pipeline.text_encoder, pipeline.text_encoder_2), pipeline.vae)


def train_base(base: Base, recipe: Recipe, place: Place, cached: int = CACHED) -> list[float]:
    """Train UNet and text encoders of `base` in place on latents of its VAE; returns the loss of every step."""
    base.vae.to(place.device).eval()
    trained = _Trained(base.unet, base.text).to(place.device)
    album = make_album(base.vae, cached, place.device)
    betas = torch.linspace(SCHEDULE["beta_start"] ** 0.5, SCHEDULE["beta_end"] ** 0.5, 1000, device=place.device) ** 2
    kept = torch.cumprod(1.0 - betas, dim=0)

    def loss_of(rng: np.random.Generator) -> Tensor:
        return _loss(base, album, kept, recipe.batch, rng)

    return train(trained, loss_of, recipe, place)


def _loss(base: Base, album: Album, kept: Tensor, batch: int, rng: np.random.Generator) -> Tensor:
    """Noise prediction loss of one batch; `kept` `(1000,)` is the share of the signal's variance left at each time."""
    device = kept.device
    chosen = rng.integers(len(album.people), size=batch)
    captions = []
    for number in chosen:
        avatar, known = album.people[number]
        captions.append(caption(avatar, known, rng))
    states, pooled = encode(base.text, captions, device)
    zeroed = torch.tensor([not text and rng.random() < ZEROED_SHARE for text in captions], device=device)
    states, pooled = states.masked_fill(zeroed[:, None, None], 0.0), pooled.masked_fill(zeroed[:, None], 0.0)
    rows = torch.from_numpy(chosen).to(device)
    clean = album.means[rows] + album.deviations[rows] * torch.randn_like(album.means[rows])
    times = album.times[rows].clone()
    times[:, :2] = torch.from_numpy(rng.choice([128.0, 256.0, 512.0, 768.0, 1024.0], size=(batch, 1))).to(device)
    steps = torch.from_numpy(rng.integers(1000, size=batch)).to(device)
    signal = kept[steps][:, None, None, None]
    noise = torch.randn_like(clean)
    noisy = signal.sqrt() * clean + (1.0 - signal).sqrt() * noise
    added = {"text_embeds": pooled, "time_ids": times}
    guess = base.unet(noisy, steps, encoder_hidden_states=states, added_cond_kwargs=added).sample
    ratio = kept[steps] / (1.0 - kept[steps])
    error = (guess - noise).square().mean(dim=(1, 2, 3))
    loss: Tensor = (error / (ratio + SNR_FLOOR) ** SNR_POWER).mean()
    return loss
