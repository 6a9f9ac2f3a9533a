"""One optimizer step, in every number format."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainer.training.learning import CPU, differ, make_learner, pictures, sound, weights
from trainer.errors import OutOfMemory
from trainer.model.checkpointing import units
from trainer.model.device import Numbers, pick_numbers
from trainer.parallel.team import Team
from trainer.planning.way import Way, Ways


def run(learner, steps=3, share=1.0):
    for step in range(1, steps + 1):
        learner.step([(0, 1)], step, share)
    return learner


def test_accumulated_batches_are_the_whole_batch():
    """Gradients of 4 pictures at once and as 3 + 1 agree: every picture counts alike."""
    whole, parts = make_learner(), make_learner()
    whole.step([(0, 1, 2, 3)], 1, 1.0)
    parts.step([(0, 1, 2), (3,)], 1, 1.0)
    assert whole.tally.loss.item() == pytest.approx(parts.tally.loss.item(), rel=1e-5)
    ours, theirs = (
        {name: one.optimizer.state[weight]["exp_avg"] for name, weight in one.weights.items()} for one in (whole, parts)
    )
    scale = max(float(tensor.abs().max()) for tensor in ours.values())
    assert max(float((tensor - theirs[name]).abs().max()) for name, tensor in ours.items()) < 1e-4 * scale


def test_the_base_never_changes(tiny_sdxl):
    one = make_learner(folder=tiny_sdxl, text_encoder_1=True)
    models = [one._objective._base.unet, one._objective._base.text_encoder, one._objective._base.text_encoder_2]
    frozen = [(p, p.clone()) for model in models for p in model.parameters() if not p.requires_grad]
    one.step([(0, 1)], 1, 1.0)
    assert all(p.equal(before) for p, before in frozen)


def test_rates_are_shares_of_each_parts_peak(tiny_sdxl):
    rates = {"learning_rate": 1e-2, "text_encoder_1_rate": 1e-3, "text_encoder_1": True, "text_encoder_2": True}
    one = make_learner(folder=tiny_sdxl, **rates, weight_decay=0.0)
    before = weights(one)
    one.step([(0, 1)], 1, 0.5)
    assert one.rates == pytest.approx({"unet": 5e-3, "text_encoder": 5e-4, "text_encoder_2": 5e-3})
    # Adam's first step is the rate times the gradient's sign.
    longest = dict.fromkeys(one.rates, 0.0)
    for name, weight in one.weights.items():
        part = name.split(".")[0]
        longest[part] = max(longest[part], float((weight.detach() - before[name]).abs().max()))
    assert longest == pytest.approx(one.rates, rel=1e-2)


def test_a_second_encoders_rate_is_its_own(tiny_sdxl):
    one = make_learner(folder=tiny_sdxl, text_encoder_2=True, text_encoder_2_rate=3e-4)
    assert run(one, 1).rates == pytest.approx({"unet": 1e-3, "text_encoder_2": 3e-4})


def test_the_learning_rate_is_how_far_a_step_goes():
    near, far = (weights(run(make_learner(learning_rate=rate), 1)) for rate in (1e-4, 1e-2))
    name = next(name for name in near if name.endswith("lora_B.weight"))
    assert float(far[name].abs().max()) == pytest.approx(100 * float(near[name].abs().max()), rel=0.02)


# --- number formats ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("precision", "lora"),
    [("fp32", torch.float32), ("bf16", torch.float32), ("full-bf16", torch.bfloat16), ("fp16", torch.float32)],
)
def test_every_precision_learns_one_picture_by_heart(precision, lora):
    """The same picture, noise and timestep over and over: the loss must fall well below its start."""
    one = make_learner(precision=precision, rank=8, alpha=8.0, learning_rate=1e-2)
    losses = []
    for _ in range(6):
        one.step([(0,)], 1, 1.0)
        losses.append(float(one.tally.loss))
    assert {weight.dtype for weight in one.weights.values()} == {lora}
    assert sound(one)
    assert losses[-1] < 0.95 * losses[0], losses


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_short_numbers_stay_close_to_fp32(precision):
    exact, short = make_learner(), make_learner(precision=precision)
    for one in (exact, short):
        one.step([(0, 1, 2, 3)], 1, 1.0)
    assert float(short.tally.loss) == pytest.approx(float(exact.tally.loss), rel=0.02)
    assert float(short.tally.loss) != float(exact.tally.loss)


@pytest.mark.parametrize(
    ("kind", "bf16", "wanted"),
    [
        ("cpu", True, Numbers(torch.float32, torch.float32)),
        ("cuda", True, Numbers(torch.bfloat16, torch.float32)),
        ("cuda", False, Numbers(torch.float16, torch.float32)),
    ],
)
def test_auto_takes_what_the_device_has(monkeypatch, kind, bf16, wanted):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda _: bf16)
    assert pick_numbers("auto", torch.device(kind)) == wanted


def overflow(learner, monkeypatch):
    """Let every gradient of the next steps be infinite."""
    losses = learner._objective.losses

    def infinite(*place):
        loss, drift = losses(*place)
        return loss * torch.finfo(torch.float32).max, drift

    monkeypatch.setattr(learner._objective, "losses", infinite)


def test_fp16_skips_a_step_that_overflows_and_fails_only_when_all_do(monkeypatch):
    one = run(make_learner(precision="fp16"))
    before, loss = weights(one), float(one.tally.loss)
    scale = one._scaler.get_scale()
    with monkeypatch.context() as patch:
        overflow(one, patch)
        one.step([(0,)], 4, 1.0)
    assert not differ(one, before)
    assert one._scaler.get_scale() == scale / 2
    assert (float(one.tally.loss), sound(one)) == (loss, True)
    one.step([(0, 1)], 5, 1.0)
    assert differ(one, before)
    overflow(one, monkeypatch)
    for step in range(6, 6 + one.tally.patience):
        assert sound(one)
        one.step([(0,)], step, 1.0)
    assert not sound(one)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's compiler looks at it
@pytest.mark.parametrize("kind", ["full", "some", "compiled"])
def test_gradient_checkpointing_changes_no_number(kind):
    plain = make_learner()
    all_units = units(plain.unet)
    chosen = frozenset(all_units if kind == "full" else all_units[1::2])
    thrifty = make_learner(ways=Ways(Way(0, chosen), None, True))
    if kind == "compiled":
        # Inside the checkpoint, and with every number as it is uncompiled.
        thrifty.unet.compile_repeated_blocks(backend="eager")
    assert not plain.unet.is_gradient_checkpointing
    assert thrifty.unet.is_gradient_checkpointing
    for one in (plain, thrifty):
        run(one)
    assert not differ(plain, thrifty)


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"preservation_weight": 1.0, "preservation_share": 0.5}], ids=str)
def test_a_batch_in_passes_is_the_same_step(most, settings):
    """Recomputed, cut into passes and both: the loss is that of the whole batch at once within 1e-6."""
    whole = make_learner(**settings)
    others = [
        make_learner(ways=Ways(Way(most, again), None, True), **settings) for again in (frozenset(), _every_unit())
    ]
    for number in (1, 2, 3):
        for one in (whole, *others):
            one.step([(0, 1, 2, 3)], number, 1.0)
        for one in others:
            assert float(one.tally.loss) == pytest.approx(float(whole.tally.loss), rel=1e-6)


def _every_unit():
    return frozenset(units(make_learner().unet))


class Recorded(Team):
    """What is said to the others."""

    def __init__(self):
        super().__init__()
        self.said = []

    def begin_step(self, batches, step, share):
        self.said.append(f"step {step}")

    def sum(self, weights, loss):
        self.said.append("sum")
        return super().sum(weights, loss)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("late", [1, 2])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), RuntimeError("GET was unable to find an engine")], ids=str)
def test_memory_that_runs_out_is_no_failure_the_first_time(monkeypatch, error, late, precision):
    """The step is done again the frugal way, as if nothing had happened, also when Adam's moments fill the memory."""
    planned, frugal = Way(), Way(1, _every_unit())
    team = Recorded()
    one = make_learner(precision=precision, team=team, ways=Ways(planned, frugal, True))
    same = make_learner(precision=precision, ways=Ways(planned, None, True))
    batches = [(0, 1, 2), (3,)]
    for step in range(1, late):
        for learner in (one, same):
            learner.step(batches, step, 1.0)
    tensors, values = same.state()
    same = make_learner(precision=precision, ways=Ways(frugal, None, True))
    same.load(tensors.take(), values)
    losses, calls = one._objective.losses, []

    def running_out(*place):
        calls.append(place)
        if len(calls) in (2, 7):
            raise error
        return losses(*place)

    monkeypatch.setattr(one._objective, "losses", running_out)
    for learner in (one, same):
        learner.step(batches, late, 1.0)
    assert not differ(one, same)
    assert float(one.tally.loss) == float(same.tally.loss)
    assert len(calls) == 2 + 4
    assert team.said == [word for step in range(1, late + 1) for word in (f"step {step}", "sum")]
    with pytest.raises(OutOfMemory, match="gradient_checkpointing = full"):
        one.step(batches, late + 1, 1.0)


