"""Too simple or too flexible: what of a loss stays whatever rows are learned from, and what comes from their choice.

The same training is repeated on rows drawn again. What all the trained models have in common is the systematic
part: noise that nobody can predict, and bias. By how much each strays from that is the variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.intervals import Interval, Resampling, mean_intervals
from models.losses import canonical
from models.metrics import are_chances
from models.wording import written

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.schema import Task

Array = NDArray[Any]
Numbers = NDArray[np.float64]

FITS = 5  # repeated trainings; with fewer the variance is hardly known
LEAST_FITS = 2
MATTERS = 0.05  # share of the loss from which a part is worth a remedy, the tolerance of the loss alarm
ELSEWHERE = 0.5  # share by which the systematic part exceeds the loss of learned rows, from which it is told
_TINY = 1e-7  # the smallest chance, as the losses cut it


@dataclass(frozen=True)
class BiasVariance:
    """The loss of repeated fits on rows that none of them saw, in two parts; all of them means over the same rows.

    loss: of one fit, on average. systematic: of what all fits have in common: noise and bias. variance: what each
    adds by straying from it; both add up to the loss. seen: mean loss on the rows that were learned from. least:
    the lowest loss of any model on these rows, network or baseline, a ceiling for the noise; nan without one.
    kind: which decomposition; its source is told by `decompose`. rows: learned from by each fit.
    """

    fits: int
    rows: int
    kind: str
    loss: Interval
    systematic: Interval
    variance: Interval
    seen: float
    least: float = math.nan
    least_name: str = ""

    @property
    def too_flexible(self) -> bool:
        """Whether the choice of rows costs more than MATTERS of the loss, beyond chance."""
        return self.variance.low > MATTERS * abs(self.loss.value)

    @property
    def too_simple(self) -> bool:
        """Whether what all fits have in common is worse by more than MATTERS than what another model reaches."""
        return self.systematic.low > self.least + MATTERS * abs(self.least)

    @property
    def verdict(self) -> str:
        """What that says of the network, and what to try, in words and numbers."""
        return _verdict(self)


@dataclass(frozen=True, eq=False)
class RowParts:
    """The parts of every row, (n,) each: loss = systematic + variance."""

    kind: str
    loss: Numbers
    systematic: Numbers
    variance: Numbers


def decompose(
    task: Task,
    loss: str,
    target: Array,
    answers: Array,
    row_losses: Callable[[Array, Array], Array],
) -> RowParts:
    """The loss of repeated fits, row by row, in a systematic part and variance.

    target: (n,). answers: (fits, n, outputs) of two fits or more. loss: its name. row_losses: (target, answers
    (n, outputs)) to (n,).

    Squared error: around the mean answer (Geman, Bienenstock and Doursat, Neural Networks and the Bias/Variance
    Dilemma, 1992). Log loss: around the normalised geometric mean of the chances, the variance is a mean
    Kullback-Leibler divergence (Heskes, Bias/Variance Decompositions for Likelihood-Based Estimators, 1998). Any
    other loss: what the mean answer would cost, and the rest as the effect of variance (James, Variance and Bias
    for General Loss Functions, 2003). The first two variances are multiplied by fits / (fits - 1), for a few fits
    lie closer to their own mean than to that of all possible ones: exact for squared error, nearly so for log loss.

    >>> twice = np.array([[[0.0]], [[2.0]]])
    >>> parts = decompose("regression", "mse", np.array([3.0]), twice, lambda t, a: (t - a[:, 0]) ** 2)
    >>> parts.loss.tolist(), parts.systematic.tolist(), parts.variance.tolist()
    ([5.0], [3.0], [2.0])
    """
    fits = len(answers)
    if fits < LEAST_FITS:
        raise ValueError(
            f"{fits} fits came; expected at least {LEAST_FITS}, or nothing can be said of variance."
        )
    mean_loss = np.mean([row_losses(target, one) for one in answers], axis=0)
    name = _canonical(loss)
    more = fits / (fits - 1)
    if name in _LOG_LOSSES and all(are_chances(one) for one in answers):
        kind, variance = "log loss", more * _divergence(answers)
    elif name == "mean_squared_error":
        kind, variance = "squared error", more * np.asarray(answers.var(axis=0).mean(axis=1), np.float64)
    else:
        kind, variance = "effect of variance", mean_loss - row_losses(target, answers.mean(axis=0))
    return RowParts(kind, mean_loss, mean_loss - variance, variance)


def bias_variance(
    parts: RowParts,
    plan: Resampling,
    *,
    fits: int,
    rows: int,
    seen: float,
    least: float = math.nan,
    least_name: str = "",
) -> BiasVariance:
    """The means of the parts over the rows, with intervals over the rows. For the arguments see the record."""
    columns = np.column_stack([parts.loss, parts.systematic, parts.variance])
    loss, systematic, variance = mean_intervals(columns, plan)
    return BiasVariance(fits, rows, parts.kind, loss, systematic, variance, seen, least, least_name)


@dataclass(frozen=True)
class DecisionParts:
    """The share of wrong decisions of repeated fits: bias + variance_unbiased - variance_biased.

    bias: share of rows on which most fits are wrong. variance_unbiased: wrong decisions that the choice of rows
    adds where most fits are right; variance_biased: those that it takes away where most are wrong.
    """

    error: float
    bias: float
    variance_unbiased: float
    variance_biased: float


def decompose_decisions(target: Array, decisions: Sequence[Array] | Array) -> DecisionParts:
    """The share of wrong decisions in parts: Domingos, A Unified Bias-Variance Decomposition, 2000.

    target: positions of classes (n,), without noise of their own taken apart. decisions: (fits, n) positions.

    >>> decompose_decisions(np.array([1, 1]), [[1, 0], [1, 0], [0, 1]])
    DecisionParts(error=0.5, bias=0.5, variance_unbiased=0.166..., variance_biased=0.166...)
    """
    chosen = np.asarray(decisions, np.int64)
    classes = int(max(chosen.max(initial=0), np.max(target, initial=0))) + 1
    votes = np.stack([np.sum(chosen == one, axis=0) for one in range(classes)])
    main = votes.argmax(axis=0)
    wrong = np.mean(chosen != np.asarray(target), axis=0)
    biased = main != target
    return DecisionParts(
        float(wrong.mean()),
        float(biased.mean()),
        float(np.where(biased, 0.0, wrong).mean()),
        float(np.where(biased, 1.0 - wrong, 0.0).mean()),
    )


_LOG_LOSSES = ("binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy")


def _canonical(loss: str) -> str:
    try:
        return canonical(loss)
    except ValueError:  # a user's own
        return loss


def _divergence(answers: Array) -> Numbers:
    """The mean divergence of the fits from their normalised geometric mean, which is minus the log of its sum."""
    chances = np.asarray(answers, np.float64)
    if chances.shape[2] == 1:
        chances = np.concatenate([1 - chances, chances], axis=2)
    centre = np.log(np.clip(chances, _TINY, 1.0)).mean(axis=0)
    highest = centre.max(axis=1)
    return np.asarray(-(highest + np.log(np.exp(centre - highest[:, None]).sum(axis=1))), np.float64)


def _verdict(found: BiasVariance) -> str:
    share = found.variance.value / found.loss.value if found.loss.value else math.nan
    parts = (
        f"loss {written(found.loss.value)} on unseen rows (on learned ones {written(found.seen)}): "
        f"{written(found.systematic.value)} whatever rows are learned from, {written(found.variance.value, 2)} from "
        f"their choice ({share:.0%})"
    )
    beaten = (
        f"the best of all models, {found.least_name}, has {written(found.least)}" if found.least_name else ""
    )
    if found.too_flexible and found.too_simple:
        advice = (
            f"too simple in one place and too flexible in another: {beaten}; look at the inputs it is given"
        )
    elif found.too_flexible:
        mean_of_all = written(found.systematic.value + found.variance.value / found.fits)
        advice = (
            "too flexible for so many rows: more rows, more dropout or weight decay, fewer units, or the mean of "
            f"{found.fits} networks, which would cost about {mean_of_all}"
        )
    elif found.too_simple:
        advice = f"too simple: {beaten} on the same rows; more units or layers, less dropout, more epochs"
    else:
        advice = "neither too simple nor too flexible, as far as these fits can tell"
        advice += f": {beaten}" if beaten else ""
    return f"{advice}. {parts}{_elsewhere(found)}"


def _elsewhere(found: BiasVariance) -> str:
    """What is neither: rows of another time or kind than those that were learned from."""
    if not found.systematic.low > (1 + ELSEWHERE) * abs(found.seen):
        return ""
    return (
        "; most of the distance to the learned rows is neither: they were learned by heart, or the unseen rows are of "
        "another time or kind"
    )
