"""kohya's (sd-scripts') names of SDXL's modules, and back. Needs no torch.

kohya names a UNet module after SDXL's original layout (LDM), not after diffusers. With l = layers_per_block, found by
counting the blocks of the original UNet (input_blocks.0 is conv_in, every level has l residual blocks and a
downsampler; upwards every level has l + 1 blocks, the last of them ends in the upsampler):

    down_blocks.i.resnets.j           ->  input_blocks.(1 + (l + 1) i + j).0
    down_blocks.i.attentions.j        ->  input_blocks.(1 + (l + 1) i + j).1
    down_blocks.i.downsamplers.0.conv ->  input_blocks.((l + 1) (i + 1)).0.op
    mid_block.resnets.j               ->  middle_block.(2 j)
    mid_block.attentions.0            ->  middle_block.1
    up_blocks.i.resnets.j             ->  output_blocks.((l + 1) i + j).0
    up_blocks.i.attentions.j          ->  output_blocks.((l + 1) i + j).1
    up_blocks.i.upsamplers.0.conv     ->  output_blocks.((l + 1) i + l).2.conv

Dots then become underscores behind `lora_unet_`. For SDXL (l = 2) this gives exactly sd-scripts' 722 UNet modules, 788
with convolutions. The text encoders' modules are called as in transformers behind `lora_te1_` and `lora_te2_`, always
with `text_model` in front: transformers 5.6 dropped that from the first encoder, but ComfyUI looks for it.

Modules here are called `<part>.<path>`, parts `unet`, `text_encoder`, `text_encoder_2` (diffusers' own words).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from trainer.errors import LoraFileError

UNET, TEXT_1, TEXT_2 = "lora_unet_", "lora_te1_", "lora_te2_"

_RESNET: Mapping[str, str] = MappingProxyType(
    {
        "conv1": "in_layers_2",
        "conv2": "out_layers_3",
        "time_emb_proj": "emb_layers_1",
        "conv_shortcut": "skip_connection",
    }
)
_RESNET_BACK = {theirs: ours for ours, theirs in _RESNET.items()}
_PARTS = {"text_encoder": TEXT_1, "text_encoder_2": TEXT_2}

_ATTENTION = re.compile(
    r"proj_in|proj_out|transformer_blocks\.[0-9]{1,3}\.(?:attn[12]\.(?:to_[qkv]|to_out\.0)|ff\.net\.0\.proj|ff\.net\.2)"
)
"""The modules a LoRA of SDXL's transformers can hold, as paths inside one `attentions.j`."""
_MODULE = re.compile(
    r"unet\.(?:(?P<way>down|up)_blocks\.(?P<block>[0-9]{1,3})|mid_block)"
    r"\.(?P<kind>resnets|attentions|downsamplers|upsamplers)\.(?P<number>[0-9]{1,3})\.(?P<inner>.+)"
)
_LDM = re.compile(r"(?:(?P<way>input|output)_blocks_(?P<number>[0-9]{1,3})|middle_block)_(?P<slot>[0-2])_(?P<inner>.+)")
_DIFFUSERS = re.compile(
    r"(?P<block>(?:down|up)_blocks_[0-9]{1,3}|mid_block)"
    r"_(?P<kind>resnets|attentions|downsamplers|upsamplers)_(?P<number>[0-9]{1,3})_(?P<inner>.+)"
)
_TEXT = re.compile(r"text_model\.encoder\.layers\.[0-9]{1,3}\.(?:self_attn\.(?:[qkv]|out)_proj|mlp\.fc[12])")
_TEXT_NAME = re.compile(
    r"(?:text_model_)?encoder_layers_([0-9]{1,3})_(?:(self_attn)_((?:[qkv]|out)_proj)|(mlp)_(fc[12]))"
)


def kohya_name(module: str, layers_per_block: int) -> str:
    """kohya's name of a module, e.g. `unet.down_blocks.1.attentions.0.proj_in` -> `lora_unet_input_blocks_4_1_proj_in`.

    Raises LoraFileError for a module without one.
    """
    part, _, path = module.partition(".")
    if part in _PARTS and _TEXT.fullmatch(path):
        return _PARTS[part] + path.replace(".", "_")
    match = _MODULE.fullmatch(module)
    name = _ldm_name(match, layers_per_block + 1) if match else ""
    # What cannot be read back has no place there: a residual block beyond its level's, say.
    if not name or _unet_path(name, layers_per_block) != module:
        raise LoraFileError(f"kohya's format has no place for the module {module!r}; train other targets.")
    return UNET + name


