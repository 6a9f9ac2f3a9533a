"""The `parameters` text as A1111 writes it, read back by a reader written from A1111's rules."""

import json
import re

import pytest
from PIL import Image

from trainer.contract.errors import ChannelError
from trainer.sampling.draw import Drawing
from trainer.sampling.infotext import parameters, save_png
from trainer.sampling.networks import Acting, Network


class Base:
    name = "sd_xl_base_1.0"
    sha256 = "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b"


def read_back(text):
    """A1111's parse_generation_parameters (infotext_utils.py): the last line is fields, its values JSON in quotes."""
    *lines, last = text.strip().split("\n")
    negative = next((n for n, line in enumerate(lines) if line.startswith("Negative prompt:")), len(lines))
    fields = dict(re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last))
    values = {name: json.loads(value) if value.startswith('"') else value for name, value in fields.items()}
    return "\n".join(lines[:negative]), "\n".join(lines[negative:]).removeprefix("Negative prompt: "), values


def test_everything_is_read_back():
    networks = [Acting(Network("lisaxl_v1", {}, "", "0123456789ab")), Acting(Network("old", {}, "", ""))]
    drawing = Drawing(size=(832, 1216), steps=25, guidance=6.5, sampler="dpm++ sde karras", negative="hat, (cap:1.2)")
    prompt = "lisaxl, woman\nred: shirt <lora:lisaxl_v1:0.9>"
    got_prompt, negative, fields = read_back(parameters(prompt, 7, drawing, Base, networks))
    assert (got_prompt, negative) == (prompt, "hat, (cap:1.2)")
    assert fields | {"Version": ""} == {
        "Steps": "25",
        "Sampler": "DPM++ SDE",
        "Schedule type": "Karras",
        "CFG scale": "6.5",
        "Seed": "7",
        "Size": "832x1216",
        "Model hash": "31e35c80fc",
        "Model": "sd_xl_base_1.0",
        "Lora hashes": "lisaxl_v1: 0123456789ab",
        "Version": "",
    }


def test_what_is_not_there_is_not_told():
    base = Base()
    base.sha256 = ""
    _, negative, fields = read_back(parameters("a cat", 1, Drawing(size=(64, 64)), base, []))
    assert negative == ""
    assert not fields.keys() & {"Model hash", "Lora hashes"}


@pytest.mark.parametrize("name", ["a, b: c", 'say "cheese"', "x\ny"])
def test_names_with_marks_of_the_format_are_quoted(name):
    base = Base()
    base.name = name
    assert read_back(parameters("a cat", 1, Drawing(size=(64, 64)), base, []))[2]["Model"] == name


def test_no_path_gets_into_it():
    base = Base()
    base.name = "/home/host/models/sdxl"
    assert "/home" not in parameters("a cat", 1, Drawing(size=(64, 64)), base, [])


@pytest.mark.parametrize("text", ["a cat\nSteps: 1", "日本語 🙂"])
def test_a_png_carries_the_text(tmp_path, text):
    save_png(tmp_path / "a.png", Image.new("RGB", (8, 8), "red"), text)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["parameters"] == text
        assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_a_disk_that_refuses_is_told(tmp_path):
    with pytest.raises(ChannelError):
        save_png(tmp_path / "missing" / "a.png", Image.new("RGB", (8, 8)), "")
