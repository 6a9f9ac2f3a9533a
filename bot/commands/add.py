"""Handing over pictures by command, modal and message menu (posts in the thread: bot.services.intake.posts)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.captions import handed_over
from bot.cards.dataset import PICTURES_FIELD, note_card, pick_card, upload_form
from bot.commands.actions import Action, UploadedFile, files_of, values_of
from bot.commands.choose import CHOICES, autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond
from bot.errors import LoreleiError, NotFound, Refused
from bot.rules.access import MAY
from bot.services.intake.intake import Incoming
from bot.services.intake.posts import incoming, offered, reading, sentences
from bot.store.rows import Dataset

Interaction = discord.Interaction[Any]


def add_command(max_files: int) -> app_commands.Command[Any, Any, None]:
    """/dataset add with `max_files` picture options, made rather than written out ten times."""
    names = [f"picture{number}" for number in range(1, max_files + 1)]

    async def add(interaction: Interaction, **options: Any) -> None:
        files = [offered(options[name]) for name in names if options.get(name) is not None]
        dataset = _open(await chosen_dataset(interaction, options.get("dataset"), "add"))
        await _hand_over(interaction, dataset, f"interaction:{interaction.id}", files)

    parameter = functools.partial(inspect.Parameter, kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    first = parameter(names[0], annotation=discord.Attachment)
    others = [parameter(name, annotation=discord.Attachment | None, default=None) for name in names[1:]]
    which = parameter("dataset", annotation=str | None, default=None)
    # discord.py reads a command's options from its callback's signature.
    vars(add)["__signature__"] = inspect.Signature([parameter("interaction"), first, *others, which])
    callback: Any = app_commands.describe(
        dataset="Which one, if you are not in its thread",
        **dict.fromkeys(names, "JPEG, PNG, WEBP, HEIC, AVIF, or a ZIP of many"),
    )(add)
    command: app_commands.Command[Any, Any, None] = app_commands.Command(
        name="add", description="Add pictures to a dataset", callback=callback
    )
    command.autocomplete("dataset")(autocomplete_dataset)
    return command


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def upload(interaction: Interaction, dataset: str | None = None) -> None:
    """Choose pictures from your phone or computer"""
    found = _open(await chosen_dataset(interaction, dataset, "add"))
    await interaction.response.send_modal(upload_form(found, bot_of(interaction).config.intake.max_files))


async def add_message(interaction: Interaction, message: discord.Message) -> None:
    """Take the pictures of the member's own message."""
    if message.author.id != interaction.user.id:
        raise Refused("You can only add pictures of your own messages.")
    if not message.attachments:
        raise Refused("There is no picture attached to this message.")
    datasets = bot_of(interaction).services.datasets
    here = await datasets.for_thread(message.channel.id)
    who = interaction.guild_id or 0, interaction.user.id
    mine = [*await datasets.of_member(*who), *await datasets.helped_by(*who)]
    if here is not None and "add" in MAY[await datasets.role(here.id, interaction.user.id)]:
        mine = [here]
    if not mine:
        raise Refused("You have no dataset here yet. Start one with /dataset create")
    if len(mine) == 1:
        await _hand_over(interaction, _open(mine[0]), f"message:{message.id}", incoming(message))
    else:
        await respond(interaction, view=pick_card(message.channel.id, message.id, mine[:CHOICES]))


async def _picked(interaction: Interaction, parts: list[str]) -> None:
    """A dataset was chosen for a message; its files are fetched anew, as their addresses may have expired."""
    channel_id, message_id = int(parts[0]), int(parts[1])
    services = bot_of(interaction).services
    dataset = _open(await services.datasets.allowed(int(values_of(interaction)[0]), interaction.user.id, "add"))
    await interaction.response.edit_message(view=note_card("Reading the pictures …"))
    posts, source = services.posts, f"message:{message_id}"
    with posts.under_way:
        try:
            message = await _own_message(interaction, channel_id, message_id)
            report = await posts.hand_over(dataset.id, interaction.user.id, source, incoming(message))
            said = handed_over(report, sentences(report))
        except LoreleiError as error:
            said = str(error)
        await interaction.edit_original_response(view=note_card(said))


async def _own_message(interaction: Interaction, channel_id: int, message_id: int) -> discord.Message:
    try:
        message: discord.Message = await interaction.client.get_partial_messageable(channel_id).fetch_message(
            message_id
        )
    except (discord.NotFound, discord.Forbidden):
        raise NotFound("That message is gone, or I may not see it. Post the pictures again.") from None
    if message.author.id != interaction.user.id:
        raise Refused("You can only add pictures of your own messages.")
    return message


async def _pressed_add(interaction: Interaction, parts: list[str]) -> None:
    bot = bot_of(interaction)
    dataset = _open(await bot.services.datasets.allowed(int(parts[0]), interaction.user.id, "add"))
    await interaction.response.send_modal(upload_form(dataset, bot.config.intake.max_files))


async def _uploaded(interaction: Interaction, parts: list[str]) -> None:
    dataset = _open(await bot_of(interaction).services.datasets.allowed(int(parts[0]), interaction.user.id, "add"))
    files = [from_upload(interaction, file) for file in files_of(interaction, PICTURES_FIELD)]
    await _hand_over(interaction, dataset, f"interaction:{interaction.id}", files)


def from_upload(interaction: Interaction, file: UploadedFile) -> Incoming:
    """A file of a modal's File Upload field."""
    return Incoming(file.name, file.size, reading(functools.partial(interaction.client.http.get_from_cdn, file.url)))


async def _hand_over(interaction: Interaction, dataset: Dataset, source: str, files: Sequence[Incoming]) -> None:
    posts = bot_of(interaction).services.posts
    with posts.under_way:
        await interaction.response.defer(ephemeral=True, thinking=True)
        report = await posts.hand_over(dataset.id, interaction.user.id, source, files)
        await respond(interaction, handed_over(report, sentences(report)))


def _open(dataset: Dataset) -> Dataset:
    if dataset.state != "open":
        raise Refused("This dataset waits for your confirmation first: /dataset show brings the question back.")
    if dataset.thread_id is None:
        raise Refused("This dataset has no thread yet: /dataset show makes one.")
    return dataset


ACTIONS: MappingProxyType[str, Action] = MappingProxyType({"add": _pressed_add, "pick": _picked})
SUBMITS: MappingProxyType[str, Action] = MappingProxyType({"upload": _uploaded})
