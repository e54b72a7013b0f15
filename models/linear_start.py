"""A network that begins where a linear model ends, so that its epochs go into what a straight line cannot say.

So does an update: of a network that has been wrong in the same way for a while a straight line is soon put right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.baselines import fit_simple

if TYPE_CHECKING:
    import keras

    from models.rows import Rows
    from models.schema import Schema

    Judge = Callable[[Rows], float]

LAYER = "linear"  # of the networks that have a straight line from the inputs to the answer
BESIDE = "deep"  # the layer whose answer is added to it, without a bias; it may be missing
UNITS, POSITIVE = "units", "positive"  # what turns their sum into the target's own units, and bends it
LEAST_TARGETS = 2  # a line needs as many
JUDGED_ROWS = 20_000  # enough to tell a line that fits from one that does not


def start_linear(model: keras.Model, schema: Schema, train: Rows, judge: Judge, *, seed: int) -> bool:
    """Puts the simple model of the training rows into the network's straight line; returns whether it stays there.

    It stays where the network's own loss is lower with it than without: least squares and logistic regression serve
    most losses, but not one that asks for a high quantile, say.

    model: with a layer named LAYER, whose hidden layers answer 0 as yet. train: in the order of time. judge: the mean
    loss of the model on rows. seed: draws rows for the simple model where they are many.
    """
    if len(train) < LEAST_TARGETS:
        return False
    layer = model.get_layer(LAYER)
    before, rows = layer.get_weights(), train.take(_spread(len(train)))
    start = judge(rows)
    layer.set_weights(_line(schema, train, seed))
    if judge(rows) < start:
        return True
    layer.set_weights(before)
    return False


def _line(schema: Schema, train: Rows, seed: int) -> list[np.ndarray]:
    """Kernel (width, outputs) and bias (outputs,) of the simple model; of a quantity in units of its scale."""
    target = schema.target
    simple = fit_simple(target.task, train.inputs, train.targets, outputs=schema.outputs, seed=seed)
    kernel, bias = simple.weights, simple.intercept
    if target.task == "regression":
        scale = target.scale or 1.0
        kernel, bias = kernel / scale, (bias - target.mean) / scale
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def _spread(rows: int) -> np.ndarray:
    return np.linspace(0, rows - 1, min(rows, JUDGED_ROWS)).astype(np.intp)


def takes_correction(model: keras.Model) -> bool:
    """Whether `correct` can be told to a network: it has the straight line, one answer, and nothing bends its units.

    A user's own network may have a layer of that name for something else: it counts where it takes the inputs.
    """
    names = {getattr(layer, "name", "") for layer in getattr(model, "layers", ())}
    if LAYER not in names or POSITIVE in names:
        return False
    weights = model.get_layer(LAYER).get_weights()
    return [part.shape for part in weights] == [(model.input_shape[-1], 1), (1,)]


def correct(model: keras.Model, correction: NDArray[np.float64]) -> None:
    """Changes what a network answers before its last activation by a correction that is linear in it and in the inputs.

    correction: (2 + width, 1): a shift and a new slope, both in the units of the answer, and a weight of every input.
    See `takes_correction`.
    """
    shift, slope, weights = float(correction[0, 0]), float(correction[1, 0]), correction[2:]
    scale, mean = 1.0, 0.0
    names = {layer.name for layer in model.layers}
    if UNITS in names:
        units = model.get_layer(UNITS)
        scale, mean = float(units.scale), float(units.offset)
    line = model.get_layer(LAYER)
    kernel, bias = line.get_weights()
    line.set_weights(
        [
            ((1.0 + slope) * kernel + weights / scale).astype(np.float32),
            ((1.0 + slope) * bias + (shift + slope * mean) / scale).astype(np.float32),
        ]
    )
    if BESIDE in names:
        beside = model.get_layer(BESIDE)
        beside.set_weights([np.float32(1.0 + slope) * part for part in beside.get_weights()])
