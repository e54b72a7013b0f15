"""How good predictions are, on rows whose truth is known, and how two models compare on the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.intervals import Resampling
from models.losses import row_losses
from models.metrics import (
    BINS,
    DIRECTIONS,
    HIGHER,
    LOWER,
    Function,
    Metric,
    are_chances,
    equal_bins,
    mean_of,
    metrics_for,
    own_metric,
)
from models.wording import in_words, written

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


# --- with intervals, and beside other models ---


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of rows, and what it costs: answers (n, outputs), losses (n,)."""

    answers: Array
    losses: Array


@dataclass(frozen=True)
class Figure:
    """A figure with the ends of its interval; nan where undefined."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is found among the others."""

    name: str
    rows: int
    precision: Figure
    recall: Figure
    f1: Figure


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows with about equal answers: what was said of them on average, and what was true.

    For several classes: how sure the answer was, and how often it was right.
    """

    rows: int
    said: float
    true: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Scores:
    """One model on some rows: `loss` first among the figures, then those that fit the task."""

    rows: int
    figures: tuple[Figure, ...]
    classes: tuple[ClassFigures, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()

    def figure(self, name: str) -> Figure:
        """One figure; nan where there is none of this name."""
        return next((one for one in self.figures if one.name == name), Figure(name, math.nan))

    @property
    def loss(self) -> Figure:
        return self.figure("loss")


@dataclass(frozen=True)
class Difference:
    """A figure of two models on the same rows. low, high: of the first one's minus the other's.

    direction: 1 where more is better, -1 where less is, 0 where neither is.
    """

    name: str
    one: float
    other: float
    low: float
    high: float
    direction: int

    @property
    def value(self) -> float:
        return self.one - self.other

    @property
    def better(self) -> bool:
        """Whether the first is better beyond chance."""
        return self.direction * self.low > 0 if self.direction > 0 else self.direction * self.high > 0

    @property
    def worse(self) -> bool:
        """Whether the first is worse beyond chance."""
        return self.direction * self.high < 0 if self.direction > 0 else self.direction * self.low < 0


@dataclass(frozen=True)
class Contest:
    """Two models on the same rows, figure by figure, the loss first."""

    one: str
    other: str
    differences: tuple[Difference, ...]

    @property
    def loss(self) -> Difference:
        return self.differences[0]

    @property
    def verdict(self) -> str:
        """Which of the two has the lower loss, in words and numbers."""
        return _verdict(self)

    @property
    def disagreement(self) -> str | None:
        """The figures that say the opposite of the loss, in words and numbers; None where none does."""
        return _disagreement(self)


@dataclass(frozen=True)
class Standing:
    """Models on the same rows. scores: of each, by name. contests: of the first against each other."""

    scores: Mapping[str, Scores]
    contests: tuple[Contest, ...]


def score_models(
    task: Task,
    target: Array,
    models: Mapping[str, Answers],
    plan: Resampling,
    *,
    classes: Sequence[str] = (),
    own: Mapping[str, Function] | None = None,
) -> Standing:
    """All figures of all models on the same draws of the same rows; the first model is set against the others.

    target: (n,), known in every row. classes: their names. own: further figures, functions of targets (n,) and
    answers (n, outputs) that give one number, or one a row. Of classes one by one and of calibration only the
    first model is told.

    >>> target = np.array([0.0, 1.0] * 20)
    >>> sure, mean = np.where(target > 0, 0.9, 0.1)[:, None], np.full((40, 1), 0.5)
    >>> cost = {"sure": np.full(40, 0.01), "mean": np.full(40, 0.25)}
    >>> models = {"sure": Answers(sure, cost["sure"]), "mean": Answers(mean, cost["mean"])}
    >>> print(score_models("binary", target, models, Resampling(40)).contests[0].verdict)
    sure beats mean: loss 0.01 against 0.25, lower by 0.24 (at least 0.24)
    """
    metrics = {name: _all_metrics(task, target, model, own or {}) for name, model in models.items()}
    tables = {name: _draw(found, plan) for name, found in metrics.items()}
    first = next(iter(models))
    labels = classes or [str(one) for one in range(models[first].answers.shape[1])]
    scores = {name: _scores(table, plan) for name, table in tables.items()}
    scores[first] = replace(
        scores[first],
        classes=_class_figures(tables[first], target, labels, plan) if task == "multiclass" else (),
        reliability=reliability(task, target, models[first].answers, plan),
    )
    directions = DIRECTIONS | {name: _direction(function) for name, function in (own or {}).items()}
    contests = tuple(_contest(first, name, tables, plan, directions) for name in list(models)[1:])
    return Standing(scores, contests)


def plain_figures(
    task: Task, target: Array, model: Answers, *, own: Mapping[str, Function] | None = None
) -> dict[str, float]:
    """Every figure of one model by name, the loss first, without intervals; no figures of classes one by one.

    >>> target, answers = np.array([0.0, 1.0]), np.array([[0.25], [0.75]])
    >>> plain_figures("binary", target, Answers(answers, np.array([0.1, 0.3])))["loss"]
    0.2
    """
    metrics = _all_metrics(task, target, model, own or {})
    table = _draw(metrics, Resampling(len(target), resamples=0))
    return {name: value for name, value in table.values.items() if "[" not in name}


def reliability(
    task: Task, target: Array, answers: Array, plan: Resampling, *, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """What was said and what was true, over bins of about equal numbers of rows; () where nothing says a chance.

    The interval is that of what was true.
    """
    if task != "regression" and not are_chances(answers):
        return ()
    said, true = _said_and_true(task, target, answers)
    places = equal_bins(said, bins)
    count = int(places.max(initial=-1)) + 1
    inside = (places[:, None] == np.arange(count)).astype(np.float64)
    sums = plan.sums(np.column_stack([inside, inside * true[:, None]]))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = sums[:, count:] / sums[:, :count]
    found = []
    for place in range(count):
        here = places == place
        interval = plan.interval(float(true[here].mean()), shares[:, place])
        mean = float(said[here].mean())
        found.append(ReliabilityBin(int(here.sum()), mean, interval.value, interval.low, interval.high))
    return tuple(found)


def as_chances(task: Task, answers: Array, *, logits: bool) -> Array:
    """Answers as people read them: chances for classes, also where the network gives their logits.

    >>> as_chances("binary", np.array([[0.0]]), logits=True)
    array([[0.5]])
    """
    numbers = np.asarray(answers, np.float64)
    if not logits or task == "regression":
        return numbers
    if task == "binary":
        return np.asarray(np.exp(-np.logaddexp(0.0, -numbers)))
    powers = np.exp(numbers - numbers.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def calibration_limit(
    task: Task, target: Array, answers: Array, plan: Resampling, *, bins: int = BINS
) -> float:
    """The calibration error that a network with these chances, all of them true, would stay below by luck.

    That is, in `plan.confidence` of all cases. Luck is what the draws of the rows show around their mean, so that
    neighbours that go together count once: the test of Broecker and Smith, Increasing the Reliability of Reliability
    Diagrams, 2007, for rows that are no independent witnesses. nan where nothing says a chance.
    """
    if task == "regression" or not are_chances(answers):
        return math.nan
    said, true = _said_and_true(task, target, answers)
    places = equal_bins(said, bins)
    left = np.zeros((len(said), int(places.max(initial=0)) + 1))
    left[np.arange(len(said)), places] = true - said
    luck = np.abs(plan.sums(left) - left.sum(axis=0)).sum(axis=1) / max(len(said), 1)
    return float(np.quantile(luck, plan.confidence)) if len(luck) else math.nan


def _said_and_true(task: Task, target: Array, answers: Array) -> tuple[Array, Array]:
    if task == "multiclass":
        return answers.max(axis=1), (answers.argmax(axis=1) == target).astype(np.float64)
    return answers[:, 0].astype(np.float64), target.astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Table:
    """values: by name. draws: (draws, names)."""

    values: Mapping[str, float]
    draws: Array

    def of(self, name: str) -> Array:
        return self.draws[:, list(self.values).index(name)]


def _all_metrics(task: Task, target: Array, model: Answers, own: Mapping[str, Function]) -> list[Metric]:
    found = [mean_of("loss", model.losses), *metrics_for(task, target, model.answers)]
    return found + [own_metric(name, function, target, model.answers) for name, function in own.items()]


def _draw(metrics: Sequence[Metric], plan: Resampling) -> _Table:
    """Every figure of all rows, and in each draw of the rows."""
    ready = [metric.ready(plan) for metric in metrics]
    whole = np.hstack([one(np.ones((1, plan.blocks), np.float32)) for one in ready])
    drawn = [np.hstack([one(counts) for one in ready]) for counts in plan.counts()]
    names = [name for metric in metrics for name in metric.names]
    return _Table(dict(zip(names, whole[0].tolist(), strict=True)), np.vstack(drawn or [whole[:0]]))


def _figure(name: str, table: _Table, plan: Resampling, shown: str | None = None) -> Figure:
    interval = plan.interval(table.values[name], table.of(name))
    low = interval.low
    if name == "calibration_error":  # each draw adds luck of its own, so that draws lie above the figure
        low = max(0.0, 2 * interval.value - interval.high)
        return Figure(name, interval.value, low, max(interval.value, 2 * interval.value - interval.low))
    return Figure(shown or name, interval.value, low, interval.high)


def _scores(table: _Table, plan: Resampling) -> Scores:
    names = [name for name in table.values if "[" not in name]
    return Scores(plan.rows, tuple(_figure(name, table, plan) for name in names))


def _class_figures(
    table: _Table, target: Array, labels: Sequence[str], plan: Resampling
) -> tuple[ClassFigures, ...]:
    counts = np.bincount(target.astype(np.int64), minlength=len(labels))
    return tuple(
        ClassFigures(
            label,
            int(counts[place]),
            *(_figure(f"{name}[{place}]", table, plan, name) for name in ("precision", "recall", "f1")),
        )
        for place, label in enumerate(labels)
    )


def _direction(function: Function) -> int:
    """Of a user's own figure, where the function says: `function.higher_is_better = True`."""
    said = getattr(function, "higher_is_better", None)
    return 0 if said is None else HIGHER if said else LOWER


