"""Dense layers beside a straight line from the inputs to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import layers

if TYPE_CHECKING:
    from models.schema import Schema


def mlp(
    schema: Schema,
    *,
    hidden: Sequence[int] = (64, 32),
    dropout: float = 0.3,
    input_dropout: float = 0.1,
    positive: bool = False,
) -> keras.Model:
    """Hidden layers and a linear path side by side; their sum is the answer.

    The hidden layers answer 0 at first, so that training begins with a linear model and departs from it only
    where the rows ask for it.
    Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems".

    hidden: units of each hidden layer; () is a linear model. dropout: share of hidden units left out, 0 to 1.
    input_dropout: share of inputs hidden from the hidden layers at a step, the same ones for all its rows.
    positive: a regression that answers values above 0 only (softplus), for losses with a logarithm.
    Input: float32 (n, schema.width). Output: float32 (n, schema.outputs), probabilities for classes, the
    target's own units for regression.
    """
    inputs = keras.Input((schema.width,), name="inputs")
    scores = layers.Dense(schema.outputs, kernel_initializer="zeros", name="linear")(inputs)
    if hidden:
        deep = layers.Dropout(input_dropout, noise_shape=(1, schema.width), name="input_dropout")(inputs)
        for position, units in enumerate(hidden):
            dense = layers.Dense(
                units, activation="relu", kernel_initializer="he_normal", name=f"hidden_{position}"
            )
            deep = layers.Dropout(dropout, name=f"dropout_{position}")(dense(deep))
        last = layers.Dense(schema.outputs, use_bias=False, kernel_initializer="zeros", name="deep")
        scores = layers.Add(name="sum")([scores, last(deep)])
    return keras.Model(inputs, _answer(schema, scores, positive), name="mlp")


def _answer(schema: Schema, scores: keras.KerasTensor, positive: bool) -> keras.KerasTensor:
    """Scores turned into probabilities, or into the units of the target."""
    target = schema.target
    if target.task == "binary":
        return layers.Activation("sigmoid", name="probability")(scores)
    if target.task == "multiclass":
        return layers.Activation("softmax", name="probability")(scores)
    units = layers.Rescaling(target.scale or 1.0, target.mean, name="units")(scores)
    return layers.Activation("softplus", name="positive")(units) if positive else units
