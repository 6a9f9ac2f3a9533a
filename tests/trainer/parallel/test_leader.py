"""Every way in which another process can be lost ends the training with a reason, and in bounded time."""

import sys
import threading

import pytest
import torch
from torch.distributed import HashStore

from tests.trainer.jobs import bodies, open_channel, tiny_job
from trainer.contract.events import Failed, decode
from trainer.contract.exits import Exit
from trainer.errors import LostProcess
from trainer.job import run_job
from trainer.parallel import leader
from trainer.parallel.follower import follow_orders
from trainer.parallel.leader import Leader
from trainer.parallel.orders import Join, Load, Step, encode
from trainer.parallel.orders import decode as decode_order
from trainer.parallel.team import Team
from trainer.training.wishes import Asked

CPU = torch.device("cpu")


def script(text):
    """A process in place of a follower, that starts in no time."""
    return [sys.executable, "-S", "-c", text]


def lost(command, size=2, *, all_end=False, **options):
    """What is said of a team whose other processes run this; where all end, once they have."""
    team = Leader(size, script(command), **options)
    try:
        team.start([CPU] * size)
        for process in team._processes if all_end else ():
            process.wait()
        with pytest.raises(LostProcess) as caught:
            team.join(lambda: None)
        return caught.value.failed
    finally:
        processes = list(team._processes)
        team.close()
        assert all(process.returncode is not None for process in processes), "nobody is left behind"


def test_one_that_ends_while_it_prepares():
    failed = lost("raise SystemExit(3)")
    assert (failed.code, failed.retry) == ("crashed", True)
    assert failed.message.startswith("Process 2 of 2 of this training ended with exit code 3")


def test_the_one_that_was_killed_is_named_before_those_that_only_gave_up():
    failed = lost(
        "import os, sys; sys.argv[2] == '2' and os.kill(os.getpid(), 9); raise SystemExit(1)", 3, all_end=True
    )
    assert failed.message.startswith("Process 3 of 3 of this training was killed (signal 9)")


def test_one_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(leader, "DYING", 0.3)
    failed = lost("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()", patience=0.0)
    assert (failed.code, failed.retry) == ("hung", True)


def test_one_that_does_not_take_its_orders():
    team = Leader(2, script("raise SystemExit(3)"))
    team.start([CPU, CPU])
    team._processes[0].wait()
    with pytest.raises(LostProcess, match="exit code 3"):
        team.begin_step(((0,),), 1, 1.0)
    team.close()


def test_a_wish_ends_the_wait_for_the_others():
    def check():
        raise Asked("asked")

    team = Leader(2, script("input()"))
    team.start([CPU, CPU])
    with pytest.raises(Asked):
        team.join(check)
    [process] = team._processes
    team.close()
    assert process.returncode == 1, "its orders have ended, so it has too"


def test_a_job_ends_as_the_other_process_says(tiny_sdxl, tmp_path):
    """Here it finds no base; its leader tells the same as if it had happened to itself."""
    broken = open_channel(tiny_job(tmp_path / "broken", tmp_path / "nowhere"))
    store = HashStore()
    assert follow_orders(broken, Team(1, 2), store, "cpu", None, []) == Exit.FAILED
    told = store.get("failed/1")
    assert decode(told).body.code == "base-model"

    class Told(Leader):
        def start(self, devices, ways):
            super().start(devices, ways)
            self._store.set("failed/1", told)

    job = tiny_job(tmp_path, tiny_sdxl)
    channel = open_channel(job)
    assert run_job(channel, device="cpu", team=Told(2, script("raise SystemExit(1)"))) == Exit.FAILED
    assert bodies(channel, Failed) == [decode(told).body]


def test_a_follower_whose_leader_is_gone_leaves_without_a_word(tiny_sdxl, tmp_path):
    channel, store = open_channel(tiny_job(tmp_path, tiny_sdxl)), HashStore()

    class Alone(Team):
        def enter(self, store, device):
            raise self._lost()

    before = threading.active_count()
    assert follow_orders(channel, Alone(1, 2), store, "cpu", None, [encode(Join())]) == Exit.FAILED
    assert [store.check([key]) for key in ("ready/1", "failed/1")] == [True, False]
    assert [event.body.kind for event in channel.events()] == [], "a follower writes nothing"
    assert threading.active_count() == before


@pytest.mark.parametrize("order", [Join(), Load("/somewhere/state"), Step(((3, 1), (2,)), 7, 0.1 + 0.2)], ids=str)
def test_orders_arrive_as_they_were_given(order):
    line = encode(order)
    assert line.index(b"\n") == len(line) - 1
    assert decode_order(line) == order
