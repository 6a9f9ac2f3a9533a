"""`python -m trainer sample`: pictures, sheets, where they go, and one sentence for what cannot be done."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trainer.sampling.networks import CONVOLUTION, random_modules, write
from trainer.__main__ import main
from trainer.cli.sampling import session
from trainer.cli.sampling.session import lora_files
from trainer.contract.exits import Exit
from trainer.errors import BadSample
from trainer.model.base import load_base
from trainer.sampling.draw import Drawing, draw
from trainer.sampling.networks import Acting, attached, read_network


@pytest.fixture(scope="module")
def base(small_sdxl):
    return load_base(str(small_sdxl), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def loras(base, tmp_path):
    for seed in (1, 2):
        modules = random_modules(base, (CONVOLUTION,), seed=seed)
        write(tmp_path / "loras" / f"epoch-00{seed}.safetensors", modules, ss_epoch=str(seed))
    return tmp_path / "loras"


@pytest.fixture
def sample(small_sdxl, base, monkeypatch):
    def load(folder, **options):
        is_loaded = folder == str(small_sdxl) and options["dtype"] == torch.float32
        return base if is_loaded else load_base(folder, **options)

    monkeypatch.setattr(session, "load_base", load)

    def run(*arguments, prompt="a cat"):
        fixed = ["--base", str(small_sdxl), "--prompt", prompt, "--size", "64x64", "--steps", "1", "--device", "cpu"]
        return main(["sample", *fixed, "--seed", "7", *map(str, arguments)])

    return run


def pixels(picture):
    return np.asarray(picture, dtype=int)


def saved(path):
    with Image.open(path) as picture:
        return pixels(picture)


def test_pictures_go_into_a_folder_with_what_made_them(sample, base, tmp_path, capsys):
    out = tmp_path / "new" / "pictures"
    assert sample("--out", out, "--count", 3, "--negative", "a (dog:1.3)", "--sampler", "Euler A", "--cfg", 4) == 0
    assert [path.name for path in sorted(out.iterdir())] == ["00001-7.png", "00002-8.png", "00003-9.png"]
    drawing = Drawing(size=(64, 64), steps=1, guidance=4.0, sampler="euler a", negative="a (dog:1.3)")
    wanted = draw(base, ["a cat"] * 3, [7, 8, 9], drawing)
    for path, image in zip(sorted(out.iterdir()), wanted, strict=True):
        with Image.open(path) as picture:
            assert np.abs(pixels(picture) - pixels(image)).max() <= 1
            text = picture.info["parameters"]
        assert text.startswith("a cat\nNegative prompt: a (dog:1.3)\nSteps: 1, Sampler: Euler a,")
        assert str(tmp_path) not in text
    assert capsys.readouterr().out.count("Saved") == 3


def test_nothing_is_overwritten(sample, tmp_path):
    for _ in range(2):
        assert sample("--out", tmp_path / "out") == 0
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["00001-7.png", "00002-7.png"]
    assert sample("--out", tmp_path / "one.png") == 0
    before = (tmp_path / "one.png").read_bytes()
    assert sample("--out", tmp_path / "one.png") == Exit.USAGE
    assert (tmp_path / "one.png").read_bytes() == before


@pytest.mark.parametrize(
    ("prompt", "arguments", "weight", "written"),
    [
        ("a cat <lora:epoch-001:0.6>", ["--lora-dir"], 0.6, "a cat <lora:epoch-001:0.6>"),
        ("a cat", ["--weights", 0.4, "--lora"], 0.4, "a cat <lora:epoch-001:0.4>"),
        ("<lora:EPOCH-001:0.6> a cat", ["--lora"], 0.6, "<lora:EPOCH-001:0.6> a cat"),
        ("a cat", ["--lora"], 1.0, "a cat <lora:epoch-001:1>"),
    ],
)
def test_lora_files_act_as_asked(sample, base, loras, tmp_path, prompt, arguments, weight, written):
    (loras / "epoch-002.safetensors").unlink()
    assert sample(*arguments, loras, "--out", tmp_path / "a.png", prompt=prompt) == 0
    with attached(base, [Acting(read_network(loras / "epoch-001.safetensors"), weight, weight)]):
        [wanted] = draw(base, ["a cat"], [7], Drawing(size=(64, 64), steps=1))
    with Image.open(tmp_path / "a.png") as picture:
        assert np.abs(pixels(picture) - pixels(wanted)).max() <= 1
        assert picture.info["parameters"].startswith(f"{written}\n")


def test_a_base_that_predicts_velocity_can_be_told_so(sample, base, tmp_path):
    names = [tmp_path / f"{number}.png" for number in range(3)]
    assert sample("--out", names[0]) == 0
    assert sample("--out", names[1], "--prediction", "v-prediction") == 0
    assert sample("--out", names[2], "--prediction", "v-prediction", "--zero-terminal-snr") == 0
    epsilon, velocity, rescaled = (saved(name) for name in names)
    assert np.abs(epsilon - velocity).max() > 5
    assert np.abs(velocity - rescaled).max() > 5
    assert sample("--out", tmp_path / "a.png", "--zero-terminal-snr") == Exit.USAGE


@pytest.mark.parametrize("end", ["png", "webp"])
def test_a_sheet_of_files_by_weights(sample, loras, tmp_path, end):
    out = tmp_path / f"sheet.{end}"
    assert sample("--grid", "--lora", loras / "epoch-001.safetensors", "--out", out) == 0
    with Image.open(out) as sheet:
        assert sheet.width == 4 * (64 + 8) + 8  # no LoRA, 0.5, 0.8, 1
        assert sheet.height > 64


def test_a_sheet_for_each_prompt_and_seed(sample, loras, tmp_path):
    out = tmp_path / "sheets"
    assert sample("--grid", "--lora", loras, "--count", 2, "--weights", 1, "--prompt", "a dog", "--out", out) == 0
    names = ["grid-00001-7.webp", "grid-00002-8.webp", "grid-00003-7.webp", "grid-00004-8.webp"]
    assert [path.name for path in sorted(out.iterdir())] == names
    with Image.open(out / names[0]) as sheet:
        assert sheet.width == 2 * (64 + 8) + 8


@pytest.mark.parametrize("inside", [".", "lora", "attempts/2/lora"])
def test_files_are_found_in_a_folder_or_a_job(tmp_path, inside):
    for attempt in ("1", "2", "10"):
        (tmp_path / "attempts" / attempt / "lora").mkdir(parents=True)
    (tmp_path / "attempts/1/lora/old.safetensors").touch()
    (tmp_path / inside).mkdir(exist_ok=True)
    for name in ("b.safetensors", "a.safetensors", "a.txt"):
        (tmp_path / inside / name).touch()
    assert [path.name for path in lora_files(tmp_path)] == ["a.safetensors", "b.safetensors"]


def test_a_folder_without_files_is_told(tmp_path):
    with pytest.raises(BadSample, match="no LoRA file"):
        lora_files(tmp_path)
    assert lora_files(tmp_path / "a.safetensors") == [tmp_path / "a.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "prompt", "words"),
    [
        (["--sampler", "eular"], "a", "did you mean 'euler'"),
        (["--size", "65x64"], "a", "multiples of 8"),
        (["--steps", "0"], "a", "0 steps"),
        (["--cfg", "nan"], "a", "guidance of nan"),
        ([], "<lora:lisaxl:0.9>", "lisaxl"),
        ([], "<lora:lisaxl:much>", "is not a number"),
        ([], "a \udcff", "bytes that are no text"),
        (["--lora", "/nowhere/a.safetensors"], "a", "a.safetensors"),
        (["--lora-dir", "/nowhere"], "a", "is not a folder"),
        (["--grid"], "a", "name them with --lora"),
        (["--count", "2", "--out", "a.png"], "a", "give a folder"),
        (["--out", "a.jpg"], "a", "must end in .png"),
        (["--base", "/nowhere/base"], "a", "is not there"),
        (["--device", "cuda:7"], "a", "cuda:7"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(sample, tmp_path, monkeypatch, capsys, arguments, prompt, words):
    monkeypatch.chdir(tmp_path)
    assert sample("--out", "out", *arguments, prompt=prompt) == Exit.USAGE
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("lorelei-trainer: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["--size", "64"], ["--seed", "-1"], ["--count", "0"], ["--weights", "nan"], ["--precision", "int8"]]
)
def test_wrong_arguments_are_refused_by_the_parser(sample, tmp_path, arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        sample("--out", tmp_path, *arguments)
    assert exit_.value.code == Exit.USAGE


def test_a_grid_takes_no_tags(sample, loras, tmp_path, capsys):
    assert sample("--grid", "--lora", loras, "--out", tmp_path / "x", prompt="<lora:epoch-001:1>") == Exit.USAGE
    assert "out of the prompt" in capsys.readouterr().err


def test_files_of_one_name_are_told_apart_in_a_sheet_and_refused_elsewhere(sample, loras, base, tmp_path, capsys):
    other = write(tmp_path / "other" / "epoch-001.safetensors", random_modules(base, (CONVOLUTION,), seed=3))
    both = ["--lora", loras / "epoch-001.safetensors", other]
    assert sample(*both, "--out", tmp_path / "x") == Exit.USAGE
    assert "Two of --lora's files are called epoch-001" in capsys.readouterr().err
    assert sample("--grid", *both, "--weights", 1, "--out", tmp_path / "sheet.png") == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 2 * 64


def test_a_folder_that_cannot_be_made_is_a_failure(sample, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert sample("--out", tmp_path / "file" / "out") == Exit.FAILED
    assert "cannot use the folder" in capsys.readouterr().err
