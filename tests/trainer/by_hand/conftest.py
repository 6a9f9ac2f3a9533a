"""Folders of pictures, and what somebody asks for on the command line."""

import pytest
from PIL import Image

from trainer.by_hand.make import Request


def picture(path, size=(64, 80), colour="red", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for number, colour in enumerate(("red", "green", "blue")):
        picture(tmp_path / "pictures" / f"{number}.jpg", colour=colour)
    return tmp_path / "pictures"


@pytest.fixture
def request_for(tmp_path, folder):
    def make(**changes):
        fields = {
            "images": folder,
            "trigger": "lisaxl",
            "class_word": "woman",
            "base": "someone/sdxl",
            "out": tmp_path / "out",
            "settings": {"resolution": 64},
        }
        return Request(**{**fields, **changes})

    return make


@pytest.fixture
def said():
    return []
