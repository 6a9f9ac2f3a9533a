"""Names and layout of a kohya (sd-scripts) SDXL LoRA file, as A1111, ComfyUI and diffusers read it.

kohya names a module after SDXL's original layout (LDM), not after diffusers. Three rules join the two, with
l = layers_per_block, found by counting the blocks of the original UNet (input_blocks.0 is conv_in, every level has l
residual blocks and a downsampler; upwards every level has l + 1 blocks):

    down_blocks.i.attentions.j  ->  input_blocks.(1 + (l + 1) i + j).1
    mid_block.attentions.0      ->  middle_block.1
    up_blocks.i.attentions.j    ->  output_blocks.((l + 1) i + j).1

Dots then become underscores behind `lora_unet_`. For SDXL (l = 2) this gives exactly sd-scripts' 722 UNet modules.
Only the UNet is trained here; a file with text encoder parts (lora_te1, lora_te2) is refused by `peft_tensors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.errors import LoraFileError

PREFIX = "lora_unet_"
DOWN, UP, ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"
_LORA_A, _LORA_B = ".lora_A.weight", ".lora_B.weight"

_DIFFUSERS = re.compile(
    r"(?:(?P<way>down|up)_blocks\.(?P<block>\d+)|mid_block)\.attentions\.(?P<layer>\d+)\.(?P<inner>.+)"
)
_KOHYA = re.compile(
    re.escape(PREFIX) + r"(?:(?P<way>input|output)_blocks_(?P<number>\d+)|middle_block)_1_(?P<inner>.+)"
)
_INNER = re.compile(
    r"proj_in|proj_out|transformer_blocks\.\d+\.(?:attn[12]\.(?:to_[qkv]|to_out\.0)|ff\.net\.0\.proj|ff\.net\.2)"
)
"""The modules a LoRA of SDXL's transformers can hold, as paths inside one `attentions.j`."""


def kohya_name(module: str, layers_per_block: int) -> str:
    """kohya's name of a UNet module, e.g. `down_blocks.1.attentions.0.proj_in` -> `lora_unet_input_blocks_4_1_proj_in`.

    Raises LoraFileError for a module outside the UNet's transformers.
    """
    match = _DIFFUSERS.fullmatch(module)
    if match is None or not _INNER.fullmatch(match["inner"]):
        raise LoraFileError(f"kohya's format has no place for the module {module!r}; train other targets.")
    layer = int(match["layer"])
    if match["way"] is None:
        place = "middle_block_1"
    else:
        number = (layers_per_block + 1) * int(match["block"]) + layer
        place = f"input_blocks_{number + 1}_1" if match["way"] == "down" else f"output_blocks_{number}_1"
    return f"{PREFIX}{place}_{match['inner'].replace('.', '_')}"


def module_path(name: str, layers_per_block: int) -> str:
    """The UNet module of a kohya name, the inverse of `kohya_name`. Raises LoraFileError for any other name."""
    match = _KOHYA.fullmatch(name)
    inner = _dotted(match["inner"]) if match else ""
    if match is None or not _INNER.fullmatch(inner):
        raise LoraFileError(f"{name!r} is not a module of an SDXL UNet in kohya's names.")
    if match["way"] is None:
        return f"mid_block.attentions.0.{inner}"
    number = int(match["number"]) - (match["way"] == "input")
    block, layer = divmod(number, layers_per_block + 1)
    return f"{'down' if match['way'] == 'input' else 'up'}_blocks.{block}.attentions.{layer}.{inner}"


def _dotted(inner: str) -> str:
    """`transformer_blocks_0_attn1_to_out_0` -> `transformer_blocks.0.attn1.to_out.0`."""
    inner = re.sub(r"transformer_blocks_(\d+)_", r"transformer_blocks.\1.", inner)
    inner = re.sub(r"(attn[12])_to_", r"\1.to_", inner).replace("to_out_0", "to_out.0")
    return inner.replace("ff_net_0_proj", "ff.net.0.proj").replace("ff_net_2", "ff.net.2")


