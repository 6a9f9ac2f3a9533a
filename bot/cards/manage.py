"""What is around a dataset's material: its web page, who helps, its name, copies, merging, putting it away."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.cards.parts import BLUE, RED, Card, Form, button, custom_id, row, text
from bot.cards.text import count, escaped
from bot.rules.consent import HELPING, SHARING, Attestation
from bot.rules.names import MAX_NAME
from bot.services.dataset.arrange import CopyPlan, MergePlan
from bot.services.dataset.sharing import MOST_HELPERS, Circle
from bot.store.rows import Dataset
from bot.web.passes import PageLink

NAME_FIELD = "name"
SELECT_OPTIONS = 25
"""Discord's limit."""


def more_row(dataset: Dataset) -> discord.ui.ActionRow[Card]:
    """The last row of a dataset's card: what is done with the whole of it."""
    return row(
        button("Helpers", "helpers", dataset.id),
        button("More", "more", dataset.id),
        button("Delete", "delete", dataset.id),
    )


def page_card(dataset: Dataset, link: PageLink) -> Card:
    """The member's own link to the dataset's page."""
    words = (
        f"## {escaped(dataset.name)} on a page\nChoose all your pictures or a ZIP of them, see them, edit their"
        " captions, one by one or all at once. "
        f"If the connection breaks, it goes on; if you close the page, choose the same pictures again.\n"
        f"-# This link is yours alone and ends <t:{link.expires}:R>: who has it can do there what you can."
    )
    if not link.public:
        words += "\n-# It opens only on the computer I run on: the host has not given me a public address."
    opens = row(discord.ui.Button[Card](label="Open the page", url=link.url))
    return Card(discord.ui.Container(text(words), opens, accent_color=BLUE))


def helpers_card(circle: Circle) -> Card:
    """The owner's view of who helps; the select holds them all, and what is chosen in it is how it shall be."""
    dataset = circle.dataset
    lines = [f"<@{each.user_id}>{' · has not agreed yet' if each.state == 'asked' else ''}" for each in circle.helpers]
    head = (
        f"## Helpers of {escaped(dataset.name)}\nThey add, check, crop and remove pictures and edit captions, also in"
        " bulk. Training, sharing and deleting stay with you."
    )
    select = discord.ui.UserSelect[Card](
        custom_id=custom_id("helpers-set", dataset.id),
        placeholder="Choose who helps",
        min_values=0,
        max_values=MOST_HELPERS,
        default_values=[discord.SelectDefaultValue.from_user(discord.Object(each.user_id)) for each in circle.helpers],
    )
    now = text("\n".join(lines) or "Nobody helps yet.")
    return Card(discord.ui.Container(text(head), now, row(select), accent_color=BLUE))


def helper_view_card(circle: Circle) -> Card:
    """What a helper sees of it."""
    dataset = circle.dataset
    words = f"## {escaped(dataset.name)}\nYou help <@{dataset.owner_id}> with this dataset."
    actions = row(button("Stop helping", "help-no", dataset.id), button("Close", "dismiss", dataset.id))
    return Card(discord.ui.Container(text(words), actions, accent_color=BLUE))


def sharing_card(dataset: Dataset, user_id: int) -> Card:
    """What the owner confirms before a member sees a person's pictures."""
    head = f"## Let <@{user_id}> help with {escaped(dataset.name)}?\nPlease confirm; they are asked to agree too:"
    answers = row(
        button("I confirm", "helpers-yes", dataset.id, user_id, style=discord.ButtonStyle.success),
        button("Cancel", "dismiss", dataset.id),
    )
    return Card(discord.ui.Container(text(head), *_attested(SHARING), answers, accent_color=BLUE))


def helping_card(dataset: Dataset) -> Card:
    """What a member who was asked to help with a person's pictures agrees to."""
    head = f"## Help <@{dataset.owner_id}> with {escaped(dataset.name)}?\nIt holds pictures of a person:"
    answers = row(
        button("I agree", "help-yes", dataset.id, style=discord.ButtonStyle.success),
        button("No, thanks", "help-no", dataset.id),
    )
    return Card(discord.ui.Container(text(head), *_attested(HELPING), answers, accent_color=BLUE))


