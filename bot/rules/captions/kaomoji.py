"""Tags as a tagger's list writes them and as captions do: `long_hair`, `long hair`; a face keeps its underscores."""

from __future__ import annotations

KAOMOJI = frozenset(
    (
        *("0_0", "(o)_(o)", "+_+", "+_-", "._.", "<o>_<o>", "<|>_<|>", "=_=", ">_<", "3_3"),
        *("6_9", ">_o", "@_@", "^_^", "o_o", "u_u", "x_x", "|_|", "||_||"),
    )
)
"""Tags whose _ is a mouth, not a space; the 19 of SmilingWolf's own demo."""


def shown_tag(name: str) -> str:
    """A tag as captions write it: `_` becomes a space, except in a kaomoji."""
    return name if name in KAOMOJI else name.replace("_", " ")


def underscored(tag: str) -> str:
    """The other way round; no tag of these lists holds a space of its own."""
    return tag if tag in KAOMOJI else tag.replace(" ", "_")
