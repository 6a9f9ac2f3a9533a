"""The keys of a configuration that Kohya SS saves today, with a value that switches each one off.

Names: kohya_ss 45088f0, kohya_gui/lora_gui.py, save_configuration (288 keys). Opening a file with fewer keys leaves
whatever the GUI shows at the moment in the others, so an export writes them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_FALSE = """v2 flux1_checkbox sd3_checkbox hunyuan_image_checkbox anima_checkbox lumina_checkbox multi_gpu
train_inpainting dynamo_use_fullgraph dynamo_use_dynamic fp8_base fp8_base_unet full_fp16 highvram lowvram save_state
save_state_on_train_end color_aug mem_eff_attn persistent_data_loader_workers random_crop noise_offset_random_strength
ip_noise_gamma_random_strength skip_cache_check log_config scale_v_pred_loss_like_noise_pred weighted_captions
dim_from_weights bypass_mode use_cp use_tucker use_scalar rank_dropout_scale rescaled train_norm decompose_both
train_lora_ggpo save_state_to_huggingface async_upload flux1_cache_text_encoder_outputs
flux1_cache_text_encoder_outputs_to_disk split_mode enable_all_linear mem_eff_save apply_t5_attn_mask split_qkv
train_t5xxl cpu_offload_checkpointing sd3_cache_text_encoder_outputs sd3_cache_text_encoder_outputs_to_disk
sd3_fused_backward_pass sd3_disable_mmap_load_safetensors save_clip save_t5xxl
hunyuan_image_cache_text_encoder_outputs hunyuan_image_cache_text_encoder_outputs_to_disk hunyuan_split_attn
hunyuan_fp8_scaled hunyuan_fp8_vl hunyuan_text_encoder_cpu anima_cache_text_encoder_outputs
anima_cache_text_encoder_outputs_to_disk anima_split_attn anima_vae_disable_cache anima_unsloth_offload_checkpointing
anima_qwen_image_vae_2d anima_compile anima_torch_compile anima_compile_fullgraph lumina_cache_text_encoder_outputs
lumina_cache_text_encoder_outputs_to_disk lumina_use_flash_attn lumina_use_sage_attn save_as_bool"""

_ZERO = """stop_text_encoder_training main_process_port max_data_loader_n_workers v_pred_like_loss
caption_dropout_every_n_epochs multires_noise_iterations vae_batch_size save_every_n_steps save_last_n_steps
save_last_n_steps_state save_last_n_epochs save_last_n_epochs_state t5xxl_lr constrain sample_every_n_steps
sample_every_n_epochs rank_dropout module_dropout loraplus_lr_ratio loraplus_text_encoder_lr_ratio
loraplus_unet_lr_ratio blocks_to_swap single_blocks_to_swap double_blocks_to_swap clip_g_dropout_rate
sd3_clip_l_dropout_rate sd3_t5_dropout_rate pos_emb_random_crop_rate logit_mean sd3_text_encoder_batch_size
hunyuan_vae_chunk_size anima_vae_chunk_size"""

_EMPTY = """pretrained_model_name_or_path dataset_config train_data_dir output_name training_comment logging_dir
reg_data_dir output_dir model_list lr_scheduler_args lr_scheduler_type gpu_ids extra_accelerate_launch_args resume
additional_parameters log_with wandb_api_key wandb_run_name log_tracker_name log_tracker_config vae network_weights
sample_prompts down_lr_weight mid_lr_weight up_lr_weight block_lr_zero_threshold block_dims block_alphas
conv_block_dims conv_block_alphas huggingface_repo_id huggingface_token huggingface_repo_type
huggingface_repo_visibility huggingface_path_in_repo resume_from_huggingface metadata_author metadata_description
metadata_license metadata_tags metadata_title ae clip_l t5xxl clip_g sd3_clip_l sd3_t5xxl show_timesteps img_attn_dim
img_mlp_dim img_mod_dim single_dim txt_attn_dim txt_mlp_dim txt_mod_dim single_mod_dim in_dims
train_double_block_indices train_single_block_indices t5xxl_device hunyuan_text_encoder hunyuan_byt5 hunyuan_vae
anima_qwen3 anima_vae anima_llm_adapter_path anima_t5_tokenizer_path anima_compile_dynamic
anima_compile_cache_size_limit lumina_gemma2 lumina_ae lumina_system_prompt"""

_OWN: Mapping[str, Any] = MappingProxyType(
    {
        "anima_attn_mode": "torch",
        "anima_compile_backend": "inductor",
        "anima_compile_mode": "default",
        "anima_discrete_flow_shift": 1.0,
        "anima_qwen3_max_token_length": 512,
        "anima_sigmoid_scale": 1.0,
        "anima_t5_max_token_length": 512,
        "anima_timestep_sampling": "sigmoid",
        "cache_latents": True,
        "cache_latents_to_disk": True,
        "caption_extension": ".txt",
        "clip_skip": 1,
        "discrete_flow_shift": 3.0,
        "dynamo_backend": "no",
        "dynamo_mode": "default",
        "factor": -1,
        "ggpo_beta": 0.01,
        "ggpo_sigma": 0.03,
        "guidance_scale": 3.5,
        "huber_scale": 1.0,
        "hunyuan_attn_mode": "torch",
        "hunyuan_discrete_flow_shift": 5.0,
        "hunyuan_model_prediction_type": "raw",
        "hunyuan_sigmoid_scale": 1.0,
        "hunyuan_timestep_sampling": "sigma",
        "logit_std": 1.0,
        "lumina_discrete_flow_shift": 6.0,
        "lumina_gemma2_max_token_length": 256,
        "lumina_model_prediction_type": "raw",
        "lumina_sigmoid_scale": 1.0,
        "lumina_timestep_sampling": "nextdit_shift",
        "mode_scale": 1.29,
        "model_prediction_type": "sigma_scaled",
        "model_type": "flux",
        "multires_noise_discount": 0.3,
        "noise_offset_type": "Original",
        "num_cpu_threads_per_process": 2,
        "num_machines": 1,
        "num_processes": 1,
        "save_model_as": "safetensors",
        "sd3_enable_scaled_pos_embed": False,
        "sdxl": True,
        "show_timesteps_resolution": "1024",
        "t5xxl_dtype": "bf16",
        "t5xxl_max_token_length": 512,
        "timestep_sampling": "sigma",
        "train_blocks": "all",
        "train_on_input": True,
        "unit": 1,
        "weighting_scheme": "logit_normal",
        "xformers": "sdpa",
    }
)

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(_FALSE.split(), False),
        **dict.fromkeys(_ZERO.split(), 0),
        **dict.fromkeys(_EMPTY.split(), ""),
        **_OWN,
    }
)
"""Every key of today's file that no setting of ours writes."""
