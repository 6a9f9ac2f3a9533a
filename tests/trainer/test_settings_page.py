"""docs/SETTINGS.md against the code: every setting, its default, the kohya keys that set it, and tests that exist."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from tests.trainer.kohya.test_options import OPTIONS, of
from trainer.contract.config import TrainConfig
from trainer.contract.kohya.importing import import_toml

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| `(\w+)` \| `(.*?)` \| (.+?) \| (.*?) \| (.+?) \|")
ROWS = {row[1]: row for row in map(ROW.fullmatch, (ROOT / "docs/SETTINGS.md").read_text("utf-8").splitlines()) if row}
FIELDS = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
SD_SCRIPTS = b"""
learning_rate = 1e-4
alpha_mask = true
v_parameterization = true
zero_terminal_snr = true
caption_tag_dropout_rate = 0.1
"""
"""Keys of sd-scripts that the GUI has not."""


def code(cell):
    return re.findall(r"`(.+?)`", cell)


def test_every_setting_has_its_row_with_its_default():
    assert list(ROWS) == list(FIELDS)
    shown = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in FIELDS.items()}
    assert {name: row[2] for name, row in ROWS.items()} == shown


def test_the_kohya_keys_are_those_that_are_taken():
    taken = {(one.setting, one.key) for keys, _ in OPTIONS for one in of(**keys).report.taken}
    own = {"zero_terminal_snr", "tag_dropout", "masked_loss"}
    taken |= {(one.setting, one.key) for one in import_toml(SD_SCRIPTS).report.taken if one.setting in own}
    assert {(name, key) for name, row in ROWS.items() for key in code(row[4])} == taken


@pytest.mark.parametrize("name", FIELDS)
def test_the_tests_named_exist(name):
    tests = code(ROWS[name][5])
    assert tests
    for test in tests:
        path, _, function = test.partition("::")
        tree = ast.parse((ROOT / "tests/trainer" / path).read_text("utf-8"))
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test
