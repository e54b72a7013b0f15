"""Cross-validation: the loss of a network on rows that it did not see, from several trainings that see others.

One validation part says little where rows are few: its loss is as much of the part as of the network. Every fold
learns preparation and network anew, on its training rows alone; rows of its own stop it, and others judge it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.rows import Rows
from models.split import (
    Positions,
    group_numbers,
    split_at_random,
    split_by_group,
    split_in_time,
    split_stratified,
)

if TYPE_CHECKING:
    import pandas as pd

    from models.recipe import FitConfig, Recipe
    from models.schema import Schema

Kind = Literal["plain", "stratified", "group", "forward"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RowLosses = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]

STOPS = 0.15  # share of a fold's training rows that stop it, as in a first training


@dataclass(frozen=True, eq=False)
class Fold:
    """Places of the rows of one training, ascending; no row is in two of them.

    train: teach it. stop: choose its best epoch. validation: judge it, and nothing else.
    """

    train: Positions
    stop: Positions
    validation: Positions


@dataclass(frozen=True)
class FoldLoss:
    """The losses of one fold on its validation rows: of the network, the best constant and a simple model."""

    trained_on: int
    judged_on: int
    epochs: int
    loss: float
    loss_constant: float
    loss_simple: float


@dataclass(frozen=True)
class CrossValidation:
    """The losses of all folds.

    >>> two = CrossValidation((FoldLoss(8, 2, 3, 1.0, 4.0, 2.0), FoldLoss(8, 2, 5, 3.0, 4.0, 2.0)))
    >>> two.mean, two.standard_error
    (2.0, 1.0)
    """

    folds: tuple[FoldLoss, ...]

    @property
    def mean(self) -> float:
        """Mean of the folds' losses; nan without folds."""
        return _mean([fold.loss for fold in self.folds])

    @property
    def standard_error(self) -> float:
        """Of the mean, from the spread between folds; nan of fewer than two.

        Folds share training rows, so that the true one is larger: no unbiased estimate exists (Bengio and
        Grandvalet 2004).
        """
        return _standard_error([fold.loss for fold in self.folds])

    @property
    def gain(self) -> float:
        """By how much the network's loss is lower than the simple model's, mean over the folds."""
        return _mean([fold.loss_simple - fold.loss for fold in self.folds])

    @property
    def gain_error(self) -> float:
        """The standard error of `gain`; both models are judged on the same rows, so that it is small."""
        return _standard_error([fold.loss_simple - fold.loss for fold in self.folds])


def plain_folds(rows: int, count: int, *, seed: int) -> tuple[Fold, ...]:
    """Each row judges one of `count` trainings, drawn at random, and teaches the others.

    >>> sorted(row for fold in plain_folds(5, 2, seed=0) for row in fold.validation.tolist())
    [0, 1, 2, 3, 4]
    """
    order = np.random.default_rng(seed).permutation(rows)
    _check(rows, count)
    return _folds_of([np.sort(part) for part in np.array_split(order, count)], rows, seed)


def stratified_folds(strata: Any, count: int, *, seed: int) -> tuple[Fold, ...]:
    """Like plain ones, with the same share of every stratum in each fold, to within a row."""
    strata = np.asarray(strata)
    _check(len(strata), count)
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    in_strata = shuffled[np.argsort(strata[shuffled], kind="stable")]
    parts = [np.sort(in_strata[number::count]) for number in range(count)]
    return _folds_of(parts, len(strata), seed, strata=strata)


