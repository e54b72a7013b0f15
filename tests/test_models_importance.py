"""What matters is found by both ways, all inputs of a column together, and gradients leave nothing unexplained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from models.importance import (
    Span,
    attributed_importance,
    column_spans,
    integrated_gradients,
    permutation_importance,
)
from models.intervals import Resampling
from models.losses import row_losses
from models.schema import Schema

Array = Any


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def squared(targets: Array, answers: Array) -> Array:
    return row_losses("mse", targets, answers)


# --- shuffling ---


def test_the_rise_is_twice_the_variance_that_a_column_explains(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(20_000, 2)).astype(np.float32)
    weights = np.array([[3.0], [1.0]], np.float32)
    spans = (Span("small", 1, 2), Span("large", 0, 1))
    targets = (inputs @ weights)[:, 0]
    large, small = permutation_importance(
        lambda rows: rows @ weights, squared, inputs, targets, spans, Resampling(20_000, resamples=100)
    )
    assert (large.column, small.column) == ("large", "small")
    assert large.value == pytest.approx(2 * 9, rel=0.05)
    assert small.low < 2 < small.high
    assert small.matters


def test_the_inputs_of_a_column_move_together(rng: np.random.Generator) -> None:
    level = rng.integers(0, 3, 3000)
    inputs = np.eye(3, dtype=np.float32)[level]

    def predict(rows: Array) -> Array:
        assert (rows.sum(axis=1) == 1).all()  # a row never has two levels, or none
        return rows[:, :1]

    (found,) = permutation_importance(
        predict, squared, inputs, inputs[:, 0], (Span("kind", 0, 3),), Resampling(3000, resamples=50)
    )
    assert found.value == pytest.approx(4 / 9, abs=0.02)


def test_a_column_that_misleads_has_a_negative_rise(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(2000, 1)).astype(np.float32)
    (found,) = permutation_importance(
        lambda rows: -rows, squared, inputs, inputs[:, 0], (Span("x", 0, 1),), Resampling(2000)
    )
    assert found.high < 0
    assert not found.matters


def test_an_idle_column_hardly_ever_matters() -> None:
    said = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        inputs = rng.normal(size=(300, 2)).astype(np.float32)
        targets = inputs[:, 0] + rng.normal(size=300)
        found = permutation_importance(
            lambda rows: rows @ np.array([[1.0], [0.05]], np.float32),
            squared,
            inputs,
            targets,
            (Span("idle", 1, 2),),
            Resampling(300, resamples=200, seed=seed),
            seed=seed,
        )
        said += found[0].matters
    assert said <= 20  # its weight is noise: the loss may fall as well as rise


def test_neither_the_rows_nor_the_order_of_columns_are_touched(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(100, 2)).astype(np.float32)
    before = inputs.copy()
    told: list[str] = []
    spans = (Span("a", 0, 1), Span("b", 1, 2))
    permutation_importance(
        lambda rows: rows[:, :1], squared, inputs, inputs[:, 0], spans, Resampling(100), say=told.append
    )
    np.testing.assert_array_equal(inputs, before)
    assert told == [
        "how much does 'a' matter: 1 of 2 columns",
        "how much does 'b' matter: 2 of 2 columns",
    ]


def test_spans_cover_every_input_once_and_by_name() -> None:
    frame = {"hour": [7, 8, 9] * 20, "wind": [1.5, None, 2.5] * 20, "y": [0, 1] * 30}
    schema = Schema.fit(frame, "y")
    spans = column_spans(schema)
    assert [span.column for span in spans] == list(schema.column_names)
    assert [span.first for span in spans[1:]] == [span.end for span in spans[:-1]]
    assert spans[-1].end == schema.width


# --- gradients ---


def network(width: int, outputs: int, activation: str | None, *, inner: str = "relu") -> keras.Model:
    keras.utils.set_random_seed(3)
    rows = keras.Input((width,))
    hidden = keras.layers.Dense(16, activation=inner, bias_initializer="random_normal")(rows)
    hidden = keras.layers.Dense(8, activation=inner)(hidden)
    return keras.Model(rows, keras.layers.Dense(outputs, activation=activation)(hidden))


def test_a_straight_line_is_attributed_exactly(rng: np.random.Generator) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    inputs = rng.normal(size=(50, 3)).astype(np.float32)
    weights = np.asarray(model.layers[0].kernel)[:, 0]
    found = integrated_gradients(model, inputs, steps=2)
    np.testing.assert_allclose(found.values, weights * (inputs - inputs.mean(axis=0)), atol=1e-5)
    assert found.gap < 1e-5


@pytest.mark.parametrize(("inner", "gap"), [("tanh", 1e-4), ("relu", 0.02)])
@pytest.mark.parametrize(("outputs", "activation"), [(1, "sigmoid"), (1, None), (3, "softmax")])
def test_attributions_add_up_to_the_answer_minus_that_of_the_mean_row(
    outputs: int, activation: str | None, inner: str, gap: float, rng: np.random.Generator
) -> None:
    model = network(5, outputs, activation, inner=inner)
    inputs = rng.normal(size=(200, 5)).astype(np.float32)
    found = integrated_gradients(model, inputs)
    answers = np.asarray(model(inputs))
    start = np.asarray(model(inputs.mean(axis=0, keepdims=True)))[0]
    chosen = answers.argmax(axis=1)
    expected = answers[np.arange(200), chosen] - start[chosen]
    np.testing.assert_allclose(found.answers, answers[np.arange(200), chosen], rtol=1e-6)
    assert np.abs(found.values.sum(axis=1) - expected).max() <= gap * np.abs(expected).max()
    assert found.gap <= gap


def test_more_steps_leave_less_unexplained(rng: np.random.Generator) -> None:
    model, inputs = network(5, 1, "sigmoid"), rng.normal(size=(100, 5)).astype(np.float32)
    gaps = [integrated_gradients(model, inputs, steps=steps).gap for steps in (2, 64)]
    assert gaps[1] < gaps[0] / 4


def test_many_rows_are_explained_in_parts_with_the_same_result(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = network(4, 2, "softmax"), rng.normal(size=(25, 4)).astype(np.float32)
    whole = integrated_gradients(model, inputs, output=1)
    monkeypatch.setattr("models.importance._TOGETHER", 10)
    parts = integrated_gradients(model, inputs, output=1)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)


def test_a_baseline_of_ones_own_is_where_the_way_begins(rng: np.random.Generator) -> None:
    model, inputs = network(3, 1, None, inner="tanh"), rng.normal(size=(20, 3)).astype(np.float32)
    found = integrated_gradients(model, inputs, baseline=np.zeros(3))
    expected = np.asarray(model(inputs))[:, 0] - np.asarray(model(np.zeros((1, 3), np.float32)))[0, 0]
    np.testing.assert_allclose(found.values.sum(axis=1), expected, atol=1e-4)


def test_a_network_that_answers_a_constant_has_nothing_to_attribute() -> None:
    rows = keras.Input((2,))
    model = keras.Model(rows, keras.layers.Dense(1, kernel_initializer="zeros")(rows))
    found = integrated_gradients(
        model, np.ones((5, 2), np.float32) * np.arange(5)[:, None].astype(np.float32)
    )
    assert not found.values.any()
    assert found.gap == 0.0


def test_columns_are_ranked_by_how_far_they_moved_the_answers(rng: np.random.Generator) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.layers[0].kernel.assign(np.array([[1.0], [-1.0], [0.0], [2.0]]))
    inputs = rng.normal(size=(500, 4)).astype(np.float32)
    inputs[:, 1] = inputs[:, 0]  # within one column what goes up and what goes down cancel
    spans = (Span("cancels", 0, 2), Span("idle", 2, 3), Span("moves", 3, 4))
    found = attributed_importance(integrated_gradients(model, inputs), spans, Resampling(500, resamples=100))
    assert found[0].column == "moves"
    assert found[0].value == pytest.approx(2 * np.abs(inputs[:, 3] - inputs[:, 3].mean()).mean(), rel=1e-4)
    assert all(one.value < 1e-5 for one in found[1:])
