"""A plan for people and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from trainer.contract.estimates import estimate
from trainer.planning.plan import Plan
from trainer.planning.room import gigabytes
from trainer.planning.times import Times

CELLS = 10
"""Of a bar: it fits on a phone beside its name and size."""


def facts(plan: Plan, per_epoch: int, times: Times | None) -> dict[str, Any]:
    """Plain values, ready for JSON: bytes, seconds, multiplications and additions."""
    size = estimate(per_epoch, plan.load.config)
    held, way, disk = plan.held, plan.ways.now, plan.disk(per_epoch)
    return {
        "device": plan.room.device,
        "processes": plan.load.processes,
        "memory": {
            "base": round(held.base),
            "lora_and_optimizer": round(held.lora + held.optimizer),
            "pictures_and_texts": round(held.data),
            "activations": round(plan.training - held.total),
            "reserve": plan.room.reserve,
            "free": plan.room.free,
        },
        "phases": {
            "encoding": round(plan.encoding),
            "training": round(plan.training),
            "sampling": round(plan.sampling),
        },
        "batch": plan.load.pictures,
        "most_pictures": way.most_pictures or plan.load.pictures,
        "recomputed": sorted(way.recomputed),
        "blocks": plan.units,
        "steps": size.steps,
        "epochs": size.epochs,
        "flops_per_step": round(plan.flops),
        "flops": round(plan.flops * size.steps),
        "times": times and dataclasses.asdict(times),
        "seconds": times and times.whole(plan.load, size),
        "disk": {
            "checkpoints": round(disk.checkpoints),
            "states": round(disk.states),
            "samples": round(disk.samples),
            "beside": round(disk.beside),
            "total": round(disk.total),
        },
        "checkpoints": size.checkpoints,
        "samples": size.samples,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The plan to read, at most 40 letters wide where it is a table."""
    memory = found["memory"]
    free, parts = memory["free"], [(name, size) for name, size in memory.items() if name != "free"]
    used = sum(size for _, size in parts)
    each = f" in each of {found['processes']} processes" if found["processes"] > 1 else ""
    told = [f"Memory{each}: {gigabytes(used)} of {gigabytes(free)} free"]
    told += [f"{name.replace('_', ' '):<18} {_bar(size, free)} {gigabytes(size)}" for name, size in parts]
    others = ", ".join(f"{phase} {gigabytes(found['phases'][phase])}" for phase in ("encoding", "sampling"))
    told += [f"Beside training: {others}", _way(found, each)]
    told.append(
        f"Work: {found['steps']} steps in {found['epochs']} epochs, {found['flops_per_step'] / 1e12:.3g} TFLOP a step, "
        f"{found['flops'] / 1e15:.3g} PFLOP in all{each}"
    )
    if found["times"] is not None:
        beside = ", and what the processes wait for each other" if each else ""
        told.append(
            f"Time: {found['times']['step']:.2f} s a step, {duration(found['seconds'])} for all with pictures, texts, "
            f"samples and files; loading the base comes on top{beside}"
        )
    disk = found["disk"]
    told.append(
        f"Disk: {gigabytes(disk['total'])} ({found['checkpoints']} checkpoints {gigabytes(disk['checkpoints'])}, "
        f"states {gigabytes(disk['states'])}, {found['samples']} samples {gigabytes(disk['samples'])})"
    )
    return told


def _way(found: dict[str, Any], each: str) -> str:
    """How a step is done, and why; `each` says in which processes."""
    batch, most, recomputed = found["batch"], found["most_pictures"], len(found["recomputed"])
    pictures = "picture" if batch == 1 else "pictures"
    whole = f"{batch} {pictures}{each} at once" if each else f"all {batch} pictures of a batch at once"
    together = f"{most} of {batch} pictures at a time{each}" if most < batch else whole
    if recomputed:
        return f"A step: {together}, {recomputed} of {found['blocks']} blocks recomputed: more does not fit"
    return f"A step: {together}, nothing recomputed"


def _bar(size: float, whole: float) -> str:
    cells = min(CELLS, round(CELLS * size / whole)) if whole else CELLS
    return "█" * cells + "░" * (CELLS - cells)


def duration(seconds: float) -> str:
    """A time for people."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "under 1 min"
