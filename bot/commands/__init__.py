"""Every command, button and modal of the bot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands

from bot.commands import add, arrange, bulk, captions, check, dataset, helpers, offers, page, tagger, train
from bot.commands.actions import Action, Pressed
from bot.config import Config

MENU = "Add to dataset"


def add_commands(tree: app_commands.CommandTree[Any], config: Config) -> None:
    """Register the slash commands, and the message menu where the host lets the bot read messages."""
    group = app_commands.Group(
        name="dataset",
        description="Gather the pictures a LoRA is trained on",
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
    )
    for name, callback in (
        ("create", dataset.create),
        ("upload", add.upload),
        ("captions", captions.captions),
        ("check", check.check),
        ("page", page.page),
        ("helpers", helpers.helpers),
        ("rename", arrange.rename),
        ("copy", arrange.copy),
        ("merge", arrange.merge),
        ("archive", arrange.archive),
        ("show", dataset.show),
        ("list", dataset.show_all),
        ("delete", dataset.delete),
    ):
        group.add_command(
            app_commands.Command(name=name, description=(callback.__doc__ or "").strip(), callback=callback)
        )
    group.add_command(add.add_command(config.intake.max_files))
    tree.add_command(group)
    tree.add_command(bulk.captions_group())
    for command in train.commands(config):
        tree.add_command(command)
    if config.intake.message_content:
        tree.add_command(app_commands.guild_only()(app_commands.ContextMenu(name=MENU, callback=add.add_message)))


def actions() -> Mapping[str, Action]:
    """What each component does, by the name in its custom_id."""
    modules = (dataset, add, page, helpers, arrange, captions, bulk, offers, tagger, check, train)
    return {name: action for module in modules for name, action in module.ACTIONS.items()}


def submits() -> Mapping[str, Action]:
    """What each sent-in modal does, by the name in its custom_id."""
    return {**add.SUBMITS, **arrange.SUBMITS, **captions.SUBMITS, **bulk.SUBMITS, **tagger.SUBMITS}


def dynamic_items() -> tuple[type[discord.ui.DynamicItem[Any]], ...]:
    """What discord.py must know to find components again after a restart."""
    return (Pressed,)
