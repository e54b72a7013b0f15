"""What a network must be better than: the best constant, and a strongly regularised linear model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.losses import canonical, default_loss, row_losses

if TYPE_CHECKING:
    from models.schema import Task

Array = NDArray[Any]

PENALTIES = (0.3, 0.05, 0.01, 0.002, 0.0004)  # per row, strong to weak, each a fifth of the one before
TAIL = 0.2  # share of the rows, the last ones, that chooses among the penalties
MOST_ROWS = 50_000  # a linear model of a hundred inputs learns nothing more from more of them
MOST_STEPS = 100  # of the solver; a model that is not quite at its optimum is still a fair one to beat


class Baseline(Protocol):
    """Anything that answers rows."""

    def predict(self, inputs: Array) -> NDArray[np.float32]:
        """Answers (n, outputs) for inputs (n, width)."""
        ...


@dataclass(frozen=True, eq=False)
class ConstantModel:
    """The same answer for every row. values: (outputs,)."""

    values: NDArray[np.float64]

    def predict(self, inputs: Array) -> NDArray[np.float32]:
        """Answers (n, outputs) for inputs (n, any)."""
        return np.tile(self.values.astype(np.float32), (len(inputs), 1))


@dataclass(frozen=True, eq=False)
class SimpleModel:
    """A straight line from the inputs to the answer, or to the scores of the classes.

    weights: (width, outputs). intercept: (outputs,). penalty: the one of PENALTIES that was chosen.
    """

    task: Task
    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    penalty: float

    def predict(self, inputs: Array) -> NDArray[np.float32]:
        """Answers (n, outputs) for inputs (n, width): probabilities for classes, else the target's units."""
        scores = inputs @ self.weights.astype(np.float32) + self.intercept.astype(np.float32)
        return np.asarray(_ANSWERS[self.task](scores), np.float32)


def best_constant(task: Task, loss: str, targets: Array, *, outputs: int | None = None) -> ConstantModel:
    """The constant with the lowest mean loss on these targets: what is known without any input.

    loss: a name of KNOWN_LOSSES; for any other (a user's own) the mean, or the shares of the classes.
    targets: (n,); missing ones do not count. outputs: of several classes, where the last may not be there.
    Raises ValueError where no target is known.

    >>> best_constant("binary", "binary_crossentropy", np.array([0, 0, 1, 0])).predict(np.zeros((2, 9)))
    array([[0.25], [0.25]], dtype=float32)
    """
    known = targets[_known(task, targets)]
    if len(known) == 0:
        raise ValueError("no target is known; expected at least one row with a target.")
    if task == "multiclass":
        counts = np.bincount(known.astype(np.int64), minlength=outputs or 0)
        return ConstantModel(counts / counts.sum())
    return ConstantModel(np.array([_best_number(_name(loss, task), known.astype(np.float64))]))


def fit_simple(
    task: Task, inputs: Array, targets: Array, *, outputs: int | None = None, seed: int = 0
) -> SimpleModel:
    """A ridge or logistic regression whose penalty did best on the last TAIL of the rows, then fitted on all.

    inputs: (n, width) in the order of time. targets: (n,); rows without a target are left out.
    outputs: of several classes, where the last may not be there. seed: draws MOST_ROWS of more rows.
    One more row of each class, at the mean of the inputs, keeps every probability above 0.
    Raises ValueError where fewer than 2 targets are known.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    rows = np.flatnonzero(_known(task, targets))
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} targets are known; expected at least 2 rows with a target.")
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    inputs, targets = np.asarray(inputs, np.float32)[rows], np.asarray(targets)[rows]
    solve = _ridge if task == "regression" else partial(_logistic, _outputs(task, targets, outputs))
    head = len(rows) - max(1, round(len(rows) * TAIL))
    with threadpool_limits(
        1
    ):  # measured: with a second thread 16 s of CPU instead of 1, waiting for each other
        candidates = solve(inputs[:head], targets[:head], PENALTIES)
        losses = [_mean_loss(model, inputs[head:], targets[head:]) for model in candidates]
        return solve(inputs, targets, (PENALTIES[int(np.argmin(losses))],))[0]


def _known(task: Task, targets: Array) -> NDArray[np.bool_]:
    return np.asarray(targets >= 0 if task == "multiclass" else np.isfinite(targets), np.bool_)


def _name(loss: str, task: Task) -> str:
    try:
        return canonical(loss)
    except ValueError:
        return default_loss(task)


def _best_number(loss: str, targets: NDArray[np.float64]) -> float:
    if loss in ("mean_squared_error", "poisson", "binary_crossentropy"):
        return float(targets.mean())
    if loss == "mean_absolute_error":
        return float(np.median(targets))
    from scipy.optimize import minimize_scalar

    def mean_loss(value: float) -> float:
        return float(row_losses(loss, targets, np.full((len(targets), 1), value)).mean())

    low, high = float(targets.min()), float(targets.max())
    return float(minimize_scalar(mean_loss, bounds=(low, high), method="bounded").x) if low < high else low


def _mean_loss(model: SimpleModel, inputs: Array, targets: Array) -> float:
    return float(row_losses(default_loss(model.task), targets, model.predict(inputs)).mean())


def _outputs(task: Task, targets: Array, outputs: int | None) -> int:
    return 1 if task == "binary" else max(outputs or 0, int(targets.max()) + 1)


def _ridge(inputs: Array, targets: Array, penalties: Sequence[float]) -> list[SimpleModel]:
    """Least squares with each penalty, by its normal equations."""
    center, mean = inputs.mean(axis=0, dtype=np.float64), float(targets.mean(dtype=np.float64))
    centred = inputs - center.astype(np.float32)
    curvature = (centred.T @ centred).astype(np.float64) / len(inputs)
    slope = (centred.T @ (targets - mean).astype(np.float32)).astype(np.float64) / len(inputs)
    models = []
    for penalty in penalties:
        weights = np.linalg.solve(curvature + penalty * np.eye(len(slope)), slope)
        intercept = np.array([mean - center @ weights])
        models.append(SimpleModel("regression", weights.reshape(-1, 1), intercept, penalty))
    return models


def _logistic(outputs: int, inputs: Array, targets: Array, penalties: Sequence[float]) -> list[SimpleModel]:
    """Logistic regressions with each penalty, each started from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes = max(outputs, 2)
    rows = np.vstack([inputs, np.tile(inputs.mean(axis=0), (classes, 1))])
    labels = np.concatenate([targets.astype(np.int64), np.arange(classes)])
    solver, models = LogisticRegression(warm_start=True, max_iter=MOST_STEPS), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for penalty in penalties:
            solver.set_params(C=1 / (penalty * len(rows))).fit(rows, labels)
            models.append(_simple_model(outputs, solver.coef_.T.copy(), solver.intercept_.copy(), penalty))
    return models


def _simple_model(outputs: int, weights: Array, intercept: Array, penalty: float) -> SimpleModel:
    if outputs == 1:
        return SimpleModel("binary", weights, intercept, penalty)
    if weights.shape[1] == 1:  # two classes as two outputs
        weights, intercept = np.hstack([0 * weights, weights]), np.array([0.0, intercept[0]])
    return SimpleModel("multiclass", weights, intercept, penalty)


def _sigmoid(scores: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -scores))


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _identity(scores: Array) -> Array:
    return scores


_ANSWERS: dict[Task, Callable[[Array], Array]] = {
    "regression": _identity,
    "binary": _sigmoid,
    "multiclass": _softmax,
}
