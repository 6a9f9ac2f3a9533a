"""Stands in for what `Learner` will say of itself; goes when it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from trainer.model.lora import put_weights
from trainer.training import learner as now


class Learner(now.Learner):
    """With its state, as tensors and plain values."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything a resume needs."""
        tensors = {f"weight|{name}": weight.detach() for name, weight in self.weights.items()}
        for name, weight in self.weights.items():
            for key, value in self.optimizer.state.get(weight, {}).items():
                tensors[f"optimizer|{name}|{key}"] = value
        return tensors, {"smoothed": None if self.tally.smoothed is None else float(self.tally.smoothed)}

    def load(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Put it back; raises ValueError when it belongs to another LoRA."""
        saved = {name.split("|")[1]: tensor for name, tensor in tensors.items() if name.startswith("weight|")}
        put_weights(self.weights, saved)
        self.optimizer.state.clear()
        for key, value in tensors.items():
            if key.startswith("optimizer|"):
                _, name, field = key.split("|")
                weight = self.weights[name]
                on_cpu = field == "step" and not self.optimizer.defaults["fused"]
                self.optimizer.state[weight][field] = value if on_cpu else value.to(weight.device)
        smoothed = values["smoothed"]
        self.tally.smoothed = None if smoothed is None else torch.tensor(smoothed, device=self.device)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights as they are."""
        yield

    @torch.no_grad()
    def validate(self, pictures: Sequence[int]) -> float:
        """The loss on pictures, nothing drawn."""
        self._unet.eval()
        losses = [float(self._losses((picture,), 0, number)[0].mean()) for number, picture in enumerate(pictures)]
        return sum(losses) / len(losses)
