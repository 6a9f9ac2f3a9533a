"""TrainConfig: every knob of a training run, validated before anything heavy starts.

A config is a flat, frozen value. It comes from a preset (one TOML each), plus overrides of the host and of the
member, and it is frozen into job.json at submit: later edits of presets or settings never reach a queued job.
What each field may hold is in `limits`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from trainer.contract.errors import InvalidConfig, unknown_name
from trainer.contract.limits import check_limits, typed, typed_text

Targets = Literal["kohya", "attention"]
Precision = Literal["auto", "fp32", "bf16", "full-bf16", "fp16"]
FilePrecision = Literal["fp16", "bf16", "fp32"]
VaePrecision = Literal["fp32", "bf16", "fp16"]
Optimizer = Literal["adamw", "adamw-8bit", "adafactor", "prodigy", "lion", "schedule-free"]
Schedule = Literal["constant", "cosine", "cosine-restarts", "linear", "polynomial"]
Loss = Literal["mse", "huber", "smooth-l1"]
HuberSchedule = Literal["constant", "exponential", "snr"]
Prediction = Literal["auto", "epsilon", "v-prediction"]
TimestepSampling = Literal["uniform", "sigmoid", "structure", "detail"]
Sampler = Literal["dpm++ 2m karras", "dpm++ sde karras", "euler a", "euler", "unipc", "ddim"]
CaptionTokens = Literal["75", "150", "225"]
Compile = Literal["auto", "on", "off"]
Checkpointing = Literal["auto", "off", "partial", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of one run; lengths in pixels, rates per optimizer step, times in seconds."""

    # --- length -----------------------------------------------------------------------------------------------------
    epochs: int = 100
    """Passes over the data set (each picture counts `repeats` times in one pass)."""
    max_steps: int = 0
    """Ends the run after this many optimizer steps, whatever `epochs` says (kohya: max_train_steps); 0 is no limit."""
    batch_size: int = 5
    """Pictures per forward pass."""
    gradient_accumulation: int = 1
    """Forward passes per optimizer step; a step then sees batch_size x gradient_accumulation pictures."""
    patience: int = 0
    """Ends the run once the validation loss has not fallen for this many validations; 0 never does."""
    # --- network ----------------------------------------------------------------------------------------------------
    rank: int = 32
    """Inner width of each LoRA pair (kohya: network_dim)."""
    alpha: float = 32.0
    """LoRA output is scaled by alpha / rank (kohya: network_alpha)."""
    targets: Targets = "kohya"
    """`kohya`: every linear layer of the UNet's transformers (722 in SDXL); `attention`: q, k, v, out only (560)."""
    conv_rank: int = 0
    """Inner width of LoRA pairs on the UNet's 3x3 convolutions (LoCon, kohya: conv_dim); the layers beside them in the
    same blocks get `rank`; 0 leaves all of these alone."""
    conv_alpha: float = 1.0
    """As `alpha`, for the convolutions."""
    decompose: bool = False
    """DoRA (Liu et al. 2024, arXiv:2402.09353): direction and magnitude are trained apart."""
    rank_stabilised: bool = False
    """Scale by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv:2312.03732); the file's alpha says it to every loader."""
    dropout: float = 0.0
    """Share of a LoRA's inner activations left out in each step (kohya: network_dropout)."""
    text_encoder_1: bool = False
    """Train a LoRA of the same rank in the first text encoder too (72 modules in SDXL)."""
    text_encoder_2: bool = False
    """And in the second (192 modules in SDXL)."""
    # --- optimisation -----------------------------------------------------------------------------------------------
    optimizer: Optimizer = "adamw"
    """Some come from packages of the extra `optimizers`; a missing one is told before anything starts. Adafactor
    waits for the GPU at every weight."""
    learning_rate: float = 1e-4
    """Peak rate of the UNet's LoRA. Prodigy finds its own and wants 1; for Adafactor it bounds the relative step."""
    text_encoder_1_rate: float = 0.0
    """Peak rate of the first text encoder's LoRA; 0 takes `learning_rate`."""
    text_encoder_2_rate: float = 0.0
    """Of the second's; 0 takes `learning_rate`."""
    weight_decay: float = 0.01
    """Decoupled decay, where the optimizer has one."""
    beta_1: float = 0.9
    """Memory of the optimizer's first moment."""
    beta_2: float = 0.999
    """Memory of its second moment (Lion: of its momentum)."""
    schedule: Schedule = "constant"
    """Shape of the learning rate after the warm-up."""
    schedule_cycles: int = 1
    """Falls of `cosine-restarts`."""
    schedule_power: float = 1.0
    """Exponent of `polynomial`; 1 is linear."""
    warmup_steps: int = 0
    """Steps over which the rate rises linearly from 0."""
    warmup_share: float = 0.0
    """The same as a share of all steps (kohya's percent / 100); the longer of both holds."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this joint 2-norm; 0 switches clipping off."""
    max_norm: float = 0.0
    """After each step each module's B A x scale is brought down to this Frobenius norm (kohya: scale_weight_norms);
    0 is off."""
    ema_decay: float = 0.0
    """Files and samples hold an average of the weights that keeps this share at each step, after n steps at most
    (1 + n) / (10 + n); 0 is off."""
    precision: Precision = "auto"
    """`bf16`: fp32 LoRA, arithmetic in bf16; `full-bf16`: LoRA weights in bf16 too; `fp16`: fp32 LoRA, arithmetic in
    fp16 with a scaled loss, for cards without bf16; `auto`: bf16 on a GPU that has it, fp16 on one that has not,
    fp32 on a CPU."""
    vae_precision: VaePrecision = "fp32"
    """Of encoding pictures; fp16 only suits a VAE repaired for it (SDXL's own overflows)."""
    gradient_checkpointing: Checkpointing = "auto"
    """Recompute activations in the backward pass: less memory, up to 40 % more work. `full`: in every block; `partial`:
    in as many as the memory asks for; `off`: in none; `auto`: whatever is fastest in the memory there is."""
    compile: Compile = "auto"
    """Have torch compile the UNet's transformer blocks: faster steps after a minute or two; `auto` does in long runs on
    a GPU."""
    seed: int = 0
    """Everything random derives from it: LoRA's start, order of pictures, noise, timesteps, samples."""
    # --- loss -------------------------------------------------------------------------------------------------------
    loss: Loss = "mse"
    """Of each error e: its square, or as in sd-scripts 2 c (sqrt(e^2 + c^2) - c) for `huber`, without the factor c
    for `smooth-l1`."""
    huber_c: float = 0.1
    """Where the Huber losses turn from square to linear."""
    huber_schedule: HuberSchedule = "snr"
    """How that place moves with the timestep, as in sd-scripts."""
    min_snr_gamma: float = 0.0
    """Weights each timestep by min(snr, gamma) / snr (Hang et al. 2023, arXiv:2303.09556); 5 is usual, 0 is off."""
    debiased: bool = False
    """Weights each timestep by 1 / sqrt(snr) (Yu et al. 2023, arXiv:2310.08442), for velocity by 1 / (snr + 1) as in
    sd-scripts; never together with min-SNR."""
    prediction: Prediction = "auto"
    """What the base predicts; `auto` believes the base's own files."""
    zero_terminal_snr: bool = False
    """Rescale the noise schedule so that its last step is pure noise (Lin et al. 2023, arXiv:2305.08891)."""
    noise_offset: float = 0.0
    """Adds this much of a per-channel constant to the noise, for darker and brighter pictures; 0 switches it off."""
    adaptive_noise_scale: float = 0.0
    """Adds this much of the latent's per-channel mean to the offset's strength (kohya); needs a noise offset."""
    input_perturbation: float = 0.0
    """Extra noise of this strength in what the UNet sees, not in what it should say (kohya: ip_noise_gamma)."""
    min_timestep: int = 0
    """Timesteps are drawn from here …"""
    max_timestep: int = 1000
    """… to below here; 0 is clean, 999 is noise."""
    timestep_sampling: TimestepSampling = "uniform"
    """Favours the middle (`sigmoid`), noisy steps (`structure`: composition) or clean ones (`detail`: texture)."""
    prior_weight: float = 1.0
    """Weight of regularisation pictures in the loss, where the job has any (kohya: prior_loss_weight)."""
    preservation_weight: float = 0.0
    """Weight of keeping the base's own answer to the captions without their trigger word; 0 is off. The base teaches
    (LoRA switched off), so the class word keeps its meaning and no regularisation pictures are needed."""
    preservation_share: float = 0.4
    """Share of each batch that is shown once more for that, at least one picture."""
    masked_loss: bool = False
    """The loss counts only where a picture's mask is white; pictures without a mask count whole."""
    # --- pictures and captions --------------------------------------------------------------------------------------
    resolution: int = 1024
    """Side of the square whose area every bucket keeps."""
    bucket_step: int = 64
    """Bucket sides are multiples of this."""
    bucket_min: int = 256
    """Shortest side of a bucket …"""
    bucket_max: int = 2048
    """… and longest."""
    bucket_no_upscale: bool = False
    """A picture smaller than its bucket gets a smaller one of its own, never enlarged."""
    square: bool = False
    """One square bucket for all instead of aspect buckets: cut around the picture's focus box, or its centre."""
    flip: bool = False
    """Show a picture mirrored in half of the steps; not for faces, which are not symmetric."""
    shuffle_caption: bool = False
    """Shuffle the tags behind the first `keep_tokens` ones anew for each step."""
    keep_tokens: int = 2
    """Leading tags (trigger and class word) that shuffling and dropout leave in place."""
    tag_dropout: float = 0.0
    """Share of the tags behind those left out anew in each step."""
    caption_dropout: float = 0.0
    """Share of steps in which a picture is shown with an empty caption."""
    caption_tokens: CaptionTokens = "225"
    """Most tokens of a caption that are read, in chunks of 75 as A1111 reads prompts."""
    validation_share: float = 0.0
    """Share of the pictures (at least one) held back to measure on, with fixed noise and timesteps; 0 holds none."""
    # --- checkpoints and samples ------------------------------------------------------------------------------------
    checkpoint_every_epochs: int = 5
    """A LoRA file is kept at each multiple, and at the end (only there when it exceeds `epochs`)."""
    file_precision: FilePrecision = "fp16"
    """Number format of the LoRA file; fp16 has three more bits of mantissa than bf16."""
    strip_metadata: bool = False
    """Leave everything drawn from captions and pictures out of the file's metadata."""
    sample_count: int = 4
    """Pictures drawn at each checkpoint epoch; 0 draws none."""
    sample_steps: int = 30
    """Denoising steps of a sample."""
    sample_guidance: float = 7.0
    """Classifier-free guidance scale of samples (A1111's default)."""
    sample_sampler: Sampler = "dpm++ 2m karras"
    """By A1111's name."""
    state_every_seconds: float = 180.0
    """A resume state is written about this often, and at a pause."""

    def __post_init__(self) -> None:
        """Refuse a config that cannot train; the first problem is raised as InvalidConfig."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, typed(field.name, getattr(self, field.name), _HINTS[field.name]))
        check_limits(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Config from plain values; raises InvalidConfig for a key nobody knows, with the nearest one."""
        for key in values:
            if key not in _HINTS:
                raise InvalidConfig(str(key), unknown_name(str(key), _HINTS))
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, one per field, ready for JSON."""
        return dataclasses.asdict(self)

    def with_overrides(self, values: Mapping[str, Any]) -> Self:
        """This config with some values replaced; raises InvalidConfig as from_mapping does."""
        return self.from_mapping({**self.to_mapping(), **values})


_HINTS: Mapping[str, Any] = types.MappingProxyType(
    {name: hint for name, hint in typing.get_type_hints(TrainConfig).items() if not name.startswith("_")}
)


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` of a command line as key and typed value.

    Raises InvalidConfig when the key is unknown or the value does not fit the field.
    """
    key, separator, raw = text.partition("=")
    key, raw = key.strip(), raw.strip()
    if not separator:
        raise InvalidConfig(text, "write it as key=value")
    if key not in _HINTS:
        raise InvalidConfig(key, unknown_name(key, _HINTS))
    return key, typed_text(key, raw, _HINTS[key])
