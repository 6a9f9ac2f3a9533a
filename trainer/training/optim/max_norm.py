"""Max-norm regularisation of a LoRA's modules (kohya-ss/sd-scripts, networks/lora.py, scale_weight_norms)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import Parameter


@torch.no_grad()
def limit_norms(weights: Mapping[str, Parameter], scales: Mapping[str, float], limit: float) -> None:
    """Bring each module's B A x scale down to a Frobenius norm of `limit`, A and B by the same factor.

    `scales` has a module's scale by its path. With DoRA the magnitudes stay as they are. Nothing waits for the device.
    """
    for path, scale in scales.items():
        down, up = weights[f"{path}.lora_A.weight"], weights[f"{path}.lora_B.weight"]
        a, b = down.flatten(1).float(), up.flatten(1).float()
        # |B A|^2 = sum of (B^T B) (A A^T): two products of the inner width instead of the whole matrix.
        squared = ((b.T @ b) * (a @ a.T)).sum().clamp(min=0.0) * scale**2
        ratio = limit / squared.sqrt().clamp(min=limit)
        down.mul_(ratio.sqrt())
        up.mul_(ratio.sqrt())
