"""A headless Chromium, driven by the DevTools Protocol over aiohttp: open a page, look at it, choose files, click."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp

BINARY = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-port=0"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
DESK = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
PATIENCE = 180.0
"""Seconds after which a page that does not become what a test waits for has failed."""


class Tab:
    """One page; what went wrong in its script or was refused by its policy is kept in `complaints`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, target: str) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())
        self._moved = asyncio.Event()
        self.target = target
        self.complaints: list[str] = []

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Page.frameNavigated" and "parentId" not in said["params"]["frame"]:
                self._moved.set()
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(said["params"]["exceptionDetails"])[:500])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["source"] == "security":
                self.complaints.append(said["params"]["entry"]["text"])

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._answers[number], PATIENCE + 10)
        assert "error" not in answer, answer
        return answer["result"]

    async def go(self, method: str, **params: Any) -> None:
        """Open a page, or load it anew; Chromium answers while the old one may still be asked, which then fails."""
        self._moved.clear()
        await self.do(method, **params)
        await asyncio.wait_for(self._moved.wait(), PATIENCE)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = await self.do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str, what: str = "") -> Any:
        """The expression's value once it is true; the page itself watches. One that cannot be had yet is not true."""
        watch = f"""new Promise((done, failed) => {{
            const end = performance.now() + {PATIENCE * 1000};
            const look = () => {{
                let value;
                try {{ value = ({script}); }} catch {{ /* not there yet */ }}
                if (value) done(value);
                else if (performance.now() > end) failed(new Error('in vain'));
                else setTimeout(look, 30);
            }};
            look();
        }})"""
        answer = await self.do("Runtime.evaluate", expression=watch, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise TimeoutError(f"{what or script}; the page says: {await self.text('body')}")
        return answer["result"].get("value")

    async def text(self, selector: str) -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def click(self, selector: str, words: str = "") -> None:
        """Click the first visible element of the selector (with these words in it), once it takes a click."""
        found = f"""[...document.querySelectorAll({json.dumps(selector)})]
            .find((each) => each.offsetParent && !each.disabled && each.innerText.includes({json.dumps(words)}))"""
        await self.until(f"({found}.click(), true)", f"{selector} with {words!r}")

    async def write(self, selector: str, words: str) -> None:
        """Replace the text of the first such field as a keyboard does."""
        await self.run(f"document.querySelector({json.dumps(selector)}).select()")
        await self.do("Input.insertText", text=words)

    async def choose(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in a file input."""
        root = (await self.do("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.do("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.do("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    async def shot(self, path: Path, *, whole: bool = False) -> Path:
        """A screenshot; `whole` also of what one would scroll to."""
        answer = await self.do("Page.captureScreenshot", captureBeyondViewport=whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()


class Browser:
    """The process; `tab` opens pages in it."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address
        self._tabs: list[Tab] = []

    async def tab(self, url: str, screen: dict[str, Any] = PHONE, scheme: str = "light") -> Tab:
        async with self._session.put(f"{self._address}/json/new?about:blank") as answer:
            made = await answer.json()
        socket = await self._session.ws_connect(made["webSocketDebuggerUrl"], max_msg_size=0)
        tab = Tab(socket, made["id"])
        self._tabs.append(tab)
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            await tab.do(f"{domain}.enable")
        await tab.do("Emulation.setDeviceMetricsOverride", **screen)
        await tab.do("Emulation.setTouchEmulationEnabled", enabled=screen["mobile"])
        await tab.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await tab.go("Page.navigate", url=url)
        return tab

    async def close_tab(self, tab: Tab) -> None:
        """Close it as a member does, whatever it is doing."""
        self._tabs.remove(tab)
        await tab.close()
        async with self._session.get(f"{self._address}/json/close/{tab.target}"):
            pass

    async def close(self) -> None:
        for tab in self._tabs:
            await tab.close()


@contextlib.asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Browser]:
    """A fresh browser; it is ended afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(BINARY, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        limit=2**20,
    )
    try:
        address = await asyncio.wait_for(_address(process), PATIENCE)
        draining = asyncio.create_task(_drain(process))
        async with aiohttp.ClientSession() as session:
            browser = Browser(session, address)
            yield browser
            await browser.close()
        draining.cancel()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        words = line.decode("utf-8", "replace")
        if "DevTools listening on ws://" in words:
            return "http://" + words.split("ws://")[1].split("/")[0]
    raise RuntimeError("Chromium ended at its start")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(65536):
        pass
