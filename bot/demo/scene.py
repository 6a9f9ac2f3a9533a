"""The main job as a member lives it, played on the real bot: create, hand over, edit, train, get the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import discord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.env import Env

from bot.app import Lorelei
from bot.demo.harness import free, until
from bot.demo.stage import Stage
from bot.errors import LoreleiError
from bot.store.jobs import latest_job_of
from bot.store.rows import ACTIVE, Job

Say = Callable[[str], None]
Progress = Callable[[Job], None]

TRAINING_SECONDS = 1800.0
"""After this long a training that has not ended counts as stuck."""


class SceneError(LoreleiError):
    """The bot did not do what the scene expects; the message says what was waited for."""


@dataclass(frozen=True, slots=True)
class Played:
    """What the scene leaves behind."""

    lobby: ChannelHandle
    thread: ChannelHandle
    job: Job


class Scene:
    """One member, one dataset, one training."""

    def __init__(self, env: Env, bot: Lorelei, stage: Stage, say: Say) -> None:
        self.env = env
        self.bot = bot
        self.stage = stage
        self.say = say
        self.guild = env.create_guild("The Workshop")
        self.lobby = self.guild.create_text_channel("lora-workshop")
        self.member: MemberActor = self.guild.add_member(env.create_user("mira"))

    async def play(self, turn_to: Callable[[ChannelHandle], None], progress: Progress) -> Played:
        """Play everything; `turn_to` turns the open page to the thread once there is one.

        Raises SceneError when a step does not happen.
        """
        try:
            thread = await self._create()
            turn_to(thread)
            await self._hand_over(thread)
            await self._edit_two(thread)
            job = await self._train(thread, progress)
        except (TimeoutError, StopIteration) as error:
            raise SceneError(f"the demo got stuck: {error}; the log is in {self.stage.data / 'logs'}") from error
        return Played(self.lobby, thread, job)

    async def _create(self) -> ChannelHandle:
        self.say("mira creates a dataset of a person: /dataset create")
        await free(self.env)
        answer = await self.member.slash(
            self.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="person"
        )
        self.say("  … and is asked to confirm that it is herself and she is an adult; she presses “I confirm”")
        question = await until(lambda: answer.response, "the attestation")
        await self._click(question.message, "v1:consent:")
        thread: ChannelHandle = await until(lambda: next(iter(self.lobby.threads), None), "the dataset's thread")
        await self._wait_for_button(thread, "v1:add:")
        self.say(f"  a private thread opens: # {thread.name}")
        return thread

    async def _hand_over(self, thread: ChannelHandle) -> None:
        pictures = self.stage.pictures()
        by_command, by_modal, by_menu, by_post = pictures[:3], pictures[3:7], pictures[7:9], pictures[9:]
        self.say(f"she hands over {len(pictures)} pictures, in every way there is:")
        await free(self.env)
        options = {f"picture{index}": picture for index, picture in enumerate(by_command, 1)}
        await self.member.slash(thread, "dataset add", **options)
        await self._pictures(3, "/dataset add, three attachments")
        card, button = await self._wait_for_button(thread, "v1:add:")
        await free(self.env)
        shown = await self.member.click(card, custom_id=button)
        await self.member.submit_modal(shown, {"pictures": list(by_modal)})
        await self._pictures(7, "“Add pictures” and its upload form, four files")
        await free(self.env)
        post = await self.member.send(self.lobby, "two more!", attachments=by_menu)
        await free(self.env)
        await self.member.context_menu(self.lobby, "Add to dataset", post)
        await self._pictures(9, "the message menu on her own post elsewhere, two pictures")
        broken = ("holiday.jpg", by_post[0][1][:3000])
        await free(self.env)
        await self.member.send(thread, "and these", attachments=[*by_post, pictures[0], broken])
        await self._pictures(len(pictures), "a post in the thread, three new, one known, one broken")
        await self._tagged(thread, len(pictures))
        self.say("  every batch is answered by one card; the tagger has written all captions")

    async def _edit_two(self, thread: ChannelHandle) -> None:
        self.say("she edits two captions on the first card")
        for addition in ("looking at the viewer", "portrait"):
            card, button = await self._wait_for_button(thread, "v1:cap-edit:")
            await free(self.env)
            shown = await self.member.click(card, custom_id=button)
            caption = _modal_value(shown.modal or {}, "caption")
            await free(self.env)
            await self.member.submit_modal(shown, {"caption": f"{caption}, {addition}"})
            await self._until_caption(addition)
            card, following = await self._wait_for_button(thread, "v1:cap-next:")
            await free(self.env)
            await self.member.click(card, custom_id=following)

    async def _train(self, thread: ChannelHandle, progress: Progress) -> Job:
        self.say("she types /train, sees what it will take, and presses “Start”")
        await free(self.env)
        plan = await self.member.slash(thread, "train")
        offer = await until(lambda: plan.response, "the training plan")
        await self._click(offer.message, "v1:start:")
        deadline = asyncio.get_running_loop().time() + TRAINING_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            job = await self._job(thread)
            if job is not None:
                progress(job)
                if job.state not in ACTIVE:
                    await self._posted(job)
                    return job
            await asyncio.sleep(0.5)
        raise TimeoutError("the training to end")

    async def _posted(self, job: Job) -> None:
        """Wait until everything the job had to say is in the thread."""

        async def waiting() -> int:
            async with self.bot.services.store.transaction() as tx:
                sql = "SELECT count(*) FROM outbox WHERE job_id = ? AND state IN ('waiting', 'sending')"
                rows = list(await tx.execute_fetchall(sql, (job.id,)))
            return int(rows[0][0])

        for _ in range(600):
            if not await waiting():
                return
            await asyncio.sleep(0.1)
        raise TimeoutError("the last messages to be posted")

    # --- small waits --------------------------------------------------------------------------------------------------
    async def _job(self, thread: ChannelHandle) -> Job | None:
        dataset = await self.bot.services.datasets.for_thread(thread.id)
        if dataset is None:
            raise SceneError("the demo's dataset is gone")
        async with self.bot.services.store.transaction() as tx:
            return await latest_job_of(tx, dataset.id)

    async def _count(self, condition: str, *values: Any) -> int:
        async with self.bot.services.store.transaction() as tx:
            rows = list(await tx.execute_fetchall(f"SELECT count(*) FROM picture WHERE {condition}", values))
        return int(rows[0][0])

    async def _wait_until(self, condition: str, wanted: int, what: str, *values: Any) -> None:
        for _ in range(1200):
            if await self._count(condition, *values) >= wanted:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(what)

    async def _pictures(self, wanted: int, how: str) -> None:
        await self._wait_until("1", wanted, f"{wanted} pictures after {how}")
        self.say(f"  {how}: {wanted} in the dataset")

    async def _tagged(self, thread: ChannelHandle, wanted: int) -> None:
        await self._wait_until("tagged", wanted, "the captions")
        await self._wait_for_button(thread, "v1:cap-edit:")

    async def _until_caption(self, end: str) -> None:
        await self._wait_until("caption LIKE '%' || ?", 1, "an edited caption", end)

    async def _click(self, message: discord.Message, prefix: str) -> None:
        await free(self.env)
        await self.member.click(message, custom_id=_button(message, prefix))

    async def _wait_for_button(self, thread: ChannelHandle, prefix: str) -> tuple[discord.Message, str]:
        """The oldest message of the thread with an enabled button of that action, and the button's custom_id."""

        def found() -> tuple[discord.Message, str] | None:
            for message in thread.history():
                for component in _components([item.to_dict() for item in message.components]):
                    name = component.get("custom_id", "")
                    if name.startswith(prefix) and not component.get("disabled"):
                        return message, name
            return None

        result: tuple[discord.Message, str] = await until(found, f"a button {prefix}…")
        return result


def _components(tree: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """All components of a message, nested ones included."""
    for component in tree:
        yield component
        yield from _components(component.get("components", ()))
        for inner in ("accessory", "component"):
            if component.get(inner):
                yield from _components([component[inner]])


def _button(message: discord.Message, prefix: str) -> str:
    names = [
        component.get("custom_id", "") for component in _components([item.to_dict() for item in message.components])
    ]
    found = next((name for name in names if name.startswith(prefix)), None)
    if found is None:
        raise SceneError(f"the demo misses a button {prefix}… on a card")
    return str(found)


def _modal_value(modal: dict[str, Any], field: str) -> str:
    for component in _components(modal.get("components", ())):
        if component.get("custom_id") == field:
            return str(component.get("value") or "")
    return ""
