"""The toy tagger: WD14's contract to the letter, for the toy world's tags.

Input one tensor `(n, 448, 448, 3)` float32, BGR, 0..255; output `(n, tags)` float32 after the sigmoid, in the row order
of `selected_tags.csv` (ratings in the first four rows, then general tags, then characters). Contract as read in
SmilingWolf's wd-tagger Space and kohya's `tag_images_by_wd14_tagger.py`.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from trainer.toy.avatars import GENERAL_TAGS, HAIR, Avatar, draw, random_avatar
from trainer.toy.loop import Place, Recipe, train

INPUT = 448
SIZE = 64
"""Side the graph averages its input down to before the first convolution."""

RATINGS = ("general", "sensitive", "questionable", "explicit")

CHARACTERS: dict[str, Avatar] = {
    "captain copper": Avatar("man", "red", "short", "blue", "white", beard=True, hat=True),
    "miss marigold": Avatar("girl", "blonde", "twintails", "yellow", "white", bow=True),
}
"""Two people with a fixed look, for the character rows: whoever shows all of it is that character."""

FREE_TAGS = frozenset(
    (*(tag for tag in GENERAL_TAGS if tag.endswith("background")), "smile", "open mouth", "closed mouth")
)
"""Tags that do not belong to a character's look."""

RECIPE = Recipe(name="tagger", steps=900, batch=32, rate=2e-3, decay=0.02, average=0.99)

STRIDES = ((3, 24, 2), (24, 48, 2), (48, 64, 1), (64, 96, 2), (96, 96, 1), (96, 24, 1))
"""Input channels, output channels and stride of each 3 × 3 convolution."""


def labels() -> tuple[str, ...]:
    """All names, with spaces, in row order."""
    return (*RATINGS, *GENERAL_TAGS, *CHARACTERS)


class Tagger(nn.Module):
    """A small convolutional net `(b, 3, 64, 64)` in -1..1, BGR -> logits `(b, tags)`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in STRIDES:
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        side = SIZE // 8
        self.hidden = nn.Linear(STRIDES[-1][1] * side * side, 128)
        self.head = nn.Linear(128, len(labels()))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every label."""
        hidden: Tensor = torch.relu(self.hidden(self.features(pixels).flatten(1)))
        logits: Tensor = self.head(hidden)
        return logits


def truth(avatar: Avatar) -> NDArray[np.float32]:
    """What the tagger should say, `(tags,)` of 0 and 1."""
    shown = set(avatar.tags())
    shown.add("general")
    shown.update(name for name, look in CHARACTERS.items() if set(look.tags()) - FREE_TAGS <= shown)
    return np.array([label in shown for label in labels()], dtype=np.float32)


def training_avatar(rng: np.random.Generator) -> Avatar:
    """An avatar of any named hair colour, a quarter with marks, one in twelve a character."""
    avatar = random_avatar(rng, hair=tuple(HAIR), marks=0.25)
    if rng.random() > 1 / 12:
        return avatar
    look = list(CHARACTERS.values())[int(rng.integers(len(CHARACTERS)))]
    free = {name: getattr(avatar, name) for name in ("background", "skin", "smile", "open_mouth", "variation")}
    return replace(look, **free)


def _worn(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Blurred and noisy as pictures get that come from a phone or a decoder; `(b, 3, h, w)` in -1..1."""
    side = int(rng.integers(SIZE // 2, SIZE + 1))
    small = nn.functional.interpolate(pixels, size=(side, side), mode="area")
    back = nn.functional.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return back + torch.randn_like(back) * float(rng.uniform(0.0, 0.12))


def train_tagger(recipe: Recipe, place: Place) -> tuple[Tagger, list[float]]:
    """Train a tagger from nothing; returns it with the loss of every step."""
    torch.manual_seed(recipe.seed)
    tagger = Tagger().to(place.device)

    def loss_of(rng: np.random.Generator) -> Tensor:
        avatars = [training_avatar(rng) for _ in range(recipe.batch)]
        pictures = np.stack([np.asarray(draw(avatar, SIZE)) for avatar in avatars])
        pixels = torch.from_numpy(pictures[..., ::-1].copy()).permute(0, 3, 1, 2).to(place.device) / 127.5 - 1.0
        wanted = torch.from_numpy(np.stack([truth(avatar) for avatar in avatars])).to(place.device)
        return nn.functional.binary_cross_entropy_with_logits(tagger(_worn(pixels, rng)), wanted)

    return tagger, train(tagger, loss_of, recipe, place)


def save_tagger(tagger: Tagger, folder: Path) -> None:
    """Write `model.onnx` and `selected_tags.csv` as a WD14 repository has them."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_graph(tagger.cpu().eval()), str(folder / "model.onnx"))
    rows = [(9999999 - i, name, 9) for i, name in enumerate(RATINGS)]
    rows += [(1000 + i, name, 0) for i, name in enumerate(GENERAL_TAGS)]
    rows += [(5000 + i, name, 4) for i, name in enumerate(CHARACTERS)]
    with (folder / "selected_tags.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("tag_id", "name", "category", "count"))
        for place, (tag, name, category) in enumerate(rows):
            writer.writerow((tag, name.replace(" ", "_"), category, 100_000 - 1000 * place))


def _graph(tagger: Tagger) -> onnx.ModelProto:
    """The ONNX graph: average down, scale to -1..1, convolutions with their norms folded in, sigmoid.

    Built by hand and kept at opset 17 / IR 8, so that every onnxruntime since 1.13 runs it.
    """
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def add(kind: str, name: str, inputs: list[str], values: dict[str, NDArray[Any]], **options: Any) -> str:
        weights.extend(numpy_helper.from_array(value, key) for key, value in values.items())
        nodes.append(helper.make_node(kind, [*inputs, *values], [name], **options))
        return name

    window = INPUT // SIZE
    last = add("Transpose", "planes", ["input"], {}, perm=[0, 3, 1, 2])
    last = add("AveragePool", "small", [last], {}, kernel_shape=[window, window], strides=[window, window])
    last = add("Mul", "scaled", [last], {"scale": np.array(1 / 127.5, np.float32)})
    last = add("Sub", "centred", [last], {"one": np.array(1.0, np.float32)})
    for number, (_, _, stride) in enumerate(STRIDES):
        weight, bias = _folded(tagger.features[3 * number], tagger.features[3 * number + 1])
        values = {f"conv{number}.weight": weight, f"conv{number}.bias": bias}
        sides = {"kernel_shape": [3, 3], "strides": [stride, stride], "pads": [1, 1, 1, 1]}
        last = add("Conv", f"conv{number}", [last], values, **sides)
        last = add("Relu", f"relu{number}", [last], {})
    last = add("Flatten", "flat", [last], {}, axis=1)
    last = add("Gemm", "hidden", [last], _linear("hidden", tagger.hidden), transB=1)
    last = add("Relu", "active", [last], {})
    last = add("Gemm", "logits", [last], _linear("head", tagger.head), transB=1)
    add("Sigmoid", "output", [last], {})
    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", INPUT, INPUT, 3])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", len(labels())])
    graph = helper.make_graph(nodes, "toy-wd-tagger", [pixels], [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _folded(conv: Any, norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of a convolution with the batch norm after it folded in."""
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    weight = (conv.weight.detach() * scale[:, None, None, None]).numpy()
    return weight, (norm.bias.detach() - norm.running_mean * scale).numpy()


def _linear(name: str, layer: nn.Linear) -> dict[str, NDArray[np.float32]]:
    return {f"{name}.weight": layer.weight.detach().numpy(), f"{name}.bias": layer.bias.detach().numpy()}
