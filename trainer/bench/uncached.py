"""What a step has to do beside training where nothing is encoded beforehand."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainer.bench.subject import Subject
from trainer.contract.config import TrainConfig
from trainer.planning.simulate import TEXT_LENGTH
from trainer.planning.stand_in import random_part


def encoding(subject: Subject, config: TrainConfig) -> Callable[[], None]:
    """A batch's pictures through the VAE in fp32, one by one as in a job, and its captions through both text encoders.

    The pictures are there already: what is left out is reading and scaling files.
    """
    device, count, side = subject.device, config.batch_size, config.resolution
    vae = random_part(subject.architecture, "vae", torch.float32, device)
    encoders = [
        random_part(subject.architecture, part, subject.numbers.base, device)
        for part in ("text_encoder", "text_encoder_2")
    ]
    pixels = torch.rand(count, 3, side, side, device=device)
    tokens = torch.zeros(count, TEXT_LENGTH, dtype=torch.long, device=device)
    # Made on the meta device, the encoders' own table of places holds nothing.
    places = torch.arange(TEXT_LENGTH, device=device).expand(count, -1)

    @torch.no_grad()
    def encode() -> None:
        for picture in pixels:
            vae.encode(picture[None])
        for encoder in encoders:
            encoder(tokens, position_ids=places, output_hidden_states=True)

    return encode
