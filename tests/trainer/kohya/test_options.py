"""Each key of Kohya SS, one by one: what it sets here, and what is refused in one sentence."""

import json

import pytest

from tests.trainer.kohya.files import data, today
from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.exporting import export_json
from trainer.contract.kohya.importing import import_json

BASE = {
    **today("AI_characters"),
    "noise_offset": 0.1,
    "mixed_precision": "bf16",
}


def of(**keys):
    return import_json(data({**BASE, **keys}))


OPTIONS = [
    ({"max_train_epochs": 7}, {"epochs": 7}),
    ({"max_train_epochs": "7", "max_train_steps": "90"}, {"epochs": 7, "max_steps": 0}),
    ({"max_train_epochs": 0, "epoch": 12}, {"epochs": 12, "max_steps": 0}),
    ({"max_train_epochs": "", "max_train_steps": 400, "epoch": 1}, {"epochs": 400, "max_steps": 400}),
    ({"max_train_epochs": "", "max_train_steps": 400, "epoch": 900}, {"epochs": 900, "max_steps": 400}),
    ({"max_train_epochs": "", "max_train_steps": 50_000}, {"epochs": 10_000, "max_steps": 50_000}),
    ({"save_every_n_epochs": 3}, {"checkpoint_every_epochs": 3}),
    ({"save_every_n_epochs": 0, "max_train_epochs": 9}, {"checkpoint_every_epochs": 9}),
    ({"train_batch_size": "6"}, {"batch_size": 6}),
    ({"train_batch_size": 6.0}, {"batch_size": 6}),
    ({"gradient_accumulation_steps": 4}, {"gradient_accumulation": 4}),
    ({"gradient_checkpointing": False}, {"gradient_checkpointing": "off"}),
    ({"gradient_checkpointing": "true"}, {"gradient_checkpointing": "full"}),
    ({"seed": "77"}, {"seed": 77}),
    ({"mixed_precision": "fp16"}, {"precision": "fp16", "vae_precision": "fp32"}),
    ({"mixed_precision": "no"}, {"precision": "fp32"}),
    ({"full_bf16": True}, {"precision": "full-bf16"}),
    ({"sdxl_no_half_vae": False}, {"vae_precision": "bf16"}),
    ({"sdxl_no_half_vae": False, "mixed_precision": "fp16"}, {"vae_precision": "fp32"}),
    ({"save_precision": "float"}, {"file_precision": "fp32"}),
    ({"save_precision": "bf16"}, {"file_precision": "bf16"}),
    ({"network_dim": 24}, {"rank": 24}),
    ({"network_alpha": 3.5}, {"alpha": 3.5}),
    ({"network_alpha": 0, "network_dim": 24}, {"alpha": 24.0}),
    ({"network_dropout": 0.25}, {"dropout": 0.25}),
    ({"scale_weight_norms": 1.5}, {"max_norm": 1.5}),
    ({"LoRA_type": "Kohya LoCon", "conv_dim": 8, "conv_alpha": 2}, {"conv_rank": 8, "conv_alpha": 2.0}),
    ({"LoRA_type": "Standard", "conv_dim": 8}, {"conv_rank": 0}),
    ({"LoRA_type": "LoCon", "conv_dim": 8, "dora_wd": True}, {"conv_rank": 8, "decompose": True}),
    ({"LoRA_type": "LyCORIS/LoCon", "LyCORIS_preset": "attn-mlp", "conv_dim": 8}, {"conv_rank": 0}),
    ({"LoRA_type": "LyCORIS/LoCon", "LyCORIS_preset": "attn-only"}, {"targets": "attention", "conv_rank": 0}),
    ({"LoRA_type": "LyCORIS/LoCon", "LyCORIS_preset": "unet-transformer-only"}, {"text_encoder_1": False}),
    ({"sdxl_cache_text_encoder_outputs": True}, {"text_encoder_1": False, "text_encoder_2": False}),
    ({"text_encoder_lr": 0}, {"text_encoder_1": False, "text_encoder_2": False, "text_encoder_1_rate": 0.0}),
    ({"text_encoder_lr": "5e-05"}, {"text_encoder_1_rate": 5e-5, "text_encoder_2_rate": 5e-5}),
    ({"unet_lr": 2e-4, "learning_rate": 9e-4}, {"learning_rate": 2e-4}),
    ({"unet_lr": 0, "text_encoder_lr": "", "learning_rate": 2e-4}, {"learning_rate": 2e-4, "text_encoder_1": True}),
    ({"optimizer": "PagedAdamW8bit"}, {"optimizer": "adamw-8bit", "weight_decay": 0.01}),
    ({"optimizer": "Lion"}, {"optimizer": "lion", "weight_decay": 0.0, "beta_2": 0.99}),
    ({"optimizer": "Lion8bit"}, {"optimizer": "lion"}),
    (
        {"optimizer": "AdamWScheduleFree", "lr_scheduler": "cosine"},
        {"optimizer": "schedule-free", "schedule": "constant"},
    ),
    ({"optimizer": "Adafactor", "lr_scheduler": "adafactor"}, {"learning_rate": 0.01, "weight_decay": 0.0}),
    (
        {"optimizer": "Adafactor", "optimizer_args": "relative_step=False", "unet_lr": 9e-4},
        {"optimizer": "adafactor", "learning_rate": 9e-4},
    ),
    (
        {"optimizer": "Prodigy", "learning_rate": 1, "unet_lr": 1, "text_encoder_lr": 1},
        {"optimizer": "prodigy", "learning_rate": 1.0, "weight_decay": 0.0},
    ),
    ({"optimizer_args": '"weight_decay=0.2" "betas=0.9,0.99"'}, {"weight_decay": 0.2, "beta_1": 0.9, "beta_2": 0.99}),
    ({"lr_scheduler": "cosine"}, {"schedule": "cosine"}),
    ({"lr_scheduler": "linear", "lr_warmup": "7"}, {"schedule": "linear", "warmup_share": 0.07}),
    ({"lr_scheduler": "cosine", "lr_warmup": 7, "lr_warmup_steps": 30}, {"warmup_steps": 30, "warmup_share": 0.0}),
    ({"lr_scheduler": "constant", "lr_warmup": 7}, {"schedule": "constant", "warmup_share": 0.0}),
    ({"lr_scheduler": "constant_with_warmup", "lr_warmup": 7}, {"schedule": "constant", "warmup_share": 0.07}),
    (
        {"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": "3"},
        {"schedule": "cosine-restarts", "schedule_cycles": 3},
    ),
    ({"lr_scheduler": "polynomial", "lr_scheduler_power": 2}, {"schedule": "polynomial", "schedule_power": 2.0}),
    ({"max_grad_norm": 0}, {"max_grad_norm": 0.0}),
    ({"loss_type": "huber"}, {"loss": "huber", "huber_c": 0.1, "huber_schedule": "snr"}),
    ({"loss_type": "smooth_l1", "huber_c": 0.3}, {"loss": "smooth-l1", "huber_c": 0.3}),
    ({"loss_type": "huber", "huber_schedule": "exponential"}, {"huber_schedule": "exponential"}),
    ({"loss_type": "huber", "huber_schedule": "constant", "huber_c": 0.5, "huber_scale": 2}, {"huber_c": 1.0}),
    ({"min_snr_gamma": 0, "debiased_estimation_loss": True}, {"debiased": True, "min_snr_gamma": 0.0}),
    ({"v_parameterization": True}, {"prediction": "v-prediction"}),
    ({"noise_offset": 0.2, "adaptive_noise_scale": 0.01}, {"noise_offset": 0.2, "adaptive_noise_scale": 0.01}),
    ({"noise_offset": 0, "adaptive_noise_scale": 0.01}, {"noise_offset": 0.0, "adaptive_noise_scale": 0.0}),
    ({"noise_offset_type": "Multires", "multires_noise_iterations": 6}, {"noise_offset": 0.0}),
    ({"ip_noise_gamma": 0.1}, {"input_perturbation": 0.1}),
    ({"min_timestep": 200, "max_timestep": 800}, {"min_timestep": 200, "max_timestep": 800}),
    ({"max_timestep": 0}, {"max_timestep": 1000}),
    ({"prior_loss_weight": 0.5}, {"prior_weight": 0.5}),
    ({"masked_loss": True}, {"masked_loss": True}),
    ({"max_resolution": "768"}, {"resolution": 768}),
    ({"max_resolution": "512,2048"}, {"resolution": 1024}),
    ({"enable_bucket": False}, {"square": True}),
    ({"bucket_reso_steps": 32.0}, {"bucket_step": 32}),
    ({"min_bucket_reso": 512, "max_bucket_reso": 1536}, {"bucket_min": 512, "bucket_max": 1536}),
    (
        {"LoRA_type": "LyCORIS/LoCon", "conv_dim": 0, "conv_alpha": 0, "network_alpha": 16},
        {"conv_rank": 32, "conv_alpha": 16.0, "alpha": 16.0},
    ),
    ({"max_bucket_reso": 1024}, {"bucket_max": 2048}),
    ({"max_bucket_reso": 512, "max_resolution": "768,768"}, {"bucket_max": 1536, "resolution": 768}),
    ({"max_bucket_reso": 512, "enable_bucket": False}, {"bucket_max": 1024, "square": True}),
    ({"max_bucket_reso": 1088}, {"bucket_max": 1088}),
    ({"bucket_no_upscale": True}, {"bucket_no_upscale": True}),
    ({"flip_aug": True}, {"flip": True}),
    ({"shuffle_caption": True, "keep_tokens": "2"}, {"shuffle_caption": True, "keep_tokens": 2}),
    ({"caption_dropout_rate": 0.2}, {"caption_dropout": 0.2}),
    ({"max_token_length": "225"}, {"caption_tokens": "225"}),
    ({"sample_every_n_epochs": 1, "sample_sampler": "k_euler_a"}, {"sample_sampler": "euler a"}),
    ({"sample_every_n_epochs": 0, "sample_sampler": "euler_a"}, {"sample_sampler": "dpm++ 2m karras"}),
]