def module_path(name: str, layers_per_block: int) -> str:
    """The module of a kohya name, the inverse of `kohya_name`. Raises LoraFileError for any other name.

    Taken too are what others write in kohya's place: diffusers' own block names behind `lora_unet_`, and the first
    text encoder without `text_model`.
    """
    unet = name.startswith(UNET)
    module = _unet_path(name.removeprefix(UNET), layers_per_block) if unet else _text_path(name)
    if not module:
        raise LoraFileError(f"{name!r} is not a module of SDXL in kohya's names.")
    return module


def _ldm_name(match: re.Match[str], blocks_per_level: int) -> str:
    """The original layout's name without a prefix; empty where the inner module is unknown."""
    kind, inner, number = match["kind"], match["inner"], int(match["number"])
    if kind in ("downsamplers", "upsamplers"):
        inner, number = {"downsamplers": "op", "upsamplers": "conv"}[kind], blocks_per_level - 1
    elif kind == "resnets":
        inner = _RESNET.get(inner, "")
    if not inner:
        return ""
    if match["way"] is None:
        place = f"middle_block_{2 * number if kind == 'resnets' else 1}"
    else:
        position = blocks_per_level * int(match["block"]) + number
        side = f"input_blocks_{position + 1}" if match["way"] == "down" else f"output_blocks_{position}"
        place = f"{side}_{({'resnets': 0, 'attentions': 1, 'downsamplers': 0, 'upsamplers': 2})[kind]}"
    return f"{place}_{inner.replace('.', '_')}"


def _unet_path(name: str, layers_per_block: int) -> str:
    """The UNet module of a name without its prefix; empty when it is none."""
    match = _LDM.fullmatch(name)
    if match is None:
        return _diffusers_path(name)
    slot, inner = match["slot"], match["inner"]
    if match["way"] is None:
        block = "mid_block"
        kind, number = ("attentions", 0) if slot == "1" else ("resnets", int(slot) // 2)
    else:
        way = "down" if match["way"] == "input" else "up"
        level, number = divmod(int(match["number"]) - (way == "down"), layers_per_block + 1)
        block = f"{way}_blocks.{level}"
        kind = {"0": "resnets", "1": "attentions", "2": "upsamplers"}[slot]
        if level < 0 or (way, kind) == ("down", "upsamplers"):
            return ""
        if way == "down" and number == layers_per_block:
            kind = "downsamplers" if (kind, inner) == ("resnets", "op") else ""
        if kind == "upsamplers" and number != layers_per_block:
            return ""
        number = 0 if kind in ("downsamplers", "upsamplers") else number
    known = {"resnets": _RESNET_BACK, "downsamplers": {"op": "conv"}, "upsamplers": {"conv": "conv"}}
    dotted = _dotted(inner) if kind == "attentions" else known.get(kind, {}).get(inner, "")
    return f"unet.{block}.{kind}.{number}.{dotted}" if dotted else ""


def _diffusers_path(name: str) -> str:
    """The UNet module of a name that follows diffusers' blocks; empty when it is none."""
    match = _DIFFUSERS.fullmatch(name)
    if match is None:
        return ""
    inner, kind = match["inner"], match["kind"]
    known = set(_RESNET) if kind == "resnets" else {"conv"}
    dotted = _dotted(inner) if kind == "attentions" else inner if inner in known else ""
    block = re.sub(r"_([0-9]+)$", r".\1", match["block"])
    return f"unet.{block}.{kind}.{match['number']}.{dotted}" if dotted else ""


def _text_path(name: str) -> str:
    """The text encoder's module of a whole name; empty when it is none."""
    for part, prefix in _PARTS.items():
        match = _TEXT_NAME.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if match:
            layer, *inner = (group for group in match.groups() if group)
            return f"{part}.text_model.encoder.layers.{layer}.{'.'.join(inner)}"
    return ""


def _dotted(inner: str) -> str:
    """`transformer_blocks_0_attn1_to_out_0` -> `transformer_blocks.0.attn1.to_out.0`; empty for what is none."""
    inner = re.sub(r"transformer_blocks_([0-9]+)_", r"transformer_blocks.\1.", inner)
    inner = re.sub(r"(attn[12])_to_", r"\1.to_", inner).replace("to_out_0", "to_out.0")
    inner = inner.replace("ff_net_0_proj", "ff.net.0.proj").replace("ff_net_2", "ff.net.2")
    return inner if _ATTENTION.fullmatch(inner) else ""
