"""What a network must be better than: a constant, the last known values, a linear model, trees, a kernel machine."""

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
Costs = Callable[[Array, Array], Array]

PENALTIES = (0.3, 0.05, 0.01, 0.002, 0.0004)  # per row, strong to weak, each a fifth of the one before
TAIL = 0.2  # share of the rows, the last ones, that chooses among the penalties
MOST_ROWS = 50_000  # a linear model of a hundred inputs learns nothing more from more of them
MOST_STEPS = 100  # of the solver; a model that is not quite at its optimum is still a fair one to beat

LAST = (1, 10, 100, 1000)  # how many of the last known values may be averaged; the data say which
MOST_TREE_ROWS = 100_000  # measured on flights: twice as many took twice the time and won nothing
MOST_TREES = 300  # boosting stops itself before, on a tenth of its rows
FOREST_TREES = 100
LEAST_OF_A_LEAF = 5  # rows; a chance from fewer is noise
MOST_KERNEL_ROWS = 10_000  # the time of a kernel machine grows with their square
LANDMARKS = 300  # rows that the kernel is computed against
SOFTNESS = (0.1, 1.0)  # of the margin between classes, scikit-learn's C; the held-out rows choose
SOFTNESS_OF_QUANTITIES = 10.0  # on hourly bicycle rentals 100 won nothing more, 1 lost a tenth
HOLD_OUT = 5  # every fifth row, not the last ones: how often a class occurs changes with the season


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


def best_constant(
    task: Task, loss: str, targets: Array, *, outputs: int | None = None, costs: Costs | None = None
) -> ConstantModel:
    """The constant with the lowest mean loss on these targets: what is known without any input.

    loss: a name of KNOWN_LOSSES; for any other (a user's own) the mean, or the shares of the classes.
    targets: (n,); missing ones do not count. outputs: of several classes, where the last may not be there.
    costs: the loss of rows, (targets (n,), answers (n, 1)) to (n,), where the name does not say all of it (it has
    parameters, or is a user's own); not used for several classes.
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
    return ConstantModel(np.array([_best_number(_name(loss, task), known.astype(np.float64), costs)]))


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
    # measured: with a second thread 16 s of CPU instead of 1, waiting for each other
    with threadpool_limits(1):
        candidates = solve(inputs[:head], targets[:head], PENALTIES)
        losses = [_mean_loss(model, inputs[head:], targets[head:]) for model in candidates]
        return solve(inputs, targets, (PENALTIES[int(np.argmin(losses))],))[0]


@dataclass(frozen=True, eq=False)
class LastValues:
    """The mean of the last `count` values that were known at each moment: what is known without any input.

    delay: how long after a row its target is known. start: (outputs,), the answer before anything is known; for
    classes it also counts as one more row, so that no chance is ever 0.
    """

    task: Task
    count: int
    delay: np.timedelta64
    start: NDArray[np.float64]

    def answer(self, times: Array, known_times: Array, known_targets: Array) -> NDArray[np.float64]:
        """Answers (n, outputs) at these times, from rows whose targets become known by and by.

        known_times: ascending, (m,). known_targets: (m,). A row is known to those that come later than itself,
        and not before its delay has passed.
        """
        sums = np.vstack(
            [0 * self.start, np.cumsum(_as_answers(self.task, known_targets, len(self.start)), 0)]
        )
        delayed = np.searchsorted(known_times, times - self.delay, side="right")
        last = np.minimum(delayed, np.searchsorted(known_times, times, side="left"))
        first = np.maximum(last - self.count, 0)
        rows, summed = (last - first)[:, None], sums[last] - sums[first]
        if self.task == "regression":
            return np.asarray(np.where(rows > 0, summed / np.maximum(rows, 1), self.start), np.float64)
        return np.asarray((summed + self.start) / (rows + 1), np.float64)


def fit_last_values(
    task: Task,
    loss: str,
    times: Array,
    targets: Array,
    *,
    delay: np.timedelta64,
    outputs: int | None = None,
) -> LastValues:
    """How many of the last known values make the best guess: the number of LAST with the lowest loss on these rows.

    times: ascending, (n,). targets: (n,); missing ones do not count. loss: as for `best_constant`.
    Raises ValueError where no target is known.

    >>> hours = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[h]")
    >>> level = np.repeat([1.0, 5.0], 48)
    >>> fit_last_values("regression", "mse", hours, level, delay=np.timedelta64(0, "h")).count
    1
    """
    known = _known(task, targets)
    start = best_constant(task, loss, targets, outputs=outputs).values
    times, targets = times[known], targets[known]
    candidates = [LastValues(task, count, delay, start) for count in LAST if count < max(len(times), 2)]
    name = _name(loss, task)
    losses = [
        float(row_losses(name, targets, candidate.answer(times, times, targets)).mean())
        for candidate in candidates
    ]
    return candidates[int(np.argmin(losses))]


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model of scikit-learn over prepared inputs. answer: from inputs (n, width) to (n, outputs)."""

    answer: Callable[[Array], Array]

    def predict(self, inputs: Array) -> NDArray[np.float32]:
        """Answers (n, outputs) for inputs (n, width): probabilities for classes, else the target's units."""
        return np.asarray(self.answer(np.asarray(inputs, np.float32)), np.float32)