def _contest(
    one: str, other: str, tables: Mapping[str, _Table], plan: Resampling, directions: Mapping[str, int]
) -> Contest:
    here, there = tables[one], tables[other]
    found = []
    for name in here.values:
        if name not in there.values or "[" in name:
            continue
        interval = plan.interval(here.values[name] - there.values[name], here.of(name) - there.of(name))
        values = (here.values[name], there.values[name], interval.low, interval.high)
        found.append(Difference(name, *values, directions.get(name, 0)))
    return Contest(one, other, tuple(found))


# --- in words ---

_WHY = {
    "order": "areas under curves look at the order of the answers alone, the loss also at how high they are: look at "
    "the calibration",
    "decision": "decisions count on which side of the threshold an answer falls, the loss also how sure it is: look at "
    "the calibration, and at where the threshold should be",
    "size": "large errors weigh differently, so a few rows may decide one of the two",
    "own": "decide by the one that matters to those who use the answers",
}
# the figures that are set against the loss; the others follow from these, or trade with each other
_KINDS = {
    **dict.fromkeys(("accuracy", "f1", "f1_macro"), "decision"),
    **dict.fromkeys(("auc", "average_precision"), "order"),
    **dict.fromkeys(("mse", "mae", "r2"), "size"),
}


def _verdict(contest: Contest) -> str:
    loss = contest.loss
    said = f"loss {written(loss.one)} against {written(loss.other)}"
    if loss.better:
        less = f"lower by {written(-loss.value, 2)} (at least {written(-loss.high, 2)})"
        return f"{contest.one} beats {contest.other}: {said}, {less}"
    if loss.worse:
        more = f"higher by {written(loss.value, 2)} (at least {written(loss.low, 2)})"
        return f"{contest.one} does not beat {contest.other}: {said}, {more}"
    if not math.isfinite(loss.low):
        return f"{contest.one} does not beat {contest.other}: {said}, on too few rows to tell"
    return (
        f"{contest.one} does not beat {contest.other}: {said}, a difference between {written(loss.low, 2)} and "
        f"{written(loss.high, 2)} that may be chance"
    )


def _disagreement(contest: Contest) -> str | None:
    loss = contest.loss
    opposed = [
        figure
        for figure in contest.differences[1:]
        if _kind(figure) and ((loss.better and figure.worse) or (loss.worse and figure.better))
    ]
    if not opposed:
        return None
    sides = ("better", "worse") if loss.better else ("worse", "better")
    others = ", ".join(
        f"{in_words(one.name)} ({written(one.one)} against {written(one.other)})" for one in opposed
    )
    reasons = dict.fromkeys(_WHY[kind] for one in opposed if (kind := _kind(one)))
    return (
        f"{contest.one} against {contest.other}: {sides[0]} by its loss ({written(loss.one)} against "
        f"{written(loss.other)}), {sides[1]} by {others}; {'; '.join(reasons)}"
    )


def _kind(figure: Difference) -> str | None:
    return _KINDS.get(figure.name, "own" if ":" in figure.name else None)
