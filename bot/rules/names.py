"""Names that members give: what they may look like, and how they are shown."""

from __future__ import annotations

import re
import unicodedata

from bot.errors import Refused
from trainer.contract.spec import KINDS, Kind

MAX_NAME = 60
MAX_CLASS = 40
MAX_SHOWN_FILE = 60
_TRIGGER = re.compile(r"[a-z0-9_]{3,24}")
_JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiners: invisible, but part of emoji and of Persian spelling."""


def plain(text: str) -> str:
    """`text` on one line without what cannot be seen: controls, bidi marks, half surrogates; spaces made single."""
    spaced = " ".join(text.split())
    seen = "".join(char for char in spaced if char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def dataset_name(text: str) -> str:
    """The name as it is kept; raises Refused when nothing is left or it is too long."""
    name = plain(text)
    if not name or not any(char.isalnum() for char in name):
        raise Refused("The dataset needs a name with at least one letter or digit.")
    if len(name) > MAX_NAME:
        raise Refused(f"The name has {len(name)} characters; {MAX_NAME} is the most.")
    return name


def trigger_word(text: str) -> str:
    """The trigger word in small letters; raises Refused with the rule and, where one is near, a word that would do."""
    word = text.strip().lower()
    if _TRIGGER.fullmatch(word):
        return word
    near = slug(text, limit=24)
    hint = f" For example: {near}." if _TRIGGER.fullmatch(near) else " For example: lisaxl."
    raise Refused(f"The trigger word must have 3 to 24 of the letters a to z, digits or _, and no spaces.{hint}")


def class_word(text: str, kind: Kind) -> str:
    """The class word (woman, dog, …); may be empty for a style only. Raises Refused."""
    word = plain(text).lower()
    if not word and kind != "style":
        raise Refused("The class word says what the subject is: woman, man, girl, boy, dog, car …")
    if "," in word or "，" in word:
        raise Refused("The class word must not hold a comma; one word is best, for example: woman.")
    if len(word) > MAX_CLASS:
        raise Refused(f"The class word has {len(word)} characters; {MAX_CLASS} is the most. One word is best.")
    return word


def kind_of(text: str) -> Kind:
    """The kind of a dataset; raises Refused for an unknown one."""
    for kind in KINDS:
        if text == kind:
            return kind
    raise Refused(f"The kind must be one of: {', '.join(KINDS)}.")


def slug(text: str, limit: int = 40) -> str:
    """`text` as lower-case a-z, 0-9 and _ (may be empty): accents dropped, the rest joined by one _."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")[:limit].strip("_")


def shown_file(name: str) -> str:
    """A file's name as it stands in a sentence: in backticks, where neither markdown nor mentions work, and short.

    The middle is left out of a long one, because the end tells the kind of the file.
    """
    shown = plain(name).replace("`", "'") or "a file without a name"
    if len(shown) > MAX_SHOWN_FILE:
        shown = f"{shown[: MAX_SHOWN_FILE - 16]}…{shown[-15:]}"
    return f"`{shown}`"
