r"""A1111's prompt syntax, parsed.

    (word) ((word)) (word:1.2)   counts 1.1, 1.21, 1.2 times
    [word]                       counts 1 / 1.1 times
    \( \) \[ \] \\               the characters themselves
    a BREAK b                    b begins a new chunk of 75 tokens
    <lora:name:0.9>              the file `name` acts at 0.9; it is no part of the text

Brackets nest and multiply. One that is never closed reaches to the end; one that closes nothing is text. Followed:
AUTOMATIC1111/stable-diffusion-webui 1.10 (modules/prompt_parser.py, modules/extra_networks.py and
extensions-builtin/Lora/extra_networks_lora.py), with two differences: a number A1111 fails on is text here, and a BREAK
within round brackets with a weight is a BREAK. Not covered, and read as text: prompt editing (`[from:to:0.5]`, `[a|b]`)
and `AND`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from trainer.errors import BadSample
from trainer.model.chunks import Piece, Sections

ROUND, SQUARE = 1.1, 1 / 1.1
"""What a bracket multiplies by."""

MOST_WEIGHT = 100.0
"""Beyond this weight in either direction is a slip of the pen; words are held to it, a LoRA is refused."""

_TAG = re.compile(r"<(\w+):([^<>]+)>")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_TOKEN = re.compile(
    rf"(?P<escape>\\[()\[\]\\]?)|(?P<open>[(\[])|:\s*(?P<weight>{_NUMBER})\s*\)|(?P<close>[)\]])|(?P<text>[^\\()\[\]:]+|:)"
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True, slots=True)
class LoraTag:
    """`<lora:name:0.9>`; apart for text encoders and UNet `<lora:name:0.5:1>` or `<lora:name:te=0.5:unet=1>`."""

    name: str
    text_encoder: float = 1.0
    unet: float = 1.0


def sections_of(prompt: str) -> Sections:
    """The prompt's text with its weights, without its tags; any text is a prompt."""
    parser = _Parser()
    for token in _TOKEN.finditer(_TAG.sub("", prompt)):
        parser.take(token)
    return parser.finished()


def lora_tags(prompt: str) -> tuple[LoraTag, ...]:
    """The LoRA files the prompt asks for, in its order. Raises BadSample for a tag that cannot be followed.

    As in A1111 the first number counts for the text encoders, the second, where there is one, for the UNet, and a file
    named twice acts twice.
    """
    tags = []
    for kind, inside in _TAG.findall(prompt):
        if kind not in ("lora", "lyco"):
            raise BadSample(f"<{kind}:{inside:.40}> cannot be used here; only <lora:name:weight> can.")
        tags.append(_lora_tag(inside))
    return tuple(tags)


def _lora_tag(inside: str) -> LoraTag:
    items = [item.strip() for item in inside.split(":")]
    named = dict(item.split("=", 1) for item in items[1:] if "=" in item)
    name, *numbers = [item for item in items if "=" not in item] or [""]
    if not name or len(numbers) > 2 or not named.keys() <= {"te", "unet"}:
        raise BadSample(f"<lora:{inside:.80}> is not understood; write it as <lora:name:0.9>.")
    text_encoder = _weight(inside, named.get("te", numbers[0] if numbers else "1"))
    unet = named.get("unet", numbers[1] if len(numbers) > 1 else "")
    return LoraTag(name, text_encoder, _weight(inside, unet) if unet else text_encoder)


def _weight(inside: str, text: str) -> float:
    if not re.fullmatch(_NUMBER, text, re.ASCII) or not abs(float(text)) <= MOST_WEIGHT:
        raise BadSample(f"The weight {text!r:.40} in <lora:{inside:.80}> is not a number up to {MOST_WEIGHT:g}.")
    return float(text)


@dataclass(slots=True)
class _Part:
    """Text with its weight so far; a BREAK has no text."""

    text: str | None
    weight: float = 1.0


class _Parser:
    """Parts read so far, and where each open bracket began."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._open: dict[str, list[int]] = {"(": [], "[": []}

    def take(self, token: re.Match[str]) -> None:
        """Read one token."""
        whole, weight = token[0], token["weight"]
        if token["escape"]:
            self._parts.append(_Part(whole[1:]))
        elif token["open"]:
            self._open[whole].append(len(self._parts))
        elif weight is not None and self._open["("]:
            self._multiply("(", float(weight))
        elif whole == ")" and self._open["("]:
            self._multiply("(", ROUND)
        elif whole == "]" and self._open["["]:
            self._multiply("[", SQUARE)
        else:
            for number, text in enumerate(_BREAK.split(whole)):
                self._parts += [_Part(None)] * (number > 0) + [_Part(text)]

    def finished(self) -> Sections:
        """Everything, with brackets still open closed; neighbours of one weight are one piece, as tokens go by that."""
        for bracket, factor in (("(", ROUND), ("[", SQUARE)):
            while self._open[bracket]:
                self._multiply(bracket, factor)
        sections: list[list[Piece]] = [[]]
        for part in self._parts:
            last, weight = sections[-1], _held(part.weight)
            if part.text is None:
                sections.append([])
            elif last and last[-1].weight == weight:
                last[-1] = Piece(last[-1].text + part.text, weight)
            elif part.text:
                last.append(Piece(part.text, weight))
        return tuple(map(tuple, sections))

    def _multiply(self, bracket: str, factor: float) -> None:
        """Close the innermost bracket of this kind: everything since it began counts `factor` times."""
        for part in self._parts[self._open[bracket].pop() :]:
            part.weight *= factor


def _held(weight: float) -> float:
    """The weight within MOST_WEIGHT; endless times nothing is nothing."""
    return 0.0 if math.isnan(weight) else max(-MOST_WEIGHT, min(weight, MOST_WEIGHT))
