"""What networks of several shapes end with."""

from __future__ import annotations

import math
from typing import Any

import keras
import pytest
from keras import layers

from models.families import family
from models.last_layer import LastLayer, last_layer
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
