"""/captions: the tags of a dataset, what bulk edits are asked for, files; bot.commands.offers has what follows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards import bulk as cards
from bot.cards import bulk_forms as forms
from bot.cards.preview import preview
from bot.commands import tagger
from bot.commands.actions import Action, chosen_of, files_of, text_of, values_of
from bot.commands.add import from_upload
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.offers import show_history
from bot.commands.respond import bot_of, respond, show, taking_time
from bot.errors import NotFound, Refused
from bot.rules.bulk.operations import (
    AddTags,
    Dedupe,
    How,
    Mode,
    MoveTag,
    Operation,
    RemoveTags,
    RenameTag,
    SortTags,
    replacement,
)
from bot.rules.bulk.selection import written_numbers
from bot.services.bulk.edits import CaptionSet
from bot.services.bulk.files import Form
from bot.services.bulk.recaption import announce
from bot.services.intake.intake import Incoming
from bot.services.intake.posts import offered

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]


def captions_group() -> app_commands.Group:
    """/captions with its subcommands."""
    group = app_commands.Group(
        name="captions",
        description="Edit many captions at once",
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
    )
    for name, callback in (
        ("tags", tags),
        ("add", add),
        ("replace", replace),
        ("recaption", recaption),
        ("options", tagger.options),
        ("export", export),
        ("import", import_file),
        ("history", history),
    ):
        group.add_command(
            app_commands.Command(name=name, description=(callback.__doc__ or "").strip(), callback=callback)
        )
    return group


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def tags(interaction: Interaction, dataset: str | None = None) -> None:
    """See which tags stand in the captions, and change them everywhere"""
    await _show_tags(interaction, (await chosen_dataset(interaction, dataset, "see")).id, 0)


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def add(interaction: Interaction, dataset: str | None = None) -> None:
    """Add tags to all captions or to some"""
    await interaction.response.send_modal(forms.add_form((await chosen_dataset(interaction, dataset, "edit")).id))


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def replace(interaction: Interaction, dataset: str | None = None) -> None:
    """Find and replace text, tags or patterns"""
    await interaction.response.send_modal(forms.replace_form((await chosen_dataset(interaction, dataset, "edit")).id))


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def recaption(interaction: Interaction, dataset: str | None = None) -> None:
    """Let the tagger look at pictures again"""
    await interaction.response.send_modal(forms.recaption_form((await chosen_dataset(interaction, dataset, "edit")).id))


@app_commands.describe(
    form="One text with all captions, or one .txt a picture", dataset="Which one, if not this thread's"
)
@app_commands.choices(
    form=[app_commands.Choice(name="one text", value="text"), app_commands.Choice(name="zip of .txt", value="zip")]
)
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def export(interaction: Interaction, form: str = "text", dataset: str | None = None) -> None:
    """Get the captions as a file"""
    found = await chosen_dataset(interaction, dataset, "see")
    await _send_file(interaction, found.id, "zip" if form == "zip" else "text")


@app_commands.describe(file="A file of /captions export, or a zip of .txt", dataset="Which one, if not this thread's")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def import_file(interaction: Interaction, file: discord.Attachment, dataset: str | None = None) -> None:
    """Bring captions back from a file"""
    found = await chosen_dataset(interaction, dataset, "edit")
    await _import(interaction, found.id, offered(file))


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def history(interaction: Interaction, dataset: str | None = None) -> None:
    """See what was changed in bulk, and undo it"""
    await show_history(interaction, (await chosen_dataset(interaction, dataset, "see")).id, 0)


async def _show_tags(interaction: Interaction, dataset_id: int, page: int) -> None:
    await show(interaction, cards.tags_card(await _now(interaction, dataset_id), page))


async def _now(interaction: Interaction, dataset_id: int) -> CaptionSet:
    return await bot_of(interaction).services.bulk.edits.captions(dataset_id, interaction.user.id)


async def _tags_page(interaction: Interaction, parts: list[str]) -> None:
    await _show_tags(interaction, int(parts[0]), int(parts[1]) if len(parts) > 1 else 0)


async def _picked(interaction: Interaction, parts: list[str]) -> None:
    await _show_tag(interaction, int(parts[0]), values_of(interaction)[0])


async def _opened(interaction: Interaction, parts: list[str]) -> None:
    await _show_tag(interaction, int(parts[0]), parts[1])


async def _show_tag(interaction: Interaction, dataset_id: int, code: str) -> None:
    now = await _now(interaction, dataset_id)
    tag = now.tag(code)
    found = {each.id for each in await asyncio.to_thread(now.with_tag, tag.tag)}
    await show(interaction, cards.tag_card(now, tag, found))


async def _show_pictures(interaction: Interaction, parts: list[str]) -> None:
    """Pictures with a tag, some a page; scaling them takes a moment."""
    now = await _now(interaction, int(parts[0]))
    tag = now.tag(parts[1])
    await taking_time(interaction)
    found = await asyncio.to_thread(now.with_tag, tag.tag)
    page = max(0, min(int(parts[2]), (len(found) - 1) // cards.PICTURES_SHOWN))
    wanted = found[page * cards.PICTURES_SHOWN : (page + 1) * cards.PICTURES_SHOWN]
    files = bot_of(interaction).services.pictures
    try:
        small = [await asyncio.to_thread(preview, files.path(each.file)) for each in wanted]
    except FileNotFoundError:
        raise NotFound("A picture was removed meanwhile. Press Show again.") from None
    shown = [(now.pictures.index(each) + 1, each, data) for each, data in zip(wanted, small, strict=True)]
    await show(interaction, cards.pictures_card(now, tag, page, shown, len(found)))


async def _with_these(interaction: Interaction, parts: list[str]) -> None:
    """A form that holds the numbers of all pictures with the tag."""
    now = await _now(interaction, int(parts[0]))
    tag = now.tag(parts[1])
    found = {each.id for each in await asyncio.to_thread(now.with_tag, tag.tag)}
    numbers = written_numbers([place for place, each in enumerate(now.pictures, 1) if each.id in found])
    if len(numbers) > forms.MOST_NUMBERS:  # cut off, the last would be another picture's
        raise Refused("These are more numbers than a form holds. Choose a tag that fewer pictures have.")
    form = {"add": forms.add_form, "replace": forms.replace_form}.get(values_of(interaction)[0], forms.recaption_form)
    await interaction.response.send_modal(form(now.dataset.id, numbers))


async def _remove_tag(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    await _offer(interaction, int(parts[0]), RemoveTags(tags=(now.tag(parts[1]).tag,)))


async def _move_tag(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    await _offer(interaction, int(parts[0]), MoveTag(tag=now.tag(parts[1]).tag))


async def _rename_tag(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    await interaction.response.send_modal(forms.rename_form(now.dataset.id, now.tag(parts[1])))


async def _renamed(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    await _offer(interaction, int(parts[0]), RenameTag(old=now.tag(parts[1]).tag, new=text_of(interaction, forms.NEW)))


async def _common_picked(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    chosen = tuple(now.tag(code).tag for code in values_of(interaction))
    await _offer(interaction, int(parts[0]), RemoveTags(tags=chosen))


async def _added(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    first = chosen_of(interaction, forms.PLACE) == ["first"]
    operation = AddTags(
        text=text_of(interaction, forms.TAGS),
        place="first" if first else "last",
        pictures=now.numbered(text_of(interaction, forms.PICTURES)),
    )
    await _offer(interaction, now.dataset.id, operation)


async def _replaced(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    chosen = chosen_of(interaction, forms.HOW)
    how: How = "tag" if chosen == ["tag"] else "pattern" if chosen == ["pattern"] else "text"
    pictures = now.numbered(text_of(interaction, forms.PICTURES))
    operation = replacement(how, text_of(interaction, forms.FIND), text_of(interaction, forms.BY), pictures)
    if how == "pattern":
        await taking_time(interaction)
    await _offer(interaction, now.dataset.id, operation)


async def _recaptioned(interaction: Interaction, parts: list[str]) -> None:
    services, now = bot_of(interaction).services, await _now(interaction, int(parts[0]))
    dataset_id, pictures = now.dataset.id, now.numbered(text_of(interaction, forms.PICTURES))
    chosen = chosen_of(interaction, forms.MODE)
    mode: Mode = "overwrite" if chosen == ["overwrite"] else "fill" if chosen == ["fill"] else "append"
    await taking_time(interaction)

    async def progress(done: int, total: int) -> None:
        if not done:  # the first part is soon through
            return
        with contextlib.suppress(discord.HTTPException):
            await show(interaction, cards.note(f"Looked at {done} of {total} pictures …"))

    with services.posts.under_way:  # a bot that stops waits for it
        operation, notes = await services.bulk.recaptioner.look(
            dataset_id, interaction.user.id, pictures, mode, progress
        )
        offer = await services.bulk.edits.offer(dataset_id, interaction.user.id, operation, notes)
        try:
            await show(interaction, cards.offer_card(offer))
        except discord.HTTPException as error:  # after 15 minutes Discord takes no answer any more
            log.info("a re-caption is announced in its thread: %s", error, extra={"dataset": dataset_id})
            async with services.store.transaction() as tx:
                await announce(tx, offer, interaction.user.id)


async def _imported(interaction: Interaction, parts: list[str]) -> None:
    files = files_of(interaction, forms.FILE)
    if not files:
        raise Refused("Choose a file first.")
    await _import(interaction, int(parts[0]), from_upload(interaction, files[0]))


async def _import(interaction: Interaction, dataset_id: int, file: Incoming) -> None:
    await taking_time(interaction)
    services = bot_of(interaction).services
    offer = await services.bulk.files.offer_import(dataset_id, interaction.user.id, file)
    await show(interaction, cards.offer_card(offer))


async def _send_file(interaction: Interaction, dataset_id: int, form: Form) -> None:
    file = await bot_of(interaction).services.bulk.files.export(dataset_id, interaction.user.id, form)
    said = f"{file.captions} captions. Change them where you like, then: /captions import"
    await respond(interaction, said, files=[file.to_send])


async def _offer(interaction: Interaction, dataset_id: int, operation: Operation) -> None:
    offer = await bot_of(interaction).services.bulk.edits.offer(dataset_id, interaction.user.id, operation)
    await show(interaction, cards.offer_card(offer))


async def _more(interaction: Interaction, parts: list[str]) -> None:
    """What the list under the tags offers."""
    now = await _now(interaction, int(parts[0]))
    dataset_id = now.dataset.id
    match values_of(interaction)[0]:
        case "add":
            await interaction.response.send_modal(forms.add_form(dataset_id))
        case "replace":
            await interaction.response.send_modal(forms.replace_form(dataset_id))
        case "recaption":
            await interaction.response.send_modal(forms.recaption_form(dataset_id))
        case "import":
            await interaction.response.send_modal(forms.import_form(dataset_id))
        case "common":
            await show(interaction, cards.common_card(now))
        case "dedupe":
            await _offer(interaction, dataset_id, Dedupe())
        case "sort-name":
            await _offer(interaction, dataset_id, SortTags(by="name"))
        case "sort-frequency":
            await _offer(interaction, dataset_id, SortTags(by="frequency"))
        case "options":
            await tagger.show_options(interaction, now.dataset)
        case "export-text":
            await _send_file(interaction, dataset_id, "text")
        case "export-zip":
            await _send_file(interaction, dataset_id, "zip")
        case _:
            await show_history(interaction, dataset_id, 0)


async def _again(interaction: Interaction, parts: list[str]) -> None:
    now = await _now(interaction, int(parts[0]))
    await interaction.response.send_modal(forms.recaption_form(now.dataset.id))


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "tags-open": _tags_page,
        "tags-page": _tags_page,
        "tags-pick": _picked,
        "tags-more": _more,
        "tag-open": _opened,
        "tag-show": _show_pictures,
        "tag-with": _with_these,
        "tag-remove": _remove_tag,
        "tag-rename": _rename_tag,
        "tag-move": _move_tag,
        "common-pick": _common_picked,
        "tagger-again": _again,
    }
)
SUBMITS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "bulk-add": _added,
        "bulk-replace": _replaced,
        "bulk-recaption": _recaptioned,
        "bulk-import": _imported,
        "tag-renamed": _renamed,
    }
)
