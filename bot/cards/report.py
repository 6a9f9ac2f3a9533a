"""The report on a dataset's pictures: one card, one contact sheet, a short list of what to do."""

from __future__ import annotations

import discord

from bot.cards.parts import AMBER, GREEN, GREY, RED, Card, button, custom_id, row, text
from bot.cards.text import count, escaped
from bot.rules.quality import Level
from bot.rules.report import CHECKLISTS, numbers
from bot.services.messages import Drawing, FileToSend
from bot.services.quality import PAGE, Report

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
    items.append(text(f"-# Look for yourself, I cannot see it: {CHECKLISTS[report.dataset.kind]}."))
    items.append(row(*_buttons(report)))
    if report.pages > 1:
        items.append(_pager(report))
    worst = max((each.verdict.level for each in report.pictures), default=Level.GREEN)
    card = Card(discord.ui.Container(*items, accent_color=COLOURS[worst]))
    return Drawing(card, marker(report.dataset.id), files)


def marker(dataset_id: int) -> str:
    """The custom_id every state of the report has, and no other message."""
    return custom_id("report-crop", dataset_id)


def dropped_text(pictures: int, days: int) -> str:
    """After *Drop red*."""
    return f"{count(pictures, 'picture')} dropped. *Undo* on the report brings them back, for {days} days."


def undone_text(back: int, again: int) -> str:
    """After *Undo*."""
    rest = f" {count(again, 'picture')} had been added again meanwhile." if again else ""
    return f"{count(back, 'picture')} brought back, with captions.{rest}"


def _counts(report: Report) -> str:
    levels = [each.verdict.level for each in report.pictures]
    parts = [f"{DOTS[level]} {levels.count(level)} {words}" for level, words in _WORDS if level in levels]
    waiting = f"\n-# {count(report.waiting, 'picture')} still being looked at …" if report.waiting else ""
    return " · ".join(parts) + waiting


_WORDS = ((Level.GREEN, "good"), (Level.AMBER, "to look at"), (Level.RED, "better dropped"))


def _to_do(report: Report) -> str:
    lines = [
        f"{DOTS[group.level]} **{numbers(group.numbers)}** {group.short}. {group.advice}"
        for group in report.groups[:SHOWN_GROUPS]
    ]
    if len(report.groups) > SHOWN_GROUPS:
        lines.append(f"… and {len(report.groups) - SHOWN_GROUPS} more")
    lines += [f"• {sentence}" for sentence in report.advice]
    if report.dataset.square:
        lines.append("• Squares are used: what is dimmed is cut away.")
    return "\n".join(lines) if lines else "Nothing to do: press *Train* on the dataset's card."


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