# --- gradients --------------------------------------------------------------------------------------------------------
def test_clipping_bounds_the_gradient():
    free, bound = make_learner(max_grad_norm=0.0), make_learner(max_grad_norm=1e-3)
    norms = []
    for one in (free, bound):
        one.step([(0, 1)], 1, 1.0)
        # After one step AdamW's first moment is (1 - beta1) times the gradient it saw.
        moments = [one.optimizer.state[weight]["exp_avg"] / 0.1 for weight in one.weights.values()]
        norms.append(float(torch.stack([moment.norm() for moment in moments]).norm()))
    assert norms[0] > 2e-3
    assert norms[1] == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rubbish_is_noticed(precision):
    one = make_learner(precision=precision)
    one._objective._data.pictures[0].views[0].latent.fill_(torch.nan)
    assert sound(one)
    one.step([(0, 1)], 1, 1.0)
    assert not sound(one)
    one.step([(2, 3)], 2, 1.0)
    assert not bool(one.tally.sound)


# --- what waits for the device ---------------------------------------------------------------------------------------
class Reads(TorchDispatchMode):
    """Counts what a host would have to wait for: a number of a tensor, or a size that depends on one."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func._overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("optimizer", "waits"),
    [("adamw", False), ("lion", False), ("schedule-free", False), ("prodigy", False), ("adafactor", True)],
)
def test_which_optimizers_read_from_the_device(optimizer, waits, monkeypatch):
    """As `Learner.step` and the settings say: in what follows the gradients."""
    one = make_learner(optimizer=optimizer, learning_rate=1e-3, preservation_weight=1.0, ema_decay=0.0, max_norm=1.0)
    # Prodigy looks once, at first, which weights are zero.
    run(one)
    update, reads = one._update, Reads()

    def watched(share):
        with reads:
            return update(share)

    monkeypatch.setattr(one, "_update", watched)
    run(one)
    assert (reads.count > 0) == waits


# --- what counts how much ---------------------------------------------------------------------------------------------
def test_a_regularisation_picture_counts_by_its_weight():
    losses = []
    for weight in (1.0, 0.25, 0.0):
        one = make_learner(pictures(weights=(weight, 1.0, 1.0, 1.0)))
        one.step([(0,)], 1, 1.0)
        losses.append(float(one.tally.loss))
    assert losses[1] == pytest.approx(0.25 * losses[0], rel=1e-6)
    assert losses[2] == 0.0


def test_the_loss_counts_only_where_the_mask_is_white():
    """What lies under black may be anything; without `masked_loss` masks are not looked at."""
    mask = torch.zeros(1, 8, 8)
    mask[:, :, :4] = 1.0
    losses = {}
    for masked in (True, False):
        one = make_learner(pictures(masks=(mask, None, None, None)), masked_loss=masked)
        one.step([(0,)], 1, 1.0)
        losses[masked] = float(one.tally.loss)
    plain = make_learner()
    plain.step([(0,)], 1, 1.0)
    assert losses[False] == float(plain.tally.loss)
    assert 0.2 * losses[False] < losses[True] < 0.8 * losses[False]


# --- dropout ----------------------------------------------------------------------------------------------------------
def test_dropout_belongs_to_seed_step_and_place():
    one, again, other = (make_learner(dropout=0.5, seed=seed, rank=8) for seed in (1, 1, 2))
    plain = make_learner(rank=8, seed=1)
    for learner in (one, plain, other):
        run(learner)
    torch.manual_seed(99)
    for step in range(1, 4):
        again.step([(0, 1)], step, 1.0)
        torch.rand(7)  # whatever else draws from the global generator between steps
    assert not differ(one, again)
    assert differ(one, plain)
    assert differ(one, other)


def test_every_step_and_every_batch_leaves_out_something_else(monkeypatch):
    one, seeds, seed = make_learner(dropout=0.5), [], torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda number: (seeds.append(number), seed(number))[1])
    for step in (1, 2):
        one.step([(0,), (1,)], step, 1.0)
    assert len(set(seeds)) == len(seeds) == 4


def test_nothing_is_left_out_when_validating():
    """Dropout is off, the loss is always the same, and training goes on with dropout on."""
    one, straight = make_learner(dropout=0.5, rank=8), make_learner(dropout=0.5, rank=8)
    for learner in (one, straight):
        run(learner, 2)
    losses = {one.validate([0, 1]) for _ in range(3)}
    assert len(losses) == 1
    for learner in (one, straight):
        learner.step([(0, 1)], 3, 1.0)
    assert not differ(one, straight)
    assert one.validate([0, 1]) not in losses


def test_validation_is_the_mean_over_pictures_of_fixed_draws():
    one = make_learner()
    both, first, second = one.validate([0, 1]), one.validate([0]), one.validate([1])
    assert both == pytest.approx((first + second) / 2, rel=1e-6)
    assert first != second
    assert one.device == CPU
    other = make_learner(batch_size=1, gradient_accumulation=2)
    assert other.validate([1, 0]) == pytest.approx(both, rel=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "full-bf16", "fp16"])
def test_a_trained_text_encoder_is_validated_in_every_number_format(tiny_sdxl, precision):
    """The captions are read in the formats of the step, and with the encoder's LoRA."""
    one = make_learner(folder=tiny_sdxl, text_encoder_1=True, precision=precision, learning_rate=0.1)
    before = one.validate([0])
    for name, weight in one.weights.items():
        if name.startswith("text_encoder.") and "lora_B" in name:
            weight.data.fill_(0.1)
    assert one.validate([0]) == one.validate([0]) != before
