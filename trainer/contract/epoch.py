"""What one epoch shows: which pictures are held back to measure on, and how often each of the others comes.

Bot and trainer reckon with the same numbers, so an estimate is what the run does.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Sequence

from trainer.contract.errors import InvalidJob

if typing.TYPE_CHECKING:
    from trainer.contract.spec import PictureSpec


def held_back(pictures: Sequence[PictureSpec], share: float, seed: int) -> frozenset[int]:
    """Numbers of the pictures held back for validation, `held_count` of them.

    Drawn by the seed and the pictures' contents, not their order. Regularisation pictures are never held back.
    """
    subject = [number for number, picture in enumerate(pictures) if not picture.regularisation]

    def lot(number: int) -> bytes:
        return hashlib.sha256(f"{seed}/validation/{pictures[number].file}".encode()).digest()

    return frozenset(sorted(subject, key=lot)[: held_count(len(subject), share)])


def held_count(pictures: int, share: float) -> int:
    """How many pictures of the subject are held back: `share` of them, rounded, but at least one, and never all."""
    return min(max(1, round(share * pictures)), pictures - 1) if share and pictures else 0


def repeats_in_epoch(pictures: Sequence[PictureSpec], held: frozenset[int]) -> list[int]:
    """How often each picture comes in one epoch; 0 for one held back, or a regularisation picture beyond the need.

    Regularisation pictures come as often in all as the others, as sd-scripts balances them (`DreamBoothDataset` in
    library/train_util.py): in their order, each by its own repeats, until there are enough; where they are too few,
    once more each in turn, round after round, until there are.
    """
    repeats = [0 if number in held or one.regularisation else one.repeats for number, one in enumerate(pictures)]
    wanted, shown = sum(repeats), 0
    regularisation = [number for number, one in enumerate(pictures) if one.regularisation]
    more = {number: pictures[number].repeats for number in regularisation}
    while regularisation and shown < wanted:
        for number in regularisation:
            if shown >= wanted:
                break
            repeats[number] += more[number]
            shown += more[number]
            more[number] = 1
    return repeats


def check_pictures(pictures: Sequence[PictureSpec], validation_share: float) -> None:
    """Raise InvalidJob where nothing would be left to train on."""
    subject = sum(not picture.regularisation for picture in pictures)
    if not subject:
        raise InvalidJob("the job has only regularisation pictures; add some of the subject")
    if validation_share and subject < 2:
        raise InvalidJob("validation_share leaves no picture to train on; add pictures or set it to 0")
