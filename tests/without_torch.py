"""pytest plugin: torch and what is built on it cannot be imported, as on a host that only runs the bot."""

import importlib.abc
import sys

FORBIDDEN = {"torch", "diffusers", "transformers", "peft", "accelerate", "safetensors"}


class Forbidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{name} is not for the bot", name=name)


sys.meta_path.insert(0, Forbidden())
