"""Pictures as PNG with the `parameters` text that A1111's PNG Info, and every site that shows prompts, can read.

Form: AUTOMATIC1111/stable-diffusion-webui 1.10, modules/processing.py (create_infotext) and infotext_utils.py (quote):
the prompt, a line `Negative prompt: …`, and a line `name: value, …` whose values stand in JSON's quotation marks where
they hold a comma, a colon or a line break. No path of this machine gets into it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from trainer.contract.durable import write_atomic
from trainer.formats.metadata import base_name
from trainer.machine import version
from trainer.model.base import BaseModel
from trainer.sampling.draw import Drawing
from trainer.sampling.networks import Acting
from trainer.sampling.samplers import A1111_NAMES


def parameters(prompt: str, seed: int, drawing: Drawing, base: BaseModel, networks: Sequence[Acting]) -> str:
    """The text of one picture; `prompt` with its LoRA tags."""
    sampler, schedule = A1111_NAMES[drawing.sampler]
    width, height = drawing.size
    hashes = ", ".join(f"{one.network.name}: {one.network.short_hash}" for one in networks if one.network.short_hash)
    fields = {
        "Steps": drawing.steps,
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": f"{drawing.guidance:g}",
        "Seed": seed,
        "Size": f"{width}x{height}",
        "Model hash": base.sha256[:10],
        "Model": base_name(base.name),
        "Lora hashes": hashes,
        "Version": version(),
    }
    settings = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in fields.items() if value != "")
    negative = [f"Negative prompt: {drawing.negative}"] if drawing.negative else []
    return "\n".join([prompt, *negative, settings])


def save_png(path: Path, image: Image.Image, text: str) -> None:
    """The picture as a durable PNG; raises ChannelError when the disk refuses."""
    info, buffer = PngInfo(), io.BytesIO()
    info.add_text("parameters", text)
    image.save(buffer, "PNG", pnginfo=info)
    write_atomic(path, buffer.getvalue())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text
