import threading

import pytest

from trainer.contract.errors import ChannelError
from trainer.contract.events import Failed, Heartbeat, Preparing
from trainer.training import lifeline, report
from trainer.training.report import Pace, Reporter


class Log:
    """The part of a channel that a reporter uses."""

    def __init__(self):
        self.bodies = []
        self.broken = False
        self.said = threading.Event()

    def append(self, body):
        if self.broken:
            raise ChannelError("the disk is gone")
        self.bodies.append(body)
        self.said.set()


def test_silence_is_filled_and_only_silence():
    log = Log()
    reporter = Reporter(log)
    reporter.tell(Preparing(doing="x"))
    told = reporter._told_at
    reporter._beat_once(told + report.BEAT_SECONDS - 0.1)
    assert len(log.bodies) == 1
    reporter._beat_once(told + report.BEAT_SECONDS)
    reporter._beat_once(told + report.BEAT_SECONDS + 1)
    assert [type(body) for body in log.bodies] == [Preparing, Heartbeat]


def test_a_hung_work_falls_silent_until_it_goes_on(monkeypatch):
    log = Log()
    reporter = Reporter(log)
    begun = reporter._told_at
    reporter._beat_once(begun + lifeline.FIRST_SECONDS - 1)
    reporter._beat_once(begun + lifeline.FIRST_SECONDS + 60)
    assert len(log.bodies) == 1
    monkeypatch.setattr(report.time, "monotonic", lambda: begun + lifeline.FIRST_SECONDS + 61)
    reporter.begin("a step")
    reporter._beat_once(begun + lifeline.FIRST_SECONDS + 62)
    assert len(log.bodies) == 2


def test_nothing_follows_the_end():
    log = Log()
    reporter = Reporter(log)
    reporter.tell(Failed(code="x", message="y", retry=False))
    reporter._beat_once(reporter._told_at + report.BEAT_SECONDS + 1)
    assert len(log.bodies) == 1


def test_the_background_beats_and_survives_a_refusal(monkeypatch):
    monkeypatch.setattr(report, "BEAT_SECONDS", 0.01)
    log = Log()
    log.broken = True
    reporter = Reporter(log)
    with reporter.beating():
        with pytest.raises(ChannelError):
            reporter.tell(Preparing(doing="x"))
        log.broken = False
        assert log.said.wait(60)
    assert isinstance(log.bodies[0], Heartbeat)


def test_the_first_report_does_not_spoil_the_pace():
    pace = Pace(reports=2)
    pace.count(5, 60.0)
    pace.report()
    assert pace.seconds_per_step == 60.0
    for seconds in (1.0, 2.0, 2.0):
        pace.count(5, seconds - 0.5)
        pace.count(5, seconds + 0.5)
        pace.report()
        if seconds == 1.0:
            assert (pace.seconds_per_step, pace.images_per_second) == (1.0, 5.0)
    assert (pace.seconds_per_step, pace.images_per_second) == (2.0, 2.5)
