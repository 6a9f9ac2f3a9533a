"""From events to what a card shows, what is posted, and what time is charged."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from bot.cards.job import bar
from bot.rules.jobs.progress import SILENCE_CHARGED_SECONDS, Progress, apply_events
from trainer.contract.events import (
    Caching,
    Checkpoint,
    Claimed,
    Event,
    Failed,
    Finished,
    Heartbeat,
    Paused,
    Preparing,
    Resumed,
    Sample,
    State,
    Step,
    Validated,
)

NOTHING = Progress()
CLAIMED = Claimed(service="gpu0", pid=1, device="cpu", version="1")


def step(number, **more):
    values = {
        "epoch": number,
        "epochs": 10,
        "step": number,
        "steps": 10,
        "loss": 9.0,
        "smoothed_loss": 0.5,
        "learning_rate": 1e-4,
        "seconds_per_step": 2.0,
        "images_per_second": 1.0,
        "vram_bytes": 0,
        "eta_seconds": 60.0,
    }
    return Step(**{**values, **more})


def sample(number, command=0):
    return Sample(epoch=number, step=number, files=(), grid="samples/g.webp", prompts=("p",), command=command)


def told(*bodies, start=NOTHING, gap=1.0):
    return apply_events(start, [Event(n, 1000.0 + n * gap, body) for n, body in enumerate(bodies, 1)])


def test_the_newest_validation_loss_is_known_until_the_training_begins_anew():
    change = told(CLAIMED, step(4), Validated(epoch=1, step=4, loss=0.25), Validated(epoch=2, step=8, loss=0.125))
    assert change.progress.validation_loss == 0.125
    assert told(CLAIMED, start=change.progress).progress.validation_loss is None


def test_a_run_from_claim_to_finish():
    change = told(CLAIMED, Preparing(doing="loading"), Caching(done=3, total=6), step(4), sample(5), Heartbeat())
    progress = change.progress
    assert (progress.phase, progress.epoch, progress.step, progress.loss) == ("training", 4, 4, 0.5)
    assert progress.eta_at == 1004.0 + 60.0
    assert [each.step for each in change.samples] == [5]
    assert change.terminal is None
    assert change.gpu_seconds == 5.0
    end = Finished(reason="complete", epoch=10, step=10, file="f", sha256="0", bytes=1, training_seconds=1.0)
    change = told(step(9), end, start=progress)
    assert change.terminal is end
    assert (change.progress.step, change.progress.eta_at) == (10, None)


def test_each_phase_has_its_words():
    assert told(CLAIMED).progress.phase == "preparing"
    assert told(CLAIMED, Preparing(doing="loading")).progress.doing == "loading"
    caching = told(CLAIMED, Caching(done=3, total=6)).progress
    assert (caching.phase, caching.done, caching.total) == ("caching", 3, 6)


def test_silence_is_not_charged_to_the_member():
    assert told(CLAIMED, step(1), gap=5000.0).gpu_seconds == SILENCE_CHARGED_SECONDS
    assert told(step(1), CLAIMED, gap=5000.0).gpu_seconds == 0.0, "nobody trained between two attempts"


def test_samples_are_posted_once_and_asked_for_ones_always():
    first = told(sample(5))
    again = told(Resumed(epoch=4, step=4, from_attempt=1), sample(5), sample(6), start=first.progress)
    assert [each.step for each in again.samples] == [6]
    assert [each.command for each in told(sample(5, command=1), start=first.progress).samples] == [1]


def test_only_a_later_state_is_getting_further():
    first = told(State(epoch=1, step=5))
    assert first.new_state
    assert not told(State(epoch=1, step=5), start=first.progress).new_state
    assert told(State(epoch=1, step=5), State(epoch=1, step=6), start=first.progress).new_state


def test_a_start_from_nothing_after_steps_is_a_restart():
    lost = told(CLAIMED, step(3), Failed(code="crashed", message="m", retry=True)).progress
    change = told(CLAIMED, start=lost)
    assert change.restarted
    assert change.progress.step == 0
    saved = told(CLAIMED, step(3), State(epoch=1, step=3), Paused(reason="shutdown", step=3, message="")).progress
    assert not told(CLAIMED, start=saved).restarted
    assert not told(CLAIMED).restarted


def test_the_note_goes_when_training_goes_on():
    noted = dataclasses.replace(Progress(), note="The trainer was interrupted.")
    assert told(CLAIMED, start=noted).progress.note
    assert told(CLAIMED, step(1), start=noted).progress.note == ""


def test_progress_survives_the_database_and_other_versions():
    progress = told(CLAIMED, step(4), State(epoch=1, step=4)).progress
    assert Progress.from_json(progress.to_json()) == progress
    assert Progress.from_json('{"step": 3, "from_tomorrow": 1}').step == 3
    assert Progress.from_json("{}") == Progress()


@given(
    st.lists(
        st.one_of(
            st.just(CLAIMED),
            st.integers(1, 9).map(step),
            st.integers(1, 9).map(sample),
            st.just(Heartbeat()),
            st.builds(State, epoch=st.just(1), step=st.integers(1, 9)),
            st.just(Checkpoint(epoch=1, step=1, file="f", sha256="0", bytes=1)),
        ),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_it_does_not_matter_how_the_log_is_cut_into_reads(bodies, cut):
    events = [Event(n, 1000.0 + n, body) for n, body in enumerate(bodies, 1)]
    whole = apply_events(Progress(), events)
    first = apply_events(Progress(), events[:cut])
    second = apply_events(first.progress, events[cut:])
    assert second.progress == whole.progress
    assert first.samples + second.samples == whole.samples
    assert first.gpu_seconds + second.gpu_seconds == whole.gpu_seconds
    assert (first.new_state or second.new_state) == whole.new_state


@given(st.integers(-5, 300), st.integers(-5, 200))
def test_a_bar_has_ten_cells(done, total):
    assert len(bar(done, total)) == 10
    assert bar(7, 10) == "▰▰▰▰▰▰▰▱▱▱"
