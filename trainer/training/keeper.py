"""What a run leaves behind: checkpoints (LoRA files), samples (pictures), states (to go on from).

Here the training lends what is to be kept, as it is between two steps, and goes on (see `trainer.training.snapshot`);
the background looks whether it is worth keeping, writes it, and tells once it is safe.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from trainer.contract.channel import JobChannel
from trainer.contract.config import TrainConfig
from trainer.contract.durable import sha256_file, write_json
from trainer.contract.errors import ChannelError
from trainer.contract.events import Body, Checkpoint, Sample
from trainer.contract.events import State as StateKept
from trainer.contract.spec import JobSpec
from trainer.data.texts import trains_text
from trainer.errors import NanLoss
from trainer.formats.lora_file import save_lora
from trainer.formats.metadata import TrainingProgress, training_metadata
from trainer.model.base import BaseModel
from trainer.model.device import device_errors, release_cached
from trainer.sampling.conditioning import Conditioning
from trainer.sampling.draw import Drawing, draw_encoded, encode
from trainer.sampling.grid import grid, save_webp
from trainer.seeing.history import History
from trainer.seeing.viewer import Viewer
from trainer.training.background import Background
from trainer.training.learner import Learner
from trainer.training.report import Reporter
from trainer.training.snapshot import Snapshot
from trainer.training.state import Position, State, save_state
from trainer.training.tally import is_sound


@dataclass(frozen=True, slots=True)
class _Moment:
    """The run between two steps, as far as it is to be kept."""

    position: Position
    config: TrainConfig
    tensors: Snapshot
    sound: Tensor
    """Of the tally."""

    def check(self, weights: Iterable[Tensor]) -> None:
        """Raise NanLoss where these weights, or the steps that made them, are numbers no more."""
        if not is_sound(self.sound, weights):
            raise NanLoss(self.position.step, self.config.learning_rate)


@dataclass(slots=True)
class Keeper:
    """Has what is worth keeping written into the job, and told. Every method raises the error of earlier writing."""

    channel: JobChannel
    report: Reporter
    background: Background
    spec: JobSpec
    base: BaseModel
    learner: Learner
    viewer: Viewer
    progress: Callable[[Position, TrainConfig], TrainingProgress]
    """Facts about the run for a file's metadata."""
    state_step: int
    """Step of the newest resume state that is safe on disk; 0 when there is none."""
    last_kept: Checkpoint | None = None
    """The newest LoRA file of this attempt that is safe on disk."""
    _prompts: list[Conditioning] | None = field(default=None, init=False)
    """What the UNet is told when it draws samples; None before the first."""
    _asked_step: int = field(init=False)
    """Step of the newest state asked for; above `state_step` while it is being written."""

    def __post_init__(self) -> None:
        self._asked_step = self.state_step

    # --- in the training's thread -----------------------------------------------------------------------------------
    def checkpoint(self, name: str, epoch: int, position: Position, config: TrainConfig) -> None:
        """Have the LoRA as it is now kept as `lora/<name>.safetensors`.

        What is numbers no more is not kept: NanLoss ends the writing, and comes out like every error of it.
        """
        self.report.begin("keeping")
        moment = _Moment(position, config, self.learner.shown(), self.learner.tally.sound)
        progress = self.progress(position.evolve(epoch=epoch), config)
        self.background.put(partial(self._write_checkpoint, name, moment, progress), "checkpoint")
        self.viewer.checkpoint(position.step, epoch)

    @property
    def is_writing_state(self) -> bool:
        """True while the newest state is not safe yet."""
        return self.state_step != self._asked_step

    def state(self, position: Position, config: TrainConfig) -> None:
        """Have a resume state kept, unless there is one of this step; waits for the one before.

        NanLoss as for a checkpoint.
        """
        if self._asked_step == position.step:
            return
        if self.is_writing_state:
            self.background.drain()
        self.report.begin("keeping")
        tensors, values = self.learner.state()
        moment = _Moment(position, config, tensors, self.learner.tally.sound)
        self.background.put(partial(self._write_state, moment, values, self.viewer.history.copy()), "state")
        self._asked_step = position.step

    def samples(
        self, name: str, position: Position, config: TrainConfig, between: Callable[[], None], command: int = 0
    ) -> None:
        """Draw `sample_count` pictures with the LoRA as it is now, and have them kept.

        `between` is called before each denoising step; what it raises ends the drawing with nothing kept. `command` is
        the number of the command they answer, if they do.
        """

        def begin(work: str) -> None:
            between()
            self.report.begin(work)

        count = max(1, config.sample_count)
        prompts = tuple(self.spec.sample_prompts[i % len(self.spec.sample_prompts)] for i in range(count))
        release_cached(self.learner.device)
        with self.learner.averaged(), device_errors():
            drawing = self._drawing(config)
            parts = self._encoded(prompts, drawing, config, begin)
            images = draw_encoded(self.base, parts, range(config.seed, config.seed + count), drawing, begin)
        release_cached(self.learner.device)
        files = tuple(f"samples/{name}-{number}.webp" for number in range(count))
        overview = f"samples/{name}-grid.webp"
        body = Sample(
            epoch=position.epoch, step=position.step, files=files, grid=overview, prompts=prompts, command=command
        )
        self.background.put(partial(self._write_samples, images, body), "samples")
        self.viewer.samples(images, position.step)

    def _encoded(
        self, prompts: tuple[str, ...], drawing: Drawing, config: TrainConfig, begin: Callable[[str], None]
    ) -> list[Conditioning]:
        """The prompts as the UNet is told of them: read once, unless a text encoder is trained."""
        if self._prompts is None or trains_text(config):
            self._prompts = encode(self.base, prompts, drawing, begin)
        return self._prompts

    def settings(self, config: TrainConfig) -> None:
        """Have the settings really used kept as `effective.json`."""
        self.background.put(partial(self._write_settings, config), "note")

    def tell(self, body: Body) -> None:
        """Have an event told once all that was asked for before is safe."""
        self.background.put(partial(self.report.tell, body), "note")

    def check(self) -> None:
        """Nothing but raise the error of earlier writing."""
        self.background.check()

    def finish(self) -> Checkpoint | None:
        """Wait until all that was asked for is safe; returns the newest LoRA file of this attempt."""
        self.background.drain()
        return self.last_kept

    def _drawing(self, config: TrainConfig) -> Drawing:
        return Drawing(
            size=(config.resolution, config.resolution),
            steps=config.sample_steps,
            guidance=config.sample_guidance,
            sampler=config.sample_sampler,
            negative=self.spec.negative_prompt,
        )

    # --- in the background ------------------------------------------------------------------------------------------
    def _write_checkpoint(self, name: str, moment: _Moment, progress: TrainingProgress) -> None:
        """Raises NanLoss, and ChannelError when the disk refuses."""
        weights = moment.tensors.take()
        moment.check(weights.values())
        path = self._scratch("lora") / f"{name}.safetensors"
        metadata = training_metadata(self.spec, moment.config, progress)
        layers = self.base.unet.config.layers_per_block
        save_lora(path, weights, config=moment.config, layers_per_block=layers, metadata=metadata)
        self.channel.put_file(f"lora/{path.name}", path)
        kept = Checkpoint(
            epoch=progress.epoch,
            step=progress.step,
            file=f"lora/{path.name}",
            sha256=sha256_file(path),
            bytes=path.stat().st_size,
        )
        path.unlink()
        self.report.tell(kept)
        self.last_kept = kept

    def _write_state(self, moment: _Moment, values: Mapping[str, Any], history: History) -> None:
        """Raises NanLoss, and ChannelError when the disk refuses."""
        tensors, step = moment.tensors.take(), moment.position.step
        moment.check(tensor for name, tensor in tensors.items() if name.startswith("weight|"))
        state = State(tensors, values, moment.position, moment.config.to_mapping(), history)
        folder = self._scratch("states") / f"step-{step}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            save_state(folder, state)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise ChannelError(f"cannot write a resume state: {error}; free some disk space") from error
        self.channel.put_state(folder, step)
        self.state_step = step
        self.report.tell(StateKept(epoch=moment.position.epoch, step=step))

    def _write_samples(self, images: Sequence[Image.Image], body: Sample) -> None:
        overview = grid(images, body.prompts)
        for name, image in zip((*body.files, body.grid), (*images, overview), strict=True):
            path = self._scratch("samples") / Path(name).name
            save_webp(path, image)
            self.channel.put_file(name, path)
            path.unlink()
        self.report.tell(body)

    def _write_settings(self, config: TrainConfig) -> None:
        path = self._scratch("settings") / "effective.json"
        write_json(path, config.to_mapping())
        self.channel.put_file("effective.json", path)
        path.unlink()

    def _scratch(self, kind: str) -> Path:
        folder = self.channel.workspace / kind
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ChannelError(f"cannot make the folder {kind}: {error}; free some disk space") from error
        return folder
