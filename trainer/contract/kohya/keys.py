"""What becomes of the keys that have no setting of ours: refused, or passed over with a reason.

Names are those of Kohya SS (kohya_ss 45088f0, kohya_gui/lora_gui.py, save_configuration) in all its generations, and of
sd-scripts (48d368f). A key nobody knows is judged by the words in its name, so that a token under a new name is refused
too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from trainer.contract.kohya.read import shown

PATHS: Final = "files and folders are chosen when a training is started"
SECRETS: Final = "tokens and accounts are never read"
ARGUMENTS: Final = "extra arguments are never passed on"
TEXTS: Final = "texts of people stay out of settings"

_ITSELF = "Lorelei sees to it by itself"
_OTHER_MODELS = "for other models than SDXL"
_OTHER_NETWORKS = "for networks that Lorelei does not train"
_BLOCKS = "every block has the same rank, alpha and rate"
_KEPT = "every checkpoint epoch is kept, and resume states by time"
_SAMPLES = "samples are drawn at every checkpoint, with prompts of their own"
_LOGS = "every run has events, TensorBoard and a bar"
_NOISE = "this kind of noise is not offered"
_UNKNOWN = "no setting of that name"

_REASONS: Mapping[str, str] = MappingProxyType(
    {
        _ITSELF: """cache_latents cache_latents_to_disk vae_batch_size max_data_loader_n_workers skip_cache_check
            persistent_data_loader_workers num_cpu_threads_per_process highvram lowvram lowram mem_eff_attn xformers
            sdpa num_processes num_machines multi_gpu gpu_ids main_process_port dynamo_backend dynamo_mode
            dynamo_use_fullgraph dynamo_use_dynamic torch_compile cache_text_encoder_outputs_to_disk save_model_as
            text_encoder_batch_size disable_mmap_load_safetensors no_token_padding sdxl save_as_bool""",
        _OTHER_MODELS: """t5xxl_lr discrete_flow_shift model_prediction_type timestep_sampling split_mode train_blocks
            t5xxl_max_token_length enable_all_linear guidance_scale mem_eff_save apply_t5_attn_mask split_qkv
            train_t5xxl cpu_offload_checkpointing blocks_to_swap single_blocks_to_swap double_blocks_to_swap
            show_timesteps show_timesteps_resolution img_attn_dim img_mlp_dim img_mod_dim single_dim txt_attn_dim
            txt_mlp_dim txt_mod_dim single_mod_dim in_dims train_double_block_indices train_single_block_indices
            clip_g_dropout_rate logit_mean logit_std mode_scale pos_emb_random_crop_rate save_clip save_t5xxl
            t5xxl_device t5xxl_dtype weighting_scheme model_type fp8_base fp8_base_unet fused_backward_pass v2""",
        _OTHER_NETWORKS: """factor use_cp use_tucker use_scalar rank_dropout_scale constrain rescaled train_norm
            decompose_both train_on_input unit bypass_mode train_lora_ggpo ggpo_sigma ggpo_beta rank_dropout
            module_dropout loraplus_lr_ratio loraplus_text_encoder_lr_ratio loraplus_unet_lr_ratio dim_from_weights""",
        _BLOCKS: """down_lr_weight mid_lr_weight up_lr_weight block_lr_zero_threshold block_dims block_alphas
            conv_block_dims conv_block_alphas""",
        _KEPT: """save_every_n_steps save_last_n_steps save_last_n_steps_state save_last_n_epochs save_state
            save_last_n_epochs_state save_state_on_train_end save_n_epoch_ratio""",
        _SAMPLES: "sample_every_n_steps sample_every_n_epochs sample_at_first",
        _LOGS: "log_with log_config log_prefix use_wandb",
        "captions are the .txt files beside the pictures": "caption_extension caption_extention",
        "only the plain noise offset is offered": "noise_offset_type",
        _NOISE: "multires_noise_iterations multires_noise_discount perlin_noise",
        "the strength is always the full one": "noise_offset_random_strength ip_noise_gamma_random_strength",
        "kohya's own GUI ignores it too": "stop_text_encoder_training stop_text_encoder_training_pct",
        "SDXL always reads its encoders' last layer but one": "clip_skip",
        "goes with mixed_precision = bf16 only": "full_bf16",
        "LoRA weights in fp16 diverge; they stay fp32": "full_fp16",
        "velocity losses are not rescaled": "v_pred_like_loss scale_v_pred_loss_like_noise_pred",
        "dropout works by share of steps, not by epochs": "caption_dropout_every_n_epochs",
        "colours and cuts are left as the pictures have them": "color_aug random_crop face_crop_aug_range",
        "captions are read as written": """weighted_captions enable_wildcard token_warmup_min token_warmup_step
            caption_prefix caption_suffix caption_separator keep_tokens_separator secondary_separator""",
        "multiplies the rate that is written beside it": "lr_scheduler_timescale lr_scheduler_min_lr_ratio",
    }
)
_REASON_OF: Mapping[str, str] = MappingProxyType({key: why for why, keys in _REASONS.items() for key in keys.split()})

_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        PATHS: """pretrained_model_name_or_path model_list output_dir output_name logging_dir train_data_dir
            reg_data_dir dataset_config vae resume network_weights lora_network_weights log_tracker_config
            sample_prompts ae clip_l clip_g t5xxl sd3_clip_l sd3_t5xxl hunyuan_text_encoder hunyuan_byt5 hunyuan_vae
            anima_qwen3 anima_vae anima_llm_adapter_path anima_t5_tokenizer_path lumina_gemma2 lumina_ae
            conditioning_data_dir base_weights in_json config_file tokenizer_cache_dir""",
        SECRETS: """wandb_api_key wandb_run_name log_tracker_name huggingface_repo_id huggingface_token
            huggingface_repo_type huggingface_repo_visibility huggingface_path_in_repo save_state_to_huggingface
            resume_from_huggingface async_upload""",
        ARGUMENTS: """additional_parameters extra_accelerate_launch_args optimizer_args lr_scheduler_args network_args
            lr_scheduler_type""",
        TEXTS: """training_comment metadata_author metadata_description metadata_license metadata_tags metadata_title
            lumina_system_prompt""",
    }
)
_REFUSAL_OF: Mapping[str, str] = MappingProxyType({key: why for why, keys in _REFUSED.items() for key in keys.split()})
_REFUSAL_OF_LETTERS = {key.replace("_", ""): why for key, why in _REFUSAL_OF.items()}
"""The same for names in another spelling: outputdir, WandbApiKey."""

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        SECRETS: """token tokens key keys apikey secret secrets password passwd pass pwd passphrase credential auth
            account user username login email wandb huggingface hf cookie session bearer""",
        PATHS: """path paths dir dirs directory folder folders file files weights checkpoint ckpt model url uri link
            repo host hostname server address root home drive location""",
        ARGUMENTS: "args arg argument arguments parameters params command cmd exec script env",
        TEXTS: "name comment comments description author title tags license prompt prompts note notes",
    }
)
"""Words in the name of a key nobody knows that tell what it holds."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TELLTALE = re.compile(r"token|secret|passw|credential|api_?key")
_OTHER_MODEL = re.compile(r"(?:flux1|sd3|hunyuan|anima|lumina)_.*")
_OFF = ("", "none", "None", "0", "false", "False")
_HARMLESS_TEXT = re.compile(r"(?:[A-Za-z0-9 ,+_-]|\.(?![A-Za-z])){1,24}")
"""Without ends of file names."""
_MOST_DIGITS = 4
_LARGEST = 2**53


