"""The loss by slice: cells by hand, sums that add up, a model of the loss that is right where it is additive."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.loss_slices import (
    Cut,
    SliceReference,
    cut_column,
    merge_sums,
    slice_reference,
    slice_sums,
    with_answers,
)

RNG = np.random.default_rng(0)
COLUMNS = {
    "x": RNG.standard_normal(2000),
    "kind": RNG.choice(np.array(["a", "b", "c", None], dtype=object), 2000, p=[0.5, 0.3, 0.15, 0.05]),
}
LOSSES = RNG.exponential(size=2000) * np.where(COLUMNS["kind"] == "b", 2.0, 1.0)


def reference() -> SliceReference:
    made = slice_reference(COLUMNS, LOSSES, ceiling=6.0)
    assert made is not None
    return made


MADE = reference()


def test_numbers_fall_between_the_edges() -> None:
    cut = Cut("x", "number", edges=(0.0, 1.0, 2.0))
    assert cut.codes(np.array([-1.0, 0.0, 1.5, 2.0, np.nan, np.inf]), 6).tolist() == [0, 1, 2, 3, 4, 4]
    assert cut.labels == ("x below 0", "x 0 to 1", "x 1 to 2", "x above 2", "x missing")


def test_levels_are_known_rare_new_or_missing() -> None:
    cut = Cut("k", "category", levels=("a", "b"), rare=("z",))
    assert cut.codes(["a", "b", "z", "new", None], 5).tolist() == [0, 1, 2, 3, 4]
    assert Cut("k", "category", levels=("a",), open=True).codes(["new"], 1).tolist() == [1]


def test_a_column_that_is_not_there_is_missing_in_every_row() -> None:
    assert Cut("x", "number", edges=(0.0, 1.0)).codes(None, 2).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        (np.arange(1000.0), 9),  # seven ranges, and what was never seen at both ends, without missing
        (np.array([0.0, 1.0] * 50), 4),
        (np.zeros(10), 3),
        (np.full(10, np.nan), 1),
    ],
)
def test_numbers_are_cut_by_how_many_values_there_are(values: Any, cells: int) -> None:
    assert cut_column("x", values).cells == cells + 1


def test_names_that_never_come_again_are_nothing_new() -> None:
    names = [f"plane {k}" for k in range(200)]
    assert cut_column("plane", names).open
    assert not cut_column("kind", ["a", "b"] * 100).open


def test_the_effects_are_those_of_the_truth() -> None:
    made = reference()
    effects = dict(zip(made.labels, made.effects, strict=True))
    assert effects["kind = b"] - effects["kind = a"] == pytest.approx(1.0, abs=0.25)


def test_the_expected_loss_of_the_reference_is_its_loss() -> None:
    made = reference()
    assert made.sums.all_expected == pytest.approx(made.all_loss)


def test_a_window_expects_more_where_more_rows_are_in_the_worse_cell() -> None:
    made = reference()
    worse = slice_sums(made, {**COLUMNS, "kind": np.full(2000, "b", dtype=object)}, LOSSES)
    assert worse.all_expected / worse.all_rows > 1.4 * made.all_loss / made.all_rows


@given(cuts=st.lists(st.integers(0, 2000), max_size=4))
def test_parts_add_up_to_the_whole(cuts: list[int]) -> None:
    made = MADE
    bounds = [0, *sorted(cuts), 2000]
    parts = [
        slice_sums(made, {name: values[a:b] for name, values in COLUMNS.items()}, LOSSES[a:b])
        for a, b in pairwise(bounds)
    ]
    whole, added = slice_sums(made, COLUMNS, LOSSES), merge_sums(parts)
    np.testing.assert_array_equal(added.rows, whole.rows)
    np.testing.assert_allclose(added.loss, whole.loss)
    np.testing.assert_allclose(added.expected, whole.expected)
    assert added.all_loss == pytest.approx(whole.all_loss)


def test_what_lies_beyond_the_reference_is_shared_by_its_columns() -> None:
    columns = {"x": np.array([99.0, 0.0]), "kind": np.array(["new", "a"], dtype=object)}
    sums = slice_sums(MADE, columns, np.array([5.0, 1.0]))
    assert sums.beyond_rows == 1
    names = [cut.name for cut in MADE.cuts]
    assert sums.beyond[names.index("x")] == pytest.approx(sums.beyond[names.index("kind")])
    assert sums.beyond.sum() == pytest.approx(5.0 - MADE.mean)


def test_a_reference_comes_back_from_json_as_it_was() -> None:
    assert SliceReference.from_plain(json.loads(json.dumps(MADE.to_plain()))) == MADE


def test_too_few_rows_have_no_slices() -> None:
    few = {name: values[:20] for name, values in COLUMNS.items()}
    assert slice_reference(few, LOSSES[:20], ceiling=6.0) is None
    assert slice_reference({}, LOSSES, ceiling=6.0) is None


def test_many_columns_are_cut_to_those_that_tell_most() -> None:
    rng = np.random.default_rng(1)
    columns = {f"c{k}": rng.standard_normal(500) for k in range(40)}
    losses = rng.exponential(size=500) + 5 * (columns["c33"] > 0)
    made = slice_reference(with_answers(columns, columns["c0"]), losses, ceiling=20.0)
    assert made is not None
    names = [cut.name for cut in made.cuts]
    assert names[:2] == ["the prediction", "c33"]
    assert len(names) == 30
    assert sum(made.tested) <= 128
