"""Checks requests against Discord's own OpenAPI file, where the checkout has it beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.wire.faults import Call

SPEC_FILE = Path(__file__).parents[3] / "shared" / "discord-openapi.json"
_URI = "urn:discord"


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    template: str
    pattern: re.Pattern[str]
    query: dict[str, tuple[bool, Draft202012Validator]]
    """Known query parameters: whether each is required, and its schema."""
    path: dict[str, Draft202012Validator]
    body: Draft202012Validator | None
    body_required: bool


class OpenApi:
    """Discord's API as its owner describes it, in the two places relaxed where discord.py's valid requests need it:
    unions written as oneOf overlap (anyOf), and snowflakes are also sent as whole numbers."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = _relaxed(spec)
        resource = Resource.from_contents(self._spec, default_specification=DRAFT202012)
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        found = [
            self._operation(method.upper(), template, path, path[method])
            for template, path in self._spec["paths"].items()
            for method in ("get", "post", "put", "patch", "delete")
            if method in path
        ]
        # Literal parts before parameters, so that /users/@me is not taken for /users/{user_id}.
        self._operations = sorted(found, key=lambda operation: operation.template.replace("{", "~"))

    @classmethod
    def load(cls) -> OpenApi | None:
        """The file beside this checkout, or None where there is none."""
        return _loaded(SPEC_FILE) if SPEC_FILE.is_file() else None

    def problems(self, call: Call) -> list[str]:
        """What is wrong with the request, in no special order; empty when it is valid."""
        operation = next(
            (o for o in self._operations if o.method == call.method and o.pattern.fullmatch(call.path)), None
        )
        if operation is None:
            return [f"{call}: no such route in Discord's API"]
        found = [f"{call}: {problem}" for problem in (*self._path(operation, call), *self._query(operation, call))]
        if operation.body is None or (call.body is None and not operation.body_required):
            return found if call.body is None else [*found, f"{call}: takes no body"]
        return [*found, *(f"{call}: body {_where(error)}" for error in operation.body.iter_errors(call.body))]

    def _path(self, operation: Operation, call: Call) -> list[str]:
        match = operation.pattern.fullmatch(call.path)
        assert match is not None
        values = zip(re.findall(r"\{(\w+)\}", operation.template), match.groups(), strict=True)
        return [f"{name}={value!r} in the path" for name, value in values if not operation.path[name].is_valid(value)]

    def _query(self, operation: Operation, call: Call) -> list[str]:
        problems = [f"query has no {name!r}" for name in call.query if name not in operation.query]
        for name, (required, schema) in operation.query.items():
            if name not in call.query:
                problems += [f"query lacks {name!r}"] if required else []
            elif not any(schema.is_valid(value) for value in _readings(call.query[name])):
                problems.append(f"query {name}={call.query[name]!r}")
        return problems

    def _operation(self, method: str, template: str, path: dict[str, Any], item: dict[str, Any]) -> Operation:
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(template)))
        described = [*path.get("parameters", []), *item.get("parameters", [])]
        query = [p for p in described if p["in"] == "query"]
        content = item.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", content.get("multipart/form-data", {})).get("schema")
        return Operation(
            method,
            template,
            pattern,
            {p["name"]: (p.get("required", False), self._schema(p["schema"])) for p in query},
            {p["name"]: self._schema(p["schema"]) for p in described if p["in"] == "path"},
            self._schema(schema) if schema is not None else None,
            item.get("requestBody", {}).get("required", False),
        )

    def _schema(self, schema: dict[str, Any]) -> Draft202012Validator:
        return Draft202012Validator(_absolute(schema), registry=self._registry)


@cache
def _loaded(file: Path) -> OpenApi:
    return OpenApi(json.loads(file.read_bytes()))


def _relaxed(spec: Any) -> Any:
    """The file with oneOf as anyOf and snowflakes that may be whole numbers."""
    if isinstance(spec, list):
        return [_relaxed(item) for item in spec]
    if not isinstance(spec, dict):
        return spec
    if spec.get("format") == "snowflake" and spec.get("type") == "string":
        return {"anyOf": [spec, {"type": "integer", "minimum": 0}]}
    return {("anyOf" if key == "oneOf" else key): _relaxed(value) for key, value in spec.items()}


def _absolute(schema: Any) -> Any:
    """References as seen from outside the file."""
    if isinstance(schema, list):
        return [_absolute(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _URI + value if key == "$ref" and value.startswith("#") else _absolute(value)
        for key, value in schema.items()
    }


def _readings(text: str) -> list[Any]:
    """What a query value can mean: text, number, truth."""
    readings: list[Any] = [text]
    if text.lstrip("-").isdigit():
        readings.append(int(text))
    if text.lower() in ("true", "false", "1", "0"):
        readings.append(text.lower() in ("true", "1"))
    return readings


def _where(error: Any) -> str:
    """Path and reason; of a union the branch that got furthest."""
    deepest = error
    while deepest.context:
        deepest = max(deepest.context, key=lambda inner: len(inner.absolute_path))
    path = "/".join(str(part) for part in deepest.absolute_path)
    return f"at {path or 'its top'}: {deepest.message[:200]}"
