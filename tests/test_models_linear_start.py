"""A network that begins as the simple model."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest

from models.baselines import fit_simple
from models.fit import fit, predict, untrained
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
