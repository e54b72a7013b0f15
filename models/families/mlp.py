"""Dense layers beside a straight line from the inputs to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import layers

from models.families.embedding import embedded

if TYPE_CHECKING:
    from models.families import Activation
    from models.schema import Schema

# Glorot and Bengio 2010 for what bends around 0, Klambauer et al. 2017 for selu; else He et al. 2015
_INITIALIZERS = {
    "tanh": "glorot_normal",
    "sigmoid": "glorot_normal",
    "softsign": "glorot_normal",
    "selu": "lecun_normal",
}


def mlp(
    schema: Schema,
    *,
    hidden: Sequence[int] = (64, 32),
    dropout: float = 0.3,
    input_dropout: float = 0.1,
    input_noise: float = 0.0,
    positive: bool = False,
    activation: Activation = "relu",
    batch_norm: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """Hidden layers and a linear path side by side; their sum is the answer.

    The hidden layers answer 0 at first, so that training begins with a linear model and departs from it only
    where the rows ask for it. They see an embedded category as its vector, the linear path as a weight a level.
    Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems".

    hidden: units of each hidden layer; () is a linear model. dropout: share of hidden units left out, 0 to 1.
    input_dropout: share of inputs hidden from the hidden layers at a step, the same ones for all its rows.
    input_noise: standard deviation of what is added to the inputs in training, Bishop 1995, "Training with Noise is
    Equivalent to Tikhonov Regularization".
    positive: a regression that answers values above 0 only (softplus), for losses with a logarithm.
    activation: of the hidden units. batch_norm: between their sums and the activation, Ioffe and Szegedy 2015.
    l1, l2: penalties on the sizes and on the squares of all weights but the biases, added to the loss.
    Input: float32 (n, schema.width). Output: float32 (n, schema.outputs), probabilities for classes, the
    target's own units for regression.
    """
    inputs = keras.Input((schema.width,), name="inputs")
    penalty = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None
    seen = layers.GaussianNoise(input_noise, name="input_noise")(inputs) if input_noise else inputs
    scores = layers.Dense(
        schema.outputs, kernel_initializer="zeros", kernel_regularizer=penalty, name="linear"
    )(seen)
    if hidden:
        deep = embedded(seen, schema)
        deep = layers.Dropout(input_dropout, noise_shape=(1, deep.shape[-1]), name="input_dropout")(deep)
        for position, units in enumerate(hidden):
            deep = _hidden(deep, units, position, activation, batch_norm, penalty)
            deep = layers.Dropout(dropout, name=f"dropout_{position}")(deep)
        last = layers.Dense(
            schema.outputs,
            use_bias=False,
            kernel_initializer="zeros",
            kernel_regularizer=penalty,
            name="deep",
        )
        scores = layers.Add(name="sum")([scores, last(deep)])
    return keras.Model(inputs, _answer(schema, scores, positive), name="mlp")


def _hidden(
    inputs: keras.KerasTensor,
    units: int,
    position: int,
    activation: Activation,
    batch_norm: bool,
    penalty: keras.Regularizer | None,
) -> keras.KerasTensor:
    """One hidden layer, started so that its answers vary about as much as its inputs."""
    dense = layers.Dense(
        units,
        activation=None if batch_norm else activation,
        kernel_initializer=_INITIALIZERS.get(activation, "he_normal"),
        kernel_regularizer=penalty,
        name=f"hidden_{position}",
    )
    if not batch_norm:
        return dense(inputs)
    normal = layers.BatchNormalization(name=f"batch_norm_{position}")(dense(inputs))
    return layers.Activation(activation, name=f"activation_{position}")(normal)


def _answer(schema: Schema, scores: keras.KerasTensor, positive: bool) -> keras.KerasTensor:
    """Scores turned into probabilities, or into the units of the target."""
    target = schema.target
    if target.task == "binary":
        return layers.Activation("sigmoid", name="probability")(scores)
    if target.task == "multiclass":
        return layers.Activation("softmax", name="probability")(scores)
    units = layers.Rescaling(target.scale or 1.0, target.mean, name="units")(scores)
    return layers.Activation("softplus", name="positive")(units) if positive else units
