"""The input alarm: have the inputs moved away from the reference, and which columns and pairs, since when?

Each window becomes numbers (`monitoring.input_statistics`): of every column the mean and the spread of its normal
scores, the share of missing values and of levels; of pairs the correlation. Each number is forecast from the windows
before, those of the reference first: from a level, the calendar terms that the reference covers twice, and its own
last values, for a column may wander or go with the season and mean no harm. How far a window is off its forecast, in
standard deviations (recursive residuals: Brown, Durbin, Evans 1975), is a score, about standard normal while nothing
changes. So is how far it is off the reference's own level, which learns nothing: a slow change is not taken for normal.
The evidence of all numbers, in both directions, from both tests, is averaged into one, so that one threshold holds over
all columns (e-detectors: Shin, Ramdas, Rinaldo 2022; an average of them is one again, however they depend on each
other). A number under suspicion does not teach its forecast any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.activations import is_last_layer
from monitoring.evidence import RATES
from monitoring.input_statistics import Measure, Statistic
from monitoring.joint import PairBins, PairSums
from monitoring.profile import Profile
from monitoring.seasons import Seasons, seasons_of
from monitoring.window import Window

Floats = NDArray[np.float64]

FEWEST_ROWS = 30  # a window or a number with fewer rows behind it says nothing
# a window's scores are cut so that it is no alarm by itself, were all columns to jump at once: it may bring this share
# of the threshold. Two or three in a row are an alarm in any one column of 100
ONE_WINDOW = 1 / 3
LAGS = 3
# A shift smaller than this, in standard deviations of a row, is not worth a word: in large windows it is beyond chance,
# and a forecast is hardly better. Where a number wanders between windows, this share of its wandering comes on top:
# its memory is known no better than to a tenth
WORTH, WANDERING = 0.05, 0.1
# the same for the level of the reference, which is asked for ever; as `monitoring.drift.LEAST`
WORTH_LEVEL = 0.1
REFERENCE_ERRORS = 2.0  # standard errors of the reference that are no shift
SURE = 1.5  # standard errors taken off the wandering of a number before it is believed
# the autocorrelation of the wandering, assumed until 20 windows have been seen
MOST_ALIKE, WINDOWS_TO_KNOW = 0.9, 20
# What few windows cannot have shown of how a column wanders, in standard deviations of a row: 9.5 B^-1.25 after B
# windows, 1.7 after 4, 0.2 after 20, 0.03 after 100; the root of `monitoring.shift.FEW_WINDOWS`, calibrated there
FEW_WINDOWS, FEW_POWER = 9.5, -1.25
# the last values are taken to say what they say of all numbers together, worth so many windows
LAG_PRIOR = 10.0
# the spread of a number is drawn towards that of all, worth so many windows
SPREAD_PRIOR = 4.0
# between windows, standard deviations of a row, where one window of reference cannot show any
UNSEEN_SPREAD = 0.1
SUSPICION = 0.25  # of the threshold, by one number alone: from there on its windows wait outside the forecast
NAMED = 0.25  # of the threshold, by one column alone: then it is named beside the one that moved most
BESIDE = 0.1  # of the evidence of what moved most in a column: what else of it is told
MOST = 1e4  # times the threshold: more evidence than any decision needs, and less to be forgotten
LEAST_BACK = 3  # windows after which a number may be said to have come back
BACK_ERRORS = 4.0  # half of what it had moved must be so many halves of a standard error
SIDES = 4  # up and down, from the windows before and from the reference
LOOK_BACK = 1000  # windows among which the begin of a change is looked for
PRIOR_VARIANCE = 10.0  # of a level, in standard deviations of a row: no opinion
MOST_BLOCKS = 400  # windows of a reference that are kept: two weeks of hours, a year of days
DIGITS = 5


@dataclass(frozen=True)
class InputWindow:
    """A window to be judged. pairs: None where no pairs are counted."""

    window: Window
    profile: Profile
    pairs: PairSums | None = None


@dataclass(frozen=True)
class InputBlock:
    """One window of the reference, as numbers. values, rows: one a statistic; nan where nothing could be measured."""

    window: Window
    values: tuple[float, ...]
    rows: tuple[float, ...]


@dataclass(frozen=True)
class InputReference:
    """What the inputs were while nothing had changed: all rows counted, and their windows as numbers."""

    profile: Profile
    pairs: PairBins | None
    blocks: tuple[InputBlock, ...]

    def without(self, names: Sequence[str]) -> InputReference:
        """The reference for rows of which these columns are not kept."""
        statistics = Measure(self.profile, self.pairs).statistics
        kept = [place for place, one in enumerate(statistics) if not set(one.columns) & set(names)]
        if len(kept) == len(statistics):
            return self
        columns = tuple(column for column in self.profile.columns if column.name not in names)
        blocks = (
            InputBlock(one.window, tuple(one.values[k] for k in kept), tuple(one.rows[k] for k in kept))
            for one in self.blocks
        )
        pairs = self.pairs.without(names) if self.pairs is not None else None
        return InputReference(Profile(self.profile.rows, columns), pairs, tuple(blocks))

    def beside(self, other: InputReference) -> InputReference:
        """The reference with further columns. other: of these alone, in the same windows, without pairs."""
        margins = len(Measure(self.profile, None).statistics)  # those of pairs come last

        def joined(own: tuple[float, ...], more: tuple[float, ...]) -> tuple[float, ...]:
            return (*own[:margins], *more, *own[margins:])

        blocks = (
            InputBlock(one.window, joined(one.values, more.values), joined(one.rows, more.rows))
            for one, more in zip(self.blocks, other.blocks, strict=True)
        )
        columns = (*self.profile.columns, *other.profile.columns)
        return InputReference(Profile(self.profile.rows, columns), self.pairs, tuple(blocks))


@dataclass(frozen=True)
class Moved:
    """A number of a window that has moved.

    start: index of the window at which it most likely began. by: how far it lies on average since from where it was in
    the reference, in standard deviations of a row; of a pair in correlation (Fisher's z). evidence: its part of all.
    """

    statistic: Statistic
    start: int
    by: float
    evidence: float

    def __str__(self) -> str:
        return f"{self.statistic} {self.by:+.2f}"


@dataclass(frozen=True)
class InputAlarm:
    """What the sequential test says after one window.

    moved: the numbers that moved, most evidence first; () while no alarm is raised. enough: whether the window has rows
    enough to say anything; one that has not changes nothing.
    """

    rows: int
    evidence: float
    threshold: float
    moved: tuple[Moved, ...] = ()
    enough: bool = True

    @property
    def raised(self) -> bool:
        return bool(self.moved)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that moved by themselves, most evidence first."""
        return tuple(dict.fromkeys(one.statistic.columns[0] for one in self._margins))

    @property
    def pairs(self) -> tuple[tuple[str, ...], ...]:
        """The pairs that hang together otherwise, though neither of their columns has moved."""
        return tuple(one.statistic.columns for one in self.moved if one.statistic.kind == "pair")

    @property
    def start(self) -> int | None:
        """Index of the window at which what moved most began; None while no alarm is raised."""
        return self.moved[0].start if self.moved else None

    @property
    def _margins(self) -> list[Moved]:
        return [one for one in self.moved if one.statistic.kind != "pair"]

    def __str__(self) -> str:
        if not self.moved:
            return f"inputs: evidence {self.evidence:,.3g}, threshold {self.threshold:,.3g}"
        named = "; ".join(said for _, said in self.words)
        return f"inputs moved: {named}; evidence {self.evidence:,.3g}, threshold {self.threshold:,.3g}"

    @property
    def words(self) -> list[tuple[str, str]]:
        """Of each column that moved its name and what moved, "" for the name of a pair."""
        told = [(name, f"{name}: {', '.join(map(str, self.of(name)))}") for name in self.columns]
        return told + [("", str(one)) for one in self.moved if one.statistic.kind == "pair"]

    def of(self, column: str) -> tuple[Moved, ...]:
        """What moved of one column."""
        return tuple(one for one in self._margins if one.statistic.columns[0] == column)


def input_reference(
    profile: Profile, blocks: Sequence[InputWindow], pairs: PairBins | None
) -> InputReference:
    """The reference of these rows. blocks: its windows in the order of time; the last 400 are kept.

    profile: of all rows, those of no block included.
    """
    measure = Measure(profile, pairs)
    return InputReference(
        profile, measure.pairs, tuple(_block(measure, one) for one in blocks[-MOST_BLOCKS:])
    )


def input_alarms(
    reference: InputReference, profiles: Sequence[InputWindow | None], run_length: float
) -> tuple[InputAlarm, ...]:
    """The test over the windows since the deployment, in time order: one record a window.

    profiles: None for a window that is to be passed over, such as one of broken data. run_length: windows between two
    false alarms, on average, over all columns and pairs together.
    """
    detector = InputDetector(reference, run_length)
    return tuple(detector.update(window) for window in profiles)


class InputDetector:
    """The test, window by window; what it says after a window depends on that window and those before only."""

    def __init__(self, reference: InputReference, run_length: float) -> None:
        self._measure = Measure(reference.profile, reference.pairs)
        self._seasons = seasons_of([block.window for block in reference.blocks])
        # no calibrated share of it: over many numbers the evidence seldom overshoots, and the bound itself costs little
        self._threshold = float(run_length)
        count, furthest = len(self._measure.statistics), furthest_score(self._threshold)
        self._forecasts = _Forecasts(reference.blocks, self._seasons, count, furthest)
        self._evidence = _Evidence(self._measure.weights, self._threshold)

    def update(self, window: InputWindow | None) -> InputAlarm:
        """Takes the next window; None for one that says nothing."""
        if window is None:
            self._evidence.pass_over()
            return InputAlarm(0, self._evidence.whole, self._threshold, enough=False)
        enough = window.profile.rows >= FEWEST_ROWS
        values, rows = self._measure.of(window.profile, window.pairs)
        if not enough:
            values = np.full(len(values), np.nan)
        terms = self._seasons.terms([window.window])[0]
        self._evidence.update(self._forecasts.scores(values, rows, terms), values - self._forecasts.mean)
        self._forecasts.learn(self._evidence.suspicious, self._evidence.ended)
        return InputAlarm(
            window.profile.rows,
            self._evidence.whole,
            self._threshold,
            self._moved() if enough else (),
            enough,
        )

    def _moved(self) -> tuple[Moved, ...]:
        evidence = self._evidence
        if evidence.whole < self._threshold:
            return ()
        by_columns: dict[tuple[str, ...], list[int]] = {}
        for place, statistic in enumerate(self._measure.statistics):
            by_columns.setdefault(statistic.columns, []).append(place)
        named = _named(
            {columns: evidence.parts[places] for columns, places in by_columns.items()}, self._threshold
        )
        found = [
            Moved(self._measure.statistics[place], *evidence.since(place), float(evidence.parts[place]))
            for columns in named
            for place in by_columns[columns]
            if evidence.parts[place] >= BESIDE * evidence.parts[by_columns[columns]].max()
        ]
        return tuple(sorted(found, key=lambda one: -one.evidence))


def furthest_score(threshold: float) -> float:
    """The score at which a single window, were it that of every number, brings `ONE_WINDOW` of the threshold.

    >>> [round(furthest_score(threshold), 2) for threshold in (100, 1000, 8000)]
    [3.54, 4.15, 4.67]
    """
    # one of the rates, of both signs, grows by it
    gain = np.log(2 * len(RATES) * ONE_WINDOW * max(threshold, 1.0))
    largest = float(RATES[-1])
    return float(gain / largest + largest / 2 if gain > largest**2 / 2 else np.sqrt(2 * gain))


def _block(measure: Measure, block: InputWindow) -> InputBlock:
    values, rows = measure.of(block.profile, block.pairs)
    return InputBlock(block.window, tuple(np.round(values, DIGITS).tolist()), tuple(rows.tolist()))


def _named(parts: Mapping[tuple[str, ...], Floats], threshold: float) -> list[tuple[str, ...]]:
    """The columns and pairs that moved: with evidence enough, or with the most.

    No pair of a column that moved, and of the last layer nothing where a column moved: it follows from the columns.
    """
    sums = {columns: float(evidence.sum()) for columns, evidence in parts.items()}
    least = min(NAMED * threshold, max(sums.values()))
    moved = [columns for columns, evidence in sums.items() if evidence >= least]
    alone = {columns[0] for columns in moved if len(columns) == 1}
    own = any(not is_last_layer(name) for name in alone)
    moved = [columns for columns in moved if not (own and is_last_layer(columns[0]))]
    return [columns for columns in moved if len(columns) == 1 or not alone.intersection(columns)]


class _Forecasts:
    """Regression of every number on a level, calendar terms and its own last values, window by window.

    Least squares, updated by each window (recursive), weighted by what is known of its variance: of the rows behind it,
    and of the wandering between windows.
    """

    def __init__(self, blocks: Sequence[InputBlock], seasons: Seasons, count: int, furthest: float) -> None:
        values = np.array([block.values for block in blocks]).reshape(len(blocks), count)
        rows = np.array([block.rows for block in blocks]).reshape(len(blocks), count)
        values = np.where(rows >= FEWEST_ROWS, values, np.nan)
        terms = np.column_stack([np.ones(len(blocks)), seasons.terms([block.window for block in blocks])])
        self.mean = _column_means(values)
        known = _Known.of(values, rows, terms)
        self._fixed, self._furthest = _Fixed(known, terms), furthest
        self._wander, lags = known.wander, known.common_lags
        self._last = np.tile(self.mean, (LAGS, 1))
        self._waiting: list[list[tuple[Floats, float, float]]] = [[] for _ in range(count)]
        width = 1 + seasons.count + LAGS
        prior = np.array([*[PRIOR_VARIANCE] * (width - LAGS), *[1 / LAG_PRIOR] * LAGS])
        self._covariance = np.tile(np.diag(prior), (count, 1, 1))
        self._beta = np.zeros((count, width))
        self._beta[:, -LAGS:] = lags
        self._squares, self._freedom = np.zeros(count), np.full(count, -1.0 - seasons.count)
        self._learned = np.zeros(count)  # windows that each number was learned from
        self._pooled = 1.0
        for number in range(len(blocks)):
            self.scores(values[number], rows[number], terms[number, 1:])
            self.learn(np.zeros(count, np.bool_), np.zeros(count, np.bool_))
        self._pool(len(blocks))

    def _pool(self, windows: int) -> None:
        """What the reference has shown of the spread, of all numbers together."""
        self._freedom = np.maximum(self._freedom - LAGS * windows / (windows + LAG_PRIOR), 0.0)
        known = self._freedom > 0
        if known.any():
            self._pooled = float(np.median(self._squares[known] / self._freedom[known]))

    def scores(self, values: Floats, rows: Floats, terms: Floats) -> Floats:
        """Scores of the next window, shape (SIDES, statistics), each beyond what is tolerated, within +-`furthest`.

        Up and down from the windows before, up and down from the reference as it was; nan where nothing was measured.
        """
        known = np.isfinite(values) & (rows >= FEWEST_ROWS)
        design = np.empty_like(self._beta)
        design[:, 0], design[:, 1:-LAGS], design[:, -LAGS:] = 1.0, terms, (self._last - self.mean).T
        forecast = np.einsum("kp,kp->k", design, self._beta)
        carried = np.einsum("kpq,kq->kp", self._covariance, design)
        doubt = np.einsum("kp,kp->k", design, carried)
        by_chance = 1 / np.maximum(rows, 1.0)
        variance = by_chance + self._wander
        freedom = np.maximum(self._freedom, 0.0) + SPREAD_PRIOR
        spread = (SPREAD_PRIOR * self._pooled + self._squares) / freedom
        usual = np.maximum(spread * variance, by_chance)  # a spread below that of independent rows is luck
        residuals = np.where(known, values - forecast, 0.0)
        deviation = np.sqrt(usual + np.maximum(spread, 1.0) * doubt)
        tolerated = WORTH + WANDERING * np.sqrt(self._wander) + _unseen(self._learned)
        own = _both_ways(residuals, tolerated, deviation, freedom)
        level = self._fixed.scores(values, by_chance, np.concatenate([[1.0], terms]))
        score = np.clip(np.concatenate([own, level]), -self._furthest, self._furthest)
        self._last = np.vstack([np.where(known, values, forecast), self._last[:-1]])
        # an outlier teaches no more than the furthest score does
        within = np.clip(residuals, -self._furthest * deviation, self._furthest * deviation)
        self._seen = _Seen(design, forecast + within, variance, known)
        return np.where(known, score, np.nan)

    def learn(self, suspicious: NDArray[np.bool_], ended: NDArray[np.bool_]) -> None:
        """Takes the last window into the forecasts, but of numbers under suspicion.

        Their windows wait until the suspicion is over, for they were normal after all; what waits is forgotten where a
        change has ended.
        """
        seen = self._seen
        for place in np.flatnonzero(ended).tolist():
            self._waiting[place].clear()
        for place in np.flatnonzero(suspicious & seen.known).tolist():
            self._waiting[place].append((seen.design[place], seen.values[place], seen.variance[place]))
        for place in self._places_waiting(~suspicious):
            for design, value, variance in self._waiting[place]:
                one = slice(place, place + 1)
                self._update(one, design[None], np.array([value]), np.array([variance]))
            self._waiting[place].clear()
        calm = seen.known & ~suspicious & ~ended
        if calm.all():
            self._update(slice(None), seen.design, seen.values, seen.variance)
        elif calm.any():
            self._update(calm, seen.design[calm], seen.values[calm], seen.variance[calm])

    def _places_waiting(self, among: NDArray[np.bool_]) -> list[int]:
        return [place for place, waiting in enumerate(self._waiting) if waiting and among[place]]

    def _update(
        self, which: slice | NDArray[np.bool_], design: Floats, values: Floats, variance: Floats
    ) -> None:
        covariance = self._covariance[which]
        carried = np.einsum("kpq,kq->kp", covariance, design)
        size = variance + np.einsum("kp,kp->k", design, carried)
        residuals = values - np.einsum("kp,kp->k", design, self._beta[which])
        gain = carried / size[:, None]
        self._beta[which] += gain * residuals[:, None]
        self._covariance[which] = covariance - gain[:, :, None] * carried[:, None, :]
        self._squares[which] += residuals**2 / size
        self._freedom[which] += 1.0
        self._learned[which] += 1.0


@dataclass(frozen=True)
class _Seen:
    """What a window would teach."""

    design: Floats
    values: Floats
    variance: Floats
    known: NDArray[np.bool_]


def _column_means(values: Floats) -> Floats:
    """Means over windows; 0 where nothing was measured."""
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1), dtype=np.float64)


