"""The loop people start from: diffusers' way to train an SDXL LoRA, as plain as its examples, for comparison only.

peft's LoRA on attention's q, k, v and out in fp32 under autocast, AdamW, noise and timesteps drawn on the device, loss
in fp32, the norm clipped (huggingface/diffusers, examples/text_to_image/train_text_to_image_lora_sdxl.py: what it does,
none of its code). Latents and texts are given: what is compared is the step.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from diffusers import DDPMScheduler
from peft import LoraConfig
from torch import Tensor
from torch.nn.functional import mse_loss

from trainer.data.dataset import Conditioned
from trainer.model.base import BaseModel

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


class PlainLoop:
    """A LoRA on a fresh base, and its optimizer."""

    def __init__(self, base: BaseModel, rank: int, *, checkpointing: bool) -> None:
        self._unet = base.unet
        self._noises = DDPMScheduler.from_config(base.scheduler_config)
        self._unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS)))
        if checkpointing:
            self._unet.enable_gradient_checkpointing()
        self._unet.train()
        self._weights = [weight for weight in self._unet.parameters() if weight.requires_grad]
        for weight in self._weights:
            weight.data = weight.data.float()
        self._optimizer = torch.optim.AdamW(self._weights, lr=1e-4)

    def step(self, seen: Conditioned) -> None:
        """One optimizer step on a batch."""
        noise = torch.randn_like(seen.latents)
        count = self._noises.config.num_train_timesteps
        timesteps = torch.randint(0, count, (len(noise),), device=noise.device)
        noised = self._noises.add_noise(seen.latents, noise, timesteps)
        with self._numbers():
            answer: Tensor = self._unet(
                noised.to(self._unet.dtype),
                timesteps,
                encoder_hidden_states=seen.text.to(self._unet.dtype),
                added_cond_kwargs={"text_embeds": seen.pooled.to(self._unet.dtype), "time_ids": seen.time_ids},
                return_dict=False,
            )[0]
        mse_loss(answer.float(), noise.float()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _numbers(self) -> AbstractContextManager[None]:
        """Autocast where the base is in short numbers."""
        if self._unet.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._unet.device.type, dtype=self._unet.dtype)
