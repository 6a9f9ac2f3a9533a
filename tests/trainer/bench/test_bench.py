"""The bench: what it measures is what it says, and its page keeps other machines' sections."""

import inspect
import json
import statistics
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL

from trainer.__main__ import main
from trainer.bench import costs, run, steps, subject, timing, whole
from trainer.bench.costs import Figure
from trainer.bench.page import Report, updated
from trainer.bench.plain import PlainLoop
from trainer.bench.steps import Flops, Row, flops_of_a_picture, make_step, measure
from trainer.bench.subject import Subject
from trainer.bench.variants import Variant, fastest, variants
from trainer.errors import OutOfMemory
from trainer.formats.base_model import check_base
from trainer.model.base import load_base
from trainer.model.checkpointing import units
from trainer.model.lora import attach_lora
from trainer.model.text import encode_prompts
from trainer.planning.architecture import read_architecture
from trainer.planning.stand_in import random_part

CPU = torch.device("cpu")
TOY = Subject("toy", CPU)


def row(name, batch, *turns, **more):
    """A variant whose steps took these times."""
    taken = statistics.median(turns)
    return Row(name, batch, taken, batch / taken, turns=turns, **more)


def report(device="a card", **changes):
    values = {
        "model": "toy",
        "device": device,
        "threads": 0,
        "command": "bench",
        "day": "2026-11-24",
        "versions": {"torch": "2"},
        "matmul_tflops": 700.0,
        "flops_of_a_picture": 15e12,
        "rows": [row("plain loop", 5, 1.0), row("ours", 5, 0.5), Row("ours", 8, failed="out of memory")],
    }
    return Report(**{**values, **changes})


def test_a_page_keeps_other_machines_and_replaces_its_own():
    page = updated(updated("", report()), report("another card", flops_of_a_picture=1e12))
    assert page.count("## toy on a card") == page.count("## toy on another card") == 1
    again = updated(page, report(day="2026-12-01"))
    assert again.count("## ") == 2
    assert "2026-12-01" in again
    assert again.index("a card") < again.index("another card")
    assert updated(again, report(day="2026-12-01")) == again
    assert "| ours | 8 | out of memory |" in page


def test_the_headline_compares_the_same_layers_first():
    rows = [
        row("plain loop", 5, 1.0, 3.0, 1.0),
        row("plain loop, checkpointing", 5, 2.0, 6.0, 2.0),
        row("ours, attention only", 5, 0.8, 2.4, 8.0),  # the whole machine slowed in one turn, it alone in another
        row("ours", 5, 1.6, 4.8, 1.6),
        row("ours, compiled", 5, 1.0, 3.0, 1.0),
        row("ours", 8, 1.0),
        Row("plain loop", 8, failed="out of memory"),
    ]
    told = [line for line in updated("", report(rows=rows)).splitlines() if line.startswith("- ")]
    assert told == [
        "- batch 5: ours, attention only: 1.25 x the plain loop and 2.50 x the plain loop, checkpointing",
        "- batch 5: ours, compiled: 1.00 x the plain loop and 2.00 x the plain loop, checkpointing",
    ]


def test_the_page_says_what_the_compilers_cache_was_and_what_could_not_be_measured():
    rows = [row("ours", 5, 1.0, first_step_seconds=2.0)]
    rows.append(row("ours, compiled", 5, 1.0, first_step_seconds=40.0, compiler_cache="cold"))
    page = updated("", report(rows=rows, unmeasured={"whole jobs": "BenchFailed: the disk is full"}))
    assert "| 2.0 s |" in page
    assert "| 40.0 s, cold cache |" in page
    assert "| whole jobs | not measured | BenchFailed: the disk is full |" in page


@pytest.mark.parametrize(("threads", "name"), [(2, "ours"), (0, "ours, compiled")])
def test_an_options_ratio_is_to_the_fastest_of_the_same_run(threads, name):
    rows = [row("ours", 2, 0.1), row(name, 5, 0.5), row("ours, a", 5, 1.0, option="a is off")]
    rows.append(Row("ours, b", 5, failed="out of memory", option="b is on"))
    page = updated("", report(threads=threads, rows=rows))
    assert f"| {name} | 0.5 | 1 |" in page
    assert "| a is off | 1 | 2.00 |" in page
    assert "| b is on | out of memory | |" in page
    assert page.count("one option switched") == 1


