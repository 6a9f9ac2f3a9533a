"""TrainConfig: what it takes, what it refuses, and in which words."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.config import TrainConfig, parse_override
from trainer.contract.errors import ContractError, InvalidConfig
from trainer.contract.presets import load_preset, preset_names

FIELDS = [field.name for field in dataclasses.fields(TrainConfig)]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**400),
    st.floats(),
    st.text(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()),
)


def test_a_config_survives_its_mapping():
    config = TrainConfig(epochs=7, checkpoint_every_epochs=2, alpha=8.5, square=True, precision="fp32")
    assert TrainConfig.from_mapping(config.to_mapping()) == config


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_any_values_are_a_valid_config_or_a_sentence(values):
    try:
        config = TrainConfig.from_mapping(values)
    except InvalidConfig:
        return
    assert TrainConfig.from_mapping(config.to_mapping()) == config
    assert all(math.isfinite(v) for v in config.to_mapping().values() if isinstance(v, float))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epohs": 3}, "did you mean 'epochs'"),
        ({"precision": "bf61"}, "did you mean 'bf16'"),
        ({"targets": []}, "known are"),
        ({"epochs": True}, "whole number"),
        ({"epochs": 3.0}, "whole number"),
        ({"square": 1}, "true or false"),
        ({"learning_rate": float("nan")}, "between"),
        ({"learning_rate": "1e-4"}, "a number"),
        ({"alpha": 10**400}, "too large"),
        ({"epochs": 0}, "between 1 and"),
        ({"bucket_step": 12}, "multiple of 8"),
        ({"resolution": 1000}, "multiple of bucket_step"),
        ({"bucket_max": 512}, "not be below resolution"),
        ({"bucket_min": 2112}, "not be above bucket_max"),
        ({"min_timestep": 500, "max_timestep": 500}, "above min_timestep"),
        ({"debiased": True, "min_snr_gamma": 5.0}, "not go together with min_snr_gamma"),
        ({"adaptive_noise_scale": 0.01}, "noise_offset above 0"),
        ({"patience": 3}, "validation_share above 0"),
        ({"zero_terminal_snr": True, "prediction": "epsilon"}, "velocity"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(values, words):
    with pytest.raises(InvalidConfig, match=words):
        TrainConfig.from_mapping(values)


def test_a_whole_number_is_taken_for_a_number():
    assert TrainConfig(alpha=16).alpha == 16.0
    assert type(TrainConfig(alpha=16).alpha) is float


def test_what_was_a_switch_once_is_still_understood():
    """In job.json of a job that waits, in a preset, and on a command line."""
    kinds = {True: "full", False: "off"}
    for value, kind in kinds.items():
        assert TrainConfig.from_mapping({"gradient_checkpointing": value}).gradient_checkpointing == kind
        assert parse_override(f"gradient_checkpointing={str(value).lower()}") == ("gradient_checkpointing", kind)
    with pytest.raises(InvalidConfig, match="unknown name 'True'"):
        TrainConfig.from_mapping({"precision": True})


def test_overrides_replace_only_what_they_name():
    base = load_preset("face").config
    changed = base.with_overrides({"rank": 8})
    assert changed.rank == 8
    assert changed.to_mapping() | {"rank": base.rank} == base.to_mapping()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=3", ("epochs", 3)),
        (" learning_rate = 1e-4 ", ("learning_rate", 1e-4)),
        ("square=True", ("square", True)),
        ("precision=bf16", ("precision", "bf16")),
    ],
)
def test_an_override_of_the_command_line_is_typed(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["epochs", "epochs=", "epochs=1.5", "square=maybe", "precision=bf61", "epchs=3", "=3"])
def test_a_bad_override_is_refused_with_a_sentence(text):
    with pytest.raises(InvalidConfig):
        parse_override(text)


@given(st.text())
def test_any_override_is_a_pair_or_a_sentence(text):
    try:
        key, _ = parse_override(text)
    except ContractError:
        return
    assert key in FIELDS


def test_every_preset_loads_and_says_what_it_is_for():
    assert {"face", "face-classic", "quick"} <= set(preset_names())
    for name in preset_names():
        assert load_preset(name).title


def test_an_unknown_preset_is_named_with_the_nearest():
    with pytest.raises(InvalidConfig, match="did you mean 'face'"):
        load_preset("fase")
