"""One optimizer step: the base frozen, the LoRA learning. Nothing here waits for the device (but see `step`)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from trainer.contract.config import TrainConfig
from trainer.data.dataset import TrainingSet
from trainer.data.sampler import Batch, parts
from trainer.model.base import BaseModel
from trainer.model.checkpointing import checkpoint_units, units
from trainer.model.device import Numbers, device_errors, is_out_of_memory, release_cached
from trainer.model.lora import put_weights, scales
from trainer.parallel.team import Team
from trainer.planning.way import Ways
from trainer.training.objective.batch import Objective
from trainer.training.objective.diffusion import as_configured
from trainer.training.optim.averaging import Average, evaluation_point, holding
from trainer.training.optim.groups import rates, set_rates, weight_groups
from trainer.training.optim.max_norm import limit_norms
from trainer.training.optim.memory import optimizer_state, put_optimizer_state
from trainer.training.optim.optimizers import make_optimizer, remembered
from trainer.training.snapshot import Snapshot
from trainer.training.tally import PATIENCE_FP16, Tally

_log = logging.getLogger(__name__)


class Learner:
    """The base with its LoRA, the optimizer, and the training set."""

    def __init__(
        self,
        base: BaseModel,
        weights: Mapping[str, Parameter],
        data: TrainingSet,
        config: TrainConfig,
        numbers: Numbers,
        team: Team | None = None,
        ways: Ways = Ways(),  # noqa: B008 - frozen
    ) -> None:
        """Over an attached LoRA, alone or in a team of processes; `ways` says how steps are done.

        Raises InvalidConfig, MissingExtra or BadBase for what cannot be trained.
        """
        self.weights = dict(weights)
        self.device: torch.device = base.unet.device
        self._config = config
        self._team = team or Team()
        self._objective = Objective(as_configured(base, config), data, config, numbers)
        self._scales = scales(base)
        self._parts = _trained_parts(base, config)
        self.optimizer = make_optimizer(weight_groups(self.weights, config), config)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=numbers.scaled)
        self._average = Average(self.weights, config.ema_decay) if config.ema_decay else None
        self._is_averaged = False
        self._lent: WeakSet[Snapshot] = WeakSet()
        """Those that somebody still wants, and that may not be copied yet."""
        self.tally = Tally.begin(self.device, PATIENCE_FP16 if numbers.scaled else 1)
        self.unet = base.unet
        """With its LoRA."""
        self._ways = ways
        self._recompute()

    # --- training ---------------------------------------------------------------------------------------------------
    def step(self, batches: Sequence[Batch], step: int, share: float) -> None:
        """Optimizer step number `step` (from 1) over the batches, at this share (0 to 1) of the peak rates.

        Every picture counts alike, however they are cut into batches, and one shown once more for preservation counts
        `preservation_weight` times as much. With fp16 a step whose gradients overflow is skipped; that waits for the
        device, and so does Adafactor, for each weight by itself. In a team each process takes its share of
        the pictures, and the leader gives the order. Raises OutOfMemory, and LostProcess.
        """
        self._team.begin_step(batches, step, share)
        self._set_training(True)
        with device_errors(self._config.batch_size):
            total = self._gradients(batches, step)
            total = self._team.sum(self.weights.values(), total)
            self.tally.add(total, self._update(share))

    def _gradients(self, batches: Sequence[Batch], step: int) -> Tensor:
        """Add up the gradients of this process's share of a step, and return the loss, summed (a scalar).

        Where the device's memory runs out, and the plan has a way that needs less, that one is taken from then on.
        However late: the optimizer's memory, a larger bucket and holes in the device's memory come after a first step.
        Nothing of the step has happened yet, so it is done again as if for the first time; in a team the others, who do
        their shares meanwhile, wait for this one's sum as they always do.
        """
        try:
            return self._add_up(batches, step)
        except RuntimeError as error:
            if self._ways.frugal is None or not is_out_of_memory(error):
                raise
        # Only here, behind the error's end: as long as it lives, its traceback holds the memory of the first try.
        _log.warning("the device's memory was too small for the plan; the step is done again more frugally")
        self.optimizer.zero_grad(set_to_none=True)
        release_cached(self.device)
        self._ways = self._ways.fallen_back()
        self._recompute()
        return self._add_up(batches, step)

    def _add_up(self, batches: Sequence[Batch], step: int) -> Tensor:
        """As `_gradients`, the way that is planned."""
        pictures = sum(map(len, batches))
        # Nothing, scaled: the scaler must be awake even in a process that has no picture in this step.
        total: Tensor = self._scaler.scale(torch.zeros((), device=self.device))
        for batch, first, rows in parts(batches, self._team.share_of(pictures), self._ways.now.most_pictures):
            losses, drift = self._objective.losses(batch, step, first, rows)
            loss = losses.sum() / pictures
            whole = loss + self._config.preservation_weight * drift.sum() / pictures
            self._scaler.scale(whole).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _recompute(self) -> None:
        """Have those units recomputed that the way says; without a plan all, where the settings ask for any."""
        chosen = self._ways.now.recomputed
        if not self._ways.is_planned and self._config.gradient_checkpointing in ("partial", "full"):
            chosen = frozenset(units(self.unet, from_start=self._config.text_encoder_2))
        checkpoint_units(self.unet, chosen, has_dropout=self._config.dropout > 0)

    def _update(self, share: float) -> Tensor:
        """Move the weights by their gradients; returns the gradients' norm before clipping."""
        set_rates(self.optimizer, share)
        self._scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), self._config.max_grad_norm or math.inf)
        self._settle()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self._config.max_norm:
            limit_norms(self.weights, self._scales, self._config.max_norm)
        if self._average is not None:
            self._average.update()
        return norm

    @property
    def rates(self) -> dict[str, float]:
        """Learning rate of each part (`unet`, `text_encoder`, `text_encoder_2`) in the last step."""
        return rates(self.optimizer)

    # --- looking ----------------------------------------------------------------------------------------------------
    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model holds the weights that files and samples show: the average, where the run keeps one.

        Afterwards it holds the trained ones again, to the last bit: how often a run is looked at changes nothing.
        """
        values = self._shown_weights()
        if self._is_averaged or values is None:
            yield
            return
        self._settle()
        self._is_averaged = True
        try:
            with holding(self.weights, values):
                yield
        finally:
            self._is_averaged = False

    def _shown_weights(self) -> dict[str, Tensor] | None:
        if self._average is not None:
            return self._average.values
        if self._config.optimizer == "schedule-free":
            return evaluation_point(self.optimizer, self.weights)
        return None

    def validate(self, pictures: Sequence[int]) -> float:
        """Mean loss on the pictures (at least one) of the weights that files show; the same weights, the same loss.

        Noise and timesteps are always the same, and nothing is left out or mirrored. Waits for the device.
        """
        self._set_training(False)
        with torch.no_grad(), self.averaged(), device_errors(self._config.batch_size):
            losses = [self._objective.validation_loss(picture) for picture in pictures]
            return float(torch.stack(losses).mean())

    def _set_training(self, training: bool) -> None:
        for part in self._parts:
            if part.training != training:
                part.train(training)

    # --- keeping ----------------------------------------------------------------------------------------------------
    def shown(self) -> Snapshot:
        """The weights that files and samples show, lent: named as in `self.weights`, and in the same number formats."""
        assert not self._is_averaged, "what is shown is made of the trained weights"
        values = self._shown_weights() or {}
        shown = {name: values.get(name, weight).to(weight.dtype) for name, weight in self.weights.items()}
        snapshot = self._lend(shown)
        lasting = {**self.weights, **(self._average.values if self._average else {})}
        if any(tensor is not lasting[name] for name, tensor in shown.items()):
            # Made for this alone: the plan has no room for it on the device beside a step's passes.
            snapshot.take()
        return snapshot

    def _lend(self, tensors: Mapping[str, Tensor]) -> Snapshot:
        """As they are now; they are copied while the next step's passes run."""
        snapshot = Snapshot(tensors)
        snapshot.start()
        self._lent.add(snapshot)
        return snapshot

    def _settle(self) -> None:
        """Have what is lent copied, before it changes: weights, the optimizer's memory, averages."""
        for snapshot in tuple(self._lent):
            snapshot.take()
        self._lent.clear()

    # --- going on ---------------------------------------------------------------------------------------------------
    def state(self) -> tuple[Snapshot, dict[str, Any]]:
        """Everything a resumed run needs, bit for bit: tensors `<kind>|<name>` (lent), and values ready for JSON.

        Nothing waits for the device, but with fp16 the loss's scale does.
        """
        assert not self._is_averaged, "a state holds the trained weights, not what is shown of them"
        memory, values = optimizer_state(self.optimizer, self.weights, remembered(self._config))
        kinds: dict[str, Mapping[str, Tensor]] = {
            "weight": self.weights,
            "optimizer": memory,
            "average": self._average.values if self._average else {},
            "tally": self.tally.state(),
        }
        tensors = {f"{kind}|{name}": tensor for kind, members in kinds.items() for name, tensor in members.items()}
        return self._lend(tensors), {
            "optimizer": {"name": self._config.optimizer, **values},
            "scaler": self._scaler.state_dict(),
            "averaged_steps": self._average.steps if self._average else 0,
        }

    def load(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from a state. Raises ValueError, KeyError or TypeError when it is not this run's; one of other settings
        is refused before any change.
        """
        kinds: dict[str, dict[str, Tensor]] = {kind: {} for kind in ("weight", "optimizer", "average", "tally")}
        for key, tensor in tensors.items():
            kind, _, name = key.partition("|")
            kinds[kind][name] = tensor
        if values["optimizer"]["name"] != self._config.optimizer:
            raise ValueError(f"the state is of the optimizer {values['optimizer']['name']!r}")
        if bool(kinds["average"]) != bool(self._average) or self._scaler.is_enabled() != bool(values["scaler"]):
            raise ValueError("the state is of another ema_decay or precision")
        self._settle()
        put_weights(self.weights, kinds["weight"])
        remember = remembered(self._config)
        put_optimizer_state(self.optimizer, self.weights, kinds["optimizer"], values["optimizer"], remember)
        if self._average is not None:
            self._average.load(kinds["average"], values["averaged_steps"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(values["scaler"])
        self.tally.load(kinds["tally"])


def _trained_parts(base: BaseModel, config: TrainConfig) -> list[nn.Module]:
    """The models with a LoRA in them."""
    encoders = ((base.text_encoder, config.text_encoder_1), (base.text_encoder_2, config.text_encoder_2))
    return [base.unet, *(encoder for encoder, trained in encoders if trained)]
