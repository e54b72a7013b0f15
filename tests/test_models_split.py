"""Every row is in one part, and time is never read backwards."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.split import Split, split_at_random, split_in_time

SHARES = st.floats(0, 0.49)


def parts(split: Split) -> list[list[int]]:
    return [split.train.tolist(), split.validation.tolist(), split.test.tolist()]


@given(st.integers(3, 500), SHARES, SHARES)
def test_every_row_is_in_one_part(rows: int, validation: float, test: float) -> None:
    for split in (
        split_in_time(rows, validation=validation, test=test),
        split_at_random(rows, seed=1, validation=validation, test=test),
    ):
        assert sorted(chain(*parts(split))) == list(range(rows))
        assert all(part == sorted(part) for part in parts(split))


@given(st.integers(3, 500), SHARES, SHARES)
def test_in_time_each_part_comes_after_the_one_before(rows: int, validation: float, test: float) -> None:
    split = split_in_time(rows, validation=validation, test=test)
    assert list(chain(*parts(split))) == list(range(rows))


def test_shares_are_those_that_were_asked_for() -> None:
    assert [len(part) for part in parts(split_in_time(1000, validation=0.2, test=0.1))] == [700, 200, 100]
    assert [len(part) for part in parts(split_at_random(1000, seed=0))] == [850, 150, 0]


def test_a_part_with_a_share_has_at_least_one_row() -> None:
    assert [len(part) for part in parts(split_in_time(3, validation=0.01, test=0.01))] == [1, 1, 1]


def test_the_same_seed_draws_the_same_rows_and_another_draws_others() -> None:
    first, again, other = (split_at_random(1000, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.validation, again.validation)
    assert first.validation.tolist() != other.validation.tolist()


@pytest.mark.parametrize("shares", [(-0.1, 0.0), (0.5, 0.5), (float("nan"), 0.0), (1.0, 0.0)])
def test_impossible_shares_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected shares from 0, together below 1"):
        split_in_time(100, validation=shares[0], test=shares[1])


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_few_rows_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="leave none to train on"):
        split_in_time(rows, validation=0.1, test=0.1)
