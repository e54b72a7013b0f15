"""Networks with several outputs: each learns by a loss of its own, from the one target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.answer_width import output_sizes
from models.export import load_keras, save_keras
from models.fit import fit, update
from models.losses import NamedLoss
from models.outputs import OutputLosses, predict_each, row_losses_each
from models.recipe import FitConfig, Recipe
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target, Task

WIDTH = 3
LOSSES: dict[str, Any] = {"middle": "mse", "high": NamedLoss("quantile", {"quantile": 0.9})}
WEIGHTS = {"middle": 1.0, "high": 2.0}


def schema(task: Task = "regression", classes: int = 3) -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH))
    return Schema(
        columns, Target("y", task, () if task == "regression" else tuple("uvw"[:classes]), 0.0, 1.0)
    )


def rows(count: int, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, WIDTH)).astype(np.float32)
    return Rows(inputs, (inputs[:, 0] + random.normal(size=count)).astype(np.float32))


def named(schema: Schema) -> keras.Model:
    inputs = keras.Input((schema.width,))
    return keras.Model(inputs, {name: keras.layers.Dense(1)(inputs) for name in ("middle", "high")})


def listed(schema: Schema) -> keras.Model:
    inputs = keras.Input((schema.width,))
    return keras.Model(inputs, [keras.layers.Dense(1, name=name)(inputs) for name in ("middle", "high")])


def recipe(build: Any, **more: Any) -> Recipe:
    settings = {"learning_rate": 0.05, "weight_decay": 0.0, "loss_weights": WEIGHTS}
    return Recipe(build, LOSSES, **{**settings, **more})


@pytest.mark.parametrize("build", [named, listed])
def test_every_output_learns_by_its_own_loss(build: Any) -> None:
    train = rows(600)
    fitted = fit(recipe(build), schema(), train, rows(200, 1), FitConfig(epochs=15))
    answers = predict_each(fitted.model, train.inputs)
    errors = train.targets - answers["middle"][:, 0]
    assert abs(errors.mean()) < 0.15
    assert np.mean(answers["high"][:, 0] > train.targets) == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize("build", [named, listed])
def test_row_losses_and_their_weighted_sum_are_what_keras_minimises(build: Any) -> None:
    judged = rows(90, 1)
    fitted = fit(recipe(build), schema(), rows(200), judged, FitConfig(epochs=1))
    found = row_losses_each(LOSSES, judged.targets, predict_each(fitted.model, judged.inputs), WEIGHTS)
    (epoch,) = fitted.history.epochs
    assert epoch.validation_loss == pytest.approx(found.total.mean(), rel=1e-5)
    for name, losses in found.parts.items():
        assert epoch.metrics[f"val_{name}_loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_weights_of_rows_count_for_every_output() -> None:
    train = rows(200)
    doubled = Rows(train.inputs, train.targets, np.full(200, 2.0, np.float32))
    plain, heavy = (
        fit(recipe(named, learning_rate=1e-9), schema(), rows(9), one, FitConfig(epochs=1)).history.best_loss
        for one in (train, doubled)
    )
    assert heavy == pytest.approx(2 * plain, rel=1e-4)


def test_several_outputs_of_classes_get_the_labels_that_each_loss_wants() -> None:
    def build(schema: Schema) -> keras.Model:
        inputs = keras.Input((schema.width,))
        ends = {name: keras.layers.Dense(3, activation="softmax")(inputs) for name in ("a", "b")}
        return keras.Model(inputs, ends)

    inputs = rows(300).inputs
    train = Rows(inputs, inputs.argmax(axis=1).astype(np.int32))
    losses = {"a": "sparse_categorical_crossentropy", "b": "categorical_crossentropy"}
    made = Recipe(build, losses, learning_rate=0.05)
    fitted = fit(made, schema("multiclass"), train, train, FitConfig(epochs=10))
    answers = predict_each(fitted.model, inputs)
    assert all(np.mean(found.argmax(axis=1) == train.targets) > 0.9 for found in answers.values())


def test_a_network_of_several_outputs_is_stored_and_updated(tmp_path: Path) -> None:
    fitted = fit(recipe(named), schema(), rows(200), rows(60, 1), FitConfig(epochs=2))
    save_keras(fitted.model, tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    further = [update(model, rows(200), rows(60, 1), FitConfig(epochs=1)) for model in (fitted.model, loaded)]
    assert further[0].history.best_loss == further[1].history.best_loss


def test_losses_for_other_outputs_than_there_are_are_refused() -> None:
    with pytest.raises(
        ValueError, match="has the outputs middle, high, and losses are given for middle, low"
    ):
        Recipe(named, {"middle": "mse", "low": "mae"}).compiled(schema(), seed=0)
    with pytest.raises(ValueError, match="predictions for a; expected the same"):
        row_losses_each({"b": "mse"}, np.zeros(1), {"a": np.zeros((1, 1))})


def test_an_output_that_is_no_array_of_rows_is_refused() -> None:
    inputs = keras.Input((WIDTH,))
    model = keras.Model(inputs, {"a": keras.layers.Reshape((WIDTH, 1))(inputs)})
    with pytest.raises(ValueError, match=r"output 'a' answers 2 rows with shape \(2, 3, 1\)"):
        output_sizes(model, WIDTH)


def test_no_rows_have_no_answers() -> None:
    model = recipe(named).compiled(schema(), seed=0)
    answers = predict_each(model, np.zeros((0, WIDTH), np.float32))
    assert {name: found.shape for name, found in answers.items()} == {"middle": (0, 1), "high": (0, 1)}


def test_the_sum_is_weighted_by_hand() -> None:
    parts = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 5.0])}
    assert OutputLosses(parts, {"a": 1.0, "b": 0.5}).total.tolist() == [2.5, 4.5]
