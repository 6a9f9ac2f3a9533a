"""People's words, made harmless for Discord's markdown, and small sentences."""

from __future__ import annotations

from collections.abc import Sequence

import discord


def escaped(words: str, limit: int = 1000) -> str:
    """`words` on one line, shown as written: no markdown, no mention, no timestamp or emoji code comes alive."""
    line = " ".join(words.split())
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    harmless = discord.utils.escape_markdown(line, ignore_links=False).replace("<", "\\<")
    return discord.utils.escape_mentions(harmless)


def block(words: str) -> str:
    """`words` in a code block: wholly and as written, where no markdown and no mention comes alive."""
    return "```\n" + words.replace("```", "`\u200b`\u200b`") + "\n```"


def count(number: int, one: str, many: str = "") -> str:
    """`1 picture`, `3 pictures`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listing(sentences: Sequence[str], shown: int = 5, limit: int = 300) -> str:
    """Sentences one a line; after the first few only how many more there are.

    They are the services' own sentences: people's words in them are harmless already (bot.rules.names.shown_file).
    """
    lines = [sentence if len(sentence) <= limit else sentence[: limit - 1] + "…" for sentence in sentences[:shown]]
    if len(sentences) > shown:
        lines.append(f"… and {len(sentences) - shown} more")
    return "\n".join(lines)
