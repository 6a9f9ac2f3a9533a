"""What the two commands of `python -m trainer.toy` do; they print, as a CLI does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from trainer.toy import assets
from trainer.toy.build import ASSETS, Plan, build
from trainer.toy.judge import Group, Judge, Score, grid, questions, save_scores, score, table

SHOWN = 8
"""Pictures of each row of the grid."""

GROUPS: tuple[Group, ...] = ("trigger", "class", "anyone")


def run_build(options: argparse.Namespace) -> int:
    """Build the named assets in order."""
    unknown = [name for name in options.assets if name not in ASSETS]
    if unknown:
        _say(f"no such asset: {', '.join(unknown)}; there are {', '.join(ASSETS)}")
        return 2
    options.work.mkdir(parents=True, exist_ok=True)
    plan = Plan(options.out, options.work, torch.device(options.device), options.steps_scale, options.onto)
    for asset in options.assets or ASSETS:
        built = build(asset, plan)
        _say(f"{built.asset}: {built.steps} steps in {built.seconds:.0f} s, loss {built.loss:.4f}")
    return 0


def run_judge(options: argparse.Namespace) -> int:
    """Draw and measure: the base alone, then each LoRA at each weight; print and save a table and a grid."""
    base, tagger = options.base or assets.base_folder(), options.tagger or assets.tagger_folder()
    judge = Judge(base, tagger, torch.device(options.device))
    total = options.pictures * len(GROUPS) * (1 + len(options.lora) * len(options.weights))
    rows: list[list[Image.Image]] = []
    scores: list[Score] = []
    with tqdm(total=total, desc="pictures", file=sys.stderr) as bar:
        for lora, weight in [(None, 0.0), *((lora, weight) for lora in options.lora for weight in options.weights)]:
            if lora is not None:
                judge.load(lora)
            row: list[Image.Image] = []
            for group in GROUPS:
                answers = judge.answers(questions(group, options.pictures), weight, bar.update)
                scores.append(score(answers, group, lora.stem if lora else "", weight))
                row += [answer.image for answer in answers[: SHOWN if group == "trigger" else SHOWN // 2]]
            rows.append(row)
    save_scores(scores, options.out)
    grid(rows).save(options.out / "grid.png")
    _say(table(_by_group(scores)))
    _say(f"saved {_named(options.out)}")
    return 0


def _by_group(scores: Sequence[Score]) -> list[Score]:
    return sorted(scores, key=lambda one: GROUPS.index(one.group))


def _named(folder: Path) -> str:
    return f"table.md, scores.json and grid.png in {folder}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
