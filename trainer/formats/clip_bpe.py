"""CLIP's tokenizer, built from the vocabulary that comes with the project (no download, no cache).

The file is OpenAI's `bpe_simple_vocab_16e6.txt.gz` as MIT-licensed open_clip ships it; its notice lies beside it.
"""

from __future__ import annotations

import gzip
from importlib import resources

from transformers import CLIPTokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
CLIP_MERGES = 49152 - 256 - 2
"""Merges CLIP uses of the file's 262k (openai/CLIP, simple_tokenizer.py), which makes 49,408 tokens."""

CONTEXT = 77
"""Tokens a CLIP text encoder reads, begin and end included."""


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes in the order of CLIP's ids ("!" is 0), after GPT-2's bytes_to_unicode."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def clip_tokenizer(pad_token: str, merges: int = CLIP_MERGES) -> CLIPTokenizer:
    """A tokenizer of SDXL: pad with END for the first text encoder, with "!" for the second.

    `merges` below CLIP_MERGES makes a smaller vocabulary that still reads any text, in more tokens.
    """
    packed = (resources.files("trainer.model.sdxl_config") / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : merges + 1]
    pairs = [tuple(line.split()) for line in lines]
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(pair) for pair in pairs), BEGIN, END]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(
        vocab=vocab,
        merges=pairs,
        unk_token=END,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=pad_token,
        model_max_length=CONTEXT,
    )
