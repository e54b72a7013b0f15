"""The figures that people know, each with its value in every draw of the rows.

A metric is made ready for a plan of draws once, and then takes how often each block was drawn: sums over rows
become products of matrices, and what goes by rank is sorted once. So 500 draws of 50,000 rows take seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.intervals import Resampling
from models.losses import row_losses

if TYPE_CHECKING:
    from models.schema import Task

Array = NDArray[Any]
Numbers = NDArray[np.float64]
Draw = Callable[[NDArray[np.float32]], Numbers]  # counts (draws, blocks) -> figures (draws, names)
Function = Callable[[Array, Array], Any]

BINS = 10  # of equal numbers of rows, of a table of calibration
MOST_RANKED = 10  # classes; the area under a curve for each of more costs more than it tells
OWN_DRAWS = 200  # a user's own function is called for each draw
QUANTILES = (0.1, 0.9)  # of the pinball losses; that of 0.5 is half of the mean absolute error
_EDGE = 1e-7  # chances are kept this far from 0 and 1 before their logit is taken, as Keras does

HIGHER, LOWER = 1, -1
DIRECTIONS = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc", "r2"), HIGHER),
    **dict.fromkeys(("average_precision", "precision_macro", "recall_macro", "f1_macro", "f1_micro"), HIGHER),
    **dict.fromkeys(("loss", "log_loss", "brier", "calibration_error", "mse", "rmse", "mae", "mape"), LOWER),
    **{f"pinball_{round(100 * quantile)}": LOWER for quantile in QUANTILES},
}  # of the others, such as the slope of a calibration, neither is better


class Metric(Protocol):
    """One or more figures of the same rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each figure."""
        ...

    def ready(self, plan: Resampling) -> Draw:
        """The function from counts of the plan's blocks, (draws, blocks), to figures, (draws, names)."""
        ...


