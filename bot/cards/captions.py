"""A batch's card: one picture at a time with its caption, what is wrong with it, and rows of three buttons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord

from bot.cards.parts import AMBER, BLUE, GREY, RED, Card, Form, button, custom_id, row, text
from bot.cards.report import verdict_lines
from bot.cards.text import block, count, escaped, listing
from bot.services.bulk.edits import Offer
from bot.services.dataset.captions import PageView
from bot.services.intake.intake import BatchReport
from bot.services.posting.messages import Drawing, FileToSend
from bot.services.upkeep.retention import UNDO_DAYS
from bot.store.pictures import BatchPlace
from bot.store.rows import Picture

CAPTION_LIMIT = 1000
CAPTION_FIELD = "caption"
_SHOWN_CAPTION = 1600
"""Characters of an escaped caption; with the sentences below it a message stays under Discord's 4000."""


@dataclass(frozen=True, slots=True)
class BatchPage:
    """What one page of a batch's card shows."""

    batch_id: int
    view: PageView
    notes: Sequence[str]
    """Sentences on files of the batch that were refused or known already."""
    preview: bytes
    """The picture as a small JPEG."""


def batch_card(page: BatchPage) -> Drawing:
    """One picture of the batch."""
    view, picture = page.view, page.view.picture
    file = FileToSend(page.preview, f"picture-{picture.id}.jpg", picture.caption[:256])
    gallery = discord.ui.MediaGallery[Card](
        discord.MediaGalleryItem(f"attachment://{file.name}", description=file.description)
    )
    page_of = f"{view.index + 1} / {view.total}{f' {view.shows}' if view.shows else ''} · #{view.number}"
    head = f"{page_of} · {escaped(picture.file_name, 60)} · {picture.width}×{picture.height}"
    items: list[discord.ui.Item[Card]] = [text(head), gallery, text(_caption(picture))]
    if said := [*(verdict_lines(view.verdict) if view.verdict else ()), *(f"⚠️ {each}" for each in view.problems)]:
        items.append(text(listing(said, limit=200)))
    items.append(_main_row(page))
    items += [_second_row(page), _third_row(page)]
    if page.notes:
        items.append(text(f"-# Not added:\n{listing(page.notes, limit=180)}"))
    return Drawing(Card(discord.ui.Container(*items, accent_color=BLUE)), marker(page.batch_id), (file,))


def empty_batch_card(batch_id: int) -> Drawing:
    """All pictures of the batch were removed."""
    gone = Card(discord.ui.Container(text("All pictures of this batch were removed."), accent_color=GREY))
    return Drawing(gone, marker(batch_id))


def marker(batch_id: int) -> str:
    """The custom_id every page of the batch's card has, and no other message."""
    return custom_id("cap-next", batch_id)


def remove_card(picture: Picture) -> Card:
    """Asks once, and whether an undo may bring it back."""
    question = (
        f"Remove {escaped(picture.file_name, 60)} and its caption from the dataset? It can be brought back for"
        f" {UNDO_DAYS} days. *For good* keeps nothing of it."
    )
    answers = row(
        button("Remove", "cap-remove-yes", picture.id, style=discord.ButtonStyle.danger),
        button("For good", "cap-remove-good", picture.id),
        button("Keep", "dismiss", picture.id),
    )
    return Card(discord.ui.Container(text(question), answers, accent_color=RED))


def removed_card(picture: Picture) -> Card:
    """A picture was removed and can be brought back."""
    said = text(f"{escaped(picture.file_name, 60)} is removed.")
    return Card(discord.ui.Container(said, row(button("Undo", "cap-undo", picture.dataset_id, picture.id))))


def conflict_card(offer: Offer) -> Drawing:
    """Somebody was faster: both captions, and which of them it shall be. `offer` would write the member's own."""
    (change,) = offer.changes
    answers = row(
        button("Use mine", "edit-mine", offer.edit.id, style=discord.ButtonStyle.primary),
        button("Keep this one", "edit-drop", offer.edit.id),
    )
    words = (
        f"**#{change.number}** was changed while you were writing, so yours is not stored yet. It now reads:\n"
        f"{block(change.before)}\nYou wrote:\n{block(change.after)}"
    )
    card = Card(discord.ui.Container(text(words), answers, accent_color=AMBER))
    return Drawing(card, custom_id("edit-mine", offer.edit.id))


def caption_form(picture: Picture) -> Form:
    """The modal with the caption to edit; its custom_id carries which one the member saw."""
    form = Form(f"Caption of {picture.file_name}", "caption", picture.id, picture.revision, picture.tagged)
    field = discord.ui.TextInput[Form](
        custom_id=CAPTION_FIELD,
        style=discord.TextStyle.paragraph,
        default=picture.caption[:CAPTION_LIMIT],
        max_length=CAPTION_LIMIT,
        required=False,
    )
    form.add_item(
        discord.ui.Label(
            text="Caption",
            description="Tags with commas, or a sentence. The trigger word stays first.",
            component=field,
        )
    )
    return form


def handed_over(report: BatchReport, sentences: Sequence[str]) -> str:
    """What the member who handed over pictures by a command reads."""
    dataset, added = report.dataset, len(report.added)
    head = "No picture was added."
    if report.replayed:
        head = f"These pictures are in **{escaped(dataset.name)}** already: <#{dataset.thread_id}>"
    elif added:
        head = f"Added {count(added, 'picture')} to **{escaped(dataset.name)}**: <#{dataset.thread_id}>"
    return "\n".join([head, listing(sentences)]) if sentences else head


def batch_links(guild_id: int, places: Sequence[BatchPlace]) -> str:
    """Links to the batches' cards, one a line."""
    if not places:
        return "There are no pictures yet, so there are no captions. Add some first."
    lines = [
        f"{count(place.pictures, 'picture')} of <t:{int(place.added_at)}:R>: "
        f"https://discord.com/channels/{guild_id}/{place.channel_id}/{place.message_id or ''}"
        for place in places
    ]
    return "\n".join(lines)


def _caption(picture: Picture) -> str:
    shown = escaped(picture.caption, CAPTION_LIMIT)
    if len(shown) > _SHOWN_CAPTION:
        shown = shown[: _SHOWN_CAPTION - 1].rstrip("\\") + "…"
    return f"> {shown}"


def _main_row(page: BatchPage) -> discord.ui.ActionRow[Card]:
    last = page.view.index + 1 >= page.view.total
    return row(
        button("Edit", "cap-edit", page.view.picture.id, style=discord.ButtonStyle.primary),
        button("Remove", "cap-remove", page.view.picture.id),
        button("Next", "cap-next", page.batch_id, disabled=last),
    )


def _second_row(page: BatchPage) -> discord.ui.ActionRow[Card]:
    tags = button("Tags", "cap-tags", page.view.picture.id)
    if page.view.total == 1:
        return row(tags)
    first = page.view.index == 0
    return row(
        button("Previous", "cap-prev", page.batch_id, disabled=first),
        tags,
        button("Go to …", "cap-jump", page.batch_id),
    )


def _third_row(page: BatchPage) -> discord.ui.ActionRow[Card]:
    """The picture's square; and where some pictures stand out: see these alone, or all again."""
    view = page.view
    buttons = [button("Crop", "crop-open", view.picture.id)]
    if view.shows:
        buttons.append(button("Show all", "cap-all", page.batch_id))
    else:
        for label, action, part in (("Uncaptioned", "cap-bare", view.uncaptioned), ("Red", "cap-red", view.red)):
            if 0 < part < view.total:
                buttons.append(button(f"{label} ({part})", action, page.batch_id))
    return row(*buttons)
