"""A server with two members and the bot, and the words tests use about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import discord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.env import Env
from simcord.results import InteractionResult

from bot.app import Lorelei
from bot.config import Config
from bot.demo.harness import free, restart, until
from bot.store.rows import Dataset

Files = Sequence[tuple[str, bytes]]


class Lab:
    """The bot in a pretended Discord."""

    def __init__(self, env: Env, config: Config) -> None:
        self.env = env
        self.config = config
        self.guild = env.create_guild("Lab")
        self.lobby: ChannelHandle = self.guild.create_text_channel("workshop")
        self.alice: MemberActor = self.guild.add_member(env.create_user("alice"))
        self.bob: MemberActor = self.guild.add_member(env.create_user("bob"))

    @property
    def bot(self) -> Lorelei:
        """The bot object that runs now."""
        assert isinstance(self.env.bot, Lorelei)
        return self.env.bot

    async def restart(self) -> None:
        """A fresh bot object on the same data."""
        await restart(self.env, Lorelei(self.config))

    # --- doing ------------------------------------------------------------------------------------------------------
    async def slash(
        self, actor: MemberActor, where: ChannelHandle, command: str, /, **options: Any
    ) -> InteractionResult:
        await free(self.env)
        return await actor.slash(where, command, **options)

    async def create(self, name: str = "Lisa", trigger: str = "lisaxl", kind: str = "character") -> ChannelHandle:
        """Alice's new dataset; its thread, once the card is in it."""
        before = {thread.id for thread in self.lobby.threads}
        result = await self.slash(
            self.alice, self.lobby, "dataset create", name=name, trigger=trigger, class_word="woman", kind=kind
        )
        if kind == "person":
            await self.press(self.alice, (await self.answer(result)).message, "consent:")
        thread: ChannelHandle = await until(
            lambda: next((each for each in self.lobby.threads if each.id not in before), None), "the thread"
        )
        await self.card(thread, "add")
        return thread

    async def add(self, thread: ChannelHandle, files: Files) -> str:
        """Alice's /dataset add; what she reads."""
        options = {f"picture{number}": file for number, file in enumerate(files, 1)}
        return await self.said(await self.slash(self.alice, thread, "dataset add", **options))

    async def batch(self, thread: ChannelHandle, files: Files) -> discord.Message:
        """Alice adds pictures; their batch's card once it has captions."""
        known = {message.id for message in self.cards(thread, "cap-next")}
        await self.add(thread, files)
        card = await until(
            lambda: next((each for each in self.cards(thread, "cap-next") if each.id not in known), None), "the card"
        )
        return await self.captioned(thread, card.id)

    async def captioned(self, thread: ChannelHandle, card_id: int) -> discord.Message:
        """The batch's card with captions. Whoever edits one before it is there is asked about the tagger's."""
        # All of them, not only the one the card shows: what a batch does not have yet, other commands refuse.
        await self.until_rows("SELECT id FROM picture WHERE tagged = 0", lambda rows: not rows)

        def shown() -> discord.Message | None:  # whatever its words: a person's captions leave tags out
            message = next((each for each in thread.history() if each.id == card_id), None)
            return message if message is not None and "no tags yet" not in all_text(message) else None

        return await until(shown, "captions on the card")

    async def press(self, actor: MemberActor, message: discord.Message, action: str) -> InteractionResult:
        """Press the button whose custom_id begins with `v1:<action>`."""
        custom_id = next(each for each in custom_ids(message) if each.startswith(f"v1:{action}"))
        await free(self.env)
        return await actor.click(message, custom_id=custom_id)

    async def choose(
        self, actor: MemberActor, message: discord.Message, action: str, *values: str
    ) -> InteractionResult:
        """Choose values in the select whose custom_id begins with `v1:<action>`."""
        custom_id = next(each for each in custom_ids(message) if each.startswith(f"v1:{action}"))
        await free(self.env)
        return await actor.select(message, list(values), custom_id=custom_id)

    async def shown(self, result: InteractionResult, words: str = "") -> discord.Message:
        """The card that answers an interaction, once it has `words`."""
        await self.said(result, words)
        return (await self.answer(result)).message

    async def captions(self) -> list[str]:
        """Every caption, in the order of the pictures."""
        return [row["caption"] for row in await self.rows("SELECT caption FROM picture ORDER BY id")]

    async def form(self, message: discord.Message, action: str) -> InteractionResult:
        """Alice presses the button that opens a modal; the result with it."""
        result = await self.press(self.alice, message, action)
        await until(lambda: result.modal, "a modal")
        return result

    async def asked(self, thread: ChannelHandle, command: str) -> InteractionResult:
        """Alice types a command that opens a modal; the result with it."""
        result = await self.slash(self.alice, thread, command)
        await until(lambda: result.modal, "a modal")
        return result

    async def submit(self, form: InteractionResult, **values: Any) -> InteractionResult:
        """Alice sends the modal in."""
        await free(self.env)
        return await self.alice.submit_modal(form, values)

    async def post(self, actor: MemberActor, where: ChannelHandle, text: str, files: Files = ()) -> discord.Message:
        """Write a message with files."""
        await free(self.env)
        return await actor.send(where, text, attachments=list(files))

    async def menu(self, actor: MemberActor, where: ChannelHandle, message: discord.Message) -> InteractionResult:
        """The message menu."""
        await free(self.env)
        return await actor.context_menu(where, "Add to dataset", message)

    # --- seeing -----------------------------------------------------------------------------------------------------
    async def answer(self, result: InteractionResult) -> Any:
        """The message that answers an interaction."""
        return await until(lambda: result.response or next(iter(result.followups), None), "an answer")

    async def said(self, result: InteractionResult, words: str = "") -> str:
        """All words of the answer, once it has some (and `words` among them)."""

        def text() -> str:
            messages = [message for message in (result.response, *result.followups) if message is not None]
            return "\n".join(all_text(message.message) for message in messages)

        try:
            return await until(lambda: words in (read := text()) and read, f"{words!r} in an answer")
        except TimeoutError:
            raise AssertionError(f"{words!r} is not in the answer: {text()!r}") from None

    def cards(self, thread: ChannelHandle, action: str) -> list[discord.Message]:
        """The thread's messages with a button of that action, oldest first."""
        return [
            message
            for message in thread.history()
            if any(each.split(":")[1] == action for each in custom_ids(message, disabled=True))
        ]

    async def card(self, thread: ChannelHandle, action: str) -> discord.Message:
        """The newest message with a button of that action."""
        return (await until(lambda: self.cards(thread, action), f"a card with {action}"))[-1]

    async def page_link(self, thread, actor=None) -> str:
        """Press Upload many; the link to the web page in the answer."""
        result = await self.press(actor or self.alice, await self.card(thread, "add"), "page")
        message = (await self.answer(result)).message
        return next(each.url for each in buttons(message) if each.url)

    async def until_card(self, thread: ChannelHandle, message_id: int, words: str) -> discord.Message:
        """The message once it shows `words`."""

        def found() -> discord.Message | None:
            message = next((each for each in thread.history() if each.id == message_id), None)
            return message if message is not None and words in all_text(message) else None

        return await until(found, f"{words!r} on card {message_id}")

    async def dataset(self, thread: ChannelHandle) -> Dataset:
        found = await self.bot.services.datasets.for_thread(thread.id)
        assert found is not None
        return found

    async def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """What the database says."""
        async with self.bot.services.store.transaction() as tx:
            return [dict(row) for row in await tx.execute_fetchall(sql, values)]

    async def until_rows(self, sql: str, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The query's rows once they are as wanted."""
        for _ in range(1200):
            if enough(found := await self.rows(sql)):
                return found
            await asyncio.sleep(0.05)
        raise TimeoutError(f"in vain: {sql}")


def _walk(components: Sequence[Any]) -> Iterator[Any]:
    for component in components:
        yield component
        yield from _walk(getattr(component, "children", ()))
        if (accessory := getattr(component, "accessory", None)) is not None:
            yield accessory


def custom_ids(message: discord.Message, *, disabled: bool = False) -> list[str]:
    """Of every component of the message that can be used; with `disabled` of all."""
    return [
        each.custom_id
        for each in _walk(message.components)
        if getattr(each, "custom_id", None) and (disabled or not getattr(each, "disabled", False))
    ]


def buttons(message: discord.Message) -> list[Any]:
    """Its buttons, links among them."""
    return [each for each in _walk(message.components) if isinstance(each, discord.Button)]


def all_text(message: discord.Message) -> str:
    """Everything that can be read in a message."""
    shown = [message.content, *(each.content for each in _walk(message.components) if hasattr(each, "content"))]
    return "\n".join(part for part in shown if part)
