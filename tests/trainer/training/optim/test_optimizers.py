"""Every optimizer takes its settings and learns, remembers what it says it does, and is told of when missing."""

import importlib.util
import typing

import prodigyopt
import pytest
import torch
from torch.nn import Parameter

from trainer.contract import config as settings
from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig
from trainer.errors import MissingExtra
from trainer.training.optim.groups import weight_groups
from trainer.training.optim.memory import optimizer_state, put_optimizer_state
from trainer.training.optim.optimizers import make_optimizer, remembered
from trainer.training.optim.packages import check_optimizer
from trainer.training.optim.prodigy import D0

CPU = torch.device("cpu")
OPTIMIZERS = typing.get_args(settings.Optimizer)
WITH_BETAS = [name for name in OPTIMIZERS if name != "adafactor"]
RATES = {"prodigy": 1.0, "adafactor": 0.1}


def config_of(optimizer, **changes):
    rate = {"learning_rate": RATES.get(optimizer, 1e-2)}
    return TrainConfig.from_mapping({"optimizer": optimizer, **rate, **changes})


def start():
    """Weights large enough that 8-bit moments are used (4096 values), and a small one."""
    chance = torch.Generator().manual_seed(1)
    return {
        "unet.a.lora_A.weight": Parameter(torch.randn(32, 128, generator=chance)),
        "unet.a.lora_B.weight": Parameter(torch.zeros(4, 6)),
    }


def run(weights, optimizer, steps):
    """Steps of a run whose gradients depend on the weights and on the step's number."""
    for step in steps:
        chance = torch.Generator().manual_seed(step)
        for weight in weights.values():
            weight.grad = weight.detach() - 0.3 + 0.1 * torch.randn(weight.shape, generator=chance)
        optimizer.step()


def trained(steps=6, **changes):
    config = config_of(**changes)
    weights = start()
    optimizer = make_optimizer(weight_groups(weights, config), config)
    run(weights, optimizer, range(steps))
    return weights, optimizer


def same(one, other):
    return all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_goes_where_the_gradients_lead(optimizer):
    weights, _ = trained(30, optimizer=optimizer, weight_decay=0.0)
    for name, weight in start().items():
        assert (weights[name] - 0.3).square().mean() < 0.97 * (weight - 0.3).square().mean(), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_is_passed_on(optimizer):
    plain, decayed = (trained(optimizer=optimizer, weight_decay=decay)[0] for decay in (0.0, 0.5))
    name = "unet.a.lora_A.weight"
    assert decayed[name].norm() < plain[name].norm()


@pytest.mark.parametrize("beta", ["beta_1", "beta_2"])
@pytest.mark.parametrize("optimizer", WITH_BETAS)
def test_both_betas_are_passed_on(optimizer, beta):
    assert not same(trained(optimizer=optimizer)[0], trained(optimizer=optimizer, **{beta: 0.5})[0])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_different_optimizers_take_different_steps(optimizer):
    others = [name for name in OPTIMIZERS if name != optimizer]
    ours = trained(optimizer=optimizer, learning_rate=1e-2)[0]
    assert not any(same(ours, trained(optimizer=name, learning_rate=1e-2)[0]) for name in others)


def test_adamw_is_the_papers():
    """One step of arXiv:1711.05101 written out: decay first, then Adam with bias correction."""
    config = config_of("adamw", weight_decay=0.1, beta_1=0.8, beta_2=0.9)
    weights = start()
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    optimizer = make_optimizer(weight_groups(weights, config), config)
    run(weights, optimizer, [0])
    for name, weight in weights.items():
        gradient = weight.grad
        first, second = 0.2 * gradient / (1 - 0.8), 0.1 * gradient**2 / (1 - 0.9)
        expected = before[name] * (1 - 1e-2 * 0.1) - 1e-2 * first / (second.sqrt() + 1e-8)
        assert torch.allclose(weight, expected, atol=1e-7)


def test_eight_bits_are_really_used():
    weights, optimizer = trained(optimizer="adamw-8bit")
    large, small = (optimizer.state[weight]["state1"].dtype for weight in weights.values())
    assert (large, small) == (torch.uint8, torch.float32)
    exact, _ = trained(optimizer="adamw")
    assert all(torch.allclose(weights[name], exact[name], atol=0.01) for name in weights)


@pytest.mark.parametrize("warmup", [{}, {"warmup_steps": 3}, {"warmup_share": 0.1}])
def test_prodigy_is_its_authors(warmup, capsys):
    """In fp64, where rounding tells nothing; guarded where a warm-up would let the rate grow too far."""
    config = config_of("prodigy", beta_2=0.99, weight_decay=0.1, **warmup)
    ours, theirs = ({name: Parameter(weight.detach().double()) for name, weight in start().items()} for _ in range(2))
    one = make_optimizer(weight_groups(ours, config), config)
    settings = {"decouple": True, "use_bias_correction": True, "safeguard_warmup": bool(warmup)}
    other = prodigyopt.Prodigy(weight_groups(theirs, config), betas=(0.9, 0.99), weight_decay=0.1, **settings)
    rates = [min(1.0, (step + 1) / 3) if warmup else 1.0 for step in range(60)]
    # Rests in between, as at the end of a schedule: nothing is learnt then.
    rates[20] = 0.0
    for step, rate in enumerate(rates):
        for optimizer, weights in ((one, ours), (other, theirs)):
            optimizer.param_groups[0]["lr"] = rate
            run(weights, optimizer, [step])
    d = float(one.estimate[0])
    assert d == pytest.approx(other.param_groups[0]["d"], rel=1e-9)
    assert d > 100 * D0
    assert all(torch.allclose(ours[name], theirs[name], rtol=0, atol=1e-9) for name in ours)
    assert capsys.readouterr().out.strip() == "Using decoupled weight decay"


