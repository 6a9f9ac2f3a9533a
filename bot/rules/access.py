"""Who may do what with a dataset: the one table that every service and page asks.

The owner may do everything. A helper works on the material: sees it, adds, checks, crops and removes pictures, edits
captions one by one and in bulk, and chooses how the tagger writes them. What decides over the dataset or spends the
owner's turn at the GPU stays with the owner: training, sharing, copying, merging, renaming, putting away, deleting. One
who was asked to help with a person's pictures sees nothing before agreeing (bot.rules.consent), and a stranger nothing
at all.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from bot.store.rows import Dataset, Helper

Role = Literal["owner", "helper", "asked", "stranger"]
Deed = Literal["see", "add", "edit", "manage"]
"""`add` and `edit` change pictures and captions; `manage` is everything that is the owner's alone."""

MAY: MappingProxyType[Role, frozenset[Deed]] = MappingProxyType(
    {
        "owner": frozenset({"see", "add", "edit", "manage"}),
        "helper": frozenset({"see", "add", "edit"}),
        "asked": frozenset(),
        "stranger": frozenset(),
    }
)
CHANGES: frozenset[Deed] = frozenset({"add", "edit"})
"""What a dataset that was put away does not take."""


def role_of(dataset: Dataset, user_id: int, helper: Helper | None) -> Role:
    """What the member is to the dataset; `helper` is the member's row in it, if any."""
    if dataset.owner_id == user_id:
        return "owner"
    if helper is None or (helper.dataset_id, helper.user_id) != (dataset.id, user_id):
        return "stranger"
    return "helper" if helper.state == "active" else "asked"


def refusal(role: Role, deed: Deed) -> str:
    """Why one of that role may not do it, as a sentence; empty when they may."""
    if deed in MAY[role]:
        return ""
    if role == "helper":
        return "You help with this dataset; only its owner can do that."
    if role == "asked":
        return "You were asked to help with this dataset. Agree first: /dataset show brings the question."
    if deed == "manage":
        return "This dataset belongs to somebody else; only its owner can do that."
    return "This dataset belongs to somebody else; only its owner and those who help with it can do that."
