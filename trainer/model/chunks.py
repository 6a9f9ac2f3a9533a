"""Prompts as chunks of tokens, the way A1111 hands them to CLIP, which reads 75 tokens and its two marks at a time.

Followed: AUTOMATIC1111/stable-diffusion-webui 1.10, modules/sd_hijack_clip.py (tokenize_line) with its default
comma_padding_backtrack of 20. Not covered: textual inversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

COMMA_BACKTRACK = 20
"""A full chunk ends behind its last comma, when that is among its last so many tokens: a tag is not torn apart."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a prompt, and how much more than usual it counts."""

    text: str
    weight: float = 1.0


Sections = tuple[tuple[Piece, ...], ...]
"""A prompt between its BREAKs: each section begins a chunk of its own."""

Chunk = list[tuple[int, float]]
"""Ids of up to 75 tokens, each with its weight, without the marks for begin and end."""


def plain(prompt: str) -> Sections:
    """A prompt that is nothing but text."""
    return ((Piece(prompt),),)


def chunks_of(tokenizer: Any, sections: Sections, most: int | None = None) -> list[Chunk]:
    """The prompt's chunks, at least one; what does not fit into `most` of them is left out.

    A section without text is an empty chunk, except as the last one (A1111's rule for a BREAK at the end). The last
    chunk allowed is filled to its end rather than cut at a comma, so that with `most` 1 the tokens are those that
    transformers' truncation leaves.
    """
    comma = _only(tokenizer(",", add_special_tokens=False)["input_ids"])
    room = tokenizer.model_max_length - 2
    chunks: list[Chunk] = []
    for section in sections:
        left = None if most is None else most - len(chunks)
        if left == 0:
            break
        chunks += _cut(_tokens(tokenizer, section), room, comma, left)
    if len(chunks) > 1 and not chunks[-1]:
        chunks.pop()
    return chunks


def padded(tokenizer: Any, chunk: Chunk) -> Chunk:
    """The chunk as an encoder reads it: begin, tokens, end, and padding up to the tokenizer's length (77)."""
    padding = tokenizer.model_max_length - 2 - len(chunk)
    begin, end, pad = ((token, 1.0) for token in _marks(tokenizer))
    return [begin, *chunk, end, *[pad] * padding]


def _tokens(tokenizer: Any, section: Sequence[Piece]) -> Chunk:
    return [
        (token, piece.weight)
        for piece in section
        # Not verbose: that a text is longer than CLIP reads at once is what this module is for.
        for token in tokenizer(piece.text, add_special_tokens=False, verbose=False)["input_ids"]
    ]


def _cut(tokens: Chunk, room: int, comma: int | None, most: int | None) -> list[Chunk]:
    """Chunks of at most `room` tokens, at most `most` of them."""
    chunks: list[Chunk] = [[]]
    for token in tokens:
        current = chunks[-1]
        if len(current) == room:
            if len(chunks) == most:
                break
            end = room if token[0] == comma else _end(current, comma)
            chunks.append(current[end:])
            del current[end:]
        chunks[-1].append(token)
    return chunks


def _end(chunk: Chunk, comma: int | None) -> int:
    """Where a full chunk ends: behind its last comma, if that is near enough to its end."""
    near = range(len(chunk), max(len(chunk) - COMMA_BACKTRACK, 0), -1)
    return next((place for place in near if chunk[place - 1][0] == comma), len(chunk))


def _marks(tokenizer: Any) -> tuple[int, int, int]:
    return tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id


def _only(tokens: Sequence[int]) -> int | None:
    """The one token there is; None where a vocabulary spells a comma in several."""
    return tokens[0] if len(tokens) == 1 else None
