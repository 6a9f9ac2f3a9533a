"""The bot's own small web server: signed downloads of finished LoRA files, datasets' pages, and a health check."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from bot.config import WebConfig
from bot.web.links import Links
from bot.web.pages import MAX_JSON_BYTES, Pages

log = logging.getLogger(__name__)


CLOSE_SECONDS = 5.0
"""How long a bot that stops waits for what is on its way; browsers go on with a download, the page with its uploads."""


@dataclass(frozen=True, slots=True)
class Download:
    """A finished file."""

    path: Path
    name: str


FindFile = Callable[[str], Awaitable[Download | None]]
"""The finished file of a job id, or None."""


class WebServer:
    """Serves downloads, pages and `GET /health` in the bot's loop; a port in use is told, the bot goes on."""

    def __init__(self, config: WebConfig, find_file: FindFile) -> None:
        self._config = config
        self._find_file = find_file
        self._runner: web.AppRunner | None = None
        self.port = 0
        """Where it listens; 0 while it does not."""
        self._links: Links | None = None

    def base_url(self) -> str:
        """Start of the links as members reach them; empty while the server is not up."""
        if self._runner is None:
            return ""
        if self._config.public_url:
            return self._config.base_url
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"http://{host}:{self.port}"

    async def start(self, links: Links, pages: Pages | None = None) -> None:
        """Begin to listen; a failure is logged with the remedy."""
        self._links = links
        app = web.Application(client_max_size=MAX_JSON_BYTES)
        if pages is not None:
            pages.add_to(app.router)
        app.router.add_get("/d/{job_id}", self._download)
        app.router.add_get("/health", _health)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._config.host, self._config.port).start()
        except OSError as error:
            log.error(
                "no web pages: cannot listen on %s:%s (%s); change [web] in config.toml",
                self._config.host,
                self._config.port,
                error.strerror or error,
            )
            await runner.cleanup()
            return
        self._runner = runner
        self.port = runner.addresses[0][1]
        log.info("web pages on %s", self.base_url())

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _download(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job_id"]
        verdict = "wrong"
        if self._links is not None:
            verdict = self._links.check(job_id, request.query.get("e", ""), request.query.get("s", ""))
        if verdict == "wrong":
            return _page(403, "This link is not complete. Press Download on the training's card for a fresh one.")
        if verdict == "expired":
            return _page(410, "This link has expired. Press Download on the training's card for a fresh one.")
        found = await self._find_file(job_id)
        if found is None:
            return _page(404, "This file is not here any more.")
        return web.FileResponse(
            found.path,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f'attachment; filename="{found.name}"',
                "Cache-Control": "private, no-store",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            },
        )


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def _page(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=sentence + "\n", headers={"Cache-Control": "no-store"})
