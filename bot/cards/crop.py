"""Squares before and after: all of a dataset on one sheet, and one picture with the buttons that move its square."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.cards.parts import BLUE, Card, button, custom_id, row, text
from bot.cards.report import DOTS, verdict_lines
from bot.cards.text import count, escaped
from bot.rules.pictures.crop import SQUARE
from bot.rules.pictures.quality import Level, Verdict
from bot.rules.pictures.report import numbers
from bot.rules.pictures.squares import SMALL, WHAT, enlarged, kept_whole, now
from bot.services.dataset.crops import PAGE, CutsView, CutView
from bot.services.posting.messages import Drawing, FileToSend


def cuts_card(view: CutsView, sheet: bytes, said: str = "") -> Drawing:
    """All squares of a page: what stays bright is kept."""
    dataset = view.dataset
    file = FileToSend(sheet, f"squares-{dataset.id}.jpg", "Each picture with its square; the rest is dimmed")
    head = f"## Squares\n{WHAT}\nNow: **{now(square=view.used)}**."
    items: list[discord.ui.Item[Card]] = [text(head), _gallery(file), text("\n".join(_notes(view)))]
    if said:
        items.append(text(said))
    items.append(
        row(
            button("Use squares", "crop-use", dataset.id, 1, style=discord.ButtonStyle.success),
            button("Keep shapes", "crop-use", dataset.id, 0),
        )
    )
    items.append(row(_select(view)))
    if view.pages > 1:
        last = view.pages - 1
        items.append(
            row(
                button("Previous", "crop-all", dataset.id, max(0, view.page - 1), "b", disabled=view.page == 0),
                button("Next", "crop-all", dataset.id, min(last, view.page + 1), "f", disabled=view.page == last),
            )
        )
    return Drawing(Card(discord.ui.Container(*items, accent_color=BLUE)), custom_id("crop-use", dataset.id, 1), (file,))


def cut_card(view: CutView, pair: bytes, said: str = "") -> Drawing:
    """One picture before and after, and the buttons that move its square."""
    cut = view.cut
    id = cut.picture.id
    file = FileToSend(pair, f"square-{id}.jpg", "The picture with its square, and the square")
    kind = "yours" if cut.chosen else "suggested"
    size = f"{cut.side} × {cut.side} of {cut.picture.width} × {cut.picture.height}"
    head = f"{cut.number} / {view.total} · {escaped(cut.picture.file_name, 60)}\n{size} pixels, {kind}"
    items: list[discord.ui.Item[Card]] = [text(head), _gallery(file)]
    small = f"{DOTS[Level.AMBER]} {SMALL}" if cut.side < SQUARE else ""
    judged = verdict_lines(cut.verdict) if cut.verdict else [small]
    if lines := [line for line in (*judged, said) if line]:
        items.append(text("\n".join(lines)))
    items += [
        row(
            button("Closer", "crop-move", id, "closer"),
            button("Up", "crop-move", id, "up"),
            button("Wider", "crop-move", id, "wider"),
        ),
        row(
            button("Left", "crop-move", id, "left"),
            button("Down", "crop-move", id, "down"),
            button("Right", "crop-move", id, "right"),
        ),
        row(
            button("Previous", "crop-one", view.previous or id, "b", disabled=view.previous is None),
            button("Reset", "crop-reset", id, disabled=not cut.chosen),
            button("Next", "crop-one", view.next or id, "f", disabled=view.next is None),
        ),
        row(button("All squares", "crop-all", view.dataset.id, (cut.number - 1) // PAGE)),
    ]
    return Drawing(Card(discord.ui.Container(*items, accent_color=BLUE)), custom_id("crop-reset", id), (file,))


def _gallery(file: FileToSend) -> discord.ui.MediaGallery[Card]:
    return discord.ui.MediaGallery[Card](
        discord.MediaGalleryItem(f"attachment://{file.name}", description=file.description)
    )


def _notes(view: CutsView) -> list[str]:
    """Nothing is enlarged in silence."""
    lines = [kept_whole(count(len(view.cuts), "picture"), view.whole)]
    if squares := [cut.verdict for cut in view.cuts if cut.verdict]:
        lines.append(f"In squares: {_tally(squares)}. In their shapes: {_tally(view.kept)}.")
    for each in enlarged({cut.number: cut.side for cut in view.cuts}):
        lines.append(f"{DOTS[each.level]} **{numbers(each.numbers)}** {each.short}. {each.advice}".rstrip())
    return lines


def _tally(verdicts: Sequence[Verdict]) -> str:
    levels = [each.level for each in verdicts]
    return " ".join(f"{DOTS[level]} {levels.count(level)}" for level in Level if level in levels)


def _select(view: CutsView) -> discord.ui.Select[Card]:
    shown = view.cuts[view.page * PAGE : (view.page + 1) * PAGE]
    return discord.ui.Select[Card](
        custom_id=custom_id("crop-pick", view.dataset.id),
        placeholder="Move the square of picture …",
        options=[
            discord.SelectOption(
                label=f"Picture {cut.number}",
                value=str(cut.picture.id),
                description=cut.picture.file_name[:100] or None,
            )
            for cut in shown
        ],
    )
