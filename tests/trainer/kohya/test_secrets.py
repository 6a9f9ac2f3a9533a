"""A file with paths, tokens and texts of people in it leaves no trace of them anywhere."""

import json
import logging

import pytest
from PIL import Image

from tests.trainer.kohya.files import data, today
from trainer.__main__ import main
from trainer.by_hand.make import Request, make_job
from trainer.contract.errors import InvalidConfig
from trainer.contract.exits import Exit
from trainer.contract.kohya.importing import import_json, import_toml
from trainer.contract.kohya.keys import refusal
from trainer.contract.kohya.today import DEFAULTS

CANARY = "CANARY"
NEW_KEYS = [
    "my_hf_token",
    "clientSecret",
    "API_KEY",
    "apikey",
    "db_password",
    "hftoken",
    "my_lora_path",
    "outputFolder",
    "home_dir",
    "more_args",
    "post_command",
    "proxy_url",
    "author_name",
    "private_note",
    "OUTPUTDIR",
    "WandbApiKey",
    "PretrainedModelNameOrPath",
]


def poisoned():
    """Today's file with a marked text in every key that may hold one, in known places and in new ones."""
    values = today("AI_characters")
    settings = {"keep_tokens", "max_token_length"}
    marked = {key: f"/home/{CANARY}/{key}" for key in values if refusal(key) and key not in settings}
    assert {"wandb_api_key", "huggingface_token", "output_dir", "vae", "additional_parameters", "training_comment"} <= (
        marked.keys()
    )
    values |= marked | {key: f"{CANARY}-{key}" for key in NEW_KEYS}
    values |= {"odd value": CANARY, "brand_new": f"s3/{CANARY}", f"{CANARY}1234567": 5, "another": [CANARY]}
    values |= {f"hf_{CANARY}abcdefghijklmnopq": 1, "fifth": f"{CANARY}.safetensors", "OutputName": CANARY}
    values |= {"third": {"deep": CANARY}, "flux1_future": f"\\\\{CANARY}\\share", "fourth": CANARY * 9}
    return values


def test_nothing_of_it_is_printed_or_written(tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    source, preset, back = tmp_path / "in.json", tmp_path / "made" / "p.toml", tmp_path / "made" / "k.json"
    preset.parent.mkdir()
    source.write_bytes(data(poisoned()))
    assert main(["import", "-vv", str(source), "--out", str(preset)]) == Exit.FINISHED
    assert main(["export", "-vv", str(preset), "--out", str(back)]) == Exit.FINISHED
    assert main(["export", str(source), "--out", str(back)]) == Exit.FINISHED
    said = capsys.readouterr()
    traces = said.out + said.err + caplog.text + preset.read_text() + back.read_text()
    assert CANARY not in traces
    assert "wandb_api_key" in said.out, "the names of refused keys are told"
    assert "(a key with an odd name)" in said.out
    assert "wandb_api_key" not in preset.read_text()
    assert json.loads(back.read_text())["wandb_api_key"] == ""
    assert {path.name for path in preset.parent.iterdir()} == {"p.toml", "k.json"}


def test_nothing_of_it_is_in_a_job_made_with_it(tmp_path):
    source, pictures = tmp_path / "in.json", tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (1024, 1024), "red").save(pictures / "a.jpg")
    source.write_bytes(data(poisoned()))
    request = Request(
        images=pictures,
        trigger="lisaxl",
        class_word="woman",
        base="someone/sdxl",
        out=tmp_path / "out",
        preset=str(source),
    )
    said = []
    spec = make_job(request, said.append).spec()
    assert (spec.preset, spec.config.learning_rate, spec.config.checkpoint_every_epochs) == ("in", 3e-5, 1)
    assert CANARY not in "".join(said)
    assert [line for line in said if line.startswith("Keys: ") and " refused" in line]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if CANARY.encode() in path.read_bytes() or CANARY in str(path)]


def test_each_of_todays_keys_for_texts_is_refused():
    texts = {key for key, value in DEFAULTS.items() if value == ""}
    harmless = """gpu_ids log_with down_lr_weight mid_lr_weight up_lr_weight block_lr_zero_threshold block_dims
        block_alphas conv_block_dims conv_block_alphas show_timesteps img_attn_dim img_mlp_dim img_mod_dim single_dim
        txt_attn_dim txt_mlp_dim txt_mod_dim single_mod_dim in_dims train_double_block_indices
        train_single_block_indices t5xxl_device anima_compile_dynamic anima_compile_cache_size_limit"""
    assert {key for key in texts if not refusal(key)} == set(harmless.split())


@pytest.mark.parametrize(
    "value", [CANARY, [CANARY], {CANARY: 1}, f"/home/{CANARY}"], ids=["text", "list", "table", "path"]
)
def test_a_token_in_the_wrong_place_is_not_repeated(value):
    for key in today("AI_Now"):
        try:
            imported = import_json(data({**today("AI_Now"), key: value}))
        except InvalidConfig as error:
            told = f"{error} {error.__cause__}"
        else:
            # a short word under a harmless name may be kept for the way back, and is nowhere else
            kept = {name: text for name, text in imported.kept.items() if (name, text) != (key, CANARY)}
            told = "\n".join(imported.report.lines()) + repr(kept) + repr(imported.config)
        assert CANARY not in told, key


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"hf_%sabcdefghijklmnopq": 1, "hf_%sabcdefghijklmnopq": 1}',
        '{"a": "%s"',
        '{"a": "%s" "b"}',
        '["%s"]',
        '"%s"',
        '{"a": NaN, "b": "%s"}',
    ],
)
def test_a_broken_file_is_not_quoted(tmp_path, capsys, caplog, text):
    source = tmp_path / "in.json"
    source.write_text(text.replace("%s", CANARY))
    assert main(["import", "-vv", "--debug", str(source)]) == Exit.USAGE
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err + caplog.text


def test_sd_scripts_arguments_are_read_for_numbers_only():
    toml = f"""
        pretrained_model_name_or_path = "/home/{CANARY}/model.safetensors"
        [network]
        network_module = "networks.lora"
        network_args = ["conv_dim=4", "conv_alpha=2", "{CANARY}={CANARY}"]
        optimizer_args = ["weight_decay=0.1", "foreach={CANARY}"]
        learning_rate = 1e-4
        [log]
        wandb_api_key = "{CANARY}"
        log_tracker_config = "/{CANARY}"
    """
    imported = import_toml(toml.encode())
    assert (imported.config.conv_rank, imported.config.conv_alpha, imported.config.weight_decay) == (4, 2.0, 0.1)
    assert CANARY not in "\n".join(imported.report.lines()) + repr(imported)
    assert {"network_args", "optimizer_args", "wandb_api_key"} <= set(imported.report.refused)
