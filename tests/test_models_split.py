"""Every row is in one part, and time is never read backwards."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.split import (
    Split,
    group_numbers,
    split_at_random,
    split_by_group,
    split_in_time,
    split_rows,
    split_stratified,
    strata_of,
)

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


# --- strata ---


@given(st.lists(st.integers(0, 4), min_size=4, max_size=300), SHARES, SHARES)
def test_each_part_holds_its_share_of_every_stratum(
    strata: list[int], validation: float, test: float
) -> None:
    split = split_stratified(strata, seed=3, validation=validation, test=test)
    assert sorted(chain(*parts(split))) == list(range(len(strata)))
    values = np.array(strata)
    for level in set(strata):
        share = (values == level).mean()
        for part in (split.train, split.validation, split.test):
            assert abs((values[part] == level).sum() - share * len(part)) <= 2


def test_a_stratified_split_has_the_sizes_of_any_other() -> None:
    strata = np.repeat([0, 1], [900, 100])
    split = split_stratified(strata, seed=0, validation=0.2, test=0.1)
    assert [len(part) for part in parts(split)] == [700, 200, 100]
    assert [int(strata[part].sum()) for part in (split.train, split.validation, split.test)] == [70, 20, 10]


def test_the_strata_of_a_quantity_are_tenths_and_missing_ones_are_apart() -> None:
    values = np.append(np.random.default_rng(0).normal(size=1000), [np.nan] * 50)
    strata = strata_of(values, quantity=True)
    assert np.bincount(strata).tolist() == [100] * 10 + [50]
    assert values[strata == 0].max() < values[strata == 1].min()


def test_the_strata_of_classes_are_the_classes() -> None:
    assert strata_of(np.array(["b", None, "a", "b"], dtype=object), quantity=False).tolist() == [0, 2, 1, 0]


# --- groups ---


@given(st.lists(st.integers(0, 20), min_size=3, max_size=300), SHARES, SHARES, st.integers(0, 9))
def test_no_group_is_in_two_parts(groups: list[int], validation: float, test: float, seed: int) -> None:
    wanted = 1 + (validation > 0) + (test > 0)
    if len(set(groups)) < wanted:
        with pytest.raises(ValueError, match="groups cannot fill"):
            split_by_group(groups, seed=seed, validation=validation, test=test)
        return
    split = split_by_group(groups, seed=seed, validation=validation, test=test)
    assert sorted(chain(*parts(split))) == list(range(len(groups)))
    members = [set(np.array(groups)[part].tolist()) for part in (split.train, split.validation, split.test)]
    assert not (members[0] & members[1] | members[0] & members[2] | members[1] & members[2])
    assert sum(map(bool, members)) == wanted


def test_shares_of_groups_are_met_to_within_a_group() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 200, 10_000)
    largest = np.bincount(groups).max()
    for seed in range(10):
        split = split_by_group(groups, seed=seed, validation=0.15, test=0.1)
        assert abs(len(split.validation) - 1500) <= largest
        assert abs(len(split.test) - 1000) <= largest


def test_large_and_small_groups_are_in_every_part() -> None:
    groups = np.repeat(np.arange(100), np.arange(1, 101))
    sizes = [len(split_by_group(groups, seed=seed, validation=0.3).validation) for seed in range(30)]
    biggest = [100 in split_by_group(groups + 1, seed=seed, validation=0.3).validation for seed in range(30)]
    assert max(sizes) <= 0.3 * len(groups) + 100
    assert 0 < sum(biggest) < 30


def test_a_row_without_a_group_is_one_by_itself() -> None:
    assert group_numbers(["a", None, "b", float("nan"), "a"]).tolist() == [0, 2, 1, 3, 0]


def test_the_kind_of_a_split_is_chosen_by_its_name() -> None:
    values = ["a", "b"] * 50
    for kind, expected in (
        ("time", split_in_time(100)),
        ("random", split_at_random(100, seed=4)),
        ("stratified", split_stratified(values, seed=4)),
        ("group", split_by_group([*range(50)] * 2, seed=4)),
    ):
        split = split_rows(kind, 100, seed=4, strata=values, groups=[*range(50)] * 2)  # type: ignore[arg-type]
        assert parts(split) == parts(expected)


@pytest.mark.parametrize("kind", ["stratified", "group"])
def test_a_split_without_the_values_it_needs_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"a {kind} split of 10 rows needs a value for each"):
        split_rows(kind, 10, seed=0)  # type: ignore[arg-type]
