"""The losses of a training, epoch by epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EpochLoss:
    """Losses of one epoch, in the units of the compiled loss.

    epoch: from 0; -1 is the model as it came into an update, before any step.
    loss: mean over the training rows while they were being learned, penalties on the weights included; nan for
    epoch -1. validation_loss: mean over the validation rows after the epoch, without penalties; nan where there
    are none.
    seconds: wall time of training and validation together.
    metrics: whatever else the compiled model measures, under Keras's names (`accuracy`, `val_accuracy`).
    """

    epoch: int
    loss: float
    validation_loss: float
    learning_rate: float
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def judged(self) -> float:
        """The loss by which epochs are compared: validation where there is one, else training."""
        return self.loss if math.isnan(self.validation_loss) else self.validation_loss


@dataclass(frozen=True)
class LossHistory:
    """Epochs in the order in which they were trained.

    >>> history = LossHistory((EpochLoss(0, 0.9, 0.8, 1e-3, 0.1), EpochLoss(1, 0.7, 0.6, 1e-3, 0.1)))
    >>> history.best_epoch, history.best_loss, history.epochs_since_best
    (1, 0.6, 0)
    """

    epochs: tuple[EpochLoss, ...] = ()

    @property
    def best(self) -> EpochLoss | None:
        """The first of the epochs with the lowest loss; None before the first epoch.

        Without validation rows the model as it came (epoch -1) has no loss and is never the best.
        """
        judged = [epoch for epoch in self.epochs if not math.isnan(epoch.judged)]
        return min(judged, key=lambda epoch: epoch.judged, default=None)

    @property
    def best_epoch(self) -> int | None:
        """Number of the best epoch; None before the first epoch."""
        return None if self.best is None else self.best.epoch

    @property
    def best_loss(self) -> float:
        """Loss of the best epoch; nan before the first epoch."""
        return math.nan if self.best is None else self.best.judged

    @property
    def epochs_since_best(self) -> int:
        """How many epochs were trained after the best one; 0 before the first epoch."""
        return 0 if self.best is None else self.epochs[-1].epoch - self.best.epoch

    @property
    def seconds(self) -> float:
        """Wall time of all epochs."""
        return math.fsum(epoch.seconds for epoch in self.epochs)

    def with_epoch(self, epoch: EpochLoss) -> LossHistory:
        """The same history, one epoch longer."""
        return LossHistory((*self.epochs, epoch))

    def to_json(self) -> str:
        """Strict JSON; an undefined loss is written as null.

        >>> print(LossHistory((EpochLoss(-1, float("nan"), 0.5, 1e-3, 0.1),)).to_json())
        [{"epoch": -1, "loss": null, "validation_loss": 0.5, "learning_rate": 0.001, "seconds": 0.1,
        "metrics": {}}]
        """
        return json.dumps([_plain(epoch) for epoch in self.epochs], allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> LossHistory:
        """The history that `to_json` wrote.

        >>> history = LossHistory((EpochLoss(0, 0.9, 0.8, 1e-3, 0.1, {"accuracy": 0.5}),))
        >>> LossHistory.from_json(history.to_json()) == history
        True
        """
        return cls(tuple(_epoch(record) for record in json.loads(text)))


def _plain(epoch: EpochLoss) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "loss": _or_null(epoch.loss),
        "validation_loss": _or_null(epoch.validation_loss),
        "learning_rate": _or_null(epoch.learning_rate),
        "seconds": epoch.seconds,
        "metrics": {name: _or_null(value) for name, value in epoch.metrics.items()},
    }


def _epoch(record: Mapping[str, Any]) -> EpochLoss:
    return EpochLoss(
        epoch=record["epoch"],
        loss=_or_nan(record["loss"]),
        validation_loss=_or_nan(record["validation_loss"]),
        learning_rate=_or_nan(record["learning_rate"]),
        seconds=record["seconds"],
        metrics={name: _or_nan(value) for name, value in record["metrics"].items()},
    )


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
