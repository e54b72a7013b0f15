"""The losses of Keras's catalogue by name and parameters, row by row, in numpy: the monitor needs no Keras.

Every loss is described once, in `CATALOGUE`: its formula, its parameters, what it takes and how low it can be.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models import loss_formulas as formulas
from models.loss_formulas import Losses
from models.parameters import Parameter, Parameters, parameter_faults, with_defaults

if TYPE_CHECKING:
    from models.schema import Task

Array = NDArray[Any]

# what a loss wants from the network: any number, one above 0, a probability for each output by itself,
# probabilities that add up to 1, or scores whose sign or order counts
Takes = Literal["numbers", "positive numbers", "a probability", "probabilities", "scores", "logits"]
# how the targets of several classes reach Keras: their positions (n,), or a column each (n, classes)
Labels = Literal["positions", "columns"]

ROUNDING = 1e-5  # of a loss near its lowest value: Keras cuts probabilities at 1e-7, and float32 rounds


@dataclass(frozen=True)
class CatalogueLoss:
    """A loss of the catalogue.

    rows: (truth, answer, **parameters) -> (n,). lowest: no row's loss is below, where the answers are what it takes;
    -inf for a likelihood, whose level means nothing by itself.
    fits: the tasks that it makes sense for. keras: name of the class in `keras.losses`; None for our own.
    """

    rows: Callable[..., Losses]
    fits: tuple[Task, ...]
    keras: str | None
    takes: Takes = "numbers"
    labels: Labels = "columns"
    lowest: float = 0.0
    parameters: dict[str, Parameter] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.rows.__name__


@dataclass(frozen=True)
class NamedLoss:
    """A loss of the catalogue with parameters of its own.

    >>> NamedLoss("huber", {"delta": 2.0}).name
    'huber'
    """

    name: str
    parameters: Parameters = field(default_factory=dict)


_LOGITS = Parameter(False)
_SMOOTHING = Parameter(0.0, least=0.0, most=1.0)
_ALPHA = Parameter(0.25, least=0.0, most=1.0)
_GAMMA = Parameter(2.0, least=0.0)
_PART = Parameter(0.5, least=0.0)
# over all rows at once these are no loss of a row, so Keras's default, None, is not ours
_EACH_ROW = Parameter(-1, choices=(-1,))

_ALL: tuple[Task, ...] = ("regression", "binary", "multiclass")
_CLASSES: tuple[Task, ...] = ("binary", "multiclass")

CATALOGUE: dict[str, CatalogueLoss] = {
    loss.name: loss
    for loss in (
        CatalogueLoss(formulas.mean_squared_error, _ALL, "MeanSquaredError"),
        CatalogueLoss(formulas.mean_absolute_error, _ALL, "MeanAbsoluteError"),
        CatalogueLoss(
            formulas.huber,
            _ALL,
            "Huber",
            parameters={"delta": Parameter(1.0, least=0.0, inside=True)},
        ),
        CatalogueLoss(formulas.log_cosh, _ALL, "LogCosh"),
        CatalogueLoss(
            formulas.mean_absolute_percentage_error, ("regression",), "MeanAbsolutePercentageError"
        ),
        CatalogueLoss(
            formulas.mean_squared_logarithmic_error,
            ("regression",),
            "MeanSquaredLogarithmicError",
            "positive numbers",
        ),
        CatalogueLoss(formulas.poisson, ("regression",), "Poisson", "positive numbers", lowest=-math.inf),
        CatalogueLoss(
            formulas.quantile,
            ("regression",),
            None,
            parameters={"quantile": Parameter(0.5, least=0.0, most=1.0, inside=True)},
        ),
        CatalogueLoss(formulas.cosine_similarity, ("multiclass",), "CosineSimilarity", "scores", lowest=-1.0),
        CatalogueLoss(
            formulas.binary_crossentropy,
            ("binary",),
            "BinaryCrossentropy",
            "a probability",
            parameters={"from_logits": _LOGITS, "label_smoothing": _SMOOTHING},
        ),
        CatalogueLoss(
            formulas.binary_focal_crossentropy,
            ("binary",),
            "BinaryFocalCrossentropy",
            "a probability",
            parameters={
                "apply_class_balancing": Parameter(False),
                "alpha": _ALPHA,
                "gamma": _GAMMA,
                "from_logits": _LOGITS,
                "label_smoothing": _SMOOTHING,
            },
        ),
        CatalogueLoss(formulas.hinge, ("binary",), "Hinge", "scores"),
        CatalogueLoss(formulas.squared_hinge, ("binary",), "SquaredHinge", "scores"),
        CatalogueLoss(
            formulas.sparse_categorical_crossentropy,
            ("multiclass",),
            "SparseCategoricalCrossentropy",
            "probabilities",
            "positions",
            parameters={
                "from_logits": _LOGITS,
                "ignore_class": Parameter(None, least=0, whole=True, none=True),
            },
        ),
        CatalogueLoss(
            formulas.categorical_crossentropy,
            ("multiclass",),
            "CategoricalCrossentropy",
            "probabilities",
            parameters={"from_logits": _LOGITS, "label_smoothing": _SMOOTHING},
        ),
        CatalogueLoss(
            formulas.categorical_focal_crossentropy,
            ("multiclass",),
            "CategoricalFocalCrossentropy",
            "probabilities",
            parameters={
                "alpha": _ALPHA,
                "gamma": _GAMMA,
                "from_logits": _LOGITS,
                "label_smoothing": _SMOOTHING,
            },
        ),
        CatalogueLoss(
            formulas.categorical_generalized_cross_entropy,
            ("multiclass",),
            "CategoricalGeneralizedCrossEntropy",
            "probabilities",
            "positions",
            parameters={"q": Parameter(0.5, least=0.0, most=1.0, inside=True)},
        ),
        CatalogueLoss(formulas.categorical_hinge, ("multiclass",), "CategoricalHinge", "scores"),
        CatalogueLoss(formulas.kl_divergence, ("multiclass",), "KLDivergence", "probabilities"),
        CatalogueLoss(
            formulas.dice, ("multiclass",), "Dice", "probabilities", parameters={"axis": _EACH_ROW}
        ),
        CatalogueLoss(
            formulas.tversky,
            ("multiclass",),
            "Tversky",
            "probabilities",
            parameters={"alpha": _PART, "beta": _PART, "axis": _EACH_ROW},
        ),
    )
}

# losses of Keras that have no place in a table, and why
ELSEWHERE = {
    "ctc": "it compares sequences with each other, and a row has one target. Take categorical_crossentropy",
    "circle": "it compares rows with each other, so that no row has a loss of its own. "
    "Take sparse_categorical_crossentropy",
}

_ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
}
_ALIASES |= {short.upper(): name for short, name in _ALIASES.items()}  # Keras knows both
_ALIASES |= {loss.keras: name for name, loss in CATALOGUE.items() if loss.keras}

KNOWN_LOSSES = tuple(sorted([*CATALOGUE, *_ALIASES]))


def row_losses(loss: str, target: Array, prediction: Array, **parameters: Any) -> Losses:
    """Loss of every row, before any averaging.

    loss: a name of KNOWN_LOSSES. target: (n,), for several classes their positions; or (n, outputs).
    prediction: (n, outputs) or (n,). parameters: of the loss, under Keras's names and with Keras's defaults (but for
    `axis` of dice and tversky, which is -1 here: over all rows at once they are no loss of a row).
    Returns (n,), float64; nan where the target is missing (nan, or -1 among the positions of classes).
    Raises ValueError for an unknown loss, a mistaken parameter, or lengths that differ.

    >>> row_losses("mse", np.array([1.0, 3.0]), np.array([[1.0], [1.0]]))
    array([0., 4.])
    >>> row_losses("quantile", np.array([1.0, 3.0]), np.array([2.0, 2.0]), quantile=0.9)
    array([0.1, 0.9])
    """
    formula = CATALOGUE[canonical(loss)]
    if faults := parameter_faults(formula.name, formula.parameters, parameters):
        raise ValueError(f"loss {loss!r}: {' '.join(faults)}")
    answers = np.asarray(prediction)
    answers = answers.reshape(-1, 1) if answers.ndim == 1 else answers
    truth = _truth(np.asarray(target), answers.shape[1])
    if truth.shape != answers.shape:
        raise ValueError(
            f"target has shape {np.shape(target)} and prediction {np.shape(prediction)}; expected (n,) "
            "and (n, outputs) of the same rows."
        )
    # of rows whose answer is nan or infinite
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        settings = with_defaults(formula.parameters, parameters)
        losses = formula.rows(truth, answers.astype(np.float64), **settings)
    return np.where(np.isnan(truth).any(axis=1), np.nan, losses)


def canonical(loss: str) -> str:
    """The full name of a loss; raises ValueError, with the nearest name, for an unknown one.

    >>> canonical("MSE"), canonical("Huber")
    ('mean_squared_error', 'huber')
    """
    name = _ALIASES.get(loss, loss)
    if name in CATALOGUE:
        return name
    if why := ELSEWHERE.get(loss.lower()):
        raise ValueError(f"loss {loss!r} is Keras's, but not for rows of a table: {why}.")
    near = difflib.get_close_matches(loss, KNOWN_LOSSES, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(sorted(CATALOGUE))}."
    raise ValueError(f"loss {loss!r} is not known; {advice}")


def default_loss(task: Task) -> str:
    """The loss that fits the task where nobody chose one."""
    return {
        "regression": "mean_squared_error",
        "binary": "binary_crossentropy",
        "multiclass": "sparse_categorical_crossentropy",
    }[task]


def check_loss(loss: str, task: Task, parameters: Parameters | None = None) -> str | None:
    """What speaks against this loss for this task, in words; None where nothing does.

    >>> check_loss("mae", "regression") is None
    True
    >>> check_loss("poisson", "binary")
    "loss 'poisson' does not fit a binary target; expected one of mean_squared_error, mean_absolute_error, huber,
    log_cosh, binary_crossentropy, binary_focal_crossentropy, hinge, squared_hinge."
    """
    try:
        found = CATALOGUE[canonical(loss)]
    except ValueError as error:
        return str(error)
    if task not in found.fits:
        fitting = ", ".join(name for name, other in CATALOGUE.items() if task in other.fits)
        return f"loss {loss!r} does not fit a {task} target; expected one of {fitting}."
    faults = loss_faults(loss, parameters or {})
    return " ".join(faults) if faults else None


def loss_faults(loss: str, parameters: Parameters) -> tuple[str, ...]:
    """Everything that is wrong with a loss and its parameters, a sentence each; () where nothing is.

    >>> loss_faults("huber", {"delta": 0})
    ('delta = 0: expected a number above 0',)
    """
    try:
        found = CATALOGUE[canonical(loss)]
    except ValueError as error:
        return (str(error),)
    if "reduction" in parameters:
        return ("reduction cannot be set: a loss is one number a row here, and a mean over rows in training",)
    return parameter_faults(found.name, found.parameters, parameters)


def wanted(loss: str, parameters: Parameters | None = None) -> Takes:
    """What this loss wants from the network.

    >>> wanted("binary_crossentropy"), wanted("bce", {"from_logits": True})
    ('a probability', 'logits')
    """
    return "logits" if (parameters or {}).get("from_logits") else CATALOGUE[canonical(loss)].takes


def sign_fault(loss: str, losses: Array, parameters: Parameters | None = None) -> str | None:
    """What is wrong with losses (n,) that are lower than this loss can be, in words; None where nothing is.

    Cosine similarity reaches down to -1, and the Poisson likelihood has no lowest value; a negative cross-entropy
    is an error: of targets that are no 0 and 1, or of answers that are no probabilities. Nothing is known of a loss of
    the user's own.

    >>> sign_fault("binary_crossentropy", np.array([0.2, -0.7]))
    'binary_crossentropy is -0.7 for a row and can never be below 0: look for targets other than 0 and 1, and for
    answers that are no probabilities.'
    >>> sign_fault("cosine_similarity", np.array([-0.7])) is None
    True
    """
    try:
        found = CATALOGUE[canonical(loss)]
    except ValueError:
        return None
    known = np.asarray(losses)[np.isfinite(losses)]
    least = float(known.min()) if len(known) else math.inf
    if least >= found.lowest - ROUNDING:
        return None
    return f"{found.name} is {least:.4g} for a row and can never be below {found.lowest:g}: {_causes(found)}."


def _causes(loss: CatalogueLoss) -> str:
    if loss.takes in ("a probability", "probabilities"):
        return "look for targets other than 0 and 1, and for answers that are no probabilities"
    return "its formula or its rows are not what they are thought to be"


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
