import pytest
import torch
from torch.nn import Parameter

from tests.trainer.training.learning import make_learner, weights
from trainer.training.optim.max_norm import limit_norms


def product_norm(down, up, scale):
    """The Frobenius norm of the whole product, convolutions too: B is 1x1, so it mixes A's outputs."""
    return float(torch.einsum("or,ri->oi", up.flatten(1), down.flatten(1)).mul(scale).norm())


@pytest.mark.parametrize("shapes", [((3, 10), (7, 3)), ((3, 5, 3, 3), (7, 3, 1, 1))], ids=["linear", "convolution"])
def test_a_product_is_brought_down_to_the_limit(shapes):
    chance = torch.Generator().manual_seed(0)
    down, up = (torch.randn(shape, generator=chance) for shape in shapes)
    pair = {"p.lora_A.weight": Parameter(down.clone()), "p.lora_B.weight": Parameter(up.clone())}
    before = product_norm(down, up, 0.5)
    limit_norms(pair, {"p": 0.5}, before * 2)
    assert pair["p.lora_A.weight"].equal(down)
    assert pair["p.lora_B.weight"].equal(up)
    limit_norms(pair, {"p": 0.5}, before / 4)
    after = product_norm(pair["p.lora_A.weight"].detach(), pair["p.lora_B.weight"].detach(), 0.5)
    assert after == pytest.approx(before / 4, rel=1e-5)
    assert torch.allclose(pair["p.lora_A.weight"], down / 2)
    assert torch.allclose(pair["p.lora_B.weight"], up / 2)


def test_a_fresh_lora_stays_what_it_is():
    pair = {"p.lora_A.weight": Parameter(torch.ones(2, 3)), "p.lora_B.weight": Parameter(torch.zeros(3, 2))}
    limit_norms(pair, {"p": 1.0}, 1.0)
    assert pair["p.lora_A.weight"].eq(1.0).all()
    assert pair["p.lora_B.weight"].eq(0.0).all()


def test_every_module_of_a_run_keeps_to_it():
    free, bound = (make_learner(max_norm=limit, learning_rate=0.1, conv_rank=2) for limit in (0.0, 0.01))
    for one in (free, bound):
        one.step([(0, 1)], 1, 1.0)
    norms = [
        [
            product_norm(state[f"{path}.lora_A.weight"], state[f"{path}.lora_B.weight"], scale)
            for path, scale in one._scales.items()
        ]
        for one in (free, bound)
        for state in [weights(one)]
    ]
    assert max(norms[0]) > 0.02
    assert max(norms[1]) == pytest.approx(0.01, rel=1e-3)
    # Modules that keep to it anyway are left alone.
    assert all(limited == pytest.approx(min(norm, 0.01), rel=1e-3) for norm, limited in zip(*norms, strict=True))
