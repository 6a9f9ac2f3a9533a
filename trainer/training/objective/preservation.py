"""Which pictures of a batch are shown once more, to keep what the base says of their captions without the trigger word.

The class word keeps its meaning that way, and no regularisation pictures are needed: prior preservation (Ruiz et al.
2022, DreamBooth, arXiv:2208.12242) with the frozen base itself as the source of the prior, known as differential
output preservation.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.data.randomness import derive
from trainer.data.sampler import Batch


def rows_to_preserve(
    batch: Batch, step: int, first: int, config: TrainConfig, is_preserved: Callable[[int], bool]
) -> list[int]:
    """Rows of the batch to show once more, rising: `preservation_share` of it, at least one; none when it is off.

    Drawn anew from (seed, step, `first`: the place of the batch's first picture in the step). Only pictures that
    `is_preserved` takes are drawn: those whose caption holds the trigger word.
    """
    if not config.preservation_weight:
        return []
    rows = [row for row, picture in enumerate(batch) if is_preserved(picture)]
    wanted = max(1, round(config.preservation_share * len(batch)))
    chance = random.Random(derive(config.seed, "preserve", step, first))
    return sorted(chance.sample(rows, min(wanted, len(rows))))


def drift(answer: Tensor, kept: Tensor) -> Tensor:
    """How far each answer `(k, 4, h/8, w/8)` is from the base's own, which is to be kept: mean squared, `(k,)`."""
    return (answer - kept).square().mean(dim=(1, 2, 3))
