"""The codec of events: what is written is read back, and nothing else is."""

import contextlib
import dataclasses
import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.contract.jobs import ENDS, EVERY_KIND
from trainer.contract import events
from trainer.contract.errors import InvalidEvent
from trainer.contract.events import LINE_LIMIT, Event, Heartbeat, Preparing, decode, encode

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def of_field(hint):
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    return {
        int: st.integers(),
        float: FINITE,
        bool: st.booleans(),
        str: st.text(st.characters(codec=None)),
        tuple[str, ...]: st.lists(st.text()).map(tuple),
    }[hint]


def of_kind(cls):
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: of_field(hints[field.name]) for field in dataclasses.fields(cls)})


BODIES = st.one_of([of_kind(cls) for cls in typing.get_args(events.Body)])
EVENTS = st.builds(Event, st.integers(min_value=1), FINITE, BODIES)


@given(EVENTS)
def test_every_event_survives_its_line(event):
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == event


def test_the_examples_of_the_tests_have_every_kind():
    assert {type(body) for body in (*EVERY_KIND, *ENDS)} == set(typing.get_args(events.Body))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_sentence(line):
    with contextlib.suppress(InvalidEvent):
        assert decode(encode(decode(line))) == decode(line)


@given(EVENTS, st.data())
def test_an_event_with_one_wrong_value_is_never_taken(event, data):
    value = json.loads(encode(event))
    name = data.draw(st.sampled_from(sorted(value)))
    value[name] = data.draw(st.sampled_from([None, [1], {"a": 1}, [["x"]]]))
    with pytest.raises(InvalidEvent):
        decode(json.dumps(value).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"seq":1,"at":1,"kind":"explode"}',
        b'{"seq":1,"at":1,"kind":[]}',
        b'{"seq":0,"at":1,"kind":"heartbeat"}',
        b'{"seq":true,"at":1,"kind":"heartbeat"}',
        b'{"seq":1,"at":NaN,"kind":"heartbeat"}',
        b'{"seq":1,"at":1e999,"kind":"heartbeat"}',
        b'{"seq":1,"at":' + b"9" * 400 + b',"kind":"heartbeat"}',
        b'{"seq":1,"at":1,"kind":"heartbeat","extra":1}',
        b'{"seq":1,"at":1,"kind":"preparing"}',
        b'{"seq":1,"at":1,"kind":"preparing","doing":7}',
        b'{"seq":1,"at":1,"kind":"paused","reason":"bored","step":1,"message":""}',
    ],
)
def test_a_line_that_is_no_event_is_refused(line):
    with pytest.raises(InvalidEvent):
        decode(line)


def test_a_misspelt_kind_is_named_with_the_nearest():
    with pytest.raises(InvalidEvent, match="did you mean 'heartbeat'"):
        decode(b'{"seq":1,"at":1,"kind":"hartbeat"}')


def test_a_missing_default_is_filled_in():
    line = encode(Event(1, 1.0, EVERY_KIND[5]))
    value = json.loads(line)
    del value["command"]
    assert decode(json.dumps(value).encode()).body.command == 0


def test_an_endless_text_is_refused_by_the_writer():
    with pytest.raises(InvalidEvent, match="shorten"):
        encode(Event(1, 1.0, Preparing(doing="x" * LINE_LIMIT)))


def test_no_number_is_written_that_is_none():
    with pytest.raises(InvalidEvent, match="not finite"):
        encode(Event(1, float("inf"), Heartbeat()))
