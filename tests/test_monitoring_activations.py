"""Activations as a few columns: principal components, equal to those of a decomposition by another way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitoring.activations import LEAST_ROWS, MOST, Projection, is_last_layer, projection


def units(count: int, scales: tuple[float, ...], seed: int = 0) -> npt.NDArray[Any]:
    """Rows that vary by these scales in directions that are mixed over all units."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(len(scales), len(scales))))[0]
    return rng.normal(size=(count, len(scales))) * np.array(scales) @ mixing + 3.0


def made(activations: npt.NDArray[Any]) -> Projection:
    found = projection(activations)
    assert found is not None
    return found


def test_directions_are_those_of_a_singular_value_decomposition() -> None:
    rows = units(500, (5.0, 3.0, 0.1, 0.1))
    found = made(rows)
    _, _, expected = np.linalg.svd(rows - rows.mean(axis=0))
    assert len(found.directions) == 2
    for own, other in zip(found.directions, expected, strict=False):
        assert abs(float(np.dot(own, other))) == pytest.approx(1.0, abs=1e-5)
        assert max(own, key=abs) > 0
    assert found.names == ("last layer 1", "last layer 2")


def test_columns_are_uncorrelated_and_hold_the_variance() -> None:
    rows = units(2000, (2.0, 2.0, 2.0, 2.0, 2.0, 2.0))
    columns = made(rows).columns(rows)
    assert len(columns) == MOST  # of six that say as much
    assert np.corrcoef(list(columns.values())) == pytest.approx(np.eye(MOST), abs=1e-4)
    assert np.mean(list(columns.values()), axis=1) == pytest.approx(np.zeros(MOST), abs=1e-4)


def test_a_direction_that_holds_nine_tenths_is_enough() -> None:
    assert len(made(units(5000, (10.0, 1.0, 1.0))).directions) == 1


def test_too_few_rows_and_dead_units_say_nothing() -> None:
    assert projection(units(LEAST_ROWS - 1, (1.0, 1.0))) is None
    assert projection(np.zeros((200, 5))) is None
    assert projection(np.full((200, 5), 7.0)) is None
    assert projection(np.full((200, 5), np.nan)) is None


def test_what_is_no_number_is_left_out_of_the_directions() -> None:
    rows = units(500, (5.0, 1.0))
    spoiled = np.concatenate([rows, [[np.inf, 0.0], [np.nan, 1.0]]])
    assert projection(spoiled) == projection(rows)


def test_a_single_unit_is_its_own_direction() -> None:
    rows = np.random.default_rng(0).normal(5.0, 2.0, (300, 1))
    assert made(rows).columns(rows)["last layer 1"] == pytest.approx(rows[:, 0] - rows.mean(), abs=1e-4)


@given(arrays(np.float32, (40, 6), elements=st.floats(-100, 100, width=32)), st.integers(1, 39))
def test_a_row_gives_the_same_with_whatever_rows_beside_it(rows: npt.NDArray[Any], cut: int) -> None:
    found = made(units(200, (3.0, 3.0, 2.0, 2.0, 1.0, 1.0)))
    whole, parts = found.columns(rows), [found.columns(rows[:cut]), found.columns(rows[cut:])]
    for name, values in whole.items():
        assert np.array_equal(values, np.concatenate([part[name] for part in parts]))


def test_it_is_stored_and_read_back() -> None:
    found = made(units(500, (5.0, 3.0)))
    assert Projection.from_plain(json.loads(json.dumps(found.to_plain()))) == found


def test_no_column_of_the_users_is_of_the_last_layer() -> None:
    assert not any(map(is_last_layer, ("last layer", "last layers 1", "the last layer 1", "x")))
