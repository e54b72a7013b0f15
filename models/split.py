"""Which rows a model learns from, which ones end its training, and which ones judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.column_values import levels_of

Positions = NDArray[np.int64]
SplitKind = Literal["time", "random", "stratified", "group"]

STRATA = 10  # of a quantity: enough that each part has small and large ones, few enough that each holds rows


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the rows of each part, ascending; no row is in two parts and every row is in one."""

    train: Positions
    validation: Positions
    test: Positions


def split_in_time(rows: int, *, validation: float = 0.15, test: float = 0.0) -> Split:
    """The last rows test, those before them validate, the first ones train.

    For rows in the order of time: a model is always judged on what came after what it learned.
    validation, test: shares from 0, together below 1. Raises ValueError for other shares or too few rows.

    >>> split = split_in_time(10, validation=0.2, test=0.1)
    >>> split.train, split.validation, split.test
    (array([0, 1, 2, 3, 4, 5, 6]), array([7, 8]), array([9]))
    """
    return _cut(np.arange(rows, dtype=np.int64), validation, test)


def split_at_random(rows: int, *, seed: int, validation: float = 0.15, test: float = 0.0) -> Split:
    """Rows without an order in time: the same seed draws the same rows.

    >>> len(split_at_random(10, seed=0, validation=0.2).validation)
    2
    """
    return _cut(np.random.default_rng(seed).permutation(rows).astype(np.int64), validation, test)


def split_stratified(strata: Any, *, seed: int, validation: float = 0.15, test: float = 0.0) -> Split:
    """Drawn at random, with the same share of every stratum in each part, to within a row.

    strata: one value a row, (n,): the class, or `strata_of` a quantity.

    >>> split = split_stratified(np.array([0, 0, 0, 0, 1, 1, 1, 1]), seed=0, validation=0.25)
    >>> (split.validation < 4).tolist()
    [True, False]
    """
    return _cut(_stratified_order(np.asarray(strata), seed), validation, test)


def split_by_group(groups: Any, *, seed: int, validation: float = 0.15, test: float = 0.0) -> Split:
    """Whole groups, drawn at random: a model is judged on groups that it never saw.

    groups: one value a row, (n,); a row without one (None, nan) is a group of its own. A share is met to within a
    group. Raises ValueError where there are fewer groups than parts.

    >>> split = split_by_group(["a", "a", "b", "b", "c", "c"], seed=0, validation=0.3)
    >>> len(split.train), len(split.validation)
    (4, 2)
    """
    numbers = group_numbers(groups)
    _check_shares(validation, test)
    shares = np.array([1 - validation - test, validation, test])
    part_of_group = _dealt(numbers, shares, np.random.default_rng(seed))
    return Split(*(np.flatnonzero(part_of_group[numbers] == part).astype(np.int64) for part in range(3)))


def split_rows(
    kind: SplitKind,
    rows: int,
    *,
    seed: int,
    strata: Any = None,
    groups: Any = None,
    validation: float = 0.15,
    test: float = 0.0,
) -> Split:
    """The split that a project asks for. strata, groups: (rows,), needed by the kinds of these names."""
    if kind == "time":
        return split_in_time(rows, validation=validation, test=test)
    if kind == "random":
        return split_at_random(rows, seed=seed, validation=validation, test=test)
    if kind == "stratified":
        return split_stratified(_needed(strata, kind, rows), seed=seed, validation=validation, test=test)
    return split_by_group(_needed(groups, kind, rows), seed=seed, validation=validation, test=test)


def strata_of(values: NDArray[Any], *, quantity: bool) -> NDArray[np.int64]:
    """A stratum for each row: its class, or in which tenth of a quantity it lies; missing ones have one of their own.

    >>> strata_of(np.array([5.0, 1.0, 9.0, np.nan]), quantity=True)
    array([ 5,  1,  8, 10])
    """
    if not quantity:
        return group_numbers(values, apart=False)
    numbers = np.asarray(values, np.float64)
    missing = np.isnan(numbers)
    ranks = np.empty(len(numbers))
    ranks[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))  # nan last
    tenth = np.floor(STRATA * (ranks + 0.5) / max(1, int((~missing).sum())))
    return np.where(missing, STRATA, np.minimum(tenth, STRATA - 1)).astype(np.int64)


def group_numbers(groups: Any, *, apart: bool = True) -> NDArray[np.int64]:
    """A number from 0 for each group, (n,). apart: whether rows without a group are one each, else one together."""
    levels = levels_of(groups)
    numbers: dict[str, int] = {}
    codes = np.array(
        [-1 if level is None else numbers.setdefault(level, len(numbers)) for level in levels], np.int64
    )
    missing = np.flatnonzero(codes < 0)
    codes[missing] = len(numbers) + (np.arange(len(missing)) if apart else 0)
    return codes


def _needed(values: Any, kind: str, rows: int) -> Any:
    if values is None or len(values) != rows:
        raise ValueError(f"a {kind} split of {rows} rows needs a value for each of them; none came.")
    return values


def _stratified_order(strata: NDArray[Any], seed: int) -> Positions:
    """Shuffled rows in which every piece, from any place on, holds each stratum in its share."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(strata))
    _, codes, counts = np.unique(strata[shuffled], return_inverse=True, return_counts=True)
    by_stratum = np.argsort(codes, kind="stable")
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    place = np.empty(len(strata))
    place[by_stratum] = (np.arange(len(strata)) - begins + 0.5) / np.repeat(counts, counts)
    return shuffled[np.argsort(place, kind="stable")].astype(np.int64)


def _dealt(numbers: Positions, shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The part of each group: in random order each goes where most is lacking, and no part with a share stays empty."""
    sizes = np.bincount(numbers)
    wanted = np.flatnonzero(shares > 0)
    if len(sizes) < len(wanted):
        raise ValueError(
            f"{len(sizes)} groups cannot fill {len(wanted)} parts; expected one for each at least."
        )
    part_of, got = np.zeros(len(sizes), np.int64), np.zeros(len(shares))
    order: Sequence[int] = rng.permutation(len(sizes)).tolist()
    for done, group in enumerate(order):
        empty = [part for part in wanted if got[part] == 0]
        open_to = empty if len(empty) >= len(order) - done else wanted
        part = min(open_to, key=lambda one: float(got[one]) / max(float(shares[one]), 1e-12))
        part_of[group], got[part] = part, got[part] + sizes[group]
    return part_of


def _cut(order: Positions, validation: float, test: float) -> Split:
    _check_shares(validation, test)
    validating, testing = _count(len(order), validation), _count(len(order), test)
    training = len(order) - validating - testing
    if training < 1:
        raise ValueError(f"{len(order)} rows leave none to train on; expected at least 3, or smaller shares.")
    parts: list[NDArray[Any]] = np.split(order, [training, training + validating])
    return Split(*(np.sort(part) for part in parts))


def _check_shares(validation: float, test: float) -> None:
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ValueError(
            f"validation = {validation}, test = {test}: expected shares from 0, together below 1."
        )


def _count(rows: int, share: float) -> int:
    """Rows of a part; one at least where it has a share at all, and never more than its share."""
    return max(1, int(rows * share + 1e-9)) if share > 0 else 0
