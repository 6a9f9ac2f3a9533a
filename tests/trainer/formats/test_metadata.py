"""The metadata of a LoRA file: complete, as loaders expect it, and free of what is nobody's business."""

import json
from dataclasses import replace

import pytest

from trainer.contract.config import TrainConfig
from trainer.contract.spec import JobSpec, PictureSpec
from trainer.formats.metadata import TrainingProgress, training_metadata

PROGRESS = TrainingProgress(
    epoch=5,
    step=40,
    steps=800,
    batches_per_epoch=8,
    started_at=1_790_000_000.5,
    saved_at=1_790_000_100.75,
    mixed_precision="bf16",
    base_sha256="ab" * 32,
    buckets={(1024, 1024): 30, (832, 1216): 10},
)


def picture(number, caption, repeats=1):
    return PictureSpec(file=f"{number:064x}.png", caption=caption, repeats=repeats)


def spec(**changes):
    values = {
        "job_id": "0190abc",
        "name": "lisaxl_v1",
        "base": "/home/host/models/sd_xl_base_1.0.safetensors",
        "trigger": "lisaxl",
        "class_word": "woman",
        "kind": "person",
        "pictures": (picture(1, "lisaxl, woman, smile"), picture(2, "lisaxl, woman, hat, Smile", repeats=3)),
        "config": TrainConfig(rank=32, alpha=16, learning_rate=1e-4),
        "preset": "face",
        "sample_prompts": ("lisaxl, woman",),
        "created_at": 1.0,
    }
    return JobSpec(**{**values, **changes})


def metadata(progress=PROGRESS, settings=None, **changes):
    job = spec(**changes)
    return training_metadata(job, job.config.with_overrides(settings or {}), progress)


def test_everything_is_text_and_the_fields_loaders_read_are_there():
    fields = metadata()
    assert all(isinstance(value, str) for value in fields.values())
    expected = {
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_v2": "False",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "32",
        "ss_network_alpha": "16.0",
        "ss_network_args": "{}",
        "ss_output_name": "lisaxl_v1",
        "ss_learning_rate": "0.0001",
        "ss_unet_lr": "0.0001",
        "ss_epoch": "5",
        "ss_steps": "40",
        "ss_max_train_steps": "800",
        "ss_num_train_images": "4",
        "ss_num_reg_images": "0",
        "ss_resolution": "(1024, 1024)",
        "ss_min_bucket_reso": "832",
        "ss_max_bucket_reso": "1216",
        "ss_mixed_precision": "bf16",
        "ss_min_snr_gamma": "None",
        "ss_sd_model_name": "sd_xl_base_1.0.safetensors",
        "ss_new_sd_model_hash": "ab" * 32,
        "ss_training_started_at": "1790000000.5",
        "ss_training_finished_at": "1790000100.75",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": "lisaxl_v1",
        "modelspec.trigger_phrase": "lisaxl",
        "modelspec.resolution": "1024x1024",
        "modelspec.prediction_type": "epsilon",
        "modelspec.date": "2026-09-21T14:15:00+00:00",
    }
    assert {name: fields.get(name) for name in expected} == expected


def test_tags_are_counted_per_kohya_folder_in_lower_case():
    fields = metadata()
    assert json.loads(fields["ss_tag_frequency"]) == {
        "1_lisaxl woman": {"lisaxl": 1, "woman": 1, "smile": 1},
        "3_lisaxl woman": {"lisaxl": 1, "woman": 1, "hat": 1, "smile": 1},
    }
    assert json.loads(fields["ss_dataset_dirs"]) == {
        "1_lisaxl woman": {"n_repeats": 1, "img_count": 1},
        "3_lisaxl woman": {"n_repeats": 3, "img_count": 1},
    }


def test_buckets_are_in_the_form_a1111_reads():
    info = json.loads(metadata()["ss_bucket_info"])
    assert info["buckets"]["0"] == {"resolution": [832, 1216], "count": 10}
    assert info["buckets"]["1"] == {"resolution": [1024, 1024], "count": 30}


