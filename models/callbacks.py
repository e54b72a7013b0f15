"""What happens between the epochs: losses recorded, best state kept, checkpoints written, divergence stopped."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.checkpoint import Checkpoint, State, write_checkpoint
from models.diagnosis import Diverged, Watch
from models.history import EpochLoss, LossHistory
from models.keras_objects import PlannedRate
from models.schedules import plateau_level
from models.steps import StepLosses

logger = logging.getLogger(__name__)

__all__ = [
    "Diverged",
    "LowerRate",
    "Progress",
    "RecordLosses",
    "StopDiverging",
    "StopEarly",
    "WriteCheckpoint",
    "penalty_of",
    "restore",
    "state_of",
]


class StopDiverging(keras.callbacks.Callback):
    """Raises Diverged as soon as a loss is not finite, or has risen by an order and does not come back."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress
        self.epoch = 0
        self.step = 0
        self.watch = Watch()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Forgets an earlier training."""
        self.watch = Watch()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Remembers which epoch it is."""
        self.epoch = epoch
        self.watch.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at the steps that were taken since it was called last."""
        self.step = batch
        self._stop_for(self.watch.see(self.progress.last_steps))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at the validation loss, and at the level of the training loss."""
        if not math.isfinite((logs or {}).get("val_loss", 0.0)):
            raise Diverged(epoch, None)
        self._stop_for(self.watch.end_epoch())

    def _stop_for(self, reason: str | None) -> None:
        if reason is not None:
            raise Diverged(self.epoch, self.step, reason)


class Progress:
    """Where a training stands: the losses so far and the state of the best epoch.

    The callbacks of one training share it. best: at first the state at the start.
    """

    def __init__(
        self,
        model: keras.Model,
        on_epoch: Callable[[EpochLoss], None] | None = None,
        on_steps: Callable[[int, int, StepLosses], None] | None = None,
    ) -> None:
        self.model = model
        self.on_epoch = on_epoch
        self.on_steps = on_steps
        self.history = LossHistory()
        self.last_steps = np.zeros(0, np.float32)
        self.best = state_of(model)

    @property
    def next_epoch(self) -> int:
        """Number of the epoch that comes next, from 0."""
        return self.history.epochs[-1].epoch + 1 if self.history.epochs else 0

    def record(self, epoch: int, logs: Mapping[str, float], seconds: float) -> None:
        """Adds an epoch whose figures have Keras's names, and takes a copy of a new best state.

        Keras adds the penalties on the weights to both losses; the validation loss, which compares epochs, is without.
        """
        penalty = penalty_of(self.model)
        metrics = {name: float(value) for name, value in logs.items() if name not in ("loss", "val_loss")}
        record = EpochLoss(
            epoch=epoch,
            loss=float(logs.get("loss", math.nan)),
            validation_loss=float(logs.get("val_loss", math.nan)) - penalty,
            learning_rate=float(self.model.optimizer.learning_rate),
            seconds=seconds,
            metrics=metrics | ({"penalty": penalty} if penalty else {}),
        )
        self.history = self.history.with_epoch(record)
        if self.history.best_epoch == epoch:
            self.best = state_of(self.model)
        if self.on_epoch is not None:
            self.on_epoch(record)

    def record_steps(self, first: int, found: StepLosses) -> None:
        """Passes on what steps of the next epoch cost; first: the number of the first of them, from 0."""
        self.last_steps = found.losses
        if self.on_steps is not None:
            self.on_steps(self.next_epoch, first, found)

    def resume(self, checkpoint: Checkpoint | None) -> None:
        """Goes back to where a checkpoint was written; None, or one that does not fit, changes nothing."""
        if checkpoint is None:
            return
        try:
            restore(self.model, checkpoint.state)
        except ValueError as fault:
            logger.warning("the checkpoint cannot be used (%s): training starts from the beginning", fault)
            return
        self.history = checkpoint.history
        self.best = checkpoint.best or checkpoint.state


class RecordLosses(keras.callbacks.Callback):
    """Writes each epoch into the progress, with the time it took."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Records the epoch."""
        self.progress.record(epoch, logs or {}, time.perf_counter() - self.started)


class StopEarly(keras.callbacks.Callback):
    """Ends a training that has brought nothing for `patience` epochs, or whose loss is as low as it has to be.

    Stands after RecordLosses. target: the validation loss (the training loss where there is none) that is low enough.
    least_epochs: that are trained before patience can end.
    """

    def __init__(
        self, progress: Progress, patience: int, *, target: float | None = None, least_epochs: float = 0.0
    ) -> None:
        super().__init__()
        self.progress = progress
        self.patience = patience
        self.target = target
        self.least_epochs = least_epochs

    @property
    def over(self) -> bool:
        """Whether the epochs so far are enough."""
        history = self.progress.history
        last = next((epoch.judged for epoch in history.epochs[-1:] if epoch.epoch >= 0), math.inf)
        if self.target is not None and last <= self.target:
            return True
        trained = self.progress.next_epoch
        return history.epochs_since_best >= self.patience and trained >= self.least_epochs

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at the losses of the epochs so far."""
        if self.over:
            self.model.stop_training = True


class LowerRate(keras.callbacks.Callback):
    """Lowers a planned learning rate where the loss has come to a plateau; stands after RecordLosses.

    How far follows from the losses alone, which a checkpoint holds: a resumed training finds the same rate.
    """

    def __init__(self, progress: Progress, planned: PlannedRate) -> None:
        super().__init__()
        self.progress = progress
        self.planned = planned

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Goes back to the level of a training that was stopped."""
        self._set_level()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Judges the epochs so far."""
        self._set_level()

    def _set_level(self) -> None:
        self.planned.level.assign(plateau_level(self.planned.schedule, self.progress.history))


class WriteCheckpoint(keras.callbacks.Callback):
    """Writes down after every epoch where the training stands; last in the list of callbacks."""

    def __init__(self, progress: Progress, path: Path, fingerprint: str) -> None:
        super().__init__()
        self.progress = progress
        self.path = path
        self.fingerprint = fingerprint

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Replaces the file of the epoch before."""
        history = self.progress.history
        best = None if history.best_epoch == epoch else self.progress.best
        write_checkpoint(self.path, Checkpoint(self.fingerprint, history, state_of(self.model), best))


def penalty_of(model: keras.Model) -> float:
    """What the sizes of the weights add to the loss (L1, L2); 0 without such penalties."""
    weights = [weight for weight in model.trainable_weights if weight.regularizer is not None]
    return math.fsum(float(weight.regularizer(weight)) for weight in weights)


def state_of(model: keras.Model) -> State:
    """Copies of all variables: weights, states of random layers, and the optimiser's."""
    return [np.array(variable.numpy()) for variable in _variables(model)]


def restore(model: keras.Model, state: State) -> None:
    """Puts a state back; raises ValueError where it is of another network."""
    variables = _variables(model)
    if [tuple(variable.shape) for variable in variables] != [array.shape for array in state]:
        raise ValueError("this state is of a network with other layers or another optimiser")
    for variable, array in zip(variables, state, strict=True):
        variable.assign(array)


def _variables(model: keras.Model) -> list[Any]:
    """Every variable that a step changes, those of further optimisers (of a network of two) included."""
    optimizers = [part for part in vars(model).values() if isinstance(part, keras.optimizers.Optimizer)]
    return [*model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]
