"""Signs what members are handed with one secret: links to files (bot.web.links), passes to pages (bot.web.passes)."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from bot.errors import StorageError
from trainer.contract.durable import write_atomic
from trainer.contract.errors import ChannelError

SECRET_BYTES = 32


class Signer:
    """HMAC-SHA256 over texts that hold when they expire.

    Each kind of text begins in a way no other kind does, so that the signature of one is no signature of another.
    """

    def __init__(
        self,
        secret: bytes,
        base_url: Callable[[], str],
        clock: Callable[[], float] = time.time,
        *,
        public: bool = True,
    ) -> None:
        self._secret = secret
        self._clock = clock
        self.base_url = base_url
        """Start of links as members reach them; empty while the web server is not up."""
        self.public = public
        """False when links only work on the bot's own machine."""

    def sign(self, text: str) -> str:
        """The text's signature, 64 hex digits."""
        return hmac.new(self._secret, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def signed(self, text: str, signature: str) -> bool:
        """Whether the signature is the text's; compares in constant time."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode("utf-8", "replace"))

    def expiry(self, hours: float) -> int:
        """Unix time at which what is handed out now expires."""
        return int(self._clock() + hours * 3600.0)

    def expired(self, expires: int) -> bool:
        """Whether that time is over."""
        return expires <= self._clock()


def load_secret(path: Path) -> bytes:
    """The secret, made on first use with mode 0600, so that links outlive a restart.

    Raises StorageError when it cannot be read or written.
    """
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
