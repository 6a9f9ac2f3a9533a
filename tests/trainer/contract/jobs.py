"""Small honest jobs for tests: pictures whose names are their hashes, and one event of every kind."""

import hashlib
from pathlib import Path

from trainer.contract import events
from trainer.contract.config import TrainConfig
from trainer.contract.folder import JobFolder, sources_from
from trainer.contract.spec import JobSpec, PictureSpec

EVERY_KIND = (
    events.Claimed(service="s", pid=7, device="cpu", version="1"),
    events.Preparing(doing="loading the base model"),
    events.Caching(done=1, total=2),
    events.Resumed(epoch=1, step=2, from_attempt=1),
    events.Step(
        epoch=1,
        epochs=2,
        step=3,
        steps=4,
        loss=0.5,
        smoothed_loss=0.25,
        learning_rate=1e-4,
        seconds_per_step=0.1,
        images_per_second=10.0,
        vram_bytes=0,
        eta_seconds=1.5,
    ),
    events.Sample(epoch=1, step=3, files=("samples/a.webp",), grid="samples/g.webp", prompts=("lisaxl ❤",), command=2),
    events.Checkpoint(epoch=1, step=3, file="lora/epoch-001.safetensors", sha256="0" * 64, bytes=9),
    events.Validated(epoch=1, step=3, loss=0.125),
    events.State(epoch=1, step=3),
    events.CommandDone(number=2, ok=True, message="drawn"),
    events.Heartbeat(),
)
ENDS = (
    events.Paused(reason="asked", step=3, message="paused"),
    events.Finished(
        reason="complete", epoch=2, step=4, file="lora/e.safetensors", sha256="1" * 64, bytes=9, training_seconds=4.0
    ),
    events.Failed(code="crashed", message="it crashed", retry=True),
)


def picture_files(root: Path, count: int = 2) -> dict[str, Path]:
    """Files with the names the contract asks for; their contents are no pictures, which the contract does not read."""
    root.mkdir(parents=True, exist_ok=True)
    files = {}
    for number in range(count):
        data = f"picture {number}".encode()
        name = f"{hashlib.sha256(data).hexdigest()}.webp"
        (root / name).write_bytes(data)
        files[name] = root / name
    return files


def make_spec(files, job_id: str = "job1", **changes) -> JobSpec:
    """A valid job over the files."""
    fields = {
        "job_id": job_id,
        "name": "lisaxl_v1",
        "base": "tiny",
        "trigger": "lisaxl",
        "class_word": "woman",
        "kind": "person",
        "pictures": tuple(PictureSpec(file=name, caption="lisaxl, woman") for name in sorted(files)),
        "config": TrainConfig(),
        "preset": "face",
        "sample_prompts": ("lisaxl, woman",),
        "created_at": 1_790_000_000.0,
    }
    return JobSpec(**{**fields, **changes})


def make_job(root: Path, job_id: str = "job1", **changes) -> JobFolder:
    """A job folder below root/jobs, no attempt opened yet."""
    files = picture_files(root / "pictures")
    return JobFolder.create(root / "jobs", make_spec(files, job_id, **changes), sources_from(files))
