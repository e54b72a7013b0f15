"""The activations of a network's last layer as a few columns: their principal components, found on the reference.

What the last layer reads is what the network makes of a row. It can move although no column does, where columns come
together otherwise than before in a way that pairs do not show, and only what matters to the answers counts.
Lipton, Wang, Smola, "Detecting and correcting for label shift with black box predictors" (2018), and Rabanser,
Guennemann, Lipton, "Failing loudly" (2019), test what a network makes of rows instead of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LAST_LAYER = "last layer"  # how the columns are called, with their number
MOST = 4  # columns; each takes from the weight of all others in the test
SHARE = 0.9  # of the variance, which is enough
LEAST_ROWS = 100  # of the reference; of fewer the directions are chance
DIGITS = 6  # significant ones, of what is stored


@dataclass(frozen=True)
class Projection:
    """mean: of the activations, shape (units,); directions: of largest variance, at most 4, shape (k, units)."""

    mean: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(f"{LAST_LAYER} {place + 1}" for place in range(len(self.directions)))

    def columns(self, activations: NDArray[Any]) -> dict[str, Floats]:
        """Rows as columns of n values. activations: shape (n, units).

        >>> projection = Projection((1.0, 1.0), ((0.0, 2.0),))
        >>> projection.columns(np.array([[5.0, 4.0]]))
        {'last layer 1': array([6.])}
        """
        away = np.asarray(activations, np.float64) - np.array(self.mean)
        # row by row in one order: what a matrix product adds up depends on how many rows it has
        values = (np.einsum("nu,u->n", away, np.array(one), optimize=False) for one in self.directions)
        return dict(zip(self.names, values, strict=True))

    def to_plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"mean": list(self.mean), "directions": [list(one) for one in self.directions]}

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> Projection:
        """The opposite of `to_plain`."""
        return cls(tuple(stored["mean"]), tuple(tuple(one) for one in stored["directions"]))


def projection(activations: NDArray[Any]) -> Projection | None:
    """The directions in which activations of the reference vary. activations: shape (n, units).

    As many as hold 90 % of the variance, four at most. None where rows are too few or nothing varies.
    """
    known = np.asarray(activations, np.float64)
    known = known[np.isfinite(known).all(axis=1)]
    if len(known) < LEAST_ROWS:
        return None
    mean = known.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov(known, rowvar=False, bias=True).reshape(len(mean), -1))
    order = np.argsort(variances)[::-1][:MOST]
    total, held = float(variances.sum()), np.cumsum(variances[order])
    if not total > np.finfo(np.float32).eps * float(np.square(mean).sum()):
        return None
    chosen = order[: int(np.searchsorted(held, SHARE * total)) + 1]
    directions = (vectors[:, place] * _sign(vectors[:, place]) for place in chosen)
    return Projection(_rounded(mean), tuple(_rounded(one) for one in directions))


def is_last_layer(column: str) -> bool:
    """Whether a column is of the last layer.

    >>> is_last_layer("last layer 2"), is_last_layer("wind")
    (True, False)
    """
    return column.startswith(f"{LAST_LAYER} ")


def _sign(direction: Floats) -> float:
    """Of the largest of its numbers, so that the same rows always give the same direction."""
    return 1.0 if direction[np.argmax(np.abs(direction))] >= 0 else -1.0


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)
