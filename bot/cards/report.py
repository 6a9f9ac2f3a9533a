"""The report on a dataset's pictures: one card, one contact sheet, a short list of what to do."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.cards.parts import AMBER, GREEN, GREY, RED, Card, button, custom_id, row, text
from bot.cards.text import count, escaped
from bot.rules.pictures.quality import Level, Verdict
from bot.rules.pictures.report import SHOWN_NUMBERS, look_yourself, numbers, ranges
from bot.rules.pictures.squares import JUDGED, mended
from bot.services.dataset.quality import PAGE, Report
from bot.services.posting.messages import Drawing, FileToSend

DOTS = {Level.GREEN: "🟢", Level.AMBER: "🟡", Level.RED: "🔴"}
COLOURS = {Level.GREEN: GREEN, Level.AMBER: AMBER, Level.RED: RED}
SHOWN_GROUPS = 12
"""Lines of findings; with all else a message stays under Discord's 4000 characters."""


def report_card(report: Report, sheet: bytes | None) -> Drawing:
    """The report; without a sheet when it could not be drawn."""
    if not report.pictures and not report.waiting:
        items: list[discord.ui.Item[Card]] = [text("## Report\nThere are no pictures to check.")]
        items.append(row(*_buttons(report)))
        return Drawing(Card(discord.ui.Container(*items, accent_color=GREY)), marker(report.dataset.id))
    items = [text(f"## Report: {escaped(report.dataset.name, 60)}\n{_counts(report)}")]
    files: tuple[FileToSend, ...] = ()
    if sheet is not None and report.pictures:
        files = (FileToSend(sheet, f"report-{report.dataset.id}.jpg", _alt(report)),)
        gallery = discord.ui.MediaGallery[Card](
            discord.MediaGalleryItem(f"attachment://{files[0].name}", description=files[0].description)
        )
        items.append(gallery)
    items.append(text(_to_do(report)))
    items.append(text(f"-# {look_yourself(report.dataset.kind)}"))
    items.append(row(*_buttons(report)))
    if report.pages > 1:
        items.append(_pager(report))
    worst = max((each.verdict.level for each in report.pictures), default=Level.GREEN)
    card = Card(discord.ui.Container(*items, accent_color=COLOURS[worst]))
    return Drawing(card, marker(report.dataset.id), files)


def marker(dataset_id: int) -> str:
    """The custom_id every state of the report has, and no other message."""
    return custom_id("report-crop", dataset_id)


def verdict_lines(verdict: Verdict) -> list[str]:
    """What is said of one picture: a line for each finding, the gravest first."""
    return [f"{DOTS[each.level]} {each.sentence} {each.advice}".rstrip() for each in verdict.findings]


def dropped_card(dataset_id: int, dropped: Sequence[int], drop: int, days: int) -> Card:
    """After *Drop red*: which are gone, by the numbers they had, and the way back; `drop` is the number of the drop."""
    said = f"{count(len(dropped), 'picture')} dropped: {ranges(dropped)}, as they were numbered."
    said += f" *Undo*, here or on the report, brings them back, for {days} days."
    undo = button("Undo", "report-undo", dataset_id, drop)
    return Card(discord.ui.Container(text(said), row(undo), accent_color=GREY))


def undone_text(back: int, again: int) -> str:
    """After *Undo*."""
    rest = f" {count(again, 'picture')} had been added again meanwhile." if again else ""
    return f"{count(back, 'picture')} brought back, with captions.{rest}"


def _counts(report: Report) -> str:
    levels = [each.verdict.level for each in report.pictures]
    parts = [f"{DOTS[level]} {levels.count(level)} {words}" for level, words in _WORDS if level in levels]
    lines = [" · ".join(parts)] if parts else []
    if report.squares:
        lines.append(f"-# {JUDGED}: what is dimmed is cut away.")
    if report.waiting:
        lines.append(f"-# {count(report.waiting, 'picture')} still being looked at …")
    return "\n".join(lines)


_WORDS = ((Level.GREEN, "good"), (Level.AMBER, "to look at"), (Level.RED, "better dropped"))


def _to_do(report: Report) -> str:
    lines = [
        f"{DOTS[group.level]} **{numbers(group.numbers)}** {group.short}. {group.advice}"
        for group in report.groups[:SHOWN_GROUPS]
    ]
    if len(report.groups) > SHOWN_GROUPS:
        lines.append(f"… and {len(report.groups) - SHOWN_GROUPS} more")
    if len(report.groups) > SHOWN_GROUPS or any(len(group.numbers) > SHOWN_NUMBERS for group in report.groups):
        lines.append(_READ_ALL)
    if report.mended:
        lines.append(f"• {mended(f'**{numbers(report.mended)}**', '*Squares*')}")
    lines += [f"• {sentence}" for sentence in report.advice]
    return "\n".join(lines) if lines else "Nothing to do: press *Train* on the dataset's card."


_READ_ALL = "-# All that is said of a picture stands on its own card: `/dataset captions`, *Red* or *Go to …*."


def _alt(report: Report) -> str:
    first = report.page * PAGE + 1
    return f"Contact sheet, pictures {first} to {min(first + PAGE - 1, len(report.pictures))}"


def _buttons(report: Report) -> list[discord.ui.Button[Card]]:
    dataset_id, red = report.dataset.id, len(report.red)
    buttons: list[discord.ui.Button[Card]] = []
    if red:
        buttons.append(
            button(f"Drop {red} red", "report-drop", dataset_id, report.red_digest, style=discord.ButtonStyle.danger)
        )
    if report.last_drop is not None:
        buttons.append(button(f"Undo ({report.last_drop.pictures})", "report-undo", dataset_id))
    buttons.append(button("Squares", "report-crop", dataset_id, disabled=not report.pictures))
    return buttons


def _pager(report: Report) -> discord.ui.ActionRow[Card]:
    dataset_id, page, last = report.dataset.id, report.page, report.pages - 1
    return row(
        button("Previous", "report-page", dataset_id, max(0, page - 1), "b", disabled=page == 0),
        button("Next", "report-page", dataset_id, min(last, page + 1), "f", disabled=page == last),
    )
