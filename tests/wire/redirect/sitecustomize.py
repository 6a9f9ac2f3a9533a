"""Points discord.py at a loopback server. Python runs this at its start when this folder is on PYTHONPATH.

The product knows nothing of it: whichever process imports discord.py gets the two addresses changed right after
the import, and a process that does not (the trainer) pays nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


def _point_rest(module: ModuleType) -> None:
    module.Route.BASE = os.environ["LORELEI_LOOPBACK_DISCORD"] + "/api/v10"


def _point_gateway(module: ModuleType) -> None:
    import yarl

    address = os.environ["LORELEI_LOOPBACK_DISCORD"].replace("http", "ws", 1) + "/gateway"
    module.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address)


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds the two modules as usual, and changes each once it has run."""

    def __init__(self, changes: dict[str, Callable[[ModuleType], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        change, run = self._changes.pop(name), spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "LORELEI_LOOPBACK_DISCORD" in os.environ:
    sys.meta_path.insert(0, _AfterImport({"discord.http": _point_rest, "discord.gateway": _point_gateway}))
