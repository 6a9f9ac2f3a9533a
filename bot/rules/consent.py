"""What members confirm about pictures of a real person: before handing them over, showing them to a helper, helping.

Consent belongs to one dataset. A helper is one more who sees the pictures, so both sides confirm and nothing is shown
before; a copy is a dataset of its own and needs its own confirmation; and pictures of a person never move to where no
consent is asked (a dataset of another kind, in an open thread), nor others to where a person's consent would be taken
to cover them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from trainer.contract.spec import Kind


@dataclass(frozen=True, slots=True)
class Attestation:
    """A text that somebody agrees to; stored by version and hash, so that it stays known what was agreed to."""

    version: str
    text: str

    @property
    def sha256(self) -> str:
        """Hex sha256 of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


ATTESTATION = Attestation(
    version="2026-11",
    text=(
        "I am 18 or older, and so is everybody in these pictures.\n"
        "They show me, or a person who clearly agreed to a model being trained on them.\n"
        "I delete this dataset when that person changes their mind.\n"
        "I use neither the pictures nor the model to deceive, harass or undress anybody."
    ),
)
"""Any change of a text needs a new version; old versions stay in the database by their hash."""

SHARING = Attestation(
    version="2026-11-sharing",
    text=(
        "The person in these pictures agreed that this member sees and edits them, and sees what is trained on them.\n"
        "I take the member out when that person or I change our mind."
    ),
)
"""The owner's, for each helper of a person's dataset."""

HELPING = Attestation(
    version="2026-11-helping",
    text=(
        "I am 18 or older.\n"
        "I look at these pictures only to help with this dataset; I keep no copy and show them to nobody.\n"
        "What I add shows the same person, who is 18 or older and agreed to a model being trained on it.\n"
        "I use neither the pictures nor the model to deceive, harass or undress anybody."
    ),
)
"""The helper's, before seeing anything of a person's dataset."""


def needs_consent(kind: Kind) -> bool:
    """Whether a dataset of this kind waits for the attestation before it takes pictures."""
    return kind == "person"


def merge_refusal(source: Kind, target: Kind) -> str:
    """Why pictures of a dataset of one kind must not move to one of the other, as a sentence; empty when they may."""
    if needs_consent(source) == needs_consent(target):
        return ""
    if needs_consent(source):
        return "Pictures of a person stay in a dataset of kind person, where consent is asked; these cannot be merged."
    return "A dataset of a person takes only pictures that a consent covers; these two cannot be merged."
