"""The committed tagger keeps WD14's contract and reads avatars it has never seen."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from trainer.toy.assets import tagger_folder
from trainer.toy.avatars import GENERAL_TAGS, HAIR, draw, random_avatar
from trainer.toy.measures import ToyTagger
from trainer.toy.subject import subject_pictures

HELD_OUT = 987_654_321
"""Seed of the held-out avatars; training seeds are pairs, so no training picture has it."""


@pytest.fixture(scope="module")
def session() -> Any:
    return onnxruntime.InferenceSession(str(tagger_folder() / "model.onnx"))


@pytest.fixture(scope="module")
def tagger() -> ToyTagger:
    return ToyTagger(tagger_folder())


def test_input_and_output_are_wd14s(session: Any) -> None:
    (pixels,), (output,) = session.get_inputs(), session.get_outputs()
    assert pixels.type == output.type == "tensor(float)"
    assert pixels.shape[1:] == [448, 448, 3]
    assert isinstance(pixels.shape[0], str), "the batch axis is free"
    for batch in (1, 3):
        scores = session.run(None, {pixels.name: np.full((batch, 448, 448, 3), 128.0, np.float32)})[0]
        assert scores.shape == (batch, output.shape[1])
        assert ((scores >= 0) & (scores <= 1)).all()


def test_the_list_is_wd14s(session: Any) -> None:
    with (tagger_folder() / "selected_tags.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["tag_id", "name", "category", "count"]
        rows = list(reader)
    assert len(rows) == session.get_outputs()[0].shape[1]
    assert [(row["tag_id"], row["name"], row["category"]) for row in rows[:4]] == [
        ("9999999", "general", "9"),
        ("9999998", "sensitive", "9"),
        ("9999997", "questionable", "9"),
        ("9999996", "explicit", "9"),
    ]
    general = [row["name"] for row in rows if row["category"] == "0"]
    assert general == [tag.replace(" ", "_") for tag in GENERAL_TAGS]
    assert len([row for row in rows if row["category"] == "4"]) == 2
    assert not any(" " in row["name"] for row in rows)


def test_the_file_is_small_and_old_runtimes_can_read_it() -> None:
    path = tagger_folder() / "model.onnx"
    model = onnx.load(path)
    assert path.stat().st_size <= 3 * 1024 * 1024
    assert model.ir_version <= 8
    assert model.opset_import[0].version <= 18


def test_colours_are_read_as_bgr(tagger: ToyTagger) -> None:
    red = next(picture for avatar, picture in subject_pictures(256) if avatar.shirt == "red")
    swapped = Image.merge("RGB", red.split()[::-1])
    assert "red shirt" in tagger.tags(red)
    assert "blue shirt" in tagger.tags(swapped)


def test_held_out_avatars_are_tagged_right(tagger: ToyTagger) -> None:
    rng = np.random.default_rng(HELD_OUT)
    hits = misses = extras = 0
    for number in range(500):
        avatar = random_avatar(rng, hair=tuple(HAIR), marks=0.25)
        found = tagger.tags(draw(avatar, (128, 256, 448)[number % 3]))
        true = set(avatar.tags())
        hits, misses, extras = hits + len(found & true), misses + len(true - found), extras + len(found - true)
    f1 = 2 * hits / (2 * hits + misses + extras)
    assert f1 >= 0.95, f"micro-F1 {f1:.4f}"


def test_the_subject_is_tagged_right(tagger: ToyTagger) -> None:
    for avatar, picture in subject_pictures(512):
        assert {"1girl", "green hair", "facial mark", f"{avatar.shirt} shirt"} <= tagger.tags(picture)
