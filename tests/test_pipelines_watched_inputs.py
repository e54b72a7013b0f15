"""What the test of the inputs watches: columns and answers, stored and read back, counted in parts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.input_alarm import InputWindow, input_alarms
from monitoring.loss_alarm import loss_reference
from monitoring.window import Window, cut, rows_by_window
from pipelines.reference import Reference, make_reference, read_reference, write_reference
from pipelines.watched_inputs import Answers, InputCounts, count_inputs, merge_counts

BEGIN = datetime(2021, 1, 1, tzinfo=UTC)
DAYS, ROWS = 30, 100
TIMES = np.datetime64("2021-01-01", "us") + np.arange(DAYS * ROWS) * np.timedelta64(864, "s")
RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "x": RNG.normal(size=DAYS * ROWS),
    "level": RNG.choice(np.array(["a", "b"], dtype=object), DAYS * ROWS),
}
PREDICTIONS = RNG.normal(size=(DAYS * ROWS, 1))
UNSEEN = np.arange(DAYS * ROWS) >= 20 * ROWS
Array = npt.NDArray[Any]


def windows() -> list[Window]:
    return cut(TIMES, BEGIN, "day")


def reference(
    predictions: Array = PREDICTIONS, unseen: Array = UNSEEN, activations: Array | None = None
) -> Reference:
    losses = np.random.default_rng(1).exponential(size=DAYS * ROWS)
    own = None if activations is None else activations[unseen]
    answers = Answers(predictions[unseen], TIMES[unseen], own)
    return make_reference(
        COLUMNS, TIMES, windows(), loss=loss_reference(losses, [], windows=1.0), answers=answers
    )


def part(first: int, last: int, predictions: Array = PREDICTIONS) -> tuple[dict[str, Any], Array]:
    return {name: values[first:last] for name, values in COLUMNS.items()}, predictions[first:last]


def test_the_answers_are_a_column_beside_the_others() -> None:
    inputs = reference().inputs
    assert inputs is not None
    assert inputs.profile.names == ("x", "level", "the prediction")
    assert inputs.profile.column("the prediction").rows == UNSEEN.sum()


def test_of_classes_the_most_likely_one_and_its_confidence_are_columns() -> None:
    shares = np.random.default_rng(2).dirichlet(np.ones(3), DAYS * ROWS)
    inputs = reference(shares).inputs
    assert inputs is not None
    assert inputs.profile.names == ("x", "level", "the prediction", "the confidence")


def test_without_unseen_rows_only_columns_are_watched() -> None:
    inputs = reference(unseen=np.zeros(DAYS * ROWS, bool)).inputs
    assert inputs is not None
    assert inputs.profile.names == ("x", "level")


def test_what_is_stored_comes_back_whole() -> None:
    made = reference()
    stored = json.loads(json.dumps(write_reference(made), allow_nan=False))
    again = read_reference(stored).inputs
    assert made.inputs is not None
    assert again is not None
    assert (again.profile, again.pairs) == (made.inputs.profile, made.inputs.pairs)
    assert [block.window for block in again.blocks] == [block.window for block in made.inputs.blocks]
    for one, other in zip(again.blocks, made.inputs.blocks, strict=True):
        assert one.values == pytest.approx(other.values, nan_ok=True)


def test_a_version_from_before_has_no_such_reference() -> None:
    stored = write_reference(reference())
    del stored["inputs"]
    assert read_reference(stored).inputs is None


def test_parts_of_a_window_count_as_the_whole() -> None:
    inputs = reference().inputs
    assert inputs is not None
    parts = [count_inputs(inputs, *part(*cuts)) for cuts in ((0, 10), (10, 70), (70, 100))]
    merged, whole = merge_counts(parts), count_inputs(inputs, *part(0, 100))
    assert [column.counts for column in merged.profile.columns] == [
        column.counts for column in whole.profile.columns
    ]
    assert merged.pairs == whole.pairs


def judged(predictions: Array) -> Any:
    inputs = reference().inputs
    assert inputs is not None
    counts: list[InputCounts] = [
        count_inputs(inputs, *part(int(rows[0]), int(rows[-1]) + 1, predictions))
        for rows in rows_by_window(TIMES, windows())[:10]
    ]
    pairs = zip(windows(), counts, strict=False)
    return input_alarms(inputs, [InputWindow(at, one.profile, one.pairs) for at, one in pairs], 1000.0)


def test_answers_that_move_are_named_and_those_that_stay_are_not() -> None:
    assert not any(alarm.raised for alarm in judged(PREDICTIONS))
    assert judged(PREDICTIONS + 3.0)[-1].columns == ("the prediction",)


ACTIVATIONS = np.random.default_rng(3).normal(size=(DAYS * ROWS, 6)) * np.array(
    [3.0, 2.0, 1.0, 0.1, 0.1, 0.0]
)


def judged_by_last_layer(activations: Array, change: Array) -> Any:
    """The alarms of ten days, of which columns and activations are changed by so much."""
    made = reference(activations=activations)
    assert made.inputs is not None
    assert made.last_layer is not None
    found = []
    for window, rows in list(zip(windows(), rows_by_window(TIMES, windows()), strict=True))[:10]:
        columns = {name: values[rows] for name, values in COLUMNS.items()}
        columns["x"] = columns["x"] + change[0]
        last_layer = made.last_layer.columns(activations[rows] + change[1])
        counts = count_inputs(made.inputs, columns, PREDICTIONS[rows], last_layer)
        found.append(InputWindow(window, counts.profile, counts.pairs))
    return input_alarms(made.inputs, found, 1000.0)


def test_the_last_layer_is_some_columns_more() -> None:
    made = reference(activations=ACTIVATIONS)
    assert made.inputs is not None
    assert made.inputs.profile.names == ("x", "level", "the prediction", "last layer 1", "last layer 2")
    again = read_reference(json.loads(json.dumps(write_reference(made), allow_nan=False)))
    assert again.last_layer == made.last_layer
    assert again.inputs is not None
    assert again.inputs.profile == made.inputs.profile


def test_a_last_layer_that_moves_though_no_column_does_is_named() -> None:
    quiet, moved = ([0.0, 0.0], [0.0, 3.0])
    assert not any(alarm.raised for alarm in judged_by_last_layer(ACTIVATIONS, np.array(quiet)))
    names = judged_by_last_layer(ACTIVATIONS, np.array(moved))[-1].columns
    assert names
    assert set(names) <= {"last layer 1", "last layer 2"}


def test_where_a_column_moves_it_is_named_and_not_what_follows_from_it() -> None:
    assert judged_by_last_layer(ACTIVATIONS, np.array([2.0, 3.0]))[-1].columns == ("x",)


def test_where_a_column_is_not_kept_nobody_can_tell_activations() -> None:
    for fewer in (
        reference(activations=ACTIVATIONS).without(["x"]),
        reference(activations=ACTIVATIONS).without(["x"]).without_last_layer(),
    ):
        assert fewer.last_layer is None
        assert fewer.inputs is not None
        assert fewer.inputs.profile.names == ("level", "the prediction")
    whole = reference(activations=ACTIVATIONS)
    assert whole.without([]).last_layer == whole.last_layer
    assert reference().without_last_layer().last_layer is None


def test_a_column_that_is_not_kept_is_not_watched() -> None:
    fewer = reference().without(["x"]).inputs
    assert fewer is not None
    assert fewer.profile.names == ("level", "the prediction")


def test_many_rows_behind_the_same_number_are_stored_once() -> None:
    made = reference().inputs
    assert made is not None
    stored = write_reference(reference())["inputs"]["blocks"]
    assert all(len(rows) < len(values) for _, _, values, rows in stored)
    again = read_reference(json.loads(json.dumps(write_reference(reference())))).inputs
    assert again is not None
    assert [block.rows for block in again.blocks] == [block.rows for block in made.blocks]
