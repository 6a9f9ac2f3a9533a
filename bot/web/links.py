"""Signed, expiring download links: who has the link has the file until then. HMAC-SHA256 over job id and time."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from bot.errors import StorageError
from bot.services.messages import DownloadLink
from trainer.contract.durable import write_atomic
from trainer.contract.errors import ChannelError

SECRET_BYTES = 32


class Links:
    """Makes and checks links; the secret lives in a file only the bot may read, so links outlive a restart."""

    def __init__(
        self,
        secret: bytes,
        hours: float,
        base_url: Callable[[], str],
        clock: Callable[[], float] = time.time,
        *,
        public: bool = True,
    ) -> None:
        self._secret = secret
        self._hours = hours
        self._public = public
        self._base_url = base_url
        self._clock = clock

    def link(self, job_id: str) -> str:
        """A fresh link to the job's LoRA file; empty while the web server is not up."""
        base = self._base_url()
        if not base:
            return ""
        expires = int(self._clock() + self._hours * 3600.0)
        return f"{base}/d/{quote(job_id, safe='')}?e={expires}&s={self._sign(job_id, str(expires))}"

    def offer(self, job_id: str) -> DownloadLink | None:
        """A fresh link with what a member must know about it; None while the web server is not up."""
        url = self.link(job_id)
        return DownloadLink(url, self._hours, self._public) if url else None

    def check(self, job_id: str, expires: str, signature: str) -> Literal["good", "expired", "wrong"]:
        """Whether a link may be followed; compares in constant time, the signature before the time."""
        expected = self._sign(job_id, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return "wrong"
        return "good" if int(expires) > self._clock() else "expired"

    def _sign(self, job_id: str, expires: str) -> str:
        text = f"{len(job_id)}:{job_id}:{expires}".encode("utf-8", "replace")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


def load_secret(path: Path) -> bytes:
    """The links' secret, made on first use with mode 0600; raises StorageError when it cannot be read or written."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, secrets.token_bytes(SECRET_BYTES), mode=0o600)
        if path.stat().st_mode & 0o077:
            os.chmod(path, 0o600)  # noqa: PTH101 - the secret must not be readable by others, however it got there
        secret = path.read_bytes()
    except (OSError, ChannelError) as error:
        raise StorageError(f"the links' secret {path} cannot be used: {error}; check the folder's rights") from error
    if len(secret) < SECRET_BYTES:
        raise StorageError(f"the links' secret {path} is damaged; delete it, old links then end")
    return secret
