"""Where the latent cache is: the command line before the environment, and nowhere unless somebody says so."""

from pathlib import Path

import pytest

import trainer.service
from trainer.cli.parser import build_parser
from trainer.contract.cache import DEFAULT_BYTES, CacheOptions, cache_options
from trainer.contract.errors import InvalidConfig
from trainer.contract.inbox import Assignment
from trainer.service import ServiceOptions, start_trainer


@pytest.mark.parametrize(
    ("folder", "limit", "environment", "options"),
    [
        (None, None, {}, None),
        (None, None, {"LORELEI_CACHE": ""}, None),
        (None, 5, {}, None),
        (None, None, {"LORELEI_CACHE": "/a"}, CacheOptions(Path("/a"), DEFAULT_BYTES)),
        (None, None, {"LORELEI_CACHE": "/a", "LORELEI_CACHE_BYTES": "7"}, CacheOptions(Path("/a"), 7)),
        (Path("/b"), 5, {"LORELEI_CACHE": "/a", "LORELEI_CACHE_BYTES": "7"}, CacheOptions(Path("/b"), 5)),
        (Path("/b"), None, {"LORELEI_CACHE_BYTES": ""}, CacheOptions(Path("/b"), DEFAULT_BYTES)),
    ],
)
def test_the_command_line_stands_before_the_environment(folder, limit, environment, options):
    assert cache_options(folder, limit, environment) == options


def test_a_size_that_is_none_is_refused():
    with pytest.raises(InvalidConfig, match="LORELEI_CACHE_BYTES"):
        cache_options(Path("/a"), None, {"LORELEI_CACHE_BYTES": "2 GB"})


@pytest.mark.parametrize(
    "command", [["run", "job"], ["serve", "inbox"], ["train", "--images=a", "--trigger=b", "--base=c", "--out=d"]]
)
def test_every_command_that_trains_takes_it(command):
    arguments = build_parser().parse_args([*command, "--cache", "here", "--cache-bytes", "5"])
    assert (arguments.cache, arguments.cache_bytes) == (Path("here"), 5)


@pytest.mark.parametrize("cache", [None, CacheOptions(Path("/cache"), 9)])
def test_a_service_hands_it_to_its_trainings(tmp_path, monkeypatch, cache):
    commands = []
    monkeypatch.setattr(trainer.service, "Child", lambda _, command, __: commands.append(command))
    start_trainer(Assignment(tmp_path, 1), ServiceOptions(tmp_path, cache=cache))
    arguments = build_parser().parse_args(commands[0][3:])
    assert cache_options(arguments.cache, arguments.cache_bytes, {}) == cache
