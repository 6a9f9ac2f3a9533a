"""A tiny tagger with WD14's exact contract: an ONNX file under 2 kB that judges a picture by its mean colour.

It proves the plumbing, not the tags; the toy world's own tagger knows avatars. Needs `onnx`, not torch.
"""

from __future__ import annotations

import csv
from pathlib import Path

SIDE = 448
"""Pixels a side of WD14's input."""

GENERAL, CHARACTER, RATING = 0, 4, 9

LABELS: tuple[tuple[str, int, float, tuple[float, float, float]], ...] = (
    # name, category, bias, weight of mean blue, green, red (each 0..1)
    ("general", RATING, 3.0, (0.0, 0.0, 0.0)),
    ("sensitive", RATING, -3.0, (0.0, 0.0, 0.0)),
    ("questionable", RATING, -5.0, (0.0, 0.0, 0.0)),
    ("explicit", RATING, -6.0, (0.0, 0.0, 0.0)),
    ("solo", GENERAL, 2.0, (0.0, 0.0, 0.0)),
    ("looking_at_viewer", GENERAL, -3.0, (2.0, 2.0, 2.0)),
    ("smile", GENERAL, -1.0, (-4.0, 4.0, 4.0)),
    ("red_theme", GENERAL, -1.0, (-12.0, -12.0, 24.0)),
    ("green_theme", GENERAL, -1.0, (-12.0, 24.0, -12.0)),
    ("blue_theme", GENERAL, -1.0, (24.0, -12.0, -12.0)),
    ("bright_background", GENERAL, -12.0, (6.0, 6.0, 6.0)),
    ("dark_background", GENERAL, 4.0, (-6.0, -6.0, -6.0)),
    ("^_^", GENERAL, -4.0, (4.0, 0.0, 4.0)),
    ("lorelei_(toy)", CHARACTER, -8.0, (4.0, 0.0, 4.0)),
)
"""Rows of selected_tags.csv in order; WD14's first four are the ratings."""


def build_tiny_tagger(folder: Path) -> Path:
    """Write model.onnx and selected_tags.csv into `folder` and return it.

    Input `(n, 448, 448, 3)` float32, BGR, 0..255; output `(n, labels)` probabilities. Raises ModuleNotFoundError
    with the remedy when `onnx` is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the tiny tagger is made with onnx; run: pip install onnx") from error

    folder.mkdir(parents=True, exist_ok=True)
    tensor, helper = onnx.TensorProto, onnx.helper
    biases = [bias for _, _, bias, _ in LABELS]
    weights = [LABELS[label][3][channel] / 255 for channel in range(3) for label in range(len(LABELS))]
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=0),
            helper.make_node("Gemm", ["mean", "weights", "biases"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["output"]),
        ],
        "tiny-tagger",
        [helper.make_tensor_value_info("input", tensor.FLOAT, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("output", tensor.FLOAT, ["batch", len(LABELS)])],
        [
            helper.make_tensor("axes", tensor.INT64, [2], [1, 2]),
            helper.make_tensor("weights", tensor.FLOAT, [3, len(LABELS)], weights),
            helper.make_tensor("biases", tensor.FLOAT, [len(LABELS)], biases),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with (folder / "selected_tags.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["tag_id", "name", "category", "count"])
        rows.writerows(
            [9999999 - row if category == RATING else 100000 + row, name, category, 1000 - row]
            for row, (name, category, _, _) in enumerate(LABELS)
        )
    return folder
