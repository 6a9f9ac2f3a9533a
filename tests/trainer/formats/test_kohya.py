"""The tensors of a kohya file: all that was trained is in them, and comes out again."""

import math
import random

import pytest
import torch

from tests.trainer.formats.loras import CONVOLUTIONS, MODULES, OUT, TEXTS, config, state
from trainer.errors import LoraFileError
from trainer.formats.kohya import kohya_modules, kohya_tensors
from trainer.formats.lora_modules import trained_modules

ALL = (*MODULES, *CONVOLUTIONS, *TEXTS)
NAME = "lora_unet_input_blocks_4_1_proj_in"


def tensors(lora_state=None, **settings):
    modules = trained_modules(lora_state or state(), config(**settings))
    return kohya_tensors(modules, layers_per_block=2)


def modules(file, **given):
    return kohya_modules(file, layers_per_block=2, **given)


@pytest.mark.parametrize("dora", [False, True])
def test_everything_comes_back_with_its_alpha(dora):
    trained = state(ALL, dora=dora)
    file = tensors(trained, conv_rank=2, conv_alpha=3.0)
    assert len(file) == (4 if dora else 3) * len(ALL)
    assert all(file[name].shape == () for name in file if name.endswith(".alpha"))
    back = modules(file)
    assert back.keys() == set(ALL)
    for name, module in back.items():
        assert module.down.equal(trained[f"{name}.lora_A.weight"])
        assert module.up.equal(trained[f"{name}.lora_B.weight"])
        assert module.alpha == (3.0 if name in CONVOLUTIONS else 1.5)
        assert module.rank == (2 if name in CONVOLUTIONS else 4)
        if dora:
            assert module.magnitudes.equal(trained[f"{name}.lora_magnitude_vector.weight"].flatten())
        else:
            assert module.magnitudes is None


def test_a_rank_stabilised_alpha_gives_the_trained_scale_to_who_divides_by_the_rank():
    file = tensors(state(ALL), conv_rank=2, conv_alpha=3.0, rank_stabilised=True)
    for name, module in modules(file).items():
        alpha, rank = (3.0, 2) if name in CONVOLUTIONS else (1.5, 4)
        assert module.alpha / module.rank == pytest.approx(alpha / math.sqrt(rank), rel=1e-7)


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_weights_are_rounded_alphas_and_magnitudes_are_not(precision, dtype):
    trained = state(ALL, dora=True)
    file = tensors(trained, file_precision=precision, alpha=92.3, conv_alpha=92.3)
    for name, tensor in file.items():
        exact = name.endswith((".alpha", ".dora_scale"))
        assert tensor.dtype == (torch.float32 if exact else dtype)
    for name, module in modules(file).items():
        assert module.alpha == pytest.approx(92.3, rel=1e-6)
        assert module.magnitudes.equal(trained[f"{name}.lora_magnitude_vector.weight"].flatten())


def test_magnitudes_have_the_shape_of_the_weights_rows():
    file = tensors(state(ALL, dora=True))
    assert file[f"{NAME}.dora_scale"].shape == (OUT, 1)
    assert file["lora_unet_input_blocks_3_0_op.dora_scale"].shape == (OUT, 1, 1, 1)


def test_the_order_of_the_input_does_not_matter():
    shuffled = list(state(ALL).items())
    random.Random(1).shuffle(shuffled)
    one, two = tensors(state(ALL)), tensors(dict(shuffled))
    assert list(one) == list(two) == sorted(one)


def test_a_file_without_alpha_has_the_strength_1_of_other_loaders_or_the_alpha_given():
    file = {name: tensor for name, tensor in tensors().items() if not name.endswith("alpha")}
    assert [module.alpha / module.rank for module in modules(file).values()] == [1.0] * len(MODULES)
    assert {module.alpha for module in modules(file, alpha=2.5).values()} == {2.5}
    assert {module.alpha for module in modules(tensors(), alpha=2.5).values()} == {1.5}


def test_linears_stored_as_1x1_convolutions_are_read():
    as_conv = {name: t[:, :, None, None] if t.dim() == 2 else t for name, t in tensors().items()}
    assert all(module.down.dim() == module.up.dim() == 2 for module in modules(as_conv).values())


def test_half_a_module_is_refused_both_ways():
    half = state()
    del half[f"{MODULES[0]}.lora_B.weight"]
    with pytest.raises(LoraFileError, match="lacks one"):
        tensors(half)
    for end in ("lora_up.weight", "lora_down.weight"):
        with pytest.raises(LoraFileError, match="lacks one"):
            modules({name: tensor for name, tensor in tensors().items() if name != f"{NAME}.{end}"})


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (f"{NAME}.lora_up.weight", torch.zeros(8, 3), "do not fit each other"),
        (f"{NAME}.lora_up.weight", torch.zeros(8, 4, 3, 3), "do not fit each other"),
        (f"{NAME}.lora_up.weight", torch.zeros(8), "do not fit each other"),
        (f"{NAME}.lora_up.weight", torch.zeros(0, 4), "do not fit each other"),
        (f"{NAME}.alpha", torch.zeros(2), "alpha of .* is not a number"),
        (f"{NAME}.alpha", torch.tensor(float("nan")), "alpha of .* is not a number"),
        (f"{NAME}.dora_scale", torch.ones(1, 6), "6 magnitudes for 8 outputs"),
        (f"{NAME}.lora_mid.weight", torch.zeros(1), "lora_mid"),
        ("lora_unet_input_blocks_0_0.lora_up.weight", torch.zeros(8, 4), "not a module of SDXL"),
        ("lora_unet_down_blocks_1_attentions_0_proj_in.alpha", torch.tensor(1.0), "twice"),
        ("weight", torch.zeros(1), "'weight'"),
    ],
)
def test_what_does_not_belong_or_fit_is_refused(name, tensor, message):
    with pytest.raises(LoraFileError, match=message):
        modules({**tensors(), name: tensor})


def test_nothing_is_refused():
    with pytest.raises(LoraFileError, match="nothing"):
        modules({})


def test_a_key_that_is_no_lora_matrix_is_refused():
    with pytest.raises(LoraFileError, match="not a LoRA matrix"):
        tensors({"unet.conv_in.weight": torch.zeros(1)})
