"""Latents on disk, by the content they come from: one encoding serves every job that shows the picture that way.

The cache is a convenience: whatever is wrong with it costs an encoding, never the run. Several processes may use one.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainer.contract.cache import CacheOptions, forget, group
from trainer.contract.durable import share_with_group, write_atomic
from trainer.contract.errors import ChannelError

_log = logging.getLogger(__name__)


class LatentCache:
    """A folder of latents, each with the sha256 of its numbers."""

    def __init__(self, options: CacheOptions) -> None:
        self._folder = options.folder
        self._limit = options.limit

    def get(self, picture: str, key: str, shape: Sequence[int]) -> Tensor | None:
        """The latent of a picture (its sha256) under a key, fp32 of that shape; None when it is not there.

        A damaged file counts as none, and is removed.
        """
        path = self._path(picture, key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        latent = _whole(data, shape)
        with suppress(OSError):
            if latent is None:
                _log.warning("a damaged latent in the cache is encoded anew")
                path.unlink(missing_ok=True)
            else:
                os.utime(path)  # the time of its last use
        return latent

    def put(self, picture: str, key: str, latent: Tensor) -> None:
        """Keep a latent, whole or not at all; a disk that refuses is told to the log only."""
        path = self._path(picture, key)
        digest = torch.frombuffer(bytearray(_digest(latent)), dtype=torch.uint8)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in path.parents[:3]:
                share_with_group(folder)
            write_atomic(path, save({"latent": latent.contiguous(), "sha256": digest}))
        except (OSError, ChannelError) as error:
            _log.warning("a latent is not kept in the cache: %s", error)

    def forget(self, picture: str) -> None:
        """Remove all latents of a picture (its sha256); a disk that refuses is told to the log."""
        try:
            forget(self._folder, [picture])
        except OSError as error:
            _log.warning("a latent of a deleted picture could not be removed from the cache: %s", error)

    def trim(self) -> None:
        """Remove what was not used for longest until the cache is within its limit."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self._limit:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
                total -= size
                path.parent.rmdir()  # refused while there is more in it

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, bytes and path of every file, parts that a killed process left included."""
        for root, _, names in os.walk(self._folder / "latents"):
            for name in names:
                path = Path(root) / name
                with suppress(OSError):  # another process was faster
                    status = path.stat()
                    yield status.st_mtime, status.st_size, path

    def _path(self, picture: str, key: str) -> Path:
        return group(self._folder, picture) / f"{key}.safetensors"


def _whole(data: bytes, shape: Sequence[int]) -> Tensor | None:
    """The latent in a file's bytes, if it is what was once written."""
    try:
        tensors = load(data)
        latent, digest = tensors["latent"], bytes(tensors["sha256"].tolist())
    except (SafetensorError, KeyError, ValueError, TypeError):
        return None
    intact = latent.dtype == torch.float32 and tuple(latent.shape) == tuple(shape) and digest == _digest(latent)
    return latent if intact else None


def _digest(latent: Tensor) -> bytes:
    return hashlib.sha256(latent.contiguous().numpy().data).digest()