def test_prodigy_takes_many_weights_in_parts(monkeypatch):
    whole, one = trained(20, optimizer="prodigy")
    monkeypatch.setattr("trainer.training.optim.prodigy.TOGETHER", 10)
    parts, other = trained(20, optimizer="prodigy")
    assert torch.allclose(one.estimate, other.estimate, rtol=1e-6)
    assert all(torch.allclose(whole[name], parts[name], rtol=1e-6) for name in whole)


def test_prodigy_keeps_no_copy_of_weights_that_start_at_zero():
    weights, optimizer = trained(1, optimizer="prodigy")
    assert {name: "p0" in optimizer.state[weight] for name, weight in weights.items()} == {
        "unet.a.lora_A.weight": True,
        "unet.a.lora_B.weight": False,
    }


def test_prodigy_without_any_gradient_but_zero_stays_where_it_is():
    """There is nothing to divide by, and no rubbish may come of it."""
    config, weights = config_of("prodigy", weight_decay=0.0), start()
    optimizer = make_optimizer(weight_groups(weights, config), config)
    for weight in weights.values():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert same(weights, start())
    assert optimizer.estimate.tolist() == [D0, 0.0]


# --- memory -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_put_back_memory_goes_on_bit_for_bit(optimizer):
    config = config_of(optimizer)
    straight, old = trained(optimizer=optimizer)
    resumed = start()
    for name, weight in resumed.items():
        weight.data.copy_(straight[name])
    new = make_optimizer(weight_groups(resumed, config), config)
    tensors, values = optimizer_state(old, straight, remembered(config))
    tensors = {key: value.clone() for key, value in tensors.items()}
    put_optimizer_state(new, resumed, tensors, values, remembered(config))
    run(straight, old, range(6, 10))
    run(resumed, new, range(6, 10))
    assert same(straight, resumed)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_that_changes_in_a_group_is_forgotten(optimizer):
    """Guards against a new version of a package that remembers more."""
    weights, optimizer_ = trained(1, optimizer=optimizer)
    [group] = optimizer_.param_groups
    before = {key: value for key, value in group.items() if key != "params"}
    run(weights, optimizer_, range(1, 9))
    changed = {key for key, value in group.items() if key != "params" and value != before[key]}
    assert changed <= set(remembered(config_of(optimizer)))


@pytest.mark.parametrize("spoil", ["weight", "number", "groups", "version"])
def test_a_memory_of_another_kind_is_refused_untouched(spoil):
    weights, optimizer = trained(optimizer="prodigy")
    tensors, values = optimizer_state(optimizer, weights, remembered(config_of("prodigy")))
    before = {key: tensor.clone() for key, tensor in tensors.items()}
    wrong_tensors, wrong = dict(tensors), {"groups": values["groups"], "numbers": dict(values["numbers"])}
    if spoil == "weight":
        wrong_tensors["unet.b.lora_A.weight|exp_avg"] = torch.zeros(1)
    elif spoil == "number":
        wrong["numbers"]["unet.b.lora_A.weight"] = {"step": 1}
    elif spoil == "groups":
        wrong["groups"] = []
    else:
        wrong["groups"] = [{"k": 6, "d": 1e-6}]
    with pytest.raises(ValueError, match="another version" if spoil == "version" else "other weights"):
        put_optimizer_state(optimizer, weights, wrong_tensors, wrong, remembered(config_of("prodigy")))
    assert all(tensor.equal(before[key]) for key, tensor in optimizer_state(optimizer, weights, ())[0].items())


# --- what cannot be ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("optimizer", "package", "extra"),
    [
        ("adamw-8bit", "bitsandbytes", "bitsandbytes"),
        ("lion", "lion-pytorch", "optimizers"),
        ("schedule-free", "schedulefree", "optimizers"),
    ],
)
def test_a_missing_package_is_told_with_what_installs_it(monkeypatch, optimizer, package, extra):
    found = importlib.util.find_spec
    missing = package.replace("-", "_")
    monkeypatch.setattr(
        "trainer.training.optim.packages.find_spec", lambda name: None if name == missing else found(name)
    )
    with pytest.raises(MissingExtra, match=rf"package {package}; install it with pip install 'lorelei\[{extra}\]'"):
        check_optimizer(optimizer)
    for other in ("adamw", "adafactor", "prodigy"):
        check_optimizer(other)
    with pytest.raises(MissingExtra):
        make_optimizer(weight_groups(start(), config_of(optimizer)), config_of(optimizer))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"optimizer": "prodigy", "learning_rate": 1.0, "text_encoder_1_rate": 0.5}, "prodigy finds one rate"),
        ({"optimizer": "prodigy", "learning_rate": 1.0, "text_encoder_2_rate": 0.5}, "prodigy finds one rate"),
        ({"optimizer": "schedule-free", "ema_decay": 0.9}, "averages itself"),
        ({"optimizer": "schedule-free", "beta_1": 0.0}, "above 0 for schedule-free"),
    ],
)
def test_settings_that_do_not_go_together(changes, problem):
    with pytest.raises(InvalidConfig, match=problem):
        TrainConfig.from_mapping(changes)


def test_settings_that_do():
    config_of("prodigy", text_encoder_1_rate=1.0)
    config_of("schedule-free", ema_decay=0.0)
    config_of("adamw", ema_decay=0.9, beta_1=0.0)
