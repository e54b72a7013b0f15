"""A network that begins as the simple model."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest

from models.baselines import fit_simple
from models.fit import fit, predict, untrained
from models.linear_start import correct, takes_correction
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import Schema, Task

ROWS = 3000


def _frame(task: Task) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 4)), columns=list("abcd"))
    score = 2 * frame.a - frame.b + 0.5 * rng.normal(size=ROWS)
    if task == "regression":
        return frame.assign(y=100 + 30 * score)
    return frame.assign(y=np.digitize(score, [0.0] if task == "binary" else [-1.0, 1.0]))


def _schema_and_rows(task: Task) -> tuple[Schema, Rows]:
    frame = _frame(task)
    schema = Schema.fit(frame, "y", task=task)
    return schema, Rows(schema.inputs(frame), schema.targets(frame))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_untrained_network_answers_as_the_simple_model_of_its_rows(task: Task) -> None:
    schema, rows = _schema_and_rows(task)
    model = untrained(recipe_from(NetworkConfig(), task), schema, rows, FitConfig())
    simple = fit_simple(task, rows.inputs, rows.targets, outputs=schema.outputs)
    assert np.allclose(predict(model, rows.inputs), simple.predict(rows.inputs), rtol=1e-4, atol=1e-4)


def test_a_loss_that_the_simple_model_does_not_serve_begins_without_it() -> None:
    schema, rows = _schema_and_rows("regression")
    network = NetworkConfig(loss="quantile", loss_parameters={"quantile": 0.001})
    far = Rows(rows.inputs, rows.targets, None)
    far.targets[::50] += (
        30_000  # the mean lies far above almost all rows, the line through it far from the loss
    )
    model = untrained(recipe_from(network, "regression"), schema, far, FitConfig())
    kernel, bias = model.get_layer("linear").get_weights()
    assert not kernel.any()
    assert not bias.any()


def test_a_penalty_on_sizes_and_a_network_of_ones_own_begin_with_nothing() -> None:
    assert not recipe_from(NetworkConfig(l1=0.01), "binary").linear_start
    assert not recipe_from(NetworkConfig(), "binary", build=lambda schema: keras.Model()).linear_start
    assert recipe_from(NetworkConfig(), "binary").linear_start


def test_a_single_row_is_learned_from_without_a_line() -> None:
    schema, rows = _schema_and_rows("regression")
    one = rows.take(np.array([0]))
    model = untrained(recipe_from(NetworkConfig(), "regression"), schema, one, FitConfig())
    assert not model.get_layer("linear").get_weights()[0].any()


def test_few_rows_of_a_linear_concept_cost_no_more_than_the_simple_model() -> None:
    schema, rows = _schema_and_rows("binary")
    few, stop, judge = (rows.take(np.arange(*part)) for part in ((0, 500), (500, 600), (600, ROWS)))
    fitted = fit(recipe_from(NetworkConfig(), "binary"), schema, few, stop, FitConfig(seed=3))

    def loss(chances: np.ndarray) -> float:
        return float(keras.losses.binary_crossentropy(judge.targets[:, None], chances).numpy().mean())

    simple = fit_simple("binary", few.inputs, few.targets).predict(judge.inputs)
    assert loss(predict(fitted.model, judge.inputs)) < loss(simple) + 0.005


# --- an update ---


def _learned(task: Task, hidden: tuple[int, ...] = (8,)) -> tuple[keras.Model, Rows]:
    """A network whose hidden layers say something, too."""
    schema, rows = _schema_and_rows(task)
    model = untrained(recipe_from(NetworkConfig(hidden=hidden), task), schema, rows, FitConfig())
    if hidden:
        deep = model.get_layer("deep")
        deep.set_weights([np.random.default_rng(0).normal(size=part.shape) for part in deep.get_weights()])
    return model, rows


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_a_correction_changes_the_answer_as_it_says(hidden: tuple[int, ...]) -> None:
    model, rows = _learned("regression", hidden)
    before = predict(model, rows.inputs).astype(np.float64)
    weights = np.array([[12.0], [-0.3], [5.0], [0.0], [-7.0], [1.0]])
    correct(model, weights)
    wanted = before + 12.0 - 0.3 * before + rows.inputs.astype(np.float64) @ weights[2:]
    np.testing.assert_allclose(predict(model, rows.inputs), wanted, rtol=1e-4, atol=1e-3)


def test_a_correction_of_a_chance_is_one_of_its_log_odds() -> None:
    model, rows = _learned("binary")
    before = predict(model, rows.inputs).astype(np.float64)
    weights = np.array([[0.5], [-0.2], [0.1], [0.3], [0.0], [-0.4]])
    correct(model, weights)
    sure = ((before > 1e-4) & (before < 1 - 1e-4))[:, 0]
    odds = np.log(before[sure] / (1 - before[sure]))
    wanted = odds + 0.5 - 0.2 * odds + rows.inputs[sure].astype(np.float64) @ weights[2:]
    found = predict(model, rows.inputs[sure]).astype(np.float64)
    assert sure.sum() > 500
    np.testing.assert_allclose(np.log(found / (1 - found)), wanted, atol=5e-3)


def test_what_a_correction_cannot_be_told_to_says_so() -> None:
    assert takes_correction(_learned("binary")[0])
    assert takes_correction(_learned("regression", ())[0])
    assert not takes_correction(_learned("multiclass")[0])
    schema, _ = _schema_and_rows("regression")
    positive = recipe_from(NetworkConfig(loss="poisson"), "regression").compiled(schema, seed=0)
    assert not takes_correction(positive)
    own = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    assert not takes_correction(own)
    named = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3),
            keras.layers.Dense(1, name="linear"),
            keras.layers.Dense(1),
        ]
    )
    assert not takes_correction(named)
