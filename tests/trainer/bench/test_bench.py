"""The bench: what it measures is what it says, and its page keeps other machines' sections."""

import json
from types import SimpleNamespace

import pytest
import torch

from trainer.__main__ import main
from trainer.bench import steps, timing, whole
from trainer.bench.page import Report, updated
from trainer.bench.plain import PlainLoop
from trainer.bench.steps import Flops, Row, Variant, flops_of_a_picture, measure, variants
from trainer.bench.subject import Subject
from trainer.contract.estimates import estimate
from trainer.contract.spec import PictureSpec
from trainer.planning.memory import Load
from trainer.planning.trial import Times

CPU = torch.device("cpu")
TOY = Subject("toy", CPU)


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
        "rows": [Row("plain loop", 5, 1.0, 5.0), Row("ours", 5, 0.5, 10.0), Row("ours", 8, failed="out of memory")],
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
    assert "- batch 5: ours is 2.00 x the plain loop" in page
    assert "| ours | 8 | out of memory |" in page


def test_every_variant_is_measured_and_shares_are_of_the_rate():
    batch = [Variant("plain loop", 2, {"checkpointing": True}, is_plain=True), Variant("ours", 2)]
    rows = measure(batch, TOY, Flops(ours=1e9, plain=9e8), rate=1e11, runs=1)
    assert [row.name for row in rows] == ["plain loop", "ours"]
    for row in rows:
        assert row.images_per_second == pytest.approx(2 / row.seconds_per_step)
        flops = 9e8 if row.name == "plain loop" else 1e9
        assert row.share == pytest.approx(flops * row.images_per_second / 1e11)


def test_what_does_not_fit_is_a_row_that_says_so(monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(steps, "make_step", too_large)
    [row] = measure([Variant("ours", 8)], TOY, Flops(1.0, 1.0), rate=1.0, runs=1)
    assert row.failed == "out of memory"


def test_on_a_gpu_the_compiler_and_plans_for_smaller_cards_are_measured_too():
    names = {variant.name for variant in variants((1, 5), on_gpu=True)}
    assert names >= {"ours, compiled", "ours, planned for 12GB", "ours, planned for 24GB", "ours, checkpointing"}
    assert not any("compiled" in variant.name for variant in variants((1, 5), on_gpu=False))


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


def test_the_time_of_a_whole_training_is_the_sum_of_its_parts():
    config = TOY.config(epochs=4, batch_size=2, checkpoint_every_epochs=2, sample_count=3, sample_steps=5, flip=True)
    load = Load.of(tuple(PictureSpec(file=f"{i:064x}.png", caption="x") for i in range(4)), 4, config)
    times = Times(step=1.0, denoising=10.0, decoding=100.0, encoding=1000.0)
    assert times.whole(load, estimate(4, config)) == 8 * 1 + 2 * (2 * 5 * 10 + 3 * 100) + 8 * 1000


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


def test_the_command_measures_everything_once(tmp_path, capsys):
    files = ["--json", str(tmp_path / "bench.json"), "--page", str(tmp_path / "BENCHMARKS.md")]
    assert main(["bench", "--model", "toy", "--batch", "2", "--runs", "1", "--device", "cpu", *files]) == 0
    told = json.loads((tmp_path / "bench.json").read_text())
    assert {row["name"] for row in told["rows"]} >= {"plain loop", "plain loop, checkpointing", "ours"}
    figures = {figure["name"]: figure["value"] for figure in told["figures"]}
    # With so few steps, none may fall into a time of writing.
    assert all(value > 0 for name, value in figures.items() if "the same while" not in name)
    assert {len(found) for found in told["profiles"].values()} == {5}
    page = (tmp_path / "BENCHMARKS.md").read_text()
    assert page.startswith("# Benchmarks")
    assert "Largest costs of a step, ours, batch 2" in page
    assert "whole job's step / bare step" in capsys.readouterr().out