def more_card(dataset: Dataset) -> Card:
    """What else the owner can do with a dataset."""
    words = (
        f"## {escaped(dataset.name)}\n**Copy** makes a second dataset with the same pictures and captions. **Merge**"
        " moves the pictures of another one here. **Put away** keeps everything but takes it out of your lists."
    )
    first = row(*(button(label, name, dataset.id) for label, name in (("Rename", "rename"), ("Copy", "copy"))))
    second = row(button("Merge", "merge", dataset.id), button("Put away", "archive", dataset.id))
    return Card(discord.ui.Container(text(words), first, second, accent_color=BLUE))


def rename_form(dataset: Dataset) -> Form:
    """The modal with the name to change."""
    form = Form(f"Rename {dataset.name}", "rename", dataset.id)
    field = discord.ui.TextInput[Form](custom_id=NAME_FIELD, default=dataset.name, max_length=MAX_NAME)
    form.add_item(discord.ui.Label(text="Name", component=field))
    return form


def copy_card(plan: CopyPlan) -> Card:
    """What a copy would be, and for a person's pictures what must be confirmed anew."""
    words = (
        f"## Copy {escaped(plan.dataset.name)}?\n**{escaped(plan.name)}** will hold the same"
        f" {count(plan.pictures, 'picture')} and captions, in a thread of its own; no helpers and no trainings."
        " Deleting one of the two leaves the other."
    )
    yes = "I confirm, copy" if plan.attestation else "Copy"
    answers = row(
        button(yes, "copy-yes", plan.dataset.id, style=discord.ButtonStyle.success),
        button("Cancel", "dismiss", plan.dataset.id),
    )
    return Card(discord.ui.Container(text(words), *_attested(plan.attestation), answers, accent_color=BLUE))


def merge_pick_card(target: Dataset, others: Sequence[Dataset]) -> Card:
    """Which dataset's pictures move here."""
    select = discord.ui.Select[Card](
        custom_id=custom_id("merge-from", target.id),
        placeholder="Choose a dataset",
        options=[
            discord.SelectOption(label=each.name[:100], value=str(each.id), description=each.trigger)
            for each in others[:SELECT_OPTIONS]
        ],
    )
    words = text(f"Whose pictures shall move into **{escaped(target.name)}**? You see first what would move.")
    return Card(discord.ui.Container(words, row(select), accent_color=BLUE))


def merge_card(plan: MergePlan) -> Card:
    """What a merge moves and what it leaves, before it is done."""
    source, target = escaped(plan.source.name), escaped(plan.target.name)
    words = [
        f"## Merge {source} into {target}?",
        f"{count(plan.moving, 'picture')} with their captions move to **{target}**; there is no way back.",
    ]
    if plan.source.trigger != plan.target.trigger:
        words.append(f"Their captions then begin with `{plan.target.trigger}` instead of `{plan.source.trigger}`.")
    if plan.duplicates:
        words.append(f"{count(plan.duplicates, 'picture')} that {target} holds already stay in {source}.")
    words.append(f"**{source}** stays, with its trainings and LoRA files. Delete it when you need it no more.")
    yes = "I confirm, merge" if plan.attestation else "Merge"
    answers = row(
        button(yes, "merge-yes", plan.target.id, plan.source.id, style=discord.ButtonStyle.danger),
        button("Cancel", "dismiss", plan.target.id),
    )
    return Card(discord.ui.Container(text("\n".join(words)), *_attested(plan.attestation), answers, accent_color=RED))


def merged_text(plan: MergePlan) -> str:
    """What was done."""
    return (
        f"{count(plan.moving, 'picture')} moved from **{escaped(plan.source.name)}** to **{escaped(plan.target.name)}**"
        f": <#{plan.target.thread_id}>"
    )


def _attested(attestation: Attestation | None) -> list[discord.ui.TextDisplay[Card]]:
    if attestation is None:
        return []
    quoted = "\n".join(f"> {line}" for line in attestation.text.splitlines())
    return [
        text(quoted),
        text(f"-# Kept with your id, the time and the text's version ({attestation.version})."),
    ]
