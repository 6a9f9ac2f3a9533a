"""kohya's dataset TOML: folders, repeats, captions, regularisation, and the settings that stand with them."""

import pytest
from PIL import Image

from trainer.__main__ import main
from trainer.by_hand.dataset_config import read_dataset_config
from trainer.by_hand.make import Request, make_job
from trainer.contract.errors import InvalidConfig
from trainer.contract.exits import Exit

TOML = """
[general]
shuffle_caption = true
keep_tokens = 2
caption_extension = ".caption"
resize_interpolation = "area"

[[datasets]]
resolution = 64
batch_size = 2
enable_bucket = true
bucket_reso_steps = 32

  [[datasets.subsets]]
  image_dir = "subject"
  num_repeats = 4
  class_tokens = "lisaxl woman"
  flip_aug = true

  [[datasets.subsets]]
  image_dir = "others"
  flip_aug = true
  caption_extension = ".txt"
  is_reg = true
  class_tokens = "woman"
"""


@pytest.fixture
def folder(tmp_path):
    for name, colour in (("subject/a", "red"), ("subject/b", "green"), ("others/c", "blue")):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), colour).save(path)
    (tmp_path / "subject/a.caption").write_text("lisaxl, woman, red hair")
    (tmp_path / "subject/b.txt").write_text("not this one")
    return tmp_path


def written(folder, text=TOML):
    path = folder / "data.toml"
    path.write_text(text)
    return path


def request_for(path, **changes):
    fields = {"images": path, "trigger": "lisaxl", "class_word": "woman", "base": "someone/sdxl"}
    return Request(**{**fields, "out": path.parent / "out", **changes})


def test_folders_captions_and_settings_reach_the_job(folder):
    spec = make_job(request_for(written(folder)), lambda _: None).spec()
    subject = [(one.caption, one.repeats) for one in spec.pictures if not one.regularisation]
    assert sorted(subject) == [("lisaxl woman", 4), ("lisaxl, woman, red hair", 4)]
    assert [one.caption for one in spec.pictures if one.regularisation] == ["woman"]
    config = spec.config
    assert (config.shuffle_caption, config.keep_tokens, config.flip, config.square) == (True, 2, True, False)
    assert (config.resolution, config.batch_size, config.bucket_step) == (64, 2, 32)


def test_the_command_line_stands_before_the_file(folder):
    spec = make_job(request_for(written(folder), settings={"batch_size": 1, "flip": False}), lambda _: None).spec()
    assert (spec.config.batch_size, spec.config.flip, spec.config.keep_tokens) == (1, False, 2)


def test_what_the_file_says_more_is_reported(folder):
    said = []
    make_job(request_for(written(folder)), said.append)
    assert "  no setting of that name: resize_interpolation" in said
    report = read_dataset_config(written(folder)).report
    assert report.ignored == {"resize_interpolation": "no setting of that name"}
    assert {one.key for one in report.taken} >= {"keep_tokens", "resolution", "flip_aug"}


def test_every_option_that_has_a_setting_sets_it(folder):
    options = {
        "caption_dropout_rate": (0.25, "caption_dropout", 0.25),
        "caption_tag_dropout_rate": (0.5, "tag_dropout", 0.5),
        "prior_loss_weight": (0.5, "prior_weight", 0.5),
        "validation_split": (0.25, "validation_share", 0.25),
        "max_bucket_reso": (128, "bucket_max", 128),
        "min_bucket_reso": (32, "bucket_min", 32),
        "alpha_mask": ("true", "masked_loss", True),
        "bucket_no_upscale": ("true", "bucket_no_upscale", True),
    }
    lines = "\n".join(f"{key} = {value}" for key, (value, _, _) in options.items())
    settings = read_dataset_config(written(folder, TOML.replace("[general]", f"[general]\n{lines}"))).settings
    assert {name: settings[name] for _, name, _ in options.values()} == {
        name: value for _, name, value in options.values()
    }


def test_a_largest_side_that_leaves_only_squares_is_raised(folder):
    of_64 = read_dataset_config(written(folder, TOML.replace("[general]", "[general]\nmax_bucket_reso = 64")))
    assert of_64.settings["bucket_max"] == 128
    assert [line for line in of_64.report.lines() if "bucket_max = 128 (raised from 64" in line]
    text = TOML.replace("[general]", "[general]\nmax_bucket_reso = 1024").replace("resolution = 64", "")
    assert read_dataset_config(written(folder, text)).settings["bucket_max"] == 2048


@pytest.mark.parametrize("value", ["[64, 64]", '"64,64"', "64"])
def test_resolution_in_all_its_forms(folder, value):
    text = TOML.replace("resolution = 64", f"resolution = {value}")
    assert read_dataset_config(written(folder, text)).settings["resolution"] == 64


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('image_dir = "subject"', 'image_dir = "nowhere"', "'nowhere' is not a folder"),
        ('image_dir = "subject"', "image_dir = 3", "image_dir: must be a name"),
        ('image_dir = "subject"', 'metadata_file = "m.json"', "metadata_file: is not read"),
        ("num_repeats = 4", "num_repeats = 0", "num_repeats: must be 1 to 1000"),
        ("num_repeats = 4", "num_repeats = 4\nkeep_tokens = 1", "keep_tokens: differs between the folders"),
        ("[[datasets]]", "[datasets]", "datasets"),
        ("[[datasets]]", "[[sets]]", "is not a part of a dataset TOML"),
        ("resolution = 64", "resolution = -5", "one side in pixels"),
        ("resolution = 64", "resolution = ", "is not TOML"),
        ('caption_extension = ".txt"', 'caption_extension = "../x"', "must be an ending"),
        ("batch_size = 2", "batch_size = 'two'", "batch_size: must be a number"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(folder, old, new, words):
    with pytest.raises(InvalidConfig, match=words) as error:
        read_dataset_config(written(folder, TOML.replace(old, new, 1)))
    assert "\n" not in str(error.value)


def test_the_command_line_takes_the_file(folder, capsys):
    path = written(folder, TOML.replace('"subject"', '"nowhere"'))
    arguments = ["train", "--dataset-config", str(path), "--trigger", "lisaxl", "--base", "someone/sdxl"]
    assert main([*arguments, "--out", str(folder / "out")]) == Exit.USAGE
    assert "'nowhere' is not a folder" in capsys.readouterr().err
