"""The tiny models are what they stand in for, only small."""

import csv

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from trainer.toy.tiny import build_tiny_sdxl
from trainer.toy.tiny_tagger import CHARACTER, RATING, SIDE


@pytest.fixture(scope="module")
def pipe(tiny_sdxl):
    return StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, add_watermarker=False, local_files_only=True)


def test_it_has_sdxls_structure(pipe):
    assert pipe.unet.config.addition_embed_type == "text_time"
    assert pipe.unet.config.down_block_types == ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    assert pipe.unet.config.layers_per_block == 2
    widths = pipe.text_encoder.config.hidden_size + pipe.text_encoder_2.config.hidden_size
    assert pipe.unet.config.cross_attention_dim == widths
    assert pipe.vae_scale_factor == 8
    assert (pipe.scheduler.config.beta_start, pipe.scheduler.config.beta_end) == (0.00085, 0.012)


def test_it_is_small(tiny_sdxl):
    assert sum(file.stat().st_size for file in tiny_sdxl.rglob("*") if file.is_file()) < 3_000_000


def test_it_draws_and_the_prompt_matters(pipe):
    def draw(prompt):
        return pipe(
            prompt,
            height=64,
            width=64,
            num_inference_steps=2,
            output_type="np",
            generator=torch.Generator().manual_seed(1),
        ).images[0]

    pipe.set_progress_bar_config(disable=True)
    red, blue = draw("a red cat"), draw("a blue cat")
    assert red.shape == (64, 64, 3)
    assert np.isfinite(red).all()
    assert np.abs(red - blue).max() > 1e-3


@pytest.mark.parametrize("text", ["lisaxl, woman", "", "日本語 🙂 \x00 ́", "a" * 1000])
def test_the_tokenizers_read_any_text(pipe, text):
    for tokenizer, pad in ((pipe.tokenizer, tokenizer_end(pipe)), (pipe.tokenizer_2, 0)):
        ids = tokenizer(text, padding="max_length", max_length=77, truncation=True).input_ids
        assert len(ids) == 77
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.eos_token_id in ids
        assert ids[-1] in (pad, tokenizer.eos_token_id)


def tokenizer_end(pipe):
    return pipe.tokenizer.eos_token_id


def test_the_pooled_text_is_read_at_the_end_token(pipe):
    """Wrong token ids in the config would read it at a padding place, the same for every prompt."""
    assert pipe.text_encoder_2.config.eos_token_id == pipe.tokenizer_2.eos_token_id
    ids = [
        pipe.tokenizer_2(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
        for text in ("cat", "dog")
    ]
    with torch.no_grad():
        cat, dog = (pipe.text_encoder_2(each).text_embeds for each in ids)
    assert (cat - dog).abs().max() > 1e-3


def test_the_same_seed_builds_the_same_weights_and_leaves_the_global_generator_alone(tmp_path, tiny_sdxl):
    before = torch.random.get_rng_state()
    again = build_tiny_sdxl(tmp_path / "again")
    assert torch.equal(before, torch.random.get_rng_state())
    other = build_tiny_sdxl(tmp_path / "other", seed=1)
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (again / weights).read_bytes() == (tiny_sdxl / weights).read_bytes()
    assert (other / weights).read_bytes() != (tiny_sdxl / weights).read_bytes()


def test_the_tagger_keeps_wd14s_contract(tiny_tagger):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(tiny_tagger / "model.onnx", providers=["CPUExecutionProvider"])
    [entry], [result] = session.get_inputs(), session.get_outputs()
    assert entry.shape[1:] == [SIDE, SIDE, 3]
    assert isinstance(entry.shape[0], str)  # the batch is free
    with (tiny_tagger / "selected_tags.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["category"] for row in rows[:4]] == [str(RATING)] * 4
    assert {row["category"] for row in rows} == {"9", "0", str(CHARACTER)}

    red = np.zeros((SIDE, SIDE, 3), np.float32)
    red[..., 2] = 255  # BGR
    batch = np.stack([red, red[..., ::-1], np.full_like(red, 255)])
    [tags] = session.run([result.name], {entry.name: batch})
    assert tags.shape == (3, len(rows))
    assert ((tags >= 0) & (tags <= 1)).all()
    names = [row["name"] for row in rows]
    above = [{name for name, value in zip(names, line, strict=True) if value > 0.35} for line in tags]
    assert "red_theme" in above[0]
    assert "blue_theme" in above[1]
    assert "bright_background" in above[2]
    assert {"solo", "general"} <= above[0] & above[1] & above[2]
    assert "red_theme" not in above[1] | above[2]