def refusal(key: str) -> str | None:
    """Why a key's value is never read, or None for one that may be."""
    if why := _REFUSAL_OF.get(key):
        return why
    if key in _REASON_OF or _OTHER_MODEL.fullmatch(key):
        return None
    lower = _CAMEL.sub("_", key).lower()
    if why := _REFUSAL_OF_LETTERS.get(lower.replace("_", "")):
        return why
    if _TELLTALE.search(lower):
        return SECRETS
    words = set(re.split(r"[^a-z0-9]+", lower))
    return next((why for why, marks in _WORDS.items() if words & set(marks.split())), None)


def reason(key: str) -> str:
    """Why a key that is not refused has no effect here."""
    return _REASON_OF.get(key) or (_OTHER_MODELS if _OTHER_MODEL.fullmatch(key) else _UNKNOWN)


def kept(values: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Those of some keys that may be written into a file of ours: plain names, harmless values, nothing refused."""
    return {key: value for key, value in values.items() if shown(key) == key and not refusal(key) and _harmless(value)}


def is_off(value: Any) -> bool:
    """True for a value that switches nothing on: empty, zero, false, `none`."""
    return value is None or value == 0 or value in ([], {}) or (isinstance(value, str) and value.strip() in _OFF)


def _harmless(value: Any) -> bool:
    """True for a value that may be kept for the way back: a switch, a number, or a short word.

    Whoever wants to hide a token in a setting's name has 24 characters with 4 digits for it, which is no token.
    """
    if isinstance(value, (bool, int, float)):
        return abs(value) <= _LARGEST  # false for NaN too
    return isinstance(value, str) and (not value or bool(_plain(value)))


def _plain(text: str) -> bool:
    return bool(_HARMLESS_TEXT.fullmatch(text)) and sum(char.isdigit() for char in text) <= _MOST_DIGITS
