"""Pictures of latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from trainer.model.base import BaseModel
from trainer.model.device import is_out_of_memory, release_cached, resident, without_trials

TILE = 512
"""Pixels on a side of the tiles a picture is decoded in where it is too large as a whole: a quarter of the memory that
1024 need. SDXL's own configs say 1024, which cuts nothing of a picture of that size."""


def decode(base: BaseModel, latents: Tensor, begin: Callable[[], None]) -> list[Image.Image]:
    """Pictures of latents `(n, 4, h/8, w/8)`, one at a time and in the VAE's own fp32.

    The VAE is on the latents' device only while it works; `begin` is called before each picture.
    """
    device = latents.device
    with resident(device, base.vae), without_trials():
        pictures = []
        for one in latents:
            begin()
            pictures.append(picture(_decode_one(base, one[None] / base.vae.config.scaling_factor)))
        return pictures


def _decode_one(base: BaseModel, latents: Tensor) -> Tensor:
    """`(3, h, w)` in -1..1; in tiles when the device's memory is too small for the whole."""
    latents = latents.to(base.vae.dtype)
    try:
        whole: Tensor = base.vae.decode(latents, return_dict=False)[0][0]
        return whole
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Only here, behind the error's end: as long as it lives, its traceback holds the memory of the first try.
    release_cached(latents.device)
    _tile(base.vae)
    tiled: Tensor = base.vae.decode(latents, return_dict=False)[0][0]
    return tiled


def _tile(vae: Any) -> None:
    """Have the VAE work in tiles of `TILE` pixels at most."""
    vae.enable_tiling()
    if vae.tile_sample_min_size > TILE:
        vae.tile_latent_min_size = vae.tile_latent_min_size * TILE // vae.tile_sample_min_size
        vae.tile_sample_min_size = TILE


def picture(decoded: Tensor) -> Image.Image:
    """An RGB picture of `(3, h, w)` in -1..1; what is not a number becomes black."""
    pixels = (decoded.float() / 2 + 0.5).nan_to_num(0).clamp(0, 1) * 255
    return Image.fromarray(pixels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())
