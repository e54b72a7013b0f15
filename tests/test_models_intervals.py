"""Intervals hold what they say, also where neighbours in time go together, and differences are paired."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from models.intervals import FEWEST_BLOCKS, Interval, Resampling, block_length, mean_intervals, resampling


def autoregressive(rows: int, memory: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Numbers of mean 0 each of which remembers a share of the one before."""
    from scipy.signal import lfilter

    noise = rng.normal(size=rows + 200)
    return np.asarray(lfilter([1.0], [1.0, -memory], noise)[200:], np.float64)


def covered(memory: float, *, ordered: bool, runs: int = 200) -> float:
    """In which share of the runs the interval of the mean holds the truth."""
    hits = 0
    for run in range(runs):
        values = autoregressive(1500, memory, np.random.default_rng(run))
        plan = resampling(values, ordered=ordered, resamples=200, seed=run)
        (found,) = mean_intervals(values[:, None], plan)
        hits += found.low <= 0 <= found.high
    return hits / runs


def test_independent_rows_are_covered_as_often_as_stated() -> None:
    assert 0.90 <= covered(0.0, ordered=True) <= 0.99


def test_rows_that_go_together_are_covered_by_blocks_and_not_by_single_rows() -> None:
    assert covered(0.7, ordered=True) >= 0.89
    assert covered(0.7, ordered=False) < 0.75


def test_few_blocks_are_covered_as_often_as_stated() -> None:
    hits = 0
    for run in range(300):
        values = np.random.default_rng(run).normal(size=(12, 1))
        (found,) = mean_intervals(values, Resampling(12, resamples=400, seed=run))
        hits += found.low <= 0 <= found.high
    assert 0.91 <= hits / 300 <= 0.985


def test_blocks_hold_about_as_many_rows_as_planned_and_every_row_once() -> None:
    plan = Resampling(rows=103, length=10)
    sizes = np.bincount(plan.block_of_row)
    assert plan.blocks == 10
    assert sizes.sum() == 103
    assert set(sizes.tolist()) <= {10, 11}
    np.testing.assert_array_equal(plan.starts, np.r_[0, sizes.cumsum()[:-1]])


def test_sums_of_draws_are_those_of_the_drawn_rows() -> None:
    plan = Resampling(rows=7, length=2, resamples=5)
    values = np.arange(14.0).reshape(7, 2)
    counts = np.vstack(list(plan.counts()))
    expected = [np.repeat(values, row[plan.block_of_row].astype(int), axis=0).sum(axis=0) for row in counts]
    np.testing.assert_allclose(plan.sums(values), expected)


def test_the_same_plan_gives_the_same_draws_however_many_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = Resampling(rows=50, resamples=9)
    whole = np.vstack(list(plan.counts()))
    monkeypatch.setattr("models.intervals._CHUNK_CELLS", 100)
    np.testing.assert_array_equal(np.vstack(list(plan.counts())), whole)
    assert whole.shape == (9, 50)


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(10, 400)
    values = np.column_stack([hard, hard + 0.1, (hard + 0.1) - hard])
    one, other, difference = mean_intervals(values, Resampling(400))
    assert one.high > other.low
    assert difference.above
    assert difference.value == pytest.approx(0.1)


def test_the_length_of_a_block_grows_with_what_neighbours_share() -> None:
    rng = np.random.default_rng(1)
    lengths = [block_length(autoregressive(4000, memory, rng)) for memory in (0.0, 0.5, 0.9)]
    assert lengths == sorted(lengths)
    assert lengths[0] <= 3
    assert lengths[2] > 20


@pytest.mark.parametrize("values", [np.zeros(100), np.arange(3.0), np.empty(0), np.r_[np.zeros(99), np.inf]])
def test_where_nothing_can_be_said_of_neighbours_single_rows_are_drawn(values: NDArray[np.float64]) -> None:
    assert block_length(values) == 1


def test_numbers_that_take_each_other_back_need_no_blocks() -> None:
    lengths = [block_length(np.diff(np.random.default_rng(seed).normal(size=400))) for seed in range(20)]
    assert min(lengths) == 1


def test_enough_blocks_are_always_left() -> None:
    assert block_length(np.arange(400.0)) <= 400 // FEWEST_BLOCKS


def test_the_plan_says_why() -> None:
    rng = np.random.default_rng(2)
    assert "no order in time" in resampling(rng.normal(size=99), ordered=False).reason
    assert "do not go together" in resampling(rng.normal(size=999), ordered=True).reason
    together = resampling(np.repeat(rng.normal(size=99), 9), ordered=True)
    assert f"{together.blocks} blocks of about {together.length} neighbouring rows" in together.reason


def test_what_is_undefined_has_no_interval() -> None:
    plan = Resampling(30)
    assert math.isnan(plan.interval(math.nan, np.zeros(500)).low)
    assert math.isnan(plan.interval(1.0, np.full(500, math.nan)).low)
    assert math.isnan(Resampling(1).interval(1.0, np.ones(500)).low)
    assert plan.interval(1.0, np.r_[np.ones(400), np.full(100, math.nan)]).low == 1.0


def test_above_and_below_need_the_whole_interval() -> None:
    assert Interval(1.0, 0.5, 1.5).above
    assert not Interval(1.0, -0.5, 1.5).above
    assert Interval(-1.0, -1.5, -0.5).below
    assert not Interval(math.nan).below