def test_strip_leaves_the_captions_out_and_the_rest_in():
    stripped, full = metadata(settings={"strip_metadata": True}), metadata()
    private = {"ss_tag_frequency", "ss_dataset_dirs", "ss_reg_dataset_dirs", "ss_training_comment"}
    assert full.keys() - stripped.keys() == private
    assert {name for name in stripped if stripped[name] != full[name]} == {"lorelei_settings"}
    assert "smile" not in json.dumps(stripped)
    assert stripped["ss_base_model_version"].startswith("sdxl_")


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("/srv/secret/models/base.safetensors", "base.safetensors"),
        ("C:\\Users\\host\\base.safetensors", "base.safetensors"),
        ("models/sdxl/", "sdxl"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "stable-diffusion-xl-base-1.0"),
    ],
)
def test_no_path_of_the_host_gets_in(base, name):
    fields = metadata(base=base)
    assert fields["ss_sd_model_name"] == name
    assert "secret" not in json.dumps(fields)
    assert "host" not in json.dumps(fields)


def test_files_of_one_run_share_the_session_and_two_runs_do_not():
    one = metadata()["ss_session_id"]
    assert metadata(progress=replace(PROGRESS, epoch=10))["ss_session_id"] == one
    assert metadata(job_id="another")["ss_session_id"] != one
    assert one.isdigit()


def test_v_prediction_is_told():
    fields = metadata(progress=replace(PROGRESS, prediction_type="v_prediction"))
    assert fields["modelspec.prediction_type"] == "v"


def test_the_effective_config_is_recorded_not_the_submitted_one():
    job = spec()
    fields = training_metadata(job, job.config.with_overrides({"epochs": 150, "batch_size": 2}), PROGRESS)
    assert (fields["ss_num_epochs"], fields["ss_batch_size_per_device"]) == ("150", "2")


def test_schedule_with_warm_up_has_kohyas_name():
    config = TrainConfig(schedule="constant", warmup_steps=10)
    assert metadata(config=config)["ss_lr_scheduler"] == "constant_with_warmup"
    assert metadata(config=TrainConfig(schedule="cosine", warmup_steps=10))["ss_lr_scheduler"] == "cosine"


SETTINGS = [
    ({"alpha": 3.0}, {"ss_network_alpha": "3.0"}),
    ({"rank": 8}, {"ss_network_dim": "8"}),
    ({"conv_rank": 8, "conv_alpha": 2.0}, {"ss_network_args": '{"conv_dim": "8", "conv_alpha": "2.0"}'}),
    ({"decompose": True}, {"ss_network_args": '{"dora_wd": "True", "wd_on_output": "True"}'}),
    ({"rank_stabilised": True}, {"ss_network_args": '{"rs_lora": "True"}'}),
    ({"targets": "attention"}, {"ss_network_args": '{"targets": "attention"}'}),
    ({"dropout": 0.1}, {"ss_network_dropout": "0.1"}),
    ({"max_norm": 1.0}, {"ss_scale_weight_norms": "1.0"}),
    ({}, {"ss_text_encoder_lr": "None", "ss_network_dropout": "None", "ss_scale_weight_norms": "None"}),
    ({"text_encoder_1": True, "text_encoder_2": True}, {"ss_text_encoder_lr": "0.0001"}),
    ({"text_encoder_1": True, "text_encoder_1_rate": 1e-5}, {"ss_text_encoder_lr": "[1e-05, 0.0]"}),
    (
        {"text_encoder_1": True, "text_encoder_2": True, "text_encoder_2_rate": 2e-5},
        {"ss_text_encoder_lr": "[0.0001, 2e-05]"},
    ),
    (
        {"optimizer": "prodigy", "weight_decay": 0.1, "beta_2": 0.99},
        {"ss_optimizer": "prodigyopt.prodigy.Prodigy(weight_decay=0.1,betas=(0.9, 0.99))"},
    ),
    ({"schedule": "cosine-restarts"}, {"ss_lr_scheduler": "cosine_with_restarts"}),
    ({"warmup_share": 0.05}, {"ss_lr_scheduler": "constant_with_warmup", "ss_lr_warmup_steps": "40"}),
    ({"loss": "smooth-l1", "huber_c": 0.2}, {"ss_loss_type": "smooth_l1", "ss_huber_c": "0.2"}),
    ({"loss": "huber", "huber_schedule": "exponential"}, {"ss_loss_type": "huber", "ss_huber_schedule": "exponential"}),
    ({"debiased": True}, {"ss_debiased_estimation": "True"}),
    ({"min_snr_gamma": 5.0}, {"ss_min_snr_gamma": "5.0"}),
    (
        {"noise_offset": 0.05, "adaptive_noise_scale": 0.01},
        {"ss_noise_offset": "0.05", "ss_adaptive_noise_scale": "0.01"},
    ),
    ({"input_perturbation": 0.1}, {"ss_ip_noise_gamma": "0.1"}),
    (
        {"prediction": "v-prediction", "zero_terminal_snr": True},
        {"ss_zero_terminal_snr": "True", "modelspec.prediction_type": "v"},
    ),
    ({"min_timestep": 100, "max_timestep": 900}, {"modelspec.timestep_range": "100,900"}),
    ({"masked_loss": True}, {"ss_masked_loss": "True"}),
    ({"prior_weight": 0.5}, {"ss_prior_loss_weight": "0.5"}),
    ({"validation_share": 0.1}, {"ss_validation_split": "0.1"}),
    ({"flip": True}, {"ss_flip_aug": "True"}),
    ({"bucket_no_upscale": True}, {"ss_bucket_no_upscale": "True"}),
    ({"tag_dropout": 0.1}, {"ss_caption_tag_dropout_rate": "0.1"}),
    ({"caption_tokens": "150"}, {"ss_max_token_length": "150"}),
    ({"precision": "full-bf16"}, {"ss_full_bf16": "True"}),
]


