"""What every JobChannel promises, whatever stores the job.

A test module binds the suite to one implementation by subclassing it with a `world` fixture. The world has the job's
bot side (`world.job`, a JobFolder) and opens channels: `world.channel(attempt)` gives the trainer's side of an attempt,
as a freshly started process would have it.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Protocol

import pytest

from tests.trainer.contract.jobs import ENDS, EVERY_KIND
from trainer.contract.channel import Command, JobChannel
from trainer.contract.errors import ChannelError, ContractError, StaleAttempt
from trainer.contract.events import CommandDone, Heartbeat, Paused, Preparing
from trainer.contract.folder import JobFolder


class World(Protocol):
    job: JobFolder

    def channel(self, attempt: int) -> JobChannel: ...


def state_folder(channel, step, contents=b"weights"):
    folder = channel.workspace / f"state-{step}"
    folder.mkdir()
    (folder / "lora.safetensors").write_bytes(contents)
    (folder / "position.json").write_bytes(b"{}")
    return folder


def kept_file(channel, contents=b"lora"):
    path = channel.workspace / "file"
    path.unlink(missing_ok=True)  # a kept file is never written again: it may share its bytes with the kept one
    path.write_bytes(contents)
    return path


class ChannelConformance:
    """Subclass with a `world` fixture."""

    # --- the job ----------------------------------------------------------------------------------------------------
    def test_it_knows_the_job_and_its_attempt(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        assert channel.attempt == 1
        assert channel.spec() == world.job.spec()

    def test_it_gives_the_bytes_of_each_picture(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        contents = {channel.picture(picture.file).read_bytes() for picture in channel.spec().pictures}
        assert contents == {b"picture 0", b"picture 1"}

    @pytest.mark.parametrize("name", ["f" * 64 + ".webp", "../job.json", "/etc/passwd", "", "a\0b", "job.json"])
    def test_a_picture_that_is_not_the_jobs_is_refused(self, world, name):
        world.job.open_attempt(1)
        with pytest.raises(ChannelError):
            world.channel(1).picture(name)

    def test_an_attempt_never_opened_has_no_channel(self, world):
        with pytest.raises(ContractError):
            world.channel(3).append(Heartbeat())

    # --- what is wanted ---------------------------------------------------------------------------------------------
    def test_it_sees_the_last_wish(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        assert (channel.desired().wish, channel.desired().attempt) == ("run", 1)
        world.job.set_desired("stop", 1)
        assert channel.desired().wish == "stop"

    def test_it_gives_commands_in_order_behind_a_number(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        assert channel.commands(0) == []
        wishes = [Command(1, "sample"), Command(2, "extend", 5), Command(3, "sample")]
        for wish in wishes:
            world.job.add_command(wish)
        assert channel.commands(0) == wishes
        assert channel.commands(2) == wishes[2:]

    def test_answered_commands_stay_answered_in_the_next_attempt(self, world):
        world.job.open_attempt(1)
        assert world.channel(1).commands_done() == 0
        world.channel(1).append(CommandDone(number=2, ok=False, message="no"))
        world.job.open_attempt(2)
        assert world.channel(2).commands_done() == 2

    # --- events -----------------------------------------------------------------------------------------------------
    @pytest.mark.parametrize("end", ENDS, ids=lambda end: end.kind)
    def test_every_kind_of_event_reaches_the_bot_numbered_from_one(self, world, end):
        world.job.open_attempt(1)
        channel = world.channel(1)
        appended = [channel.append(body) for body in (*EVERY_KIND, end)]
        assert [event.body for event in appended] == [*EVERY_KIND, end]
        assert [event.seq for event in appended] == list(range(1, len(appended) + 1))
        assert channel.events() == appended
        assert world.job.read_events(1, 0)[0] == appended

    def test_a_new_process_goes_on_counting(self, world):
        world.job.open_attempt(1)
        first = world.channel(1).append(Heartbeat())
        second = world.channel(1).append(Preparing(doing="again"))
        assert (first.seq, second.seq) == (1, 2)
        assert world.channel(1).events() == [first, second]

    def test_nothing_follows_the_end(self, world):
        world.job.open_attempt(1)
        world.channel(1).append(ENDS[0])
        for channel in (world.channel(1), world.channel(1)):
            with pytest.raises(ChannelError, match="has ended with paused"):
                channel.append(Heartbeat())
        assert len(world.job.read_events(1, 0)[0]) == 1

    def test_an_event_that_is_no_number_is_refused_and_leaves_the_log_whole(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        channel.append(Heartbeat())
        step = next(body for body in EVERY_KIND if body.kind == "step")
        with pytest.raises(ContractError, match="finite"):
            channel.append(type(step)(**{**{n: getattr(step, n) for n in step.__slots__}, "loss": float("nan")}))
        channel.append(Heartbeat())
        assert [event.seq for event in world.job.read_events(1, 0)[0]] == [1, 2]

    def test_any_text_survives(self, world):
        world.job.open_attempt(1)
        texts = ["line\nbreak\r\n", "\u2028\u0085", "émoji 👩‍🎤", "half a pair \udcff", '"quotes"\\', "\0"]
        channel = world.channel(1)
        for text in texts:
            channel.append(Preparing(doing=text))
        assert [event.body.doing for event in world.job.read_events(1, 0)[0]] == texts

    # --- threads ----------------------------------------------------------------------------------------------------
    def test_events_files_and_states_may_come_from_several_threads_at_once(self, world):
        world.job.open_attempt(1)
        world.job.add_command(Command(1, "sample"))
        channel = world.channel(1)
        start, rounds = Barrier(5), 25

        def tell(who):
            start.wait()
            return [channel.append(Preparing(doing=f"{who} {number}")).seq for number in range(rounds)]

        def keep_files():
            start.wait()
            for number in range(rounds):
                source = channel.workspace / f"file-{number}"
                source.write_bytes(b"%d" % number)
                channel.put_file(f"lora/{number}.safetensors", source)

        def keep_states():
            start.wait()
            for step in range(1, rounds + 1):
                channel.put_state(state_folder(channel, step), step)

        def ask():
            start.wait()
            for _ in range(rounds):
                assert channel.desired().wish == "run"
                assert channel.commands(0) == [Command(1, "sample")]
                numbers = [event.seq for event in channel.events()]
                assert numbers == list(range(1, len(numbers) + 1))

        with ThreadPoolExecutor(5) as threads:
            told = [threads.submit(tell, who) for who in ("training", "writer")]
            for other in [threads.submit(work) for work in (keep_files, keep_states, ask)]:
                other.result()
        assert sorted(told[0].result() + told[1].result()) == list(range(1, 2 * rounds + 1))
        logged = world.job.read_events(1, 0)[0]
        assert logged == channel.events()
        for who in ("training", "writer"):
            assert [e.body.doing for e in logged if e.body.doing.startswith(who)] == [
                f"{who} {number}" for number in range(rounds)
            ]
        for number in range(rounds):
            assert world.job.file(1, f"lora/{number}.safetensors").read_bytes() == b"%d" % number
        assert [step for step, _, _ in world.channel(1).states()] == [rounds, rounds - 1]

    # --- fencing ----------------------------------------------------------------------------------------------------
    def test_an_attempt_that_was_replaced_can_write_nothing(self, world):
        world.job.open_attempt(1)
        old = world.channel(1)
        source, state = kept_file(old), state_folder(old, 4)
        world.job.open_attempt(2)
        for write in (
            lambda: old.append(Heartbeat()),
            lambda: old.put_file("lora/a.safetensors", source),
            lambda: old.put_state(state, 4),
        ):
            with pytest.raises(StaleAttempt, match="replaced by attempt 2"):
                write()
        assert world.job.read_events(1, 0)[0] == []
        assert list(world.channel(2).states()) == []
        assert not world.job.file(1, "lora/a.safetensors").exists()

    # --- files ------------------------------------------------------------------------------------------------------
    @pytest.mark.parametrize(
        "name", ["lora/epoch-005.safetensors", "samples/epoch-005-0.webp", "effective.json", "loss.png"]
    )
    def test_a_kept_file_can_be_read_by_its_name(self, world, name):
        world.job.open_attempt(1)
        channel = world.channel(1)
        for _ in range(2):  # again after a crash: the same
            channel.put_file(name, kept_file(channel, b"contents"))
        assert world.job.file(1, name).read_bytes() == b"contents"

    def test_the_same_source_may_be_kept_twice(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        source = kept_file(channel)
        channel.put_file("lora/a.safetensors", source)
        channel.put_file("lora/a.safetensors", source)
        assert [path.name for path in world.job.file(1, "lora/a.safetensors").parent.iterdir()] == ["a.safetensors"]

    def test_a_kept_file_is_never_overwritten_but_the_settings_and_the_plot_are(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        channel.put_file("lora/a.safetensors", kept_file(channel, b"one"))
        with pytest.raises(ChannelError, match="other contents"):
            channel.put_file("lora/a.safetensors", kept_file(channel, b"two"))
        assert world.job.file(1, "lora/a.safetensors").read_bytes() == b"one"
        for name in ("effective.json", "loss.png"):
            channel.put_file(name, kept_file(channel, b"{}"))
            channel.put_file(name, kept_file(channel, b"[]"))
            assert world.job.file(1, name).read_bytes() == b"[]"

    @pytest.mark.parametrize(
        "name",
        [
            "events.jsonl",
            "../2/lora/a",
            "/tmp/a",
            "lora/../events.jsonl",
            "lora/",
            "lora/a/b",
            "lora/.a",
            "lora/\0",
            "lora/é",
            "lora/" + "a" * 200,
            "state/step-00000001/x",
            "lock",
            "",
        ],
    )
    def test_a_file_is_kept_only_where_files_belong(self, world, name):
        world.job.open_attempt(1)
        channel = world.channel(1)
        with pytest.raises(ChannelError, match="cannot be kept as"):
            channel.put_file(name, kept_file(channel))

    def test_a_missing_source_is_an_error_of_the_contract(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        with pytest.raises(ChannelError):
            channel.put_file("lora/a.safetensors", channel.workspace / "nothing")
        with pytest.raises(ChannelError):
            channel.put_state(channel.workspace / "nothing", 1)

    # --- states -----------------------------------------------------------------------------------------------------
    def test_the_newest_two_states_are_kept_and_found_newest_first(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        for step in (9, 10, 100):
            channel.put_state(state_folder(channel, step, f"weights {step}".encode()), step)
        states = list(world.channel(1).states())
        assert [(step, attempt) for step, attempt, _ in states] == [(100, 1), (10, 1)]
        weights = states[0][2] / "lora.safetensors"
        assert weights.read_bytes() == b"weights 100"
        manifest = json.loads((states[0][2] / "manifest.json").read_text())
        assert manifest["step"] == 100
        assert manifest["files"]["lora.safetensors"] == {
            "bytes": len(b"weights 100"),
            "sha256": hashlib.sha256(b"weights 100").hexdigest(),
        }

    def test_a_later_attempt_finds_the_states_of_the_earlier_ones(self, world):
        world.job.open_attempt(1)
        world.channel(1).put_state(state_folder(world.channel(1), 5), 5)
        world.job.open_attempt(2)
        second = world.channel(2)
        second.put_state(state_folder(second, 5), 5)
        second.put_state(state_folder(second, 3), 3)
        assert [(step, attempt) for step, attempt, _ in second.states()] == [(5, 2), (5, 1), (3, 2)]

    def test_an_earlier_attempt_does_not_see_later_ones(self, world):
        world.job.open_attempt(1)
        early = world.channel(1)
        world.job.open_attempt(2)
        world.channel(2).put_state(state_folder(world.channel(2), 8), 8)
        assert list(early.states()) == []

    def test_a_state_is_consumed_and_may_be_offered_twice(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        for _ in range(2):
            folder = state_folder(channel, 5)
            channel.put_state(folder, 5)
            assert not folder.exists()
        assert [step for step, _, _ in channel.states()] == [5]

    @pytest.mark.parametrize(
        "damage", ["shorter", "changed", "missing", "extra", "no manifest", "bad manifest", "old schema"]
    )
    def test_a_damaged_state_is_passed_over(self, world, damage):
        world.job.open_attempt(1)
        channel = world.channel(1)
        for step in (1, 2):
            channel.put_state(state_folder(channel, step), step)
        newest = next(iter(channel.states()))[2]
        spoil(newest, damage)
        assert [step for step, _, _ in world.channel(1).states()] == [1]

    def test_a_damaged_state_can_be_written_anew(self, world):
        world.job.open_attempt(1)
        channel = world.channel(1)
        channel.put_state(state_folder(channel, 2), 2)
        spoil(next(iter(channel.states()))[2], "changed")
        channel.put_state(state_folder(channel, 2), 2)
        assert [step for step, _, _ in channel.states()] == [2]

    def test_the_workspace_is_the_attempts_own(self, world):
        world.job.open_attempt(1)
        world.job.open_attempt(2)
        first, second = world.channel(1).workspace, world.channel(2).workspace
        assert first.is_dir()
        assert second.is_dir()
        assert first != second

    def test_growing_files_have_a_folder_of_the_attempt_which_is_kept(self, world):
        world.job.open_attempt(1)
        world.job.open_attempt(2)
        first, second = world.channel(1).tensorboard, world.channel(2).tensorboard
        assert first.is_dir()
        assert first != second
        assert first != world.channel(1).workspace

    def test_a_pause_in_the_log_is_the_end_a_new_process_sees(self, world):
        world.job.open_attempt(1)
        world.channel(1).append(Paused(reason="shutdown", step=1, message="paused"))
        assert isinstance(world.channel(1).events()[-1].body, Paused)


def spoil(state, damage):
    weights, manifest = state / "lora.safetensors", state / "manifest.json"
    match damage:
        case "shorter":
            weights.write_bytes(b"weigh")
        case "changed":
            weights.write_bytes(b"WEIGHTS")
        case "missing":
            weights.unlink()
        case "extra":
            (state / "other").write_bytes(b"")
        case "no manifest":
            manifest.unlink()
        case "old schema":
            value = json.loads(manifest.read_text())
            manifest.write_text(json.dumps({**value, "schema": value["schema"] - 1}))
        case "bad manifest":
            manifest.write_bytes(b"[" * 100_000)
