"""Other models on the rows that a version is judged on: what it has to be better than to be worth its trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.baselines import (
    MOST_KERNEL_ROWS,
    MOST_ROWS,
    MOST_TREE_ROWS,
    best_constant,
    fit_forest,
    fit_last_values,
    fit_simple,
    fit_svm,
    fit_trees,
)
from models.evaluation import Answers
from models.losses import wanted

if TYPE_CHECKING:
    from models.schema import Task
    from pipelines.learning import Examples
    from pipelines.objective import Objective

Array = npt.NDArray[Any]
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Match:
    """What rivals learn from and are judged on, in the order of time.

    before: times and targets of all rows before the first that is judged, those that taught and those that did not.
    delay: of the labels. scores: whether the network answers scores, where others give chances.
    """

    task: Task
    goal: Objective
    outputs: int
    learn: Examples
    judge: Examples
    before: tuple[Array, Array]
    delay: np.timedelta64
    seed: int
    scores: bool = False


@dataclass(frozen=True)
class Rivals:
    """The answers of the rivals by what they are called, and what was left out, in words."""

    answers: Mapping[str, Answers]
    notices: tuple[str, ...]


def rivals(names: Sequence[str], match: Match, say: Say) -> Rivals:
    """Each rival, fitted to the rows that taught the version, on the rows that it is judged on.

    names: keys of `_MAKERS`, those that `evaluate.baselines` takes. A rival that cannot be had on these rows is left
    out, which is said.
    """
    taught, judged = match.learn.inputs, match.judge.inputs
    found: dict[str, Answers] = {}
    notices = []
    for name in names:
        say(f"fitting {_TITLES[name]} to {len(match.learn):,} rows")
        try:
            title, answers = _MAKERS[name](match, taught, judged)
        except ValueError as problem:
            notices.append(f"{_TITLES[name]} was left out: {problem}")
            continue
        found[title] = Answers(answers, _losses(match)(match.judge.targets, answers))
    notices += _sampled(names, len(match.learn))
    return Rivals(found, tuple(notices))


def losses_of_chances(
    goal: Objective, task: Task, *, scores: bool = False
) -> Callable[[Array, Array], Array]:
    """The project's loss of answers that are probabilities, or quantities: what rivals give.

    scores: whether the network answers scores. Where the loss wants them, those of a rival are 2 p - 1, which lies
    between the -1 and 1 that a hinge asks for.
    """
    losses = goal.row_losses_of_chances
    stretched = scores and task == "binary" and goal.user_loss is None
    stretched = stretched and wanted(goal.name, goal.parameters) == "scores"

    def of_rows(targets: Array, answers: Array) -> Array:
        numbers = np.asarray(answers, np.float64)
        return losses(np.asarray(targets, np.float64), 2 * numbers - 1 if stretched else numbers)

    return of_rows


_TITLES: Mapping[str, str] = {
    "constant": "the best constant",
    "last": "the last known values",
    "linear": "the linear model",
    "trees": "the boosted trees",
    "forest": "the random forest",
    "svm": "the support vector machine",
}
_LIMITS = {"linear": MOST_ROWS, "trees": MOST_TREE_ROWS, "forest": MOST_ROWS, "svm": MOST_KERNEL_ROWS}


def _losses(match: Match) -> Callable[[Array, Array], Array]:
    return losses_of_chances(match.goal, match.task, scores=match.scores)


def _sampled(names: Sequence[str], rows: int) -> list[str]:
    """Who learned from fewer rows than there are."""
    told = [f"{_TITLES[name]} from {_LIMITS[name]:,}" for name in names if rows > _LIMITS.get(name, rows)]
    return [f"of {rows:,} rows that taught the version, {', '.join(told)} drawn at random"] if told else []


def _constant(match: Match, taught: Array, judged: Array) -> tuple[str, Array]:
    goal = match.goal
    plain = not goal.parameters and goal.user_loss is None
    costs = None if plain else _losses(match)
    model = best_constant(match.task, goal.name, match.learn.targets, outputs=match.outputs, costs=costs)
    return _TITLES["constant"], model.predict(judged)


def _last(match: Match, taught: Array, judged: Array) -> tuple[str, Array]:
    learn, judge = match.learn, match.judge
    model = fit_last_values(
        match.task, match.goal.name, learn.times, learn.targets, delay=match.delay, outputs=match.outputs
    )
    times, targets = (
        np.concatenate(pair) for pair in zip(match.before, (judge.times, judge.targets), strict=True)
    )
    answers = model.answer(judge.times, times, targets)
    title = (
        "the last known value" if model.count == 1 else f"the mean of the last {model.count:,} known values"
    )
    return title, answers


def _linear(match: Match, taught: Array, judged: Array) -> tuple[str, Array]:
    model = fit_simple(match.task, taught, match.learn.targets, outputs=match.outputs, seed=match.seed)
    return _TITLES["linear"], model.predict(judged)


def _trees(match: Match, taught: Array, judged: Array) -> tuple[str, Array]:
    model = fit_trees(
        match.task, taught, match.learn.targets, loss=match.goal.name, outputs=match.outputs, seed=match.seed
    )
    return _TITLES["trees"], model.predict(judged)


def _forest(match: Match, taught: Array, judged: Array) -> tuple[str, Array]:
    model = fit_forest(match.task, taught, match.learn.targets, outputs=match.outputs, seed=match.seed)
    return _TITLES["forest"], model.predict(judged)


def _svm(match: Match, taught: Array, judged: Array) -> tuple[str, Array]:
    model = fit_svm(
        match.task, taught, match.learn.targets, loss=match.goal.name, outputs=match.outputs, seed=match.seed
    )
    return _TITLES["svm"], model.predict(judged)


_MAKERS: Mapping[str, Callable[[Match, Array, Array], tuple[str, Array]]] = {
    "constant": _constant,
    "last": _last,
    "linear": _linear,
    "trees": _trees,
    "forest": _forest,
    "svm": _svm,
}
