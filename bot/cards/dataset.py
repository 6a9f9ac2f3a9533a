"""The dataset's card (first message of its thread) and the questions around it."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.cards.manage import more_row
from bot.cards.parts import BLUE, GREY, RED, Card, Form, button, custom_id, row, text
from bot.cards.text import count, escaped
from bot.rules.consent import Attestation
from bot.services.dataset.datasets import DeletePlan, Overview
from bot.services.posting.messages import Drawing
from bot.store.rows import Dataset

FEW = 10
"""Under this many pictures a face rarely becomes a likeness: the card asks for more; training is possible anyway."""

PICTURES_FIELD = "pictures"

LIST_LIMIT = 1900
"""Characters of a list; Discord takes 2000 in a message."""


def dataset_card(state: Overview, *, posts_taken: bool) -> Drawing:
    """Name, trigger, count, what to do next; `posts_taken`: pictures posted in the thread are taken."""
    dataset = state.dataset
    if dataset.archived_at is not None:
        return _archived_card(state)
    head = f"## {escaped(dataset.name)}\nTrigger word `{dataset.trigger}`"
    about = " · ".join(part for part in (escaped(dataset.class_word), dataset.kind) if part)
    body = f"**{count(state.pictures, 'picture')}** of at most {state.limit}\n{_next_step(state, posts_taken)}"
    foot = text(f"-# {about} · of <@{dataset.owner_id}>{_helped(state.helpers)}")
    items = (text(head), text(body), foot, *_rows(state), more_row(dataset))
    view = Card(discord.ui.Container(*items, accent_color=BLUE))
    return Drawing(view, custom_id("add", dataset.id))


def _archived_card(state: Overview) -> Drawing:
    """Put away: only bringing it back and deleting it are left."""
    dataset = state.dataset
    words = f"## {escaped(dataset.name)}\nPut away with {count(state.pictures, 'picture')}; its LoRA files stay."
    actions = row(button("Bring back", "archive", dataset.id), button("Delete", "delete", dataset.id))
    return Drawing(
        Card(discord.ui.Container(text(words), actions, accent_color=GREY)), custom_id("archive", dataset.id)
    )


def _helped(helpers: Sequence[int]) -> str:
    """Who helps, as the end of a line; mentions in a card notify nobody."""
    if not helpers:
        return ""
    shown = " ".join(f"<@{each}>" for each in helpers[:3])
    return f", with {shown}{f' and {len(helpers) - 3} more' if len(helpers) > 3 else ''}"


def _rows(state: Overview) -> tuple[discord.ui.ActionRow[Card], ...]:
    """What is done with the material, in the order it is done; three short buttons fit a row of a phone."""
    id, empty = state.dataset.id, state.pictures == 0
    first = row(
        button("Add pictures", "add", id, style=discord.ButtonStyle.primary),
        button("Upload many", "page", id),
        button("Train", "train", id, style=discord.ButtonStyle.success, disabled=empty),
    )
    second = row(button("Captions", "tags-open", id, disabled=empty), button("Check", "check", id, disabled=empty))
    return first, second


def _next_step(state: Overview, posts_taken: bool) -> str:
    give = "Post them here, or press *Add pictures*." if posts_taken else "Press *Add pictures*."
    if state.pictures == 0:
        return f"20 to 50 sharp, varied pictures work best. {give}"
    if state.untagged:
        return f"Captions are being written: {state.untagged} to go."
    if state.pictures < FEW:
        return f"More would help: 20 to 50 work best. {give}"
    return "Look through the *Captions*, then press *Train*."


def consent_card(dataset: Dataset, attestation: Attestation) -> Card:
    """The attestation a person dataset waits for."""
    head = f"## {escaped(dataset.name)}: pictures of a person\nPlease confirm before anything is gathered:"
    quoted = "\n".join(f"> {line}" for line in attestation.text.splitlines())
    foot = f"-# Kept with your id, the time and the text's version ({attestation.version})."
    answers = row(
        button("I confirm", "consent", dataset.id, style=discord.ButtonStyle.success),
        button("Cancel", "consent-cancel", dataset.id),
    )
    return Card(discord.ui.Container(text(head), text(quoted), text(foot), answers, accent_color=BLUE))


def delete_card(plan: DeletePlan) -> Card:
    """What would go for ever, with counts, and the two answers."""
    dataset = plan.dataset
    losses = [count(plan.pictures, "picture"), count(plan.jobs, "training"), count(plan.loras, "LoRA file")]
    head = f"## Delete {escaped(dataset.name)}?\nThis goes for ever: {', '.join(losses)}, and its thread."
    if plan.active_jobs:
        head += "\nIts training is stopped first."
    answers = row(
        button("Delete", "delete-yes", dataset.id, style=discord.ButtonStyle.danger),
        button("Keep", "dismiss", dataset.id),
    )
    return Card(discord.ui.Container(text(head), answers, accent_color=RED))


def note_card(sentence: str) -> Card:
    """A closed question: only a sentence is left."""
    return Card(discord.ui.Container(text(sentence), accent_color=GREY))


def upload_form(dataset: Dataset, max_files: int) -> Form:
    """The modal with a file field."""
    form = Form(f"Add pictures to {dataset.name}", "upload", dataset.id)
    field = discord.ui.FileUpload[Form](custom_id=PICTURES_FIELD, min_values=1, max_values=max_files)
    form.add_item(
        discord.ui.Label(
            text="Pictures",
            description=f"Up to {max_files} files: JPEG, PNG, WEBP, HEIC, AVIF, or a ZIP of many.",
            component=field,
        )
    )
    return form


def pick_card(channel_id: int, message_id: int, datasets: Sequence[Dataset]) -> Card:
    """Which dataset gets the pictures of a message."""
    select = discord.ui.Select[Card](
        custom_id=custom_id("pick", channel_id, message_id),
        placeholder="Choose a dataset",
        options=[
            discord.SelectOption(label=each.name[:100], value=str(each.id), description=each.trigger)
            for each in datasets
        ],
    )
    return Card(discord.ui.Container(text("Which dataset gets these pictures?"), row(select), accent_color=BLUE))


def dataset_lines(overviews: Sequence[Overview], user_id: int) -> str:
    """The member's datasets and those they help with, one a line, as many as a message holds."""
    if not overviews:
        return "You have no dataset here yet. Start one with /dataset create"
    lines = [_line(each, user_id) for each in overviews]
    shown = len(lines)
    while sum(len(line) + 1 for line in lines[:shown]) > LIST_LIMIT:
        shown -= 1
    rest = [f"… and {len(lines) - shown} more"] if shown < len(lines) else []
    return "\n".join([*lines[:shown], *rest])


def _line(overview: Overview, user_id: int) -> str:
    dataset = overview.dataset
    whose = "" if dataset.owner_id == user_id else f" of <@{dataset.owner_id}>"
    if whose and user_id not in overview.helpers:
        return f"**{escaped(dataset.name)}**{whose} asks for your help: /dataset show"
    place = f"<#{dataset.thread_id}>" if dataset.thread_id else "waits for you: /dataset show"
    if dataset.archived_at is not None:
        place += " · put away"
    return f"**{escaped(dataset.name)}**{whose} · `{dataset.trigger}` · {count(overview.pictures, 'picture')} · {place}"
