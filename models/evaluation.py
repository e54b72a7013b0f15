"""How good predictions are, on rows whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.losses import row_losses

if TYPE_CHECKING:
    from models.schema import Task

Array = NDArray[Any]


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and the figures that people know, over `rows` rows with a known target.

    loss: nan where there is no such row. metrics: `accuracy` for classes, `auc` for two of them; `mae` and
    `r2` for regression. A metric is nan where it is undefined: auc with one class only, r2 of a constant.
    """

    rows: int
    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)


def evaluate(loss: str | Array, task: Task, target: Array, prediction: Array) -> Evaluation:
    """Scores predictions (n, outputs) against targets (n,); rows without a target do not count.

    loss: a name of KNOWN_LOSSES, or the losses of the rows (n,) where they were computed elsewhere.

    >>> evaluate("mse", "binary", np.array([0.0, 1.0]), np.array([[0.25], [0.75]]))
    Evaluation(rows=2, loss=0.0625, metrics={'accuracy': 1.0, 'auc': 1.0})
    """
    answers = np.asarray(prediction, np.float64).reshape(len(target), -1)
    losses = row_losses(loss, target, answers) if isinstance(loss, str) else np.asarray(loss)
    known = np.isfinite(target) & (target >= 0 if task == "multiclass" else True)
    if not known.any():
        return Evaluation(0, math.nan)
    metrics = _METRICS[task](np.asarray(target)[known], answers[known])
    return Evaluation(int(known.sum()), float(losses[known].mean()), metrics)


def auc(target: Array, score: Array) -> float:
    """Area under the ROC curve: how often a row of class 1 has the higher score; ties count half.

    target: 0 or 1, (n,). score: (n,). nan where one of the classes is not there.

    >>> auc(np.array([0, 1, 1, 0]), np.array([0.1, 0.1, 0.9, 0.0]))
    0.875
    """
    positive = np.asarray(target) > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if ones == 0 or zeros == 0:
        return math.nan
    _, groups, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[groups]  # tied rows share the mean of their ranks
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _binary(target: Array, prediction: Array) -> dict[str, float]:
    answers = prediction[:, 0]
    return {"accuracy": float(np.mean((answers >= 0.5) == (target > 0.5))), "auc": auc(target, answers)}


def _multiclass(target: Array, prediction: Array) -> dict[str, float]:
    return {"accuracy": float(np.mean(prediction.argmax(axis=1) == target))}


def _regression(target: Array, prediction: Array) -> dict[str, float]:
    truth = target.astype(np.float64)
    errors = truth - prediction[:, 0]
    spread = float(np.square(truth - truth.mean()).sum())
    r2 = 1.0 - float(np.square(errors).sum()) / spread if spread > 0 else math.nan
    return {"mae": float(np.abs(errors).mean()), "r2": r2}


_METRICS = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
