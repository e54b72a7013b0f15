"""What single training rows are worth: which help to answer other rows, which mislead, and which rows are like none.

Worth is that of a nearest-neighbour model, for which it has a closed form: no network has to be trained without each
row. A row that misleads its neighbours (a wrong label, a broken reading) misleads a network in the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.schema import Task

Array = NDArray[Any]
Numbers = NDArray[np.float64]

NEIGHBOURS = 10  # 5 to 20 rank rows much alike; fewer follow single rows, more blur the borders
STRANGE = 0.99  # share of the taught rows that have a taught row as near as a row must have to be like them
_TOGETHER = 200  # judging rows at once: 200 x 10,000 distances are 16 MB


@dataclass(frozen=True, eq=False)
class RowValues:
    """values: of each training row (n,), in units of the utility; their sum is what all of them are worth together.

    alone: the utility without any row. together: with all of them; accuracy for classes, minus the squared error in
    units of the target's spread for a quantity.
    """

    values: Numbers
    alone: float
    together: float


def row_values(
    task: Task,
    inputs: Array,
    targets: Array,
    judging_inputs: Array,
    judging_targets: Array,
    *,
    neighbours: int = NEIGHBOURS,
) -> RowValues:
    """The Shapley value of every training row for the nearest neighbours of other rows.

    inputs: (n, width), prepared; targets: (n,), known. judging_inputs, judging_targets: of the rows whose answers
    are to be good. Theorems 1 and 6 of Jia et al., Efficient Task-Specific Data Valuation for Nearest Neighbor
    Algorithms, 2019; the utility of few rows divides by `neighbours` all the same.

    >>> inputs, targets = np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([0, 0, 1, 0])
    >>> others, wanted = np.array([[0.0], [5.0]]), np.array([0, 1])
    >>> row_values("binary", inputs, targets, others, wanted, neighbours=1).values.round(3).tolist()
    [0.208, 0.208, 0.458, 0.125]
    """
    neighbours = min(neighbours, len(targets))
    truth, judging = targets.astype(np.float64), judging_targets.astype(np.float64)
    centre, scale = (float(truth.mean()), float(truth.std()) or 1.0) if task == "regression" else (0.0, 1.0)
    truth, judging = (truth - centre) / scale, (judging - centre) / scale
    total, alone, together = np.zeros(len(truth)), 0.0, 0.0
    for first in range(0, len(judging), _TOGETHER):
        order = np.argsort(
            squared_distances(judging_inputs[first : first + _TOGETHER], inputs), axis=1, kind="stable"
        )
        wanted = judging[first : first + _TOGETHER, None]
        if task == "regression":
            near = truth[order]
            ranked = _values_of_quantities(near, wanted, neighbours)
            alone -= float(np.square(wanted).sum())
            together -= float(np.square(near[:, :neighbours].mean(axis=1, keepdims=True) - wanted).sum())
        else:
            right = (truth[order] == wanted).astype(np.float64)
            ranked = _values_of_classes(right, neighbours)
            together += float(right[:, :neighbours].mean(axis=1).sum())
        np.add.at(total, order, ranked)
    count = max(len(judging), 1)
    return RowValues(total / count, alone / count, together / count)


def strange_rows(inputs: Array, others: Array) -> NDArray[np.bool_]:
    """Which of the other rows, (m,), lie farther from every row than STRANGE of the rows lie from their nearest.

    >>> rows = np.arange(20.0).reshape(-1, 1)
    >>> strange_rows(rows, np.array([[3.2], [40.0]]))
    array([False,  True])
    """
    limit = float(np.quantile(_nearest(inputs, inputs, itself=True), STRANGE))
    return np.asarray(_nearest(others, inputs, itself=False) > limit * (1 + 1e-6), bool)


def squared_distances(rows: Array, others: Array) -> Numbers:
    """Between every two of two sets of rows, (n, m)."""
    one, other = rows.astype(np.float64), others.astype(np.float64)
    squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * one @ other.T, 0), np.float64)


def _nearest(rows: Array, others: Array, *, itself: bool) -> Numbers:
    """The squared distance to the nearest other row; itself: the rows are the others, and no row is its own."""
    found = np.empty(len(rows))
    for first in range(0, len(rows), _TOGETHER):
        distances = squared_distances(rows[first : first + _TOGETHER], others)
        if itself:
            places = np.arange(len(distances))
            distances[places, first + places] = np.inf
        found[first : first + _TOGETHER] = distances.min(axis=1)
    return found


def _values_of_classes(right: Numbers, neighbours: int) -> Numbers:
    """Of training rows by nearness, (m, n): right: 1 where a row has the class that is wanted."""
    count = right.shape[1]
    ranks = np.arange(1, count)
    steps = (right[:, :-1] - right[:, 1:]) / neighbours * np.minimum(neighbours, ranks) / ranks
    last = right[:, -1:] / count
    return np.concatenate([last + np.cumsum(steps[:, ::-1], axis=1)[:, ::-1], last], axis=1)


def _values_of_quantities(near: Numbers, wanted: Numbers, neighbours: int) -> Numbers:
    """Of training rows by nearness, (m, n): near: their targets. wanted: (m, 1)."""
    count, k = near.shape[1], neighbours
    if count == 1:
        return np.square(wanted) - np.square(near / k - wanted)
    last = near[:, -1:]
    others = near[:, :-1].sum(axis=1, keepdims=True) / (count - 1)
    end = -(k - 1) / (count * k) * last * (last / k - 2 * wanted + others)
    end = end - (np.square(last / k - wanted) - np.square(wanted)) / count
    ranks = np.arange(1, count, dtype=np.float64)  # i of the theorem; its neighbour is i + 1
    least = np.minimum(k, ranks)
    sums = np.cumsum(near, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        before = np.where(ranks > 1, (least - 1) / (ranks - 1), 0.0) * (sums[:, :-1] - near[:, :-1])
        places = np.arange(1, count + 1, dtype=np.float64)
        far = np.minimum(k, places - 1) * np.minimum(k - 1, places - 2) / ((places - 1) * (places - 2))
    far_sums = np.cumsum((np.where(places > 2, far, 0.0) * near)[:, ::-1], axis=1)[:, ::-1]
    behind = np.concatenate([far_sums[:, 2:], np.zeros((len(near), 1))], axis=1) * ranks / least
    inner = (before + near[:, :-1] + near[:, 1:] + behind) / k - 2 * wanted
    steps = (near[:, 1:] - near[:, :-1]) / k * least / ranks * inner
    return np.concatenate([end + np.cumsum(steps[:, ::-1], axis=1)[:, ::-1], end], axis=1)
