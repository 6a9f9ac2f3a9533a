"""What a file that is no picture for us most likely is, in words; by its first bytes, never by its name."""

from __future__ import annotations

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF, which may be animated"),
    (b"%PDF", "a PDF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF or raw photo"),
    (b"MM\0*", "a TIFF or raw photo"),
    (b"SIMPLE", "a FITS file"),
    (b"PK\x03\x04", "a ZIP or document"),
    (b"\x1aE\xdf\xa3", "a video"),
)


def what_it_is(data: bytes) -> str:
    """A noun with its article, e.g. `a PDF`."""
    for start, words in _STARTS:
        if data.startswith(start):
            return words
    if data[4:8] == b"ftyp":
        return "a video, or a picture of a kind I cannot open"
    if b"<svg" in data[:1024].lower():
        return "an SVG drawing"
    return "not a picture that I can open"