def kohya_tensors(
    lora_state: Mapping[str, Tensor], *, alpha: float, layers_per_block: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The tensors of a kohya file, on the CPU in `dtype`, sorted by name.

    lora_state: `<module path>.lora_A.weight` (rank, in) and `.lora_B.weight` (out, rank), paths relative to the UNet.
    Each module gets `.lora_down.weight`, `.lora_up.weight` and `.alpha` (0-dim; strength is alpha / rank). Raises
    LoraFileError for a module kohya has no name for, or a pair with one half missing.
    """
    modules = {_module(key) for key in lora_state}
    tensors: dict[str, Tensor] = {}
    for module in sorted(modules):
        name = kohya_name(module, layers_per_block)
        down, up = lora_state.get(module + _LORA_A), lora_state.get(module + _LORA_B)
        if down is None or up is None:
            raise LoraFileError(f"the LoRA of {module!r} lacks one of its two matrices.")
        # Always fp32: a rounded alpha would scale the whole LoRA, and every loader reads it as a number of its own.
        tensors[name + ALPHA] = torch.tensor(alpha, dtype=torch.float32)
        tensors[name + DOWN] = _plain(down, dtype)
        tensors[name + UP] = _plain(up, dtype)
    return dict(sorted(tensors.items()))


def peft_tensors(tensors: Mapping[str, Tensor], *, layers_per_block: int) -> tuple[dict[str, Tensor], float]:
    """The lora_state in a kohya file's tensors, and its alpha; the inverse of `kohya_tensors`.

    Raises LoraFileError when modules differ in rank or alpha (one peft adapter has one of each), when a matrix is
    missing, or when anything else than UNet linears is in it.
    """
    names = {name.removesuffix(end) for name in tensors for end in (DOWN, UP, ALPHA) if name.endswith(end)}
    strangers = [name for name in tensors if not name.endswith((DOWN, UP, ALPHA))]
    if strangers or not names:
        raise LoraFileError(f"not a kohya LoRA of an SDXL UNet: it holds {(strangers or ['nothing'])[0]!r}.")
    state: dict[str, Tensor] = {}
    alphas: set[float] = set()
    for name in sorted(names):
        module = module_path(name, layers_per_block)
        if not {name + DOWN, name + UP} <= tensors.keys():
            raise LoraFileError(f"the LoRA of {name!r} lacks one of its two matrices.")
        down, up = tensors[name + DOWN], tensors[name + UP]
        state[module + _LORA_A], state[module + _LORA_B] = _matrix(name, down), _matrix(name, up)
        # kohya's rule: without an alpha the strength is 1, which is alpha = rank.
        alphas.add(float(tensors[name + ALPHA]) if name + ALPHA in tensors else float(down.shape[0]))
    ranks = {tensor.shape[0] for key, tensor in state.items() if key.endswith(_LORA_A)}
    if len(ranks) > 1 or len(alphas) > 1:
        raise LoraFileError(f"its modules differ in rank {sorted(ranks)} or alpha {sorted(alphas)}.")
    return state, alphas.pop()


def _module(key: str) -> str:
    for end in (_LORA_A, _LORA_B):
        if key.endswith(end):
            return key.removesuffix(end)
    raise LoraFileError(f"{key!r} is not a LoRA matrix; this exporter knows lora_A.weight and lora_B.weight.")


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to("cpu", dtype).contiguous()


def _matrix(name: str, tensor: Tensor) -> Tensor:
    """Two dimensions; some files store linears as 1x1 convolutions."""
    if tensor.dim() == 4 and tensor.shape[2:] == (1, 1):
        return tensor[:, :, 0, 0]
    if tensor.dim() != 2:
        raise LoraFileError(f"{name!r} is a LoRA of a convolution; only linear layers are read.")
    return tensor
