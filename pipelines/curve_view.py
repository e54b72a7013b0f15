"""What the pictures of a training show: its curve over one axis of epochs, smoothed, with its levels and spikes.

A place on the axis is an epoch's number: what is known after epoch 3 stands at 3, and its steps between 2 and 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.curve import Jump, jumps
from models.smoothing import smoothed, thinned, window_for
from pipelines.figures import count
from pipelines.kept_curve import KeptCurve

Values = NDArray[np.float64]

MOST_POINTS = 2000  # of a line; a screen has no more, and a page of three such lines is 100 kB
ORDINARY = 0.05  # of the lowest steps may lie below the picture
BASELINES = {"constant": "best constant", "simple": "simple model", "trees": "boosted trees"}
_SYSTEM = ("penalty", "cpu_seconds", "memory_mb")  # among an epoch's figures, and no judgement of the network


@dataclass(frozen=True, eq=False)
class StepLine:
    """Many values drawn as a line. x: places (k,); low, high: of the values there; smooth: around them. size: how many
    values stand behind a place."""

    x: Values
    low: Values
    high: Values
    smooth: Values
    size: int


@dataclass(frozen=True)
class Spike:
    """A step far above those around it. step: numbered over all from 0."""

    step: int
    x: float
    value: float
    around: float


@dataclass(frozen=True, eq=False)
class EpochLine:
    """A figure by epochs: in training and on the validation rows, (epochs,) each, nan where it is not known."""

    name: str
    training: Values
    validation: Values


@dataclass(frozen=True, eq=False)
class CurveView:
    """A training, ready to be drawn. points: of a line of steps at most."""

    kept: KeptCurve
    points: int = MOST_POINTS

    @cached_property
    def epochs(self) -> NDArray[np.int64]:
        """The numbers of the epochs; -1 is the network as it came into an update."""
        return np.array([epoch.epoch for epoch in self.kept.epochs], np.int64)

    @cached_property
    def loss(self) -> EpochLine:
        return EpochLine(self.kept.record.loss_name, self._of("loss"), self._of("validation_loss"))

    @cached_property
    def learning_rate(self) -> Values:
        """At the end of each epoch, (epochs,)."""
        return self._of("learning_rate")

    @cached_property
    def metrics(self) -> tuple[EpochLine, ...]:
        """Every other figure that the network measures, by epochs."""
        known = [name for epoch in self.kept.epochs for name in epoch.metrics]
        names = dict.fromkeys(name.removeprefix("val_") for name in known if name not in _SYSTEM)
        return tuple(EpochLine(name, self._metric(name), self._metric(f"val_{name}")) for name in names)

    @cached_property
    def levels(self) -> tuple[tuple[str, float], ...]:
        """What was learned without a network: names and losses on the validation rows."""
        found = self.kept.record.baselines
        return tuple((BASELINES.get(name, name), loss) for name, loss in found.items() if math.isfinite(loss))

    @cached_property
    def other_starts(self) -> tuple[Values, ...]:
        """Of a training from several seeds: the judged losses of those that were not kept, by epochs from 0."""
        record = self.kept.record
        others = (start for number, start in enumerate(record.starts) if number != record.chosen)
        return tuple(np.array(start, np.float64) for start in others if start)

    @cached_property
    def best(self) -> tuple[int, float] | None:
        """The epoch that is kept, and its judged loss; None where nothing is."""
        kept = {epoch.epoch: epoch.judged for epoch in self.kept.epochs}
        number = self.kept.record.kept
        return None if number is None or number not in kept else (number, kept[number])

    @cached_property
    def steps(self) -> StepLine | None:
        """The losses of the steps; None where they are not known."""
        loss = self.kept.steps.loss
        return _line(self._places, loss, self.kept.jumps, self.points) if len(loss) else None

    @cached_property
    def gradients(self) -> StepLine | None:
        """The lengths of the gradients that were measured; None where none was."""
        known = self._measured
        norms = self.kept.steps.gradient_norm[known]
        return _line(self._places[known], norms, self._gradient_jumps, self.points) if len(known) else None

    @cached_property
    def spikes(self) -> tuple[Spike, ...]:
        """Steps whose loss the diagnosis calls a spike."""
        places = self._places
        return tuple(_spike(jump, jump.step, places) for jump in self.kept.jumps)

    @cached_property
    def gradient_spikes(self) -> tuple[Spike, ...]:
        """Gradients far longer than those around them, by the measure of the losses."""
        known = self._measured
        return tuple(_spike(jump, int(known[jump.step]), self._places) for jump in self._gradient_jumps)

    @property
    def logarithmic(self) -> bool:
        """Whether a log scale can show every loss."""
        low = self.steps.low if self.steps is not None else np.zeros(0)
        shown = self._shown
        return bool(shown) and min(shown) > 0 and not (low <= 0).any()

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest loss that a picture has to hold: of epochs, levels and smoothed steps.

        Single steps may leave it, so that an explosion does not flatten all else; (0, 1) where nothing is known.
        """
        shown = self._shown
        if not shown:
            return 0.0, 1.0
        known = self.steps.low[np.isfinite(self.steps.low)] if self.steps is not None else ()
        usual = [float(np.quantile(known, ORDINARY))] if len(known) else []
        return min([*shown, *usual]), max(shown)

    @cached_property
    def summary(self) -> str:
        """The training in a sentence."""
        record = self.kept.record
        if not len(self.epochs):
            return f"{record.loss_name}: no epoch was finished"
        trained = sum(epoch.epoch >= 0 for epoch in self.kept.epochs)
        parts = [f"{count(trained)} epoch{'' if trained == 1 else 's'}"]
        parts += [f"{count(len(self.kept.steps))} steps"] if len(self.kept.steps) else []
        parts += [f"{count(record.rows)} rows learned from"] if record.rows else []
        parts += [f"judged on {count(record.judged)}"] if record.judged else []
        parts.append(self._end)
        return f"{record.loss_name}: {', '.join(parts)}"

    @property
    def _end(self) -> str:
        """What came of it."""
        if not self.kept.finished:
            return "not finished"
        if self.best is None:
            return "nothing kept"
        return f"epoch {self.best[0]} kept" if self.best[0] >= 0 else "the network as it came kept"

    @cached_property
    def _shown(self) -> tuple[float, ...]:
        lines = [self.loss.training, self.loss.validation, np.array([loss for _, loss in self.levels])]
        lines += [self.steps.smooth] if self.steps is not None else []
        lines += self.other_starts
        values = np.concatenate(lines)
        return tuple(values[np.isfinite(values)].tolist())

    @cached_property
    def _gradient_jumps(self) -> tuple[Jump, ...]:
        """Numbered over the gradients that were measured."""
        norms = self.kept.steps.gradient_norm[self._measured]
        return jumps(norms, float(np.median(norms))) if len(norms) else ()

    @cached_property
    def _measured(self) -> NDArray[np.intp]:
        norms = self.kept.steps.gradient_norm
        return np.flatnonzero(np.isfinite(norms) & (norms > 0))

    @cached_property
    def _places(self) -> Values:
        """Where each step stands; an epoch that was broken off has room for as many as the others."""
        table = self.kept.steps
        numbers, inverse, counts = np.unique(table.epoch, return_inverse=True, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        within = np.arange(len(table)) - starts[inverse] if len(table) else np.zeros(0)
        size = counts.max() if len(counts) else 1
        return np.asarray(numbers[inverse] - 1 + (within + 1) / size, np.float64) if len(table) else within

    def _of(self, name: str) -> Values:
        return np.array([getattr(epoch, name) for epoch in self.kept.epochs], np.float64)

    def _metric(self, name: str) -> Values:
        return np.array([epoch.metrics.get(name, math.nan) for epoch in self.kept.epochs], np.float64)


def _line(places: Values, values: NDArray[Any], spikes: tuple[Jump, ...], points: int) -> StepLine:
    """Spikes are drawn, and marked, and do not lift the smoothed line."""
    calm = np.array(values, np.float64)
    calm[[jump.step for jump in spikes]] = [jump.around for jump in spikes]
    groups = thinned(values, points)
    middle = np.round(groups.places).astype(np.intp)
    return StepLine(
        np.interp(groups.places, np.arange(len(places)), places),
        groups.low,
        groups.high,
        smoothed(calm, window_for(len(calm)))[middle],
        groups.size,
    )


def _spike(jump: Jump, step: int, places: Values) -> Spike:
    return Spike(step, float(places[step]), jump.loss, jump.around)
