"""The basis: every function is comparable, and a row of the reference or beyond it has a place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitoring.loss_basis import Basis, make_basis

RNG = np.random.default_rng(0)
ROWS = np.column_stack([RNG.normal(5, 2, 500), RNG.integers(0, 2, 500), np.full(500, 3.0)])


@pytest.fixture(scope="module")
def basis() -> Basis:
    return make_basis(ROWS, np.random.default_rng(1), most=30)


def test_a_flag_has_a_slope_and_no_bends(basis: Basis) -> None:
    assert basis.groups == (1, 3, 5, 21)
    assert basis.bent.tolist() == [0]


def test_functions_are_centred_and_of_one_size(basis: Basis) -> None:
    values = basis.values(ROWS)[:, 1:]
    moving = values.std(axis=0) > 0
    assert values.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert values.std(axis=0)[moving] == pytest.approx(1)


def test_a_constant_column_says_nothing(basis: Basis) -> None:
    away = ROWS.copy()
    away[:, 2] = 1e9
    assert np.array_equal(basis.values(away), basis.values(ROWS))


def test_a_row_beyond_the_reference_counts_as_its_outermost(basis: Basis) -> None:
    far = basis.values(np.array([[1e12, 1.0, 3.0], [np.inf, 1.0, 3.0]]))
    assert np.isfinite(far).all()
    assert np.abs(far).max() < 20


def test_a_missing_number_is_an_ordinary_one(basis: Basis) -> None:
    missing, usual = basis.values(np.array([[np.nan, 1.0, 3.0], [ROWS[:, 0].mean(), 1.0, 3.0]]))
    assert missing == pytest.approx(usual)


def test_it_comes_back_from_json_as_it_was(basis: Basis) -> None:
    stored = json.dumps({name: values.tolist() for name, values in basis.arrays().items()}, allow_nan=False)
    again = Basis.from_arrays(json.loads(stored))
    assert np.array_equal(again.values(ROWS), basis.values(ROWS))


def test_without_room_only_slopes_are_left() -> None:
    assert make_basis(ROWS, np.random.default_rng(1), most=2).groups == (1, 3, 0, 0)
