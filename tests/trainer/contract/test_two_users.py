"""Bot and trainer as two users of one group, as deploy/ installs them: each can do its part, for real."""

import os
import shutil
import tempfile
import traceback
from pathlib import Path

import pytest

from tests.trainer.contract.conformance import kept_file, state_folder
from tests.trainer.contract.jobs import make_job
from trainer.contract.channel import Command
from trainer.contract.directory import DirectoryChannel
from trainer.contract.durable import copy_durable
from trainer.contract.events import Heartbeat
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Assignment, Inbox, attempt_lock

BOT, TRAINER, GROUP = 54_001, 54_002, 54_000
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two users"),
    # Python 3.12 warns of fork beside threads, which other tests may have left; the child here only writes files.
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def spool():
    path = Path(tempfile.mkdtemp())
    os.chown(path, BOT, GROUP)
    path.chmod(0o2770)
    yield path
    shutil.rmtree(path)


def as_user(user, act):
    """Run `act` in a process of that user; raises what went wrong there."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(GROUP)
            os.setuid(user)
            os.umask(0o007)
            act()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the top of a forked process, which must not go on as the test
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_each_side_can_do_its_part_with_the_others_files(spool):
    inbox, job = Inbox(spool / "inbox"), JobFolder(spool / "jobs" / "job1")
    assignment = Assignment(job.path, 1)

    def submit():
        inbox.prepare()
        make_job(spool).open_attempt(1)
        inbox.assign(assignment)
        assert not inbox.is_served()

    def train():
        with inbox.serve(), attempt_lock(job.path, 1):
            assert inbox.waiting() == [assignment]
            assert inbox.claim(assignment)
            channel = DirectoryChannel(job.path, 1)
            for picture in channel.spec().pictures:
                channel.picture(picture.file)
            channel.append(Heartbeat())
            private = kept_file(channel)
            private.chmod(0o600)
            channel.put_file("lora/epoch-001.safetensors", private)
            channel.put_state(state_folder(channel, 1), 1)
            inbox.release(assignment)

    def publish():
        assert [event.seq for event in job.read_events(1, 0)[0]] == [1]
        job.add_command(Command(1, "sample"))
        job.set_desired("stop", 1)
        copy_durable(job.file(1, "lora/epoch-001.safetensors"), spool / "lisaxl_v1.safetensors")
        job.open_attempt(2)

    def go_on():
        channel = DirectoryChannel(job.path, 2)
        assert [step for step, _, _ in channel.states()] == [1]
        assert channel.commands(0) == [Command(1, "sample")]
        channel.append(Heartbeat())

    as_user(BOT, submit)
    as_user(TRAINER, train)
    as_user(BOT, publish)
    as_user(TRAINER, go_on)
    as_user(BOT, job.delete)
    assert not job.path.exists()
