"""`python -m trainer convert IN OUT --to FORM`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from trainer.contract.exits import Exit
from trainer.formats.convert.files import convert


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Convert; raises TrainerError for what is no LoRA of SDXL, ChannelError when the disk refuses."""
    lora = convert(args.source, args.target, args.to, alpha=args.alpha)
    say(f"{args.source.name} ({lora.form}, {len(lora.modules)} modules) is now {args.target} ({args.to})")
    if lora.without_alpha:
        say(f"{lora.without_alpha} modules say no alpha: taken at strength 1, as other programs do (see --alpha)")
    return Exit.FINISHED
