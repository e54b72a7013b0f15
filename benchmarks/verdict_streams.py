"""Made streams with a known cause for what happens in them, a model in numpy in place of a network, and its judgements.

Four processes: two to choose settings on ("orders", "demand"), two that were used for nothing but the figures ("loans",
"prices"). Each has eight columns: numbers of several shapes, of which some matter much and one not at all, and two
categories. In a part of the rows (`hard`) the target is hardly to be known; few rows lie there before a harmful shift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from monitoring.budget import Budget
from monitoring.input_alarm import InputDetector
from monitoring.judging import Judgement, judge_windows
from monitoring.loss_alarm import AlarmConfig
from monitoring.recovery import LabelledWindow
from monitoring.window import Window
from pipelines.objective import Objective
from pipelines.reference import (
    Reference,
    make_correction,
    make_loss_reference,
    make_reference,
    make_slices,
)
from pipelines.watched_inputs import Answers
from pipelines.window_facts import WindowFacts, count_rows, fact_of, with_inputs

Array = npt.NDArray[Any]
Columns = dict[str, Array]
Process = Literal["orders", "demand", "loans", "prices"]

TUNED: tuple[Process, ...] = ("orders", "demand")
KEPT: tuple[Process, ...] = ("loans", "prices")
BEGIN = datetime(2021, 1, 4, tzinfo=UTC)
TAUGHT, UNSEEN = 16, 10  # windows of the reference that train the model, and that it has not seen
CHANGE = 12  # the window of the service in which things change
HIDDEN = 24  # units of the model
FACTORS = (1000.0, 0.001, 60.0, 100.0, 0.01)  # by which a unit changes


@dataclass(frozen=True)
class Scenario:
    """What happens. kind: the verdict that is right; names: what may be named as its cause, () where nothing is."""

    name: str
    kind: str
    names: tuple[str, ...] = ()
    day: bool = False
    until: int = 10**9  # the window of the service in which it is over


@dataclass(frozen=True)
class Rows:
    columns: Columns
    target: Array
    times: Array


# --- what the rows are like ---


@dataclass(frozen=True)
class _Shape:
    """The form of a process. classes: whether the target is one of two; weights: of the columns in it."""

    classes: bool
    weights: tuple[float, ...]
    regions: int
    hard: str  # the column beyond whose `hard_from` standard deviations the target is hardly known
    hard_from: float
    idle: str  # the column that means nothing
    main: str  # the column that means most
    noise: float
    curve: Callable[[Array], Array]


SHAPES: Mapping[Process, _Shape] = {
    "orders": _Shape(True, (1.8, -1.0, 0.6, 0.5, 0.0, 0.4), 12, "c3", 1.2, "c4", "c0", 0.0, np.tanh),
    "demand": _Shape(False, (2.0, 1.0, -0.8, 0.5, 0.0, 0.3), 10, "c3", 1.2, "c4", "c0", 0.6, np.sin),
    "loans": _Shape(True, (-0.9, 1.9, 0.5, 0.0, 0.7, -0.5), 15, "c4", 1.3, "c3", "c1", 0.0, np.arctan),
    "prices": _Shape(False, (0.7, -0.5, 2.2, 0.0, 0.6, 0.8), 8, "c4", 1.1, "c3", "c2", 0.8, np.cos),
}


class Stream:
    """Rows of one process and seed, window by window."""

    def __init__(self, process: Process, seed: int, scenario: Scenario, rows: int) -> None:
        self.process, self.scenario, self.rows = process, scenario, rows
        self._shape = SHAPES[process]
        self._rng = np.random.default_rng((seed, sum(map(ord, process + scenario.name))))
        shares = 1 / np.arange(3, 3 + self._shape.regions)
        self._shares = shares / shares.sum()
        self._effects = self._rng.normal(0, 0.5, self._shape.regions)
        self._before: list[Rows] = []
        self.slice = int(self._rng.integers(2, min(self._shape.regions, 8)))
        self._size = float(self._rng.uniform(0.7, 1.0))  # how much of what may happen does
        self._factor = float(self._rng.choice(FACTORS))
        # a target of two classes is the surer the further out, so that the loss does not rise there
        self.beyond = bool(self._rng.random() < 0.5) and not self._shape.classes

    @property
    def length(self) -> timedelta:
        return timedelta(days=1) if self.scenario.day else timedelta(weeks=1)

    def window(self, number: int) -> Rows:
        """The rows of a window, counted from the start of the service; those of the reference are below 0."""
        start = np.datetime64(BEGIN.replace(tzinfo=None), "us") + number * np.timedelta64(self.length)
        seconds = np.sort(self._rng.random(self.rows)) * self.length.total_seconds()
        times = start + (seconds * 1e6).astype("timedelta64[us]")
        happens = CHANGE <= number < self.scenario.until
        plain = self._plain(number, since=number - CHANGE if happens else None)
        made = Rows(plain[0], plain[1], times)
        made = self._broken(made) if happens else made
        self._before = [*self._before, made][-2:]
        return made

    def _plain(self, number: int, since: int | None) -> tuple[Columns, Array]:
        shape, rng, name = self._shape, self._rng, self.scenario.name
        normal = rng.standard_normal((self.rows, 6))
        normal[:, 1:] = 0.9 * normal[:, 1:] + 0.3 * normal[:, :1] / np.sqrt(1)
        shares = self._shares
        if self.scenario.day:
            normal[:, 0] += 0.6 * np.sin(2 * np.pi * number / 7)
            normal[:, 2] += 0.4 * (number % 7 >= 5)
        if since is not None and name == "benign covariate shift":
            normal[:, int(shape.idle[1])] += 1.5 * self._size
        if since is not None and name == "harmful covariate shift":
            # to where the target is hardly known, or to where the model has never been
            normal[:, int((shape.main if self.beyond else shape.hard)[1])] += (
                3.5 if self.beyond else 1.5
            ) * self._size
        region = rng.choice(shape.regions, self.rows, p=shares)
        kind = rng.choice(4, self.rows, p=[0.5, 0.25, 0.15, 0.1])
        target = self._target(normal, region, kind, since)
        columns = {
            "c0": normal[:, 0],
            "c1": np.exp(3 + 0.5 * normal[:, 1]),
            "c2": 1000 + 40 * normal[:, 2],
            "c3": np.round(10 * normal[:, 3], 1),
            "c4": normal[:, 4],
            "c5": np.exp(0.8 * normal[:, 5]),
            "region": np.array([f"r{k}" for k in range(shape.regions)], dtype=object)[region],
            "kind": np.array(["shop", "web", "phone", "post"], dtype=object)[kind],
        }
        return columns, target

    def _target(self, normal: Array, region: Array, kind: Array, since: int | None) -> Array:
        shape, rng, name = self._shape, self._rng, self.scenario.name
        weights = np.array(shape.weights)
        main = int(shape.main[1])
        part = 0.0
        if since is not None and name == "sudden concept change":
            part = self._size
        if since is not None and name == "slow concept change":
            part = self._size * min((since + 1) / 20, 1.0)
        turned = weights.copy()
        turned[main] *= 1 - part
        turned[(main + 3) % 6] += part
        score = normal @ turned + shape.curve(2 * normal[:, 0]) * 0.5 + self._effects[region]
        score += np.array([0.3, -0.3, 0.1, 0.0])[kind]
        if since is not None and name == "one slice only":
            score = np.where(region == self.slice, -score - 1.0, score)
        hard = normal[:, int(shape.hard[1])] > shape.hard_from
        if shape.classes:
            chance = 1 / (1 + np.exp(-np.where(hard, 0.1, 1.6) * score))
            return np.asarray((rng.random(self.rows) < chance).astype(np.float64))
        noise = shape.noise * rng.standard_gamma(2.0, self.rows) / np.sqrt(2)
        return np.asarray(score + np.where(hard, 3.0, 1.0) * noise)

    def _broken(self, made: Rows) -> Rows:
        name, columns = self.scenario.name, dict(made.columns)
        if name == "unit change":
            columns["c2"] = columns["c2"] * self._factor
        elif name == "null burst":
            gone = self._rng.random(self.rows) < 0.5 * self._size
            columns[self._shape.main] = np.where(gone, np.nan, columns[self._shape.main])
        elif name == "duplicated feed":
            return self._again(made)
        return replace(made, columns=columns)

    def _again(self, made: Rows) -> Rows:
        """From some row on the window is the end of the window before."""
        half = int((1 - 0.9 * self._size) * self.rows)
        before = self._before[-1]
        columns = {
            name: np.concatenate([values[:half], before.columns[name][half:]])
            for name, values in made.columns.items()
        }
        target = np.concatenate([made.target[:half], before.target[half:]])
        return Rows(columns, target, made.times)


def scenarios(process: Process, region: int = 0, *, beyond: bool = False) -> tuple[Scenario, ...]:
    """Everything that may happen, with what is right to say of it.

    region: in which alone harm is done; beyond: whether the harmful shift leads to where the model has never been.
    """
    shape = SHAPES[process]
    return (
        Scenario("stationary", "quiet"),
        Scenario("seasonal", "quiet", day=True),
        Scenario("benign covariate shift", "benign shift", (shape.idle,)),
        Scenario("harmful covariate shift", "harmful shift", (shape.main if beyond else shape.hard,)),
        Scenario("sudden concept change", "concept change", (shape.main, f"c{(int(shape.main[1]) + 3) % 6}")),
        Scenario("slow concept change", "concept change", (shape.main, f"c{(int(shape.main[1]) + 3) % 6}")),
        Scenario("one slice only", "concept change", (f"region = r{region}",)),
        Scenario("unit change", "data fault", ("c2",)),
        Scenario("null burst", "data fault", (shape.main,), until=CHANGE + 3),
        Scenario("duplicated feed", "data fault", ("all columns",)),
    )


# --- the model ---


class Model:
    """Random tanh units and a linear part, fitted by ridge or logistic regression."""

    def __init__(self, columns: Columns, target: Array, classes: bool, rng: np.random.Generator) -> None:
        self._levels = {
            name: np.unique(values.astype(str)) for name, values in columns.items() if values.dtype == object
        }
        numbers = {name: values for name, values in columns.items() if values.dtype != object}
        self._scale = {
            name: (float(values.mean()), float(values.std()), float(values.min()), float(values.max()))
            for name, values in numbers.items()
        }
        inputs = self.inputs(columns)
        self._hidden = rng.normal(0, 0.7, (inputs.shape[1], HIDDEN))
        self._classes = classes
        features = self._features(inputs)
        penalty = np.eye(features.shape[1])
        self._weights = np.zeros(features.shape[1])
        for _ in range(12 if classes else 1):
            answer = features @ self._weights
            chance = 1 / (1 + np.exp(-answer)) if classes else answer
            curve = chance * (1 - chance) + 1e-6 if classes else np.ones(len(target))
            slope = features.T @ (target - chance) - (penalty @ self._weights if classes else 0)
            self._weights = self._weights + np.linalg.solve((features.T * curve) @ features + penalty, slope)

    def inputs(self, columns: Columns) -> npt.NDArray[np.float32]:
        parts = [
            np.nan_to_num((np.clip(columns[name], low, high) - mean) / deviation)[:, None]
            for name, (mean, deviation, low, high) in self._scale.items()
        ]
        parts += [
            (columns[name].astype(str)[:, None] == levels).astype(float)
            for name, levels in self._levels.items()
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _features(self, inputs: Array) -> Array:
        return np.column_stack([np.ones(len(inputs)), inputs, np.tanh(inputs @ self._hidden)])

    def predict(self, inputs: Array) -> Array:
        answer = self._features(inputs) @ self._weights
        return np.asarray(1 / (1 + np.exp(-answer)) if self._classes else answer)[:, None]


def _log_losses(target: Array, prediction: Array) -> Array:
    chance = np.clip(prediction[:, 0], 1e-7, 1 - 1e-7)
    return np.asarray(-np.where(target == 1, np.log(chance), np.log(1 - chance)))


def _squared(target: Array, prediction: Array) -> Array:
    return np.asarray((target - prediction[:, 0]) ** 2)


def objective_of(process: Process) -> Objective:
    if SHAPES[process].classes:
        return Objective("binary_crossentropy", "logit", _log_losses)
    return Objective("mean_squared_error", "identity", _squared)


# --- the monitor ---


@dataclass(frozen=True)
class Judged:
    """A stream that was judged, window by window from the first of the service on."""

    scenario: Scenario
    judgements: tuple[Judgement, ...]


def judged(process: Process, seed: int, which: int, *, windows: int, rows: int) -> Judged:
    """Lives through one scenario: a model and its reference are made, every window is judged as by the live monitor."""
    names = scenarios(process)
    stream = Stream(process, seed, names[which], rows)
    scenario = scenarios(process, stream.slice, beyond=stream.beyond)[which]
    goal = objective_of(process)
    model, reference = _reference(stream, goal, np.random.default_rng(seed))
    facts: list[WindowFacts] = []
    budget = Budget(1000.0)
    detector = InputDetector(reference.inputs, budget.of("inputs")) if reference.inputs is not None else None
    for number in range(windows):
        facts.append(_fact(stream, number, model, reference, goal, facts, detector))
    found = judge_windows(
        reference,
        reference.loss,
        facts,
        config=AlarmConfig(),
        worth=0.01,
        budget=budget,
        correctable=True,
    )
    return Judged(scenario, tuple(found))


def _reference(stream: Stream, goal: Objective, rng: np.random.Generator) -> tuple[Model, Reference]:
    parts = [stream.window(number) for number in range(-TAUGHT - UNSEEN, 0)]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    target, times = (np.concatenate([getattr(part, name) for part in parts]) for name in ("target", "times"))
    unseen = np.arange(len(target)) >= TAUGHT * stream.rows
    taught = {name: values[~unseen] for name, values in columns.items()}
    model = Model(taught, target[~unseen], SHAPES[stream.process].classes, rng)
    inputs = model.inputs(columns)
    predictions = model.predict(inputs)
    losses = goal.row_losses(target, predictions)
    windows = [_window(stream, number) for number in range(-TAUGHT - UNSEEN, 0)]
    loss = make_loss_reference(losses, unseen, times, windows)
    correction = make_correction(inputs[unseen], predictions[unseen], target[unseen], goal)
    slices = make_slices(
        columns, predictions, losses, times, windows, unseen=unseen, ceiling=loss.ceiling, targets=target
    )
    answers = Answers(predictions[unseen], times[unseen])
    made = make_reference(
        columns, times, windows, loss=loss, correction=correction, slices=slices, answers=answers
    )
    return model, made


def _window(stream: Stream, number: int) -> Window:
    return Window(BEGIN + number * stream.length, BEGIN + (number + 1) * stream.length)


def _fact(
    stream: Stream,
    number: int,
    model: Model,
    reference: Reference,
    goal: Objective,
    before: Sequence[WindowFacts],
    detector: InputDetector | None,
) -> WindowFacts:
    made = stream.window(number)
    inputs = model.inputs(made.columns)
    predictions = model.predict(inputs)
    losses = goal.row_losses(made.target, predictions)
    labelled = LabelledWindow(inputs, predictions, made.target, losses)
    counts = count_rows(
        made.columns,
        made.times,
        labelled,
        made.columns,
        reference,
        served=losses,
        arrived=len(losses),
        predictions=predictions,
    )
    window = _window(stream, number)
    fact = fact_of(number, window, counts, before, goal=goal, reference=reference, loss=reference.loss)
    return with_inputs(fact, counts.inputs, detector)
