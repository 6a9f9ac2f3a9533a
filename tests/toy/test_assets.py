"""The committed weights are the ones the report speaks of, and ordinary libraries load them."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from trainer.toy import assets
from trainer.toy.measures import seen
from trainer.toy.subject import subject_pictures
from trainer.toy.vae import SIZE, to_images, to_tensor


def test_every_file_has_its_sum() -> None:
    assert assets.changed_files() == []


def test_a_changed_missing_or_added_file_is_found(tmp_path: Path) -> None:
    for name in ("kept", "changed", "missing"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assets.write_sums(tmp_path)
    assert assets.changed_files(tmp_path) == []
    (tmp_path / "changed").write_text("other", encoding="utf-8")
    (tmp_path / "missing").unlink()
    (tmp_path / "added").write_text("new", encoding="utf-8")
    assert assets.changed_files(tmp_path) == ["added", "changed", "missing"]


def test_the_base_is_small_safe_and_sdxl() -> None:
    folder = assets.base_folder()
    weights = list(folder.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in weights) <= 16 * 1024 * 1024
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".ckpt", ".pt", ".pkl")]
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(pipe.text_encoder, CLIPTextModel)
    assert isinstance(pipe.text_encoder_2, CLIPTextModelWithProjection)
    assert isinstance(pipe.tokenizer, CLIPTokenizer)
    assert pipe.unet.config.addition_embed_type == "text_time"
    assert pipe.vae_scale_factor == 8
    assert pipe.scheduler.config.beta_schedule == "scaled_linear"


def test_the_vae_can_say_the_subject() -> None:
    vae = AutoencoderKL.from_pretrained(assets.base_folder(), subfolder="vae")
    pictures = [picture for _, picture in subject_pictures(SIZE)]
    with torch.no_grad():
        latents = vae.encode(to_tensor(pictures)).latent_dist.mean
        drawn = to_images(vae.decode(latents).sample)
    assert latents.shape == (12, 4, 16, 16)
    assert 0.8 < float(latents.std()) * vae.config.scaling_factor < 1.25
    for picture in drawn:
        assert seen(picture).hair == "green"
        assert seen(picture).mark
