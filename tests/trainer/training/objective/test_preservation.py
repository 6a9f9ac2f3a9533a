"""Preservation: the base's own answer to the captions without their trigger word is kept."""

import pytest
import torch

from tests.trainer.training.learning import differ, make_learner, weights
from trainer.contract.config import TrainConfig
from trainer.training.objective import batch
from trainer.training.objective.preservation import drift, rows_to_preserve

KEEPING = {"preservation_weight": 1.0, "preservation_share": 0.5, "learning_rate": 1e-2}


def rows(share, batch=(0, 1, 2, 3), step=1, first=0, seed=0, takes=lambda picture: picture != 3):
    config = TrainConfig(preservation_weight=1.0, preservation_share=share, seed=seed)
    return rows_to_preserve(batch, step, first, config, takes)


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.4, 2), (0.5, 2), (1.0, 3)])
def test_a_share_of_the_batch_at_least_one_picture_is_shown_again(share, count):
    chosen = rows(share)
    assert len(chosen) == count
    assert chosen == sorted(set(chosen))
    assert 3 not in chosen


def test_which_ones_depends_on_seed_step_and_place_alone():
    assert rows(0.3, step=5) == rows(0.3, step=5)
    for place in ("step", "first", "seed"):
        assert len({tuple(rows(0.3, **{place: number})) for number in range(20)}) == 3


def test_what_is_shown_again_has_noise_of_its_own_at_its_pictures_place(monkeypatch):
    """In the second batch of a step as well: places count on, so no two pictures of a step get the same noise."""
    drawn, draw_noise = [], batch.draw_noise

    def spy(latents, places, step, config, purpose="noise"):
        drawn.append((purpose, list(places)))
        return draw_noise(latents, places, step, config, purpose)

    monkeypatch.setattr(batch, "draw_noise", spy)
    make_learner(**{**KEEPING, "preservation_share": 1.0}).step([(0, 1), (3, 2)], 1, 1.0)
    assert drawn == [("noise", [0, 1]), ("preserved noise", [0, 1]), ("noise", [2, 3]), ("preserved noise", [3])]


def test_nothing_is_shown_again_without_weight_or_trigger():
    assert rows_to_preserve((0, 1), 1, 0, TrainConfig(), lambda _: True) == []
    assert rows(1.0, takes=lambda _: False) == []


def test_a_fresh_lora_has_nothing_to_restore_and_people_see_the_training_loss():
    """At the start the LoRA changes nothing, so the first step is the one without preservation."""
    plain, kept = make_learner(learning_rate=1e-2), make_learner(**KEEPING)
    for one in (plain, kept):
        one.step([(0, 1, 2)], 1, 1.0)
    assert float(kept.tally.loss) == pytest.approx(float(plain.tally.loss), rel=1e-6)
    for one in (plain, kept):
        one.step([(0, 1, 2)], 2, 1.0)
    assert float(kept.tally.loss) == pytest.approx(float(plain.tally.loss), rel=1e-3)
    assert differ(kept, plain)


def test_only_captions_with_the_trigger_word_are_kept():
    plain, kept = make_learner(learning_rate=1e-2), make_learner(**KEEPING)
    for one in (plain, kept):
        one.step([(3,)], 1, 1.0)
        one.step([(3,)], 2, 1.0)
    assert not differ(kept, plain)


def drifted(weight, **settings):
    """How far the answers to the captions without the trigger word are from the base's, after some steps."""
    keeping = {**KEEPING, "preservation_weight": weight, "preservation_share": 1.0, "rank": 8, "alpha": 8.0}
    one = make_learner(**keeping, **settings)
    for step in range(1, 7):
        one.step([(0, 1, 2)], step, 1.0)
    return float(one._objective.losses((0, 1, 2), 99, 0)[1].detach().mean())


def test_the_class_word_drifts_less():
    free, kept = drifted(1e-9), drifted(20.0)
    assert free > 1e-6
    assert kept < 0.5 * free


def test_a_trained_text_encoder_is_kept_too(tiny_sdxl):
    """The base's answer is to the caption as the base itself reads it: without the text encoder's LoRA."""
    one = make_learner(folder=tiny_sdxl, **KEEPING, text_encoder_1=True)
    assert float(one._objective.losses((0,), 1, 0)[1].detach()) < 1e-10
    for name, weight in one.weights.items():
        if name.startswith("text_encoder."):
            weight.data.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(1))
    assert float(one._objective.losses((0,), 1, 0)[1].detach()) > 1e-8


def test_texts_of_other_lengths_go_apart_with_the_same_numbers(monkeypatch):
    together, apart = make_learner(**KEEPING), make_learner(**KEEPING)
    for one in (together, apart):
        if one is apart:
            monkeypatch.setattr("trainer.training.objective.batch.Shown.fits", lambda *_: False)
        one.step([(0, 1)], 1, 1.0)
        one.step([(1, 2)], 2, 1.0)
    assert all(torch.allclose(weight, weights(apart)[name], atol=1e-4) for name, weight in weights(together).items())


def test_the_base_is_asked_with_the_lora_off():
    """The drift is measured from the base: with the LoRA on it would be 0 at every weight."""
    one = make_learner(**KEEPING, rank=8, alpha=8.0)
    assert float(one._objective.losses((0,), 1, 0)[1].detach()) < 1e-10
    for weight in one.weights.values():
        weight.data.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(1))
    assert float(one._objective.losses((0,), 1, 0)[1].detach()) > 1e-4


def test_the_drift_is_a_mean_square_with_its_gradient():
    answer, kept = (
        torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (1, 2)
    )
    expected = [float(((answer[row] - kept[row]) ** 2).sum()) / 18 for row in range(2)]
    assert drift(answer, kept).tolist() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda moved: drift(moved, kept), (answer.requires_grad_(),))
