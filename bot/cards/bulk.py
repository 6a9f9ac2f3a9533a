"""Bulk editing: the tags of a dataset with their counts, one tag, what an edit would change, and what was done."""

from __future__ import annotations

from collections.abc import Container, Sequence

import discord

from bot.cards.parts import BLUE, GREEN, GREY, Card, button, custom_id, row, text
from bot.cards.text import count, escaped, listing
from bot.rules.bulk.captions import TagCount, in_almost_all, why_common
from bot.rules.bulk.diff import pieces
from bot.rules.bulk.operations import Change
from bot.rules.bulk.selection import written_numbers
from bot.services.bulk.edits import CaptionSet, Offer, Undone
from bot.services.posting.messages import Drawing, FileToSend
from bot.store.caption_edits import Past
from bot.store.rows import Picture

TAGS_SHOWN = 12
"""Tags a page; Discord's select takes 25, a phone shows 12 lines beside it."""
CHANGES_SHOWN = 4
PICTURES_SHOWN = 4
PAST_SHOWN = 5
OPTIONS = 25
"""Discord's limit of a select's options."""

MORE = (
    ("add", "Add tags", "To all pictures or to some"),
    ("replace", "Find and replace", "Text, a whole tag, or a pattern"),
    ("common", "In almost all", "Tags that the trigger should absorb"),
    ("dedupe", "Remove repeats", "Each tag once in a caption"),
    ("sort-name", "Sort by name", "a to z; sentences stay"),
    ("sort-frequency", "Sort by frequency", "The commonest first"),
    ("recaption", "Re-caption", "Let the tagger look again"),
    ("options", "Tagger options", "Model, thresholds, words"),
    ("export-text", "Export as text", "One file with all captions"),
    ("export-zip", "Export as zip", "One .txt a picture"),
    ("import", "Import", "Of a file you exported and edited"),
    ("history", "History", "What was done, with undo"),
)
"""Value, label and description of what the list offers besides single tags."""


WITH_THESE = (("add", "Add tags"), ("replace", "Find and replace"), ("recaption", "Re-caption"))
"""Value and label of what can be done with all pictures that have a tag."""


