"""Prepared rows: what a network learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs and targets of the same rows, in the same order.

    inputs: float32 (n, width). targets: (n,), float32 for regression and two classes, int32 for more.
    weights: float32 (n,), or None where every row weighs the same.
    Raises ValueError where the lengths differ.

    >>> rows = Rows(np.zeros((3, 2), np.float32), np.array([0.0, 1.0, 1.0], np.float32))
    >>> len(rows), len(rows.take(np.array([0, 2])))
    (3, 2)
    """

    inputs: NDArray[np.float32]
    targets: NDArray[Any]
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.inputs), len(self.targets)}
        if self.weights is not None:
            lengths.add(len(self.weights))
        if len(lengths) > 1:
            raise ValueError(
                f"inputs, targets and weights have lengths {sorted(lengths)}; expected one length."
            )

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, positions: NDArray[Any]) -> Rows:
        """The rows at these positions (or under this mask), in this order."""
        weights = None if self.weights is None else self.weights[positions]
        return Rows(self.inputs[positions], self.targets[positions], weights)


def weighed(rows: Rows, classes: str | tuple[float, ...] | None) -> Rows:
    """The rows with their weights multiplied by those of their classes; None leaves them as they are.

    classes: the weight of each class, or "balanced": rows / (classes * rows of the class), after which every class
    counts the same and a row 1 on average. Raises ValueError where the targets are no classes.

    >>> rows = Rows(np.zeros((4, 1), np.float32), np.array([0.0, 0.0, 0.0, 1.0], np.float32))
    >>> weighed(rows, "balanced").weights
    array([0.667, 0.667, 0.667, 2. ], dtype=float32)
    """
    if classes is None or len(rows) == 0:
        return rows
    positions = rows.targets.astype(np.int64)
    if (positions != rows.targets).any() or positions.min() < 0:
        raise ValueError("class weights are for classes, whose targets are 0, 1, 2, ...")
    counts = np.bincount(positions, minlength=2)
    if isinstance(classes, str):
        known = int((counts > 0).sum())
        each = len(rows) / (known * np.maximum(counts, 1))
    elif len(classes) < len(counts):
        raise ValueError(f"{len(classes)} class weights came, and the targets reach class {len(counts) - 1}.")
    else:
        each = np.asarray(classes, np.float64)
    own = each[positions] if rows.weights is None else each[positions] * rows.weights
    return Rows(rows.inputs, rows.targets, own.astype(np.float32))


def rehearsal(new: int, old: int, *, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which of `old` rows to repeat beside `new` ones, so that they are `share` of the whole: sorted places.

    share: 0 to below 1. Where there are too few old rows all of them are taken, once each.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share = {share}: expected the share of old rows, from 0 to below 1.")
    wanted = min(round(new * share / (1 - share)), old)
    return np.sort(rng.choice(old, size=wanted, replace=False, shuffle=False))