@dataclass(frozen=True, eq=False)
class Additive:
    """Figures that follow from sums over the rows.

    parts: (rows, k), dense or scipy's sparse. combine: sums (draws, k) -> figures (draws, names); nan where
    undefined.
    """

    names: tuple[str, ...]
    parts: Any
    combine: Callable[[Numbers], Numbers]

    def ready(self, plan: Resampling) -> Draw:
        if isinstance(self.parts, np.ndarray):
            blocks = plan.by_block(self.parts)
            return lambda counts: self.combine(np.asarray(counts @ blocks, np.float64))
        sparse = _block_sums(self.parts, plan)
        return lambda counts: self.combine(np.asarray((sparse @ counts.T).T, np.float64))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Figures of two classes that follow from the order of the answers: the areas under both curves.

    positive: bool (rows,). score: (rows,), larger for rows that are rather positive; ties count half.
    `average_precision` is the step-wise area under precision over recall.
    """

    positive: NDArray[np.bool_]
    score: Array

    @property
    def names(self) -> tuple[str, ...]:
        return ("auc", "average_precision")

    def ready(self, plan: Resampling) -> Draw:
        order = np.argsort(self.score, kind="stable")
        score = self.score[order]
        starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
        blocks = plan.block_of_row[order]
        positive = self.positive[order].astype(np.float32)
        tied = len(starts) < len(score)

        def draw(counts: NDArray[np.float32]) -> Numbers:
            drawn = counts[:, blocks]
            ones = drawn * positive
            if tied:
                drawn, ones = (np.add.reduceat(rows, starts, axis=1) for rows in (drawn, ones))
            return np.column_stack([_auc(ones, drawn - ones), _average_precision(ones, drawn)])

        return draw


@dataclass(frozen=True, eq=False)
class OneAgainstRest:
    """The mean over the classes of the area under the ROC curve of each class against all others.

    target: positions of classes (rows,). scores: (rows, classes). Classes that a draw does not have are left out.
    """

    target: Array
    scores: Array

    @property
    def names(self) -> tuple[str, ...]:
        return ("auc",)

    def ready(self, plan: Resampling) -> Draw:
        ranked = [Ranked(self.target == one, self.scores[:, one]) for one in range(self.scores.shape[1])]
        draws = [one.ready(plan) for one in ranked if one.positive.any()]

        def draw(counts: NDArray[np.float32]) -> Numbers:
            areas = np.column_stack([one(counts)[:, 0] for one in draws])
            known = np.isfinite(areas)
            return _ratio(np.where(known, areas, 0).sum(axis=1), known.sum(axis=1))[:, None]

        return draw


@dataclass(frozen=True, eq=False)
class Own:
    """A user's own figure: called with targets (n,) and answers (n, outputs), it gives one number.

    In the first OWN_DRAWS draws with the rows as they were drawn; in the others it has no value.
    """

    names: tuple[str, ...]
    function: Function
    target: Array
    answers: Array

    def ready(self, plan: Resampling) -> Draw:
        rows, left = plan.block_of_row, [OWN_DRAWS + 1]  # one more for the figure itself

        def draw(counts: NDArray[np.float32]) -> Numbers:
            values = np.full((len(counts), 1), math.nan)
            for place in range(min(left[0], len(counts))):
                chosen = np.repeat(np.arange(len(rows)), counts[place].astype(np.intp)[rows])
                values[place] = float(self.function(self.target[chosen], self.answers[chosen]))
            left[0] -= min(left[0], len(counts))
            return values

        return draw


def own_metric(name: str, function: Function, target: Array, answers: Array) -> Metric:
    """The metric of a user's function: of one number for all rows, or of one number a row, then their mean.

    Raises ValueError where it gives neither.

    >>> errors = own_metric("largest", lambda target, answers: 2.0, np.zeros(3), np.zeros((3, 1)))
    >>> errors.names
    ('largest',)
    """
    answer = np.asarray(function(target, answers), np.float64)
    if answer.ndim == 0:
        return Own((name,), function, target, answers)
    if answer.reshape(-1).shape != (len(target),):
        raise ValueError(
            f"gave shape {answer.shape} for {len(target)} rows; expected one number, or one number a row"
        )
    return mean_of(name, answer.reshape(-1))


def mean_of(name: str, values: Array) -> Metric:
    """The mean of one number a row, such as the loss."""
    parts = np.column_stack([values, np.ones(len(values))])
    return Additive((name,), parts, lambda sums: _ratio(sums[:, :1], sums[:, 1:]))


def metrics_for(task: Task, target: Array, answers: Array) -> list[Metric]:
    """The metrics that fit the task, on rows with a known target.

    target: (n,), for classes their positions. answers: (n, outputs), probabilities for classes, else the target's
    own units. What needs probabilities is left out where an answer is none; the answers are then taken as scores.
    """
    if task == "regression":
        return _of_quantities(target.astype(np.float64), answers[:, 0].astype(np.float64))
    if task == "binary":
        return _of_two_classes(target > 0.5, answers[:, 0].astype(np.float64))
    return _of_classes(target.astype(np.int64), answers.astype(np.float64))


def are_chances(answers: Array) -> bool:
    """Whether all answers are probabilities; of several classes each row must add up to 1.

    >>> are_chances(np.array([[0.2], [1.0]])), are_chances(np.array([[-0.2], [1.0]]))
    (True, False)
    """
    inside = bool(np.all((answers >= 0) & (answers <= 1)))
    return inside and (answers.shape[1] == 1 or bool(np.allclose(answers.sum(axis=1), 1, atol=1e-3)))


# --- two classes ---


def _of_two_classes(positive: NDArray[np.bool_], score: Numbers) -> list[Metric]:
    chances = are_chances(score[:, None])
    found = [_decisions(positive, score >= (0.5 if chances else 0.0)), Ranked(positive, score)]
    if not chances:
        return found
    truth = positive.astype(np.float64)
    found.append(mean_of("log_loss", row_losses("binary_crossentropy", truth, score)))
    found.append(mean_of("brier", np.square(score - truth)))
    return [*found, calibration_error(truth, score), _logistic_line(truth, score)]


def _decisions(positive: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> Metric:
    parts = np.column_stack([np.ones(len(positive)), positive, chosen, positive & chosen]).astype(np.float64)

    def combine(sums: Numbers) -> Numbers:
        rows, ones, said, right = sums.T
        true_zeros = rows - ones - said + right
        recalls = np.stack([_ratio(right, ones), _ratio(true_zeros, rows - ones)])
        figures = (
            _ratio(right + true_zeros, rows),
            _mean_of_known(recalls),
            _ratio(right, said),
            recalls[0],
            _ratio(2 * right, ones + said),
        )
        return np.column_stack(figures)

    return Additive(("accuracy", "balanced_accuracy", "precision", "recall", "f1"), parts, combine)


# --- more classes ---


def _of_classes(target: NDArray[np.int64], answers: Numbers) -> list[Metric]:
    chosen = answers.argmax(axis=1)
    found: list[Metric] = [_decisions_by_class(target, chosen, answers.shape[1])]
    if answers.shape[1] <= MOST_RANKED:
        found.append(OneAgainstRest(target, answers))
    if not are_chances(answers):
        return found
    right = (chosen == target).astype(np.float64)
    sure, of_truth = answers.max(axis=1), answers[np.arange(len(target)), target]
    found.append(mean_of("log_loss", row_losses("sparse_categorical_crossentropy", target, answers)))
    found.append(mean_of("brier", np.square(answers).sum(axis=1) - 2 * of_truth + 1))
    return [*found, calibration_error(right, sure)]


def _decisions_by_class(target: NDArray[np.int64], chosen: NDArray[np.int64], classes: int) -> Metric:
    """Of all classes together, and then precision, recall and F1 of each: `precision[2]` is that of the third."""
    from scipy.sparse import csr_matrix

    rows = np.arange(len(target))
    right = np.flatnonzero(target == chosen)
    places = np.concatenate([target, classes + chosen, 2 * classes + target[right]])
    cells = (np.ones(len(places)), (np.concatenate([rows, rows, right]), places))
    parts = csr_matrix(cells, shape=(len(target), 3 * classes))

    def combine(sums: Numbers) -> Numbers:
        ones, said, both = (sums[:, part * classes : (part + 1) * classes] for part in range(3))
        occurs = (ones + said) > 0
        recall, precision, f1 = _ratio(both, ones), _ratio(both, said), _ratio(2 * both, ones + said)
        counted = [np.where(occurs, np.nan_to_num(figure), math.nan) for figure in (precision, recall, f1)]
        accuracy = _ratio(both.sum(axis=1), ones.sum(axis=1))
        overall = [
            accuracy,
            _mean_of_known(recall.T),
            *(_mean_of_known(figure.T) for figure in counted),
            accuracy,
        ]
        return np.column_stack([*overall, precision, recall, f1])

    names = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_micro")
    each = (f"{name}[{one}]" for name in ("precision", "recall", "f1") for one in range(classes))
    return Additive((*names, *each), parts, combine)


# --- quantities ---


def _of_quantities(target: Numbers, answers: Numbers) -> list[Metric]:
    error, centre = target - answers, float(target.mean())
    share = np.abs(error / target) if np.all(target != 0) else np.full(len(target), math.nan)
    pinballs = [np.maximum(quantile * error, (quantile - 1) * error) for quantile in QUANTILES]
    means = [np.square(error), np.abs(error), -error, *pinballs, answers >= target]
    parts = np.column_stack([np.ones(len(target)), target - centre, np.square(target - centre), *means])
    named = tuple(f"pinball_{round(100 * quantile)}" for quantile in QUANTILES)

    def combine(sums: Numbers) -> Numbers:
        rows, away, spread = sums[:, :3].T
        mse, mae, bias, *rest = _ratio(sums[:, 3:], rows[:, None]).T
        unexplained = _ratio(sums[:, 3], spread - away**2 / rows)
        return np.column_stack([mse, np.sqrt(mse), mae, 1 - unexplained, bias, *rest])

    names = ("mse", "rmse", "mae", "r2", "bias", *named, "share_above")
    line = _straight_line(target, answers)
    return [Additive(names, parts, combine), mean_of("mape", share), line]


# --- calibration ---


def equal_bins(answers: Array, bins: int = BINS) -> NDArray[np.intp]:
    """The bin of each row, by its answer: about equal numbers of rows, and equal answers together.

    >>> equal_bins(np.array([0.1, 0.9, 0.9, 0.9, 0.2, 0.9]), bins=3)
    array([0, 1, 1, 1, 0, 1])
    """
    edges = np.unique(np.quantile(answers, np.arange(1, bins) / bins, method="higher"))
    places = np.searchsorted(edges, answers, side="right")
    return np.unique(places, return_inverse=True)[1]


def calibration_error(truth: Array, chances: Array, bins: int = BINS) -> Metric:
    """How far chances and shares are apart, on average over bins of about equal numbers of rows.

    Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015, with
    the bins of Nguyen and O'Connor, 2015. Even a perfect network shows some of it, the less the more rows.
    """
    places = equal_bins(chances, bins)
    parts = np.zeros((len(truth), int(places.max(initial=0)) + 2))
    parts[np.arange(len(truth)), places] = truth - chances
    parts[:, -1] = 1
    return Additive(
        ("calibration_error",),
        parts,
        lambda sums: _ratio(np.abs(sums[:, :-1]).sum(axis=1, keepdims=True), sums[:, -1:]),
    )


def _logistic_line(truth: Numbers, chances: Numbers) -> Metric:
    """Slope and intercept of the best logit(truth) = intercept + slope * logit(chance): 1 and 0 where calibrated.

    Cox, Two Further Applications of a Model for Binary Regression, 1958. In a draw they are one step of Newton's
    from those of all rows, which is as good as the draws themselves (their error is of the order of 1 / rows).
    """
    inside = np.clip(chances, _EDGE, 1 - _EDGE)
    logit = np.log(inside / (1 - inside))
    slope, intercept = _fit_logistic_line(truth, logit)
    fitted = 1 / (1 + np.exp(-(intercept + slope * logit)))
    curve, left = fitted * (1 - fitted), truth - fitted
    parts = np.column_stack([left, left * logit, curve, curve * logit, curve * logit**2])

    def combine(sums: Numbers) -> Numbers:
        up, up_slope, flat, mixed, steep = sums.T
        size = flat * steep - mixed**2
        step = _ratio(flat * up_slope - mixed * up, size)
        return np.column_stack([slope + step, intercept + _ratio(steep * up - mixed * up_slope, size)])

    return Additive(("calibration_slope", "calibration_intercept"), parts, combine)


def _fit_logistic_line(truth: Numbers, logit: Numbers) -> tuple[float, float]:
    """nan where there is no one best line: chances all the same, or classes that a threshold separates."""
    if len(truth) < 2 or np.ptp(logit) == 0 or not 0 < truth.mean() < 1:
        return math.nan, math.nan
    slope, intercept = 1.0, 0.0
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(intercept + slope * logit, -500, 500)))
        curve, left = fitted * (1 - fitted), truth - fitted
        flat, mixed, steep = curve.sum(), (curve * logit).sum(), (curve * logit**2).sum()
        size = flat * steep - mixed**2
        if not size > 1e-12 * flat * steep or flat == 0:
            return math.nan, math.nan
        up, up_slope = left.sum(), (left * logit).sum()
        step = np.array([flat * up_slope - mixed * up, steep * up - mixed * up_slope]) / size
        step /= max(1.0, float(np.abs(step).max()))  # no step longer than 1: the first may be wild
        slope, intercept = slope + float(step[0]), intercept + float(step[1])
        if np.abs(step).max() < 1e-10:
            return slope, intercept
    return math.nan, math.nan


def _straight_line(target: Numbers, answers: Numbers) -> Metric:
    """Slope and intercept of the best target = intercept + slope * answer: 1 and 0 where calibrated."""
    middle, centre = float(answers.mean()), float(target.mean())
    said, true = answers - middle, target - centre
    parts = np.column_stack([np.ones(len(said)), said, true, said * said, said * true])

    def combine(sums: Numbers) -> Numbers:
        rows, said_sum, true_sum, squares, products = sums.T
        slope = _ratio(products - said_sum * true_sum / rows, squares - said_sum**2 / rows)
        away = (true_sum - slope * said_sum) / rows
        return np.column_stack([slope, centre + away - slope * middle])

    return Additive(("calibration_slope", "calibration_intercept"), parts, combine)


# --- arithmetic ---


def _block_sums(parts: Any, plan: Resampling) -> Any:
    """Sums of sparse parts over blocks, (k, blocks)."""
    from scipy.sparse import csr_matrix

    if plan.blocks == plan.rows:
        return parts.T.tocsr()
    cells = (np.ones(plan.rows), (plan.block_of_row, np.arange(plan.rows)))
    return (csr_matrix(cells, shape=(plan.blocks, plan.rows)) @ parts).T.tocsr()


def _auc(ones: NDArray[np.float32], zeros: NDArray[np.float32]) -> Numbers:
    """From the drawn rows of each distinct score, the lowest first, (draws, scores)."""
    below = np.cumsum(zeros, axis=1)
    wins = np.einsum("ij,ij->i", ones, below, dtype=np.float64)
    wins -= 0.5 * np.einsum("ij,ij->i", ones, zeros, dtype=np.float64)
    return _ratio(wins, ones.sum(axis=1, dtype=np.float64) * zeros.sum(axis=1, dtype=np.float64))


def _average_precision(ones: NDArray[np.float32], rows: NDArray[np.float32]) -> Numbers:
    found, said = (np.cumsum(part[:, ::-1], axis=1) for part in (ones, rows))
    precision = np.divide(found, said, out=np.zeros_like(found), where=said > 0)
    area = np.einsum("ij,ij->i", ones[:, ::-1], precision, dtype=np.float64)
    return _ratio(area, found[:, -1].astype(np.float64))


def _ratio(above: Array, below: Array) -> Numbers:
    """A quotient; nan where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below != 0, above / below, math.nan), np.float64)


def _mean_of_known(figures: Sequence[Numbers] | Numbers) -> Numbers:
    """The mean over the first axis, of those that are defined."""
    array = np.asarray(figures)
    known = np.isfinite(array)
    return _ratio(np.where(known, array, 0).sum(axis=0), known.sum(axis=0))
