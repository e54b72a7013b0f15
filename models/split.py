"""Which rows a model learns from, which ones end its training, and which ones judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


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


def _cut(order: Positions, validation: float, test: float) -> Split:
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ValueError(
            f"validation = {validation}, test = {test}: expected shares from 0, together below 1."
        )
    validating, testing = _count(len(order), validation), _count(len(order), test)
    training = len(order) - validating - testing
    if training < 1:
        raise ValueError(f"{len(order)} rows leave none to train on; expected at least 3, or smaller shares.")
    parts: list[NDArray[Any]] = np.split(order, [training, training + validating])
    return Split(*(np.sort(part) for part in parts))


def _count(rows: int, share: float) -> int:
    """Rows of a part; one at least where it has a share at all, and never more than its share."""
    return max(1, int(rows * share + 1e-9)) if share > 0 else 0
