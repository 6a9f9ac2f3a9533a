"""kill -9 at every labelled write point of the contract: what is read afterwards is whole, and work goes on."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.contract.conformance import kept_file, state_folder
from tests.trainer.contract.jobs import make_job, make_spec, picture_files
from trainer.contract.channel import Command
from trainer.contract.directory import DirectoryChannel
from trainer.contract.durable import KILL_AT
from trainer.contract.events import Checkpoint, Finished, Heartbeat, State
from trainer.contract.folder import JobFolder, remove_leftovers, sources_from
from trainer.contract.inbox import Assignment, Inbox

POINTS = [
    # creating and opening
    "job.json.before-rename",
    "job.json.after-rename",
    "job1.before-publish",
    "job1.after-publish",
    "attempt.made",
    "desired.json.before-rename",
    "desired.json.after-rename",
    "command.appended",
    # handing over
    "job1.1.json.before-rename",
    "job1.1.json.after-rename",
    "inbox.claimed",
    "inbox.before-release",
    # training
    "event.heartbeat.before",
    "event.heartbeat.after",
    "file.safetensors.before",
    "epoch-001.safetensors.before-rename",
    "file.safetensors.after",
    "event.checkpoint.before",
    "manifest.json.before-rename",
    "manifest.json.after-rename",
    "state.manifest",
    "step-00000001.before-publish",
    "step-00000001.after-publish",
    "step-00000003.after-publish",
    "state.kept",
    "event.state.before",
    "event.finished.before",
    "event.finished.after",
    # deleting
    "job2.before-publish",
    "job.renamed-for-deletion",
    "leftovers.removed",
]


def story(root: Path) -> None:
    """A job's whole life, each step written so that it may be done again after a crash."""
    inbox, assignment = Inbox(root / "inbox"), Assignment(root / "jobs" / "job1", 1)
    inbox.prepare()
    remove_leftovers(root / "jobs")
    job = JobFolder(root / "jobs" / "job1") if (root / "jobs" / "job1").exists() else make_job(root)
    job.open_attempt(1)
    job.add_command(Command(1, "sample"))
    channel = DirectoryChannel(job.path, 1)
    if not any(isinstance(event.body, Finished) for event in channel.events()):
        inbox.assign(assignment)
        if assignment not in inbox.claimed():
            assert inbox.claim(assignment)
        train(channel)
    inbox.release(assignment)
    doomed = JobFolder(root / "jobs" / "job2")
    if not doomed.path.exists():
        files = picture_files(root / "pictures")
        doomed = JobFolder.create(root / "jobs", make_spec(files, "job2"), sources_from(files))
    doomed.delete()


def train(channel: DirectoryChannel) -> None:
    channel.append(Heartbeat())
    channel.put_file("lora/epoch-001.safetensors", kept_file(channel))
    channel.append(Checkpoint(epoch=1, step=1, file="lora/epoch-001.safetensors", sha256="0" * 64, bytes=4))
    for step in (1, 2, 3):
        folder = channel.workspace / f"state-{step}"
        if folder.exists():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        channel.put_state(state_folder(channel, step), step)
        channel.append(State(epoch=1, step=step))
    channel.append(
        Finished(reason="complete", epoch=1, step=3, file="", sha256="", bytes=0, training_seconds=1.0),
    )


def check(root: Path) -> None:
    """What a reader finds at any moment is whole."""
    for folder in (path for path in (root / "jobs").glob("*") if not path.name.startswith(".")):
        job = JobFolder(folder)
        for picture in job.spec().pictures:
            assert (folder / "dataset" / picture.file).is_file()
        job.desired()
        job.commands()
        for number in job.attempts():
            events, _ = job.read_events(number, 0)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            channel = DirectoryChannel(folder, number)
            named = [event.body.step for event in events if isinstance(event.body, State)]
            states = [step for step, _, _ in channel.states()]
            assert not named or max(named) in states, "a state that was told of is there"
            kept = job.file(number, "lora/epoch-001.safetensors")
            assert not kept.exists() or kept.read_bytes() == b"lora"
            assert kept.exists() or not any(isinstance(event.body, Checkpoint) for event in events)
    inbox = Inbox(root / "inbox")
    assert not (set(inbox.waiting()) & set(inbox.claimed()))
    assert not list(inbox.path.glob("*.bad"))


def play(root: Path, point: str) -> int:
    """The story in a process that dies at the point."""
    code = f"from pathlib import Path; from {__name__} import story; story(Path({str(root)!r}))"
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, KILL_AT: point}, check=False).returncode


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_write_the_job_is_whole_and_goes_on(tmp_path, point):
    assert play(tmp_path, point) == -signal.SIGKILL, "the story passes this point"
    check(tmp_path)
    story(tmp_path)
    check(tmp_path)
    job = JobFolder(tmp_path / "jobs" / "job1")
    events, _ = job.read_events(1, 0)
    assert isinstance(events[-1].body, Finished)
    assert job.commands() == [Command(1, "sample")]
    assert Inbox(tmp_path / "inbox").claimed() == []
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["job1"], "nothing is left of the deleted job"


def test_every_labelled_point_of_the_contract_is_tried():
    """A label in the source without a test here is a write nobody killed."""
    source = "".join(path.read_text() for path in (Path(__file__).parents[3] / "trainer" / "contract").glob("*.py"))
    labels = set(re.findall(r'reach\(f?"([^"]+)"\)', source))
    unmatched = {label for label in labels if not any(re.fullmatch(as_pattern(label), point) for point in POINTS)}
    assert not unmatched


def as_pattern(label: str) -> str:
    return ".+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", label))
