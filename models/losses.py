"""The losses of Keras's catalogue, row by row, in numpy: the monitor needs no Keras to judge a row.

Each gives what the Keras function of that name gives for a row, before any averaging.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.schema import Task

Array = NDArray[Any]
Losses = NDArray[np.float64]

EPSILON = np.float32(
    1e-7
)  # Keras's; probabilities are cut in float32, or a certain answer costs 16.12, not 15.94
HUBER_DELTA = 1.0  # Keras's defaults, here and below
FOCAL_GAMMA = 2.0
FOCAL_ALPHA = 0.25

_ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
}
_ALIASES |= {short.upper(): name for short, name in _ALIASES.items()}  # Keras knows both


def row_losses(loss: str, target: Array, prediction: Array) -> Losses:
    """Loss of every row, before any averaging.

    loss: a name of KNOWN_LOSSES. target: (n,), for several classes their positions; or (n, outputs).
    prediction: (n, outputs) or (n,). Returns (n,), float64; nan where the target is missing (nan, or -1 among
    the positions of classes).
    Raises ValueError for an unknown loss or lengths that differ.

    >>> row_losses("mse", np.array([1.0, 3.0]), np.array([[1.0], [1.0]]))
    array([0., 4.])
    """
    function = _FUNCTIONS[canonical(loss)]
    answers = np.asarray(prediction)
    answers = answers.reshape(-1, 1) if answers.ndim == 1 else answers
    truth = _truth(np.asarray(target), answers.shape[1])
    if truth.shape != answers.shape:
        raise ValueError(
            f"target has shape {np.shape(target)} and prediction {np.shape(prediction)}; expected (n,) "
            "and (n, outputs) of the same rows."
        )
    with np.errstate(
        invalid="ignore", divide="ignore", over="ignore"
    ):  # of rows whose answer is nan or infinite
        return function(truth, answers.astype(np.float64))


def canonical(loss: str) -> str:
    """The full name of a loss; raises ValueError, with the nearest name, for an unknown one.

    >>> canonical("MSE")
    'mean_squared_error'
    """
    name = _ALIASES.get(loss, loss)
    if name not in _FUNCTIONS:
        near = difflib.get_close_matches(loss, KNOWN_LOSSES, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(sorted(_FUNCTIONS))}."
        raise ValueError(f"loss {loss!r} is not known; {advice}")
    return name


def default_loss(task: Task) -> str:
    """The loss that fits the task where nobody chose one."""
    return {
        "regression": "mean_squared_error",
        "binary": "binary_crossentropy",
        "multiclass": "sparse_categorical_crossentropy",
    }[task]


def check_loss(loss: str, task: Task) -> str | None:
    """What speaks against this loss for this task, in words; None where nothing does.

    >>> check_loss("mae", "regression") is None
    True
    >>> check_loss("mse", "multiclass")
    "loss 'mse' does not fit a multiclass target; expected one of sparse_categorical_crossentropy."
    """
    try:
        name = canonical(loss)
    except ValueError as error:
        return str(error)
    if name in _FITTING[task]:
        return None
    return f"loss {loss!r} does not fit a {task} target; expected one of {', '.join(_FITTING[task])}."


def _truth(target: Array, outputs: int) -> Losses:
    """Targets as (n, outputs): positions of classes become rows with a single 1, all nan where missing."""
    if target.ndim == 2:
        return target.astype(np.float64)
    if outputs == 1:
        return target.astype(np.float64).reshape(-1, 1)
    positions = np.where(np.isnan(target.astype(np.float64)), -1, target).astype(np.int64)
    if len(positions) and positions.max() >= outputs:
        raise ValueError(f"a target is class {positions.max()} (from 0), but there are {outputs} outputs.")
    one_hot = np.zeros((len(target), outputs))
    one_hot[np.arange(len(target)), np.maximum(positions, 0)] = 1.0
    one_hot[positions < 0] = np.nan
    return one_hot


def _mean_squared_error(truth: Losses, answer: Losses) -> Losses:
    return _mean(np.square(truth - answer))


def _mean_absolute_error(truth: Losses, answer: Losses) -> Losses:
    return _mean(np.abs(truth - answer))


def _mean_absolute_percentage_error(truth: Losses, answer: Losses) -> Losses:
    return 100.0 * _mean(np.abs((truth - answer) / np.maximum(np.abs(truth), EPSILON)))


def _mean_squared_logarithmic_error(truth: Losses, answer: Losses) -> Losses:
    return _mean(np.square(np.log1p(np.maximum(answer, EPSILON)) - np.log1p(np.maximum(truth, EPSILON))))


def _huber(truth: Losses, answer: Losses) -> Losses:
    error = np.abs(truth - answer)
    return _mean(np.where(error <= HUBER_DELTA, 0.5 * error**2, HUBER_DELTA * error - 0.5 * HUBER_DELTA**2))


def _log_cosh(truth: Losses, answer: Losses) -> Losses:
    error = np.abs(answer - truth)
    return _mean(error + np.log1p(np.exp(-2.0 * error)) - np.log(2.0))


def _poisson(truth: Losses, answer: Losses) -> Losses:
    return _mean(answer - truth * np.log(answer + EPSILON))


def _binary_crossentropy(truth: Losses, answer: Losses) -> Losses:
    return _mean(_surprise(truth, answer))


def _binary_focal_crossentropy(truth: Losses, answer: Losses) -> Losses:
    right = truth * answer + (1.0 - truth) * (1.0 - answer)
    return _mean((1.0 - right) ** FOCAL_GAMMA * _surprise(truth, answer))


def _surprise(truth: Losses, answer: Losses) -> Losses:
    certain = _inside(answer)
    return -(truth * np.log(certain) + (1.0 - truth) * np.log(1.0 - certain))


def _sparse_categorical_crossentropy(truth: Losses, answer: Losses) -> Losses:
    shares = _inside(answer)  # cut first and then brought to sum 1, as Keras does with whole-number targets
    return -_sum(truth * np.log(shares)) + np.log(_sum(shares))


def _categorical_crossentropy(truth: Losses, answer: Losses) -> Losses:
    return -_sum(truth * np.log(_inside(answer / answer.sum(axis=1, keepdims=True))))


def _categorical_focal_crossentropy(truth: Losses, answer: Losses) -> Losses:
    shares = _inside(answer / answer.sum(axis=1, keepdims=True))
    return -FOCAL_ALPHA * _sum((1.0 - shares) ** FOCAL_GAMMA * truth * np.log(shares))


def _kl_divergence(truth: Losses, answer: Losses) -> Losses:
    expected, given = np.clip(truth, EPSILON, 1.0), np.clip(answer, EPSILON, 1.0)
    return _sum(expected * np.log(expected / given))


def _hinge(truth: Losses, answer: Losses) -> Losses:
    return _mean(_short_of_margin(truth, answer))


def _squared_hinge(truth: Losses, answer: Losses) -> Losses:
    return _mean(_short_of_margin(truth, answer) ** 2)


def _short_of_margin(truth: Losses, answer: Losses) -> Losses:
    """Targets of -1 and 1 are taken as they are, those of 0 and 1 are stretched to that."""
    known = truth[~np.isnan(truth)]
    signs = 2.0 * truth - 1.0 if np.isin(known, (0.0, 1.0)).all() else truth
    return np.maximum(1.0 - signs * answer, 0.0)


def _categorical_hinge(truth: Losses, answer: Losses) -> Losses:
    others = np.asarray(np.max((1.0 - truth) * answer, axis=1), np.float64)
    return np.maximum(others - _sum(truth * answer) + 1.0, 0.0)


def _inside(probabilities: Losses) -> Losses:
    """Cut to [EPSILON, 1 - EPSILON] in the precision in which Keras does it."""
    cut = np.clip(probabilities.astype(np.float32), EPSILON, np.float32(1.0) - EPSILON)
    return cut.astype(np.float64)


def _mean(values: Losses) -> Losses:
    return np.asarray(values.mean(axis=1), np.float64)


def _sum(values: Losses) -> Losses:
    return np.asarray(values.sum(axis=1), np.float64)


_FUNCTIONS: dict[str, Callable[[Losses, Losses], Losses]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _mean_squared_error,
        _mean_absolute_error,
        _mean_absolute_percentage_error,
        _mean_squared_logarithmic_error,
        _huber,
        _log_cosh,
        _poisson,
        _binary_crossentropy,
        _binary_focal_crossentropy,
        _hinge,
        _squared_hinge,
        _sparse_categorical_crossentropy,
        _categorical_crossentropy,
        _categorical_focal_crossentropy,
        _categorical_hinge,
        _kl_divergence,
    )
}

KNOWN_LOSSES = tuple(sorted([*_FUNCTIONS, *_ALIASES]))

_FITTING: dict[Task, tuple[str, ...]] = {
    "regression": (
        "mean_squared_error",
        "mean_absolute_error",
        "huber",
        "log_cosh",
        "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error",
        "poisson",
    ),
    "binary": (
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "mean_squared_error",
        "mean_absolute_error",
        "huber",
        "log_cosh",
        "hinge",
        "squared_hinge",
    ),
    "multiclass": ("sparse_categorical_crossentropy",),  # the others of Keras want a column for each class
}
