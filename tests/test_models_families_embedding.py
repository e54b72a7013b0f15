"""Embedded categories: the vectors are an embedding, learn what single inputs cannot, and survive every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from models.export import export_onnx, load_keras, save_keras
from models.families.embedding import embedded
from models.families.mlp import mlp
from models.fit import fit, predict
from models.preparation import PrepareConfig
from models.recipe import FitConfig, NetworkConfig, recipe_from, row_losses_of
from models.rows import Rows
from models.schema import CategoryColumn, EmbeddedColumn, NumberColumn, Schema, Target

LEVELS = tuple(f"c{place}" for place in range(100))
NUMBER = NumberColumn("x", 0.0, 0.0, 1.0, indicator=False)
TARGET = Target("y", "binary", ("0", "1"))


def middle() -> Schema:
    """A number, an embedded category, a short category and another embedded one."""
    columns = (
        NUMBER,
        EmbeddedColumn("customer", LEVELS, 3),
        CategoryColumn("day", ("Mo", "Tu")),
        EmbeddedColumn("place", LEVELS[:70], 2),
    )
    return Schema(columns, TARGET)


def some_rows(schema: Schema) -> NDArray[np.float32]:
    return schema.inputs(
        {
            "x": [1.5, -2.0, 0.25],
            "customer": ["c7", None, "nobody"],
            "day": ["Tu", "Mo", None],
            "place": ["c0", "c69", "c70"],
        }
    )


def test_the_vectors_are_those_that_a_lookup_gives() -> None:
    schema = middle()
    inputs = keras.Input((schema.width,))
    model = keras.Model(inputs, embedded(inputs, schema))
    customers, places = (model.get_layer(f"embedding_{place}").get_weights()[0] for place in (0, 1))
    lookup = keras.layers.Embedding(len(LEVELS) + 2, 3, weights=[customers])
    rows = some_rows(schema)
    answer = predict(model, rows)
    assert answer.shape == (3, 1 + 4 + 3 + 2)
    np.testing.assert_array_equal(answer[:, 0], [1.5, -2.0, 0.25])
    np.testing.assert_array_equal(answer[:, 1:5], rows[:, 103:107])
    missing, another = len(LEVELS) + 1, len(LEVELS)
    np.testing.assert_array_equal(answer[:, 5:8], lookup(np.array([7, missing, another])))
    np.testing.assert_array_equal(answer[:, 8:], places[[0, 69, 70]])


def test_without_embedded_columns_the_inputs_stay_as_they_are() -> None:
    inputs = keras.Input((1,))
    assert embedded(inputs, Schema((NUMBER,), TARGET)) is inputs


def test_a_row_of_nothing_but_one_embedded_column_is_its_vector() -> None:
    schema = Schema((EmbeddedColumn("customer", LEVELS, 3),), TARGET)
    inputs = keras.Input((schema.width,))
    assert embedded(inputs, schema).shape == (None, 3)


def test_a_network_with_vectors_is_the_same_when_loaded_and_as_onnx(tmp_path: Path) -> None:
    schema = middle()
    model = mlp(schema)
    model.get_layer("deep").set_weights([np.ones((32, 1), np.float32)])  # or the hidden layers would answer 0
    rows = some_rows(schema)
    answer = predict(model, rows)
    save_keras(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(load_keras(tmp_path / "model.keras", compiled=False), rows), answer)
    assert export_onnx(model, tmp_path / "model.onnx", rows).faithful


def interacting(rows: int) -> dict[str, Any]:
    """Two classes that depend on a number in a way that each of 200 customers has of its own."""
    rng = np.random.default_rng(0)
    taste, customer, x = rng.choice([-3.0, 3.0], 200), rng.integers(0, 200, rows), rng.normal(size=rows)
    likely = 1 / (1 + np.exp(-taste[customer] * x))
    late = (rng.random(rows) < likely).astype(int)
    return {"x": x, "customer": [f"c{number}" for number in customer], "y": late}


def loss_of(encoding: Literal["one_hot", "hashing", "embedding"]) -> float:
    frame = interacting(16_000)
    parts = [
        {name: column[start:stop] for name, column in frame.items()}
        for start, stop in ((0, 10_000), (10_000, 12_000), (12_000, 16_000))
    ]
    schema = Schema.fit(parts[0], "y", prepare=PrepareConfig(encoding=encoding))
    train, validation, later = (Rows(schema.inputs(part), schema.targets(part)) for part in parts)
    recipe = recipe_from(NetworkConfig(), "binary")
    fitted = fit(recipe, schema, train, validation, FitConfig(seed=0))
    return float(row_losses_of(recipe.loss, later.targets, predict(fitted.model, later.inputs)).mean())


@pytest.mark.slow
def test_a_vector_a_level_learns_what_shared_inputs_cannot() -> None:
    vectors = loss_of("embedding")
    assert vectors < loss_of("one_hot") - 0.05
    assert vectors < loss_of("hashing") - 0.05
