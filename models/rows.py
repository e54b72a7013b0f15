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


def rehearsal(new: int, old: int, *, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which of `old` rows to repeat beside `new` ones, so that they are `share` of the whole: sorted places.

    share: 0 to below 1. Where there are too few old rows all of them are taken, once each.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share = {share}: expected the share of old rows, from 0 to below 1.")
    wanted = min(round(new * share / (1 - share)), old)
    return np.sort(rng.choice(old, size=wanted, replace=False, shuffle=False))
