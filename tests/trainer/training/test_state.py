"""A state's folder: what is put in comes out, and what does not belong is told."""

import json

import pytest
import torch
from safetensors import SafetensorError

from tests.trainer.seeing.records import run
from trainer.contract.config import TrainConfig
from trainer.errors import OtherSettings
from trainer.training.state import BINDING, Position, State, check_settings, load_state, save_state

POSITION = Position(epoch=3, done=2, step=12, started_at=1000.0, best_loss=0.1, best_epoch=2, unimproved=1)


def state(**settings):
    tensors = {"weight|unet.a.lora_A.weight": torch.arange(6.0).reshape(2, 3), "tally|counted": torch.tensor(12)}
    config = TrainConfig.from_mapping(settings)
    return State(tensors, {"optimizer": {"name": "adamw"}}, POSITION, config.to_mapping(), run(epochs=2))


def test_what_is_saved_is_loaded(tmp_path):
    saved = state(rank=4)
    save_state(tmp_path / "state", saved)
    loaded = load_state(tmp_path / "state")
    assert (loaded.values, loaded.position, loaded.settings, loaded.history) == (
        saved.values,
        saved.position,
        saved.settings,
        saved.history,
    )
    assert loaded.tensors.keys() == saved.tensors.keys()
    assert all(loaded.tensors[name].equal(tensor) for name, tensor in saved.tensors.items())
    assert {path.suffix for path in (tmp_path / "state").iterdir()} == {".safetensors", ".json"}


@pytest.mark.parametrize("file", ["learner.safetensors", "learner.json", "position.json", "history.json"])
@pytest.mark.parametrize("contents", [None, b"", b"[]", b"{}", b"\x80\x04."], ids=str)
def test_what_cannot_be_read_is_one_of_a_few_errors(tmp_path, file, contents):
    save_state(tmp_path / "state", state())
    path = tmp_path / "state" / file
    path.unlink()
    if contents is not None:
        path.write_bytes(contents)
    if file == "learner.json" and contents in (b"[]", b"{}"):
        return  # any JSON is read; the learner judges what it holds
    with pytest.raises((OSError, SafetensorError, ValueError, KeyError, TypeError)):
        load_state(tmp_path / "state")


OTHER = {
    **{"rank": 8, "alpha": 8.0, "targets": "attention", "conv_rank": 4, "conv_alpha": 2.0, "decompose": True},
    **{"rank_stabilised": True, "text_encoder_1": True, "text_encoder_2": True, "optimizer": "lion"},
    **{"ema_decay": 0.9, "precision": "full-bf16", "seed": 1, "batch_size": 2, "gradient_accumulation": 2},
    **{"validation_share": 0.1, "resolution": 512, "bucket_step": 32, "square": True},
    **{"bucket_min": 512, "bucket_max": 1024, "bucket_no_upscale": True},
}


def test_every_binding_setting_is_tried():
    assert OTHER.keys() == set(BINDING)


@pytest.mark.parametrize("name", OTHER)
def test_a_state_of_another_setting_is_refused_with_its_name(name):
    now = TrainConfig.from_mapping({name: OTHER[name]})
    with pytest.raises(OtherSettings, match=rf"{name} was .*, is .*start a new training"):
        check_settings(state(), now)
    check_settings(state(**{name: OTHER[name]}), now)


def test_lengths_and_rates_may_have_been_changed():
    changes = {"epochs": 7, "max_steps": 9, "learning_rate": 1e-3, "schedule": "cosine", "sample_count": 0}
    check_settings(state(), TrainConfig.from_mapping(changes))


def test_a_state_of_an_older_trainer_without_a_setting_is_refused():
    old = state()
    settings = {name: value for name, value in old.settings.items() if name != "rank"}
    with pytest.raises(OtherSettings, match="rank was None"):
        check_settings(State(old.tensors, old.values, old.position, settings, old.history), TrainConfig())


def test_a_number_that_is_none_is_never_written(tmp_path):
    bad = POSITION.evolve(best_loss=float("nan"))
    saved = state()
    with pytest.raises(ValueError, match="JSON"):
        save_state(tmp_path / "state", State(saved.tensors, saved.values, bad, saved.settings, saved.history))
    assert json.loads((tmp_path / "state" / "learner.json").read_bytes()) == saved.values