def fit_trees(
    task: Task,
    inputs: Array,
    targets: Array,
    *,
    loss: str = "",
    outputs: int | None = None,
    seed: int = 0,
) -> FittedModel:
    """Gradient-boosted trees, stopped on a tenth of the rows.

    inputs: (n, width). targets: (n,); rows without a target are left out, and of more than MOST_TREE_ROWS so many
    are drawn. loss: of the project; the trees learn it where they can (absolute error, Poisson).
    Raises ValueError where fewer than 2 targets are known.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    rows = _drawn_rows(task, targets, MOST_TREE_ROWS, seed)
    cells, answers = np.asarray(inputs, np.float32)[rows], np.asarray(targets)[rows]
    settings: dict[str, Any] = {
        "max_iter": MOST_TREES,
        "early_stopping": len(rows) >= 100,  # below, a tenth of them says nothing
        "random_state": seed,
    }
    with threadpool_limits(1):  # two threads wait for each other more than they work, on a shared machine
        if task == "regression":
            learned = _TREE_LOSSES.get(_name(loss, task), "squared_error")
            trees = HistGradientBoostingRegressor(loss=learned, **settings).fit(cells, answers)
            return FittedModel(lambda rows: trees.predict(rows).reshape(-1, 1))
        forest = HistGradientBoostingClassifier(**settings).fit(cells, answers.astype(np.int64))
    return FittedModel(_chances_of(forest, task, answers, outputs, 1 / len(rows)))


def fit_forest(
    task: Task,
    inputs: Array,
    targets: Array,
    *,
    outputs: int | None = None,
    seed: int = 0,
) -> FittedModel:
    """A random forest of FOREST_TREES trees; its chances keep 1 / FOREST_TREES of the shares of the classes.

    For a class that no tree has seen in a leaf is not impossible. Arguments and errors are those of `fit_trees`.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    rows = _drawn_rows(task, targets, MOST_ROWS, seed)
    cells, answers = np.asarray(inputs, np.float32)[rows], np.asarray(targets)[rows]
    settings: dict[str, Any] = {
        "n_estimators": FOREST_TREES,
        "min_samples_leaf": LEAST_OF_A_LEAF,
        "random_state": seed,
    }
    if task == "regression":
        forest = RandomForestRegressor(max_features=1 / 3, **settings).fit(cells, answers)
        return FittedModel(lambda rows: forest.predict(rows).reshape(-1, 1))
    classifier = RandomForestClassifier(**settings).fit(cells, answers.astype(np.int64))
    return FittedModel(_chances_of(classifier, task, answers, outputs, 1 / FOREST_TREES))


def fit_svm(
    task: Task, inputs: Array, targets: Array, *, loss: str = "", outputs: int | None = None, seed: int = 0
) -> FittedModel:
    """A support vector machine with a Gaussian kernel, on a sample of at most MOST_KERNEL_ROWS rows.

    The kernel is computed against LANDMARKS rows (Williams and Seeger, Using the Nystroem Method to Speed Up
    Kernel Machines, 2001); a logistic regression on every fifth row turns margins into chances (Platt,
    Probabilistic Outputs for Support Vector Machines, 1999). inputs: (n, width), prepared. targets: (n,).
    loss: of the project; errors count by their size where it is the absolute one, else by their square.
    Raises ValueError where fewer than 2 targets are known.
    """
    from threadpoolctl import threadpool_limits

    rows = _drawn_rows(task, targets, MOST_KERNEL_ROWS, seed)
    cells, answers = np.asarray(inputs, np.float64)[rows], np.asarray(targets)[rows]
    with threadpool_limits(1):
        if task == "regression":
            absolute = _name(loss, task) == "mean_absolute_error"
            return FittedModel(_margin_of_quantities(cells, answers.astype(np.float64), absolute, seed))
        return FittedModel(_margins_of_classes(task, cells, answers.astype(np.int64), outputs, seed))


