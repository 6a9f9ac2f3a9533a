"""What a page is told, as JSON: datasets, pictures, hand-overs, and what bulk edits would change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bot.cards.text import count
from bot.config import IntakeConfig
from bot.rules.bulk.captions import Subject, in_almost_all, tag_counts, why_common
from bot.rules.bulk.diff import pieces
from bot.rules.bulk.operations import HOWS, MODES, PLACES, Change
from bot.rules.captions.caption import build_caption
from bot.rules.captions.tagging import tag_key
from bot.rules.pictures import squares
from bot.rules.pictures.crop import SQUARE
from bot.rules.pictures.quality import Level, Verdict
from bot.rules.pictures.report import Group, look_yourself, numbers
from bot.services.bulk.edits import CaptionSet, Offer
from bot.services.dataset.crops import Cut, CutsView
from bot.services.dataset.desk import Sheet
from bot.services.dataset.quality import Report
from bot.services.intake.intake import BatchReport
from bot.services.intake.posts import sentences
from bot.store.caption_edits import Past
from bot.store.rows import Dataset, Picture
from bot.web.answers import words


def of_sheet(sheet: Sheet, limits: IntakeConfig) -> dict[str, Any]:
    """The dataset with everything on its page."""
    dataset, now = sheet.dataset, CaptionSet(sheet.dataset, sheet.pictures)
    verdicts = {each.picture_id: each.verdict for each in sheet.report.pictures}
    counts = tag_counts(now.captioned, now.subject)
    return {
        "name": dataset.name,
        "trigger": dataset.trigger,
        "class_word": dataset.class_word,
        "bare": build_caption(dataset.trigger, dataset.class_word, ()),
        "role": sheet.role,
        "open": dataset.state == "open" and dataset.archived_at is None,
        "max_pictures": limits.max_pictures,
        "max_file_bytes": limits.max_file_bytes,
        "max_zip_bytes": limits.max_zip_bytes,
        "tags": {tag_key(each.tag): each.tag for each in counts},
        "common": [each.tag for each in in_almost_all(counts, len(sheet.pictures))],
        "why_common": words(why_common(count(len(sheet.pictures), "caption"), dataset.trigger)),
        "choices": {"place": PLACES, "how": HOWS, "mode": MODES},
        "report": _of_report(sheet.report),
        "pictures": [of_picture(dataset, each) | _of_verdict(verdicts.get(each.id)) for each in sheet.pictures],
    }


def of_picture(dataset: Dataset, picture: Picture) -> dict[str, Any]:
    """A picture and its caption; `tags` are the keys of those in it."""
    subject = Subject(dataset.trigger, dataset.class_word)
    return {
        "id": picture.id,
        "name": picture.file_name,
        "caption": picture.caption,
        "tags": sorted(set(map(tag_key, subject.tags(picture.caption)))),
        "revision": picture.revision,
        "tagged": bool(picture.tagged),
        "width": picture.width,
        "height": picture.height,
        "warnings": picture.warning_list,
        "sha256": picture.source_sha256,
    }


def of_hand_over(report: BatchReport) -> dict[str, Any]:
    """What became of a file."""
    state = "added" if report.added else "known" if report.duplicates and not report.refused else "refused"
    pictures = [of_picture(report.dataset, each) for each in report.added]
    return {"state": state, "pictures": pictures, "why": words(" ".join(sentences(report)))}


def of_offer(offer: Offer) -> dict[str, Any]:
    """A bulk edit with each caption it would change; working the differences out may take a moment."""
    return {
        "id": offer.edit.id,
        "title": offer.edit.title,
        "total": offer.total,
        "notes": [words(each) for each in offer.edit.note_list],
        "changes": [_of_change(each) for each in offer.changes],
    }


def of_cuts(view: CutsView) -> dict[str, Any]:
    """All squares, and what is said of them together."""
    return {
        "what": squares.WHAT,
        "used": view.used,
        "now": f"Now: {squares.now(square=view.used)}.",
        "whole": squares.kept_whole(count(len(view.cuts), "picture"), view.whole),
        "squares": _tally([cut.verdict for cut in view.cuts if cut.verdict]),
        "shapes": _tally(view.kept),
        "groups": _of_groups(squares.enlarged({cut.number: cut.side for cut in view.cuts})),
        "cuts": [of_cut(cut) for cut in view.cuts],
    }


def of_cut(cut: Cut) -> dict[str, Any]:
    """A picture's square, as shares of the picture's sides."""
    small = {"level": "amber", "why": squares.SMALL} if cut.side < SQUARE else {}
    return {
        "picture": cut.picture.id,
        "number": cut.number,
        "name": cut.picture.file_name,
        "box": cut.box,
        "side": cut.side,
        "width": cut.picture.width,
        "height": cut.picture.height,
        "chosen": cut.chosen,
        **(_of_verdict(cut.verdict) or small),
    }


def of_past(past: Past, user_id: int) -> dict[str, Any]:
    """A line of the history as this member sees it."""
    edit = past.edit
    return {
        "id": edit.id,
        "title": edit.title,
        "captions": past.captions,
        "mine": edit.user_id == user_id,
        "at": edit.applied_at,
        "undone": edit.undone_at is not None,
    }


def _of_change(change: Change) -> dict[str, Any]:
    shown = [[each.kind, each.text] for each in pieces(change.before, change.after)]
    return {"picture": change.picture_id, "number": change.number, "pieces": shown}


def _of_verdict(verdict: Verdict | None) -> dict[str, Any]:
    """Its frame in the contact sheet, and why."""
    if verdict is None:
        return {}
    return {"level": verdict.level.name.lower(), "why": words(verdict.sentence)}


def _of_report(report: Report) -> dict[str, Any]:
    """What the report in Discord says of the dataset as a whole, and what can be dropped and brought back."""
    mended = [squares.mended(numbers(report.mended), "Squares")] if report.mended else []
    return {
        "red": len(report.red),
        "digest": report.red_digest,
        "dropped": report.last_drop.pictures if report.last_drop else 0,
        "measuring": report.waiting,
        "groups": _of_groups(report.groups),
        "look": [look_yourself(report.dataset.kind), *([f"{squares.JUDGED}."] if report.squares else [])],
        "advice": [words(each) for each in (*mended, *report.advice)],
    }


def _of_groups(groups: Iterable[Group]) -> list[dict[str, Any]]:
    return [
        {"level": each.level.name.lower(), "numbers": each.numbers, "said": f"{each.short}. {each.advice}".rstrip()}
        for each in groups
    ]


def _tally(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many there are of each level, the best first."""
    levels = [each.level for each in verdicts]
    return {level.name.lower(): levels.count(level) for level in Level if level in levels}
