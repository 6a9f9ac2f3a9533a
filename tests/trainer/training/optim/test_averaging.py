import pytest
import torch
from torch.nn import Parameter

from trainer.contract.config import TrainConfig
from trainer.training.optim.averaging import Average, evaluation_point, holding
from trainer.training.optim.groups import weight_groups
from trainer.training.optim.optimizers import make_optimizer


def one_weight(dtype=torch.float32):
    return {"unet.a.lora_A.weight": Parameter(torch.tensor([1.0, -2.0], dtype=dtype))}


def test_the_average_keeps_its_share_at_each_step_and_less_in_the_first_ones():
    weights = one_weight()
    average = Average(weights, 0.5)
    expected = torch.tensor([1.0, -2.0])
    for step in range(20):
        for weight in weights.values():
            weight.data.fill_(step)
        average.update()
        kept = min(0.5, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * step
    assert torch.allclose(average.values["unet.a.lora_A.weight"], expected)


def test_the_average_of_bf16_weights_is_kept_in_fp32():
    weights = one_weight(torch.bfloat16)
    average = Average(weights, 0.9)
    average.update()
    assert {value.dtype for value in average.values.values()} == {torch.float32}


def test_schedule_frees_point_is_the_one_its_own_eval_gives():
    weights = one_weight()
    config = TrainConfig(optimizer="schedule-free", learning_rate=0.1, beta_1=0.8)
    optimizer = make_optimizer(weight_groups(weights, config), config)
    assert evaluation_point(optimizer, weights) == {}  # before the first step there is but one point
    for step in range(5):
        for weight in weights.values():
            weight.grad = weight.detach() - step
        optimizer.step()
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    ours = evaluation_point(optimizer, weights)
    assert all(weight.equal(before[name]) for name, weight in weights.items())
    optimizer.eval()
    assert all(torch.allclose(weight, ours[name]) for name, weight in weights.items())
    assert not all(torch.allclose(before[name], ours[name]) for name in weights)


def test_weights_come_back_to_the_last_bit_whatever_happens():
    weights = one_weight()
    before = weights["unet.a.lora_A.weight"].detach().clone()
    seen = []

    def look():
        with holding(weights, {"unet.a.lora_A.weight": torch.tensor([0.1, 0.2])}):
            seen.extend(weights["unet.a.lora_A.weight"].tolist())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look()
    assert seen == pytest.approx([0.1, 0.2])
    assert weights["unet.a.lora_A.weight"].equal(before)
