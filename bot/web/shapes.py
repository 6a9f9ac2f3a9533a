"""What a page is told, as JSON: datasets, pictures, hand-overs, and what bulk edits would change."""

from __future__ import annotations

from typing import Any

from bot.config import IntakeConfig
from bot.rules.bulk.captions import Subject, tag_counts
from bot.rules.bulk.diff import pieces
from bot.rules.bulk.operations import Change
from bot.rules.caption import build_caption
from bot.rules.prose import tags_of
from bot.rules.quality import Verdict
from bot.rules.tagging import tag_key
from bot.services.bulk.edits import CaptionSet, Offer
from bot.services.desk import Sheet
from bot.services.intake import BatchReport
from bot.services.posts import sentences
from bot.services.quality import Report
from bot.store.caption_edits import Past
from bot.store.rows import Dataset, Picture
from bot.web.answers import words


def of_sheet(sheet: Sheet, limits: IntakeConfig) -> dict[str, Any]:
    """The dataset with everything on its page."""
    dataset, now = sheet.dataset, CaptionSet(sheet.dataset, sheet.pictures)
    verdicts = {each.picture_id: each.verdict for each in sheet.report.pictures}
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
        "tags": {tag_key(each.tag): each.tag for each in tag_counts(now.captioned, now.subject)},
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
        "tags": sorted(set(map(tag_key, tags_of(subject.items(picture.caption))))),
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
    return {
        "red": len(report.red),
        "digest": report.red_digest,
        "dropped": report.last_drop.pictures if report.last_drop else 0,
        "measuring": report.waiting,
        "groups": [
            {"level": each.level.name.lower(), "numbers": each.numbers, "said": f"{each.short}. {each.advice}"}
            for each in report.groups
        ],
        "advice": [words(each) for each in report.advice],
    }
