"""A job's card and posts: how far it is, when it ends, what became of it. Pure: state in, what Discord shows out."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.cards.parts import BLUE, GREEN, GREY, RED, Card, button, custom_id, row, text
from bot.cards.text import count, escaped
from bot.rules.jobs.plan import NO_TRAINER, Plan, still_looked_at
from bot.rules.jobs.progress import Progress
from bot.services.jobs.queue import Line, Place
from bot.services.posting.messages import Drawing
from bot.store.rows import Job

BAR_CELLS = 10
QUEUE_SHOWN = 10
STATE_WORDS = {
    "queued": "Waiting",
    "running": "Training",
    "stopping": "Stopping",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
}
COLOURS = {"finished": GREEN, "stopped": GREY, "failed": RED}


@dataclass(frozen=True, slots=True)
class JobView:
    """Everything a job's card shows."""

    job: Job
    progress: Progress
    place: Place | None
    """Its place while it waits."""
    has_file: bool
    """The finished file is there to be downloaded."""
    post_error: str = ""
    """Why the final post could not be sent, when it could not."""
    trainer_up: bool = True
    """Some trainer runs, so that waiting makes sense."""


def bar(done: int, total: int) -> str:
    """Ten cells: phones wrap more."""
    filled = max(0, min(BAR_CELLS, done * BAR_CELLS // total)) if total > 0 else 0
    return "▰" * filled + "▱" * (BAR_CELLS - filled)


def job_card(view: JobView) -> Drawing:
    """The card, edited in place from queued to finished."""
    job = view.job
    items: list[discord.ui.Item[Card]] = [text(f"## {job.name}\n**{_state_line(view)}**")]
    if job.state in ("running", "stopping") or view.progress.step:
        items.append(text(_numbers(view)))
    if extra := _extra(view):
        items.append(text(extra))
    items.append(row(*_buttons(view)))
    card = Card(discord.ui.Container(*items, accent_color=COLOURS.get(job.state, BLUE)))
    return Drawing(card, marker(view))


def marker(view: JobView) -> str:
    """The custom_id that every state of the card has as its last button."""
    return custom_id("job", view.job.id)


def _state_line(view: JobView) -> str:
    job, progress = view.job, view.progress
    if job.state == "queued":
        return _waiting_line(view.place)
    if job.state == "running":
        words = {
            "starting": "Starting",
            "preparing": escaped(progress.doing, 80).capitalize() or "Preparing",
            "caching": f"Reading pictures {progress.done}/{progress.total}",
            "waiting": "Starting",
        }
        return words.get(progress.phase, STATE_WORDS["running"])
    return STATE_WORDS[job.state]


def _waiting_line(place: Place | None) -> str:
    if place is None:
        return STATE_WORDS["queued"]
    start = f", starts about <t:{int(place.expected.starts_at)}:R>" if place.expected and place.position > 1 else ""
    return f"In the queue: {ordinal(place.position)}{start}"


def _numbers(view: JobView) -> str:
    progress, job = view.progress, view.job
    lines = [
        bar(progress.step, progress.steps or job.steps),
        f"Epoch {progress.epoch}/{progress.epochs or job.epochs} · step {progress.step}/{progress.steps or job.steps}",
    ]
    if job.state in ("running", "stopping"):
        if progress.loss is not None and progress.seconds_per_step is not None:
            lines.append(f"Loss {progress.loss:.3f} · {progress.seconds_per_step:.2f} s/step")
        if progress.validation_loss is not None:
            lines.append(f"Validation loss {progress.validation_loss:.3f}")
        times = [f"started <t:{int(job.started_at)}:R>"] if job.started_at else []
        if progress.eta_at is not None and job.state == "running":
            times.append(f"ends <t:{int(progress.eta_at)}:R>")
        if times:
            lines.append(" · ".join(times))
    return "\n".join(lines)


def _extra(view: JobView) -> str:
    job, lines = view.job, []
    if not view.trainer_up:
        lines.append(NO_TRAINER)
    if view.progress.note and job.state in ("queued", "running", "stopping"):
        lines.append(view.progress.note)
    if job.error:
        lines.append(escaped(job.error, 500))
    if job.lora_bytes:
        lines.append(f"`{job.lora_file}` · {megabytes(job.lora_bytes)}")
    if view.post_error:
        lines.append(f"-# The message about it could not be sent: {escaped(view.post_error, 200)}")
    return "\n".join(lines)


def _buttons(view: JobView) -> list[discord.ui.Button[Card]]:
    job = view.job
    refresh = button("Refresh", "job", job.id)
    if job.state in ("queued", "running"):
        return [button("Stop", "stop", job.id), refresh]
    if job.state == "stopping":
        return [refresh]
    again = button("Train again", "train", job.dataset_id)
    if view.has_file:
        return [button("Download", "file", job.id, style=discord.ButtonStyle.success), again, refresh]
    return [again, refresh]


def plan_card(plan: Plan, preset: str, title: str) -> Card:
    """What a training would be, and Start."""
    size, config = plan.estimate, plan.config
    lines = [
        f"{escaped(title, 80)}",
        f"{count(plan.pictures, 'picture')} · {count(config.epochs, 'epoch')} · **{count(size.steps, 'step')}**",
        f"{count(size.checkpoints, 'checkpoint')} of {megabytes(size.file_bytes)} · {count(size.samples, 'sample')}",
        f"Time: {_duration(size.seconds)}",
        "A trainer is free: it starts at once." if plan.position == 0 else f"Place in the queue: {plan.position}",
    ]
    items: list[discord.ui.Item[Card]] = [text(f"## Train {escaped(plan.dataset.name, 60)}?\n" + "\n".join(lines))]
    if plan.notes:
        items.append(text("\n".join(f"-# {note}" for note in plan.notes)))
    if plan.waiting:
        items.append(text(f"⚠️ {still_looked_at(plan.waiting)} It takes a moment; *Look again* tells."))
    items.append(row(*_starts(plan, preset), button("Cancel", "dismiss", plan.dataset.id)))
    return Card(discord.ui.Container(*items, accent_color=BLUE))


def _starts(plan: Plan, preset: str) -> list[discord.ui.Button[Card]]:
    """Waiting a moment is the better choice, so it comes first; but when measuring fails, nobody is locked out."""
    wanted = (plan.dataset.id, preset, plan.config.epochs)
    if not plan.waiting:
        return [button("Start", "start", *wanted, style=discord.ButtonStyle.success)]
    return [
        button("Look again", "plan", *wanted, style=discord.ButtonStyle.primary),
        button("Start anyway", "start", *wanted, "unseen"),
    ]


def stop_card(job: Job) -> Card:
    """Asks once before a training ends."""
    has_trained = job.state == "running" or Progress.from_json(job.progress).step > 0
    keeps = "What was trained so far is kept." if has_trained else "It leaves the queue."
    answers = row(
        button("Stop it", "stop-yes", job.id, style=discord.ButtonStyle.danger),
        button("Go on", "dismiss", job.id),
    )
    return Card(discord.ui.Container(text(f"Stop {job.name}? {keeps}"), answers, accent_color=RED))


def queue_text(line: Line, user_id: int, *, trainer_up: bool) -> str:
    """The queue in short sentences; names of other members' trainings are theirs, so they are left out."""
    lines = [] if trainer_up else [NO_TRAINER]
    if not line.training and not line.waiting:
        return "\n".join([*lines, "Nothing trains and nothing waits. Press *Train* on a dataset's card."])
    for job in line.training:
        ends = Progress.from_json(job.progress).eta_at
        lines.append(f"▶ {_whose(job, user_id)}{f', ends <t:{int(ends)}:R>' if ends else ''}")
    for place in line.waiting[:QUEUE_SHOWN]:
        starts = f", starts about <t:{int(place.expected.starts_at)}:R>" if place.expected else ""
        lines.append(f"{place.position}. {_whose(place.job, user_id)}{starts}: {place.reason}")
    if len(line.waiting) > QUEUE_SHOWN:
        lines.append(f"… and {len(line.waiting) - QUEUE_SHOWN} more")
    return "\n".join(lines)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 11th."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def megabytes(size: int) -> str:
    """A file size in MB (10^6 bytes), as phones show it."""
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def _whose(job: Job, user_id: int) -> str:
    return f"**{job.name}**" if job.owner_id == user_id else "a member's training"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "known after the first steps"
    minutes = max(1, round(seconds / 60))
    return f"about {minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"about {minutes} min"
