"""Caption files as people's programs write them: UTF-8 with a BOM or none, Windows' "Unicode", old western ones."""

from __future__ import annotations

import codecs

_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_of(raw: bytes) -> str | None:
    """The text of a file; None when it is none, or in an encoding that nothing in it tells.

    UTF-16 only with its byte order mark. What is not UTF-8 is read as Windows-1252, the encoding of western Windows;
    five of its bytes mean nothing, and no text holds a NUL, so much that is something else is known by them.
    """
    try:
        text = raw.decode("utf-16") if raw.startswith(_UTF16_BOMS) else raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        if raw.startswith(_UTF16_BOMS):
            return None
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError:
            return None
    return None if "\0" in text else text