def _unseen(windows: Floats) -> Floats:
    """How far numbers may lie for what so many windows cannot have shown."""
    return np.asarray(FEW_WINDOWS * np.maximum(windows, 1.0) ** FEW_POWER, dtype=np.float64)


def _both_ways(away: Floats, tolerated: Floats, deviation: Floats, freedom: Floats) -> Floats:
    """Normal scores of what is further away than tolerated, up and down: shape (2, statistics)."""
    from scipy.special import ndtri, stdtr

    ratio = (np.stack([away, -away]) - tolerated) / deviation
    return np.asarray(
        -np.sign(ratio) * ndtri(np.maximum(stdtr(freedom, -np.abs(ratio)), 1e-300)), dtype=np.float64
    )


@dataclass(frozen=True)
class _Known:
    """What the reference's windows show of each number.

    level: coefficients of the calendar terms, shape (terms, statistics). wander: variance between windows beyond that
    of rows, drawn towards that of the middle number; sure: the part of it that is no luck. alike: how alike the
    wandering of a window is to the next one's, 0 to MOST_ALIKE. windows: in which it was measured; freedom: less terms.
    """

    level: Floats
    wander: Floats
    sure: Floats
    alike: Floats
    windows: Floats
    freedom: Floats
    common_lags: Floats

    @classmethod
    def of(cls, values: Floats, rows: Floats, terms: Floats) -> _Known:
        """values, rows: shape (windows, statistics), nan for nothing measured. terms: shape (windows, terms)."""
        windows, known = len(values), np.isfinite(values)
        weights = np.where(known, rows, 0.0)
        level = _weighted_fit(np.where(known, values, 0.0), weights, terms)
        left = np.where(known, values - terms @ level, 0.0)
        freedom = np.maximum(known.sum(0) - terms.shape[1], 0).astype(np.float64)
        excess = (weights * left**2).sum(0) / np.maximum(freedom, 1)
        middle = float(np.median(excess[freedom > 0])) if (freedom > 0).any() else 1.0
        drawn = (SPREAD_PRIOR * middle + freedom * excess) / (SPREAD_PRIOR + freedom)
        by_chance = np.maximum(known.sum(0), 1) / np.maximum(weights.sum(0), 1.0)
        wander = np.maximum(drawn - 1.0, 0.0) * by_chance + UNSEEN_SPREAD**2 / max(windows, 1) ** 2
        doubt = np.sqrt(2 / np.maximum(freedom, 1.0))
        sure = np.maximum(drawn - 1.0 - SURE * doubt, 0.0) * by_chance
        neighbours = (left[1:] * left[:-1]).sum(0) / max(windows, 1)
        lags = _common_lags(left / np.sqrt(by_chance + wander)) if windows else np.zeros(LAGS)
        return cls(level, wander, sure, _likeness(neighbours, sure, windows), known.sum(0), freedom, lags)


