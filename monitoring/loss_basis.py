"""Functions of a row in which a model of its loss is linear: slopes, bends of one column, bends of a few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

KNOTS = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles at which a column may bend
TOGETHER = 3  # columns at most that bend together, for few are what interactions are made of
UNITS = 60  # random bends of several columns (random features: Rahimi and Recht 2008)
FAR = 4.0  # standard deviations: a row further out than any row of the reference counts as the outermost


@dataclass(frozen=True)
class Basis:
    """centre, rates, low, high: of each of d columns, standardised and kept within what the reference had.

    bent: columns (b,) that bend at `knots` (b, 5). directions (u, d), offsets (u,): of the random bends.
    means, weights: of all functions but the constant over the reference, which makes them comparable.
    """

    centre: Array
    rates: Array
    low: Array
    high: Array
    bent: Array
    knots: Array
    directions: Array
    offsets: Array
    means: Array
    weights: Array

    @property
    def groups(self) -> tuple[int, int, int, int]:
        """How many functions: the constant, slopes, bends of one column, bends of a few."""
        return 1, len(self.centre), self.knots.size, len(self.offsets)

    @property
    def size(self) -> int:
        return sum(self.groups)

    def values(self, columns: Array) -> Array:
        """The functions of rows, shape (n, d) to (n, size); a missing number is an ordinary one."""
        raw = self._raw(columns)
        return np.column_stack([np.ones(len(raw)), (raw - self.means) * self.weights])

    def _raw(self, columns: Array) -> Array:
        standard = (columns - self.centre) * self.rates
        standard = np.clip(np.where(np.isfinite(standard), standard, 0.0), self.low, self.high)
        own = standard[:, self.bent.astype(int)]
        bends = [np.maximum(own - knots, 0.0) for knots in self.knots.T]
        together = np.maximum(standard @ self.directions.T + self.offsets, 0.0)
        return np.concatenate([standard, *bends, together], axis=1)

    def arrays(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, stored: Mapping[str, Any]) -> Basis:
        """Of arrays or lists of their numbers."""
        found = {name: np.asarray(values, float) for name, values in stored.items()}
        width = len(found["centre"])
        return cls(
            **{
                **found,
                "knots": found["knots"].reshape(-1, len(KNOTS)),
                "directions": found["directions"].reshape(-1, width),
            }
        )


def make_basis(columns: Array, rng: np.random.Generator, *, most: int) -> Basis:
    """The basis that the rows of a reference, shape (n, d), bear; at most about so many functions, and every slope.

    >>> basis = make_basis(np.arange(12.0).reshape(6, 2), np.random.default_rng(0), most=20)
    >>> basis.groups, basis.values(np.array([[4.0, 5.0]])).shape
    ((1, 2, 10, 7), (1, 20))
    """
    centre = columns.mean(axis=0)
    rates = _rates(columns.std(axis=0), 1e-9 * (1.0 + np.abs(centre)))
    standard = (columns - centre) * rates
    left = max(most - 1 - columns.shape[1], 0)
    bent = _bending(standard)[: left // len(KNOTS)]
    units = min(UNITS, left - len(bent) * len(KNOTS))
    directions, offsets = _random_bends(standard, units, rng)
    plain = Basis(
        centre=centre,
        rates=rates,
        low=np.clip(standard.min(axis=0), -FAR, 0.0),
        high=np.clip(standard.max(axis=0), 0.0, FAR),
        bent=bent.astype(float),
        knots=np.quantile(standard[:, bent], KNOTS, axis=0).T,
        directions=directions,
        offsets=offsets,
        means=np.zeros(0),
        weights=np.zeros(0),
    )
    raw = plain._raw(columns)
    return replace(plain, means=raw.mean(axis=0), weights=_rates(raw.std(axis=0), 1e-9))


def _rates(spread: Array, least: Array | float) -> Array:
    """One by the spread; nothing where there is none, for a constant says nothing."""
    return np.where(spread > least, 1.0 / np.maximum(spread, least), 0.0)


def _bending(standard: Array) -> npt.NDArray[np.intp]:
    """Columns with more than two values between which something could bend."""
    found = [
        place
        for place, column in enumerate(standard.T)
        if len(np.unique(np.quantile(column, KNOTS))) == len(KNOTS)
    ]
    return np.array(found, dtype=np.intp)


def _random_bends(standard: Array, units: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Directions in a few columns each, that bend where a row of the reference lies."""
    rows, width = standard.shape
    directions = np.zeros((units, width))
    for direction in directions:
        chosen = rng.choice(width, min(TOGETHER, width), replace=False)
        direction[chosen] = rng.standard_normal(len(chosen)) / np.sqrt(len(chosen))
    places = rng.integers(0, rows, units)
    return directions, -np.einsum("ud,ud->u", directions, standard[places])
