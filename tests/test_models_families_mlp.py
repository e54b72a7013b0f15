"""The settings of the mlp: what they build, and that the default is what it always was."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from models.export import export_onnx
from models.families import Activation
from models.families.mlp import mlp
from models.fit import fit
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target

WIDTH = 3


def schema() -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH))
    return Schema(columns, Target("y", "binary", ("v", "w"), 0.0, 1.0))


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def rows(count: int) -> Rows:
    inputs = np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)
    return Rows(inputs, (np.prod(inputs, axis=1) > 0).astype(np.float32))


def test_the_default_has_no_further_parts() -> None:
    expected = [
        "InputLayer",
        "Dropout",
        "Dense",
        "Dropout",
        "Dense",
        "Dropout",
        "Dense",
        "Dense",
        "Add",
        "Activation",
    ]
    model = mlp(schema())
    assert kinds(model) == expected
    assert model.losses == []


def test_noise_is_added_to_the_inputs_in_training_and_nowhere_else(tmp_path: Path) -> None:
    model = mlp(schema(), hidden=(), input_noise=0.5)
    model.get_layer("linear").set_weights([np.ones((WIDTH, 1), np.float32), np.zeros(1, np.float32)])
    same = np.zeros((20_000, WIDTH), np.float32)
    np.testing.assert_array_equal(model(same), np.full((len(same), 1), 0.5))
    answers = np.asarray(model(same, training=True), np.float64)
    scores = np.log(answers / (1 - answers))
    assert scores.mean() == pytest.approx(0, abs=5 * 0.5 * np.sqrt(WIDTH / len(same)))
    assert scores.std() == pytest.approx(0.5 * np.sqrt(WIDTH), rel=0.05)
    assert export_onnx(model, tmp_path / "model.onnx", same[:9]).faithful


def test_a_training_with_noise_is_the_same_from_the_same_seed() -> None:
    recipe = recipe_from(NetworkConfig(hidden=(8,), input_noise=0.2, epochs=2), "binary")
    config = FitConfig(seed=3, epochs=2)
    first, second = (fit(recipe, schema(), rows(2000), rows(500), config).model.get_weights() for _ in "12")
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("activation", "batch_norm"), [*((name, False) for name in get_args(Activation)), ("relu", True)]
)
def test_every_activation_learns_and_is_written_as_onnx(
    activation: Any, batch_norm: bool, tmp_path: Path
) -> None:
    network = NetworkConfig(
        hidden=(16, 8), activation=activation, batch_norm=batch_norm, dropout=0.0, learning_rate=0.02
    )
    config = NetworkConfig(epochs=3).fit_config(seed=0)
    fitted = fit(recipe_from(network, "binary"), schema(), rows(600), rows(600), config)
    assert fitted.history.best_loss < 0.69
    export = export_onnx(fitted.model, tmp_path / "model.onnx", rows(50).inputs)
    assert export.faithful


def test_batch_normalisation_stands_between_sum_and_activation() -> None:
    model = mlp(schema(), hidden=(4,), batch_norm=True, activation="tanh")
    names = [layer.name for layer in model.layers]
    assert [
        names.index(name) for name in ("hidden_0", "batch_norm_0", "activation_0", "dropout_0")
    ] == sorted(names.index(name) for name in ("hidden_0", "batch_norm_0", "activation_0", "dropout_0"))
    assert model.get_layer("hidden_0").activation is keras.activations.linear
    assert model.get_layer("activation_0").activation is keras.activations.tanh


def test_penalties_are_on_all_weights_but_the_biases() -> None:
    model = mlp(schema(), hidden=(4,), l1=0.5, l2=0.25)
    model.get_layer("linear").set_weights([np.full((WIDTH, 1), 2.0), np.full(1, 9.0)])
    model.get_layer("hidden_0").set_weights([np.full((WIDTH, 4), -1.0), np.full(4, 9.0)])
    by_hand = 3 * (0.5 * 2 + 0.25 * 4) + 12 * (0.5 + 0.25)
    assert float(sum(model.losses)) == pytest.approx(by_hand)


def test_a_penalty_is_in_the_unit_of_the_target() -> None:
    def penalty(scale: float) -> Any:
        target = Target("y", "regression", (), 0.0, scale)
        network = NetworkConfig(hidden=(4,), l2=0.1)
        model = recipe_from(network, "regression").compiled(Schema(schema().columns, target), seed=0)
        return float(sum(model.losses))

    assert penalty(100.0) == pytest.approx(1e4 * penalty(1.0), rel=1e-5)
