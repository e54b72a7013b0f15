"""Numbers that are counted batch after batch are counted as all at once, by comparing each with every edge."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitoring.bins import ColumnBins
from monitoring.counting import AT_ONCE, FEWEST_COUNTED, BatchSpace, NumberCounts
from monitoring.profile import Counting, merge_all, profile

Batches = Sequence[NDArray[np.float64]]


def counted(batches: Batches, edges: tuple[float, ...], centre: float = 0.0) -> NumberCounts:
    found = NumberCounts(edges, centre)
    space = BatchSpace()
    for batch in batches:
        found.add(batch, space)
    return found


def octave(number: float) -> int:
    """Of a number with 7 bits of its mantissa left."""
    mantissa, exponent = math.frexp(abs(number))
    return math.floor(8 * math.log2(math.ldexp(math.floor(mantissa * 256) / 256, exponent)))


def check(found: NumberCounts, numbers: NDArray[np.float64], edges: Sequence[float]) -> None:
    usable = numbers[np.abs(numbers) < 1e150]
    assert found.rows == len(usable)
    assert found.missing == np.isnan(numbers).sum()
    assert found.invalid == len(numbers) - found.rows - found.missing
    assert found.below().tolist() == [int((usable < edge).sum()) for edge in edges]
    steps, rows = np.unique([octave(number) for number in usable if abs(number) > 1e-307], return_counts=True)
    assert found.magnitudes() == tuple(zip(steps.astype(int).tolist(), rows.tolist(), strict=True))
    assert (found.least, found.most) == (usable.min(), usable.max())


def made(kind: str, rows: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=rows)
    if kind == "positive":
        return np.abs(numbers) + 1
    if kind == "odd":
        numbers[::3] = np.resize([np.nan, np.inf, -0.0, 0.0, 1e200, -np.inf], len(numbers[::3]))
    return numbers * {"wide": np.exp(rng.normal(0, 90, rows)), "tiny": 5e-324}.get(kind, 1.0)


@pytest.mark.parametrize("kind", ["normal", "positive", "odd", "wide", "tiny"])
@pytest.mark.parametrize("sizes", [(4000,), (1500, 40, 3000), (10, 20, 5)])
def test_batches_are_counted_as_all_at_once(kind: str, sizes: tuple[int, ...]) -> None:
    batches = [made(kind, rows, seed) for seed, rows in enumerate(sizes)]
    # the first ones begin a step of first bits, the others do not
    edges = (-1.5, -0.25, 0.0, 0.5, 1.0, 1.7000001, 3.3e9)
    check(counted(batches, edges), np.concatenate(batches), edges)


def test_batches_that_reach_further_than_one_count_can_are_settled_before() -> None:
    low, high = made("positive", 2000, 0) * 1e-60, made("positive", 2000, 1) * 1e60
    assert math.log2(1e120) * 256 > 2**16
    check(counted([low, high, low], (0.0, 1.0)), np.concatenate([low, high, low]), (0.0, 1.0))


def test_sums_are_taken_about_the_centre() -> None:
    batches = [1e9 + made("normal", FEWEST_COUNTED, seed) for seed in range(4)]
    found, away = counted(batches, (1e9,), 1e9), np.concatenate(batches) - 1e9
    assert found.total == pytest.approx(away.sum())
    assert found.total_square == pytest.approx(np.square(away).sum())


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float32, np.bool_, ">f8"])
def test_numbers_may_come_in_any_type(dtype: str) -> None:
    values = (np.arange(3000) % 5).astype(dtype)
    check(counted([values], (0.5, 1.0, 3.5)), values.astype(np.float64), (0.5, 1.0, 3.5))


@pytest.mark.parametrize("rows", [(10, 5000, 0), (AT_ONCE, AT_ONCE), (AT_ONCE + 1, 3), (3 * AT_ONCE - 1,)])
def test_batches_may_be_of_any_size(rows: tuple[int, ...]) -> None:
    batches = [made("normal", count, seed) for seed, count in enumerate(rows)]
    check(counted(batches, (-1.0, 0.0, 0.7)), np.concatenate(batches), (-1.0, 0.0, 0.7))


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.floats(), st.text(max_size=2)), max_size=8), min_size=1, max_size=5
    )
)
def test_counting_is_to_merge_the_profiles_of_the_batches(values: list[list[object]]) -> None:
    bins = (
        ColumnBins("x", "number", edges=(-1.0, 0.5), centre=0.25),
        ColumnBins("k", "category", levels=("a", "b")),
    )
    counting, batches = Counting(bins), []
    for part in values:
        column = np.empty(len(part), dtype=object)
        column[:] = part
        batches.append({"x": column, "k": column} if len(part) != 3 else {"k": column})
        counting.add(batches[-1])
    assert counting.profile() == merge_all([profile(batch, bins) for batch in batches])
