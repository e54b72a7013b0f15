"""The diagnosis while a training goes on: a callback for `keras.Model.fit`, which stops a run that diverges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.callbacks import penalty_of
from models.curve import Curve, learns_disturbed
from models.diagnosis import Diagnosis, Diverged, Watch, diagnose


class Diagnose(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Follows the losses of a training and says at any time what they show.

    baselines, rows, settings, altered, may_be_negative, target_loss: see `Curve`; altered None looks for layers that
    act in training only. stop: raises Diverged as soon as the loss is not finite, or has risen by an order and does not
    fall. Keras tells the mean of an epoch so far; the losses of the steps (of `steps_per_execution` at once) follow
    from it.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> follow = Diagnose(baselines={"constant": 1.0})
    >>> _ = model.fit(np.zeros((64, 1)), np.zeros((64, 1)), epochs=2, callbacks=[follow], verbose=0)
    >>> len(follow.curve.steps[0]), follow.diagnosis.epochs
    (2, 2)
    """

    def __init__(
        self,
        *,
        baselines: Mapping[str, float] | None = None,
        rows: int | None = None,
        settings: Mapping[str, Any] | None = None,
        altered: bool | None = None,
        may_be_negative: bool = False,
        target_loss: float | None = None,
        stop: bool = True,
    ) -> None:
        super().__init__()
        self.baselines = dict(baselines or {})
        self.rows = rows
        self.settings = dict(settings or {})
        self.altered = altered
        self.may_be_negative = may_be_negative
        self.target_loss = target_loss
        self.stop = stop
        self._begin()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Forgets an earlier training: a callback may serve several."""
        self._begin()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Begins an epoch without steps."""
        self.epoch, self._seen, self._total = epoch, 0, 0.0
        self._watch.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Takes the loss of the last steps out of the mean of all."""
        total = (logs or {}).get("loss", math.nan) * (batch + 1)
        loss = (total - self._total) / (batch + 1 - self._seen)
        self._seen, self._total = batch + 1, total
        self.take(np.array([loss]))

    def take(self, losses: NDArray[Any]) -> None:
        """Further steps of the epoch, for a loop that knows the loss of each."""
        reason = self._watch.see(losses)
        if not np.isfinite(losses).all():  # which the watch does not keep
            self._watch.epochs[-1] = np.concatenate([self._watch.epochs[-1], losses])
        self._stop_for(reason)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Notes the epoch, and looks whether it was one too many."""
        figures, penalty = logs or {}, penalty_of(self.model)
        self._training.append(float(figures.get("loss", math.nan)))
        self._validation.append(float(figures.get("val_loss", math.nan)) - penalty)
        self._penalties.append(penalty)
        self._rates.append(float(self.model.optimizer.learning_rate))
        if self.stop and not math.isfinite(figures.get("val_loss", 0.0)):
            raise Diverged(epoch, None)
        self._stop_for(self._watch.end_epoch())

    @property
    def curve(self) -> Curve:
        """What is known so far; an epoch that was broken off counts with the steps that it had."""
        training, steps = list(self._training), [tuple(map(float, one)) for one in self._watch.epochs]
        if len(steps) > len(training) and steps[-1]:
            training.append(float(np.mean(steps[-1])))
        epochs = len(training)
        known = [loss for loss in self._validation if not math.isnan(loss)]
        return Curve(
            training=tuple(training),
            validation=_filled(self._validation, epochs) if known else (),
            steps=tuple(steps[:epochs]) if epochs and all(steps[:epochs]) else (),
            penalties=_filled(self._penalties, epochs) if any(self._penalties) else (),
            learning_rates=_filled(self._rates, epochs),
            baselines=self.baselines,
            rows=self.rows,
            altered=learns_disturbed(self.model) if self.altered is None else self.altered,
            may_be_negative=self.may_be_negative,
            settings=self.settings,
            target_loss=self.target_loss,
        )

    @property
    def diagnosis(self) -> Diagnosis:
        """Of the epochs so far; raises ValueError before the first step."""
        return diagnose(self.curve)

    def _stop_for(self, reason: str | None) -> None:
        if self.stop and reason is not None:
            raise Diverged(self.epoch, max(len(self._watch.epochs[-1]) - 1, 0), reason)

    def _begin(self) -> None:
        self.epoch, self._seen, self._total = 0, 0, 0.0
        self._training: list[float] = []
        self._validation: list[float] = []
        self._penalties: list[float] = []
        self._rates: list[float] = []
        self._watch = Watch(float(self.baselines.get("constant", math.nan)))


def _filled(values: list[float], epochs: int) -> tuple[float, ...]:
    """One value for each epoch: the last one again for an epoch that was broken off."""
    return tuple(values + values[-1:] * (epochs - len(values))) or (math.nan,) * epochs
