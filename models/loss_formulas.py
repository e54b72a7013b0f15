"""The formulas of the losses in numpy, each for rows: (n, outputs) against (n, outputs) gives (n,).

Each gives what the Keras function of its name gives for a row, before any averaging, with the same parameters.
`quantile` is our own: Koenker and Bassett 1978, "Regression Quantiles".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]

# Keras's; probabilities are cut in float32, or a certain answer costs 16.12, not 15.94
EPSILON = np.float32(1e-7)


# --- distances between numbers ---


def mean_squared_error(truth: Losses, answer: Losses) -> Losses:
    return _mean(np.square(truth - answer))


def mean_absolute_error(truth: Losses, answer: Losses) -> Losses:
    return _mean(np.abs(truth - answer))


def mean_absolute_percentage_error(truth: Losses, answer: Losses) -> Losses:
    return 100.0 * _mean(np.abs((truth - answer) / np.maximum(np.abs(truth), EPSILON)))


def mean_squared_logarithmic_error(truth: Losses, answer: Losses) -> Losses:
    return _mean(np.square(np.log1p(np.maximum(answer, EPSILON)) - np.log1p(np.maximum(truth, EPSILON))))


def huber(truth: Losses, answer: Losses, delta: float) -> Losses:
    error = np.abs(truth - answer)
    return _mean(np.where(error <= delta, 0.5 * error**2, delta * error - 0.5 * delta**2))


def log_cosh(truth: Losses, answer: Losses) -> Losses:
    error = np.abs(answer - truth)
    return _mean(error + np.log1p(np.exp(-2.0 * error)) - np.log(2.0))


def poisson(truth: Losses, answer: Losses) -> Losses:
    return _mean(answer - truth * np.log(answer + EPSILON))


def quantile(truth: Losses, answer: Losses, quantile: float) -> Losses:
    short = truth - answer
    return _mean(np.maximum(quantile * short, (quantile - 1.0) * short))


def cosine_similarity(truth: Losses, answer: Losses) -> Losses:
    return -_sum(_direction(truth) * _direction(answer))


# --- two classes, each output by itself ---


def binary_crossentropy(truth: Losses, answer: Losses, from_logits: bool, label_smoothing: float) -> Losses:
    truth = _smoothed(truth, label_smoothing, 2)
    return _mean(_surprise_of_score(truth, answer) if from_logits else _surprise(truth, answer))


def binary_focal_crossentropy(
    truth: Losses,
    answer: Losses,
    apply_class_balancing: bool,
    alpha: float,
    gamma: float,
    from_logits: bool,
    label_smoothing: float,
) -> Losses:
    truth = _smoothed(truth, label_smoothing, 2)
    answer = _sigmoid(answer) if from_logits else answer
    right = truth * answer + (1.0 - truth) * (1.0 - answer)
    losses = (1.0 - right) ** gamma * _surprise(truth, answer)
    return _mean(
        losses * (truth * alpha + (1.0 - truth) * (1.0 - alpha)) if apply_class_balancing else losses
    )


def hinge(truth: Losses, answer: Losses) -> Losses:
    return _mean(_short_of_margin(truth, answer))


def squared_hinge(truth: Losses, answer: Losses) -> Losses:
    return _mean(_short_of_margin(truth, answer) ** 2)


# --- several classes, an output each ---


def sparse_categorical_crossentropy(
    truth: Losses, answer: Losses, from_logits: bool, ignore_class: int | None
) -> Losses:
    if from_logits:
        losses = _surprise_of_scores(truth, answer)
    else:  # cut first and then brought to sum 1, as Keras does with whole-number targets
        shares = _inside(answer)
        losses = -_sum(truth * np.log(shares)) + np.log(_sum(shares))
    if ignore_class is None or not 0 <= ignore_class < truth.shape[1]:
        return losses
    return np.where(truth[:, ignore_class] == 1.0, 0.0, losses)


def categorical_crossentropy(
    truth: Losses, answer: Losses, from_logits: bool, label_smoothing: float
) -> Losses:
    truth = _smoothed(truth, label_smoothing, truth.shape[1])
    return _surprise_of_scores(truth, answer) if from_logits else -_sum(truth * np.log(_shares(answer)))


def categorical_focal_crossentropy(
    truth: Losses, answer: Losses, alpha: float, gamma: float, from_logits: bool, label_smoothing: float
) -> Losses:
    truth = _smoothed(truth, label_smoothing, truth.shape[1])
    shares = _shares(_softmax(answer) if from_logits else answer)
    return -alpha * _sum((1.0 - shares) ** gamma * truth * np.log(shares))


def categorical_generalized_cross_entropy(truth: Losses, answer: Losses, q: float) -> Losses:
    return (1.0 - _sum(truth * answer) ** q) / q


def categorical_hinge(truth: Losses, answer: Losses) -> Losses:
    others = np.asarray(np.max((1.0 - truth) * answer, axis=1), np.float64)
    return np.maximum(others - _sum(truth * answer) + 1.0, 0.0)


def kl_divergence(truth: Losses, answer: Losses) -> Losses:
    expected, given = np.clip(truth, EPSILON, 1.0), np.clip(answer, EPSILON, 1.0)
    return _sum(expected * np.log(expected / given))


def dice(truth: Losses, answer: Losses, axis: int) -> Losses:
    overlap = 2.0 * _sum(truth * answer)
    return 1.0 - overlap / (_sum(truth) + _sum(answer) + EPSILON)


def tversky(truth: Losses, answer: Losses, alpha: float, beta: float, axis: int) -> Losses:
    overlap, missed = _sum(truth * answer), _sum(truth * (1.0 - answer))
    invented = _sum((1.0 - truth) * answer)
    return 1.0 - overlap / (overlap + alpha * missed + beta * invented + EPSILON)


# --- their parts ---


def _smoothed(truth: Losses, share: float, classes: int) -> Losses:
    """Labels that are a little less certain: a share of each is spread evenly over the classes."""
    return truth * (1.0 - share) + share / classes if share else truth


def _surprise(truth: Losses, answer: Losses) -> Losses:
    certain = _inside(answer)
    return -(truth * np.log(certain) + (1.0 - truth) * np.log(1.0 - certain))


def _surprise_of_score(truth: Losses, score: Losses) -> Losses:
    return np.maximum(score, 0.0) - score * truth + np.log1p(np.exp(-np.abs(score)))


def _surprise_of_scores(truth: Losses, scores: Losses) -> Losses:
    moved = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
    return -_sum(truth * (moved - np.log(np.exp(moved).sum(axis=1, keepdims=True))))


def _short_of_margin(truth: Losses, answer: Losses) -> Losses:
    """Targets of -1 and 1 are taken as they are, those of 0 and 1 are stretched to that."""
    known = truth[~np.isnan(truth)]
    signs = 2.0 * truth - 1.0 if np.isin(known, (0.0, 1.0)).all() else truth
    return np.maximum(1.0 - signs * answer, 0.0)


def _direction(values: Losses) -> Losses:
    length = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    return np.asarray(values / np.maximum(length, EPSILON), np.float64)


def _shares(answer: Losses) -> Losses:
    return _inside(answer / answer.sum(axis=1, keepdims=True))


def _inside(probabilities: Losses) -> Losses:
    """Cut to [EPSILON, 1 - EPSILON] in the precision in which Keras does it."""
    cut = np.clip(probabilities.astype(np.float32), EPSILON, np.float32(1.0) - EPSILON)
    return cut.astype(np.float64)


def _sigmoid(scores: Losses) -> Losses:
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores)), np.float64)


def _softmax(scores: Losses) -> Losses:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _mean(values: NDArray[Any]) -> Losses:
    return np.asarray(values.mean(axis=1), np.float64)


def _sum(values: NDArray[Any]) -> Losses:
    return np.asarray(values.sum(axis=1), np.float64)
