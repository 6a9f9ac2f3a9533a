"""What a training would be, told before it starts: its config, size, time, prompts, and what could be better. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.rules.pictures.crop import focus_of, pixels
from bot.rules.pictures.measures import Measures
from bot.store.rows import Dataset, Picture
from trainer.contract.config import TrainConfig
from trainer.contract.epoch import held_count
from trainer.contract.errors import InvalidConfig
from trainer.contract.estimates import Estimate, estimate
from trainer.contract.prompts import as_prompt

FEW_PICTURES = 20
"""Under this many a likeness gets stiff; guides for SDXL faces advise 50 to 100."""
NO_TRAINER = "No trainer is running now; the host of this bot must start it."
"""What whoever waits must know."""
LONGEST_PROMPT = 300
"""Characters of a sample prompt taken from a caption; CLIP reads about 77 tokens of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A training that has not been started."""

    dataset: Dataset
    pictures: int
    config: TrainConfig
    estimate: Estimate
    position: int
    """Place in the queue it would get; 0 when a trainer is free now."""
    notes: tuple[str, ...]
    """Sentences on what was changed and what could be better."""
    waiting: int
    """Pictures that would be cut from the middle, because they were not looked at yet; 0 where shapes are kept."""


def config_for(base: TrainConfig, epochs: int, pictures: int) -> tuple[TrainConfig, list[str]]:
    """The preset's config with the member's epochs (0: the preset's) and a batch that fits; with what was changed.

    Raises InvalidConfig, also where pictures are to be held back for validation and there is only one.
    """
    if base.validation_share and pictures < 2:
        raise InvalidConfig("validation_share", "leaves no picture to train on; one more picture helps")
    shown = shown_in_epoch(base, pictures)
    values: dict[str, int] = {}
    notes = []
    if epochs:
        values["epochs"] = epochs
        if base.checkpoint_every_epochs > epochs:
            values["checkpoint_every_epochs"] = epochs
    if base.batch_size > shown:
        values["batch_size"] = shown
        notes.append(f"The batch is {shown} instead of {base.batch_size}: there are no more pictures.")
    return base.with_overrides(values), notes


def shown_in_epoch(config: TrainConfig, pictures: int) -> int:
    """Pictures that one epoch shows: those of the dataset less those held back for validation."""
    return pictures - held_count(pictures, config.validation_share)


def not_looked_at(pictures: Sequence[Picture], measures: Mapping[int, Measures | None], config: TrainConfig) -> int:
    """How many of the pictures a training on squares would cut from the middle, as nobody knows better yet."""
    return sum(not each.focus and each.id not in measures for each in pictures) if config.square else 0


def still_looked_at(waiting: int) -> str:
    """What a member must know who starts while `waiting` pictures have no square of their own yet."""
    are, their = ("1 picture is", "its square") if waiting == 1 else (f"{waiting} pictures are", "their squares")
    return f"{are} still being looked at: started now, {their} would be cut from the middle."


def make_plan(
    dataset: Dataset,
    pictures: Sequence[Picture],
    measures: Mapping[int, Measures | None],
    config: TrainConfig,
    notes: Sequence[str],
    seconds_per_image: float | None,
    position: int,
) -> Plan:
    """The plan with its size and advice."""
    count = len(pictures)
    advice = list(notes)
    if count < FEW_PICTURES:
        advice.append(f"{count} pictures are few: 50 to 100 give a better likeness.")
    shown = shown_in_epoch(config, count)
    if shown % config.batch_size:
        advice.append(f"{shown} pictures do not fill batches of {config.batch_size}; the last one is smaller.")
    without = sum(1 for picture in pictures if dataset.trigger not in picture.caption.lower())
    if without:
        advice.append(f"{without} captions lack the trigger word {dataset.trigger}.")
    waiting = sum(1 for picture in pictures if not picture.tagged)
    if waiting:
        advice.append(f"{waiting} pictures have no tags yet; they train with the trigger word alone.")
    return Plan(
        dataset=dataset,
        pictures=count,
        config=config,
        estimate=estimate(shown, config, seconds_per_image),
        position=position,
        notes=tuple(advice),
        waiting=not_looked_at(pictures, measures, config),
    )


def square_notes(
    dataset: Dataset,
    pictures: Sequence[Picture],
    measures: Mapping[int, Measures | None],
    config: TrainConfig,
    usual: TrainConfig,
) -> list[str]:
    """What a training with `config` does to the pictures' shapes, where its member may not know.

    The report and the pictures' cards judge as the `usual` config of the dataset shows them.
    """
    if not config.square:
        return ["This preset keeps the pictures' shapes; the report judges squares."] if usual.square else []
    what = "the face" if dataset.kind == "person" else "what shows the most"
    if usual.square:
        found = [f"Pictures are cut to squares around {what}; *Squares* on the report shows and moves them."]
    else:
        found = [f"This preset cuts pictures to squares around {what}; the report judges their shapes, see *Squares*."]
    sides = [pixels(focus_of(dataset, each, measures.get(each.id)), each.width) for each in pictures]
    enlarged = 0 if config.bucket_no_upscale else sum(side < config.resolution for side in sides)
    if enlarged:
        found.append(f"Squares under {config.resolution} pixels: {enlarged}; they are enlarged to train.")
    blind = sum(not each.focus and each.id in measures and measures[each.id] is None for each in pictures)
    if blind:
        found.append(f"Pictures that could not be measured: {blind}; their squares are in the middle.")
    return found


def sample_prompts(dataset: Dataset, captions: Sequence[str]) -> tuple[str, ...]:
    """Four prompts for the sample pictures: two as the pictures were captioned, two that ask for something new.

    The captions are the first and the one from the middle that differs, so that the same data set gives the same.
    """
    prefix = as_prompt(", ".join(part for part in (dataset.trigger, dataset.class_word) if part))
    own = list(dict.fromkeys(as_prompt(caption[:LONGEST_PROMPT]) for caption in captions))
    general = [f"{prefix}, {scene}" for scene in _SCENES[dataset.kind]]
    chosen = [own[0], own[len(own) // 2]] if len(own) > 1 else own
    return tuple(dict.fromkeys([*chosen, *general]))[:4]


_SCENES = {
    "person": ("portrait, looking at viewer, plain background", "outdoors, smiling, evening light"),
    "character": ("portrait, looking at viewer, plain background", "outdoors, full body, evening light"),
    "style": ("a house by a lake", "portrait of a person"),
    "object": ("on a table, plain background", "outdoors, evening light"),
}
