"""Networks with several outputs, all of which learn from the one target: a mean beside a quantile, for example.

Supported where networks are made and trained in Python: a `Recipe` whose loss is a mapping from the outputs' names,
`fit`, `update`, `predict_each` and `row_losses_each`. Every output learns from the same target column, in the shape
that its own loss wants. A project, which serves, monitors and judges one answer a row, has networks of one output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.answer_width import by_output, output_sizes
from models.recipe import Loss, as_labels, row_losses_of, wants_columns

if TYPE_CHECKING:
    import keras

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class OutputLosses:
    """Losses of the same rows by output, each (n,) float64, and what each output counts.

    >>> parts = {"mean": np.array([1.0, 2.0]), "high": np.array([0.5, 0.5])}
    >>> OutputLosses(parts, {"mean": 1.0, "high": 2.0}).total
    array([2., 3.])
    """

    parts: Mapping[str, NDArray[np.float64]]
    weights: Mapping[str, float]

    @property
    def total(self) -> NDArray[np.float64]:
        """The weighted sum of a row's losses, (n,): what is minimised, but for penalties."""
        weighted = [self.weights[name] * losses for name, losses in self.parts.items()]
        return np.asarray(np.sum(weighted, axis=0), np.float64)


def row_losses_each(
    losses: Mapping[str, Loss],
    target: Array,
    predictions: Mapping[str, Array],
    weights: Mapping[str, float] | None = None,
) -> OutputLosses:
    """Loss of every row by every output, before any averaging.

    target: (n,), the same for all. predictions: output -> (n, k). weights: those left out count 1.
    Raises ValueError where losses and predictions are not of the same outputs.

    >>> found = row_losses_each({"a": "mse", "b": "mae"}, np.ones(1), {"a": np.zeros((1, 1)), "b": np.zeros((1, 1))})
    >>> found.total
    array([2.])
    """
    if set(losses) != set(predictions):
        raise ValueError(
            f"losses are given for {', '.join(losses)} and predictions for {', '.join(predictions)}; expected the same."
        )
    parts = {name: row_losses_of(loss, target, predictions[name]) for name, loss in losses.items()}
    return OutputLosses(parts, {name: float((weights or {}).get(name, 1.0)) for name in losses})


def predict_each(
    model: keras.Model, inputs: NDArray[Any], batch_size: int = 8192
) -> dict[str, NDArray[np.float32]]:
    """The answers of every output by name, float32 (n, k), for inputs (n, width); n may be 0."""
    sizes = output_sizes(model, inputs.shape[1])
    parts: dict[str, list[Array]] = {name: [np.empty((0, size), np.float32)] for name, size in sizes.items()}
    for start in range(0, len(inputs), batch_size):
        answers = model(inputs[start : start + batch_size], training=False)
        for name, answer in by_output(model, answers).items():
            parts[name].append(answer.numpy())
    return {name: np.concatenate(found).astype(np.float32, copy=False) for name, found in parts.items()}


def labeller(model: keras.Model, outputs: int | None, width: int) -> Callable[[Array], Any]:
    """What turns targets (n,) into what Keras compares with the answers of this compiled model.

    outputs: of a network with one output; None asks a network with several, and gives an array for each of them, in
    the structure in which the network answers.
    """
    if outputs is not None:
        columns = not isinstance(model.loss, Mapping) and wants_columns(model.loss)
        return lambda targets: as_labels(targets, outputs, columns=columns)
    sizes = output_sizes(model, width)
    losses = model.loss if isinstance(model.loss, Mapping) else dict.fromkeys(sizes, model.loss)
    named = isinstance(model(np.zeros((2, width), np.float32), training=False), Mapping)

    def label(targets: Array) -> Any:
        found = {
            name: as_labels(targets, size, columns=wants_columns(losses[name]))
            for name, size in sizes.items()
        }
        return found if named else tuple(found.values())

    return label