def test_every_variant_is_measured_and_shares_are_of_the_rate():
    attention = Variant("ours, attention only", 2, {"targets": "attention"})
    batch = [Variant("plain loop", 2, {"checkpointing": True}, is_plain=True), Variant("ours", 2), attention]
    rows = measure(batch, TOY, Flops(ours=1e9, attention=9e8), rate=1e11, runs=1)
    assert [row.name for row in rows] == ["plain loop", "ours", "ours, attention only"]
    for row in rows:
        assert row.images_per_second == pytest.approx(2 / row.seconds_per_step)
        flops = 1e9 if row.name == "ours" else 9e8
        assert row.share == pytest.approx(flops * row.images_per_second / 1e11)


def test_what_does_not_fit_is_a_row_that_says_so(monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(steps, "make_step", too_large)
    [row] = measure([Variant("ours", 8)], TOY, Flops(1.0, 1.0), rate=1.0, runs=1)
    assert row.failed == "out of memory"


def test_what_runs_out_behind_its_first_step_is_such_a_row_too(monkeypatch):
    steps_done = []

    def step():
        steps_done.append(1)
        if len(steps_done) > 1:
            raise OutOfMemory(8)

    monkeypatch.setattr(steps, "make_step", lambda *_: (step, 0))
    [row] = measure([Variant("ours", 8)], TOY, Flops(1.0, 1.0), rate=1.0, runs=1)
    assert row.failed == "out of memory"


def test_another_error_is_no_row(monkeypatch):
    def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(steps, "make_step", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        measure([Variant("ours", 8)], TOY, Flops(1.0, 1.0), rate=1.0, runs=1)


def test_a_profile_that_does_not_fit_is_left_out(monkeypatch):
    def too_large(*_):
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    monkeypatch.setattr(run, "make_step", too_large)
    assert run._profiles(TOY, 2) == {}


def test_on_a_gpu_the_compiler_and_plans_for_smaller_cards_are_measured_too():
    names = {variant.name for variant in variants((1, 5), on_gpu=True)}
    assert names >= {"ours, compiled", "ours, planned for 12GB", "ours, planned for 24GB", "ours, preservation"}
    assert not any("planned" in variant.name for variant in variants((1, 5), on_gpu=False))


@pytest.mark.parametrize("on_gpu", [True, False])
def test_each_option_is_switched_alone_against_the_fastest(on_gpu):
    measured = list(variants((1, 2), on_gpu=on_gpu, about=2))
    assert len({(one.name, one.batch) for one in measured}) == len(measured)
    switched = {one.option: one for one in measured if one.option}
    assert {one.batch for one in switched.values()} == {2}
    [best] = [one for one in measured if one.name == fastest(on_gpu=on_gpu) and one.batch == 2]
    compiling = "blocks not compiled" if on_gpu else "blocks compiled"
    assert switched.pop(compiling).settings.get("compile") != best.settings.get("compile")
    for one in switched.values():
        assert one.settings == best.settings
        assert bool(one.without) != bool(one.recomputed)
    assert ("layout left as it is" in switched) == on_gpu


def learner_of(step):
    """The learner that a step of ours is made by."""
    return inspect.getclosurevars(step).nonlocals["learner"]


def test_what_is_switched_off_is_off(monkeypatch):
    def made(**changes):
        return make_step(Variant("ours", 2, **changes), TOY)[0]

    assert {group["fused"] for group in learner_of(made()).optimizer.param_groups} == {True}
    assert {group["fused"] for group in learner_of(made(without="fused optimizer")).optimizer.param_groups} == {None}
    half, whole = (learner_of(made(recomputed=share)) for share in (0.5, 1.0))
    assert whole._ways.now.recomputed == set(units(whole.unet))
    assert len(half._ways.now.recomputed) == round(len(units(half.unet)) / 2)
    asked = []
    monkeypatch.setattr(AutoencoderKL, "encode", lambda _, pixels: asked.append(pixels.shape))
    made(without="cache")()
    assert asked == [(1, 3, 128, 128)] * 2


def test_attention_only_trains_what_the_plain_loop_trains():
    config = TOY.config(targets="attention")
    base = TOY.base()
    PlainLoop(base, config.rank, checkpointing=False)
    named = base.unet.named_parameters()
    plain = {f"unet.{name.replace('.default', '')}": one.shape for name, one in named if one.requires_grad}
    ours = {name: weight.shape for name, weight in attach_lora(TOY.base(), config, 0).items()}
    assert ours == plain
    assert 0 < sum(shape.numel() for shape in ours.values()) < sum(map(torch.numel, kohyas_weights()))


def kohyas_weights():
    return attach_lora(TOY.base(), TOY.config(), 0).values()


def test_a_pictures_work_is_that_of_sdxl():
    """6.94 TFLOP forward and 14.62 with the backward pass, and 0.39 that flash attention recomputes of itself."""
    assert flops_of_a_picture(Subject("sdxl", CPU)) == pytest.approx(15.01e12, rel=1e-3)


def test_the_plain_loop_learns_what_it_is_shown():
    base = TOY.base()
    loop = PlainLoop(base, 4, checkpointing=False)
    config = TOY.config(batch_size=2)
    seen = TOY.pictures(config, 2).batch(range(2), 1, 0)
    trained = [weight for weight in base.unet.parameters() if weight.requires_grad]
    assert {weight.shape[0] for weight in trained[::2]} == {4}
    before = [weight.detach().clone() for weight in trained]
    loop.step(seen)
    loop.step(seen)
    assert all(not weight.equal(old) for weight, old in zip(trained, before, strict=True))


def test_a_matmuls_rate_counts_both_operations(monkeypatch):
    monkeypatch.setattr(timing, "seconds", lambda work, device: work() is None or 0.5)
    assert timing.matmul_rate(CPU, torch.float32) == 2 * 1024**3 / 0.5


def test_a_state_that_is_there_already_counts_as_none():
    times = whole.Times()
    keeper = SimpleNamespace(_asked_step=0)

    def state(keeper, step):
        keeper._asked_step = step

    timed = whole._timed(state, times, "state")
    for step in (5, 5, 6):
        timed(keeper, step)
    assert len(times.parts["state"]) == 2


def test_a_wait_for_copies_belongs_to_what_was_lent_since_the_last_one(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(whole, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    times = whole.Times(parts={"state": [10.0, 20.0]})
    settle = whole._counted_in(lambda learner: None, times)
    settle(None)
    settle(None)
    assert times.parts == {"state": [10.0, 21.0]}
    times.parts["state"].append(30.0)
    times.parts["checkpoint"] = [40.0]
    settle(None)
    assert times.parts == {"state": [10.0, 21.0, 31.0], "checkpoint": [41.0]}


@pytest.fixture
def small_subject(small_sdxl, monkeypatch):
    """The bench's SDXL, made so small that a CPU trains it."""
    monkeypatch.setattr(subject, "sdxl_architecture", lambda: read_architecture(str(small_sdxl)))
    monkeypatch.setattr(subject, "_SETTINGS", {"sdxl": {"resolution": 64, "bucket_step": 32, "rank": 4, "alpha": 4.0}})
    return Subject("sdxl", CPU)


def test_random_weights_on_disk_are_a_base_of_that_shape(small_subject, tmp_path):
    folder = small_subject.base_on_disk(tmp_path / "base")
    check_base(folder)
    base = load_base(str(folder), device=CPU, dtype=torch.float32)
    plain = small_subject.architecture.build("unet")
    assert {name: one.shape for name, one in base.unet.named_parameters()} == {
        name: one.shape for name, one in plain.named_parameters()
    }
    text, pooled = encode_prompts(base, ["lisaxl, woman", "a much longer text than that"])
    assert text.isfinite().all()
    assert not pooled[0].equal(pooled[1])


def test_a_stand_ins_text_encoder_knows_places(small_subject):
    encoder = random_part(small_subject.architecture, "text_encoder", torch.float32, CPU)
    places = {name: one for name, one in encoder.named_buffers() if not one.is_floating_point()}
    assert all(one.flatten().equal(torch.arange(one.numel())) for one in places.values())
    assert places


def test_whole_jobs_of_random_weights_cost_what_a_job_costs(small_subject, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "JOBS", {"cpu": 1})
    figures = {one.name: one.value for one in costs.whole_jobs(small_subject, tmp_path, 6)}
    assert figures.keys() >= {
        "first step after the claim",
        "a resume state: steps wait",
        "a resume state: background",
        "a LoRA file: steps wait",
        "a LoRA file: background",
        "posting 2 samples: background",
        "drawing a sample, 4 steps",
        "a job's time: planned / measured",
    }
    assert all(value > 0 for name, value in figures.items() if "the same while" not in name)


class Passes(torch.nn.Module):
    """A UNet that counts what goes through it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.shown = []

    def forward(self, latents):
        self.shown.append(len(latents))
        return (latents * self.weight,)


def test_a_bare_step_has_as_many_passes_as_the_jobs_own():
    unet = Passes()
    learner = SimpleNamespace(unet=unet, weights=dict(unet.named_parameters()))
    step = whole._bare_step(learner, lambda: [unet(torch.ones(pictures, 4)) for pictures in (3, 2)])
    step()
    assert unet.shown == [3, 2] * 2


def test_a_part_that_fails_leaves_the_rest(monkeypatch):
    def full(*_):
        yield Figure("a", 1.0, "s", "")
        raise OSError("the disk is full")

    monkeypatch.setattr(run, "caching", full)
    monkeypatch.setattr(run, "whole_jobs", lambda *_: [Figure("b", 1.0, "s", "")])
    figures, unmeasured = run._beside(TOY, 1, 1)
    assert [one.name for one in figures] == ["a", "b"]
    assert unmeasured == {"encoding pictures": "OSError: the disk is full"}


def test_a_bench_that_lacks_a_part_shows_the_rest_and_fails(monkeypatch, tmp_path, capsys):
    lacking = report(unmeasured={"whole jobs": "OSError: the disk is full"})
    monkeypatch.setattr(run, "run_bench", lambda *_: lacking)
    file = tmp_path / "bench.json"
    assert main(["bench", "--model", "toy", "--device", "cpu", "--json", str(file)]) == 1
    assert "| whole jobs | not measured | OSError: the disk is full |" in capsys.readouterr().out
    assert json.loads(file.read_text())["unmeasured"] == lacking.unmeasured


def test_first_steps_are_compiled_where_jobs_are(monkeypatch):
    monkeypatch.setattr(run, "caching", lambda *_: [])
    monkeypatch.setattr(run, "whole_jobs", lambda *_: [])
    monkeypatch.setattr(run, "compiled_first_steps", lambda *_: [Figure("first", 1.0, "s", "")])
    monkeypatch.setattr(run, "release_cached", lambda _: None)
    assert run._beside(TOY, 1, 1) == ([], {})
    [first] = run._beside(Subject("toy", torch.device("cuda", 0)), 1, 1)[0]
    assert first.name == "first"


def test_the_command_measures_everything_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(costs, "JOBS", {"cpu": 1})
    compiled = []  # the compiler itself, which takes a minute, is tested with the model
    monkeypatch.setattr("trainer.training.tuning.compile_blocks", lambda unet, _: compiled.append(unet))
    files = ["--json", str(tmp_path / "bench.json"), "--page", str(tmp_path / "BENCHMARKS.md")]
    assert main(["bench", "--model", "toy", "--batch", "2", "--runs", "1", "--device", "cpu", *files]) == 0
    told = json.loads((tmp_path / "bench.json").read_text())
    assert {row["name"] for row in told["rows"]} >= {"plain loop", "plain loop, checkpointing", "ours"}
    assert len(compiled) == 1
    figures = {figure["name"]: figure["value"] for figure in told["figures"]}
    # With so few steps, none may fall into a time of writing.
    assert all(value > 0 for name, value in figures.items() if "the same while" not in name)
    assert {len(found) for found in told["profiles"].values()} == {5}
    page = (tmp_path / "BENCHMARKS.md").read_text()
    assert page.startswith("# Benchmarks")
    assert set(told["profiles"]) == {f"{name}, batch 2" for name in ("plain loop", "ours, attention only", "ours")}
    assert "Largest costs of a step, ours, batch 2" in page
    assert all(f"| {row['option']} |" in page for row in told["rows"] if row["option"])
    assert "whole job's step / bare step" in capsys.readouterr().out
    assert told["unmeasured"] == {}
