"""Latents: what the VAE says of each picture, as mean and deviation, so that each step draws a fresh one.

They are encoded once an attempt and held in memory only (0.26 MB each at 1024 x 1024): a latent shows the picture it
comes from, so none outlives the job folder's own copies.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from trainer.data.buckets import Fit
from trainer.data.pictures import open_picture, to_pixels
from trainer.errors import BadPicture


@torch.no_grad()
def encode_latent(vae: AutoencoderKL, picture: Path, fit: Fit) -> Tensor:
    """Mean and deviation `(2, 4, h/8, w/8)` of the VAE's posterior for a picture in its bucket, on the VAE's device.

    Raises BadPicture when the picture cannot be read, or the VAE gives no numbers for it.
    """
    pixels = to_pixels(open_picture(picture), fit).to(vae.device, vae.dtype)
    posterior = vae.encode(pixels[None]).latent_dist
    latent = torch.cat([posterior.mean, posterior.std])
    if not torch.isfinite(latent).all():
        raise BadPicture(picture.name[:12], "cannot be encoded by the base model's VAE (the result is no number)")
    return latent
