"""Length, checkpoints and number formats of a kohya file."""

from __future__ import annotations

from types import MappingProxyType

from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.reading import Reading

_MOST_EPOCHS = 10_000
_SD_SCRIPTS_STEPS = 1600
"""max_train_steps where an sd-scripts file names no length at all."""
_SAVE = MappingProxyType({"fp16": "fp16", "bf16": "bf16", "float": "fp32", "": "fp32", "None": "fp32"})
_MIXED = MappingProxyType({"no": "fp32", "fp16": "fp16", "bf16": "bf16"})
_SAMPLERS = MappingProxyType(
    {
        "ddim": "ddim",
        "euler": "euler",
        "k_euler": "euler",
        "euler_a": "euler a",
        "k_euler_a": "euler a",
        "dpmsolver++": "dpm++ 2m karras",
    }
)


def read_run(keys: Reading) -> None:
    """Everything about how long, how often and in which numbers; raises InvalidConfig."""
    _refuse_other_models(keys)
    _read_length(keys)
    keys.take("train_batch_size", "batch_size", keys.whole("train_batch_size", 1))
    keys.take("gradient_accumulation_steps", "gradient_accumulation", keys.whole("gradient_accumulation_steps", 1) or 1)
    if keys.has("gradient_checkpointing"):
        recomputed = "full" if keys.flag("gradient_checkpointing") else "off"
        keys.take("gradient_checkpointing", "gradient_checkpointing", recomputed)
    keys.take("seed", "seed", keys.whole("seed", 0))
    _read_precision(keys)
    _read_sampler(keys)


def _refuse_other_models(keys: Reading) -> None:
    models = ("flux1", "sd3", "hunyuan_image", "anima", "lumina")
    for model in models:
        if keys.flag(f"{model}_checkbox"):
            raise InvalidConfig(f"{model}_checkbox", "the file trains another model than SDXL; choose one for SDXL")
    if keys.flag("v2"):
        raise InvalidConfig("v2", "the file trains Stable Diffusion 2; choose one for SDXL")
    if keys.flag("train_inpainting"):
        raise InvalidConfig("train_inpainting", "Lorelei does not train inpainting; switch it off")


def _read_length(keys: Reading) -> None:
    """max_train_epochs beats max_train_steps (sd-scripts, train_network.py), which beats `epoch`: the GUI makes steps
    out of `epoch` only where max_train_steps is 0 (kohya_gui/lora_gui.py, train_model), and sd-scripts never reads it.
    """
    epoch, epochs, steps = (keys.whole(key, 0) for key in ("epoch", "max_train_epochs", "max_train_steps"))
    if not keys.gui and not epochs and not steps:
        steps = _SD_SCRIPTS_STEPS
    if epochs:
        keys.take("max_train_epochs", "epochs", epochs)
        keys.ignore("epoch", "max_train_epochs counts")
        keys.ignore("max_train_steps", "max_train_epochs counts")
    elif steps:
        # kohya goes on until so many steps are done; an epoch has one at least, so these epochs are always enough.
        epochs = max(epoch, min(steps, _MOST_EPOCHS))
        keys.take("max_train_steps", "max_steps", steps)
        keys.take("max_train_steps", "epochs", epochs)
        keys.ignore("epoch", "max_train_steps counts, whatever the epochs")
    else:
        epochs = epoch or 1
        keys.take("epoch", "epochs", epochs)
    # 0 keeps the last file only, as a checkpoint above `epochs` does.
    keys.take("save_every_n_epochs", "checkpoint_every_epochs", keys.whole("save_every_n_epochs", 0) or epochs)


def _read_precision(keys: Reading) -> None:
    precision = keys.choice("mixed_precision", _MIXED, "no")
    if precision == "bf16" and keys.flag("full_bf16"):
        precision = "full-bf16"
        keys.take("full_bf16", "precision", precision)
    keys.take("mixed_precision", "precision", precision)
    keys.take("save_precision", "file_precision", keys.choice("save_precision", _SAVE, ""))
    name = "sdxl_no_half_vae" if keys.gui else "no_half_vae"
    # SDXL's own VAE overflows in fp16, so with fp16 it stays in fp32 even where kohya would try.
    half = not keys.flag(name) and precision in ("bf16", "full-bf16")
    keys.take(name, "vae_precision", "bf16" if half else "fp32")


def _read_sampler(keys: Reading) -> None:
    """Of use only where the file draws samples: the name is a drop-down's first entry everywhere else."""
    draws = keys.number("sample_every_n_epochs", 0) or keys.number("sample_every_n_steps", 0)
    known = {name.lower(): ours for name, ours in _SAMPLERS.items()}
    name = keys.word("sample_sampler").lower()
    if draws and name in known:
        keys.take("sample_sampler", "sample_sampler", known[name])
    else:
        keys.ignore("sample_sampler", "it has no counterpart here" if draws else "the file draws no samples")