def tags_card(now: CaptionSet, page: int) -> Drawing:
    """How often each tag stands in the captions, a page of them, and what can be done."""
    counts, dataset = now.counts, now.dataset
    pages = max(1, -(-len(counts) // TAGS_SHOWN))
    page = max(0, min(page, pages - 1))
    shown = counts[page * TAGS_SHOWN : (page + 1) * TAGS_SHOWN]
    head = f"## Captions of {escaped(dataset.name)}\n{count(len(now.pictures), 'picture')}, {count(len(counts), 'tag')}"
    lines = [f"`{each.pictures:>3}` {escaped(each.tag, 40)}" for each in shown]
    items: list[discord.ui.Item[Card]] = [text(head), text("\n".join(lines) or "No caption has tags yet.")]
    if shown:
        options = [
            discord.SelectOption(
                label=_label(each.tag), value=each.code, description=f"in {count(each.pictures, 'picture')}"
            )
            for each in shown
        ]
        items.append(row(_select("Choose a tag", options, "tags-pick", dataset.id, page)))
    if pages > 1:
        items.append(
            row(
                button("Back", "tags-page", dataset.id, page - 1, disabled=page == 0),
                button(f"{page + 1} / {pages}", "tags-here", dataset.id, page, disabled=True),
                button("Next", "tags-page", dataset.id, page + 1, disabled=page + 1 == pages),
            )
        )
    more = [discord.SelectOption(label=label, value=value, description=about) for value, label, about in MORE]
    items.append(row(_select("More …", more, "tags-more", dataset.id)))
    return _drawing(*items, marker=custom_id("tags-more", dataset.id))


def tag_card(now: CaptionSet, tag: TagCount, found: Container[int]) -> Drawing:
    """One tag: where it is (`found` are the ids of its pictures), and what can be done with it everywhere."""
    dataset = now.dataset
    numbers = [place for place, each in enumerate(now.pictures, 1) if each.id in found]
    said = f"## {escaped(tag.tag, 80)}\nin {tag.pictures} of {count(len(now.pictures), 'picture')}"
    where = written_numbers(numbers)
    place = f"-# Pictures {where[:300]}{'…' if len(where) > 300 else ''}"
    return _drawing(
        text(said),
        text(place),
        row(
            button("Remove", "tag-remove", dataset.id, tag.code, style=discord.ButtonStyle.danger),
            button("Rename", "tag-rename", dataset.id, tag.code, style=discord.ButtonStyle.primary),
            button("Show", "tag-show", dataset.id, tag.code, 0),
        ),
        row(button("Put first", "tag-move", dataset.id, tag.code), button("Back", "tags-page", dataset.id, 0)),
        marker=custom_id("tag-remove", dataset.id, tag.code),
    )


def pictures_card(
    now: CaptionSet, tag: TagCount, page: int, shown: Sequence[tuple[int, Picture, bytes]], total: int
) -> Drawing:
    """Pictures with a tag: (number, picture, small JPEG), a page of them."""
    pages = max(1, -(-total // PICTURES_SHOWN))
    files = tuple(FileToSend(small, f"picture-{each.id}.jpg", each.caption[:256]) for _, each, small in shown)
    gallery = discord.ui.MediaGallery[Card](
        *(discord.MediaGalleryItem(f"attachment://{file.name}", description=file.description) for file in files)
    )
    lines = [f"**{number}** {escaped(each.file_name, 30)}" for number, each, _ in shown]
    ref = (now.dataset.id, tag.code)
    with_these = [discord.SelectOption(label=label, value=value) for value, label in WITH_THESE]
    view = Card(
        discord.ui.Container(
            text(f"**{escaped(tag.tag, 80)}** · {page + 1} / {pages}"),
            gallery,
            text("\n".join(lines)),
            row(
                button("Previous", "tag-show", *ref, page - 1, disabled=page == 0),
                button("Next", "tag-show", *ref, page + 1, disabled=page + 1 >= pages),
                button("Back", "tag-open", *ref),
            ),
            row(_select(f"Do with {count(total, 'picture')} …", with_these, "tag-with", *ref)),
            accent_color=BLUE,
        )
    )
    return Drawing(view, custom_id("tag-open", *ref), files)


def common_card(now: CaptionSet) -> Drawing:
    """Tags that stand in (almost) every caption, to be taken out together."""
    dataset, pictures = now.dataset, len(now.pictures)
    common = in_almost_all(now.counts, pictures)[:OPTIONS]
    back = button("Back", "tags-page", dataset.id, 0)
    if not common:
        return note("No tag stands in almost every caption, so there is nothing to suggest.", back)
    lines = [f"`{each.pictures:>3}` {escaped(each.tag, 40)}" for each in common]
    options = [discord.SelectOption(label=_label(each.tag), value=each.code) for each in common]
    why = why_common(count(pictures, "caption"), dataset.trigger)
    return _drawing(
        text(f"## In almost all\n{why}"),
        text("\n".join(lines)),
        row(_select("Choose what to remove", options, "common-pick", dataset.id, most=len(options))),
        row(back),
        marker=custom_id("common-pick", dataset.id),
    )


def offer_card(offer: Offer, page: int = 0, said: str = "") -> Drawing:
    """What an edit would change, some captions a page, before it is done."""
    edit, changes = offer.edit, offer.changes
    pages = max(1, -(-len(changes) // CHANGES_SHOWN))
    page = max(0, min(page, pages - 1))
    shown = changes[page * CHANGES_SHOWN : (page + 1) * CHANGES_SHOWN]
    head = f"## {escaped(edit.title, 120)}?\n{len(changes)} of {count(offer.total, 'caption')} would change:"
    items: list[discord.ui.Item[Card]] = [text(f"{said}\n{head}" if said else head)]
    items.append(text("\n".join(change_line(each) for each in shown)))
    if notes := edit.note_list:
        items.append(text(f"-# {listing(notes, limit=200)}"))
    buttons = [
        button("Apply", "edit-apply", edit.id, style=discord.ButtonStyle.success),
        button("Cancel", "edit-drop", edit.id),
    ]
    items.append(row(*buttons))
    if pages > 1:
        items.append(
            row(
                button("Previous", "edit-page", edit.id, page - 1, disabled=page == 0),
                button(f"{page + 1} / {pages}", "edit-here", edit.id, page, disabled=True),
                button("Next", "edit-page", edit.id, page + 1, disabled=page + 1 == pages),
            )
        )
    return _drawing(*items, marker=custom_id("edit-apply", edit.id))


def change_line(change: Change) -> str:
    """`**3** ~~gone~~ **new** …`, at most some 200 characters of it."""
    parts: list[str] = []
    length = 0
    for piece in pieces(change.before, change.after):
        words = escaped(piece.text if piece.kind == "same" else piece.text.strip(", ") or piece.text, 120)
        if not words or length > 200:
            continue
        length += len(words)
        parts.append({"same": words, "gone": f"~~{words}~~", "new": f"**{words}**"}[piece.kind])
    return f"`{change.number:>3}` {' '.join(parts)}"


def done_card(offer: Offer) -> Drawing:
    """An edit was applied; it can be taken back at once or later."""
    dataset_id, edit = offer.dataset.id, offer.edit
    said = f"**{escaped(edit.title, 120)}**: done. {count(len(offer.changes), 'caption')} changed."
    buttons = row(button("Undo", "edit-undo", edit.id), button("Tags", "tags-page", dataset_id, 0))
    return _drawing(text(said), buttons, marker=custom_id("edit-undo", edit.id), color=GREEN)


def undone_card(undone: Undone) -> Drawing:
    """An edit was taken back."""
    dataset_id = undone.dataset_id
    said = f"Undone: **{escaped(undone.title, 120)}**. {count(undone.restored, 'caption')} restored."
    if undone.kept:
        said += f" {count(undone.kept, 'caption')} edited since stayed as they are."
    return note(said, button("Tags", "tags-page", dataset_id, 0), button("History", "history", dataset_id, 0))


def history_card(dataset_id: int, past: Sequence[Past], page: int, total: int) -> Drawing:
    """What was done to the captions, by whom and when; what was not undone can be."""
    back = button("Tags", "tags-page", dataset_id, 0)
    if not past:
        return note("Nothing was changed in bulk yet.", back)
    pages = max(1, -(-total // PAST_SHOWN))
    items: list[discord.ui.Item[Card]] = [text("## History")]
    options = []
    for each in past:
        edit = each.edit
        line = f"**{escaped(edit.title, 80)}**\n-# {count(each.captions, 'caption')} · <@{edit.user_id}>"
        line += f" · <t:{int(edit.applied_at or 0)}:R>"
        if edit.undone_at is not None:
            line += f" · undone by <@{edit.undone_by}> <t:{int(edit.undone_at)}:R>"
        elif each.can_be_undone:
            options.append(discord.SelectOption(label=_label(edit.title), value=str(edit.id)))
        elif each.later:
            line += f"\n-# To undo it, undo the later ones first: {escaped(', '.join(each.later), 160)}"
        items.append(text(line))
    if options:
        items.append(row(_select("Undo …", options, "history-undo", dataset_id)))
    items.append(
        row(
            button("Newer", "history", dataset_id, page - 1, disabled=page == 0),
            button("Older", "history", dataset_id, page + 1, disabled=page + 1 >= pages),
            back,
        )
    )
    return _drawing(*items, marker=custom_id("history", dataset_id, page + 1))


def note(said: str, *buttons: discord.ui.Button[Card]) -> Drawing:
    """A sentence and where to go from there."""
    return _drawing(text(said), *([row(*buttons)] if buttons else []), marker="", color=GREY)


def _drawing(*items: discord.ui.Item[Card], marker: str, color: int = BLUE) -> Drawing:
    return Drawing(Card(discord.ui.Container(*items, accent_color=color)), marker)


def _select(
    placeholder: str, options: list[discord.SelectOption], action: str, *parts: object, most: int = 1
) -> discord.ui.Select[Card]:
    return discord.ui.Select(
        custom_id=custom_id(action, *parts), placeholder=placeholder, options=options, max_values=most
    )


def _label(words: str) -> str:
    return words if len(words) <= 100 else words[:99] + "…"