@pytest.mark.parametrize(("keys", "settings"), OPTIONS, ids=lambda value: ",".join(value))
def test_a_key_sets_what_it_means(keys, settings):
    imported = of(**keys)
    values = imported.config.to_mapping()
    assert {name: values[name] for name in settings} == settings
    exported = export_json(imported.config, imported.kept)
    assert exported.lost == ()
    assert import_json(exported.data).config == imported.config


def test_the_table_reaches_every_setting_that_a_kohya_file_can_set():
    reached = {name for _, settings in OPTIONS for name in settings}
    settable = {one.setting for keys, _ in OPTIONS for one in of(**keys).report.taken}
    assert settable <= reached


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"learning_rate": 0, "unet_lr": 0, "text_encoder_lr": 0}, "learning_rate: is 0"),
        ({"unet_lr": 0, "text_encoder_lr": 1e-4}, "unet_lr: is 0, so that only text encoders"),
        ({"unet_lr": -1}, "learning_rate: must be between"),
        (
            {"LoRA_type": "LyCORIS/LoHa"},
            "LyCORIS/LoHa is a network that Lorelei does not train; the nearest is LyCORIS/",
        ),
        ({"LoRA_type": "LoRA-FA"}, "the nearest is Standard"),
        ({"LoRA_type": "Flux1"}, "does not train"),
        ({"LyCORIS_preset": "/etc/x.toml", "LoRA_type": "LoCon"}, "LyCORIS_preset: is not a name"),
        ({"flux1_checkbox": True}, "another model than SDXL"),
        ({"v2": True}, "Stable Diffusion 2"),
        ({"train_inpainting": True}, "inpainting"),
        ({"optimizer": "DAdaptAdam"}, "the nearest is Prodigy"),
        ({"optimizer": "pytorch_optimizer.CAME"}, "the nearest is Adafactor"),
        ({"optimizer": "SGDNesterov8bit"}, "the nearest is AdamW"),
        ({"optimizer": "RAdamScheduleFree"}, "the nearest is AdamWScheduleFree"),
        ({"optimizer": "AdamW9bit"}, "the nearest is AdamW8bit"),
        ({"optimizer": "Adafactor", "optimizer_args": "relative_step=False scale_parameter=False"}, "take AdamW"),
        ({"lr_scheduler": "cosine_with_min_lr"}, "the nearest is cosine"),
        ({"lr_scheduler": "adafactor"}, "Adafactor optimizer only"),
        ({"loss_type": "l1"}, "the nearest is smooth_l1"),
        ({"debiased_estimation_loss": True}, "debiased: does not go together"),
        ({"max_token_length": 100}, "75, 150 or 225"),
        ({"train_batch_size": 0}, "batch_size: must be between 1 and 64"),
        ({"train_batch_size": 2.5}, "train_batch_size: must be a whole number"),
        ({"network_dim": "many"}, "network_dim: must be a number"),
        ({"network_dim": [8]}, None),
        ({"network_dim": [8, 9, 10]}, "network_dim: must be a number"),
        ({"network_dim": {"a": 8}}, "network_dim: must be a number"),
        ({"network_dim": True}, "network_dim: must be a number"),
        ({"network_alpha": "1e999"}, "network_alpha: must be a finite number"),
        ({"flip_aug": "perhaps"}, "flip_aug: must be true or false"),
        ({"flip_aug": [True]}, "flip_aug: must be true or false"),
        ({"optimizer": 7}, "optimizer: must be a name"),
        ({"max_resolution": "wide"}, "max_resolution: must be a number"),
        ({"max_resolution": "1,2,3"}, "one side in pixels"),
        ({"bucket_reso_steps": 20}, "bucket_step: must be a multiple of 8"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(keys, words):
    if words is None:
        of(**keys)
        return
    with pytest.raises(InvalidConfig) as error:
        of(**keys)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_largest_side_that_leaves_only_squares_is_raised_and_that_is_told():
    report = of(max_bucket_reso=1024).report
    told = "max_bucket_reso  ->  bucket_max = 2048 (raised from 1024, which leaves room for squares only)"
    assert [line.split() for line in report.lines() if "raised" in line] == [told.split()]
    assert report.summary()[1:] == [f"  {told}"]
    assert of(max_bucket_reso=1536).report.summary()[1:] == []


def test_adafactor_has_no_betas_to_take():
    imported = of(optimizer="Adafactor", optimizer_args="betas=0.5,0.6 weight_decay=0.1")
    assert (imported.config.beta_1, imported.config.beta_2, imported.config.weight_decay) == (0.9, 0.999, 0.1)
    assert "optimizer_args" in imported.report.refused


def test_an_old_file_names_its_optimizer_by_a_switch():
    values = {key: value for key, value in BASE.items() if key != "optimizer"}
    assert import_json(data(values)).config.optimizer == "adamw"
    assert import_json(data({**values, "use_8bit_adam": True})).config.optimizer == "adamw-8bit"


def test_unknown_keys_are_named_and_kept():
    unknown = {"brand_new_ratio": 0.5, "brand_new_mode": "soft", "brand_new_switch": True, "brand_new_list": [1]}
    imported = of(**unknown)
    assert {key: imported.report.ignored[key] for key in unknown} == dict.fromkeys(unknown, "no setting of that name")
    exported = json.loads(export_json(imported.config, imported.kept).data)
    assert {key: exported.get(key) for key in unknown} == {**unknown, "brand_new_list": None}


def test_keys_of_other_models_are_kept_too():
    imported = of(flux1_cache_text_encoder_outputs=True, sd3_t5_dropout_rate=0.25)
    exported = json.loads(export_json(imported.config, imported.kept).data)
    assert exported["flux1_cache_text_encoder_outputs"] is True
    assert exported["sd3_t5_dropout_rate"] == 0.25


def test_an_export_says_what_kohya_cannot():
    config = TrainConfig(preservation_weight=1.0, ema_decay=0.9, flip=True)
    assert {"preservation_weight", "ema_decay"} <= set(export_json(config, {}).lost)
    assert "flip" not in export_json(config, {}).lost


def test_rank_stabilised_scaling_is_an_alpha_to_kohya():
    exported = json.loads(export_json(TrainConfig(rank=16, alpha=8.0, rank_stabilised=True), {}).data)
    assert exported["network_alpha"] == 8.0 * 4


def test_the_report_is_grouped_and_short():
    lines = of(brand_new_ratio=0.5).report.lines()
    assert lines[0] == "Taken:"
    assert any(line.split() == ["network_dim", "->", "rank", "=", "32"] for line in lines)
    assert any("no setting of that name: brand_new_ratio" in line for line in lines)
    assert len(lines) < 100
    assert all(len(line) <= 100 for line in lines)


def test_a_file_that_says_nothing_of_checkpointing_leaves_it_to_the_plan():
    assert of(gradient_checkpointing="").config.gradient_checkpointing == "auto"
    assert json.loads(export_json(TrainConfig(), {}).data)["gradient_checkpointing"] is True
    assert "gradient_checkpointing" in export_json(TrainConfig(), {}).lost
