"""The presets that Kohya SS ships, of its old and its present generation, come to the values they hold."""

import json

import pytest

from tests.trainer.kohya.files import PRESETS, SAME, SETTINGS, data, old, today
from trainer.contract.config import TrainConfig
from trainer.contract.kohya.exporting import export_json
from trainer.contract.kohya.importing import import_json

GENERATIONS = {"old": old, "today": today}


@pytest.fixture(params=[(name, generation) for name in PRESETS for generation in GENERATIONS], ids="-".join)
def case(request):
    name, generation = request.param
    return name, GENERATIONS[generation](name)


def test_the_files_have_the_size_of_their_generation():
    assert {len(old(name)) for name in PRESETS} <= set(range(92, 97))
    assert {len(today(name)) for name in PRESETS} == {288}


def test_a_shipped_preset_has_the_values_of_its_file(case):
    name, values = case
    config = import_json(data(values)).config.to_mapping()
    expected = {**TrainConfig().to_mapping(), **SAME, **SETTINGS[name]}
    defaults = {"weight_decay": 0.0 if name == "adafactor" else 0.01, "beta_2": 0.999, "zero_terminal_snr": False}
    assert config == {**expected, **defaults}


def test_every_key_is_accounted_for(case):
    _, values = case
    report = import_json(data(values)).report
    places = [{one.key for one in report.taken}, set(report.ignored), set(report.refused), set(report.off)]
    assert set.union(*places) == set(values)
    assert sum(map(len, places)) == len(values), "each key is in one place"
    assert all(report.ignored.values())
    assert {"training_comment"} <= set(report.refused)


def test_the_way_there_and_back_is_the_identity(case):
    _, values = case
    imported = import_json(data(values))
    exported = export_json(imported.config, imported.kept)
    again = import_json(exported.data)
    assert again.config == imported.config
    assert exported.lost == ()
    assert again.kept.items() >= imported.kept.items()
    assert len(json.loads(exported.data)) == 288 + len(imported.kept.keys() - today("AI_Now").keys())


def test_both_generations_say_the_same():
    for name in PRESETS:
        assert import_json(data(old(name))).config == import_json(data(today(name))).config
