"""The presets that come with the project: complete, reasoned, and true to what they name."""

import re
from importlib import resources

import pytest

from trainer.contract.config import TrainConfig
from trainer.contract.presets import PRESET_OF, load_preset, preset_names
from trainer.contract.spec import KINDS

NAMES = ["character", "face", "face-classic", "object", "quick", "style"]


def lines_of(name):
    text = (resources.files("trainer.presets") / f"{name}.toml").read_text("utf-8")
    return [line for line in text.splitlines() if re.match(r"\w+ = ", line)]


def test_these_are_the_presets():
    assert preset_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_number_has_its_reason(name):
    reason = re.compile(r"# \S+ \S+|# \S{5,}")
    bare = [line for line in lines_of(name) if re.search(r"= -?\d", line) and not reason.search(line)]
    assert not bare


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_the_settings_that_matter_and_what_it_is_for(name):
    said = {line.partition(" = ")[0] for line in lines_of(name)}
    assert said >= {"title", "epochs", "batch_size", "learning_rate", "rank", "alpha", "targets", "precision"}
    preset = load_preset(name)
    assert preset.name == name
    assert len(preset.title) <= 100


def test_face_classic_is_the_guides_method_to_the_letter():
    config = load_preset("face-classic").config
    published = {
        "optimizer": "adamw",
        "precision": "full-bf16",
        "batch_size": 5,
        "epochs": 100,
        "checkpoint_every_epochs": 5,
        "resolution": 1024,
        "sample_steps": 30,
        "sample_sampler": "dpm++ 2m karras",
    }
    chosen = {"learning_rate": 1e-4, "rank": 32, "alpha": 32.0, "square": True}
    assert config == TrainConfig(**published, **chosen), "nothing else is switched on"
    text = (resources.files("trainer.presets") / "face-classic.toml").read_text("utf-8")
    for name in ("learning_rate", "rank", "alpha"):
        assert re.search(rf"^{name} = .*# not published by the method; our choice", text, re.MULTILINE)


def test_face_is_the_classic_method_with_fp32_weights_and_the_class_word_kept():
    classic, face = load_preset("face-classic").config.to_mapping(), load_preset("face").config.to_mapping()
    assert {name for name in face if face[name] != classic[name]} == {"precision", "square", "preservation_weight"}
    assert face["precision"] == "auto"


def test_every_kind_has_a_preset_that_fits():
    assert set(PRESET_OF) == set(KINDS)
    assert set(PRESET_OF.values()) == {"face", "character", "style", "object"}
    assert load_preset(PRESET_OF["style"]).config.preservation_weight == 0, "a style is for everything"
    assert not load_preset(PRESET_OF["person"]).config.flip, "faces are not symmetric"
    assert not load_preset(PRESET_OF["object"]).config.flip, "lettering is not either"


def test_quick_is_quick():
    assert load_preset("quick").config.epochs * 5 == load_preset("face").config.epochs
