"""The embedded trainer: started with a chosen environment, adopted, restarted with growing waits, ended on request."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from bot.runners.embedded import EmbeddedTrainer, stop_embedded, trainer_environment
from trainer.contract.inbox import Inbox, ServiceInfo

SERVICE = """
import os, signal, sys, time
from pathlib import Path
from trainer.contract.inbox import Inbox, ServiceInfo
inbox = Inbox(Path(sys.argv[sys.argv.index("serve") + 1]))
with inbox.serve():
    inbox.announce(ServiceInfo(os.getpid(), "cpu", "fake", 0, "1", time.time(), ""))
    (inbox.path / "environment").write_text("\\n".join(sorted(os.environ)))
    signal.sigwait([signal.SIGTERM])
"""


class Ticks:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def inbox(tmp_path):
    made = Inbox(tmp_path / "inboxes" / "gpu0")
    yield made
    if made.is_served():
        os.kill(made.service().pid, signal.SIGKILL)


@pytest.fixture
def service(tmp_path, monkeypatch):
    """`python -m trainer serve` replaced by a small one: only how it is started is of interest here."""
    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    popen = subprocess.Popen
    started = []

    def start(command, **more):
        assert command[:4] == [sys.executable, "-m", "trainer", "serve"]
        started.append(popen([sys.executable, str(script), *command[3:]], **more))
        return started[-1]

    monkeypatch.setattr("bot.runners.embedded.subprocess.Popen", start)
    return started


def wait(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ready(inbox):
    return inbox.is_served() and inbox.service() is not None and (inbox.path / "environment").exists()


KERNELS = "TORCHINDUCTOR_CACHE_DIR"
"""Where compiled kernels are kept: a place that lasts makes the first step of the next job come soon."""


def test_the_environment_is_chosen_and_holds_no_secret():
    given = {
        "PATH": "/bin",
        "HOME": "/root",
        "LORELEI_TOKEN": "abc",
        "DISCORD_TOKEN": "abc",
        "HF_TOKEN": "abc",
        "HF_HUB_TOKEN": "abc",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": "/models",
        "CUDA_VISIBLE_DEVICES": "0",
        "AWS_SECRET_ACCESS_KEY": "abc",
        "OMP_NUM_THREADS": "2",
        KERNELS: "/var/cache/inductor",
        "CREDENTIALS_DIRECTORY": "/run",
    }
    chosen = trainer_environment(given)
    assert sorted(chosen) == ["CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "PATH", KERNELS]
    assert "abc" not in chosen.values()


async def test_it_starts_survives_is_adopted_and_ends(inbox, service, tmp_path):
    first = EmbeddedTrainer(inbox, "cpu", tmp_path / "logs", {**os.environ, "LORELEI_TOKEN": "abc"})
    await first.look_after()
    wait(lambda: ready(inbox))
    assert "LORELEI_TOKEN" not in (inbox.path / "environment").read_text()
    assert os.getsid(inbox.service().pid) == inbox.service().pid, "a session of its own"
    assert first.name == "gpu0"
    first.let_go()
    second = EmbeddedTrainer(inbox, "cpu", tmp_path / "logs")
    second.check()
    assert len(service) == 1, "the running one is adopted"
    pid = inbox.service().pid
    assert await stop_embedded(inbox)
    assert await stop_embedded(inbox), "ending what has ended is fine"
    wait(lambda: service[0].poll() is not None)
    second.check()
    wait(lambda: inbox.is_served() and inbox.service().pid != pid)
    assert await stop_embedded(inbox)
    service[-1].wait(30)


def test_it_is_told_where_encoded_pictures_are_kept(inbox, tmp_path, monkeypatch):
    popen, commands = subprocess.Popen, []

    def start(command, **more):
        commands.append(command)
        return popen([sys.executable, "-c", "pass"], **more)

    monkeypatch.setattr("bot.runners.embedded.subprocess.Popen", start)
    for cache in (tmp_path / "cache", None):
        trainer = EmbeddedTrainer(inbox, "cpu", tmp_path / "logs", cache=cache)
        trainer.check()
        trainer._process.wait(30)
    assert commands[0][-2:] == ["--cache", str(tmp_path / "cache")]
    assert "--cache" not in commands[1]


def test_a_service_that_keeps_dying_is_started_ever_more_rarely(inbox, tmp_path, monkeypatch):
    popen, started = subprocess.Popen, []

    def start(command, **more):
        started.append(popen([sys.executable, "-c", "raise SystemExit(1)"], **more))
        return started[-1]

    monkeypatch.setattr("bot.runners.embedded.subprocess.Popen", start)
    ticks = Ticks()
    trainer = EmbeddedTrainer(inbox, "cpu", tmp_path / "logs", clock=ticks)
    times = []
    for _ in range(130):
        before = len(started)
        trainer.check()
        if len(started) > before:
            times.append(ticks.now)
            started[-1].wait(30)
        ticks.now += 1.0
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(times) >= 5
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 16


async def test_ending_a_service_that_never_ran(tmp_path):
    inbox = Inbox(tmp_path / "never")
    assert await stop_embedded(inbox)
    inbox.prepare()
    inbox.announce(ServiceInfo(os.getpid(), "cpu", "", 0, "1", 0.0, ""))
    assert await stop_embedded(inbox), "a process id without the lock is nobody's"
