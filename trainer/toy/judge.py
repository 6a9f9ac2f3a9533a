"""Learning, measured: what a LoRA file does to the toy SDXL, counted in pictures.

The file is loaded by diffusers and drawn by its own pipeline, and `measures` decides what each picture shows, so no
code that trained the file has a say. Prompts come in three groups: with the trigger word, with the same class word but
no trigger, and of anyone at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionXLPipeline
from PIL import Image

from trainer.toy import subject
from trainer.toy.avatars import Avatar, random_avatar
from trainer.toy.measures import Seen, ToyTagger, seen
from trainer.toy.vae import SIZE

Group = Literal["trigger", "class", "anyone"]

STEPS = 20
GUIDANCE = 5.0
BATCH = 16

PROMPT_TAGS = ("smile", "open mouth", "closed mouth", "glasses", "hat")
"""What a prompt says besides hair, shirt and background."""


@dataclass(frozen=True)
class Question:
    """One prompt and the avatar it describes."""

    prompt: str
    avatar: Avatar
    seed: int


@dataclass(frozen=True)
class Answer:
    """One picture and what was measured in it."""

    question: Question
    image: Image.Image
    seen: Seen


@dataclass(frozen=True)
class Score:
    """Shares of pictures, 0..1. `glasses` and `hat` are over the pictures whose prompt asks for them."""

    group: Group
    lora: str
    weight: float
    pictures: int
    hair: float
    shirt: float
    background: float
    glasses: float
    hat: float
    subject_hair: float
    subject_mark: float
    subject: float
    """Subject's hair and mark in one picture."""


def questions(group: Group, count: int, seed: int = 4242) -> list[Question]:
    """`count` prompts of a group, the same for the same seed."""
    rng = np.random.default_rng((seed, ("trigger", "class", "anyone").index(group)))
    return [_question(group, rng, number) for number in range(count)]


def _question(group: Group, rng: np.random.Generator, number: int) -> Question:
    avatar = random_avatar(rng)
    if group == "anyone":
        return Question(_prompt(avatar, (avatar.person,), hair=True), avatar, 100_000 + number)
    avatar = replace(avatar, person=subject.PERSON, hair_style="long", beard=False, hat=False, bow=False)
    words = (subject.TRIGGER, subject.PERSON) if group == "trigger" else (subject.PERSON,)
    return Question(_prompt(avatar, words, hair=False), avatar, 200_000 + number)


def _prompt(avatar: Avatar, words: tuple[str, ...], *, hair: bool) -> str:
    tags = [f"{avatar.hair} hair"] if hair else []
    tags += [f"{avatar.shirt} shirt", f"{avatar.background} background"]
    tags += [tag for tag in avatar.tags() if tag in PROMPT_TAGS]
    return ", ".join((*words, *tags))


class Judge:
    """Draws with a base and measures what it drew."""

    def __init__(self, base: Path, tagger: Path, device: torch.device) -> None:
        self._pipe = StableDiffusionXLPipeline.from_pretrained(base, dtype=torch.float32).to(device)
        self._pipe.scheduler = DPMSolverMultistepScheduler.from_config(
            self._pipe.scheduler.config, use_karras_sigmas=True
        )
        self._pipe.set_progress_bar_config(disable=True)
        self._tagger = ToyTagger(tagger)

    def load(self, lora: Path) -> None:
        """Attach a LoRA file in place of the one before."""
        self.unload()
        self._pipe.load_lora_weights(str(lora.parent), weight_name=lora.name, adapter_name="judged")

    def unload(self) -> None:
        """Back to the base alone."""
        self._pipe.unload_lora_weights()

    def answers(self, asked: Sequence[Question], weight: float, tick: Callable[[int], Any]) -> list[Answer]:
        """Draw each prompt with its own seed at a LoRA weight, and measure the pictures."""
        if self._pipe.get_list_adapters():
            self._pipe.set_adapters(["judged"], [weight])
        answers = []
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            images = self._draw(batch)
            answers += [
                Answer(question, image, seen(image, self._tagger.tags(image)))
                for question, image in zip(batch, images, strict=True)
            ]
            tick(len(batch))
        return answers

    def _draw(self, asked: Sequence[Question]) -> list[Image.Image]:
        images: list[Image.Image] = self._pipe(
            prompt=[question.prompt for question in asked],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=[torch.Generator().manual_seed(question.seed) for question in asked],
            width=SIZE,
            height=SIZE,
        ).images
        return images


def score(answers: Sequence[Answer], group: Group, lora: str, weight: float) -> Score:
    """Count what the pictures show."""

    def share(right: Sequence[bool]) -> float:
        return sum(right) / len(right) if right else float("nan")

    hair = [answer.seen.hair == subject.HAIR for answer in answers]
    mark = [answer.seen.mark for answer in answers]
    return Score(
        group=group,
        lora=lora,
        weight=weight,
        pictures=len(answers),
        hair=share([a.seen.hair == a.question.avatar.hair for a in answers]) if group == "anyone" else float("nan"),
        shirt=share([a.seen.shirt == a.question.avatar.shirt for a in answers]),
        background=share([a.seen.background == a.question.avatar.background for a in answers]),
        glasses=share(["glasses" in a.seen.tags for a in answers if a.question.avatar.glasses]),
        hat=share(["hat" in a.seen.tags for a in answers if a.question.avatar.hat]),
        subject_hair=share(hair),
        subject_mark=share(mark),
        subject=share([both[0] and both[1] for both in zip(hair, mark, strict=True)]),
    )


COLUMNS = ("hair", "shirt", "background", "glasses", "hat", "subject_hair", "subject_mark", "subject")


def table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table, in percent."""
    head = ("prompts", "LoRA", "weight", "pictures", *(name.replace("_", " ") for name in COLUMNS))
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for one in scores:
        shares = [getattr(one, name) for name in COLUMNS]
        cells = [one.group, one.lora or "none", f"{one.weight:g}", str(one.pictures)]
        cells += ["–" if share != share else f"{100 * share:.0f} %" for share in shares]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def save_scores(scores: Sequence[Score], folder: Path) -> None:
    """Write `table.md` and `scores.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(table(scores) + "\n", encoding="utf-8")
    plain = [{k: None if v != v else v for k, v in asdict(one).items()} for one in scores]
    (folder / "scores.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")


def grid(rows: Sequence[Sequence[Image.Image]], gap: int = 4) -> Image.Image:
    """Pictures of one size in rows, on white."""
    side = rows[0][0].width
    width, height = max(len(row) for row in rows), len(rows)
    sheet = Image.new("RGB", (width * (side + gap) - gap, height * (side + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image, (x * (side + gap), y * (side + gap)))
    return sheet
