"""Posts that tell one member something, outside of any training. Pure."""

from __future__ import annotations

from bot.cards.parts import custom_id
from bot.cards.text import count
from bot.services.posting.messages import Outgoing, marker_of
from bot.store.rows import Post

NOTICES = frozenset({"recaptioned", "helps", "asked"})
"""Kinds of these posts."""


def notice(post: Post) -> Outgoing:
    """The message of a post of no job; its values hold the `user` it is for."""
    values = post.values
    words, button = _said(post.kind, values)
    return Outgoing(
        content=f"<@{values['user']}> {words}\n-# {marker_of(post)}",
        nonce=marker_of(post),
        mention=values["user"],
        button=button,
    )


def _said(kind: str, values: dict[str, int]) -> tuple[str, tuple[str, str] | None]:
    match kind:
        case "recaptioned":
            done = f"I have looked at the pictures again: {count(values['captions'], 'caption')} would change."
            return f"{done} Nothing is done yet.", ("Show", custom_id("edit-page", values["edit"], 0))
        case "helps":
            may = (
                "you help with this dataset now. Add pictures by /dataset add, look through them by *Edit*,"
                " *Tags*, *Crop* and *Remove* on the cards, and change many captions at once by *Captions* on the"
                " dataset's card. Training, sharing and deleting stay with the owner; to stop: /dataset helpers"
            )
            return may, None
        case "asked":
            asks = f"<@{values['owner']}> asks for your help with a dataset. You are asked to agree first."
            return asks, ("Look", custom_id("help-open", values["dataset"]))
    raise ValueError(f"no words for a notice of kind {kind!r}")
