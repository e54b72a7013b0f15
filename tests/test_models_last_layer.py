"""What networks of several shapes end with."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from models.families import family
from models.last_layer import MOST_UNITS, LastLayer, last_activations, last_layer
from models.schema import NumberColumn, Schema, Target, Task

EVERYTHING = (-math.inf, math.inf)


def sequential(*parts: Any) -> keras.Model:
    return keras.Sequential([keras.Input((3,)), *parts])


def functional(*parts: Any) -> keras.Model:
    inputs = tensor = keras.Input((3,))
    for part in parts:
        tensor = part(tensor)
    return keras.Model(inputs, tensor)


@pytest.mark.parametrize("make", [sequential, functional])
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([layers.Dense(1)], ("linear", *EVERYTHING)),
        ([layers.Dense(1, activation="sigmoid")], ("sigmoid", 0.0, 1.0)),
        ([layers.Dense(1), layers.Activation("softplus")], ("softplus", 0.0, math.inf)),
        ([layers.Dense(2), layers.Softmax()], ("softmax", 0.0, 1.0)),
        ([layers.Dense(1, activation="relu"), layers.Dropout(0.1)], ("relu", 0.0, math.inf)),
        ([layers.Dense(1, activation="tanh"), layers.Rescaling(10.0, 5.0)], ("tanh", -5.0, 15.0)),
        ([layers.Dense(1, activation="relu"), layers.Rescaling(-2.0, 1.0)], ("relu", -math.inf, 1.0)),
        (
            [layers.Dense(1, activation="sigmoid"), layers.Rescaling(10.0), layers.Rescaling(2.0, 1.0)],
            ("sigmoid", 1.0, 21.0),
        ),
        ([layers.Dense(1), layers.Rescaling(10.0, 5.0)], ("linear", *EVERYTHING)),
        ([layers.Dense(1, activation="sigmoid"), layers.Dense(1)], ("linear", *EVERYTHING)),
        ([layers.Dense(1, activation="sigmoid"), layers.UnitNormalization()], (None, *EVERYTHING)),
    ],
)
def test_the_end_of_a_network_is_found(make: Any, parts: list[Any], expected: tuple[Any, ...]) -> None:
    copies = [part.from_config(part.get_config()) for part in parts]
    assert last_layer(make(*copies)) == LastLayer(*expected)


@pytest.mark.parametrize(
    ("task", "activation"), [("regression", "linear"), ("binary", "sigmoid"), ("multiclass", "softmax")]
)
def test_the_mlp_ends_as_its_task_asks(task: Task, activation: str) -> None:
    columns = (NumberColumn("a", 0.0, 0.0, 1.0, indicator=False),)
    names = () if task == "regression" else ("v", "w", "x")[: 2 if task == "binary" else 3]
    schema = Schema(columns, Target("y", task, names, 3.0, 2.0))
    assert last_layer(family("mlp")(schema)).activation == activation


def test_several_inputs_of_the_last_layer_are_a_sum() -> None:
    inputs = keras.Input((3,))
    ends = [layers.Dense(1, activation="sigmoid")(inputs) for _ in range(2)]
    assert last_layer(keras.Model(inputs, layers.Add()(ends))).activation == "linear"


def test_nothing_is_known_behind_a_plain_operation() -> None:
    inputs = keras.Input((3,))
    assert last_layer(keras.Model(inputs, layers.Dense(1, activation="relu")(inputs) * 9)) == LastLayer(None)


class Own(keras.Model):  # type: ignore[misc]  # Keras publishes no type of it
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def test_nothing_is_known_of_a_class_of_ones_own() -> None:
    assert last_layer(Own()) == LastLayer(None)


def test_nothing_is_known_of_a_network_of_several_outputs() -> None:
    inputs = keras.Input((3,))
    several = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    assert last_layer(several) == LastLayer(None)


ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def read_by_last(model: keras.Model) -> Any:
    """The activations of a few rows; None where nobody knows them."""
    found = last_activations(model)
    return None if found is None else found(ROWS, training=False).numpy()


@pytest.mark.parametrize("make", [sequential, functional])
def test_the_last_layer_reads_what_the_one_before_makes(make: Any) -> None:
    hidden, last = layers.Dense(4, activation="tanh"), layers.Dense(2)
    model = make(hidden, layers.Dropout(0.5), last, layers.Softmax())
    weights, offsets = hidden.get_weights()
    assert read_by_last(model) == pytest.approx(np.tanh(ROWS @ weights + offsets), abs=1e-6)


def test_of_a_linear_part_beside_a_deep_one_only_what_weights_have_made_counts() -> None:
    inputs = keras.Input((3,))
    seen = layers.GaussianNoise(0.1)(inputs)
    hidden = layers.Dense(4, activation="relu")
    answer = layers.Add()([layers.Dense(1)(seen), layers.Dense(1)(hidden(seen))])
    model = keras.Model(inputs, layers.Rescaling(2.0)(answer))
    weights, offsets = hidden.get_weights()
    assert read_by_last(model) == pytest.approx(np.maximum(ROWS @ weights + offsets, 0), abs=1e-6)


def test_two_deep_parts_are_read_side_by_side() -> None:
    inputs = keras.Input((3,))
    parts = [layers.Dense(1)(layers.Dense(units, activation="relu")(inputs)) for units in (4, 5)]
    assert read_by_last(keras.Model(inputs, layers.Average()(parts))).shape == (6, 9)


def test_where_the_last_layer_reads_the_inputs_there_is_nothing_to_add() -> None:
    assert read_by_last(sequential(layers.Dense(1))) is None
    assert read_by_last(functional(layers.Dropout(0.1), layers.Dense(1), layers.Rescaling(2.0))) is None
    assert read_by_last(functional(layers.Normalization(mean=1.0, variance=2.0), layers.Dense(1))) is None


def test_nothing_is_known_of_a_class_of_ones_own_nor_told_of_too_many_units() -> None:
    own = Own()
    own(ROWS)
    assert read_by_last(own) is None
    assert read_by_last(sequential(layers.Dense(MOST_UNITS + 1), layers.Dense(1))) is None
    steps = (layers.Reshape((3, 1)), layers.LSTM(2, return_sequences=True))
    assert read_by_last(sequential(*steps, layers.Dense(1))) is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_our_own_networks_have_a_last_layer(task: Task) -> None:
    columns = tuple(NumberColumn(name, 0.0, 0.0, 1.0, indicator=False) for name in "abc")
    names = () if task == "regression" else ("v", "w", "x")[: 2 if task == "binary" else 3]
    model = family("mlp")(Schema(columns, Target("y", task, names, 3.0, 2.0)), hidden=(8, 5))
    assert read_by_last(model).shape == (6, 5)
