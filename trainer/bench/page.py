"""docs/BENCHMARKS.md: a section for each machine and model, which the next run there replaces; and the same as JSON."""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from trainer.bench.costs import Figure
from trainer.bench.profiling import Cost
from trainer.bench.steps import Row
from trainer.bench.variants import fastest

INTRODUCTION = """# Benchmarks

Written by `python -m trainer bench` (`make bench` on a CPU); each machine and model has a section, which the next run
there replaces. Ratios within a section were measured in one run, on a CPU step by step in turn, and are medians over
these turns; numbers of two sections say nothing about each other.

*Plain loop* is diffusers' way: peft's LoRA on attention only, fp32 under autocast on a GPU, AdamW. *Ours, attention
only* trains the same layers, so its ratio to the plain loop is of speed alone; *ours* trains kohya's set of layers (722
of SDXL), which is more work. Recomputed blocks do not count as work, so checkpointing lowers TFLOP/s. *Share* is of the
rate at which the same device multiplies large matrices in the same number format. *First step* is from nothing on the
device to the step's end. Where that compiled something, *cold cache* says that no kernel lay in the compiler's cache on
disk, *warm cache* that all did; without such a word nothing was compiled, or the bench had these kernels already.
"""
_PACKAGES = ("torch", "diffusers", "peft", "transformers", "accelerate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one run has measured."""

    model: str
    device: str
    threads: int
    """Of a CPU; 0 on a GPU."""
    command: str
    day: str
    versions: dict[str, str]
    matmul_tflops: float
    flops_of_a_picture: float
    rows: list[Row]
    figures: list[Figure] = field(default_factory=list)
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Parts of the bench that failed, and why."""
    profiles: dict[str, list[Cost]] = field(default_factory=dict)
    """By what was profiled."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def versions() -> dict[str, str]:
    """Of Python and of what does the work."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def updated(page: str, report: Report) -> str:
    """The page with the report's section, new or in place of the one of the same machine and model."""
    heading = f"## {report.model} on {report.device}"
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    sections = {part.partition("\n")[0]: part.rstrip() for part in parts[1:]}
    sections[heading] = f"{heading}\n\n{section(report)}"
    return "\n\n".join([INTRODUCTION.rstrip(), *sections.values()]) + "\n"


def section(report: Report) -> str:
    """The report in Markdown, without its heading."""
    return "\n".join(
        [
            f"{report.day}, `{report.command}`, "
            + ", ".join(f"{name} {version}" for name, version in report.versions.items())
            + (f", {report.threads} threads" if report.threads else "")
            + ".",
            "",
            *_headlines(report.rows),
            "",
            f"Large products of matrices: {report.matmul_tflops:.3g} TFLOP/s. "
            f"A picture's step: {report.flops_of_a_picture / 1e12:.3g} TFLOP.",
            "",
            *_steps(report.rows),
            *_options(report.rows, on_gpu=not report.threads),
            *_figures(report.figures, report.unmeasured),
            *_profiles(report.profiles),
        ]
    ).rstrip()


def _headlines(rows: Sequence[Row]) -> Iterator[str]:
    """The ratios to the plain loop, first of ours with the same layers, then with kohya's; compiled where faster."""
    measured = {(row.batch, row.name): row for row in rows if row.turns}
    for batch in sorted({row.batch for row in rows}):
        plain = [measured[batch, name] for name in _PLAIN if (batch, name) in measured]
        for alike in _OURS:
            ours = [measured[batch, name] for name in alike if (batch, name) in measured]
            if ours and plain:
                best = min(ours, key=lambda row: row.seconds_per_step)
                ratios = " and ".join(f"{row.times(best):.2f} x the {row.name}" for row in plain)
                yield f"- batch {batch}: {best.name}: {ratios}"


_PLAIN = ("plain loop", "plain loop, checkpointing")
_OURS = (("ours, attention only", "ours, attention only, compiled"), ("ours", "ours, compiled"))


def _steps(rows: Sequence[Row]) -> Iterator[str]:
    yield "| | batch | images/s | s/step | TFLOP/s | share | peak memory | planned | first step |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        if row.failed:
            yield f"| {row.name} | {row.batch} | {row.failed} | | | | | | |"
            continue
        yield (
            f"| {row.name} | {row.batch} | {row.images_per_second:.3g} | {row.seconds_per_step:.3g} | {row.tflops:.3g}"
            f" | {row.share:.1%} | {_bytes(row.peak_bytes)} | {_bytes(row.planned_bytes)}"
            f" | {row.first_step_seconds:.1f} s{f', {row.compiler_cache} cache' * bool(row.compiler_cache)} |"
        )
    yield ""


def _options(rows: Sequence[Row], *, on_gpu: bool) -> Iterator[str]:
    """Steps with one option switched, as multiples of the fastest step of the same batch size."""
    name = fastest(on_gpu=on_gpu)
    for base in (row for row in rows if row.name == name and row.turns):
        switched = [row for row in rows if row.option and row.batch == base.batch]
        if not switched:
            continue
        yield from (f"| one option switched, batch {base.batch} | s/step | x |", "|---|---|---|")
        yield f"| {name} | {base.seconds_per_step:.3g} | 1 |"
        for row in switched:
            measured = f"{row.seconds_per_step:.3g} | {row.times(base):.2f}" if row.turns else f"{row.failed} |"
            yield f"| {row.option} | {measured} |"
        yield ""


def _figures(figures: Sequence[Figure], unmeasured: Mapping[str, str]) -> Iterator[str]:
    if figures or unmeasured:
        yield from ("| beside the steps | | |", "|---|---|---|")
        yield from (f"| {one.name} | {one.value:.3g} {one.unit} | {one.meaning} |" for one in figures)
        yield from (f"| {part} | not measured | {reason} |" for part, reason in unmeasured.items())
        yield ""


def _profiles(profiles: dict[str, list[Cost]]) -> Iterator[str]:
    for name, costs in profiles.items():
        yield from (f"Largest costs of a step, {name} (torch's profiler):", "")
        yield from ("| operator | ms | share | calls |", "|---|---|---|---|")
        yield from (f"| `{one.name}` | {one.milliseconds:.3g} | {one.share:.1%} | {one.calls:.0f} |" for one in costs)
        yield ""


def _bytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size else ""
