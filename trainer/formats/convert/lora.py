"""A LoRA between two forms of file, with what is needed to write it again as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from trainer.formats.lora_modules import LoraModules

Form = Literal["kohya", "diffusers", "peft"]
FORMS: tuple[Form, ...] = get_args(Form)
MEMORY = "lorelei_forms"
"""Metadata entry of a converted file: what other forms it had said that this one cannot, as JSON."""

Own = dict[str, Any]
"""What only one form says, ready for JSON; each form's module describes its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA as it was read."""

    modules: LoraModules
    metadata: dict[str, str]
    """About the LoRA, whatever its form."""
    form: Form
    own: Own
    """What only its form says."""
    memory: dict[Form, Own]
    """What the forms it had before said, in that order."""
    without_alpha: int = 0
    """Modules whose alpha neither the file nor the caller says: they act at strength 1."""


def remembered(metadata: Mapping[str, str]) -> dict[Form, Own]:
    """The memory in a file's metadata; empty when there is none that can be used."""
    try:
        value = json.loads(metadata.get(MEMORY, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {form: own for form, own in value.items() if form in FORMS and isinstance(own, dict)}


def memory_entry(lora: Lora, form: Form) -> dict[str, str]:
    """The metadata entry by which the next conversion of a file written in `form` knows what this LoRA was.

    A LoRA that returns to a form it had gets the entry it had there, so that there and back is the identity.
    """
    been = [*lora.memory, lora.form]
    earlier = been[: been.index(form)] if form in been else been
    return {MEMORY: json.dumps({known: own_of(lora, known) for known in earlier})} if earlier else {}


def at_strength_1(modules: LoraModules) -> bool:
    """True when a file without alphas would say the same."""
    return all(module.alpha == module.rank for module in modules.values())


def own_of(lora: Lora, form: Form) -> Own:
    """What this LoRA said in `form` when it had it; empty when it never had."""
    return lora.own if form == lora.form else lora.memory.get(form, {})


def part_modules(modules: LoraModules) -> dict[str, LoraModules]:
    """The modules of each part that has any, by path inside the part."""
    parts: dict[str, LoraModules] = {}
    for name, module in modules.items():
        part, _, path = name.partition(".")
        parts.setdefault(part, {})[path] = module
    return parts
