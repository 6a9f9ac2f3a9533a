"""A learner put back goes on as if nothing had been, to the last bit; and looking at it changes nothing."""

import json
import typing

import pytest
import torch
from safetensors.torch import load, save

from tests.trainer.support.card import needs_card
from tests.trainer.training.learning import differ, make_learner, pictures, sound, weights
from trainer.contract import config as settings
from trainer.training.optim.prodigy import D0

OPTIMIZERS = typing.get_args(settings.Optimizer)
RANDOM = {"dropout": 0.3, "rank": 4, "preservation_weight": 0.5, "noise_offset": 0.05, "max_norm": 5.0}


def settings_of(optimizer):
    """Everything on that goes together with the optimizer."""
    rate = {"prodigy": 1.0}.get(optimizer, 1e-2)
    average = {} if optimizer == "schedule-free" else {"ema_decay": 0.5}
    return {**RANDOM, **average, "optimizer": optimizer, "learning_rate": rate, "warmup_steps": 3}


def run(learner, steps):
    for step in steps:
        learner.step([(0, 1), (step % 4,)], step, min(1.0, step / 3))
    return learner


def saved(learner):
    """The state as it comes back from its files."""
    lent, values = learner.state()
    return load(save(lent.take())), json.loads(json.dumps(values, allow_nan=False))


def shown(learner):
    with learner.averaged():
        return weights(learner)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_is_straight_with_dropout_averages_and_accumulation(optimizer):
    straight = run(make_learner(**settings_of(optimizer)), range(1, 3))
    state = saved(straight)
    shown(straight)  # a look between two steps
    resumed = make_learner(**settings_of(optimizer))
    torch.manual_seed(5)
    resumed.load(*state)
    for one in (straight, resumed):
        run(one, range(3, 5))
    assert not differ(straight, resumed)
    assert not differ(shown(straight), shown(resumed))
    assert straight.tally.smoothed.equal(resumed.tally.smoothed)
    assert sound(resumed)


def in_groups(learner):
    """What the optimizer keeps in its groups, but for the rate, which each step sets anew."""
    groups = learner.optimizer.param_groups
    return [{key: value for key, value in group.items() if key not in ("params", "lr")} for group in groups]


@pytest.mark.parametrize(
    ("optimizer", "changes"),
    [
        ("prodigy", {"k"}),
        ("schedule-free", {"k", "weight_sum", "lr_max", "scheduled_lr"}),
    ],
)
def test_all_that_an_optimizer_changes_in_its_groups_comes_back(optimizer, changes):
    """Prodigy's estimate only grows while gradients point one way: the same picture, noise and timestep each time."""
    rate = {"prodigy": 1.0}.get(optimizer, 1e-2)
    straight, resumed = (make_learner(optimizer=optimizer, learning_rate=rate) for _ in range(2))
    [before] = in_groups(resumed)
    for _ in range(6):
        straight.step([(0,)], 1, 1.0)
    resumed.load(*saved(straight))
    [now] = in_groups(straight)
    assert in_groups(resumed) == [now]
    if optimizer == "prodigy":
        assert resumed.optimizer.estimate.equal(straight.optimizer.estimate)
        assert straight.optimizer.estimate[0] > D0
    assert {key for key in now if now[key] != before.get(key)} == changes


@pytest.mark.parametrize("precision", ["bf16", "full-bf16", "fp16"])
def test_resumed_is_straight_in_every_number_format(precision):
    changes = {**settings_of("adamw"), "precision": precision}
    straight = run(make_learner(**changes), [1])
    straight._scaler.update(new_scale=2.0**10) if precision == "fp16" else None
    resumed = make_learner(**changes)
    resumed.load(*saved(straight))
    for one in (straight, resumed):
        run(one, [2])
    assert not differ(straight, resumed)
    assert straight._scaler.state_dict() == resumed._scaler.state_dict()