def _likeness(neighbours: Floats, sure: Floats, windows: int) -> Floats:
    """Upper estimate of how alike wandering windows are, from the covariance of neighbours; high where few show it."""
    own = np.divide(neighbours, sure, out=np.zeros(len(sure)), where=sure > 0)
    pooled = neighbours[sure > 0].sum() / sure.sum() if sure.any() else 0.0
    alike = np.maximum(own, pooled) + 1 / np.sqrt(max(windows, 1))
    unknown = MOST_ALIKE if windows < WINDOWS_TO_KNOW else 0.0
    return np.asarray(np.clip(alike, unknown, MOST_ALIKE), dtype=np.float64)


class _Fixed:
    """Every number against its level and season in the reference, which learn nothing any more.

    The forecast follows a change that is slow enough; this does not. Numbers that wander come back to their level by
    themselves: their scores are drawn together until a sum of them scatters no more than one of independent scores
    would, (1 + a) / (1 - a) of the wandering for an autocorrelation a.
    """

    def __init__(self, known: _Known, terms: Floats) -> None:
        self._known = known
        unseen = UNSEEN_SPREAD**2 / max(len(terms), 1) ** 2
        self._wander = known.sure * (1 + known.alike) / (1 - known.alike) + unseen
        self._gram = terms.T @ terms + 1e-6 * np.eye(terms.shape[1])
        # the fewer windows showed a number, the less is known
        self._unknown = len(terms) / np.maximum(known.windows, 0.01)

    def scores(self, values: Floats, by_chance: Floats, terms: Floats) -> Floats:
        """Up and down, shape (2, statistics). by_chance: variance by the rows of the window."""
        variance = by_chance + self._wander
        # the error of the reference is the same in every window: it is forgiven once, in the level
        error = np.sqrt(variance * self._unknown * float(terms @ np.linalg.solve(self._gram, terms)))
        away = np.where(np.isfinite(values), values - terms @ self._known.level, 0.0)
        freedom = self._known.freedom + SPREAD_PRIOR
        tolerated = WORTH_LEVEL + REFERENCE_ERRORS * error + _unseen(self._known.windows)
        return _both_ways(away, tolerated, np.sqrt(variance), freedom)


