"""A run that was killed and resumed is the same run, to the last bit (fp32, CPU); the same seed is the same file."""

import json
import random
import threading
from contextlib import contextmanager

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from tests.trainer.jobs import bodies, draw_pictures, open_channel, tiny_job
from trainer.contract import directory, durable
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Failed, Finished, Resumed, State
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.training import loop

EVERYTHING_RANDOM = {
    "epochs": 4,
    "batch_size": 1,
    "gradient_accumulation": 2,
    "checkpoint_every_epochs": 2,
    "dropout": 0.2,
    "shuffle_caption": True,
    "keep_tokens": 1,
    "tag_dropout": 0.3,
    "caption_dropout": 0.3,
    "flip": True,
    "noise_offset": 0.05,
    "min_snr_gamma": 5.0,
    "ema_decay": 0.9,
    "preservation_weight": 0.5,
    "validation_share": 0.3,
    "schedule": "cosine",
    "warmup_steps": 2,
    "state_every_seconds": 0.0,
    "learning_rate": 1e-2,
    "targets": "attention",
}
ANY_CALL = (60, 100)
NEVER = 10**9
SIZES = ((64, 64), (70, 90), (96, 64), (64, 64), (64, 80))


class Killed(BaseException):
    """The process is gone: nothing behind this line runs, as after kill -9."""


class Mortal(DirectoryChannel):
    """Dies at one of its calls, before it has done it or after; the trainer does nothing without calling it.

    Training and writing go on side by side, so the same number is not always the same call. Once it is dead, no call
    of either does anything.
    """

    def __init__(self, folder, attempt, fatal_call):
        super().__init__(folder, attempt)
        self.left = fatal_call

    def _dying(self, call, *values):
        if threading.current_thread().name == "heartbeat":
            return call(*values)  # it has no part in the work, and is ended with it
        self._count()
        result = call(*values)
        self._count()
        return result

    def _count(self):
        self.left -= 1
        if self.left <= 0:
            raise Killed

    def desired(self):
        return self._dying(super().desired)

    def append(self, body):
        return self._dying(super().append, body)

    def put_file(self, name, source):
        return self._dying(super().put_file, name, source)

    def put_state(self, folder, step):
        return self._dying(super().put_state, folder, step)


class DiesAfterState(DirectoryChannel):
    """Dies just after the state of a step is safe."""

    def __init__(self, folder, attempt, fatal_step):
        super().__init__(folder, attempt)
        self.fatal_step = fatal_step

    def put_state(self, folder, step):
        super().put_state(folder, step)
        if step == self.fatal_step:
            raise Killed


def random_job(root, base, **settings):
    pictures = draw_pictures(root / "pictures", SIZES)
    return tiny_job(root, base, pictures=pictures, **{**EVERYTHING_RANDOM, **settings})


def last_state(channel):
    """Place, values and tensors of the newest state, without the times in it."""
    _, _, folder = next(channel.states())
    position = json.loads((folder / "position.json").read_text())["position"]
    del position["training_seconds"], position["started_at"]
    return position, json.loads((folder / "learner.json").read_text()), load_file(folder / "learner.safetensors")


def assert_same(state, other):
    assert state[:2] == other[:2]
    assert state[2].keys() == other[2].keys()
    different = [name for name, tensor in state[2].items() if not tensor.equal(other[2][name])]
    assert not different


def assert_nothing_overtaken(job, channel):
    """No state is of an epoch whose predecessors' files are not there, and none is told of that is not there."""
    states = list(channel.states())
    for _, _, folder in states:
        position = json.loads((folder / "position.json").read_text())["position"]
        kept = {path.name for number in job.attempts() for path in (job.attempt(number) / "lora").iterdir()}
        every = EVERYTHING_RANDOM["checkpoint_every_epochs"]
        assert {f"epoch-{epoch:03d}.safetensors" for epoch in range(every, position["epoch"], every)} <= kept
    told = [state.step for number in job.attempts() for state in bodies(DirectoryChannel(job.path, number), State)]
    assert not told or max(told) in {step for step, _, _ in states}


def lora_bytes(path):
    """A LoRA file's tensors, byte by byte, and its metadata."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return header.pop("__metadata__"), header, data[8 + length :]


@pytest.fixture(autouse=True)
def every_step_is_told(monkeypatch):
    """However fast the machine is, so that the deaths always lie at the same places."""
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)


@pytest.fixture(scope="module")
def straight(small_sdxl, tmp_path_factory):
    """A run that nobody disturbed: its newest state, its steps, and its files."""
    job = random_job(tmp_path_factory.mktemp("straight"), small_sdxl)
    channel = open_channel(job)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    return last_state(channel), bodies(channel, Finished)[0], job


@contextmanager
def deadly(label, count):
    """Die at the labelled write point when it is passed for the `count`-th time, and be dead at every one after."""
    left = [count]

    def reach(point):
        left[0] -= label in point
        if left[0] <= 0:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "reach", reach)
        patch.setattr(durable, "reach", reach)
        yield


def test_killed_at_seven_random_points_it_ends_bit_equal_to_the_straight_run(straight, small_sdxl, tmp_path):
    """Four deaths at any call to the job's storage, three within the writing of a state; each attempt goes on."""
    job = random_job(tmp_path, small_sdxl)
    chance = random.Random(20261123)
    inside = ["manifest.json.before-rename", "state.manifest", ".before-publish"]
    # An attempt makes about 30 calls before its first step, and 10 a step; each may be the last before or after it.
    deaths = [("", chance.randrange(*ANY_CALL)) for _ in range(4)] + [
        (label, chance.randrange(1, 3)) for label in inside
    ]
    chance.shuffle(deaths)
    for attempt, (label, count) in enumerate(deaths, start=1):
        job.open_attempt(attempt)
        channel = Mortal(job.path, attempt, NEVER if label else count)
        with deadly(label or "nowhere", count), pytest.raises(Killed):
            run_job(channel, device="cpu")
        assert_nothing_overtaken(job, channel)
    channel = open_channel(job, len(deaths) + 1)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    attempts = [DirectoryChannel(job.path, number) for number in job.attempts()]
    resumed = [event.step for one in attempts for event in bodies(one, Resumed)]
    assert len(set(resumed)) >= 4, f"the deaths lie all over the run: {resumed}"
    assert_same(last_state(channel), straight[0])
    files = [lora_bytes(job.file(len(deaths) + 1, straight[1].file)), lora_bytes(straight[2].file(1, straight[1].file))]
    assert files[0][1:] == files[1][1:], "the files are byte for byte the same"