def _margin_of_quantities(
    cells: Array, answers: Array, absolute: bool, seed: int
) -> Callable[[Array], Array]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVR

    mean, scale = float(answers.mean()), float(answers.std()) or 1.0
    kernel = _kernel(cells, seed)
    machine = LinearSVR(
        C=SOFTNESS_OF_QUANTITIES,
        epsilon=0.1,  # of the spread of the target: errors below cost nothing
        loss="epsilon_insensitive" if absolute else "squared_epsilon_insensitive",
        dual=absolute,
        max_iter=MOST_STEPS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(kernel(cells), (answers - mean) / scale)
    return lambda rows: (mean + scale * machine.predict(kernel(rows))).reshape(-1, 1)


def _margins_of_classes(
    task: Task, cells: Array, answers: Array, outputs: int | None, seed: int
) -> Callable[[Array], Array]:
    wanted, judging = _outputs(task, answers, outputs), np.arange(len(answers)) % HOLD_OUT == HOLD_OUT - 1
    if len(np.unique(answers[~judging])) < 2 or not judging.any():  # no margin between fewer than two classes
        return best_constant(task, default_loss(task), answers, outputs=outputs).predict
    kernel = _kernel(cells, seed)
    features, best, least = kernel(cells), None, np.inf
    for softness in SOFTNESS:
        margins = _margins(features[~judging], answers[~judging], softness, seed)
        chances = _logistic(wanted, margins(features[judging]), answers[judging], (PENALTIES[-1],))[0]
        loss = _mean_loss(chances, margins(features[judging]), answers[judging])
        if best is None or loss < least:
            best, least = (margins, chances), loss
    assert best is not None
    return lambda rows: best[1].predict(best[0](kernel(rows)))


def _margins(features: Array, answers: Array, softness: float, seed: int) -> Callable[[Array], Array]:
    """The distance of features (n, landmarks) from the border of each class, (n, classes), or of two, (n, 1)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=softness, max_iter=MOST_STEPS, dual=False, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(features, answers)
    return lambda rows: np.asarray(machine.decision_function(rows), np.float32).reshape(len(rows), -1)


def _kernel(cells: Array, seed: int) -> Callable[[Array], Array]:
    """Gaussian features, with the width that the spread of the inputs suggests."""
    from sklearn.kernel_approximation import Nystroem

    spread = float(cells.var()) or 1.0
    features = Nystroem(
        gamma=1 / (cells.shape[1] * spread), n_components=min(LANDMARKS, len(cells)), random_state=seed
    ).fit(cells)
    return lambda rows: np.asarray(features.transform(np.asarray(rows, np.float64)), np.float64)


def _drawn_rows(task: Task, targets: Array, most: int, seed: int) -> NDArray[np.intp]:
    """Rows with a target, at most so many, in order."""
    rows = np.flatnonzero(_known(task, targets))
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} targets are known; expected at least 2 rows with a target.")
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows


def _chances_of(
    model: Any, task: Task, answers: Array, outputs: int | None, rest: float
) -> Callable[[Array], Array]:
    """The model's chances with `rest` of them given to the shares of the classes, each counted once more."""
    wanted = max(_outputs(task, answers, outputs), 2)
    shares = np.bincount(answers.astype(np.int64), minlength=wanted) + 1.0
    shares /= shares.sum()

    def chances(rows: Array) -> Array:
        found = np.zeros((len(rows), wanted))
        known = model.classes_.astype(np.int64)
        found[:, known] = model.predict_proba(rows) if len(known) > 1 else 1.0
        mixed = (1 - rest) * found + rest * shares
        return np.asarray(mixed[:, 1:] if task == "binary" else mixed)

    return chances


def _as_answers(task: Task, targets: Array, outputs: int) -> NDArray[np.float64]:
    """Known targets as the answers that would be right, (n, outputs)."""
    if task == "multiclass":
        return np.eye(outputs)[targets.astype(np.int64)]
    return targets.astype(np.float64).reshape(-1, 1)


_TREE_LOSSES = {"mean_absolute_error": "absolute_error", "poisson": "poisson"}


def _known(task: Task, targets: Array) -> NDArray[np.bool_]:
    return np.asarray(targets >= 0 if task == "multiclass" else np.isfinite(targets), np.bool_)


def _name(loss: str, task: Task) -> str:
    try:
        return canonical(loss)
    except ValueError:
        return default_loss(task)


def _best_number(loss: str, targets: NDArray[np.float64], costs: Costs | None) -> float:
    if costs is None and loss in ("mean_squared_error", "poisson", "binary_crossentropy"):
        return float(targets.mean())
    if costs is None and loss == "mean_absolute_error":
        return float(np.median(targets))
    from scipy.optimize import minimize_scalar

    cost = costs or partial(row_losses, loss)

    def mean_loss(value: float) -> float:
        return float(cost(targets, np.full((len(targets), 1), value)).mean())

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
