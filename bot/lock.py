"""One bot per data folder: two would post everything twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.errors import ConfigError

NAME = "bot.lock"


@contextmanager
def only_bot(data: Path) -> Iterator[None]:
    """Hold the data folder; raises ConfigError when another bot has it. The kernel lets go when the process dies."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = os.open(data / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot use the data folder {data}: {error.strerror}; fix its owner or rights") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"a bot already runs on {data}; stop it first, or give this one another folder") from None
        yield
    finally:
        os.close(handle)


def is_running(data: Path) -> bool:
    """Whether a bot holds the data folder."""
    try:
        handle = os.open(data / NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
