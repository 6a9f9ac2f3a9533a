"""A LoRA over the whole base: what is trained, from where it starts, and what its weights do."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.trainer.support.networks import NETWORKS, answers, attached, copied, difference, fill, settings, small_base
from trainer.contract.config import TrainConfig
from trainer.model.adapter import Adapted
from trainer.model.base import BaseModel
from trainer.model.lora import adapted_layers, attach_lora, load_lora_state, lora_state, lora_weight, scales

Q = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
EVERYTHING = settings(**NETWORKS["everything"])


@pytest.fixture(scope="module")
def base(tiny_sdxl):
    """Never attached to: tests attach to copies."""
    return small_base(tiny_sdxl)


@dataclass(frozen=True)
class Case:
    """A network, shared by the tests that leave it as it is."""

    config: TrainConfig
    trained: BaseModel
    start: dict[str, Tensor]
    """Its answers before the first step."""


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS.keys())
def case(request, base):
    config = settings(**request.param)
    trained = copied(base)
    attach_lora(trained, config, 7)
    start = answers(trained)
    fill(trained)
    return Case(config, trained, start)


@pytest.fixture(scope="module")
def plain(base):
    return answers(base)


def parts_of(state):
    return {name.partition(".")[0] for name in state}


def test_a_fresh_lora_changes_nothing_and_alone_is_trained(case, plain):
    assert all(case.start[part].equal(plain[part]) for part in plain)
    models = (case.trained.unet, case.trained.text_encoder, case.trained.text_encoder_2, case.trained.vae)
    trained = sum(parameter.requires_grad for model in models for parameter in model.parameters())
    names = lora_state(case.trained).keys()
    assert trained == len(names)
    kinds = {"lora_A", "lora_B"} | ({"lora_magnitude_vector"} if case.config.decompose else set())
    assert {name.split(".")[-2] for name in names} == kinds


def test_the_start_depends_on_the_seed_alone(base):
    small = settings(targets="attention")
    first = lora_state(attached(base, small, filled=False))
    torch.manual_seed(99)
    again = copied(base)
    weights = attach_lora(again, small.with_overrides({"text_encoder_1": True}), 7)
    assert all(weights[name].equal(tensor) for name, tensor in first.items())
    assert weights.keys() == lora_state(again).keys()
    assert parts_of(weights) == {"unet", "text_encoder"}
    other = copied(base)
    attach_lora(other, small.with_overrides({"text_encoder_2": True}), 8)
    state = lora_state(other)
    assert parts_of(state) == {"unet", "text_encoder_2"}
    assert not all(tensor.equal(state[name]) for name, tensor in first.items())
    for name, tensor in first.items():
        if "lora_A" in name:  # kaiming-uniform with a = sqrt(5): within 1 / sqrt(in)
            assert 0 < tensor.abs().max() <= tensor.shape[1] ** -0.5


def by_hand(weight, down, up, scale, magnitudes):
    """The trained weight: W + scale B A, with DoRA each row brought to its magnitude."""
    total = weight + scale * (up.flatten(1) @ down.flatten(1)).view_as(weight)
    if magnitudes is None:
        return total
    return total * magnitudes.flatten().view(-1, *[1] * (total.dim() - 1)) / rows(total)


def rows(weight):
    return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))


def merged(base, trained, config, weight=1.0):
    """The base with the LoRA worked into its weights by the formulas, from the settings and the state alone."""
    state, result = lora_state(trained), copied(base)
    for name in {name.rpartition(".lora_")[0] for name in state}:
        part, _, path = name.partition(".")
        model = getattr(result, part)
        if part == "text_encoder":
            path = path.removeprefix("text_model.")
        down, up = state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"]
        spatial = down.shape[2:] == (3, 3)
        rank, alpha = (config.conv_rank, config.conv_alpha) if spatial else (config.rank, config.alpha)
        assert down.shape[0] == up.shape[1] == rank
        scale = alpha / (math.sqrt(rank) if config.rank_stabilised else rank)
        old = model.get_submodule(path).weight.data
        new = by_hand(old, down, up, scale, state.get(f"{name}.lora_magnitude_vector.weight"))
        old += weight * (new - old)
    return result


@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_the_output_is_that_of_weights_merged_by_hand(base, plain, case, weight):
    """Rank, alpha, scale, DoRA and targets as the settings say, at full weight and at less."""
    with lora_weight(adapted_layers(case.trained), weight):
        shown = answers(case.trained)
    expected = answers(merged(base, case.trained, case.config, weight))
    assert difference(shown, expected) < 1e-5
    for part in parts_of(lora_state(case.trained)):
        assert (expected[part] - plain[part]).abs().max() > 1e-3


def failing(trained, into):
    with lora_weight(adapted_layers(trained), 0.0):
        into |= answers(trained)
        raise KeyError("drawing")


def test_weight_0_is_the_base_itself_and_the_weight_is_put_back_even_after_an_error(plain, case):
    full = answers(case.trained)
    nothing: dict[str, Tensor] = {}
    with pytest.raises(KeyError, match="drawing"):
        failing(case.trained, nothing)
    assert all(nothing[part].equal(plain[part]) for part in plain)
    again = answers(case.trained)
    assert all(again[part].equal(full[part]) for part in full)


def test_scales_and_names_are_told_by_module(case):
    told = scales(case.trained)
    assert told.keys() == {name.rpartition(".lora_")[0] for name in lora_state(case.trained)}
    assert told[Q] == (6 / 2 if case.config.rank_stabilised else 6 / 4)
    if case.config.conv_rank:
        alpha = case.config.conv_alpha
        expected = alpha / math.sqrt(2) if case.config.rank_stabilised else alpha / 2
        assert told["unet.mid_block.resnets.0.conv1"] == pytest.approx(expected)
        assert told["unet.mid_block.resnets.0.time_emb_proj"] == told[Q]
    texts = [name for name in told if name.startswith("text_encoder")]
    # Whatever the version of transformers calls them.
    assert all(name.split(".")[1:3] == ["text_model", "encoder"] for name in texts)
    assert len(texts) == (6 * (2 + 2) if case.config.text_encoder_1 else 0)


@pytest.mark.parametrize("decompose", [False, True])
def test_dropout_leaves_out_inner_activations_by_torchs_own_seed(base, decompose):
    trained = attached(base, settings(dropout=0.5, decompose=decompose, targets="attention"))
    layer = trained.unet.get_submodule(Q.removeprefix("unet."))
    seen = torch.randn(2, 3, 24, generator=torch.Generator().manual_seed(5))
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    quiet = layer(seen)
    layer.train()
    torch.manual_seed(11)
    inner = functional.dropout(seen @ down.T, 0.5)
    assert (inner == 0).any()
    expected = layer.base_layer(seen) + 1.5 * inner @ up.T
    if decompose:
        weight = layer.base_layer.weight + 1.5 * up @ down
        ratio = layer.lora_magnitude_vector["default"].weight / weight.norm(dim=1)
        expected = ratio * (seen @ layer.base_layer.weight.T + 1.5 * inner @ up.T)
    torch.manual_seed(11)
    assert (layer(seen) - expected).abs().max() < 1e-6
    torch.manual_seed(12)
    assert (layer(seen) - expected).abs().max() > 1e-4
    layer.eval()
    assert layer(seen).equal(quiet)


def test_dropout_reaches_every_module(base):
    trained = attached(base, EVERYTHING.with_overrides({"dropout": 0.99}))
    torch.manual_seed(0)
    for model in (trained.unet, trained.text_encoder, trained.text_encoder_2):
        for layer in (module for module in model.modules() if isinstance(module, Adapted)):
            inner = layer.lora_A["default"]
            sides = (inner.in_channels, 4, 4) if isinstance(inner, torch.nn.Conv2d) else (inner.in_features,)
            seen = torch.ones(1, *sides)
            quiet = layer(seen)
            assert layer(seen).equal(quiet)  # after attaching, in the mode the model is in: not in training
            # With 99 % left out, what the LoRA adds is another sum at every call.
            assert not layer.train()(seen).equal(quiet)


def test_a_state_goes_back_in_and_another_loras_is_refused_before_any_change(base):
    trained, twin = copied(base), copied(base)
    config = settings(decompose=True, targets="attention", text_encoder_1=True)
    attach_lora(trained, config, 7)
    attach_lora(twin, config, 1)
    fill(trained)
    state = lora_state(trained)
    load_lora_state(twin, state)
    assert difference(answers(twin), answers(trained)) == 0
    before = {name: tensor.clone() for name, tensor in lora_state(twin).items()}
    first = next(iter(state))
    for wrong in ({**state, first: torch.zeros(1)}, {**state, "x": torch.zeros(1)}, dict(list(state.items())[1:])):
        with pytest.raises(ValueError, match="differ in name or shape"):
            load_lora_state(twin, {name: tensor + 1 for name, tensor in wrong.items()})
    assert all(tensor.equal(before[name]) for name, tensor in lora_state(twin).items())


def test_full_bf16_keeps_the_weights_in_bf16_and_magnitudes_in_fp32(base):
    full = copied(base)
    attach_lora(full, settings(decompose=True, targets="attention"), 7, dtype=torch.bfloat16)
    dtypes = {(name.split(".")[-2], tensor.dtype) for name, tensor in lora_state(full).items()}
    assert dtypes == {
        ("lora_A", torch.bfloat16),
        ("lora_B", torch.bfloat16),
        ("lora_magnitude_vector", torch.float32),
    }
