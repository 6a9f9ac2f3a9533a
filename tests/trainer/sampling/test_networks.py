"""LoRA files on a base: each weight as written out, several at once, and no trace afterwards."""

import copy

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from tests.trainer.sampling.networks import ALL, CONVOLUTION, LINEAR, TEXT_1, layer, random_modules, write
from trainer.errors import BadSample, LoraFileError
from trainer.formats.lora_modules import LoraModule
from trainer.model.base import load_base
from trainer.model.text import encode_prompts
from trainer.sampling.networks import Acting, Library, Network, acting, attached, read_network
from trainer.sampling.prompt import lora_tags


@pytest.fixture(scope="module")
def base(tiny_sdxl):
    return load_base(str(tiny_sdxl), device=torch.device("cpu"), dtype=torch.float32)


def network(modules, name="a"):
    return Network(name, modules, "", "")


@torch.no_grad()
def answers(base):
    """What the UNet and the text encoders say to fixed inputs."""
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    text = torch.randn(1, 77, base.unet.config.cross_attention_dim, generator=generator)
    pooled = torch.randn(1, base.text_encoder_2.config.projection_dim, generator=generator)
    time_ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    said = base.unet(
        latents, 500, encoder_hidden_states=text, added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids}
    ).sample
    return (said, *encode_prompts(base, ["a cat"]))


@torch.no_grad()
def changed_by_hand(base, *networks):
    """A copy of the base with W + w alpha / rank B A in place of W: A1111's rule, module by module.

    With DoRA W goes w of the way to m V / |V|, V = W + alpha / rank B A.
    """
    other = copy.deepcopy(base)
    for modules, text_weight, unet_weight in networks:
        for name, module in modules.items():
            weight, own = layer(other, name).weight, layer(base, name).weight
            product = torch.einsum("or,r...->o...", module.up.flatten(1), module.down)
            trained = own + module.alpha / module.down.shape[0] * product
            if module.magnitudes is not None:
                rows = trained.flatten(1)
                trained = (rows * (module.magnitudes / rows.norm(dim=1))[:, None]).view(own.shape)
            weight += (unet_weight if name.startswith("unet.") else text_weight) * (trained - own)
    return other


def hook_count(base):
    """transformers has hooks of its own."""
    parts = (base.unet, base.text_encoder, base.text_encoder_2)
    return sum(len(module._forward_hooks) for part in parts for module in part.modules())


def same(left, right):
    return all((one - two).abs().max() < 2e-5 * two.abs().max() for one, two in zip(left, right, strict=True))


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_each_kind_of_module_acts_as_written_out(base, name, dora):
    modules = random_modules(base, (name,), dora=dora)
    before = answers(base)
    with attached(base, [Acting(network(modules), 0.7, 0.7)]):
        now = answers(base)
    assert same(now, answers(changed_by_hand(base, (modules, 0.7, 0.7))))
    assert not same(now, before)


def test_several_files_add_up_each_at_its_own_weights(base):
    first, second = random_modules(base, seed=1), random_modules(base, seed=2, rank=3, alpha=2.0)
    with attached(base, [Acting(network(first), 0.9, 0.4), Acting(network(second), -0.5, 1.2)]):
        now = answers(base)
    assert same(now, answers(changed_by_hand(base, (first, 0.9, 0.4), (second, -0.5, 1.2))))
    for forgotten in ((first, 0.9, 0.9), (first, 0.4, 0.4)):
        assert not same(now, answers(changed_by_hand(base, forgotten, (second, -0.5, 1.2))))


def test_doras_beside_others_see_the_bases_own_output(base):
    dora, plain = random_modules(base, seed=1, dora=True), random_modules(base, seed=2)
    with attached(base, [Acting(network(plain)), Acting(network(dora))]):
        now = answers(base)
    assert same(now, answers(changed_by_hand(base, (plain, 1, 1), (dora, 1, 1))))


def test_a_prompts_tags_reach_the_network_as_they_say(base, tmp_path):
    first, second = random_modules(base, seed=1), random_modules(base, seed=2)
    files = [write(tmp_path / "one.safetensors", first), write(tmp_path / "two_v1.safetensors", second)]
    prompt = "<lora:one:0.8> a cat <lora:two_v1:te=0.2:unet=0.6>"
    with attached(base, acting(Library(files), lora_tags(prompt))):
        now = answers(base)
    assert same(now, answers(changed_by_hand(base, (first, 0.8, 0.8), (second, 0.2, 0.6))))


