"""Columns that give the target away: a copy of it, its parts, or something known only after it.

A model that sees one of them looks perfect until it is deployed. What is only a strong feature is not named:
each rule wants a relation that practically no honest column has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.column_values import as_array, kind_of, levels_of, numbers_of
from models.schema import Fault

if TYPE_CHECKING:
    from models.schema import Columns, Task

Array = NDArray[Any]
Numbers = NDArray[np.float64]

CORRELATION = 0.999  # of a column that says the same as the target in another unit
REMAINDER = 1e-3  # of the target's own spread, that a sum which is the target may leave: rounding
MOST_ROWS = 20_000  # rows looked at, spread over all; a relation without exception shows in fewer
LEAST_ROWS = 30  # below, a perfect relation may be chance
LEAST_OF_A_CLASS = 20  # likewise: one column in C(40, 20) separates 20 rows from 20 by chance
ROWS_OF_A_LEVEL = 5  # on average; with fewer a column of names would be its own list of answers
SHARE_JUDGED = 0.9  # of the held-out rows, whose level the other half of the rows has
MOST_TRIED = 60  # columns left out one after the other, each a least squares; far more than a sum has parts
MOST_PARTS = 8  # of a sum; an accusation of more columns helps nobody


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # of absurd values, which then prove nothing
def leakage(frame: Columns, target: str, task: Task, leave_out: Sequence[str] = ()) -> tuple[Fault, ...]:
    """The columns, or sums of columns, that give the target away, each with its reason; () where none does.

    Regression: a number that follows the target exactly, in its values and from row to row, or a sum or
    difference of numbers that is the target. Classes: a column each of whose values belongs to one class, on
    rows that were held out, or a threshold that separates the classes without exception.
    A frame that `Schema.fit` would refuse, or of too few rows to tell, gives ().

    >>> child, grown = np.arange(40) % 7, np.arange(40) % 11
    >>> [str(fault) for fault in leakage({"child": child, "grown": grown, "all": child + grown}, "all", "regression")]
    ["column 'child + grown' is the target 'all' in all rows looked at; leave out both"]
    """
    columns = _readable(frame)
    if target not in columns:
        return ()
    rows = _rows_looked_at(levels_of(columns[target]), task)
    if len(rows) < LEAST_ROWS:
        return ()
    truth = columns[target][rows]
    others = {
        name: column[rows]
        for name, column in columns.items()
        if name != target and name not in leave_out and len(column) == len(columns[target])
    }
    judge = _given_away_number if task == "regression" else _given_away_class
    return judge(others, target, truth)


def _readable(frame: Columns) -> dict[str, Array]:
    """The columns that have one value a row."""
    names: list[Any] = list(frame)
    columns = {}
    for name in names:
        with contextlib.suppress(ValueError):
            columns[str(name)] = as_array(frame[name])
    return columns


def _rows_looked_at(levels: list[str | None], task: Task) -> NDArray[np.int64]:
    """At most MOST_ROWS of those with a target, spread evenly; as many of a rare class as of a frequent one."""
    known = np.flatnonzero([level is not None for level in levels])
    if task == "regression":
        return _spread(known, MOST_ROWS)
    classes, truth = np.unique([str(levels[row]) for row in known], return_inverse=True)
    share = MOST_ROWS // max(1, len(classes))
    parts = [_spread(known[truth == one], share) for one in range(len(classes))]
    return np.sort(np.concatenate([part for part in parts if len(part) >= LEAST_OF_A_CLASS] or [known[:0]]))


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]


def _given_away_number(columns: dict[str, Array], target: str, values: Array) -> tuple[Fault, ...]:
    truth = _numbers(values)
    if truth is None or not 0 < truth.std() < np.inf:
        return ()
    found = {name: numbers for name, column in columns.items() if (numbers := _numbers(column)) is not None}
    faults = [
        Fault(
            name, f"gives the target {target!r} away: their correlation is {_correlation(numbers, truth):.4f}"
        )
        for name, numbers in found.items()
        if _says_the_same(numbers, truth)
    ]
    accused = {fault.column for fault in faults}
    faults += [
        Fault(name, f"gives the target {target!r} away: it is the same, written as text")
        for name, column in columns.items()
        if name not in found and levels_of(column) == levels_of(values)
    ]
    rest = {name: numbers for name, numbers in found.items() if name not in accused}
    parts = _sum_that_is(truth, rest)
    if parts:
        which = "both" if len(parts) == 2 else "all of them"
        faults.append(
            Fault(_formula(parts), f"is the target {target!r} in all rows looked at; leave out {which}")
        )
    return tuple(faults)


def _numbers(column: Array) -> Numbers | None:
    """The column as numbers; None where it is something else, or holds what no schema takes."""
    if kind_of(column) != "number":
        return None
    try:
        return numbers_of(column)
    except ValueError:
        return None


def _says_the_same(column: Numbers, truth: Numbers) -> bool:
    """Whether both rise and fall together, over all rows and from each row to the next.

    The second tells a copy from the value of an hour ago, which is as close where the target moves slowly.
    """
    both = ~np.isnan(column)
    if both.sum() < max(LEAST_ROWS, len(column) // 2):
        return False
    column, truth = column[both], truth[both]
    return all(
        abs(_correlation(one, other)) > CORRELATION
        for one, other in ((column, truth), (np.diff(column), np.diff(truth)))
    )


def _correlation(column: Numbers, truth: Numbers) -> float:
    """Pearson's; 0 where one of them is constant or too large to say."""
    both = ~np.isnan(column)
    column, truth = column[both], truth[both]
    column, truth = column - column.mean(), truth - truth.mean()
    value = float((column * truth).sum() / np.sqrt(np.square(column).sum() * np.square(truth).sum()))
    return value if np.isfinite(value) else 0.0


