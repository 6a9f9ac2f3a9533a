"""Compiled blocks: the same numbers, and nothing that a compiler does ends a run."""

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

from tests.trainer.jobs import open_channel, tiny_job
from tests.trainer.training.learning import make_learner, pictures
from trainer.contract.config import TrainConfig
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.model.compiling import VARIANT_STEPS, compile_blocks, is_worth_compiling

pytestmark = [
    pytest.mark.usefixtures("compiler"),
    # Torch's compiler uses what torch deprecates, and looks at gradients where torch warns that there are none.
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]

PLAN = [[(0, 1)], [(2, 3, 0)], [(1,)]]
SETTINGS = {"preservation_weight": 1.0, "dropout": 0.1}


def losses(backend=None, kinds=(), **settings):
    learner = make_learner(pictures(), **settings)
    if backend:
        compile_blocks(learner._objective._base.unet, kinds, backend=backend)
    told = []
    for step, batches in enumerate(PLAN, 1):
        learner.step(batches, step, 1.0)
        told.append(float(learner.tally.loss))
    return told


@pytest.mark.parametrize(("backend", "network"), [("inductor", {}), ("aot_eager", {"decompose": True, "conv_rank": 2})])
def test_compiled_blocks_change_no_number(backend, network, compiler):
    """`inductor` is what trains; `aot_eager` sees the same graphs and makes no kernels, which takes its time."""
    plain = losses(**SETTINGS, **network)
    assert losses(backend, range(3), **SETTINGS, **network) == pytest.approx(plain, rel=1e-6)
    assert compiler["stats"]["unique_graphs"] > 1, "nothing was compiled"
    assert not compiler["graph_break"]


def failing(*_args, **_kwargs):
    raise RuntimeError("no compiler here")


def working(graph, _inputs):
    return make_boxed_func(graph.forward)


@pytest.mark.parametrize(("forward", "backward"), [(failing, working), (working, failing)])
def test_a_compiler_that_fails_ends_nothing(forward, backward):
    plain = losses(**SETTINGS)
    compiler = aot_autograd(fw_compiler=forward, bw_compiler=backward, inference_compiler=working)
    assert losses(compiler, **SETTINGS) == pytest.approx(plain, rel=1e-6)


def test_a_python_that_torch_cannot_compile_for_ends_nothing(monkeypatch, caplog):
    monkeypatch.setattr(torch.nn.Module, "compile", failing)
    plain = losses(**SETTINGS)
    assert losses("inductor", **SETTINGS) == plain
    assert "training goes on uncompiled: no compiler here" in caplog.text


@pytest.mark.parametrize(
    ("settings", "kinds", "variants"),
    [
        ({"sample_count": 0}, 1, 2),
        ({"preservation_weight": 1.0, "sample_count": 4}, 2, 10),
        ({"preservation_weight": 1.0, "sample_count": 4, "validation_share": 0.1}, 7, 8),
    ],
)
def test_only_long_runs_on_a_gpu_compile_by_themselves(settings, kinds, variants):
    """A face's ten variants take 600 steps; with many sizes of pictures one kernel is for all."""
    config, enough = TrainConfig(**settings), variants * VARIANT_STEPS
    wanted = {
        (device, steps): is_worth_compiling(config, torch.device(device), steps, range(kinds))
        for device in ("cpu", "cuda")
        for steps in (enough - 1, enough)
    }
    assert [place for place, worth in wanted.items() if worth] == [("cuda", enough)]
    assert is_worth_compiling(config.with_overrides({"compile": "on"}), torch.device("cpu"), 1, range(kinds))
    off = config.with_overrides({"compile": "off"})
    assert not is_worth_compiling(off, torch.device("cuda"), 10_000, range(kinds))


@pytest.mark.parametrize(("choice", "compiles"), [("on", True), ("auto", False), ("off", False)])
def test_a_job_compiles_where_it_is_told_to(small_sdxl, tmp_path, monkeypatch, choice, compiles):
    compiled = []
    monkeypatch.setattr("trainer.training.tuning.compile_blocks", lambda _, kinds: compiled.append(dict(kinds)))
    channel = open_channel(tiny_job(tmp_path, small_sdxl, epochs=1, compile=choice))
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert bool(compiled) == compiles
    if compiles:
        assert {pictures for _, pictures in compiled[0]} == {2}
