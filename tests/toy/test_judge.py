"""The judge counts what pictures show: right ones score, wrong ones do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from trainer.toy import subject
from trainer.toy.__main__ import main
from trainer.toy.assets import tagger_folder
from trainer.toy.avatars import Avatar, draw
from trainer.toy.judge import Answer, Group, Question, grid, questions, save_scores, score, table
from trainer.toy.measures import ToyTagger, seen

TAGGER = ToyTagger(tagger_folder())


def _answers(asked: list[Question], shown: list[Avatar]) -> list[Answer]:
    pictures = [draw(avatar, 128) for avatar in shown]
    return [
        Answer(question, picture, seen(picture, TAGGER.tags(picture)))
        for question, picture in zip(asked, pictures, strict=True)
    ]


def test_pictures_of_what_was_asked_score_full() -> None:
    asked = questions("anyone", 60)
    result = score(_answers(asked, [question.avatar for question in asked]), "anyone", "", 0.0)
    assert min(result.hair, result.shirt, result.background, result.glasses, result.hat) >= 0.98
    assert result.subject_hair == 0.0
    assert result.subject <= 0.02


def test_pictures_in_the_wrong_order_score_by_chance() -> None:
    asked = questions("anyone", 60)
    shown = [question.avatar for question in asked[1:] + asked[:1]]
    result = score(_answers(asked, shown), "anyone", "", 0.0)
    assert max(result.hair, result.shirt, result.background) < 0.4


def test_the_subject_is_found_and_only_the_subject() -> None:
    asked = questions("trigger", 24)
    look = subject.subject_avatars()[0]
    hers = [
        replace(look, shirt=q.avatar.shirt, background=q.avatar.background, variation=n) for n, q in enumerate(asked)
    ]
    full = score(_answers(asked, hers), "trigger", "mine", 1.0)
    assert full.subject == full.shirt == full.background == 1.0
    unmarked = score(_answers(asked, [replace(avatar, mark=None) for avatar in hers]), "trigger", "mine", 1.0)
    assert unmarked.subject_hair == 1.0
    assert unmarked.subject == 0.0


@pytest.mark.parametrize("group", ["trigger", "class", "anyone"])
def test_prompts_are_the_same_every_time_and_say_what_they_should(group: Group) -> None:
    asked = questions(group, 40)
    assert asked == questions(group, 40)
    assert len({question.seed for question in asked}) == 40
    for question in asked:
        words = question.prompt.split(", ")
        assert (subject.TRIGGER in words) == (group == "trigger")
        assert f"{question.avatar.shirt} shirt" in words
        assert any(word.endswith(" hair") for word in words) == (group == "anyone")
        assert "green hair" not in words


def test_the_table_and_the_grid_hold_everything(tmp_path: Path) -> None:
    asked = questions("anyone", 4)
    answers = _answers(asked, [question.avatar for question in asked])
    scores = [score(answers, "anyone", "", 0.0), score(answers[:1], "anyone", "mine", 0.5)]
    save_scores(scores, tmp_path)
    assert [row["pictures"] for row in json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))] == [4, 1]
    assert (tmp_path / "table.md").read_text(encoding="utf-8").strip() == table(scores)
    assert "nan" not in table(scores)
    sheet = grid([[answer.image for answer in answers], [Image.new("RGB", (128, 128))]], gap=2)
    assert sheet.size == (4 * 130 - 2, 2 * 130 - 2)


def test_an_unknown_asset_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["build", "unet", "--work", str(tmp_path)]) == 2
    assert "there are vae, base, tagger" in capsys.readouterr().out
