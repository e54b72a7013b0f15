"""The slice alarm: has the loss risen in some of the rows only, and in which?

A rise carried by a twentieth of the rows moves the mean of all by little. So the loss of each slice is compared with
what it was on the reference, as a ratio, after two corrections: for what its inputs let expect now (a slice whose rows
moved within it has another expectation), and for how much the rest of the rows have risen (a hard day is no slice).
The ratio of two means of positive losses is about gamma distributed and becomes a normal score by Wilson and Hilferty's
cube root (1931), which holds for few rows and skewed losses better than a logarithm.

Two scores of each slice go into a detector each: against the reference with a tolerance and with what the reference is
uncertain itself, and against reference and windows before together. The evidence of all is averaged, which keeps one
budget whatever the number of slices and however they overlap (a mean of e-detectors is one: Shin, Ramdas, Rinaldo
2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitoring.evidence import CLIP, MOST_EVIDENCE, RATES, threshold_for
from monitoring.loss_slices import SliceReference, SliceSums

Floats = NDArray[np.float64]

TOLERANCE = 0.1  # a slice is a part of the rows: a rise by a tenth in it is little of the whole
# where hardly anything is lost, a multiple of it is still hardly anything: a rise counts against this share of the loss
# of all rows at least
MATTERS = 0.25
PRIOR_ROWS = 30.0  # with the variance of all, for a slice in which errors are rare has shown too few of them
ERRORS = 2.0  # standard errors of the reference that are forgiven, as in the loss alarm
LEAST_LABELLED = 100  # labelled rows of a window, that its parts be looked at
MOST_VARIANCE = 1.0  # of a ratio; with fewer rows than that a slice says nothing in a window
SUSPICION = 0.25  # share of the threshold from which a slice's window does not enter its baseline
# windows' worth of belief that rows explain all; that columns are alike
PRIOR_WINDOWS, PRIOR_OF_ALL = 10.0, 4.0
MOST_WINDOWS = 12  # of the reference, that what comes may count
FEWEST_SLICES = 4  # whose median says something
MEDIAN_SQUARE = 0.455  # of a standard normal score
SHOWN = 24  # slices of a window that are kept
SLOW = 0.05  # a slice's share of a window that is remembered at least, so that a baseline never stands still


@dataclass(frozen=True)
class SliceLoss:
    """One slice in one window. reference_loss: what its rows were expected to lose; losses winsorised.

    evidence: of the slice alone. named: whether the alarm is about it.
    """

    name: str
    column: str
    rows: int
    loss: float
    reference_loss: float
    evidence: float
    named: bool

    @property
    def raised(self) -> bool:
        return self.named

    @property
    def rise(self) -> float:
        """As a share of what was expected; `nan` without rows."""
        return (
            (self.loss - self.reference_loss) / abs(self.reference_loss)
            if self.reference_loss
            else float("nan")
        )

    def __str__(self) -> str:
        figures = f"loss {self.reference_loss:.4g} → {self.loss:.4g} ({self.rise:+.0%})"
        return f"{self.name}: {figures} over {self.rows:,} rows"


@dataclass(frozen=True)
class SliceAlarm:
    """What all slices say after one window. start: index of the window in which the rise most likely began.

    slices: those with the most evidence, the named ones first.
    """

    slices: tuple[SliceLoss, ...]
    evidence: float
    threshold: float
    start: int

    @property
    def raised(self) -> bool:
        return self.evidence >= self.threshold

    @property
    def named(self) -> tuple[SliceLoss, ...]:
        """The slices that the alarm is about, the clearest first."""
        return tuple(one for one in self.slices if one.named)

    def __str__(self) -> str:
        which = "; ".join(map(str, self.named[:3])) if self.named else "no slice"
        return (
            f"in a part of the rows: {which}: evidence {self.evidence:,.0f}, threshold {self.threshold:,.0f}"
        )


def slice_alarms(
    reference: SliceReference | None, windows: Sequence[SliceSums | None], run_length: float
) -> tuple[SliceAlarm | None, ...]:
    """The alarm over the slices after each window since the deployment, in order of time; None where none is known.

    run_length: windows between two false alarms of all slices together.
    """
    if reference is None or not any(reference.tested):
        return (None,) * len(windows)
    detector = _Slices(reference, threshold_for(run_length))
    return tuple(detector.update(window) for window in windows)


def calibrated(reference: SliceReference, windows: Sequence[SliceSums]) -> SliceReference:
    """The reference with how restless the slices of each column were over its own windows."""
    values = (restlessness(reference, window) for window in windows)
    found = [value for value in values if value is not None]
    if not found:
        return reference
    return replace(reference, restless=tuple(np.sum(found, axis=0).tolist()), windows=len(found))


def restlessness(reference: SliceReference, window: SliceSums) -> Floats | None:
    """How many times as much the slices of a column differ from the reference as their rows explain, shape (columns,).

    From the median square of the scores, which one slice that has really risen does not move; of a column with few
    slices that of all. The rows of a slice may come together: those of a weekday share their weather, those of a
    carrier do not. None where too few slices can be looked at.
    """
    found = _compared(reference, window)
    return None if found is None else _restlessness(found, _columns_of_tested(reference), len(reference.cuts))


@dataclass(frozen=True, eq=False)
class _Compared:
    """The tested slices of a window, shape (slices,). ratio: of the loss to what was expected, over that of the rest.

    variance: of the ratio, from the rows alone; error: standard error of the ratio of the reference.
    """

    rows: Floats
    loss: Floats
    baseline: Floats
    ratio: Floats
    variance: Floats
    error: Floats
    usable: NDArray[np.bool_]


def _compared(reference: SliceReference, window: SliceSums) -> _Compared | None:
    if window.all_rows < LEAST_LABELLED or reference.all_loss <= 0:
        return None
    tested = np.flatnonzero(reference.tested)
    known = np.array(reference.rows, np.float64)[tested]
    rows, loss = window.rows[tested], window.loss[tested]
    per_row = np.maximum(rows, 1.0)
    before = np.array(reference.loss)[tested] / known
    moved = window.expected[tested] / per_row - np.array(reference.expected)[tested] / known
    baseline = np.where(rows > 0, np.maximum(before + moved, 0.3 * np.abs(before)), before)
    spread = np.maximum(np.array(reference.square)[tested] / known - before**2, 0.0)
    overall, variance_of_all = _moments(reference)
    size = np.maximum(np.abs(baseline), MATTERS * overall)
    spread = (known * spread + PRIOR_ROWS * variance_of_all) / (known + PRIOR_ROWS)
    own = spread / size**2
    rest = _rest(reference, window, rows, loss, baseline)
    ratio = 1 + (loss / per_row - baseline) / size
    others = np.maximum(window.all_rows - rows, 1.0)
    variance = own / per_row + variance_of_all / overall**2 / others
    usable = (rows > 0) & (variance <= MOST_VARIANCE)
    return _Compared(
        rows, loss / per_row, baseline, ratio / np.maximum(rest, 1.0), variance, np.sqrt(own / known), usable
    )


def _moments(reference: SliceReference) -> tuple[float, float]:
    """Mean and variance of the loss of a row of the reference."""
    mean = reference.all_loss / reference.all_rows
    return mean, max(reference.all_square / reference.all_rows - mean**2, 0.0)


def _rest(
    reference: SliceReference, window: SliceSums, rows: Floats, loss: Floats, baseline: Floats
) -> Floats:
    """How many times what was expected all other rows lost, for each slice."""
    expected = reference.all_loss / reference.all_rows * window.all_rows
    expected += window.all_expected - reference.mean * window.all_rows
    others = np.maximum(expected - rows * baseline, 0.1 * abs(expected))
    return np.asarray((window.all_loss - loss) / np.where(others != 0, others, 1.0))


def _scores(ratio: Floats, variance: Floats, allowed: Floats | float) -> Floats:
    """Normal scores of ratios that are 1 on average, or `allowed`: Wilson and Hilferty 1931."""
    ninth = np.maximum(variance, 1e-12) / 9
    root = np.cbrt(np.maximum(ratio / allowed, 0.0))
    return np.asarray((root - (1 - ninth)) / np.sqrt(ninth))


class _Slices:
    """The detectors of all slices: two each, by eight rates."""

    def __init__(self, reference: SliceReference, threshold: float) -> None:
        tested = np.flatnonzero(reference.tested)
        self._reference, self._threshold = reference, threshold
        labels, columns = reference.labels, reference.columns
        self._names = [(labels[k], reference.cuts[columns[k]].name) for k in tested]
        self._evidence = np.zeros((2, len(tested), len(RATES)))
        self._scores: list[Floats] = []  # (2, slices), nan where a slice said nothing
        self._level = np.zeros(len(tested))  # weighted sum of log ratios of the windows before
        self._weight = np.zeros(len(tested))
        self._column = _columns_of_tested(reference)
        known = min(reference.windows, MOST_WINDOWS)
        share = known / reference.windows if reference.windows else 0.0
        sums = np.array(reference.restless) if reference.restless else np.zeros(len(reference.cuts))
        self._restless, self._seen = share * sums, float(known)

    def update(self, window: SliceSums | None) -> SliceAlarm | None:
        found = None if window is None else _compared(self._reference, window)
        if found is None:
            self._scores.append(np.full((2, len(self._names)), np.nan))
            return self._alarm(None)
        scores = self._score(found)
        self._scores.append(np.where(found.usable, scores, np.nan))
        clipped = np.minimum(scores, CLIP)[:, :, None]
        grown = (self._evidence + 1.0) * np.exp(np.minimum(RATES * clipped - RATES**2 / 2, 50.0))
        self._evidence = np.where(
            found.usable[None, :, None], np.minimum(grown, MOST_EVIDENCE), self._evidence
        )
        self._learn(found)
        return self._alarm(found)

    def _score(self, found: _Compared) -> Floats:
        """Against the reference, and against reference and windows before, shape (2, slices)."""
        variance = found.variance * self._restless_now()[self._column]
        fixed = _scores(found.ratio, variance, (1 + TOLERANCE) * np.exp(ERRORS * found.error))
        error = np.maximum(found.error, 1e-6) ** 2
        known = 1 / error + self._weight
        usual = np.exp(np.clip(self._level / known, -1.0, 1.0))
        own = _scores(found.ratio, variance + 1 / known, usual * (1 + TOLERANCE / 2))
        return np.stack([fixed, own])

    def _restless_now(self) -> Floats:
        """Of each column, 1 or more: its own, with some windows' worth of belief in that of all columns."""
        of_all = (PRIOR_WINDOWS + self._restless.mean()) / (PRIOR_WINDOWS + self._seen)
        own = (PRIOR_OF_ALL * of_all + self._restless) / (PRIOR_OF_ALL + self._seen)
        return np.asarray(np.maximum(own, 1.0))

    def _learn(self, found: _Compared) -> None:
        value = _restlessness(found, self._column, len(self._restless))
        if value is not None:
            self._restless += value
            self._seen += 1
        calm = found.usable & (self._evidence.mean(axis=2).max(axis=0) < SUSPICION * self._threshold)
        weight = np.where(calm, 1 / np.maximum(found.variance, SLOW**2), 0.0)
        logs = np.log(np.clip(found.ratio, 0.1, 10.0))
        # the log of a mean lies below that of its expectation
        self._level += weight * (logs + found.variance / 2)
        self._weight += weight

    def _alarm(self, found: _Compared | None) -> SliceAlarm:
        each, floor = self._evidence.mean(axis=(0, 2)), self._reference.floor
        evidence = float(each.mean())
        order, start = self._clearest(each) if evidence >= self._threshold else ([], len(self._scores))
        slices = [
            SliceLoss(
                name,
                column,
                rows=0 if found is None else int(found.rows[k]),
                loss=float("nan") if found is None or not found.rows[k] else float(found.loss[k]) + floor,
                reference_loss=float("nan") if found is None else float(found.baseline[k]) + floor,
                evidence=float(each[k]),
                named=k in order,
            )
            for k, (name, column) in enumerate(self._names)
        ]
        place = {k: number for number, k in enumerate(order)}
        ranked = sorted(range(len(slices)), key=lambda k: (place.get(k, len(place)), -each[k], k))
        return SliceAlarm(tuple(slices[k] for k in ranked[:SHOWN]), evidence, self._threshold, start)

    def _clearest(self, each: Floats) -> tuple[list[int], int]:
        """The slices that carry the alarm, the clearest first, and since when.

        Since its start a slice's scores are added up without a clip: one that holds the harm and little else stands out
        further than one that holds it among other rows.
        """
        history = np.array(self._scores).max(axis=1)  # (windows, slices), of the louder of both
        loudest = int(
            np.argmax(np.where(each >= each.max(), np.nansum(np.nan_to_num(history), axis=0), -np.inf))
        )
        start = _start(history[:, loudest])
        since = history[start:]
        total = np.nansum(since, axis=0) / np.sqrt(np.maximum((~np.isnan(since)).sum(axis=0), 1))
        carrying = np.flatnonzero((each >= self._threshold) & (total >= 0.5 * total.max()))
        ranked = sorted(carrying.tolist(), key=lambda k: (-total[k], k)) or [int(np.argmax(total))]
        return ranked, start


def _columns_of_tested(reference: SliceReference) -> NDArray[np.intp]:
    return reference.columns[np.flatnonzero(reference.tested)]


def _restlessness(found: _Compared, column: NDArray[np.intp], columns: int) -> Floats | None:
    square = _scores(found.ratio, found.variance + found.error**2, 1.0) ** 2 / MEDIAN_SQUARE
    usable = np.flatnonzero(found.usable)
    if len(usable) < FEWEST_SLICES:
        return None
    values = np.full(columns, np.median(square[usable]))
    for place in np.unique(column[usable]):
        own = square[usable[column[usable] == place]]
        if len(own) >= FEWEST_SLICES:
            values[place] = np.median(own)
    return values


def _start(scores: Floats) -> int:
    """The place from which the likelihood of a rise is largest."""
    known = np.nan_to_num(np.minimum(scores, CLIP), nan=0.0)
    best, start = 0.0, len(known) - 1
    for rate in RATES:
        tail = np.cumsum((rate * known - rate**2 / 2)[::-1])[::-1]
        if tail.max() > best:
            best, start = float(tail.max()), int(tail.argmax())
    return start