def test_diffusers_own_loader_agrees(base, tiny_sdxl, tmp_path):
    modules = random_modules(base, (LINEAR, LINEAR.replace("to_k", "to_v")))
    file = write(tmp_path / "a.safetensors", modules)
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, add_watermarker=False, local_files_only=True)
    pipe.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name="a")
    pipe.set_adapters(["a"], [0.7])
    theirs = copy.copy(base)
    object.__setattr__(theirs, "unet", pipe.unet)
    with attached(base, [Acting(read_network(file), 0.7, 0.7)]):
        assert same(answers(base)[:1], answers(theirs)[:1])


def test_nothing_is_left_behind(base):
    before = answers(base)
    hooks = hook_count(base)
    with pytest.raises(KeyboardInterrupt), attached(base, [Acting(network(random_modules(base)))]):
        raise KeyboardInterrupt
    with attached(base, [Acting(network(random_modules(base)), 0.0, 0.0)]):
        assert all(torch.equal(one, two) for one, two in zip(answers(base), before, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(answers(base), before, strict=True))
    assert hook_count(base) == hooks


@pytest.mark.parametrize(
    "name", [LINEAR, CONVOLUTION, TEXT_1, LINEAR.replace("mid_block", "up_blocks.7"), "text_encoder.text_model.x"]
)
def test_a_file_for_another_base_is_refused_with_nothing_attached(base, name):
    good = random_modules(base, (LINEAR,))
    bad = {**good, name: LoraModule(torch.ones(2, 5), torch.ones(7, 2), 1.0)}
    hooks = hook_count(base)
    with pytest.raises(LoraFileError, match="made for another base"), attached(base, [Acting(network(bad))]):
        raise AssertionError
    assert hook_count(base) == hooks


def test_a_bf16_base_stays_in_bf16(tiny_sdxl):
    base = load_base(str(tiny_sdxl), device=torch.device("cpu"), dtype=torch.bfloat16)
    seen = []
    hook = layer(base, LINEAR).register_forward_hook(lambda *_: seen.append(_[2].dtype))
    for dora in (False, True):
        with attached(base, [Acting(network(random_modules(base, dora=dora)))]):
            layer(base, LINEAR)(torch.ones(1, layer(base, LINEAR).in_features, dtype=torch.bfloat16))
    hook.remove()
    assert set(seen) == {torch.bfloat16}


# --- files by name ----------------------------------------------------------------------------------------------------
def test_names_are_found_whatever_their_case_and_files_are_read_once(base, tmp_path):
    file = write(tmp_path / "Lisaxl_V1.safetensors", random_modules(base, (LINEAR,)), ss_epoch="40")
    library = Library([file])
    first = library.network("Lisaxl_V1")
    assert (first.name, first.epoch, len(first.short_hash)) == ("Lisaxl_V1", "40", 12)
    file.unlink()
    assert library.network("lisaxl_v1") is first


def test_a_name_that_differs_in_case_alone_is_taken_to_the_letter(base, tmp_path):
    files = [
        write(tmp_path / f"{name}.safetensors", random_modules(base, (LINEAR,)), ss_epoch=name) for name in ("a", "A")
    ]
    library = Library(files)
    assert [library.network(name).epoch for name in ("a", "A")] == ["a", "A"]


def test_an_unknown_name_is_told_the_nearest(base, tmp_path):
    files = [tmp_path / "lisaxl_v1.safetensors", tmp_path / "other.safetensors"]
    with pytest.raises(BadSample, match="did you mean 'lisaxl_v1'"):
        Library(files).network("lisaxl")
    with pytest.raises(BadSample, match="none of 0 files"):
        Library([]).network("../../etc/passwd")
    with pytest.raises(BadSample, match="none of 500 files"):
        Library([tmp_path / f"{number}.safetensors" for number in range(500)]).network("lisaxl")


def test_what_is_no_lora_file_is_one_sentence(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"PK\x03\x04 a pickle")
    for name in ("a.safetensors", "missing.safetensors"):
        with pytest.raises(LoraFileError) as error:
            read_network(tmp_path / name)
        assert str(error.value).endswith(".")
        assert str(tmp_path) not in str(error.value)
