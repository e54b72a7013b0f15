"""Dense layers beside a straight line from the inputs to the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import layers

if TYPE_CHECKING:
    from models.schema import Schema


def mlp(
    schema: Schema, *, hidden: Sequence[int] = (64, 32), dropout: float = 0.1, positive: bool = False
) -> keras.Model:
    """Hidden layers and a linear path side by side; their sum is the answer.

    The linear path starts at zero and carries what a linear model would find; the hidden layers add to it.
    Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems".

    hidden: units of each hidden layer; () is a linear model. dropout: share of units left out, 0 to 1.
    positive: a regression that only answers values above 0 (softplus), for losses with a logarithm.
    Input: float32 (n, schema.width). Output: float32 (n, schema.outputs), probabilities for classes,
    the target's own units for regression.
    """
    inputs = keras.Input((schema.width,), name="inputs")
    linear = layers.Dense(schema.outputs, kernel_initializer="zeros", name="linear")(inputs)
    deep = inputs
    for position, units in enumerate(hidden):
        deep = layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", name=f"hidden_{position}"
        )(deep)
        deep = layers.Dropout(dropout, name=f"dropout_{position}")(deep)
    if hidden:
        deep = layers.Dense(schema.outputs, use_bias=False, name="deep")(deep)
        linear = layers.Add(name="sum")([linear, deep])
    return keras.Model(inputs, _answer(schema, linear, positive), name="mlp")


def _answer(schema: Schema, scores: keras.KerasTensor, positive: bool) -> keras.KerasTensor:
    """Scores turned into probabilities, or into the units of the target."""
    target = schema.target
    if target.task == "binary":
        return layers.Activation("sigmoid", name="probability")(scores)
    if target.task == "multiclass":
        return layers.Activation("softmax", name="probability")(scores)
    if positive:
        return layers.Activation("softplus", name="positive")(
            layers.Rescaling(target.scale, target.mean)(scores)
        )
    return layers.Rescaling(target.scale, target.mean, name="units")(scores)
