"""What a member confirms before handing over pictures of a real person."""

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
"""Any change of the text needs a new version; old versions stay in the database by their hash."""


def needs_consent(kind: Kind) -> bool:
    """Whether a dataset of this kind waits for the attestation before it takes pictures."""
    return kind == "person"
