"""What a training's parts take, and what that makes of the whole: arithmetic over what a trial has measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.contract.config import TrainConfig
from trainer.contract.estimates import Estimate
from trainer.data.caption import tags_change
from trainer.data.preserved import KeptCaptions
from trainer.data.texts import trains_text
from trainer.planning.memory import Load
from trainer.sampling.conditioning import TOGETHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of a training's parts."""

    step: float
    """An optimizer step; of several processes each one's own part, before they meet."""
    denoising: float
    """One denoising step of the samples that are drawn at once."""
    decoding: float
    """A sample's latents to its pixels."""
    encoding: float
    """A picture's file to its latents; one larger than the resolution takes longer to open."""
    reading: float
    """A text through both encoders."""
    file: float
    """A LoRA file, from its weights to the event that tells of it, and the loss plot with it."""
    state: float
    """A resume state in the same way."""
    posting: float
    """The files of a checkpoint's samples, and the picture of all of them; 0 where none are drawn."""
    starting: float = 0.0
    """What comes once: the LoRA is attached, and the first time of each part takes longer than the later ones, for
    kernels are chosen, memory is taken, and on a GPU the blocks of a long run are compiled."""

    def whole(self, load: Load, size: Estimate) -> float:
        """Of the whole training, but for loading the base. Files are written meanwhile, and waited for at the end."""
        config = load.config
        encoding = load.images * (2 if config.flip else 1) * self.encoding + texts_read(load, size) * self.reading
        return (
            self.starting
            + encoding
            + size.steps * self.step
            + size.checkpoints * self._drawing(config)
            + self._ending(config)
        )

    def _drawing(self, config: TrainConfig) -> float:
        """A checkpoint's samples."""
        rounds = math.ceil(config.sample_count / TOGETHER)
        return rounds * config.sample_steps * self.denoising + config.sample_count * self.decoding

    def _ending(self, config: TrainConfig) -> float:
        """What is waited for behind the last step and its samples: the last file, which is written while these are
        drawn, their own files, and the last state (see `trainer.ending.completed`).
        """
        return max(0.0, self.file - self._drawing(config)) + self.posting + self.state


def texts_read(load: Load, size: Estimate) -> int:
    """Texts that are encoded in a run, but for what trained encoders read within each step.

    Captions that stay as they are, and those to be preserved, are read once beforehand; where tags are shuffled or
    dropped, a caption is as good as always a new one in each step. A sample's prompt is read once, or for each
    checkpoint where an encoder is trained; a negative prompt, which a plan does not know, does not count.
    """
    config = load.config
    prompts = config.sample_count * (size.checkpoints if trains_text(config) else 1)
    if trains_text(config):
        return prompts
    if tags_change(config):
        shown = size.steps * load.batches * (load.pictures + load.again)
    else:
        # As `trainer.planning.memory` counts what is kept: the pictures taken for people, the trigger in every caption.
        preserved = 1 + KeptCaptions.of("", "person", 0, load.images).each if config.preservation_weight else 0
        shown = load.images * (1 + preserved)
    return shown + (config.caption_dropout > 0) + prompts
