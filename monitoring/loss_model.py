"""Models of a row's loss, given its inputs and the answer: what the loss will be on average, and how much it varies.

Where the target is one of some classes, the chances of the classes are calibrated: to the answer's own scores s_k are
added a_k(row) + b(row) s_k, linear in a `Basis`, and the loss is the mean over the classes. Where it is a number, the
loss itself is modelled as exp(a(row)), by quasi-likelihood (Wedderburn 1974).

How far rows may move a model is learned, group by group, from the evidence (MacKay 1992): what a reference does not
show is left at nothing. The covariance of the weights comes along, so that a window far from the reference has a wide
interval. A model that is linear in a basis and shrunk gives the same estimates as weighting the reference's rows to
look like the window's in that basis (Bruns-Smith, Dukes, Feller, Ogburn 2023), without keeping any row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

ROUNDS, STEPS = 12, 3  # of the prior, and of Newton within each
FREE, FIRST, LEAST, MOST = 1e-3, 30.0, 0.3, 1e6  # precisions: of constants, at first, and bounds
LOWEST_LOSS = 1e-9  # of the mean: what a model answers at least
MOST_LOG = 4.0  # a loss is at most 55 times the usual one, for the exponential function knows no measure


class Likelihood(Protocol):
    """What weights are worth on rows. groups: places of weights with a prior of their own; the others are free."""

    size: int

    @property
    def groups(self) -> Sequence[Places]: ...

    def value(self, weights: Array) -> float: ...

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        """Gradient and information at these weights."""
        ...

    def rescale(self, weights: Array, effective: float) -> None:
        """Learns how noisy the rows are. effective: number of weights that the rows determine."""
        ...


@dataclass(frozen=True)
class Fitted:
    """weights (q,), covariance (q, q), effective: how many of them the rows determine."""

    weights: Array
    covariance: Array
    effective: float


def fit(likelihood: Likelihood) -> Fitted:
    """The weights under a prior whose widths are those of most evidence."""
    weights = np.zeros(likelihood.size)
    prior = np.full(likelihood.size, FREE)
    for group in likelihood.groups:
        prior[group] = FIRST
    for _ in range(ROUNDS):
        weights = _climb(likelihood, weights, prior)
        covariance = _covariance(likelihood, weights, prior)
        shares = 1.0 - prior * np.diag(covariance)
        before = prior.copy()
        for group in likelihood.groups:
            found = shares[group].sum() / max(float(weights[group] @ weights[group]), 1e-12)
            prior[group] = np.clip(found, LEAST, MOST)
        likelihood.rescale(weights, float(shares.sum()))
        if np.abs(np.log(prior / before)).max() < 0.2:  # a fifth more or less of a width moves no estimate
            break
    weights = _climb(likelihood, weights, prior)
    covariance = _covariance(likelihood, weights, prior)
    return Fitted(weights, covariance, float((1.0 - prior * np.diag(covariance)).sum()))


def _covariance(likelihood: Likelihood, weights: Array, prior: Array) -> Array:
    return np.asarray(np.linalg.inv(likelihood.slopes(weights)[1] + np.diag(prior)))


def _climb(likelihood: Likelihood, weights: Array, prior: Array) -> Array:
    """Damped Newton steps."""
    worth = likelihood.value(weights) - 0.5 * float(prior @ weights**2)
    for _ in range(STEPS):
        gradient, information = likelihood.slopes(weights)
        step = np.linalg.solve(information + np.diag(prior), gradient - prior * weights)
        for _halving in range(10):
            trial = likelihood.value(weights + step) - 0.5 * float(prior @ (weights + step) ** 2)
            if trial > worth:
                break
            step = step / 2
        else:
            return weights
        weights, gain, worth = weights + step, trial - worth, trial
        if gain < 0.01:
            break
    return weights


def groups_of(counts: Sequence[int], start: int = 0) -> list[Places]:
    """Places of the weights of every group but the constant.

    >>> [group.tolist() for group in groups_of((1, 2, 0, 1))]
    [[1, 2], [3]]
    """
    edges = start + np.cumsum([0, *counts])
    return [np.arange(a, b) for a, b in pairwise(edges[1:].tolist()) if b > a]


class ClassChances:
    """The likelihood of classes. scores: (n, k), the answers' own log-odds up to a constant; target: (n,)."""

    def __init__(self, values: Array, counts: Sequence[int], scores: Array, target: Array) -> None:
        self.values_, self.scores = values, scores
        width, free = values.shape[1], free_classes(scores.shape[1])
        self.hits = np.zeros_like(scores)
        self.hits[np.arange(len(target)), target.astype(int)] = 1.0
        self.size = width * (len(free) + 1)
        parts = [groups_of(counts, place * width) for place in range(len(free) + 1)]
        apart = [np.concatenate(same) for same in zip(*parts[:-1], strict=True)]
        self.groups: Sequence[Places] = [*apart, *parts[-1]]

    def value(self, weights: Array) -> float:
        return float((self.hits * log_chances(weights, self.values_, self.scores)).sum())

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        chances = np.exp(log_chances(weights, self.values_, self.scores))
        gradient = gradient_of(self.hits - chances, self.values_, self.scores)
        return gradient, _information(chances, self.values_, self.scores)

    def rescale(self, weights: Array, effective: float) -> None:
        """The noise of classes is known."""


