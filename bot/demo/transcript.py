"""The conversation as one HTML file with its pictures beside it, to be read without the demo running."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import discord

STYLE = """
body{margin:0;background:#313338;color:#dbdee1;font:16px/1.4 system-ui,sans-serif}
main{max-width:42rem;margin:0 auto;padding:12px}
h1{font-size:1.2rem}h2{font-size:1rem;color:#b5bac1;border-bottom:1px solid #3f4147;padding:16px 0 6px}
article{padding:8px 0}header b{color:#fff}header time{color:#949ba4;font-size:.75rem;margin-left:.5em}
.app{background:#5865f2;color:#fff;border-radius:4px;font-size:.65rem;padding:1px 4px;margin-left:.4em}
.card{border-left:4px solid #5865f2;background:#2b2d31;border-radius:6px;padding:10px 12px;margin:6px 0}
p{margin:.3em 0;white-space:pre-wrap;overflow-wrap:anywhere}.sub{color:#949ba4;font-size:.8rem}
img{max-width:100%;border-radius:8px;display:block;margin:6px 0}code{background:#1e1f22;border-radius:4px;padding:0 4px}
.button{display:inline-block;background:#4e5058;color:#fff;border-radius:8px;padding:6px 14px;margin:4px 6px 0 0}
.file{background:#1e1f22;border-radius:8px;padding:8px;display:inline-block;margin:4px 0}
"""
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


async def write_transcript(path: Path, channels: Iterable[tuple[str, Sequence[discord.Message]]]) -> None:
    """Write the page and, in `media/` beside it, the files of its messages."""
    media = path.parent / "media"
    media.mkdir(parents=True, exist_ok=True)
    parts = []
    for title, messages in channels:
        parts.append(f"<h2># {html.escape(title)}</h2>")
        for message in messages:
            parts.append(await _message(message, media))
    body = "\n".join(parts)
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Lorelei: the demo's conversation</title><style>{STYLE}</style>"
        f"<main><h1>Lorelei: the demo's conversation</h1>{body}</main></html>\n",
        "utf-8",
    )


async def _message(message: discord.Message, media: Path) -> str:
    names = {}
    for attachment in message.attachments:
        name = f"{message.id}-{re.sub(r'[^A-Za-z0-9._-]', '_', attachment.filename)}"
        (media / name).write_bytes(await attachment.read())
        names[attachment.filename] = name
    app = '<span class="app">APP</span>' if message.author.bot else ""
    time = f"<time>{message.created_at:%H:%M:%S}</time>"
    content = _text(message.content)
    components = "".join(_component(component.to_dict(), names) for component in message.components)
    shown = set(re.findall(r'src="media/([^"]+)"', components))
    files = "".join(_file(name) for name in names.values() if name not in shown)
    header = f"<header><b>{html.escape(message.author.display_name)}</b>{app}{time}</header>"
    return f"<article>{header}{content}{components}{files}</article>"


def _component(component: Any, names: dict[str, str]) -> str:
    """One component (v1 or v2) and everything in it."""
    kind = component.get("type")
    if kind == 10:
        return _text(component.get("content", ""))
    if kind == 2:
        return f'<span class="button">{html.escape(component.get("label") or "")}</span>'
    pictures = "".join(_file(name) for url in _urls(component, kind) if (name := _local(url, names)))
    inner = "".join(_component(child, names) for child in component.get("components", ()))
    accessory = component.get("accessory")
    inner += _component(accessory, names) if accessory else ""
    body = pictures + inner
    return f'<div class="card">{body}</div>' if kind == 17 else f"<div>{body}</div>"


def _urls(component: Any, kind: int | None) -> Iterator[str]:
    """Addresses of the media a gallery (12), file (13) or thumbnail (11) shows."""
    if kind == 12:
        yield from (item["media"]["url"] for item in component.get("items", ()))
    elif kind == 11:
        yield component["media"]["url"]
    elif kind == 13:
        yield component["file"]["url"]


def _local(url: str, names: dict[str, str]) -> str | None:
    name = url.split("?", 1)[0].removeprefix("attachment://").rsplit("/", 1)[-1]
    return names.get(name)


def _file(name: str) -> str:
    if name.lower().endswith(PICTURES):
        return f'<img src="media/{name}" alt="">'
    return f'<a class="file" href="media/{name}">{name}</a>'


def _text(text: str) -> str:
    """Discord's markdown as far as the bot uses it."""
    lines = []
    for line in text.splitlines():
        shown = html.escape(re.sub(r"\\([*_~`|>#@\\.()\[\]-])", r"\1", line))
        shown = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", shown)
        shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", shown)
        shown = re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', shown)
        shown = re.sub(
            r"&lt;t:(\d+)(?::\w)?&gt;", lambda match: f"{datetime.fromtimestamp(int(match[1])):%H:%M:%S}", shown
        )
        small = shown.startswith("-# ")
        shown = re.sub(r"^(-# |#{1,3} |&gt; )", "", shown)
        lines.append(f'<p class="sub">{shown}</p>' if small else f"<p>{shown}</p>")
    return "".join(lines)
