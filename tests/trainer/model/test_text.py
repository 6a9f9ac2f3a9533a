import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from trainer.model.base import load_base
from trainer.model.chunks import Piece
from trainer.model.text import chunks_needed, encode_prompts, encode_weighted, encode_with_gradients

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


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def hidden_of(base, rows):
    """Both encoders' penultimate states and the pooled row of chunks given as token ids, `(n, 77, c)` and `(n, p)`."""
    parts = []
    for tokenizer, encoder in ((base.tokenizer, base.text_encoder), (base.tokenizer_2, base.text_encoder_2)):
        filled = [
            [tokenizer.bos_token_id, *row, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * (75 - len(row))]
            for row in rows
        ]
        with torch.no_grad():
            output = encoder(torch.tensor(filled), output_hidden_states=True)
        parts.append(output.hidden_states[-2])
    return torch.cat(parts, dim=-1), output.text_embeds


def test_a_long_prompt_is_read_in_chunks_with_marks_of_their_own(base):
    tokens = ids(base.tokenizer, "cat dog " * 25)  # no comma anywhere
    assert 75 < len(tokens) <= 150
    text, pooled = encode_prompts(base, ["cat dog " * 25], chunks=3)
    wanted, wanted_pooled = hidden_of(base, [tokens[:75], tokens[75:], []])
    assert text.shape == (1, 3 * 77, base.unet.config.cross_attention_dim)
    assert (text[0] - wanted.flatten(0, 1)).abs().max() < 1e-5
    assert (pooled[0] - wanted_pooled[0]).abs().max() < 1e-5  # of the first chunk


def test_more_chunks_than_one_prompt_needs_do_not_mix_prompts(base):
    text, pooled = encode_prompts(base, ["a cat", "cat dog " * 25], chunks=2)
    for row, prompt in enumerate(["a cat", "cat dog " * 25]):
        alone, alone_pooled = encode_prompts(base, [prompt], chunks=2)
        assert (text[row] - alone[0]).abs().max() < 1e-5
        assert (pooled[row] - alone_pooled[0]).abs().max() < 1e-5


def test_gradients_reach_the_encoders_only_where_asked_for(base):
    weights = [encoder.get_input_embeddings().weight for encoder in (base.text_encoder, base.text_encoder_2)]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        assert not encode_prompts(base, ["a cat"])[0].requires_grad
        text, pooled = encode_with_gradients(base, ["a cat"], chunks=2)
        (text.sum() + pooled.sum()).backward()
        assert all(weight.grad.abs().sum() > 0 for weight in weights)
        assert torch.equal(text.detach(), encode_prompts(base, ["a cat"], chunks=2)[0])
    finally:
        for weight in weights:
            weight.requires_grad_(False)
            weight.grad = None


def test_a_weight_multiplies_its_tokens_and_each_encoder_keeps_its_mean(base):
    words = [Piece("a "), Piece("cat", 1.3), Piece(" and a dog")]
    text, pooled = encode_weighted(base, [(tuple(words),)], chunks=1)
    plain_text, plain_pooled = encode_prompts(base, ["a cat and a dog"])
    before, cat = len(ids(base.tokenizer, "a")), len(ids(base.tokenizer, "cat"))
    factors = torch.ones(77, 1)
    factors[1 + before : 1 + before + cat] = 1.3
    width = base.text_encoder.config.hidden_size
    wanted = []
    for states in (plain_text[0, :, :width], plain_text[0, :, width:]):
        weighted = states * factors
        wanted.append(weighted * (states.mean() / weighted.mean()))
    assert (text[0] - torch.cat(wanted, dim=-1)).abs().max() < 1e-5
    assert (text - plain_text).abs().max() > 1e-2
    assert (pooled - plain_pooled).abs().max() < 1e-6


def test_each_chunk_keeps_its_own_mean(base):
    heavy, light = (Piece("cat", 1.5),), (Piece("dog"),)
    text, _ = encode_weighted(base, [(heavy, light)], chunks=2)
    plain_text, _ = hidden_of(base, [ids(base.tokenizer, "cat"), ids(base.tokenizer, "dog")])
    assert (text[0, 77:] - plain_text[1]).abs().max() < 1e-5
    assert (text[0, :77] - plain_text[0]).abs().max() > 1e-2


def test_the_number_of_chunks_is_the_longest_prompts(base):
    assert chunks_needed(base, []) == chunks_needed(base, [""]) == chunks_needed(base, ["a cat"]) == 1
    assert chunks_needed(base, ["a cat", "cat dog " * 25]) == 2
    assert chunks_needed(base, ["cat dog " * 250], most=3) == 3
    assert chunks_needed(base, [((Piece("cat"),), (Piece("dog"),))]) == 2  # cat BREAK dog
