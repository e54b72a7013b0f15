"""A network that begins where a linear model ends, so that its epochs go into what a straight line cannot say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from models.baselines import fit_simple

if TYPE_CHECKING:
    import keras

    from models.rows import Rows
    from models.schema import Schema

    Judge = Callable[[Rows], float]

LAYER = "linear"  # of the networks that have a straight line from the inputs to the answer
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
