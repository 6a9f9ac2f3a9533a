"""Latents: what the VAE says of each picture, as mean and deviation, so that each step draws a fresh one.

They are encoded once and held in memory for the attempt (0.5 MB each at 1024 x 1024). Where the host gives a cache
folder they are kept there for later attempts and jobs too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import PIL
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from trainer.contract.config import VaePrecision
from trainer.contract.limits import LATENT_FACTOR
from trainer.data.buckets import Fit
from trainer.data.latent_cache import LatentCache
from trainer.data.pictures import open_picture, to_pixels
from trainer.errors import BadPicture
from trainer.model.device import without_trials

_FORMATS: Mapping[VaePrecision, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
)

_NO_NUMBER = (
    "cannot be encoded by the base model's VAE (the result is no number)",
    "cannot be encoded by the VAE in fp16 (the result is no number; vae_precision fp32 helps)",
)


class LatentEncoder:
    """A VAE with the number format it encodes in, and perhaps a cache on disk."""

    def __init__(self, vae: AutoencoderKL, precision: VaePrecision, cache: LatentCache | None = None) -> None:
        self._vae = vae
        self._format = _FORMATS[precision]
        self._cache = cache
        self._identity = _identity(vae, precision) if cache else ""

    @property
    def scaling_factor(self) -> float:
        """What brings the VAE's latents to about unit variance (0.13025 for SDXL)."""
        return float(self._vae.config.scaling_factor)

    def encode(self, picture: Path, fit: Fit) -> Tensor:
        """Mean and deviation `(2, 4, h/8, w/8)` of the VAE's posterior for a picture in its bucket, on its device.

        `picture` is named by its sha256. Raises BadPicture when it cannot be read, or the VAE gives no numbers for it.
        """
        if self._cache is None:
            return self._encode(picture, fit)
        key = hashlib.sha256(f"{self._identity}{json.dumps(asdict(fit), sort_keys=True)}".encode()).hexdigest()
        sides = (fit.bucket.height // LATENT_FACTOR, fit.bucket.width // LATENT_FACTOR)
        known = self._cache.get(picture.stem, key, (2, self._vae.config.latent_channels, *sides))
        if known is not None:
            return known.to(self._vae.device)
        latent = self._encode(picture, fit)
        self._cache.put(picture.stem, key, latent.cpu())
        if not picture.exists():  # deleted meanwhile, perhaps before there was an entry to delete with it
            self._cache.forget(picture.stem)
        return latent

    @torch.no_grad()
    def _encode(self, picture: Path, fit: Fit) -> Tensor:
        pixels = to_pixels(open_picture(picture), fit).to(self._vae.device)
        # Autocast rather than cast weights: samples are decoded by the same VAE, whose weights must stay what they are.
        autocast = torch.autocast(self._vae.device.type, dtype=self._format, enabled=self._format != torch.float32)
        with autocast, without_trials():
            moments = self._vae.encode(pixels[None]).latent_dist.parameters
        posterior = DiagonalGaussianDistribution(moments.float())
        latent = torch.cat([posterior.mean, posterior.std])
        if not torch.isfinite(latent).all():
            raise BadPicture(picture.name[:12], _NO_NUMBER[self._format == torch.float16])
        return latent

    def close(self) -> None:
        """All pictures are encoded: bring the cache back to its size."""
        if self._cache is not None:
            self._cache.trim()


def _identity(vae: AutoencoderKL, precision: VaePrecision) -> str:
    """What a latent depends on besides the picture: the VAE's weights and shape, and what reckons, and how."""
    digest = hashlib.sha256(json.dumps([precision, vae.device.type, torch.__version__, PIL.__version__]).encode())
    digest.update(json.dumps(dict(vae.config), sort_keys=True, default=str).encode())
    for name, tensor in sorted(vae.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
