"""Whatever is handed in as a kohya file ends in settings or in one sentence."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.trainer.kohya.files import data, today
from trainer.__main__ import main
from trainer.contract.errors import InvalidConfig
from trainer.contract.exits import Exit
from trainer.contract.kohya.exporting import export_json
from trainer.contract.kohya.importing import import_json, import_toml
from trainer.contract.kohya.read import MAX_BYTES
from trainer.contract.presets import find_preset, load_preset, preset_toml

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3000),
    st.integers(min_value=10**300, max_value=10**400),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["", "0", "1", "7", "0.5", "1024,1024", "True", "none"]),
    st.lists(st.integers(), max_size=3),
)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "is not JSON"),
        (b"\x89PNG\r\n\x1a\n\x00", "not text in UTF-8"),
        (b"[1, 2]", "holds no settings"),
        (b"{}", "holds no settings"),
        (b'"text"', "holds no settings"),
        (b'{"epoch": NaN}', "holds NaN or Infinity"),
        (b'{"epoch": -Infinity}', "holds NaN or Infinity"),
        (b'{"epoch": 1e999}', "epoch: must be a finite number"),
        (b'{"epoch": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"epoch": 1, "epoch": 2}', "epoch: stands in the file twice"),
        (b'{"epoch":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "is not JSON"),
        (b'{"a": 1}', "holds no setting that Kohya SS"),
        (b'{"training_comment": "hello"}', "holds no setting that Kohya SS"),
        (b" " * (MAX_BYTES + 1), "larger than 1 MB"),
        (json.dumps({f"key_{number}": 1 for number in range(3000)}).encode(), "more than 2000 keys"),
    ],
)
def test_what_is_no_configuration_is_one_sentence(file, words):
    with pytest.raises(InvalidConfig, match=words) as error:
        import_json(file)
    assert len(str(error.value)) < 200


def test_fifty_megabytes_are_not_read(tmp_path, capsys):
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    assert main(["import", str(path)]) == Exit.USAGE
    assert "larger than 1 MB" in capsys.readouterr().err


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(today("AI_Now"))), VALUES, max_size=5))
@example({"gradient_checkpointing": None})
def test_any_values_are_settings_that_survive_the_way_back_or_a_sentence(changes):
    try:
        imported = import_json(data({**today("AI_Now"), **changes}))
    except InvalidConfig:
        return
    exported = export_json(imported.config, imported.kept)
    back = import_json(exported.data).config.to_mapping()
    # A file that says nothing of checkpointing leaves it to the plan; kohya has no word for that, so it is told.
    lost = () if imported.config.gradient_checkpointing in ("full", "off") else ("gradient_checkpointing",)
    assert exported.lost == lost
    assert {**back, **{name: imported.config.to_mapping()[name] for name in lost}} == imported.config.to_mapping()


# --- sd-scripts TOML ------------------------------------------------------------------------------------------------
FLAT = """
pretrained_model_name_or_path = "/models/sdxl.safetensors"
network_module = "networks.lora"
network_dim = 16
network_alpha = 8
optimizer_type = "AdamW8bit"
unet_lr = 1e-4
text_encoder_lr = [5e-5, 5e-5]
lr_scheduler = "cosine"
lr_warmup_steps = 0.05
max_train_epochs = 12
save_every_n_epochs = 2
train_batch_size = 4
resolution = "1024,1024"
enable_bucket = true
mixed_precision = "bf16"
save_precision = "fp16"
no_half_vae = true
zero_terminal_snr = true
v_parameterization = true
caption_tag_dropout_rate = 0.1
"""
EXPECTED = {
    "rank": 16,
    "alpha": 8.0,
    "optimizer": "adamw-8bit",
    "learning_rate": 1e-4,
    "text_encoder_1": True,
    "text_encoder_2_rate": 5e-5,
    "schedule": "cosine",
    "warmup_share": 0.05,
    "epochs": 12,
    "checkpoint_every_epochs": 2,
    "batch_size": 4,
    "resolution": 1024,
    "bucket_max": 2048,  # sd-scripts has 1024 there, which would leave room for squares only
    "precision": "bf16",
    "file_precision": "fp16",
    "vae_precision": "fp32",
    "prediction": "v-prediction",
    "zero_terminal_snr": True,
    "tag_dropout": 0.1,
    "keep_tokens": 0,
}


def test_sections_only_group():
    lines = FLAT.strip().splitlines()
    sectioned = "\n".join([*lines[:4], "[training]", *lines[4:12], "[more]", *lines[12:]])
    config = import_toml(FLAT.encode()).config
    assert import_toml(sectioned.encode()).config == config
    assert {name: config.to_mapping()[name] for name in EXPECTED} == EXPECTED


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("network_train_unet_only = true", {"text_encoder_1": False, "text_encoder_2": False}),
        ("cache_text_encoder_outputs = true", {"text_encoder_1": False}),
        ("network_args = ['conv_dim=4', 'conv_alpha=1']", {"conv_rank": 4, "conv_alpha": 1.0}),
        ("lr_warmup_steps = 100", {"warmup_steps": 100, "warmup_share": 0.0}),
        ("alpha_mask = true", {"masked_loss": True}),
        ("max_train_epochs = 0\nmax_train_steps = 700", {"max_steps": 700}),
        ("max_train_epochs = 0", {"max_steps": 1600}),
        ("enable_bucket = false", {"square": True}),
        ("resolution = 768", {"resolution": 768}),
        ("text_encoder_lr = []", {"text_encoder_1": True, "text_encoder_1_rate": 2e-6}),
        ("optimizer_args = ['weight_decay=0.05', 'betas=0.9,0.95']", {"weight_decay": 0.05, "beta_2": 0.95}),
        (
            "network_module = 'lycoris.kohya'\nnetwork_args = ['algo=locon', 'dora_wd=True', 'preset=attn-mlp']",
            {"decompose": True, "conv_rank": 0},
        ),
        ("network_module = 'lycoris.kohya'", {"conv_rank": 16, "conv_alpha": 8.0, "targets": "kohya"}),
    ],
)
def test_a_key_of_sd_scripts_sets_what_it_means(more, expected):
    replaced = {line.split(" = ")[0] for line in more.splitlines()}
    lines = [line for line in FLAT.splitlines() if line.split(" = ")[0] not in replaced]
    values = import_toml("\n".join([*lines, more]).encode()).config.to_mapping()
    assert {name: values[name] for name in expected} == expected


def test_keys_that_are_read_are_never_called_unknown():
    flags = "cache_text_encoder_outputs = true\nalpha_mask = true\nfull_bf16 = true\nnetwork_train_unet_only = true"
    report = import_toml(f"{FLAT}\n{flags}".encode()).report
    assert "no setting of that name" not in report.ignored.values()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
        ("", "holds no settings"),
        ("network_module = 'networks.oft_flux'", "network_module: is a network that Lorelei does not train"),
        ("network_module = 'lycoris.kohya'\nnetwork_args = ['algo=loha']", "nearest is networks.lora"),
        ("unet_lr = 0\ntext_encoder_lr = 1e-4", "only text encoders"),
        (f"flip_aug = 0x{'f' * 6000}", "more than 64 bits"),
        (f"[network]\nnetwork_args = [0x{'f' * 6000}]", "more than 64 bits"),
        ("learning_rate = nan", "learning_rate: must be a finite number"),
        ("optimizer_type = 'os.system'", "optimizer_type: is not a name that Lorelei knows"),
    ],
)
def test_a_wrong_toml_is_one_sentence(text, words):
    with pytest.raises(InvalidConfig, match=words):
        import_toml(text.encode())


# --- presets out of files -------------------------------------------------------------------------------------------
def test_a_kohya_file_is_a_preset(tmp_path):
    path = tmp_path / "My settings (v2).json"
    path.write_bytes(data(today("dogu_cat")))
    preset = find_preset(str(path))
    assert (preset.name, preset.config.rank) == ("My-settings-v2", 92)
    toml = tmp_path / "flat.toml"
    toml.write_text(FLAT)
    assert find_preset(str(toml)).config.rank == 16


def test_an_imported_preset_is_read_back_the_same(tmp_path):
    path, out, json_out = tmp_path / "in.json", tmp_path / "p.toml", tmp_path / "out.json"
    path.write_bytes(data({**today("AI_Now"), "brand_new_mode": "soft"}))
    assert main(["import", str(path), "--out", str(out)]) == Exit.FINISHED
    preset, imported = find_preset(str(out)), import_json(path.read_bytes())
    assert preset.config == imported.config
    assert preset.kohya == imported.kept
    assert "brand_new_mode" in preset.kohya
    assert main(["export", str(out), "--out", str(json_out)]) == Exit.FINISHED
    assert json.loads(json_out.read_text())["brand_new_mode"] == "soft"
    assert import_json(json_out.read_bytes()).config == imported.config


def test_every_preset_of_ours_is_written_and_read_the_same(tmp_path):
    for name in ("face", "face-classic", "character", "style", "object", "quick"):
        path = tmp_path / f"{name}.toml"
        path.write_text(preset_toml(load_preset(name), {"rank": "why"}))
        assert find_preset(str(path)).config == load_preset(name).config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('title = "x"\nepohs = 3', "did you mean 'epochs'"),
        ('title = "x"\nlearning_rate = 0', "learning_rate: must be between"),
        ('title = "x"\nkohya = 3', "kohya: must be a table"),
        ('title = "x"\nrank = "many"', "rank: must be a whole number"),
        (f'title = "x"\nrank = 0x{"f" * 6000}', "more than 64 bits"),
    ],
)
def test_a_wrong_preset_file_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match=words):
        find_preset(str(path))


def test_nothing_harmful_enters_by_the_kept_keys_of_a_preset(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('title = "x"\n[kohya]\nwandb_api_key = "abc"\noutput_dir = "here"\nclip_skip = 2\nlist = [1]')
    assert find_preset(str(path)).kohya == {"clip_skip": 2}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "/nowhere.json"], "/nowhere.json: cannot be read"),
        (["export", "fase", "--out", "x.json"], "did you mean 'face'"),
        (["export", "face", "--out", "x.txt"], "--out: must end in .json"),
    ],
)
def test_a_wrong_command_is_one_sentence(arguments, words, capsys):
    assert main(arguments) == Exit.USAGE
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
