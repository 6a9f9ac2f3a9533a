"""What a run leaves behind: checkpoints (LoRA files), samples (pictures), states (to go on from)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError

from trainer.contract.channel import JobChannel
from trainer.contract.config import TrainConfig
from trainer.contract.durable import sha256_file, write_json
from trainer.contract.errors import ChannelError
from trainer.contract.events import Checkpoint, Sample
from trainer.contract.events import State as StateKept
from trainer.contract.spec import JobSpec
from trainer.errors import NanLoss
from trainer.formats.lora_file import save_lora
from trainer.formats.metadata import TrainingProgress, training_metadata
from trainer.model.base import BaseModel
from trainer.model.device import device_errors, release_cached
from trainer.model.lora import lora_state
from trainer.sampling.draw import Drawing, draw
from trainer.sampling.grid import grid, save_webp
from trainer.seeing.viewer import Viewer
from trainer.training.learner import Learner
from trainer.training.report import Reporter
from trainer.training.state import Position, State, save_state


@dataclass(frozen=True, slots=True)
class Keeper:
    """Writes what is worth keeping into the job, and tells."""

    channel: JobChannel
    report: Reporter
    spec: JobSpec
    base: BaseModel
    learner: Learner
    viewer: Viewer
    progress: Callable[[Position, TrainConfig], TrainingProgress]
    """Facts about the run for a file's metadata."""

    def checkpoint(self, name: str, epoch: int, position: Position, config: TrainConfig) -> Checkpoint:
        """Keep the LoRA as it is now as `lora/<name>.safetensors`, and tell. Raises NanLoss."""
        self.report.begin("keeping")
        self._check_sound(position, config)
        path = self._scratch("lora") / f"{name}.safetensors"
        metadata = training_metadata(self.spec, config, self.progress(position.evolve(epoch=epoch), config))
        with self.learner.averaged():
            save_lora(
                path,
                lora_state(self.base),
                config=config,
                layers_per_block=self.base.unet.config.layers_per_block,
                metadata=metadata,
            )
        self.channel.put_file(f"lora/{path.name}", path)
        kept = Checkpoint(
            epoch=epoch,
            step=position.step,
            file=f"lora/{path.name}",
            sha256=sha256_file(path),
            bytes=path.stat().st_size,
        )
        path.unlink()
        self.report.tell(kept)
        self.viewer.checkpoint(kept)
        return kept

    def state(self, position: Position, config: TrainConfig) -> None:
        """Keep a resume state, and tell. Raises NanLoss, and ChannelError when the disk refuses."""
        self.report.begin("keeping")
        self._check_sound(position, config)
        folder = self._scratch("states") / f"step-{position.step}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            tensors, values = self.learner.state()
            save_state(folder, State(tensors, values, position, config.to_mapping(), self.viewer.history))
        except (OSError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise ChannelError(f"cannot write a resume state: {error}; free some disk space") from error
        self.channel.put_state(folder, position.step)
        self.report.tell(StateKept(epoch=position.epoch, step=position.step))

    def samples(self, name: str, position: Position, config: TrainConfig, between: Callable[[], None]) -> Sample:
        """Draw `sample_count` pictures with the LoRA as it is now, without telling yet.

        `between` is called before each denoising step; what it raises ends the drawing with nothing kept.
        """

        def begin(work: str) -> None:
            between()
            self.report.begin(work)

        count = max(1, config.sample_count)
        prompts = tuple(self.spec.sample_prompts[i % len(self.spec.sample_prompts)] for i in range(count))
        release_cached(self.learner.device)
        with self.learner.averaged(), device_errors():
            images = draw(self.base, prompts, range(config.seed, config.seed + count), self._drawing(config), begin)
        release_cached(self.learner.device)
        self.viewer.samples(images, position.step)
        self.report.begin("keeping")
        files = tuple(self._keep_picture(f"{name}-{number}", image) for number, image in enumerate(images))
        overview = self._keep_picture(f"{name}-grid", grid(images, prompts))
        return Sample(epoch=position.epoch, step=position.step, files=files, grid=overview, prompts=prompts)

    def _drawing(self, config: TrainConfig) -> Drawing:
        return Drawing(
            size=(config.resolution, config.resolution),
            steps=config.sample_steps,
            guidance=config.sample_guidance,
            sampler=config.sample_sampler,
            negative=self.spec.negative_prompt,
        )

    def settings(self, config: TrainConfig) -> None:
        """Keep the settings really used as `effective.json`."""
        path = self._scratch("settings") / "effective.json"
        write_json(path, config.to_mapping())
        self.channel.put_file("effective.json", path)
        path.unlink()

    def _check_sound(self, position: Position, config: TrainConfig) -> None:
        if not self.learner.is_sound():
            raise NanLoss(position.step, config.learning_rate)

    def _keep_picture(self, name: str, image: Image.Image) -> str:
        path = self._scratch("samples") / f"{name}.webp"
        save_webp(path, image)
        self.channel.put_file(f"samples/{path.name}", path)
        path.unlink()
        return f"samples/{path.name}"

    def _scratch(self, kind: str) -> Path:
        folder = self.channel.workspace / kind
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ChannelError(f"cannot make the folder {kind}: {error}; free some disk space") from error
        return folder
