"""The tagger's bench: that it runs, compares like with like and writes what others read. How fast is its own to say."""

import json

import pytest

from bot.bench.tagger import draw_pictures, main, toy_tagger
from trainer.toy.assets import tagger_folder


def test_it_measures_and_writes_numbers(tmp_path, capsys):
    assert main(["--pictures", "9", "--side", "96", "--threads", "1", "--json", str(tmp_path / "tagger.json")]) == 0
    numbers = json.loads((tmp_path / "tagger.json").read_text())
    assert numbers["same_tags"] is True
    assert numbers["bench"] == "tagger"
    assert numbers["pictures"] == 9
    assert numbers["times"] == pytest.approx(numbers["batched_per_second"] / numbers["plain_per_second"], rel=0.02)
    assert "the same tags" in capsys.readouterr().out


def test_its_pictures_are_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = (draw_pictures(tmp_path / name, 2, 64) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    assert one[0].read_bytes() != one[1].read_bytes()
    assert toy_tagger() == tagger_folder()
