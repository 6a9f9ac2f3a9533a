"""JobFolder: the bot's side. Jobs appear whole, vanish whole, and names never lead out."""

import contextlib
import errno
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainer.contract.jobs import make_job, make_spec, picture_files
from trainer.contract import folder as folder_module
from trainer.contract.channel import Command
from trainer.contract.directory import DirectoryChannel
from trainer.contract.durable import sha256_file
from trainer.contract.errors import ChannelError, InvalidEvent, InvalidJob, StaleAttempt
from trainer.contract.events import Event, Heartbeat, encode
from trainer.contract.folder import READ_LIMIT, JobFolder, append_line, remove_leftovers, sources_from
from trainer.contract.spec import PictureSpec


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path)


def test_a_new_job_holds_its_pictures_and_wants_nothing_of_an_attempt_yet(job):
    assert {path.name for path in (job.path / "dataset").iterdir()} == {p.file for p in job.spec().pictures}
    assert (job.desired().wish, job.desired().attempt) == ("run", 0)
    assert job.attempts() == []
    assert job.commands() == []


def test_masks_are_part_of_the_dataset(tmp_path):
    files = picture_files(tmp_path / "pictures")
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"mask")
    name = f"{sha256_file(mask)}.png"
    pictures = tuple(PictureSpec(file=file, caption="lisaxl", mask=name) for file in sorted(files))
    job = JobFolder.create(tmp_path / "jobs", make_spec(files, pictures=pictures), sources_from({**files, name: mask}))
    job.open_attempt(1)
    assert DirectoryChannel(job.path, 1).picture(name).read_bytes() == b"mask"


def test_a_job_is_created_once(job, tmp_path):
    with pytest.raises(ChannelError, match="exists already"):
        make_job(tmp_path)


def test_a_creation_that_fails_leaves_nothing(tmp_path):
    files = picture_files(tmp_path / "pictures")
    (tmp_path / "pictures" / sorted(files)[-1]).unlink()
    with pytest.raises(ChannelError):
        JobFolder.create(tmp_path / "jobs", make_spec(files), sources_from(files))
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_picture_without_a_file_or_with_other_bytes_is_refused(tmp_path):
    files = picture_files(tmp_path / "pictures")
    with pytest.raises(InvalidJob, match="has no file"):
        JobFolder.create(tmp_path / "jobs", make_spec(files), sources_from({}))
    next(iter(files.values())).write_bytes(b"other")
    with pytest.raises(InvalidJob, match="has changed"):
        JobFolder.create(tmp_path / "jobs", make_spec(files), sources_from(files))
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_folder_that_is_no_job_says_so(tmp_path):
    with pytest.raises(InvalidJob, match="not a job folder"):
        JobFolder(tmp_path).spec()
    with pytest.raises(InvalidJob, match="cannot be read"):
        JobFolder(tmp_path).desired()
    with pytest.raises(ChannelError):
        JobFolder(tmp_path).commands()
    assert JobFolder(tmp_path).attempts() == []


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b'{"wish": "fly", "attempt": 1}', b'{"wish": "run"}'])
def test_a_damaged_wish_is_refused(job, data):
    (job.path / "desired.json").write_bytes(data)
    with pytest.raises(InvalidJob):
        job.desired()


def test_opening_an_attempt_twice_keeps_the_wish_said_since(job):
    job.open_attempt(1)
    job.set_desired("stop", 1)
    job.open_attempt(1)
    assert job.desired().wish == "stop"


@pytest.mark.parametrize("number", [1, 0, -1])
def test_an_older_attempt_is_not_opened_again(job, number):
    job.open_attempt(2)
    with pytest.raises(StaleAttempt):
        job.open_attempt(number)
    assert job.desired().attempt == 2


def test_only_folders_named_by_a_number_are_attempts(job):
    job.open_attempt(2)
    for name in ("007", "0", "²", "١", "x", "-1", "1.5"):
        (job.path / "attempts" / name).mkdir()
    assert job.attempts() == [2]


