"""Facts attached to log lines must not bear a name that log records have already: logging raises KeyError then."""

import ast
import logging
from pathlib import Path

ROOT = Path(__file__).parent.parent
TAKEN = {*vars(logging.makeLogRecord({})), "message", "asctime"}


def _extras(path: Path) -> list[tuple[int, str]]:
    calls = (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call))
    given = (word.value for call in calls for word in call.keywords if word.arg == "extra")
    keys = (key for value in given if isinstance(value, ast.Dict) for key in value.keys)
    return [(key.lineno, key.value) for key in keys if isinstance(key, ast.Constant)]


def test_no_fact_bears_a_name_that_log_records_have():
    found = [
        (path, *each) for part in ("bot", "trainer") for path in (ROOT / part).rglob("*.py") for each in _extras(path)
    ]
    assert found, "facts are attached somewhere"
    assert [(path.name, line, name) for path, line, name in found if name in TAKEN] == []
