"""DirectoryChannel: the conformance suite, then what only a directory can suffer."""

import errno
import os

import pytest

from tests.trainer.contract.conformance import ChannelConformance, kept_file, state_folder
from tests.trainer.contract.jobs import make_job
from trainer.contract import durable
from trainer.contract.directory import DirectoryChannel
from trainer.contract.errors import ChannelError, InvalidEvent, InvalidJob
from trainer.contract.events import Event, Heartbeat, Preparing, encode


class DirectoryWorld:
    def __init__(self, root):
        self.job = make_job(root)

    def channel(self, attempt):
        return DirectoryChannel(self.job.path, attempt)

    @property
    def log(self):
        return self.job.attempt(1) / "events.jsonl"


@pytest.fixture
def world(tmp_path):
    return DirectoryWorld(tmp_path)


class TestDirectoryChannel(ChannelConformance):
    pass


@pytest.fixture
def opened(world):
    world.job.open_attempt(1)
    return world


def sequence(world):
    return [event.seq for event in world.job.read_events(1, 0)[0]]


@pytest.mark.parametrize("kept", range(1, 30, 4))
def test_a_torn_tail_is_cut_before_the_next_event(opened, kept):
    line = encode(Event(2, 1.0, Preparing(doing="torn")))
    opened.channel(1).append(Heartbeat())
    with opened.log.open("ab") as file:
        file.write(line[:kept])
    assert sequence(opened) == [1], "a reader never sees a torn line"
    opened.channel(1).append(Preparing(doing="after"))
    assert sequence(opened) == [1, 2]


@pytest.mark.parametrize("line", [b"{}\n", b"\n", b"garbage\n", encode(Event(3, 1.0, Heartbeat()))])
def test_a_damaged_log_is_refused_not_guessed_at(opened, line):
    opened.channel(1).append(Heartbeat())
    with opened.log.open("ab") as file:
        file.write(line)
    with pytest.raises(InvalidEvent):
        opened.channel(1)


def test_a_channel_opened_early_does_not_cut_what_was_written_since(opened):
    early = opened.channel(1)
    opened.channel(1).append(Preparing(doing="other process"))
    assert early.append(Heartbeat()).seq == 2
    assert sequence(opened) == [1, 2]


def test_a_full_disk_is_told_and_the_log_goes_on_where_it_was(opened, monkeypatch):
    channel = opened.channel(1)
    channel.append(Heartbeat())
    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(ChannelError, match="No space left"):
            channel.append(Preparing(doing="lost?"))
    channel.append(Preparing(doing="next"))
    events = opened.job.read_events(1, 0)[0]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].body == Preparing(doing="next")


def test_an_event_whose_fsync_failed_is_not_doubled_by_a_second_try(opened, monkeypatch):
    channel = opened.channel(1)
    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", failing(errno.EIO))
        with pytest.raises(ChannelError):
            channel.append(Preparing(doing="once"))
    assert channel.append(Preparing(doing="once")).seq == 1
    assert [event.body for event in opened.job.read_events(1, 0)[0]] == [Preparing(doing="once")]


@pytest.mark.parametrize("call", ["fsync", "replace", "link"])
def test_a_failed_write_leaves_no_half_file_under_a_final_name(opened, monkeypatch, call):
    channel = opened.channel(1)
    source, state = kept_file(channel), state_folder(channel, 1)
    with monkeypatch.context() as patch:
        patch.setattr(durable.os, call, failing(errno.ENOSPC))
        if call == "link":
            patch.setattr(durable.shutil, "copyfile", failing(errno.ENOSPC))
        with pytest.raises(ChannelError):
            channel.put_file("lora/a.safetensors", source)
        if call != "link":
            with pytest.raises(ChannelError):
                channel.put_state(state, 1)
    assert list(opened.job.file(1, "lora/a.safetensors").parent.iterdir()) == []
    assert list(channel.states()) == []


def test_a_state_that_failed_for_a_full_disk_can_be_tried_again(opened, monkeypatch):
    channel = opened.channel(1)
    state = state_folder(channel, 1)
    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "rename", failing(errno.ENOSPC))
        with pytest.raises(ChannelError):
            channel.put_state(state, 1)
    channel.put_state(state, 1)
    assert [step for step, _, _ in channel.states()] == [1]


def test_links_to_pictures_elsewhere_are_kept_as_bytes(opened, tmp_path):
    channel = opened.channel(1)
    (tmp_path / "real").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    channel.put_file("lora/a.safetensors", tmp_path / "link")
    assert not opened.job.file(1, "lora/a.safetensors").is_symlink()


def test_private_files_of_libraries_become_readable_for_the_group(opened):
    channel = opened.channel(1)
    source, state = kept_file(channel), state_folder(channel, 1)
    source.chmod(0o600)
    state.chmod(0o700)
    channel.put_file("lora/a.safetensors", source)
    channel.put_state(state, 1)
    assert opened.job.file(1, "lora/a.safetensors").stat().st_mode & 0o040
    assert next(iter(channel.states()))[2].stat().st_mode & 0o070 == 0o070


def test_a_picture_whose_bytes_changed_is_refused(opened):
    channel = opened.channel(1)
    name = channel.spec().pictures[0].file
    path = channel.picture(name)
    path.unlink()
    path.write_bytes(b"other")
    with pytest.raises(ChannelError, match="damaged"):
        channel.picture(name)


def test_a_deleted_job_stops_its_trainer_with_a_sentence(opened):
    channel = opened.channel(1)
    opened.job.delete()
    with pytest.raises(InvalidJob, match="desired"):
        channel.append(Heartbeat())
    assert not opened.job.path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_really_full_disk(tmp_path, small_disk):
    world = DirectoryWorld(small_disk)
    world.job.open_attempt(1)
    channel = world.channel(1)
    with pytest.raises(ChannelError, match="No space left"):
        fill(channel)
    (small_disk / "ballast").unlink()
    channel.append(Preparing(doing="room again"))
    events, offset = [], 0
    while (batch := world.job.read_events(1, offset))[0]:
        events, offset = events + batch[0], batch[1]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].body == Preparing(doing="room again")


def fill(channel):
    for number in range(10_000):
        channel.append(Preparing(doing=f"{number} " + "x" * 2000))


def failing(number):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return fail
