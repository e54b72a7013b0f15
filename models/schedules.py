"""How the learning rate moves during a training: formulas of the epochs, without Keras.

A schedule is a factor of the learning rate, as a function of the epochs trained so far, fractions included. The same
formulas run in numpy, for a picture, and inside Keras's training step (`models/keras_objects.py`). Every training, the
first and each update, goes through its schedule from the beginning; a resumed one goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.parameters import Parameter, Parameters, parameter_faults, with_defaults

if TYPE_CHECKING:
    from models.history import LossHistory

Kind = Literal["constant", "cosine", "restarts", "step", "exponential", "one_cycle", "plateau"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# by default all epochs that the training may take
_EPOCHS = Parameter(None, least=0.0, inside=True, none=True)
_SHARE = Parameter(0.01, least=0.0, most=1.0)

PARAMETERS: dict[Kind, dict[str, Parameter]] = {
    "constant": {},
    "cosine": {"epochs": _EPOCHS, "end": _SHARE},
    "restarts": {
        "first": Parameter(5.0, least=0.0, inside=True),
        "longer": Parameter(2.0, least=1.0),
        "lower": Parameter(1.0, least=0.0, most=1.0),
        "end": _SHARE,
    },
    "step": {
        "every": Parameter(10.0, least=0.0, inside=True),
        "factor": Parameter(0.5, least=0.0, most=1.0),
    },
    "exponential": {"factor": Parameter(0.95, least=0.0, most=1.0)},
    "one_cycle": {
        "epochs": _EPOCHS,
        "rise": Parameter(0.3, least=0.0, most=1.0, inside=True),  # as fastai, here and for start
        "start": Parameter(0.04, least=0.0, most=1.0),
        "end": Parameter(1e-4, least=0.0, most=1.0),
    },
    "plateau": {
        "patience": Parameter(2, least=1, whole=True),  # below the 4 epochs after which a training ends
        "factor": Parameter(0.5, least=0.0, most=1.0, inside=True),
        "gain": Parameter(1e-3, least=0.0, most=1.0),
        "end": _SHARE,
    },
}


@dataclass(frozen=True)
class Schedule:
    """A course of the learning rate.

    constant; cosine: down to `end` over `epochs`; restarts: the same over `first` epochs, again over `longer` times as
    many, each beginning at `lower` times the one before; step: times `factor` after `every` epochs;
    exponential: times `factor` an epoch; one_cycle: up from `start` to 1 over the share `rise` of `epochs`, then down
    to `end`; plateau: times `factor` after `patience` epochs whose loss is not lower by the share `gain`, to `end`
    at least. All shares are of the learning rate. What has come to its end stays there.

    warmup: epochs over which the rate rises from 0 first; the course begins behind them.
    Loshchilov and Hutter 2017, "SGDR"; Smith and Topin 2018, "Super-Convergence" (without its momentum).
    Raises ValueError for a mistaken parameter.

    >>> Schedule("step", parameters={"every": 2}).factors(np.array([0.5, 1.5, 2.5, 4.5]))
    array([1.  , 1.  , 0.5 , 0.25])
    """

    kind: Kind = "constant"
    warmup: float = 0.0
    parameters: Parameters = field(default_factory=dict)

    def __post_init__(self) -> None:
        if faults := schedule_faults(self.kind, self.parameters):
            raise ValueError(f"schedule {self.kind!r}: {' '.join(faults)}")

    @property
    def moves(self) -> bool:
        """Whether the learning rate ever changes."""
        return self.kind != "constant" or self.warmup > 0

    def setting(self, name: str) -> Any:
        """A parameter as written, or its default."""
        return with_defaults(PARAMETERS[self.kind], self.parameters)[name]

    def length(self, epochs: int) -> float:
        """Epochs from the first to the planned end of the course; infinite where it has none.

        epochs: that the training may take.
        """
        if self.kind not in ("cosine", "one_cycle"):
            return math.inf
        return float(self.setting("epochs") or epochs) + self.warmup

    def factors(self, trained: NDArray[Any], *, epochs: int = 60) -> NDArray[np.float64]:
        """Factors of the learning rate after so many epochs; those of a plateau, which the losses make, are left out.

        trained: any shape, from 0. epochs: that the training may take.
        """
        return np.asarray(course(self, np, np.asarray(trained, np.float64), float(epochs)), np.float64)


def schedule_faults(kind: str, parameters: Parameters) -> tuple[str, ...]:
    """Everything that is wrong with a schedule, a sentence each.

    >>> schedule_faults("step", {"factor": 2})
    ('factor = 2: expected a number from 0 to 1',)
    """
    if kind not in PARAMETERS:
        return (f"schedule {kind!r} is not known; expected one of {', '.join(KINDS)}",)
    return parameter_faults(kind, PARAMETERS[kind], parameters)


def schedule_remark(schedule: Schedule, epochs: int, patience: int) -> str | None:
    """What to know of a schedule that goes over all epochs of a training that ends earlier; None where it is well.

    epochs, patience: of the training.
    """
    if schedule.kind != "cosine" or schedule.length(epochs) <= 5 * patience:
        return None
    return (
        f"schedule cosine brings the rate down over {schedule.length(epochs):g} epochs, and a training ends after "
        f"{patience} without a better loss, mostly long before: write schedule_parameters = "
        f"{{epochs = {5 * patience}}}, or a larger patience"
    )


def course(schedule: Schedule, ops: Any, trained: Any, epochs: Any) -> Any:
    """Factors of the learning rate, by numpy or `keras.ops`.

    trained: epochs so far. epochs: that the training may take. Both numbers of that library.
    """
    settings = with_defaults(PARAMETERS[schedule.kind], schedule.parameters)
    behind = ops.maximum(trained - schedule.warmup, 0.0)
    factor = _COURSES[schedule.kind](ops, behind, epochs - schedule.warmup, settings)
    if not schedule.warmup:
        return factor
    return factor * ops.minimum(trained / schedule.warmup, 1.0)


def plateau_level(schedule: Schedule, history: LossHistory) -> float:
    """Factor of the learning rate after these epochs of a plateau schedule; 1 for every other kind.

    It follows from the losses alone, so a training that is resumed finds it again in its history.
    """
    if schedule.kind != "plateau":
        return 1.0
    level, best, waited = 1.0, math.inf, 0
    for epoch in history.epochs:
        if math.isnan(epoch.judged):
            continue
        if epoch.judged < best - schedule.setting("gain") * (abs(best) if math.isfinite(best) else 0.0):
            best, waited = epoch.judged, 0
        else:
            waited += 1
        if waited >= schedule.setting("patience"):
            level, waited = max(level * schedule.setting("factor"), schedule.setting("end")), 0
    return level


def _constant(ops: Any, trained: Any, epochs: Any, settings: Parameters) -> Any:
    return ops.ones_like(trained)


def _cosine(ops: Any, trained: Any, epochs: Any, settings: Parameters) -> Any:
    length = settings["epochs"] or ops.maximum(epochs, 1e-6)
    return _half_wave(ops, ops.minimum(trained / length, 1.0), 1.0, settings["end"])


def _restarts(ops: Any, trained: Any, epochs: Any, settings: Parameters) -> Any:
    first, longer = settings["first"], settings["longer"]
    if longer == 1.0:
        number = ops.floor(trained / first)
        done = trained / first - number
    else:  # the first k rounds take first * (longer ** k - 1) / (longer - 1) epochs together
        number = ops.floor(ops.log(1.0 + trained * (longer - 1.0) / first) / math.log(longer) + 1e-6)
        begun = first * (ops.power(longer, number) - 1.0) / (longer - 1.0)
        done = (trained - begun) / (first * ops.power(longer, number))
    top = ops.power(settings["lower"], number)
    return top * _half_wave(ops, ops.minimum(ops.maximum(done, 0.0), 1.0), 1.0, settings["end"])


def _step(ops: Any, trained: Any, epochs: Any, settings: Parameters) -> Any:
    return ops.power(settings["factor"], ops.floor(trained / settings["every"]))


def _exponential(ops: Any, trained: Any, epochs: Any, settings: Parameters) -> Any:
    return ops.power(settings["factor"], trained)


def _one_cycle(ops: Any, trained: Any, epochs: Any, settings: Parameters) -> Any:
    length = settings["epochs"] or ops.maximum(epochs, 1e-6)
    done, rise = ops.minimum(trained / length, 1.0), settings["rise"]
    up = _half_wave(ops, ops.minimum(done / rise, 1.0), settings["start"], 1.0)
    down = _half_wave(ops, ops.maximum((done - rise) / (1.0 - rise), 0.0), 1.0, settings["end"])
    return ops.where(done < rise, up, down)


def _half_wave(ops: Any, done: Any, begin: float, end: float) -> Any:
    """From begin to end, gently at both."""
    return end + (begin - end) * 0.5 * (1.0 + ops.cos(math.pi * done))


_COURSES: dict[Kind, Callable[[Any, Any, Any, Parameters], Any]] = {
    "constant": _constant,
    "cosine": _cosine,
    "restarts": _restarts,
    "step": _step,
    "exponential": _exponential,
    "one_cycle": _one_cycle,
    "plateau": _constant,
}
