"""Recoverable loss: how much of the loss of the deployed version could a retraining win back?

Loss may rise because the world got noisier (nothing to win) or because what the network learned is no longer
so (much to win), and it may stay level while a better answer became possible. A small correction of the deployed
network's output, linear in its prepared inputs, is fitted on the labelled rows of the windows so far and scored
on the next window, which it has not seen, against the deployed version *on the same rows*. The paired difference
is far less noisy than the loss: noise, season and hard days cancel.

Corrections of several memories compete (the last window, the last four, all since the deployment); the
evidence of each is added up by `evidence.Detector` and averaged, which keeps the budget of false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from monitoring.evidence import Detector, normal_score, threshold_for

Array = npt.NDArray[np.float64]
Link = Literal["identity", "logit", "softmax"]
RowLosses = Callable[[Array, Array], Array]  # (target, prediction) -> (n,)

MEMORIES = (1, 4, 16)  # windows that a correction remembers
STANDING_PARTS = 8  # the rows before a deployment count as so many windows
MOST_HORIZON = 24  # windows for which a correction must hold at most: the hours of a day
# belief that the deployed version needs no correction. One window's rows count for as much as it does, for windows
# differ by chance from each other in more than their rows; and each input, with all others, for so many rows more
# (a correction of half a logit, spread over all inputs, is expected beforehand)
PENALTY_WINDOWS, PENALTY_INPUT = 1.0, 8.0
MOST_ROWS = 16_000  # a correction has a few hundred weights; of more rows an even share is taken
# of the run length asked for, that is kept while exactly `worth` is recoverable, where a retraining breaks even. While
# nothing changes nothing is recoverable, and evidence shrinks: over 4,800 windows of 60 and 200 rows of made streams
# it stayed below 5, where a score without a mean would have passed 5 in every stream
AT_THE_BOUNDARY = 0.25
BLOCKS = 20  # a window's rows in time order, cut into so many blocks: rows of an hour share their weather


@dataclass(frozen=True)
class LabelledWindow:
    """Labelled rows of one window in time order, as the deployed version saw them.

    inputs (n, width): prepared. prediction (n, outputs): of the deployed version. target (n,): prepared.
    losses (n,): of the deployed version.
    """

    inputs: npt.NDArray[np.float32]
    prediction: Array
    target: Array
    losses: Array


@dataclass(frozen=True)
class Correction:
    """Weights (1 + outputs + width, outputs) of one memory, fitted at the end of a window."""

    memory: int
    weights: Array


@dataclass(frozen=True)
class Gain:
    """What the corrections of one memory won on a window that they had not seen.

    gain: mean of the paired differences over rows and over the corrections of the last `horizon` windows.
    error: its standard error over blocks of rows.
    """

    memory: int
    gain: float
    error: float
    loss: float
    blocks: int


@dataclass(frozen=True)
class Recovery:
    """Recoverable loss after a window. share: of the loss, by the best correction; start: a window's index."""

    share: float
    evidence: float
    threshold: float
    start: int

    @property
    def shown(self) -> bool:
        return self.evidence >= self.threshold


def fit_corrections(
    windows: Sequence[LabelledWindow], link: Link, before: Sequence[Correction] = ()
) -> tuple[Correction, ...]:
    """Corrections at the end of the last of these windows, one for each memory that differs.

    before: those at the end of the window before, from which the fit sets out; they change only its time.
    """
    lengths = sorted({min(memory, len(windows)) for memory in MEMORIES})
    starts = [
        before[min(place, len(before) - 1)].weights if before else None for place in range(len(lengths))
    ]
    return tuple(
        Correction(length, _fit_correction(windows[-length:], link, start))
        for length, start in zip(lengths, starts, strict=True)
    )


def standing_correction(window: LabelledWindow, link: Link) -> Array:
    """What could have been corrected before the deployment, on rows that the version was not trained on.

    A network may be too timid or too bold from the start. That is no change: see `with_correction`.
    """
    parts = [
        LabelledWindow(window.inputs[rows], window.prediction[rows], window.target[rows], window.losses[rows])
        for rows in np.array_split(np.arange(len(window.losses)), STANDING_PARTS)
    ]
    return _fit_correction(parts, link, None)


