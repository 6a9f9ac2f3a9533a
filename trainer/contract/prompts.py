"""Captions as prompts: text in which A1111's syntax is to mean nothing.

A caption is tags as they are, `star (symbol)` or `:(`; the sample prompts of a job are A1111's syntax, in which a round
bracket makes its contents count more, and one that nothing closes makes all the rest count more.
"""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\()\[\]]")
_BREAK = re.compile(r"\bBREAK\b")
_TAG = re.compile(r"<(?=\w+:)")


def as_prompt(text: str) -> str:
    r"""The prompt that shows this text as it is: `star (symbol)` becomes `star \(symbol\)`.

    A backslash before anything but a bracket vanishes from a prompt (A1111's modules/prompt_parser.py), so one within
    keeps the word BREAK and `<lora:…>` from being more than text.
    """
    escaped = _SPECIAL.sub(r"\\\g<0>", text)
    return _TAG.sub(r"<\\", _BREAK.sub(r"BREA\\K", escaped))
