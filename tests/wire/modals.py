"""Filling in a modal as a person would: only what the form allows."""

from __future__ import annotations

from typing import Any

TEXT_INPUT, FILE_UPLOAD, RADIO, CHECKBOXES, CHECKBOX = 4, 19, 21, 22, 23


def fields(modal: dict[str, Any]) -> list[dict[str, Any]]:
    """The modal's inputs, in order."""
    found = []
    for part in modal["components"]:
        found += [part["component"]] if part["type"] == 18 else part.get("components", [])
    return found


def answer(control: dict[str, Any], given: Any, uploaded: list[str]) -> dict[str, Any]:
    """The submitted form of one input; `given` is None for what the member left as it was.

    Raises AssertionError for what Discord's client would not let a member send.
    """
    control = {key: value for key, value in control.items() if value is not None}
    kind, custom_id = control["type"], control["custom_id"]
    common = {"type": kind, "id": control.get("id", 1), "custom_id": custom_id}
    if kind == TEXT_INPUT:
        return common | {"value": _text(control, given)}
    if kind == FILE_UPLOAD:
        _count(control, len(uploaded))
        return common | {"values": uploaded}
    if kind == CHECKBOX:
        return common | {"value": control.get("default", False) if given is None else bool(given)}
    defaults = [o["value"] for o in control.get("options", []) if o.get("default")]
    chosen = defaults if given is None else [given] if isinstance(given, str) else list(given)
    if "options" in control:
        unknown = set(chosen) - {option["value"] for option in control["options"]}
        assert not unknown, f"{custom_id}: no such choice {unknown}"
    if kind == RADIO:
        assert chosen or not control.get("required", True), f"{custom_id} needs a choice"
        return common | {"value": chosen[0] if chosen else None}
    _count(control, len(chosen))
    return common | {"values": chosen}


def _text(control: dict[str, Any], given: Any) -> str:
    value = control.get("value") or "" if given is None else str(given)
    least = control.get("min_length", 1 if control.get("required", True) else 0)
    assert value or not control.get("required", True), f"{control['custom_id']} must be filled in"
    assert not value or least <= len(value) <= control.get("max_length", 4000), f"{control['custom_id']}: {len(value)}"
    return value


def _count(control: dict[str, Any], count: int) -> None:
    if count == 0 and not control.get("required", True):
        return
    least, most = control.get("min_values", 1), control.get("max_values", 1)
    assert least <= count <= most, f"{control['custom_id']} takes {least} to {most} values, not {count}"


def submission(modal: dict[str, Any], answers: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The modal's parts as they come back, with the answers in their places."""
    parts = []
    for number, part in enumerate(modal["components"], start=1):
        common = {"type": part["type"], "id": part.get("id", number)}
        if part["type"] == 18:
            parts.append(common | {"component": answers[part["component"]["custom_id"]]})
        elif part["type"] == 1:
            parts.append(common | {"components": [answers[c["custom_id"]] for c in part["components"]]})
        else:
            parts.append(common)
    return parts
