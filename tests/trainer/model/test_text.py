import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from trainer.model.base import load_base
from trainer.model.text import encode_prompts

PROMPTS = ["lisaxl, woman, red hair", "", "a long caption, " * 25]


@pytest.fixture(scope="module")
def base(tiny_sdxl):
    return load_base(str(tiny_sdxl), device=torch.device("cpu"), dtype=torch.float32)


def test_equal_to_diffusers_own(base, tiny_sdxl):
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, add_watermarker=False, local_files_only=True)
    with torch.no_grad():
        text, _, pooled, _ = pipe.encode_prompt(PROMPTS, do_classifier_free_guidance=False)
    ours_text, ours_pooled = encode_prompts(base, PROMPTS)
    assert ours_text.shape == text.shape == (3, 77, base.unet.config.cross_attention_dim)
    assert ours_pooled.shape == pooled.shape
    assert (ours_text - text).abs().max() < 1e-6
    assert (ours_pooled - pooled).abs().max() < 1e-6


def test_prompts_differ_and_do_not_disturb_each_other(base):
    text, pooled = encode_prompts(base, PROMPTS)
    assert (pooled[0] - pooled[1]).abs().max() > 1e-2
    alone_text, alone_pooled = encode_prompts(base, PROMPTS[:1])
    assert (text[0] - alone_text[0]).abs().max() < 1e-5
    assert (pooled[0] - alone_pooled[0]).abs().max() < 1e-5
