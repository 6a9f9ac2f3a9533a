"""Five real photographs of one dog, through the bot and a real trainer process, the bot restarted in mid-training."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from bot.app import Lorelei
from bot.config import IntakeConfig, ProgressConfig, TrainingConfig, WebConfig
from bot.demo.harness import live, until
from bot.runners.embedded import stop_embedded
from tests.bot.discord.lab import Lab, all_text
from trainer.contract.events import Step
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Inbox
from trainer.formats.inspect import describe

PHOTOS = Path(__file__).parents[2] / "../shared/photos/dog6"
SMALL = {"epochs": 30, "checkpoint_every_epochs": 15, "resolution": 64, "bucket_step": 32, "rank": 4, "alpha": 2.0}
SMALL |= {"sample_count": 1, "sample_steps": 2}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs are not here")]


@pytest.fixture
async def lab(config, tiny_sdxl):
    """The bot with an embedded trainer, which ends with the test."""
    host = dataclasses.replace(
        config,
        intake=IntakeConfig(message_content=True),
        training=TrainingConfig(base=str(tiny_sdxl), overrides=SMALL, embedded_trainer=True, device="cpu"),
        web=WebConfig(port=0),
        progress=ProgressConfig(edit_seconds=0.5, poll_seconds=0.1),
    )
    try:
        async with live(Lorelei(host), settle=0.02) as env:
            yield Lab(env, host)
    finally:
        await stop_embedded(Inbox(host.paths.inboxes / "gpu0"))


async def test_a_dog_becomes_a_lora(lab):
    thread = await lab.create("Dog", "corgixl", "object")
    photos = [(path.name, path.read_bytes()) for path in sorted(PHOTOS.glob("*.jpg"))]
    await lab.post(lab.alice, thread, "my dog", photos)
    await lab.until_rows("SELECT tagged FROM picture", lambda rows: [row["tagged"] for row in rows] == [1] * 5)
    plan = await lab.answer(await lab.slash(lab.alice, thread, "train"))
    await lab.press(lab.alice, plan.message, "start")
    card = await lab.card(thread, "job")

    [job] = await lab.until_rows("SELECT * FROM job", lambda rows: json.loads(rows[0]["progress"]).get("step", 0) > 2)
    await lab.restart()
    [job] = await lab.until_rows("SELECT * FROM job", lambda rows: rows[0]["state"] == "finished")
    done = await until(lambda: _post(thread, "is finished"), "the end")
    await lab.until_card(thread, card.id, "Finished")

    assert job["attempt"] == 1, "training goes on without the bot"
    assert len([each for each in thread.history() if "is finished" in each.content]) == 1
    assert [each.content for each in thread.history() if each.content.startswith("Epoch ")] == [
        "Epoch 15 of 30 · step 15",
        "Epoch 30 of 30 · step 30",
    ]
    folder = JobFolder(lab.config.paths.jobs / job["id"])
    steps = [event.body.step for event in folder.all_events(1) if isinstance(event.body, Step)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 30
    for path in (folder.path / "dataset").iterdir():
        with Image.open(path) as photo:
            assert min(photo.size) > 1200, "the photographs keep their size"
    report = describe(lab.config.paths.loras / job["lora_file"])
    assert report.metadata["ss_num_train_images"] == "5"
    assert report.metadata["ss_base_model_version"].startswith("sdxl_")
    assert done.attachments[0].size == job["lora_bytes"]
    assert "corgixl_v1" in all_text(done)


def _post(thread, words):
    return next((each for each in thread.history() if words in each.content), None)
