"""Labelled rows as the monitor takes them: what the target cannot take is left out, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.schema import Schema
from pipelines.labelled import labelled_window, row_losses_of, takes, targets_of, usable
from pipelines.log import LabelledRows
from pipelines.objective import Objective

SCHEMA = Schema.fit(
    pd.DataFrame({"x": np.sin(np.arange(20.0)), "y": np.arange(20.0)}), target="y", task="regression"
)
SQUARED = Objective(
    "mean_squared_error", "identity", lambda target, prediction: (target - prediction[:, 0]) ** 2
)


def rows(labels: list[object]) -> LabelledRows:
    count = len(labels)
    times = np.full(count, np.datetime64("2021-01-01", "us"))
    named = np.array([str(k) for k in range(count)], dtype=object)
    values = np.array(labels, dtype=object)
    columns = {"x": np.full(count, 2.0)}
    return LabelledRows(
        named, times, times, np.ones(count, np.int64), np.zeros((count, 1)), columns, values, times, named
    )


def test_rows_without_a_label_or_with_one_that_is_no_number_are_left_out() -> None:
    assert usable(rows([1.0, None, "lost", 4.0]), SCHEMA).tolist() == [0, 3]


def test_no_row_is_left_out_where_all_can_be_taken() -> None:
    assert usable(rows([1.0, 2.0]), SCHEMA).tolist() == [0, 1]


@pytest.mark.parametrize(("label", "taken"), [(3.0, True), ("lost", False), (np.inf, False)])
def test_a_label_is_taken_where_the_target_can_be_it(label: object, taken: bool) -> None:
    assert takes(SCHEMA, np.array([label], dtype=object)) is taken


def test_losses_are_those_of_the_answers_that_were_given() -> None:
    assert row_losses_of(rows([3.0, -2.0]), SCHEMA, SQUARED).tolist() == [9.0, 4.0]
    assert labelled_window(rows([3.0]), SCHEMA, SQUARED).losses.tolist() == [9.0]


def test_no_rows_are_no_trouble() -> None:
    nothing = rows([])
    assert len(targets_of(nothing, SCHEMA)) == len(row_losses_of(nothing, SCHEMA, SQUARED)) == 0
    window = labelled_window(nothing, SCHEMA, SQUARED)
    assert window.inputs.shape == (0, SCHEMA.width)
