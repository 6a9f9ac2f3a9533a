"""What a step has to do beside training where nothing is encoded beforehand."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainer.bench.subject import Subject
from trainer.contract.config import TrainConfig
from trainer.planning.stand_in import random_part, random_reader


def encoding(subject: Subject, config: TrainConfig) -> Callable[[], None]:
    """A batch's pictures through the VAE in fp32, one by one as in a job, and its captions through both text encoders.

    The pictures are there already: what is left out is reading and scaling files.
    """
    device, count, side = subject.device, config.batch_size, config.resolution
    vae = random_part(subject.architecture, "vae", torch.float32, device)
    read = random_reader(subject.architecture, subject.numbers, device)
    pixels = torch.rand(count, 3, side, side, device=device)

    @torch.no_grad()
    def encode() -> None:
        for picture in pixels:
            vae.encode(picture[None])
        read(count)

    return encode