def test_the_same_seed_is_the_same_file_but_for_its_times_and_another_seed_another(small_sdxl, tmp_path):
    files = []
    for name, seed in (("one", 5), ("same", 5), ("other", 6)):
        job = random_job(tmp_path / name, small_sdxl, epochs=1, seed=seed)
        assert run_job(open_channel(job), device="cpu") == Exit.FINISHED
        files.append(lora_bytes(job.file(1, "lora/epoch-001.safetensors")))
    one, same, other = files
    assert one[1:] == same[1:]
    different = {name for name in one[0].keys() | same[0].keys() if one[0].get(name) != same[0].get(name)}
    # The last one is sd-scripts' hash over a piece of the file that begins in the header, so the times are in it.
    times = {"ss_training_started_at", "ss_training_finished_at", "modelspec.date", "sshs_legacy_hash"}
    assert different <= times
    assert one[2] != other[2]


def test_training_moves_every_weight(straight):
    weights = straight[0][2]
    assert all(tensor.abs().max() > 0 for name, tensor in weights.items() if "weight|" in name and "lora_B" in name)


def test_no_saved_file_is_or_holds_a_pickle(straight):
    """Pickles begin with a protocol mark, PyTorch's are zip files; neither may lie anywhere in the job."""
    files = [path for path in straight[2].path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"learner.safetensors", "learner.json", "position.json", "manifest.json"}
    marks = (*(bytes([0x80, protocol]) for protocol in range(2, 6)), b"PK\x03\x04", b"(dp", b"\x1f\x8b")
    assert not [path for path in files if path.read_bytes().startswith(marks)]
    allowed = {".json", ".jsonl", ".safetensors", ".png", ".webp", ""}
    assert not [path for path in files if path.suffix not in allowed and "tfevents" not in path.name]


def ended_in_epoch(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()["ss_epoch"]


def test_state_at_the_very_end_only_finishes(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=1, checkpoint_every_epochs=1)
    first = open_channel(job)
    assert run_job(first, device="cpu") == Exit.FINISHED
    second = open_channel(job, 2)
    assert run_job(second, device="cpu") == Exit.FINISHED
    assert bodies(second, State) == []
    [old], [new] = bodies(first, Finished), bodies(second, Finished)
    assert (new.step, new.epoch, new.file) == (old.step, old.epoch, old.file)
    assert [ended_in_epoch(job.file(attempt, new.file)) for attempt in (1, 2)] == ["1", "1"]
    files = [load_file(job.attempt(attempt) / new.file) for attempt in (1, 2)]
    assert files[0].keys() == files[1].keys()
    assert all(files[0][name].equal(files[1][name]) for name in files[0])


def test_a_damaged_state_is_passed_over_for_an_older_one(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=3, state_every_seconds=0.0)
    job.open_attempt(1)
    with pytest.raises(Killed):
        run_job(DiesAfterState(job.path, 1, 4), device="cpu")
    newest = job.attempt(1) / "state" / "step-00000004" / "learner.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    channel = open_channel(job, 2)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert [event.step for event in bodies(channel, Resumed)] == [3]


def test_a_state_of_other_settings_is_refused_and_stays(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=3, state_every_seconds=0.0)
    job.open_attempt(1)
    with pytest.raises(Killed):
        run_job(DiesAfterState(job.path, 1, 1), device="cpu")
    spec = json.loads((job.path / "job.json").read_text())
    (job.path / "job.json").write_text(json.dumps({**spec, "config": {**spec["config"], "rank": 4}}))
    channel = open_channel(job, 2)
    assert run_job(channel, device="cpu") == Exit.FAILED
    [failed] = bodies(channel, Failed)
    assert (failed.code, failed.retry) == ("other-settings", False)
    assert "rank was 2, is 4" in failed.message
    assert next(channel.states())[1] == 1


def test_other_lengths_and_rates_are_gone_on_with(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=1)
    assert run_job(open_channel(job), device="cpu") == Exit.FINISHED
    spec = json.loads((job.path / "job.json").read_text())
    changes = {"epochs": 2, "learning_rate": 1e-3, "sample_count": 0, "checkpoint_every_epochs": 1}
    (job.path / "job.json").write_text(json.dumps({**spec, "config": {**spec["config"], **changes}}))
    channel = open_channel(job, 2)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert [(end.epoch, end.step) for end in bodies(channel, Finished)] == [(2, 4)]
