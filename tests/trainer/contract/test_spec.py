"""JobSpec: a job survives job.json, and nothing else passes for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.contract.jobs import make_spec
from trainer.contract.channel import Command, Desired
from trainer.contract.config import TrainConfig
from trainer.contract.errors import ContractError, InvalidConfig, InvalidJob
from trainer.contract.spec import JobSpec, PictureSpec, parse_spec

FILE = "a" * 64 + ".webp"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture
def value():
    return make_spec([FILE]).to_json()


def test_a_job_survives_json(value):
    assert parse_spec(json.dumps(value).encode()) == make_spec([FILE])


def test_pictures_of_an_epoch_count_their_repeats():
    pictures = (PictureSpec(file=FILE, caption="a", repeats=3), PictureSpec(file="b" * 64 + ".png", caption="b"))
    assert make_spec([], pictures=pictures).images_per_epoch == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"job_id": "../etc"}, "job_id"),
        ({"job_id": ""}, "job_id"),
        ({"name": "Lisa XL"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"trigger": "  "}, "trigger is missing"),
        ({"trigger": "\udcff"}, "trigger"),
        ({"class_word": 3}, "class_word"),
        ({"kind": "alien"}, "kind must be one of"),
        ({"pictures": []}, "no pictures"),
        ({"pictures": "abc"}, "must be lists"),
        ({"pictures": [{"file": FILE}]}, "wrong kind"),
        ({"pictures": [{"file": "../../x.webp", "caption": "a", "repeats": 1}]}, "picture name"),
        ({"pictures": [{"file": FILE, "caption": " ", "repeats": 1}]}, "empty caption"),
        ({"pictures": [{"file": FILE, "caption": "a", "repeats": 0}]}, "repeats"),
        ({"pictures": [{"file": FILE, "caption": "a", "repeats": True}]}, "repeats"),
        ({"pictures": [{"file": FILE, "caption": "a", "regularisation": 1}]}, "regularisation must be true or false"),
        ({"pictures": [{"file": FILE, "caption": "a", "regularisation": True}]}, "only regularisation pictures"),
        ({"pictures": [{"file": FILE, "caption": "a", "focus": [0, 0, 1.2, 1]}]}, "focus must be four shares"),
        ({"pictures": [{"file": FILE, "caption": "a", "focus": [0.5, 0, 0.5, 1]}]}, "focus must be four shares"),
        ({"pictures": [{"file": FILE, "caption": "a", "focus": [0, 0, 1]}]}, "focus must be four shares"),
        ({"pictures": [{"file": FILE, "caption": "a", "focus": [0, float("nan"), 1, 1]}]}, "focus must be four shares"),
        ({"pictures": [{"file": FILE, "caption": "a", "mask": "../../x.png"}]}, "mask's name"),
        ({"pictures": [{"file": FILE, "caption": "a", "mask": FILE}]}, "mask's name"),
        ({"vae": 3}, "vae must be text"),
        ({"sample_prompts": "a prompt"}, "must be lists"),
        ({"sample_prompts": [""]}, "sample prompt is empty"),
        ({"sample_prompts": []}, "no sample prompt"),
        ({"created_at": float("nan")}, "created_at"),
        ({"created_at": "today"}, "created_at"),
        ({"schema": 3}, "schema 3"),
        ({"schema": 3, "new_field": 1}, "schema 3"),
        ({"tigger": "x"}, "did you mean 'trigger'"),
    ],
)
def test_a_wrong_job_is_refused_with_the_reason(value, change, words):
    with pytest.raises(InvalidJob, match=words):
        JobSpec.from_json({**value, **change})


def test_a_missing_field_is_named(value):
    del value["base"]
    with pytest.raises(InvalidJob, match="base"):
        JobSpec.from_json(value)


def test_a_wrong_config_inside_a_job_names_the_setting(value):
    value["config"]["epohs"] = 3
    with pytest.raises(InvalidConfig, match="epochs"):
        JobSpec.from_json(value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b'"job"'])
def test_bytes_that_are_no_job_are_refused(data):
    with pytest.raises(InvalidJob):
        parse_spec(data)


@given(st.sampled_from(sorted(make_spec([FILE]).to_json())), JSON)
def test_any_value_in_any_field_is_a_job_or_a_sentence(field, item):
    try:
        spec = JobSpec.from_json({**make_spec([FILE]).to_json(), field: item})
    except ContractError:
        return
    assert parse_spec(json.dumps(spec.to_json()).encode()) == spec


def test_samples_need_no_prompt_where_none_are_wanted():
    assert make_spec([FILE], sample_prompts=(), config=TrainConfig(sample_count=0)).sample_prompts == ()


@given(JSON)
def test_any_desired_value_is_one_or_a_sentence(item):
    try:
        desired = Desired.from_json(item)
    except InvalidJob:
        return
    assert Desired.from_json(desired.to_json()) == desired


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"number": 0, "kind": "sample", "epochs": 0}',
        b'{"number": true, "kind": "sample", "epochs": 0}',
        b'{"number": 1, "kind": "delete", "epochs": 0}',
        b'{"number": 1, "kind": "extend", "epochs": 0}',
        b'{"number": 1, "kind": "sample", "epochs": -3}',
    ],
)
def test_a_line_that_is_no_command_is_refused(line):
    with pytest.raises(InvalidJob):
        Command.from_line(line)
