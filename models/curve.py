"""The curve of a training, and the numbers that are read from it: levels, noise, jumps, turns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.history import LossHistory

Losses = NDArray[np.float64]

LEAST_UNIT = 0.2  # of the scale: where hardly anything can be learned, small differences stay small
WIDEST = 25  # steps of the running median that jumps are measured from
NARROWEST = 9
JUMP = 0.5  # of the scale: at a loss near 0 every batch is a multiple of the one before
JUMP_RATIO = 2.5  # to the steps around
JUMP_NOISE = 5.0  # times the usual distance of a step from its median
# of that far: where more steps lie there than further out, jumps are the tail of ordinary noise,
NEARLY = 0.6
CERTAIN = 2.0  # but for those that are so many times that far out
SELDOM = 0.08  # of the steps, or one in an epoch: what comes more often is how the steps are
LEAST_NOISE = 0.05  # of a step, on the log scale
PAID = 0.05  # of the first epoch's training loss: a penalty that steers what is learned
LEARNS = 0.1  # of the constant's loss, that a straight line must save to be one that has learned something
SMALLEST = 1e-9  # of the largest loss: a scale below it is of a problem that a constant solves
FLOOR = 0.05  # of the scale, added before a logarithm is taken: below it, losses are as good as 0


@dataclass(frozen=True)
class Curve:
    """What is known of a training when it is judged; what is not known stays empty.

    training: loss of each epoch while its rows were being learned. validation: loss after each epoch, without
    penalties. steps: losses of the steps (or of groups of steps) of each epoch. penalties: the part of each epoch's
    training loss that L1 and L2 add. learning_rates: at the end of each epoch. gradient_norms: a typical one of each
    epoch. baselines: losses on the validation rows of what was learned without a network; `constant`, `simple` and
    any others. rows: that were learned from. kept: the epoch, counted from 0, whose weights are kept; None is the
    last. altered: the training loss was taken under dropout, class weights or the like, and cannot be compared with
    the validation loss. may_be_negative: of the loss. settings: keys of [network], with which remedies are written;
    what is found does not depend on them. own_network: built by code of the user's own, which they do not shape.
    target_loss: at which the training was to end; None where it was to go on as long as it learns.
    """

    training: tuple[float, ...]
    validation: tuple[float, ...] = ()
    steps: tuple[tuple[float, ...], ...] = ()
    penalties: tuple[float, ...] = ()
    learning_rates: tuple[float, ...] = ()
    gradient_norms: tuple[float, ...] = ()
    baselines: Mapping[str, float] = field(default_factory=dict)
    rows: int | None = None
    kept: int | None = None
    altered: bool = False
    may_be_negative: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    own_network: bool = False
    target_loss: float | None = None

    def __post_init__(self) -> None:
        for name in ("validation", "steps", "penalties", "learning_rates", "gradient_norms"):
            given = len(getattr(self, name))
            if given not in (0, len(self.training)):
                raise ValueError(
                    f"{name} is of {given} epochs and training of {len(self.training)}; expected the same, or none."
                )
        if self.kept is not None and not 0 <= self.kept < len(self.training):
            raise ValueError(f"kept = {self.kept}: expected an epoch from 0 to {len(self.training) - 1}.")

    @classmethod
    def of(cls, history: LossHistory, **known: Any) -> Curve:
        """The curve of a history whose best epoch is kept; known: the other fields.

        >>> from models.history import EpochLoss
        >>> Curve.of(LossHistory((EpochLoss(0, 0.9, 0.8, 1e-3, 0.1), EpochLoss(1, 0.7, 0.9, 1e-3, 0.1)))).kept
        0
        """
        epochs = [epoch for epoch in history.epochs if epoch.epoch >= 0]
        numbers = [epoch.epoch for epoch in epochs]
        validation = tuple(epoch.validation_loss for epoch in epochs)
        penalties = tuple(epoch.metrics.get("penalty", 0.0) for epoch in epochs)
        return cls(
            training=tuple(epoch.loss for epoch in epochs),
            validation=() if all(map(math.isnan, validation)) else validation,
            penalties=penalties if any(penalties) else (),
            learning_rates=tuple(epoch.learning_rate for epoch in epochs),
            kept=numbers.index(history.best_epoch) if history.best_epoch in numbers else None,
            **known,
        )


@dataclass(frozen=True, eq=False)
class Reading:
    """The numbers of a curve that the rules of the diagnosis look at; losses in the unit of the loss."""

    curve: Curve

    @property
    def epochs(self) -> int:
        return len(self.curve.training)

    @property
    def finite(self) -> bool:
        """Whether every loss that was given is a number."""
        curve = self.curve
        return bool(
            np.isfinite(curve.training).all()
            and np.isfinite(curve.validation).all()
            and np.isfinite(self.all_steps).all()
        )

    @cached_property
    def training(self) -> Losses:
        """Of each epoch, without penalties."""
        losses = np.array(self.curve.training, np.float64)
        return losses - np.array(self.curve.penalties) if self.curve.penalties else losses

    @cached_property
    def level(self) -> Losses:
        """Of each epoch in training, by the median of its steps where they are known: unmoved by a few bad batches."""
        if not self.curve.steps:
            return self.training
        medians = np.array(
            [np.median(steps) if len(steps) else math.nan for steps in self.curve.steps], np.float64
        )
        return medians - np.array(self.curve.penalties) if self.curve.penalties else medians

    @cached_property
    def judged(self) -> Losses:
        """Of each epoch on the validation rows, or in training where there are none."""
        return np.array(self.curve.validation, np.float64) if self.curve.validation else self.level

    @property
    def validated(self) -> bool:
        return bool(self.curve.validation)

    @cached_property
    def all_steps(self) -> Losses:
        """Of every step, one epoch after the other."""
        return np.concatenate([np.zeros(0), *[np.asarray(steps, np.float64) for steps in self.curve.steps]])

    @property
    def best(self) -> int:
        """The epoch with the lowest loss that is judged."""
        return int(np.argmin(self.judged))

    @property
    def lowest(self) -> float:
        return float(self.judged[self.best])

    @cached_property
    def end(self) -> float:
        """What is judged of the weights that are kept: of their epoch, or of the last, by the median of three."""
        if self.curve.kept is not None:
            return float(self.judged[self.curve.kept])
        return float(np.median(self.judged[-3:]))

    @cached_property
    def learned(self) -> float:
        """The training loss that goes with it: the median of three epochs."""
        last = self.epochs - 1 if self.curve.kept is None else min(self.curve.kept + 1, self.epochs - 1)
        return float(np.median(self.training[max(0, last - 2) : last + 1]))

    @cached_property
    def constant(self) -> float:
        """Loss of the best constant; where it is not known, of the network as it began."""
        given = self.curve.baselines.get("constant", math.nan)
        return given if math.isfinite(given) else float(self.level[0])

    @property
    def known_constant(self) -> float:
        """Loss of the best constant; nan where it is not known."""
        return self.curve.baselines.get("constant", math.nan)

    @property
    def line_learns(self) -> bool:
        """Whether a straight line is known to do better than a constant."""
        return bool(self.known_constant - self.simple >= LEARNS * self.scale)

    @property
    def penalised(self) -> bool:
        """Whether penalties on the weights were a part of the loss that counts."""
        curve = self.curve
        return bool(curve.penalties) and curve.penalties[0] >= PAID * abs(curve.training[0])

    @property
    def paid(self) -> float:
        """The share of the training loss that penalties are at the end; 0 without penalties."""
        curve = self.curve
        return (
            curve.penalties[-1] / abs(curve.training[-1]) if curve.penalties and curve.training[-1] else 0.0
        )

    @property
    def reached_target(self) -> bool:
        """Whether the training ended on purpose, at a loss that was asked for and that no constant has."""
        curve = self.curve
        if curve.target_loss is None:
            return False
        last = curve.validation[-1] if curve.validation else curve.training[-1]
        return last <= curve.target_loss and not self.known_constant <= curve.target_loss

    @property
    def what(self) -> str:
        """What is judged, in words."""
        return "validation loss" if self.validated else "training loss"

    @cached_property
    def simple(self) -> float:
        """Loss of the simple model; nan where it is not known."""
        return self.curve.baselines.get("simple", math.nan)

    @cached_property
    def rival(self) -> tuple[str, float]:
        """The best of what was learned without a network, but for the constant; ("", nan) where there is nothing."""
        others = {
            name: loss
            for name, loss in self.curve.baselines.items()
            if name != "constant" and math.isfinite(loss)
        }
        name = min(others, key=lambda one: others[one], default="")
        return name, others.get(name, math.nan)

    @cached_property
    def attainable(self) -> float:
        """The lowest loss that anything, the network included, has reached on the rows that judge."""
        return min(self.lowest, self.rival[1]) if self.rival[0] else self.lowest

    @cached_property
    def scale(self) -> float:
        """How large losses of this problem are: the constant's, or what was gained, where a loss may be negative."""
        if not self.curve.may_be_negative:
            return max(self.constant, SMALLEST * float(np.max(np.abs([*self.judged, *self.level, 1e-99]))))
        gained = max(self.constant, float(self.level[0])) - self.attainable
        return max(gained, np.finfo(np.float64).eps * max(abs(self.constant), 1.0))

    @cached_property
    def unit(self) -> float:
        """What there is to learn: from the constant down to what is attainable."""
        return max(self.constant - self.attainable, LEAST_UNIT * self.scale)

    @cached_property
    def noise(self) -> float:
        """How far the judged loss of an epoch lies from its trend; nan where there are too few epochs.

        From second differences, which a straight trend leaves at 0: of noise alone they have six times its variance.
        The first quarter of the epochs, where the loss falls in a curve, does not count.
        """
        bends = np.diff(self.judged, 2)[max(0, self.epochs // 4 - 1) :]
        return float(np.sqrt(np.mean(bends**2) / 6)) if len(bends) >= 2 else math.nan

    @cached_property
    def typical(self) -> float:
        """What chance leaves: the loss of the epoch that is kept, or the median over the later half of the epochs."""
        if self.curve.kept is not None:
            return self.end
        return float(np.median(self.judged[self.epochs // 2 :]))

    @property
    def turn(self) -> float:
        """How far what is kept has risen from the lowest."""
        return self.end - self.lowest

    @property
    def later_turn(self) -> float:
        """How far what is judged rose after the epoch that is kept."""
        return float(np.median(self.judged[-3:])) - self.end

    @property
    def gap(self) -> float:
        """How much more unseen rows cost than learned ones, by the weights that are kept; 0 without validation rows."""
        return self.end - self.learned if self.validated else 0.0

    @cached_property
    def last_quarter(self) -> int:
        """How many epochs the last quarter of the run has, at least one."""
        return max(1, self.epochs // 4)

    def fall(self, losses: Losses) -> float:
        """How far losses of epochs fell over the last quarter of the run; 0 for a single epoch."""
        if len(losses) < 2:
            return 0.0
        return float(losses[-1 - self.last_quarter] - losses[-1])

    @cached_property
    def jumps(self) -> tuple[Jump, ...]:
        """Steps (or epochs, where the steps are not known) far above those around them, to which the loss returned."""
        if len(self.all_steps):
            length = len(self.curve.steps[0])
            return jumps(self.all_steps, self.scale, self.floor, window=length)
        return (
            jumps(self.training, self.scale, self.floor, window=NARROWEST) if self.epochs > NARROWEST else ()
        )

    @cached_property
    def step_noise(self) -> float:
        """How far the loss of a step lies from those around it, as a share of it; nan without steps."""
        if len(self.all_steps) <= NARROWEST:
            return math.nan
        return _noise(_above(self.all_steps, self.floor, self.scale, len(self.curve.steps[0])))

    @property
    def floor(self) -> float:
        """Below which no loss goes: 0, or for a loss without a bottom the lowest one."""
        if not self.curve.may_be_negative:
            return 0.0
        return float(np.min([*self.all_steps, *self.training]))


@dataclass(frozen=True)
class Jump:
    """A step that cost far more than those around it. step: counted over all epochs, from 0."""

    step: int
    loss: float
    around: float


def learns_disturbed(network: Any) -> bool:
    """Whether a Keras network has layers that disturb it while it learns, so that its training loss is the higher one.

    Told by their names (Dropout, GaussianNoise, ...) and that they do something.
    """
    kind = type(network).__name__
    disturbs = kind.endswith(("Dropout", "Noise", "Dropout1D", "Dropout2D", "Dropout3D"))
    if disturbs and any(getattr(network, name, None) for name in ("rate", "stddev")):
        return True
    return any(learns_disturbed(layer) for layer in getattr(network, "layers", ()))


def jumps(losses: Losses, scale: float, floor: float = 0.0, *, window: int = WIDEST) -> tuple[Jump, ...]:
    """Losses far above the running median of those around them: single ones, for a level is its own median.

    scale: of the losses of this problem. floor: below which none goes. window: about how many steps are around, cut
    to NARROWEST to WIDEST.

    >>> losses = np.full(50, 1.0)
    >>> losses[30] = 9.0
    >>> jumps(losses, scale=2.0)
    (Jump(step=30, loss=9.0, around=1.0),)
    """
    if len(losses) <= NARROWEST:
        return ()
    above = _above(losses, floor, scale, window)
    around = running_median(losses, _window(window))
    limit = max(math.log(JUMP_RATIO), JUMP_NOISE * _noise(above))
    above[:NARROWEST] = 0.0  # a loss that falls from its start is no jump
    high = losses - around > JUMP * scale
    places = np.flatnonzero((above > limit) & high)
    if len(places) > max(SELDOM * len(losses), 1.1 * len(losses) / window):
        return ()
    certain = ((above > CERTAIN * limit) & high).any()
    nearly = int(np.count_nonzero((above > NEARLY * limit) & (above <= limit)))
    if not certain and len(places) < max(2, nearly):
        return ()
    return tuple(Jump(int(place), float(losses[place]), float(around[place])) for place in places)


def running_median(losses: Losses, window: int) -> Losses:
    """The median of so many losses around each; beyond the ends they are mirrored.

    window: odd.

    >>> running_median(np.array([1.0, 1.0, 9.0, 1.0, 2.0]), 3)
    array([1., 1., 1., 2., 1.])
    """
    half = window // 2
    wide = np.pad(np.asarray(losses, np.float64), half, mode="reflect")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(wide, window), axis=1))


def _above(losses: Losses, floor: float, scale: float, window: int) -> Losses:
    """How far each loss lies above those around it, on the log scale."""
    heights = np.maximum(losses - floor, 0.0) + FLOOR * scale
    around = running_median(losses, _window(window))
    return np.asarray(np.log(heights / (np.maximum(around - floor, 0.0) + FLOOR * scale)))


def _noise(above: Losses) -> float:
    """A standard deviation that a few jumps do not move."""
    return max(1.4826 * float(np.median(np.abs(above))), LEAST_NOISE)


def _window(wanted: int) -> int:
    return min(max(wanted, NARROWEST), WIDEST) // 2 * 2 + 1
