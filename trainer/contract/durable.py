"""Writes that survive a power cut: data is on disk before its name is, and a name never shows half a file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainer.contract.errors import ChannelError

KILL_AT = "LORELEI_KILL_AT"
"""Crash tests name a write point in this variable; the process then dies there as by kill -9."""


def reach(point: str) -> None:
    """Mark a labelled write point, e.g. `event.appended`; dies here when a crash test asks for it."""
    if os.environ.get(KILL_AT) == point:
        os.kill(os.getpid(), signal.SIGKILL)


def fsync_folder(folder: Path) -> None:
    """Make the folder's names durable (a rename is only lasting after this)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_file(path: Path) -> None:
    """Make the file's bytes durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o640) -> None:
    """`write_parts` of bytes that are in one piece."""
    write_parts(path, (data,), mode=mode)


def write_parts(path: Path, parts: Iterable[bytes | memoryview], *, mode: int = 0o640) -> None:
    """Replace `path` by these bytes, one part behind the other.

    Readers see the old bytes or the new, never half a file; durable on return. Raises ChannelError when the disk
    refuses (full, read-only), with the old file untouched.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        reach(f"{path.name}.before-rename")
        os.replace(temporary, path)
        temporary = None
        fsync_folder(path.parent)
        reach(f"{path.name}.after-rename")
    except OSError as error:
        reason = error.strerror or error
        raise ChannelError(f"cannot write {path.name}: {reason}; free some disk space or check the rights") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """JSON in UTF-8; half a surrogate pair (from a file name that is not UTF-8) stays an escape. NaN: ValueError."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, indent=indent, sort_keys=indent is not None, separators=separators
    )
    return text.encode("utf-8", "backslashreplace") + b"\n"


def write_json(path: Path, value: Any) -> None:
    """write_atomic for a JSON value (sorted keys, so that equal values are equal bytes)."""
    write_atomic(path, json_bytes(value, indent=1))


def write_at(path: Path, end: int, data: bytes) -> None:
    """Make `data` the file's tail from offset `end` on, durably; whatever was behind `end` is cut. OSError passes.

    Unbuffered, so that nothing is written later than this call when the disk was full in the middle of it.
    """
    new = not path.exists()
    with path.open("x+b" if new else "r+b", buffering=0) as file:
        file.truncate(end)
        file.seek(end)
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    if new:
        fsync_folder(path.parent)


def copy_durable(source: Path, target: Path) -> None:
    """Copy a file under a new name, atomically and durably; a hard link where the file system allows it.

    Only for files that are never written again (content-addressed pictures, finished LoRA files).
    """
    temporary = target.with_name(f".{target.name}.part")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), temporary)  # resolved: a link to a symlink would be a symlink
        except OSError:
            shutil.copyfile(source, temporary)
        share_with_group(temporary)
        fsync_file(temporary)
        reach(f"{target.name}.before-rename")
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # rename does nothing when both names are one file already
        fsync_folder(target.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ChannelError(f"cannot copy {source.name} to {target}: {error.strerror or error}") from error


def share_with_group(path: Path) -> None:
    """Let the group read a file, and use a folder: bot and trainer may be two users with one group.

    Libraries write private files (safetensors, mkdtemp) whatever the umask says; a file of another owner is left alone.
    """
    mode = path.stat()
    if mode.st_uid == os.geteuid():
        path.chmod(stat.S_IMODE(mode.st_mode) | (0o770 if stat.S_ISDIR(mode.st_mode) else 0o440))


def publish_folder(temporary: Path, final: Path) -> None:
    """Give a finished folder its name: every file and folder in it is fsync'd first, the rename last."""
    try:
        for root, _, files in os.walk(temporary):
            for name in files:
                share_with_group(Path(root) / name)
                fsync_file(Path(root) / name)
            share_with_group(Path(root))
            fsync_folder(Path(root))
        reach(f"{final.name}.before-publish")
        os.rename(temporary, final)
        fsync_folder(final.parent)
        reach(f"{final.name}.after-publish")
    except OSError as error:
        raise ChannelError(f"cannot publish {final.name}: {error.strerror or error}") from error


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Size and sha256 of each named file, as manifest.json lists them."""
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in names}
