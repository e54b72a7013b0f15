"""What a .keras file of ours may hold that is not Keras's own: a loss and a learning rate that follows a schedule.

Loading such a file needs this module to be imported, which `models.export.load_keras` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from models.losses import CATALOGUE, canonical
from models.parameters import Parameters, with_defaults
from models.schedules import Kind, Schedule, course


@keras.saving.register_keras_serializable("losswatch")
class Quantile(keras.losses.Loss):  # type: ignore[misc]  # Keras publishes no types
    """Pinball loss, which the quantile of the target minimises: being short costs quantile / (1 - quantile) times.

    Koenker and Bassett 1978, "Regression Quantiles".
    """

    def __init__(
        self,
        quantile: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "quantile",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.quantile = quantile

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One number a row: the mean over the outputs."""
        short = y_true - y_pred
        return ops.mean(ops.maximum(self.quantile * short, (self.quantile - 1.0) * short), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """What a file keeps of it."""
        return {**super().get_config(), "quantile": self.quantile}


@keras.saving.register_keras_serializable("losswatch")
class Huber(keras.losses.Huber):  # type: ignore[misc]
    """Keras's own, whose file keeps its delta: with Keras 3.15's a stored network would learn on with a delta of 1."""

    def __init__(self, delta: float = 1.0, **settings: Any) -> None:
        super().__init__(delta=delta, **settings)
        self.delta = delta

    def get_config(self) -> dict[str, Any]:
        """What a file keeps of it."""
        return {**super().get_config(), "delta": self.delta}


_OURS = {"quantile": Quantile, "huber": Huber}


def keras_loss(name: str, parameters: Parameters, **settings: Any) -> keras.losses.Loss:
    """The Keras object of a loss of the catalogue.

    settings: `reduction`, for example. Raises ValueError for an unknown name.
    """
    found = CATALOGUE[canonical(name)]
    maker = _OURS.get(found.name) or getattr(keras.losses, found.keras or "")
    return maker(**with_defaults(found.parameters, parameters), **settings)


@keras.saving.register_keras_serializable("losswatch")
class PlannedRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that follows a schedule, counted from where the present training began.

    rate: at factor 1. begin: the optimiser's step at which the training began. steps: of an epoch. epochs: that it may
    take. level: a further factor, which a plateau lowers. All of them can change without tracing a step anew.
    """

    def __init__(
        self,
        rate: float,
        kind: Kind = "constant",
        warmup: float = 0.0,
        parameters: Mapping[str, Any] | None = None,
        begin: int = 0,
        steps: int = 1,
        epochs: int = 1,
        level: float = 1.0,
    ) -> None:
        super().__init__()
        self.schedule = Schedule(kind, warmup, dict(parameters or {}))
        self.rate = _number(rate)
        self.begin = keras.Variable(begin, dtype="int64", trainable=False)
        self.steps, self.epochs, self.level = _number(steps), _number(epochs), _number(level)

    def start(self, begin: int, steps: int, epochs: int) -> None:
        """A training begins at this step of the optimiser."""
        self.begin.assign(begin)
        self.steps.assign(steps)
        self.epochs.assign(epochs)
        self.level.assign(1.0)

    def __call__(self, step: Any) -> Any:
        """The rate of a step, as of its middle, so that the first step of a warm-up is not lost."""
        trained = (ops.cast(step - self.begin, "float32") + 0.5) / self.steps
        return (
            self.rate * self.level * course(self.schedule, ops, trained, ops.convert_to_tensor(self.epochs))
        )

    def get_config(self) -> dict[str, Any]:
        """What a file keeps of it."""
        return {
            "rate": float(self.rate),
            "kind": self.schedule.kind,
            "warmup": self.schedule.warmup,
            "parameters": dict(self.schedule.parameters),
            "begin": int(self.begin),
            "steps": int(self.steps),
            "epochs": int(self.epochs),
            "level": float(self.level),
        }


def planned_rate(optimizer: keras.optimizers.Optimizer) -> PlannedRate | None:
    """The schedule that an optimiser follows; None where its rate is a plain number or the user's own schedule."""
    return next((part for part in vars(optimizer).values() if isinstance(part, PlannedRate)), None)


def steps_taken(optimizer: keras.optimizers.Optimizer) -> int:
    """Steps that the optimiser has counted, by which schedules go."""
    return int(next(variable for variable in optimizer.variables if variable.name == "iteration"))


def set_rate(optimizer: keras.optimizers.Optimizer, rate: float) -> None:
    """Sets the learning rate, or, where it follows a schedule, its rate at factor 1."""
    planned = planned_rate(optimizer)
    if planned is not None:
        planned.rate.assign(rate)
        return
    try:
        optimizer.learning_rate = rate
    except TypeError as fault:
        raise ValueError(
            "The learning rate follows a schedule that the network was compiled with, and cannot be set. "
            "Compile it with a plain number."
        ) from fault


def _number(value: float) -> keras.Variable:
    return keras.Variable(value, dtype="float32", trainable=False)
