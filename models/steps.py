"""Steps of training, many in one call of TensorFlow, with the loss of every one of them.

Keras's own loop returns to Python or to an iterator between steps, which for a network of a table costs more than
the step. Here the rows are picked, the loss is computed and the weights are moved inside one `tf.while_loop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Tensors = tuple[tf.Tensor, ...]  # inputs (n, width), targets (n, ...) and, where there are any, weights (n,)

NORM_EVERY = 16  # steps between two measured gradient norms: each costs a twentieth of a small network's step
JUDGED_AT_ONCE = 65_536  # rows; 64 hidden units of them are 17 MB


@dataclass(frozen=True)
class StepLosses:
    """Steps that were taken, in order. losses: (n,) float32, of each batch before its step, penalties included.

    gradient_norms: (n,) float32, nan where it was not measured. The last loss may be nan or infinite: then no step
    came after it.
    """

    losses: NDArray[np.float32]
    gradient_norms: NDArray[np.float32]

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.losses[-1:]).all())


class Stepper:
    """Trains and judges one compiled model on rows that are in memory.

    A model with a `train_step` of its own takes its own steps; their loss is what it reports.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._own = type(model).train_step is not keras.Model.train_step
        self._own_test = type(model).test_step is not keras.Model.test_step
        self._train = self._traced(self._train_steps)
        self._judge = self._traced(self._judge_rows)

    def train(self, columns: Tensors, order: NDArray[np.int32]) -> StepLosses:
        """Takes a step for every row of `order` (steps, batch), which holds numbers of rows of the columns."""
        if isinstance(columns[0], np.ndarray):
            columns, order = picked(columns, order)
        losses, norms = self._train(columns, tf.constant(order))
        return StepLosses(losses.numpy(), norms.numpy())

    def judge(self, columns: Tensors) -> dict[str, float]:
        """Loss and metrics of all rows, under Keras's names."""
        if self._own_test:
            found = self.model.evaluate(
                *columns[:2],
                sample_weight=_weights(columns),
                batch_size=JUDGED_AT_ONCE,
                verbose=0,
                return_dict=True,
            )
            return {name: float(value) for name, value in found.items()}
        self.model.reset_metrics()
        total = weight = 0.0
        for start in range(0, len(columns[0]), JUDGED_AT_ONCE):
            part = tf.nest.map_structure(lambda column: column[start : start + JUDGED_AT_ONCE], columns)  # noqa: B023
            total += float(self._judge(part)) * len(part[0])
            weight += len(part[0])
        return {**self.metrics(), "loss": total / weight}

    def metrics(self) -> dict[str, float]:
        """The model's metrics since they were reset, without the loss."""
        found = self.model.get_metrics_result()
        return {name: float(value) for name, value in found.items() if name != "loss"}

    def _traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function if self.model.run_eagerly else tf.function(function, reduce_retracing=True)

    def _train_steps(self, columns: Tensors, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(order)[0]
        losses = tf.TensorArray(tf.float32, count, element_shape=())
        norms = tf.TensorArray(tf.float32, count, element_shape=())

        def goes_on(step: Any, last: Any, *_: Any) -> Any:
            return (step < count) & tf.math.is_finite(last)

        def take(step: Any, last: Any, losses: Any, norms: Any) -> Any:
            batch = tf.nest.map_structure(lambda column: tf.gather(column, order[step]), columns)
            loss, norm = self._own_step(batch) if self._own else self._step(batch, step)
            return step + 1, loss, losses.write(step, loss), norms.write(step, norm)

        done, _, losses, norms = tf.while_loop(goes_on, take, (0, 0.0, losses, norms))
        return losses.stack()[:done], norms.stack()[:done]

    def _step(self, batch: Tensors, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What `keras.Model.train_step` does, with the loss of this batch alone."""
        model, optimizer = self.model, self.model.optimizer
        inputs, targets, weights = batch[0], batch[1], _weights(batch)
        with tf.GradientTape() as tape:
            answers = model(inputs, training=True)
            loss = model.compute_loss(
                x=inputs, y=targets, y_pred=answers, sample_weight=weights, training=True
            )
            scaled = optimizer.scale_loss(loss)
        variables = model.trainable_weights
        gradients = tape.gradient(scaled, variables)
        norm = tf.cond(
            step % NORM_EVERY == 0, lambda: _norm(gradients, loss, scaled), lambda: np.float32(np.nan)
        )
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if len(model.metrics) > 1:
            model.compute_metrics(inputs, targets, answers, sample_weight=weights)
        return tf.cast(loss, tf.float32), norm

    def _own_step(self, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        logs = self.model.train_step(batch)
        loss = logs["loss"] if "loss" in logs else next(iter(logs.values()))
        return tf.reshape(tf.cast(loss, tf.float32), ()), tf.constant(np.nan, tf.float32)

    def _judge_rows(self, columns: Tensors) -> tf.Tensor:
        model, weights = self.model, _weights(columns)
        answers = model(columns[0], training=False)
        if len(model.metrics) > 1:
            model.compute_metrics(columns[0], columns[1], answers, sample_weight=weights)
        return model.compute_loss(
            x=columns[0], y=columns[1], y_pred=answers, sample_weight=weights, training=False
        )


def picked(columns: Any, order: NDArray[np.int32]) -> tuple[Tensors, NDArray[np.int32]]:
    """The rows that these steps take, out of columns that lie in a file, and the same steps over them alone."""
    rows = order.ravel()
    taken = tf.nest.map_structure(lambda column: tf.constant(np.asarray(column)[rows]), columns)
    return taken, np.arange(len(rows), dtype=np.int32).reshape(order.shape)


def stepper_of(model: keras.Model) -> Stepper:
    """The stepper of a model: the one that it has as long as nothing was compiled or frozen meanwhile.

    Tracing a network again costs as much as some epochs of it.
    """
    paths = (variable.path for variable in model.trainable_weights)
    types = (layer.compute_dtype for layer in model.layers)
    state = (id(model.optimizer), model.run_eagerly, *paths, *types)
    known = getattr(model, "_losswatch_stepper", None)
    if known is None or known[0] != state:
        known = (state, Stepper(model))
        object.__setattr__(model, "_losswatch_stepper", known)
    stepper: Stepper = known[1]
    return stepper


def _weights(columns: Tensors) -> tf.Tensor | None:
    return columns[2] if len(columns) > 2 else None


def _norm(gradients: list[Any], loss: tf.Tensor, scaled: tf.Tensor) -> tf.Tensor:
    """Length of the whole gradient; where the loss was scaled for half precision, as if it had not been."""
    norm = tf.linalg.global_norm([gradient for gradient in gradients if gradient is not None])
    return tf.cast(norm * tf.cast(tf.math.divide_no_nan(loss, scaled), norm.dtype), tf.float32)