def free_classes(classes: int) -> range:
    """Classes with a shift of their own; of two, one is enough."""
    return range(1, 2) if classes == 2 else range(classes)


def log_chances(weights: Array, values: Array, scores: Array) -> Array:
    """Logarithms of the calibrated chances, (n, k); without weights those of the scores themselves."""
    width, classes = values.shape[1], scores.shape[1]
    free = free_classes(classes)
    odds = scores * (1.0 + values @ weights[width * len(free) :])[:, None]
    odds[:, free] += values @ weights[: width * len(free)].reshape(len(free), width).T
    odds -= odds.max(axis=1, keepdims=True)
    return np.asarray(odds - np.log(np.exp(odds).sum(axis=1, keepdims=True)))


def gradient_of(slopes: Array, values: Array, scores: Array) -> Array:
    """Of a sum over rows by the weights. slopes: by the log-odds of every row, (n, k)."""
    free = free_classes(scores.shape[1])
    shifts = values.T @ slopes[:, free]
    return np.concatenate([shifts.T.ravel(), values.T @ (slopes * scores).sum(axis=1)])


def _information(chances: Array, values: Array, scores: Array) -> Array:
    width, free = values.shape[1], free_classes(chances.shape[1])
    count = len(free)
    found = np.zeros((width * (count + 1),) * 2)
    mean = (chances * scores).sum(axis=1)
    for one, first in enumerate([*free, None]):
        for other, second in enumerate([*free, None]):
            if other < one:
                continue
            weights = _covary(chances, scores, mean, first, second)
            block = values.T @ (values * weights[:, None])
            rows, columns = slice(one * width, (one + 1) * width), slice(other * width, (other + 1) * width)
            found[rows, columns] = block
            found[columns, rows] = block
    return found


def _covary(chances: Array, scores: Array, mean: Array, first: int | None, second: int | None) -> Array:
    """Covariance of two directions under the chances of every row: a class each, or the slope where None."""
    if first is not None and second is not None:
        return np.asarray(chances[:, first] * ((first == second) - chances[:, second]))
    if first is not None:
        return np.asarray(chances[:, first] * (scores[:, first] - mean))
    return np.asarray((chances * scores**2).sum(axis=1) - mean**2)


class LossRate:
    """The quasi-likelihood of losses (n,) whose logarithmic mean is linear; their variance goes with mean ** power."""

    def __init__(self, values: Array, counts: Sequence[int], losses: Array, power: float) -> None:
        self.values_, self.losses, self.power = values, losses, power
        self.base = float(np.log(losses.mean()))
        self.size = values.shape[1]
        self.groups: Sequence[Places] = groups_of(counts)
        self.noise = self._noise(np.full(len(losses), losses.mean()), 1.0)

    def value(self, weights: Array) -> float:
        log = self._log(weights)
        if self.power == 2.0:
            return float(-(self.losses * np.exp(-log) + log).sum() / self.noise)
        down, up = 1.0 - self.power, 2.0 - self.power
        first = self.losses * log if down == 0 else self.losses * np.exp(down * log) / down
        return float((first - np.exp(up * log) / up).sum() / self.noise)

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        mean = np.exp(self._log(weights))
        gradient = self.values_.T @ ((self.losses - mean) * mean ** (1.0 - self.power))
        information = self.values_.T @ (self.values_ * (mean ** (2.0 - self.power))[:, None])
        return gradient / self.noise, information / self.noise

    def rescale(self, weights: Array, effective: float) -> None:
        self.noise = self._noise(np.exp(self._log(weights)), effective)

    def _log(self, weights: Array) -> Array:
        return self.base + np.clip(self.values_ @ weights, -MOST_LOG, MOST_LOG)

    def _noise(self, mean: Array, effective: float) -> float:
        left = max(len(mean) - effective, 0.1 * len(mean))
        return max(float(((self.losses - mean) ** 2 / mean**self.power).sum() / left), 1e-12)


class PlainLoss:
    """The likelihood of losses (n,) that may be negative: their mean is linear, their variance the same everywhere."""

    def __init__(self, values: Array, counts: Sequence[int], losses: Array) -> None:
        self.values_, self.losses, self.base = values, losses - losses.mean(), float(losses.mean())
        self.size = values.shape[1]
        self.groups: Sequence[Places] = groups_of(counts)
        self.gram = values.T @ values
        self.noise = max(float(losses.var()), 1e-12)

    def value(self, weights: Array) -> float:
        return float(-0.5 * ((self.losses - self.values_ @ weights) ** 2).sum() / self.noise)

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        return self.values_.T @ (self.losses - self.values_ @ weights) / self.noise, self.gram / self.noise

    def rescale(self, weights: Array, effective: float) -> None:
        left = max(len(self.losses) - effective, 0.1 * len(self.losses))
        self.noise = max(float(((self.losses - self.values_ @ weights) ** 2).sum() / left), 1e-12)
