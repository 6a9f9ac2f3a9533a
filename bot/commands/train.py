"""/train and /queue, and the buttons of plans and job cards."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.dataset import note_card
from bot.cards.job import plan_card, queue_text, stop_card
from bot.cards.parts import Card
from bot.cards.post import link_text
from bot.commands.actions import Action
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond
from bot.config import Config
from bot.errors import NotFound, NotYours, Refused
from bot.store.jobs import get_job
from bot.store.rows import ACTIVE, Job
from trainer.contract.presets import load_preset, preset_names

Interaction = discord.Interaction[Any]

MOST_EPOCHS = 1000
TITLE_LIMIT = 100
"""Discord's limit of a choice's name."""


def commands(config: Config) -> list[app_commands.Command[Any, ..., Any]]:
    """The slash commands of this module."""
    made: list[app_commands.Command[Any, ..., Any]] = [
        app_commands.Command(name="train", description="Train a LoRA on a dataset", callback=train),
        app_commands.Command(name="queue", description="Who trains, who waits, and why in this order", callback=queue),
    ]
    return [app_commands.guild_only()(command) for command in made]


def _preset_choices() -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=load_preset(name).title[:TITLE_LIMIT], value=name) for name in preset_names()]


@app_commands.describe(
    preset="What kind of training; empty takes the host's choice",
    epochs="How often every picture is looked at; empty takes the preset's",
    dataset="Which one, if you are not in its thread",
)
@app_commands.choices(preset=_preset_choices())
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def train(
    interaction: Interaction,
    preset: str | None = None,
    epochs: app_commands.Range[int, 1, MOST_EPOCHS] | None = None,
    dataset: str | None = None,
) -> None:
    """Show what a training would be, and Start."""
    found = await chosen_dataset(interaction, dataset)
    await _show_plan(interaction, found.id, preset or "", epochs or 0)


async def queue(interaction: Interaction) -> None:
    """Show the queue with reasons."""
    services = bot_of(interaction).services
    async with services.store.transaction() as tx:
        line = await services.jobs.queue.look(tx)
    up = await services.jobs.training.trainer_is_up()
    await respond(interaction, queue_text(line, interaction.user.id, trainer_up=up))


async def _show_plan(interaction: Interaction, dataset_id: int, preset: str, epochs: int) -> None:
    await respond(interaction, view=await _plan(interaction, dataset_id, preset, epochs))


async def _plan(interaction: Interaction, dataset_id: int, preset: str, epochs: int) -> Card:
    bot = bot_of(interaction)
    plan = await bot.services.jobs.training.plan(dataset_id, interaction.user.id, preset, epochs)
    name = bot.config.training.preset_for(plan.dataset.kind, preset)
    return plan_card(plan, name, load_preset(name).title)


async def _train(interaction: Interaction, parts: list[str]) -> None:
    await _show_plan(interaction, int(parts[0]), "", 0)


async def _plan_again(interaction: Interaction, parts: list[str]) -> None:
    """The plan on its own card as it is now."""
    await interaction.response.edit_message(view=await _plan(interaction, int(parts[0]), parts[1], int(parts[2])))


async def _start(interaction: Interaction, parts: list[str]) -> None:
    """Accept the job; copying its pictures may take a moment, so Discord is answered first."""
    dataset_id, preset, epochs = int(parts[0]), parts[1], int(parts[2])
    services = bot_of(interaction).services
    await interaction.response.defer()
    try:
        job = await services.jobs.training.submit(
            dataset_id, interaction.user.id, preset, epochs, unseen="unseen" in parts[3:]
        )
    except Refused as error:
        await interaction.edit_original_response(view=note_card(str(error)))
        return
    services.wake_cards()
    await interaction.edit_original_response(view=note_card(f"{job.name} is in the queue: <#{job.thread_id}>"))


async def _stop(interaction: Interaction, parts: list[str]) -> None:
    job = await _own_job(interaction, parts[0])
    if job.state not in ACTIVE:
        raise Refused(f"{job.name} has ended already.")
    await respond(interaction, view=stop_card(job))


async def _stop_now(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    job = await services.jobs.training.stop(parts[0], interaction.user.id)
    services.wake_cards()
    said = f"{job.name} was stopped." if job.state == "stopped" else f"{job.name} stops after this step."
    await interaction.response.edit_message(view=note_card(said))


async def _refresh(interaction: Interaction, parts: list[str]) -> None:
    """Draw the card the button is on; the card that is edited from now on stays the one in the thread."""
    services = bot_of(interaction).services
    drawing = await services.jobs.drawer.draw(parts[0])
    if drawing is None:
        raise NotFound("This training is gone.")
    await interaction.response.edit_message(view=drawing.view)


async def _file(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    job = await _own_job(interaction, parts[0])
    if services.jobs.library.path(job) is None:
        raise Refused(f"The file of {job.name} is not here any more.")
    await respond(interaction, link_text(job, services.links.offer(job.id)))


async def _own_job(interaction: Interaction, job_id: str) -> Job:
    services = bot_of(interaction).services
    async with services.store.transaction() as tx:
        job = await get_job(tx, job_id)
    if job is None:
        raise NotFound("This training is gone.")
    if job.owner_id != interaction.user.id:
        raise NotYours("This training belongs to somebody else.")
    return job


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "train": _train,
        "plan": _plan_again,
        "start": _start,
        "stop": _stop,
        "stop-yes": _stop_now,
        "job": _refresh,
        "file": _file,
    }
)
