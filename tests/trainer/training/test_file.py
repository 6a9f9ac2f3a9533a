"""The file a training leaves, in the hands of somebody else's loader, draws what was trained."""

import torch
from diffusers import StableDiffusionXLPipeline

from tests.trainer.jobs import bodies, open_channel, tiny_job, trained_weights
from tests.trainer.support.unet_answer import unet_answer
from trainer.contract.config import TrainConfig
from trainer.contract.events import Finished
from trainer.job import run_job
from trainer.model.base import load_base
from trainer.model.lora import attach_lora, load_lora_state


def test_diffusers_draws_what_was_trained(tiny_sdxl, tmp_path):
    lora = {"rank": 4, "alpha": 2.0, "targets": "attention"}
    job = tiny_job(tmp_path, tiny_sdxl, learning_rate=1e-2, **lora)
    channel = open_channel(job)
    run_job(channel, device="cpu")
    [finished] = bodies(channel, Finished)

    trained = load_base(str(tiny_sdxl), device=torch.device("cpu"), dtype=torch.float32)
    plain = unet_answer(trained.unet)
    attach_lora(trained, TrainConfig(**lora), 0)
    weights = trained_weights(next(channel.states())[2])
    load_lora_state(trained, {name: tensor.half().float() for name, tensor in weights.items()})

    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, add_watermarker=False, local_files_only=True)
    pipe.load_lora_weights(job.file(1, finished.file))
    difference = (unet_answer(pipe.unet.eval()) - unet_answer(trained.unet)).abs().max()
    assert difference < 1e-5
    assert (unet_answer(trained.unet) - plain).abs().max() > 1e-3