def test_resumed_is_straight_with_everything_trained(tiny_sdxl):
    changes = {"text_encoder_1": True, "text_encoder_2": True, "conv_rank": 2, "decompose": True, "dropout": 0.2}
    straight = make_learner(folder=tiny_sdxl, **changes)
    straight.step([(0, 1)], 1, 1.0)
    resumed = make_learner(folder=tiny_sdxl, **changes)
    resumed.load(*saved(straight))
    for one in (straight, resumed):
        one.step([(2,)], 2, 1.0)
    assert not differ(straight, resumed)


@needs_card
@pytest.mark.parametrize("precision", ["bf16", "full-bf16", "fp16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_is_straight_on_a_gpu(card, optimizer, precision):
    """Within 1e-5 there: its sums have no fixed order, where cuDNN does not give them one."""
    torch.backends.cudnn.deterministic = True  # until `card` ends
    changes = {**settings_of(optimizer), "precision": precision, "device": card}
    straight = run(make_learner(pictures(device=card), **changes), range(1, 4))
    resumed = make_learner(pictures(device=card), **changes)
    resumed.load(*saved(straight))
    for one in (straight, resumed):
        run(one, range(4, 7))
    assert float(straight.tally.loss) == pytest.approx(float(resumed.tally.loss), rel=1e-5)


# --- what is shown ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("changes", [{"ema_decay": 0.9}, {"optimizer": "schedule-free"}], ids=str)
def test_what_is_shown_is_an_average_and_looking_changes_nothing(changes):
    looked, straight = make_learner(**changes, learning_rate=1e-2), make_learner(**changes, learning_rate=1e-2)
    for step in range(1, 4):
        for one in (looked, straight):
            one.step([(0, 1)], step, 1.0)
        trained = weights(looked)
        with looked.averaged():
            average = weights(looked)
            with looked.averaged():
                assert not differ(looked, average)
            assert not differ(looked, average)
            looked.validate([0])
        assert not differ(looked, trained)
    assert differ(average, trained)
    assert not differ(looked, straight)


def test_without_an_average_the_weights_themselves_are_shown():
    one = run(make_learner(), range(1, 3))
    assert not differ(shown(one), weights(one))


def test_the_average_follows_its_decay():
    far, near = (run(make_learner(ema_decay=decay, learning_rate=1e-2), range(1, 4)) for decay in (0.9, 0.05))
    assert not differ(far, near)
    [name, *_] = [name for name in weights(far) if name.endswith("lora_B.weight")]
    distances = [float((shown(one)[name] - weights(one)[name]).norm()) for one in (far, near)]
    assert distances[0] > 2 * distances[1] > 0


def test_validation_measures_what_is_shown():
    one = run(make_learner(ema_decay=0.9, learning_rate=0.1), range(1, 4))
    measured = one.validate([0, 1])
    for name, value in shown(one).items():
        one.weights[name].data.copy_(value)
    one._average = None
    assert one.validate([0, 1]) == measured


# --- what does not fit ------------------------------------------------------------------------------------------------
def test_a_state_is_a_copy():
    one = make_learner(ema_decay=0.9)
    before = {name: tensor.clone() for name, tensor in one.state()[0].take().items()}
    lent, _ = one.state()
    run(one, range(1, 3))
    assert all(tensor.equal(before[name]) for name, tensor in lent.take().items())


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        ({"rank": 4}, "differ in name or shape"),
        ({"optimizer": "lion"}, "optimizer 'lion'"),
        ({"ema_decay": 0.9}, "another ema_decay or precision"),
        ({"precision": "fp16"}, "another ema_decay or precision"),
    ],
    ids=str,
)
def test_a_state_of_another_run_is_refused_untouched(theirs, problem):
    one, other = make_learner(), run(make_learner(**theirs), [1])
    before = weights(one)
    with pytest.raises(ValueError, match=problem):
        one.load(*saved(other))
    assert not differ(one, before)


@pytest.mark.parametrize("values", [[], {}, {"optimizer": []}, {"optimizer": {"name": "adamw"}}], ids=str)
def test_values_that_are_no_learners_are_refused_untouched(values):
    one, tensors = make_learner(), make_learner(seed=1).state()[0].take()
    before = weights(one)
    with pytest.raises((ValueError, KeyError, TypeError)):
        one.load(tensors, values)
    assert not differ(one, before)
