"""From a job's rows to its card and its posts: reads the state, calls the pure functions of bot.cards."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.cards.job import JobView, job_card
from bot.cards.notice import NOTICES, notice
from bot.cards.post import SILENT, attached_text, link_text, post_text
from bot.rules.jobs.progress import Progress
from bot.runners.local import LocalRunner
from bot.services.jobs.library import Library
from bot.services.jobs.queue import Queue
from bot.services.posting.messages import Drawing, FileToSend, Outgoing, Poster, marker_of
from bot.store.database import Store
from bot.store.jobs import get_job
from bot.store.outbox import posts_of
from bot.store.rows import Job, Post
from bot.web.links import Links
from trainer.contract.errors import InvalidJob

ALT_LIMIT = 1024
"""Longest alt text Discord takes, in characters."""


class JobDrawer:
    """Draws job cards (`draw` is a messages.Drawer) and finds the words of posts (`compose` is an outbox.Composer)."""

    def __init__(
        self, store: Store, queue: Queue, runner: LocalRunner, library: Library, links: Links, poster: Poster
    ) -> None:
        self._store = store
        self._queue = queue
        self._runner = runner
        self._library = library
        self._links = links
        self._poster = poster

    async def draw(self, ref: str) -> Drawing | None:
        """The job's card as it is now; None when the job is gone."""
        view = await self.view(ref)
        return None if view is None else job_card(view)

    async def view(self, job_id: str) -> JobView | None:
        """What the card shows."""
        async with self._store.transaction() as tx:
            job = await get_job(tx, job_id)
            if job is None:
                return None
            place = (await self._queue.look(tx)).place(job_id) if job.state == "queued" else None
            posts = await posts_of(tx, job_id)
        trainer_up = job.state != "queued" or await asyncio.to_thread(self._runner.any_served)
        refused = [post.error for post in posts if post.state == "given-up" and post.kind not in SILENT]
        has_file = self._library.path(job) is not None
        return JobView(job, Progress.from_json(job.progress), place, has_file, "".join(refused[-1:]), trainer_up)

    async def compose(self, post: Post, *, attach: bool = True) -> Outgoing | None:
        """The message of a post, without a file unless `attach`; None when its job is gone."""
        if post.kind in NOTICES:
            return notice(post)
        async with self._store.transaction() as tx:
            job = await get_job(tx, post.job_id or "")
        if job is None:
            return None
        content = post_text(post.kind, job, post.values)
        if post.kind == "sample":
            return self._sample(post, job, content, self._grid(job, post) if attach else None)
        file = None
        if post.kind in ("finished", "stopped") and (path := self._library.path(job)) is not None:
            attach = attach and job.lora_bytes <= await self._poster.upload_limit(job.guild_id)
            file = FileToSend(path, job.lora_file) if attach else None
            content += "\n" + (attached_text(job) if attach else link_text(job, self._links.offer(job.id)))
        silent = post.kind in SILENT
        return Outgoing(
            content=f"{content}\n-# {marker_of(post)}",
            nonce=marker_of(post),
            mention=None if silent else job.owner_id,
            silent=silent,
            file=file,
        )

    @staticmethod
    def _sample(post: Post, job: Job, content: str, grid: Path | None) -> Outgoing:
        """The grid's file name carries the marker; without the file (cleaned up meanwhile) a line does."""
        if grid is None:
            return Outgoing(content=f"{content}\n-# {marker_of(post)}", nonce=marker_of(post), silent=True)
        alt = " | ".join(post.values.get("prompts", []))[:ALT_LIMIT]
        file = FileToSend(grid, f"{job.name}-{marker_of(post)}{grid.suffix}", alt)
        return Outgoing(content=content, nonce=marker_of(post), silent=True, file=file)

    def _grid(self, job: Job, post: Post) -> Path | None:
        try:
            path = self._runner.folder(job.id).file(post.values["attempt"], post.values["grid"])
        except InvalidJob:
            return None
        return path if path.is_file() else None
