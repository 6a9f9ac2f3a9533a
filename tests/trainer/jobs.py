"""Jobs over the tiny SDXL with pictures that can really be trained on."""

import hashlib
from pathlib import Path

from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.directory import DirectoryChannel
from trainer.contract.folder import JobFolder, sources_from
from trainer.contract.spec import JobSpec, PictureSpec

SMALL = {
    "epochs": 2,
    "batch_size": 2,
    "rank": 2,
    "alpha": 1.0,
    "resolution": 64,
    "bucket_step": 32,
    "checkpoint_every_epochs": 2,
    "sample_count": 0,
    "precision": "fp32",
    "seed": 5,
}


def draw_pictures(folder: Path, sizes=((64, 64), (70, 90), (96, 64))) -> dict[str, Path]:
    """Pictures of the given sizes, each of another colour, named by their hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for number, size in enumerate(sizes):
        path = folder / f"{number}.png"
        Image.linear_gradient("L").resize(size).convert("RGB").point(lambda v, n=number: (v * (n + 1)) % 256).save(path)
        files[f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png"] = path
    return files


def tiny_job(root: Path, base: Path | str, *, pictures=None, prompts=("lisaxl, woman",), **settings) -> JobFolder:
    """A job over the base with the settings changed from SMALL."""
    files = pictures or draw_pictures(root / "pictures")
    spec = JobSpec(
        job_id="job1",
        name="lisaxl_v1",
        base=str(base),
        trigger="lisaxl",
        class_word="woman",
        kind="person",
        pictures=tuple(
            PictureSpec(file=file, caption=f"lisaxl, woman, tag{number}, smile", repeats=1 + number % 2)
            for number, file in enumerate(files)
        ),
        config=TrainConfig.from_mapping({**SMALL, **settings}),
        preset="face",
        sample_prompts=tuple(prompts),
        created_at=1_790_000_000.0,
    )
    return JobFolder.create(root / "jobs", spec, sources_from(files))


def open_channel(job: JobFolder, attempt: int = 1) -> DirectoryChannel:
    """A new attempt of the job."""
    job.open_attempt(attempt)
    return DirectoryChannel(job.path, attempt)


def bodies(channel: DirectoryChannel, kind: type) -> list:
    """All events of a kind, in order."""
    return [event.body for event in channel.events() if isinstance(event.body, kind)]


def trained_weights(state: Path) -> dict[str, Tensor]:
    """The LoRA's weights in the folder of a resume state, by the names of `lora_state`."""
    tensors = load_file(state / "learner.safetensors")
    return {name.removeprefix("weight|"): tensor for name, tensor in tensors.items() if name.startswith("weight|")}
