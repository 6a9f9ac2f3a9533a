"""`python -m trainer train`: from a folder of pictures to a LoRA file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from trainer.by_hand.make import Request, make_job
from trainer.cli.run import open_next_attempt, train_attempt
from trainer.contract.config import parse_override
from trainer.contract.estimates import estimate
from trainer.contract.exits import Exit


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Make the job folder, train it, and put the finished file into --out."""
    request = Request(
        images=args.images or args.dataset_config,
        trigger=args.trigger,
        class_word=args.class_word,
        base=args.base,
        out=args.out.absolute(),
        name=args.name,
        preset=args.preset,
        kind=args.kind,
        settings=settings_of(args),
        prompts=tuple(args.prompt),
        negative=args.negative,
        regularisation=args.regularisation,
        masks=args.masks,
        vae=args.vae,
    )
    job = make_job(request, say)
    spec = job.spec()
    size = estimate(spec.images_per_epoch, spec.config)
    say(f"{spec.name}: {size.epochs} epochs, {size.steps} steps, {size.checkpoints} checkpoints")
    return train_attempt(job, open_next_attempt(job), args, say)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of the command line; --set beats --epochs and --batch. Raises InvalidConfig."""
    settings = {"epochs": args.epochs, "batch_size": args.batch}
    given = {key: value for key, value in settings.items() if value is not None}
    return {**given, **dict(map(parse_override, args.set))}
