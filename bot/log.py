"""Logs as JSON lines on stderr, one object a line, with secrets taken out."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Fields every record has; what is not among them came by `extra=`."""

_IN_ADDRESS = re.compile(r"/(webhooks|interactions)/(\d+)/[^/\s\"'?]+")
"""Discord's interaction and webhook addresses carry a token that allows to post for 15 minutes."""


class JsonLines(logging.Formatter):
    """Time, level, logger, message, the record's extra fields, and the traceback if there is one."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON without any of the secrets."""
        time = dt.datetime.fromtimestamp(record.created, dt.UTC)
        entry: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return self._redacted(json.dumps(entry, ensure_ascii=False, default=repr))

    def _redacted(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        return _IN_ADDRESS.sub(r"/\1/\2/[secret]", line)


def _worth_saying(record: logging.LogRecord) -> bool:
    """discord.py warns that voice is not installed; this bot has no voice."""
    return "voice will NOT be supported" not in record.getMessage()


def start_logging(level: str, secrets: Sequence[str] = (), stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (stderr); libraries that chat are kept to warnings."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(secrets))
    handler.addFilter(_worth_saying)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("apscheduler", "aiohttp.access", "PIL", "discord.http"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