def with_correction(
    window: LabelledWindow, weights: Array, link: Link, row_losses: RowLosses
) -> LabelledWindow:
    """The window as if the version had answered with its standing correction: only what changed is left to win."""
    corrected = _corrected(weights, window.inputs, window.prediction, link)
    return LabelledWindow(window.inputs, corrected, window.target, row_losses(window.target, corrected))


def _corrected(weights: Array, inputs: npt.NDArray[np.float32], prediction: Array, link: Link) -> Array:
    output = _output(prediction, link)
    return _activate(output + _features(inputs, output) @ weights, link)


def horizon_of(window: timedelta) -> int:
    """For how many windows a correction must hold: a week, for days differ from each other; at least one window.

    >>> horizon_of(timedelta(days=1)), horizon_of(timedelta(weeks=1)), horizon_of(timedelta(hours=1))
    (7, 1, 24)
    """
    return min(max(math.ceil(timedelta(days=7) / window), 1), MOST_HORIZON)


def window_gains(
    corrections: Sequence[tuple[Correction, ...]],
    window: LabelledWindow,
    link: Link,
    row_losses: RowLosses,
    *,
    horizon: int,
) -> tuple[Gain, ...]:
    """Gains on this window of the corrections fitted at the ends of the windows before it, in time order.

    horizon: so many corrections are averaged; one counts as nothing gained where it did not exist yet.
    Empty without a window before.
    """
    recent = corrections[-horizon:]
    if not recent or not len(window.losses):
        return ()
    output = _output(window.prediction, link)
    features = _features(window.inputs, output)
    gains = []
    for place in range(len(recent[-1])):
        differences = np.zeros(len(window.losses))
        for fitted in recent:
            weights = fitted[min(place, len(fitted) - 1)].weights
            corrected = _activate(output + features @ weights, link)
            differences += window.losses - row_losses(window.target, corrected)
        gains.append(_gain(recent[-1][place].memory, window.losses, differences / horizon))
    return tuple(gains)


def _gain(memory: int, losses: Array, difference: Array) -> Gain:
    blocks = min(BLOCKS, len(difference))
    means = np.array([block.mean() for block in np.array_split(difference, blocks)])
    error = float(means.std(ddof=1) / np.sqrt(blocks)) if blocks > 1 else float("nan")
    return Gain(memory, float(difference.mean()), error, float(losses.mean()), blocks)


def recoveries(gains: Sequence[tuple[Gain, ...]], *, worth: float, run_length: float) -> tuple[Recovery, ...]:
    """The sequential test over the windows since the deployment: is more than `worth` of the loss recoverable?

    gains: one entry a window, as `window_gains` gave it. run_length: windows between two false alarms while nothing
    changes; see `AT_THE_BOUNDARY`.
    """
    detectors = [Detector() for _ in MEMORIES]
    threshold = threshold_for(AT_THE_BOUNDARY * run_length)
    found = []
    for window in gains:
        for place, detector in enumerate(detectors):
            detector.update(_score(window[min(place, len(window) - 1)], worth) if window else -1.0)
        best = max(window, key=lambda gain: gain.gain, default=None)
        leader = max(detectors, key=lambda detector: detector.evidence)
        found.append(
            Recovery(
                share=best.gain / abs(best.loss) if best and best.loss else 0.0,
                evidence=float(np.mean([detector.evidence for detector in detectors])),
                threshold=threshold,
                start=max(leader.start - 1, 0),  # the correction had learned it from the window before
            )
        )
    return tuple(found)


def _score(gain: Gain, worth: float) -> float:
    if not gain.error > 0:
        return 0.0
    return normal_score((gain.gain - worth * abs(gain.loss)) / gain.error, gain.blocks - 1)