def _weighted_fit(values: Floats, weights: Floats, terms: Floats) -> Floats:
    """Coefficients of the terms for each number, shape (terms, statistics)."""
    gram = np.einsum("wp,wk,wq->kpq", terms, weights, terms) + 1e-6 * np.eye(terms.shape[1])
    return np.linalg.solve(gram, np.einsum("wp,wk->kp", terms, weights * values)[:, :, None])[:, :, 0].T


def _common_lags(left: Floats) -> Floats:
    """One autoregression for all numbers together, shape (LAGS,), from what is left in standard deviations.

    Of few windows next to nothing: they cannot tell memory from a level, and no memory weighs as LAG_PRIOR windows.
    """
    windows = len(left)
    if windows <= LAGS:
        return np.zeros(LAGS)
    past = np.stack([left[LAGS - lag - 1 : windows - lag - 1].ravel() for lag in range(LAGS)])
    gram = past @ past.T / left.shape[1] + LAG_PRIOR * np.eye(LAGS)
    return np.linalg.solve(gram, past @ left[LAGS:].ravel() / left.shape[1])


class _Evidence:
    """Evidence of every number that it has moved, up or down, and all of it together.

    For each rate r the evidence of a number follows M <- (M + 1) exp(r q - r^2 / 2) over its scores q of one side; the
    mean over rates and sides is an e-detector (`monitoring.evidence`), and so is the weighted mean over numbers.
    """

    def __init__(self, weights: Floats, threshold: float) -> None:
        self._weights, self._threshold = weights, threshold
        self._grown = np.zeros((len(weights), SIDES * len(RATES)))
        self._most = (MOST * threshold / np.maximum(weights, 1e-12))[:, None]
        self._scores: list[Floats] = []
        self._away: list[Floats] = []
        self._peak = np.zeros((2, len(weights)))  # the largest part of each number, and when that was
        self.parts = np.zeros(len(weights))
        self.ended = np.zeros(len(weights), np.bool_)

    @property
    def whole(self) -> float:
        return float(self.parts.sum())

    @property
    def suspicious(self) -> NDArray[np.bool_]:
        return np.asarray(self.parts > SUSPICION * self._threshold)

    def update(self, scores: Floats, away: Floats) -> None:
        """Takes the scores of the next window, shape (SIDES, statistics), nan for none.

        away: how far each number is from where it was in the reference.
        """
        known = np.isfinite(scores[0])
        score = np.where(known, scores, 0.0)
        self._scores.append(score)
        self._away.append(away)
        rates = np.where(known, 1.0, 0.0)[:, None] * RATES
        gains = np.concatenate([score[side][:, None] * RATES - rates**2 / 2 for side in range(SIDES)], axis=1)
        self._grown = np.minimum((self._grown + known[:, None]) * np.exp(gains), self._most)
        self._weigh()
        self._end()

    def pass_over(self) -> None:
        """Keeps the numbers of windows in step, and says nothing."""
        self.update(np.full((SIDES, len(self.parts)), np.nan), np.full(len(self.parts), np.nan))

    def _weigh(self) -> None:
        self.parts = self._weights * self._grown.mean(axis=1)
        higher = self.parts >= self._peak[0]
        self._peak = np.where(
            higher, np.stack([self.parts, np.full(len(self.parts), len(self._scores) - 1.0)]), self._peak
        )

    def _end(self) -> None:
        """Forgets the evidence of numbers that have come back."""
        self.ended = np.zeros(len(self.parts), np.bool_)
        for place in np.flatnonzero(self.suspicious):
            self.ended[place] = self._came_back(int(place))
        if self.ended.any():
            self._grown[self.ended] = 0.0
            self._peak[:, self.ended] = 0.0
            self._weigh()

    def _came_back(self, place: int) -> bool:
        """Whether the scores after the peak are surely less than half of those up to it."""
        peak = int(self._peak[1, place]) + 1
        if len(self._scores) - peak < LEAST_BACK:
            return False
        start, side = self._rise(place, peak)
        before, after = (
            float(np.mean([score[side, place] for score in part]))
            for part in (self._scores[start:peak], self._scores[peak:])
        )
        sure = len(self._scores) - peak >= (BACK_ERRORS / max(before, 1e-9)) ** 2
        return sure and after < before / 2

    def _rise(self, place: int, end: int) -> tuple[int, int]:
        """From which window to `end` the likelihood of a change is largest, and on which side."""
        begin = max(0, end - LOOK_BACK)
        scores = np.array([score[:, place] for score in self._scores[begin:end]])
        gains = scores[:, :, None] * RATES - RATES**2 / 2
        tails = np.cumsum(gains[::-1], axis=0)[::-1]
        start, side, _ = np.unravel_index(int(np.argmax(tails)), tails.shape)
        return begin + int(start), int(side)

    def since(self, place: int) -> tuple[int, float]:
        """Since which window a number has moved, and how far on average since."""
        start, _ = self._rise(place, len(self._scores))
        away = np.array([one[place] for one in self._away[start:]])
        known = np.isfinite(away)
        return start, float(away[known].mean()) if known.any() else 0.0
