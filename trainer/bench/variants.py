"""The ways to train that the bench measures: the plain loop, ours, and ours with one option switched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

BATCHES = (1, 2, 4, 5, 8)
ABOUT = 5
"""The batch size at which options are switched one by one: the classic method's."""

Without = Literal["", "fused optimizer", "layout", "cache"]
"""What ours does without: no setting of a training switches it off."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to train that is measured."""

    name: str
    batch: int
    settings: dict[str, Any] = field(default_factory=dict)
    """Of ours; of the plain loop only whether it recomputes."""
    is_plain: bool = False
    card: str = ""
    """Ours as it is planned for a card of this size, e.g. `24GB`."""
    recomputed: float = 0.0
    """Share of the blocks that are recomputed, those first that cost least for what they free."""
    without: Without = ""
    option: str = ""
    """What is switched in it against ours at its fastest; empty where more than one thing is, or nothing."""

    @property
    def trains_attention(self) -> bool:
        """Whether its LoRA has the plain loop's layers rather than kohya's."""
        return self.is_plain or self.settings.get("targets") == "attention"


COMPILED = "ours, compiled"


def compiled(batch: int) -> Variant:
    """Ours with compiled blocks."""
    return Variant(COMPILED, batch, {"compile": "on"})


def fastest(*, on_gpu: bool) -> str:
    """Name of ours with everything that makes a long run fast: on a CPU runs are not compiled by themselves."""
    return COMPILED if on_gpu else "ours"


def variants(batches: Sequence[int], *, on_gpu: bool, about: int = ABOUT) -> Iterator[Variant]:
    """Everything to measure; options one by one at the batch size `about`."""
    attention = {"targets": "attention"}
    for batch in batches:
        yield Variant("plain loop", batch, {"checkpointing": False}, is_plain=True)
        yield Variant("plain loop, checkpointing", batch, {"checkpointing": True}, is_plain=True)
        yield Variant("ours, attention only", batch, attention)
        yield Variant("ours", batch, option="blocks not compiled" if on_gpu and batch == about else "")
        if on_gpu:
            yield Variant("ours, attention only, compiled", batch, {**attention, "compile": "on"})
            yield compiled(batch)
        if batch == about:
            yield from _switched(batch, on_gpu=on_gpu)
            yield Variant("ours, preservation", batch, {"preservation_weight": 1.0})
        if on_gpu and batch in (1, about):
            yield from (Variant(f"ours, planned for {card}", batch, card=card) for card in ("12GB", "24GB"))


def _switched(batch: int, *, on_gpu: bool) -> Iterator[Variant]:
    """Ours at its fastest with one option switched."""
    name, settings = fastest(on_gpu=on_gpu), {"compile": "on"} if on_gpu else {}
    if not on_gpu:
        yield replace(compiled(batch), option="blocks compiled")
    withouts: tuple[tuple[Without, str], ...] = (
        ("fused optimizer", "optimizer not fused"),
        *((("layout", "layout left as it is"),) if on_gpu else ()),
        ("cache", "pictures and texts encoded in each step"),
    )
    for without, option in withouts:
        yield Variant(f"{name}, {option}", batch, settings, without=without, option=option)
    for share, option in ((0.5, "half of the blocks recomputed"), (1.0, "all blocks recomputed")):
        yield Variant(f"{name}, {option}", batch, settings, recomputed=share, option=option)
