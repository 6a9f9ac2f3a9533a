"""--processes: what the commands start, and how they say it."""

import os

import pytest

import trainer.job
from tests.trainer.jobs import tiny_job
from trainer.__main__ import main
from trainer.cli.parser import build_parser
from trainer.contract.cache import CacheOptions
from trainer.contract.exits import Exit
from trainer.contract.inbox import Assignment
from trainer.service import ServiceOptions, start_trainer


@pytest.fixture
def teams(monkeypatch):
    """The teams that attempts were given."""
    given = []
    monkeypatch.setattr(trainer.job, "run_job", lambda *_, team, **__: given.append(team) or Exit.FAILED)
    return given


def test_run_starts_as_many_processes_as_it_is_told(teams, tmp_path, capsys):
    job = tiny_job(tmp_path, "base")
    more = ["--processes", "3", "--cache", str(tmp_path / "cache"), "--cache-bytes", "5000", "-vv"]
    assert main(["run", str(job.path), *more]) == Exit.FAILED
    [team] = teams
    assert (team.rank, team.size) == (0, 3)
    place = ["--rank", "2", "--size", "3", "--meet", str(tmp_path), "--device", "cuda:2"]
    args = build_parser().parse_args([*team._command[3:], *place])
    assert (args.command, args.job, args.attempt, args.parent) == ("follow", job.path, 1, os.getpid())
    assert (args.rank, args.size, args.meet, args.device) == (2, 3, tmp_path, "cuda:2")
    assert (args.cache, args.cache_bytes, args.verbose) == (tmp_path / "cache", 5000, 2)


def test_one_process_is_no_team(teams, tmp_path):
    assert main(["run", str(tiny_job(tmp_path, "base").path)]) == Exit.FAILED
    assert teams == [None]


@pytest.mark.parametrize("number", ["0", "17", "two"])
def test_a_wrong_number_of_processes_is_refused(number, capsys):
    with pytest.raises(SystemExit):
        main(["run", "job", "--processes", number])
    assert "--processes" in capsys.readouterr().err


def test_a_service_has_its_trainings_shared(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr("trainer.service.Child", lambda assignment, command, patience: started.append(command))
    job = tiny_job(tmp_path, "base")
    options = ServiceOptions(inbox=tmp_path, device="cuda:1", processes=2, cache=CacheOptions(tmp_path))
    start_trainer(Assignment(job.path, 1), options)
    args = build_parser().parse_args(started[0][3:])
    assert (args.command, args.device, args.processes) == ("run", "cuda:1", 2)


def test_people_are_not_told_of_the_other_processes(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "follow" not in capsys.readouterr().out