@pytest.mark.parametrize(("settings", "expected"), SETTINGS, ids=lambda value: "-".join(value))
def test_settings_have_sd_scripts_fields_and_forms(settings, expected):
    fields = metadata(settings=settings)
    assert {name: fields[name] for name in expected} == expected


def test_every_setting_is_recorded_exactly():
    changed = {"rank": 7, "preservation_weight": 0.3, "ema_decay": 0.9, "file_precision": "bf16"}
    recorded = TrainConfig.from_mapping(json.loads(metadata(settings=changed)["lorelei_settings"]))
    assert recorded == spec().config.with_overrides(changed)


def test_regularisation_pictures_are_counted_apart():
    pictures = (
        picture(1, "lisaxl, woman"),
        replace(picture(2, "woman, hat", repeats=3), regularisation=True),
    )
    fields = metadata(pictures=pictures)
    assert (fields["ss_num_train_images"], fields["ss_num_reg_images"]) == ("1", "3")
    assert json.loads(fields["ss_dataset_dirs"]) == {"1_lisaxl woman": {"n_repeats": 1, "img_count": 1}}
    assert json.loads(fields["ss_reg_dataset_dirs"]) == {"3_woman": {"n_repeats": 3, "img_count": 1}}


def a1111_shows_beside_sdxl(fields):
    """A1111's rule, restated from NetworkOnDisk.detect_version (extensions-builtin/Lora/network.py): the version
    decides, `sdxl_…` is SDXL; any other file with metadata is taken for SD 1 or 2 and hidden while SDXL is loaded."""
    version = str(fields.get("ss_base_model_version", ""))
    return version.startswith("sdxl_") or not fields


@pytest.mark.parametrize(("settings", "_"), SETTINGS, ids=lambda value: "-".join(value))
def test_a1111_shows_every_file_of_ours_beside_sdxl(settings, _):
    fields = metadata(settings={**settings, "strip_metadata": True})
    assert a1111_shows_beside_sdxl(fields)
    assert not a1111_shows_beside_sdxl({**fields, "ss_base_model_version": "sd_v1"})
    del fields["ss_base_model_version"]
    assert not a1111_shows_beside_sdxl(fields)


def test_metadata_stays_below_100_kb_and_keeps_the_frequent_tags():
    pictures = tuple(
        picture(n, "lisaxl, woman, " + ", ".join(f"tag {n} {m} {'é' * 40}" for m in range(200))) for n in range(100)
    )
    fields = metadata(pictures=pictures, trigger="t" * 5000, class_word="c" * 5000)
    assert len(json.dumps(fields)) < 100_000
    [tags] = json.loads(fields["ss_tag_frequency"]).values()
    assert tags["lisaxl"] == tags["woman"] == 100
    assert len(tags) > 50


def test_hostile_text_survives_as_text():
    trigger = 'a"b\\c💥</script>'
    fields = metadata(trigger=trigger, pictures=(picture(1, trigger + ", x"),))
    assert json.loads(json.dumps(fields)) == fields
    assert fields["modelspec.trigger_phrase"] == trigger
