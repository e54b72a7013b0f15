"""Numbers counted by their first bits are counted as by comparing each with every edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitoring.first_bits import FirstBits, Space, begin_steps, first_bits, known_below

NUMBERS = st.floats(-1e120, 1e120, allow_subnormal=False)
NEAR = st.floats(-40, 40, allow_subnormal=False).map(lambda value: round(value, 2))


def counted_of(numbers: np.ndarray) -> FirstBits | None:
    return first_bits(numbers, (float(numbers.min()), float(numbers.max())), Space(len(numbers)))


def compared(numbers: np.ndarray, edges: np.ndarray) -> list[int]:
    return [int((numbers < edge).sum()) for edge in edges]


def moved(numbers: np.ndarray, count: int = 30) -> np.ndarray:
    """Edges that begin steps, from the quantiles of numbers."""
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, count)))
    return np.unique(begin_steps(edges, np.full(len(edges), np.inf)))


@pytest.mark.parametrize(
    "numbers",
    [
        np.random.default_rng(0).normal(size=5000),
        np.random.default_rng(1).lognormal(2, 3, 5000),
        -np.random.default_rng(2).exponential(10.0, 5000),
        np.random.default_rng(3).poisson(3, 5000).astype(float),
        np.where(np.arange(5000) % 3 == 0, 0.0, np.random.default_rng(4).normal(size=5000)),
        np.where(np.arange(5000) % 3 == 0, -0.0, np.random.default_rng(5).normal(size=5000)),
        np.zeros(5000),
        np.full(5000, -7.25),
    ],
    ids=[
        "normal",
        "lognormal",
        "negative",
        "counts",
        "many zeros",
        "zeros below zero",
        "only zeros",
        "one value",
    ],
)
def test_as_many_lie_below_an_edge_as_when_each_is_compared(numbers: np.ndarray) -> None:
    counted = counted_of(numbers)
    assert counted is not None
    edges = np.unique([*moved(numbers), -1e9, 0.0, np.nextafter(0.0, 1.0), 1e9 * 2**20])
    found, known = counted.below(tuple(edges.tolist()))
    assert known.sum() >= len(edges) - 2
    assert found[known].tolist() == compared(numbers, edges[known])
    assert known.tolist() == known_below(tuple(edges.tolist())).tolist()


@given(arrays(np.float64, st.integers(1, 60), elements=NUMBERS | NEAR), st.lists(NUMBERS | NEAR, max_size=6))
def test_whatever_the_numbers(numbers: np.ndarray, others: list[float]) -> None:
    counted = counted_of(numbers)
    edges = np.unique([*moved(numbers), *others, *numbers])
    if counted is None:
        sizes = np.abs(numbers[numbers != 0])
        assert np.log2(sizes.max()) - np.log2(sizes.min()) > 250
        return
    found, known = counted.below(tuple(edges.tolist()))
    assert found[known].tolist() == compared(numbers, edges[known])


@given(
    arrays(np.float64, st.integers(1, 60), elements=NEAR | NUMBERS),
    st.sampled_from([1, 8]),
    st.integers(0, 1),
)
def test_octaves_are_those_of_each_number(numbers: np.ndarray, steps: int, fewer: int) -> None:
    counted = counted_of(numbers)
    if counted is None:
        return
    places, rows = counted.by_octaves(steps, fewer)
    cut = np.abs(numbers[numbers != 0]).view(np.int64) >> 44 + fewer << 44 + fewer
    expected, counts = np.unique(np.floor(np.log2(cut.view(np.float64)) * steps), return_counts=True)
    assert places[rows > 0].tolist() == expected.tolist()
    assert rows[rows > 0].tolist() == counts.tolist()
    assert (np.diff(places) > 0).all()


@given(
    arrays(np.float64, st.integers(1, 40), elements=NEAR),
    arrays(np.float64, st.integers(1, 40), elements=NEAR),
)
def test_two_counts_join_to_that_of_both(first: np.ndarray, second: np.ndarray) -> None:
    parts, both = [counted_of(first), counted_of(second)], np.concatenate([first, second])
    assert parts[0] is not None
    assert parts[1] is not None
    joined = parts[0].joined(parts[1])
    edges = np.unique([*moved(both), *both])
    found, known = joined.below(tuple(edges.tolist()))
    assert found[known].tolist() == compared(both, edges[known])
    assert joined.zeros == (both == 0).sum()


def test_numbers_that_reach_too_far_are_not_counted() -> None:
    assert counted_of(np.array([1e-100, 1e100])) is None
    assert counted_of(np.array([-1e-100, 1e100])) is None
    assert counted_of(np.array([5e-320, 1.0])) is None
    assert counted_of(np.array([-5e-320, 1.0])) is None


@given(st.lists(NUMBERS | NEAR, min_size=1, max_size=20), st.floats(0, 10))
def test_an_edge_moves_by_less_than_its_room_and_the_outer_ones_only_outwards(
    values: list[float], room: float
) -> None:
    edges = np.unique(values)
    found = begin_steps(edges, np.full(len(edges), room))
    assert (np.abs(found - edges) <= room).all()
    assert found[0] <= edges[0] or len(edges) == 1
    assert found[-1] >= edges[-1]