def _features(inputs: npt.NDArray[np.float32], output: Array) -> Array:
    """Columns of the correction: a shift, the output itself (a new slope), and every input."""
    return np.column_stack([np.ones(len(inputs)), output, inputs]).astype(np.float64)


def _output(prediction: Array, link: Link) -> Array:
    """The network's output before its last activation, shape (n, outputs)."""
    clipped = np.clip(prediction, 1e-6, 1.0)
    if link == "logit":
        return np.asarray(np.log(clipped) - np.log(np.clip(1.0 - prediction, 1e-6, 1.0)))
    return np.asarray(np.log(clipped)) if link == "softmax" else prediction


def _fit_correction(windows: Sequence[LabelledWindow], link: Link, start: Array | None) -> Array:
    """Weights of the penalised correction."""
    every = max(-(-sum(len(window.losses) for window in windows) // MOST_ROWS), 1)
    inputs = np.concatenate([window.inputs for window in windows])[::-every]
    prediction = np.concatenate([window.prediction for window in windows])[::-every]
    target = np.concatenate([window.target for window in windows])[::-every]
    output = _output(prediction, link)
    features = _features(inputs, output)
    typical = len(target) / len(windows)
    penalty = _penalty(features, output.shape[1], typical)
    if link == "identity":
        residual = target.reshape(len(target), -1) - output
        return np.asarray(np.linalg.solve(features.T @ features + penalty, features.T @ residual))
    hits = np.eye(output.shape[1])[target.astype(int)] if link == "softmax" else target.reshape(-1, 1)
    # a row of a logit weighs at most a quarter
    return _newton(features, output, hits, penalty / 4, link, start)


def _penalty(features: Array, outputs: int, window_rows: float) -> Array:
    """Diagonal matrix in rows' worth; a column counts by its own size, so that units do not matter."""
    width = features.shape[1] - 1 - outputs
    rows = np.full(features.shape[1], PENALTY_WINDOWS * window_rows)
    rows[1 + outputs :] = np.maximum(rows[1 + outputs :], PENALTY_INPUT * width)
    return np.diag(rows * np.maximum((features**2).mean(axis=0), 1e-6))


def _newton(
    features: Array,
    output: Array,
    hits: Array,
    penalty: Array,
    link: Link,
    start: Array | None,
    most: int = 25,
) -> Array:
    """Logistic or softmax correction by damped Newton steps on the penalised likelihood."""
    weights = np.zeros((features.shape[1], output.shape[1])) if start is None else start
    bound = 0.5 * features.T @ features + penalty if link == "softmax" else None
    cost = _cost(weights, features, output, hits, penalty, link)
    for _ in range(most):
        probability = _activate(output + features @ weights, link)
        slope = features.T @ (hits - probability) - penalty @ weights
        # softmax: Boehning 1992, 1/2 (I - 11'/k) bounds the Hessian for every probability
        curve = (
            bound
            if bound is not None
            else (features * (probability * (1 - probability))).T @ features + penalty
        )
        step = np.linalg.solve(curve, slope)
        for _halving in range(8):
            trial = _cost(weights + step, features, output, hits, penalty, link)
            if trial < cost:
                break
            step = step / 2
        else:
            return weights
        weights = weights + step
        if cost - trial < 1e-4 * len(features):  # a ten-thousandth of a nat a row
            return weights
        cost = trial
    return weights


def _cost(weights: Array, features: Array, output: Array, hits: Array, penalty: Array, link: Link) -> float:
    probability = np.clip(_activate(output + features @ weights, link), 1e-12, 1.0)
    misfit = -np.sum(hits * np.log(probability))
    if link == "logit":
        misfit -= np.sum((1 - hits) * np.log(np.clip(1 - probability, 1e-12, 1.0)))
    return float(misfit + 0.5 * np.sum(weights * (penalty @ weights)))


def _activate(output: Array, link: Link) -> Array:
    if link == "logit":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(output, -30, 30))))
    if link == "softmax":
        shifted = np.exp(output - output.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
    return output
