"""What each process of a team does; here two learners in two threads, that sum as two processes would."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.trainer.training.learning import differ, make_learner, weights
from trainer.data.sampler import parts
from trainer.parallel.team import Team

STEPS = (((0, 1, 2),), ((3,), (0, 1)), ((2,),), ((1, 2, 3, 0), (1,)))
"""Among them one with a single picture: a process has none then."""


class Meeting:
    """Where two threads bring what they have, and both get to see it."""

    def __init__(self):
        self.brought = [None, None]
        self.barrier = threading.Barrier(2, timeout=60)

    def exchange(self, rank, value):
        self.brought[rank] = value
        self.barrier.wait()
        values = list(self.brought)
        self.barrier.wait()
        return values


class Member:
    """Stands for the process group of one of the two."""

    def __init__(self, meeting, rank):
        self.meeting, self.rank = meeting, rank

    def sum(self, values):
        values.copy_(sum(self.meeting.exchange(self.rank, values.clone())))

    def anywhere(self, flags):
        return [any(pair) for pair in zip(*self.meeting.exchange(self.rank, list(flags)), strict=True)]


def team_of_two(**settings):
    """The learners of both."""
    meeting, learners = Meeting(), []
    for rank in range(2):
        team = Team(rank, 2)
        team._group = Member(meeting, rank)
        learners.append(make_learner(team=team, **settings))
    return learners


def step_together(learners, batches, number):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda learner: learner.step(batches, number, 1.0), learners))


def flat(tensors):
    return torch.cat([tensors[name].flatten().float() for name in sorted(tensors)])


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_decay": 0.1, "noise_offset": 0.1, "input_perturbation": 0.1, "min_snr_gamma": 5.0},
        {"preservation_weight": 1.0, "preservation_share": 0.5},
        {"conv_rank": 2, "decompose": True, "max_norm": 0.05, "ema_decay": 0.9, "max_grad_norm": 1e-3},
        {"optimizer": "prodigy", "learning_rate": 1.0},
        {"optimizer": "adafactor"},
        {"optimizer": "schedule-free"},
    ],
    ids=str,
)
def test_two_shares_make_the_step_of_one_process(settings):
    alone = make_learner(**settings)
    before = flat(weights(alone))
    one, other = team_of_two(**settings)
    for number, batches in enumerate(STEPS, start=1):
        alone.step(batches, number, 1.0)
        step_together((one, other), batches, number)
        assert float(one.tally.loss) == pytest.approx(float(alone.tally.loss), rel=1e-6)
    assert not differ(one, other), "both processes hold the same weights"
    (ours, _), (theirs, _) = one.state(), alone.state()
    assert ours.take().keys() == theirs.take().keys()
    apart = torch.linalg.norm(flat(weights(one)) - flat(weights(alone)))
    assert apart < 1e-6 * torch.linalg.norm(before)
    assert apart < 1e-4 * torch.linalg.norm(flat(weights(alone)) - before), "they differ far less than they have learnt"


@pytest.mark.parametrize("precision", ["fp16", "full-bf16"])
def test_a_process_without_pictures_steps_in_every_precision(precision):
    alone, pair = make_learner(precision=precision), team_of_two(precision=precision)
    before = flat(weights(alone))
    alone.step(((2,),), 1, 1.0)
    step_together(pair, ((2,),), 1)
    assert [float(learner.tally.loss) for learner in pair] == [float(alone.tally.loss)] * 2
    assert not differ(pair[0], pair[1])
    assert not differ(pair[0], alone)
    assert not torch.equal(flat(weights(alone)), before)


def test_the_shares_of_a_step_cover_it_once_and_evenly():
    for pictures in range(12):
        for size in range(1, 5):
            shares = [Team(rank, size).share_of(pictures) for rank in range(size)]
            assert [place for share in shares for place in share] == list(range(pictures))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_share_is_cut_out_of_the_batches_it_touches():
    batches = ((7, 8, 9), (4,), (5, 6))
    assert list(parts(batches, range(6))) == [
        (batches[0], 0, range(3)),
        (batches[1], 3, range(1)),
        (batches[2], 4, range(2)),
    ]
    assert list(parts(batches, range(2, 5))) == [
        (batches[0], 0, range(2, 3)),
        (batches[1], 3, range(1)),
        (batches[2], 4, range(1)),
    ]
    assert list(parts(batches, range(3, 3))) == []
