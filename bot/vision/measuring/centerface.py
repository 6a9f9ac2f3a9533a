"""CenterFace, the face detector: picture → boxes of faces. Only for a child process: it loads onnxruntime.

Arithmetic as Star-Clouds/CenterFace's own demo has it: heat, log size and offset for each cell of 4 × 4 pixels.
Measured on 50 photographs with 0 to 5 faces (tests/bot/vision/measuring/test_faces.py): all counts right, 17 ms each on
one core.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE, STRIDE = 320, 4
"""Pixels of the model's square input, and of one cell of its outputs."""
SURE = 0.5
"""Heat above which a cell is a face."""
SAME = 0.3
"""Overlap (intersection over union) above which two boxes are one face."""

Box = tuple[float, float, float, float]


class CenterFace:
    """The loaded model; one thread, so that the bot beside it stays quick."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = (resources.files("bot.vision.measuring.models") / "centerface-320.onnx").read_bytes()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def find(self, image: Image.Image) -> list[tuple[Box, float]]:
        """Faces of an RGB picture, the surest first: left, top, right, lower as shares of its sides, and how sure.

        A face that the picture's border cuts has a box that runs past it: shares below 0 or above 1.
        """
        scale = SIDE / max(image.size)
        small = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BILINEAR
        )
        square = np.zeros((SIDE, SIDE, 3), np.float32)
        square[: small.height, : small.width] = np.asarray(small, np.float32)
        outputs: list[Any] = self._session.run(None, {self._input: square.transpose(2, 0, 1)[None]})
        boxes, sure = decode(*(output[0] for output in outputs))
        sides = np.array([small.width, small.height] * 2, np.float32)
        return [(_as_box(boxes[place] / sides), float(sure[place])) for place in distinct(boxes, sure)]


def decode(
    heat: npt.NDArray[np.float32], size: npt.NDArray[np.float32], offset: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Boxes `(n, 4)` in pixels of the input and how sure `(n,)`; from outputs `(1 | 2, side / 4, side / 4)`."""
    rows, columns = np.nonzero(heat[0] > SURE)
    high, wide = np.exp(size[:, rows, columns]) * STRIDE
    middle_y = (rows + 0.5 + offset[0, rows, columns]) * STRIDE
    middle_x = (columns + 0.5 + offset[1, rows, columns]) * STRIDE
    boxes = np.stack([middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2], axis=1)
    return boxes.astype(np.float32), heat[0, rows, columns]


def distinct(boxes: npt.NDArray[np.float32], sure: npt.NDArray[np.float32]) -> list[int]:
    """Places of the boxes that remain when of any that overlap only the surest is kept, the surest first."""
    order = np.argsort(-sure, kind="stable")
    kept = []
    while order.size:
        first, rest = order[0], order[1:]
        kept.append(int(first))
        order = rest[_overlap(boxes[first], boxes[rest]) < SAME]
    return kept


def _overlap(one: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Intersection over union of one box `(4,)` with others `(n, 4)`."""
    lowest = np.maximum(one[:2], others[:, :2])
    highest = np.minimum(one[2:], others[:, 2:])
    shared = np.clip(highest - lowest, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod()
    return np.asarray(shared / (areas - shared), np.float32)


def _as_box(values: npt.NDArray[np.float32]) -> Box:
    left, top, right, lower = map(float, values)
    return left, top, right, lower
