"""The words of a job's posts. Their first line is what a phone shows as the push notification. Pure."""

from __future__ import annotations

from typing import Any

from bot.cards.job import megabytes
from bot.cards.text import escaped
from bot.services.posting.messages import DownloadLink
from bot.store.rows import Job

SILENT = frozenset({"sample", "resumed", "restarted"})
"""Kinds of posts that notify nobody; the others mention the owner."""


def post_text(kind: str, job: Job, values: dict[str, Any]) -> str:
    """What a post of this kind says, without its file, link and marker."""
    step, epoch = values.get("step", 0), values.get("epoch", 0)
    match kind:
        case "sample":
            return f"Epoch {epoch} of {job.epochs} · step {step}"
        case "resumed":
            return f"The trainer was interrupted. {job.name} goes on from step {step}."
        case "restarted":
            return f"The trainer was interrupted before its first save. {job.name} starts again."
        case "disk-full":
            return f"<@{job.owner_id}> {job.name} waits: the trainer's disk is full. It goes on by itself."
        case "finished":
            why = f" {escaped(str(values['message']), 800)}" if "message" in values else ""
            return f"<@{job.owner_id}> {job.name} is finished: {epoch} epochs, {step} steps.{why}"
        case "stopped":
            kept = f" What was trained until step {step} is kept." if job.lora_file else " Nothing was trained yet."
            return f"<@{job.owner_id}> {job.name} was stopped.{kept}"
        case "failed":
            return f"<@{job.owner_id}> {job.name} failed. {escaped(str(values.get('message', '')), 800)}"
    raise ValueError(f"no words for a post of kind {kind!r}")


def attached_text(job: Job) -> str:
    """How to use the finished file, which is attached."""
    return f"`{job.lora_file}` is attached. {_use(job)}"


def link_text(job: Job, link: DownloadLink | None) -> str:
    """How to get the finished file by its link (None: the download page is down), and how to use it."""
    size = megabytes(job.lora_bytes)
    if link is None:
        return f"`{job.lora_file}` ({size}) is ready, but the download page is down; ask the host for it. {_use(job)}"
    download = f"[Download {job.lora_file}]({link.url}) ({size}, the link works for {link.hours:.0f} hours)."
    if not link.public:
        download += " The link works only on the computer I run on; elsewhere, ask the host for the file."
    return f"{download} {_use(job)}"


def _use(job: Job) -> str:
    return f"Use it as `<lora:{job.name}:0.9>` with its trigger word."
