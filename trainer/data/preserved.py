"""Captions without their trigger word: what the base must go on saying as it did (see preservation_weight)."""

from __future__ import annotations

import re


def without_trigger(caption: str, trigger: str) -> str:
    """The caption with every occurrence of the trigger word struck out, and no empty tag left in its place.

    Whole words only, whatever their case: "lisaxl, woman" becomes "woman", "a photo of lisaxl smiling" becomes
    "a photo of smiling". A caption that does not hold the word is returned as it is; one that is nothing else
    becomes empty.
    """
    if not trigger:
        return caption
    struck, count = re.subn(rf"(?<!\w){re.escape(trigger)}(?!\w)", " ", caption, flags=re.IGNORECASE)
    if not count:
        return caption
    tags = (" ".join(tag.split()) for tag in struck.split(","))
    return ", ".join(tag for tag in tags if tag)