def _sum_that_is(truth: Numbers, columns: dict[str, Numbers]) -> dict[str, int]:
    """The columns, with +1 or -1, whose sum is the target up to a constant; {} where there is none.

    Where least squares over all columns leaves a remainder no sum is the target. Else columns go one by one
    while there is still none, and those that cannot go are the parts. Columns with a missing value are no parts.
    """
    names = [name for name, numbers in columns.items() if not np.isnan(numbers).any() and numbers.std() > 0]
    names = [name for name in names if np.isfinite(np.square(columns[name]).sum())]
    few = _spread(np.arange(len(truth)), max(500, 4 * len(names)))
    if len(names) < 2 or len(few) < 2 * len(names) + LEAST_ROWS:
        return {}
    part = {name: columns[name][few] for name in names}
    if not _explains(part, names, truth[few]):
        return {}
    names = _needed(part, names, truth[few])
    weights = dict(zip(names, _weights(part, names, truth[few]).round().astype(int).tolist(), strict=True))
    whole = sum((weight * columns[name] for name, weight in weights.items()), np.zeros(len(truth)))
    is_sum = 2 <= len(names) <= MOST_PARTS and all(abs(weight) == 1 for weight in weights.values())
    return weights if is_sum and _is_small(truth - whole, truth) else {}


def _needed(columns: dict[str, Numbers], names: list[str], truth: Numbers) -> list[str]:
    """Those of the columns without which there is a remainder; all where they are too many to try."""
    moved = np.abs(_weights(columns, names, truth)) * [columns[name].std() for name in names]
    heavy = [name for name, size in zip(names, moved, strict=True) if size > REMAINDER * truth.std()]
    needed = heavy if heavy and _explains(columns, heavy, truth) else names
    for name in list(needed) if len(needed) <= MOST_TRIED else []:
        fewer = [other for other in needed if other != name]
        if fewer and _explains(columns, fewer, truth):
            needed = fewer
    return needed


def _weights(columns: dict[str, Numbers], names: list[str], truth: Numbers) -> Numbers:
    """Of least squares with a constant."""
    scales = np.array([columns[name].std() or 1.0 for name in names])
    matrix = np.column_stack([columns[name] - columns[name].mean() for name in names]) / scales
    solution, *_ = np.linalg.lstsq(matrix, truth - truth.mean(), rcond=None)
    return np.asarray(solution / scales, np.float64)


def _explains(columns: dict[str, Numbers], names: list[str], truth: Numbers) -> bool:
    weights = _weights(columns, names, truth)
    whole = sum(
        (weight * columns[name] for name, weight in zip(names, weights, strict=True)), np.zeros(len(truth))
    )
    return _is_small(truth - whole, truth)


def _is_small(remainder: Numbers, truth: Numbers) -> bool:
    """Beside the target's own movement, over all rows and from each row to the next."""
    over_all = remainder.std() <= REMAINDER * truth.std()
    return bool(over_all and np.diff(remainder).std() <= REMAINDER * np.diff(truth).std())


def _formula(parts: dict[str, int]) -> str:
    """`a + b - c`, those with a plus first."""
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    text = " ".join(f"{'+' if sign > 0 else '-'} {name}" for name, sign in ordered)
    return text.removeprefix("+ ")


def _given_away_class(columns: dict[str, Array], target: str, values: Array) -> tuple[Fault, ...]:
    classes, truth = np.unique([str(level) for level in levels_of(values)], return_inverse=True)
    if len(classes) < 2:
        return ()
    faults = []
    for name, column in columns.items():
        kind = kind_of(column)
        if kind == "number" and _separates(column, truth, len(classes)):
            faults.append(Fault(name, f"gives the target {target!r} away: a threshold separates its classes"))
        elif kind in ("number", "text") and _determines(levels_of(column), truth, len(classes)):
            faults.append(Fault(name, f"gives the target {target!r} away: each of its values has one class"))
    return tuple(faults)


def _separates(column: Array, truth: Array, classes: int) -> bool:
    """Whether the classes lie beside each other on the line of this column, nowhere mixed."""
    numbers = _numbers(column)
    if numbers is None:
        return False
    present = ~np.isnan(numbers)
    numbers, truth = numbers[present], truth[present]
    if np.bincount(truth, minlength=classes).min() < LEAST_OF_A_CLASS:
        return False
    lowest = np.array([numbers[truth == one].min() for one in range(classes)])
    highest = np.array([numbers[truth == one].max() for one in range(classes)])
    order = np.argsort(lowest)
    return bool(np.all(highest[order][:-1] < lowest[order][1:]))


def _determines(levels: list[str | None], truth: Array, classes: int) -> bool:
    """Whether the class of each level, seen on every second row, is right on all the others."""
    distinct, codes = np.unique([str(level) if level else "" for level in levels], return_inverse=True)
    if len(distinct) < 2 or len(distinct) * ROWS_OF_A_LEVEL > len(truth):
        return False
    seen, held_out = slice(0, None, 2), slice(1, None, 2)
    table = np.zeros((len(distinct), classes))
    np.add.at(table, (codes[seen], truth[seen]), 1)
    if np.any((table > 0).sum(axis=1) > 1):
        return False
    judged = table.sum(axis=1)[codes[held_out]] > 0
    right = table.argmax(axis=1)[codes[held_out]] == truth[held_out]
    enough = (
        judged.mean() >= SHARE_JUDGED and np.bincount(truth[held_out][judged], minlength=classes).min() > 0
    )
    return bool(enough and right[judged].all())