def group_folds(groups: Any, count: int, *, seed: int) -> tuple[Fold, ...]:
    """Like plain ones, with whole groups: each goes where fewest rows are, the largest first.

    groups: one value a row; a row without one is a group of its own.
    """
    numbers = group_numbers(groups)
    sizes = np.bincount(numbers)
    _check(len(sizes), count, "groups")
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    fold_of, filled = np.zeros(len(sizes), np.int64), np.zeros(count, np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        least = int(np.argmin(filled))
        fold_of[group], filled[least] = least, filled[least] + sizes[group]
    parts = [np.flatnonzero(fold_of[numbers] == number) for number in range(count)]
    return _folds_of(parts, len(numbers), seed, groups=numbers)


def forward_folds(
    rows: int, count: int, *, gap: int = 0, times: NDArray[Any] | None = None, delay: Any = None
) -> tuple[Fold, ...]:
    """Forward chaining, for rows in the order of time: each training is judged on the rows that come after it.

    The newest rows are cut into `count` parts of rows // (count + 1); each judges a training on all rows before it.
    gap: rows left out between the two. times, delay: datetime64 (rows,) and timedelta64: the truth of a row is known
    so long after it, so rows from less than `delay` before the first that judges teach nothing, either.

    >>> [(fold.train.tolist(), fold.stop.tolist(), fold.validation.tolist()) for fold in forward_folds(6, 2, gap=0)]
    [([0], [1], [2, 3]), ([0, 1, 2], [3], [4, 5])]
    """
    _check(rows, count)
    size = rows // (count + 1)
    if size < 1:
        raise ValueError(
            f"{rows} rows cannot be cut into {count + 1} parts in time; expected more rows or fewer folds."
        )
    return tuple(
        _forward(np.arange(rows), begin, begin + size, gap, times, delay)
        for begin in range(rows - count * size, rows, size)
    )


@dataclass(frozen=True)
class Judge:
    """What all are judged by: a loss in float64, of targets (n,) and answers (n, outputs).

    loss: its name. of_chances: the same of answers that are probabilities whatever the network answers, such as those
    of a simple model. parameters: whether the name does not say all of it.
    """

    loss: str
    row_losses: RowLosses
    of_chances: RowLosses
    parameters: bool = False


def cross_validate(
    recipe: Recipe,
    frame: pd.DataFrame,
    learn: Callable[[pd.DataFrame], Schema],
    folds: Sequence[Fold],
    config: Callable[[Schema], FitConfig],
    judge: Judge,
    *,
    on_fold: Callable[[int, FoldLoss], None] | None = None,
) -> CrossValidation:
    """Trains a network for each fold and judges it on rows that neither taught nor stopped it.

    frame: inputs and target. learn: the schema of the rows it gets, called with a fold's training rows only.
    config: how long and in which steps. on_fold: told of every fold when it is done.
    Raises ValueError, with the number of the fold, where a fold cannot be learned from.
    """
    losses = []
    for number, fold in enumerate(folds):
        try:
            losses.append(_fold_loss(recipe, frame, learn, fold, config, judge))
        except ValueError as problem:
            raise ValueError(f"fold {number + 1} of {len(folds)}: {problem}") from problem
        if on_fold is not None:
            on_fold(number, losses[-1])
    return CrossValidation(tuple(losses))


def _fold_loss(
    recipe: Recipe,
    frame: pd.DataFrame,
    learn: Callable[[pd.DataFrame], Schema],
    fold: Fold,
    config: Callable[[Schema], FitConfig],
    judge: Judge,
) -> FoldLoss:
    from models.fit import fit, predict

    schema = learn(frame.iloc[fold.train].reset_index(drop=True))
    train, stop, judged = (_rows(frame, part, schema) for part in (fold.train, fold.stop, fold.validation))
    if not len(judged):
        raise ValueError("none of its validation rows has a target; expected at least one.")
    settings = config(schema)
    fitted = fit(recipe, schema, train, stop, settings)
    answers = predict(fitted.model, judged.inputs).astype(np.float64)
    constant, simple = _rivals(schema, train, judged, judge, settings.seed)
    loss = float(np.mean(judge.row_losses(judged.targets.astype(np.float64), answers)))
    return FoldLoss(len(train), len(judged), len(fitted.history.epochs), loss, constant, simple)


def _rivals(schema: Schema, train: Rows, judged: Rows, judge: Judge, seed: int) -> tuple[float, float]:
    """The losses of the best constant and of a simple model that know the same rows."""
    from models.baselines import best_constant, fit_simple

    task, outputs = schema.target.task, schema.outputs
    costs = judge.of_chances if judge.parameters else None
    constant = best_constant(task, judge.loss, train.targets, outputs=outputs, costs=costs)
    simple = fit_simple(task, train.inputs, train.targets, seed=seed, outputs=outputs)
    target = judged.targets.astype(np.float64)
    of_constant, of_simple = (
        float(np.mean(judge.of_chances(target, model.predict(judged.inputs).astype(np.float64))))
        for model in (constant, simple)
    )
    return of_constant, of_simple


def _rows(frame: pd.DataFrame, places: Positions, schema: Schema) -> Rows:
    """The rows with a target, prepared."""
    part = frame.iloc[places].reset_index(drop=True)
    part = part[part[schema.target.name].notna().to_numpy()]
    return Rows(schema.inputs(part), schema.targets(part))


def _folds_of(
    parts: list[NDArray[Any]], rows: int, seed: int, *, strata: Any = None, groups: Any = None
) -> tuple[Fold, ...]:
    """Folds that are judged on these parts; what stops each is drawn from the rest in the same way."""
    folds = []
    for number, validation in enumerate(parts):
        rest = np.setdiff1d(np.arange(rows), validation)
        drawn = (seed + number) % 2**31
        if groups is not None and len(np.unique(groups[rest])) > 1:
            split = split_by_group(groups[rest], seed=drawn, validation=STOPS)
        elif strata is not None:
            split = split_stratified(strata[rest], seed=drawn, validation=STOPS)
        else:
            split = split_at_random(len(rest), seed=drawn, validation=STOPS)
        folds.append(Fold(rest[split.train], rest[split.validation], validation.astype(np.int64)))
    return tuple(folds)


def _forward(
    order: Positions, begin: int, end: int, gap: int, times: NDArray[Any] | None, delay: Any
) -> Fold:
    before = order[: max(0, begin - gap)]
    if times is not None and delay is not None:
        before = before[times[before] + delay <= times[begin]]
    if len(before) < 2:
        raise ValueError(
            f"{len(before)} rows are known before row {begin}, the first that judges; expected at least 2. Take fewer "
            "folds or a shorter gap."
        )
    split = split_in_time(len(before), validation=STOPS)
    return Fold(before[split.train], before[split.validation], order[begin:end])


def _check(things: int, count: int, what: str = "rows") -> None:
    if count < 2 or things < count:
        raise ValueError(
            f"{count} folds of {things} {what}: expected from 2 folds to as many as there are {what}."
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _standard_error(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