def test_a_command_is_added_once_and_a_torn_one_is_forgotten(job):
    job.add_command(Command(1, "sample"))
    job.add_command(Command(1, "sample"))
    with (job.path / "commands.jsonl").open("ab") as file:
        file.write(b'{"number": 2, "ki')
    assert job.commands() == [Command(1, "sample")]
    job.add_command(Command(2, "extend", 3))
    assert job.commands() == [Command(1, "sample"), Command(2, "extend", 3)]


def test_a_line_that_could_not_be_made_durable_is_taken_back(job, monkeypatch):
    job.add_command(Command(1, "sample"))

    def fail(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(ChannelError, match="No space left"):
            job.add_command(Command(2, "sample"))
    assert job.commands() == [Command(1, "sample")]


def test_an_append_to_nowhere_is_an_error_of_the_contract(tmp_path):
    with pytest.raises(ChannelError):
        append_line(tmp_path / "nowhere" / "file", b"line\n")


# --- events ---------------------------------------------------------------------------------------------------------
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_a_reader_sees_every_event_once_however_the_log_grows(job, cuts):
    job.open_attempt(1)
    whole = b"".join(encode(Event(n, float(n), Heartbeat())) for n in range(1, 9))
    log = job.attempt(1) / "events.jsonl"
    seen, offset = [], 0
    for end in [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]:
        log.write_bytes(whole[:end])
        events, offset = job.read_events(1, offset)
        seen += [event.seq for event in events]
    assert seen == list(range(1, 9))
    assert offset == len(whole)


@pytest.mark.parametrize("numbers", [[2], [1, 3], [1, 1], [1, 2, 1]])
def test_a_gap_or_a_repeat_in_the_numbers_is_damage(job, numbers):
    job.open_attempt(1)
    (job.attempt(1) / "events.jsonl").write_bytes(b"".join(encode(Event(n, 1.0, Heartbeat())) for n in numbers))
    with pytest.raises(InvalidEvent, match="stands where"):
        job.read_events(1, 0)


def test_a_line_without_end_is_damage_not_a_reader_that_waits_for_ever(job):
    job.open_attempt(1)
    (job.attempt(1) / "events.jsonl").write_bytes(b"x" * (READ_LIMIT + 1))
    with pytest.raises(InvalidEvent, match="longer than"):
        job.read_events(1, 0)


def test_a_log_longer_than_one_read_comes_in_parts(job, monkeypatch):
    job.open_attempt(1)
    monkeypatch.setattr(folder_module, "READ_LIMIT", 100)
    channel = DirectoryChannel(job.path, 1)
    for _ in range(10):
        channel.append(Heartbeat())
    assert len(job.read_events(1, 0)[0]) < 10
    assert len(DirectoryChannel(job.path, 1).events()) == 10


# --- names ----------------------------------------------------------------------------------------------------------
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text() | st.lists(st.sampled_from(["..", ".", "/", "lora", "\0", "~", "é"])).map("/".join))
def test_no_name_leads_out_of_the_attempt(job, name):
    root = job.attempt(1).resolve()
    with contextlib.suppress(InvalidJob):
        assert job.file(1, name).is_relative_to(root)


def test_a_link_does_not_lead_out_of_the_attempt(job, tmp_path):
    job.open_attempt(1)
    (job.attempt(1) / "lora" / "out").symlink_to(tmp_path)
    (job.attempt(1) / "lora" / "loop").symlink_to("loop")
    for name in ("lora/out/secret", "lora/out", "lora/loop/x"):
        with pytest.raises(InvalidJob):
            job.file(1, name)


# --- the end --------------------------------------------------------------------------------------------------------
def test_deleting_removes_everything_and_may_be_repeated(job):
    job.open_attempt(1)
    job.delete()
    job.delete()
    assert list(job.path.parent.iterdir()) == []


def test_leftovers_of_killed_processes_are_removed_and_jobs_stay(job):
    root = job.path.parent
    for name in (f".job1.{'a' * 32}.tmp", f".other.{'b' * 32}.deleted"):
        (root / name / "dataset").mkdir(parents=True)
    (root / ".keep").mkdir()
    remove_leftovers(root, job_id="job1")
    assert {path.name for path in root.iterdir()} == {"job1", ".keep", f".other.{'b' * 32}.deleted"}
    remove_leftovers(root)
    assert {path.name for path in root.iterdir()} == {"job1", ".keep"}
    remove_leftovers(root / "nowhere")
