"""One way to answer a member, and one place where errors become sentences.

Every command, button and modal ends here when it fails: commands through `Tree.on_error`, buttons and modals through
`guarded`. A member gets one ephemeral sentence; the host gets the traceback under the reference in that sentence.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Coroutine, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import aiohttp
import discord
from discord import app_commands

from bot.cards.parts import upload
from bot.errors import LoreleiError, Refused
from bot.services.posting.messages import Drawing, FileToSend

if TYPE_CHECKING:
    from bot.app import Lorelei

log = logging.getLogger(__name__)

UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED, INVALID_TOKEN = 10062, 40060, 50027
GONE = frozenset({UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED, INVALID_TOKEN})
"""Discord's codes for an interaction nobody can answer any more: late, answered already, or its token expired."""
_KNOWN_CODES = MappingProxyType(
    {
        50083: "This thread is archived. Write a message in it, which opens it, and try again.",
        160006: "This server has as many active threads as Discord allows. Close some, then use /dataset show.",
    }
)
"""Discord's error codes that a member can do something about."""


def bot_of(interaction: discord.Interaction[Any]) -> Lorelei:
    """The client behind the interaction."""
    client: Lorelei = interaction.client
    return client


async def respond(
    interaction: discord.Interaction[Any],
    text: str = "",
    *,
    view: discord.ui.LayoutView | None = None,
    files: Sequence[FileToSend] = (),
    ephemeral: bool = True,
) -> None:
    """Answer with text or a card: the first response, or a follow-up when that was already given."""
    content: dict[str, Any] = {"view": view} if view is not None else {"content": text[:2000]}
    content["files"] = [upload(file) for file in files]
    if interaction.response.is_done():
        await interaction.followup.send(**content, ephemeral=ephemeral)
    else:
        await interaction.response.send_message(**content, ephemeral=ephemeral)


async def show(interaction: discord.Interaction[Any], drawing: Drawing) -> None:
    """Put a card in the place of the ephemeral one the member used, or, where there is none, answer with it.

    What was deferred before becomes the card.
    """
    files = [upload(file) for file in drawing.files]
    if interaction.response.is_done():
        await interaction.edit_original_response(view=drawing.view, attachments=files)
    elif interaction.message is not None and interaction.message.flags.ephemeral:
        await interaction.response.edit_message(view=drawing.view, attachments=files)
    else:
        await interaction.response.send_message(view=drawing.view, files=files, ephemeral=True)


async def taking_time(interaction: discord.Interaction[Any]) -> None:
    """Tell Discord that an answer by `show` follows; for work that may take longer than a second."""
    if interaction.message is not None and interaction.message.flags.ephemeral:
        await interaction.response.defer()
    else:
        await interaction.response.defer(ephemeral=True, thinking=True)


async def guarded(interaction: discord.Interaction[Any], work: Coroutine[Any, Any, None]) -> None:
    """Run a button's or modal's work; whatever it raises is told to the member and logged."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the top of an interaction: report() logs what nobody expected
        await report(interaction, error)


async def report(interaction: discord.Interaction[Any], error: Exception) -> None:
    """Tell the member in one sentence what went wrong; log what was not expected."""
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    if isinstance(cause, discord.HTTPException) and cause.code in GONE:
        log.warning("answer came too late or twice: %s", cause, extra={"interaction": interaction.id})
        return
    try:
        await respond(interaction, sentence_for(cause, interaction))
    except (discord.HTTPException, aiohttp.ClientError) as late:
        log.warning("could not tell a member about an error: %s", late, extra={"interaction": interaction.id})


def sentence_for(error: Exception, interaction: discord.Interaction[Any]) -> str:
    """What the member reads about `error`; an unexpected one is logged under a reference."""
    if isinstance(error, LoreleiError):
        if not isinstance(error, Refused):
            log.warning("a request failed: %s", error, extra={"interaction": interaction.id})
        return _as_sentence(str(error))
    if isinstance(error, discord.Forbidden):
        log.warning("Discord forbids: %s", error, extra={"interaction": interaction.id})
        return (
            "Discord does not let me do that here. Someone who manages this server can give me the permissions "
            "to see, send and manage messages and threads in this channel."
        )
    if isinstance(error, discord.HTTPException) and (known := _KNOWN_CODES.get(error.code)):
        return known
    if isinstance(error, discord.NotFound):
        log.warning("Discord does not find it: %s", error, extra={"interaction": interaction.id})
        return "What this belongs to was deleted on Discord. /dataset show brings a dataset's thread and card back."
    if isinstance(error, aiohttp.ClientError) or (isinstance(error, discord.HTTPException) and error.status >= 500):
        log.warning("Discord failed: %s", error, extra={"interaction": interaction.id})
        return "Discord had a problem just now. Nothing is lost; please try again in a minute."
    if isinstance(error, app_commands.CommandSignatureMismatch | app_commands.CommandNotFound):
        return "This command has changed since your app loaded it. Please close Discord, open it and try again."
    if isinstance(error, app_commands.CheckFailure):
        return "You cannot use this command here."
    reference = secrets.token_hex(3)
    log.error("unexpected error %s", reference, exc_info=error, extra={"interaction": interaction.id})
    return f"Something went wrong on my side; please try again. If it stays, give the host this reference: {reference}"


def _as_sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ")")) else text + "."
