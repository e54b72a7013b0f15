"""A look at the joint distribution: can a classifier tell the current rows from those of the reference?

A forest is trained to tell them apart on one half of the rows and asked about the other half, and the other way round.
If both come from one source it can only guess, and how well a guess may turn out is known. It sees what no column shows
by itself and no pair either; it looks at a sample, and raises no alarm. (Lopez-Paz and Oquab, "Revisiting classifier
two-sample tests", 2017; Rabanser, Guennemann and Lipton, "Failing loudly", 2019.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.bins import ColumnBins
from monitoring.joint import cell_scores
from monitoring.profile import Profile, cell_numbers
from monitoring.values import Columns

Floats = NDArray[np.float64]

FEWEST_ROWS = 100  # on each side; of fewer a forest learns nothing
MOST_ROWS = 5_000  # of each side are looked at: a separation of 0.52 is seen
TREES, LEAST_LEAF = 100, 10
NAMED = 3  # columns, and each must have this many standard errors of its own


@dataclass(frozen=True)
class DomainCheck:
    """How well reference and current rows can be told apart.

    rows: looked at, of each side. separation: area under the receiver's curve on rows that the classifier had not seen:
    0.5 is guessing, 1 is certainty. error: its standard error where both have one source. columns: without which they
    would be told apart worse, with the loss of separation, most first.
    """

    rows: tuple[int, int]
    separation: float
    error: float
    columns: tuple[tuple[str, float], ...] = ()

    @property
    def p_value(self) -> float:
        """Probability of so much separation, or more, where both come from one source."""
        return math.erfc((self.separation - 0.5) / self.error / math.sqrt(2)) / 2

    def __str__(self) -> str:
        told = (
            f"a classifier tells reference and current rows apart at {self.separation:.3f} (guessing is 0.5"
        )
        said = f"{told}, by chance up to {0.5 + 2.33 * self.error:.3f} in 99 of 100)"
        if not self.columns:
            return said
        return f"{said}, by {', '.join(f'{name} ({part:+.3f})' for name, part in self.columns)}"


def domain_check(
    reference: Columns, current: Columns, profiled: Profile, *, rng: np.random.Generator
) -> DomainCheck | None:
    """Trains the classifier on rows of both; None where one side has fewer than 100 rows.

    profiled: the reference, counted: each row is seen as the normal scores of its cells, so that no scale and no
    outlier matters, with missing values and levels beside them. rng: draws the rows and the halves. The error of the
    separation under one source is that of Mann and Whitney's statistic.
    """
    from sklearn.ensemble import RandomForestClassifier

    before, after = (_sample(rows, profiled, rng) for rows in (reference, current))
    if min(len(before), len(after)) < FEWEST_ROWS:
        return None
    rows, names = np.concatenate([before, after]), [name for name, _ in _features(profiled)]
    domain = np.repeat([0, 1], [len(before), len(after)])
    half = _halves(domain, rng)
    forests = []
    for side in (0, 1):
        forest = RandomForestClassifier(
            TREES,
            min_samples_leaf=LEAST_LEAF,
            max_features="sqrt",
            random_state=int(rng.integers(2**31)),
            n_jobs=1,
        )
        forests.append(forest.fit(rows[half != side], domain[half != side]))
    separation, error = _separation(forests, rows, domain, half)
    columns = _told_by(forests, rows, domain, half, names, separation, error, rng) if separation > 0.5 else ()
    return DomainCheck((len(before), len(after)), separation, error, columns)


def _separation(
    forests: list[Any], rows: Floats, domain: NDArray[Any], half: NDArray[Any]
) -> tuple[float, float]:
    """Mean over the halves, and its standard error under one source."""
    found, variance = 0.0, 0.0
    for side, forest in enumerate(forests):
        asked = half == side
        first, second = np.bincount(domain[asked], minlength=2)
        found += _area(forest.predict_proba(rows[asked])[:, 1], domain[asked]) / 2
        variance += (first + second + 1) / (12 * first * second) / 4
    return found, math.sqrt(variance)


def _area(score: Floats, domain: NDArray[Any]) -> float:
    """Mann and Whitney's: the share of pairs in which the current row has the higher score, ties as halves.

    >>> _area(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1]))
    0.875
    """
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    after = int((domain == 1).sum())
    return float((rank[domain == 1].sum() - after * (after + 1) / 2) / (after * (len(domain) - after)))


def _told_by(
    forests: list[Any],
    rows: Floats,
    domain: NDArray[Any],
    half: NDArray[Any],
    names: list[str],
    separation: float,
    error: float,
    rng: np.random.Generator,
) -> tuple[tuple[str, float], ...]:
    """How much worse the rows are told apart when a column's values are dealt out anew (Breiman, 2001)."""
    if separation - 0.5 < NAMED * error:
        return ()
    lost = {}
    for name in dict.fromkeys(names):
        dealt, order = rows.copy(), rng.permutation(len(rows))
        places = [place for place, other in enumerate(names) if other == name]
        dealt[:, places] = rows[order][:, places]
        lost[name] = separation - _separation(forests, dealt, domain, half)[0]
    found = [(name, part) for name, part in lost.items() if part > error]
    return tuple(sorted(found, key=lambda one: -one[1])[:NAMED])


def _halves(domain: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Half of the rows of each side, by chance."""
    half = np.empty(len(domain), dtype=np.intp)
    for side in (0, 1):
        own = np.flatnonzero(domain == side)
        half[rng.permutation(own)] = np.arange(len(own)) % 2
    return half


def _sample(columns: Columns, profiled: Profile, rng: np.random.Generator) -> Floats:
    """At most MOST_ROWS rows as numbers, shape (rows, features)."""
    rows = next((len(columns[name]) for name in columns), 0)
    chosen = np.sort(rng.choice(rows, min(rows, MOST_ROWS), replace=False))
    cells = {bins.name: cell_numbers(columns, bins, rows)[chosen] for bins in profiled.bins}
    found = [scores[cells[name]] for name, scores in _features(profiled)]
    return np.column_stack(found) if found else np.zeros((len(chosen), 0))


def _features(profiled: Profile) -> list[tuple[str, Floats]]:
    """For each feature the column's name and the number that stands for each cell."""
    found = []
    for column in profiled.columns:
        if column.bins.kind == "number":
            found.append((column.name, np.append(cell_scores(column), [0.0, 0.0])))
        else:
            found += [(column.name, one) for one in _levels(column.bins)]
        missing = np.zeros(column.bins.cells + 2)
        missing[-2:] = 1.0
        found.append((column.name, missing))
    return found


def _levels(bins: ColumnBins) -> list[Floats]:
    """One number a frequent level, and the level's place for the others: a tree splits that where it helps."""
    place = np.arange(bins.cells + 2, dtype=np.float64)
    return [*(np.asarray(place == level, dtype=np.float64) for level in range(min(8, bins.cells))), place]
