"""Whether the estimate of the loss is to be believed: it is scored as labels arrive, and trusted while it was right.

Labels are taken in batches. The mean surprise of a batch, less what an estimate may be off, in standard errors is a
score of `evidence.Detector`, one upwards and one downwards, so that a concept change withdraws the estimate after a few
hundred labels and chance does so once in a stated number of windows. It is given back when enough labels since the
change agree with it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitoring.evidence import CLIP, Detector, normal_score, threshold_for

Array = npt.NDArray[np.float64]

BATCH = 50  # labels: a mean of fewer is not about normal
TOLERANCE = 0.05  # an estimate that is off by a twentieth is still of use
MODEL_ERRORS = 2.0  # of its standard errors, for which the model is forgiven besides
RETURN = 1_000  # labels that must agree before an estimate is given back; twice as many after each withdrawal
PRIOR_WINDOWS = 20.0  # that say that the interval is as wide as it should be
MOST_MISS = 3.0  # standard errors: a window further off is about trust, not about the width
NARROWEST = 0.8
LEAST_LABELS = 30  # of a window, to score its interval


@dataclass(frozen=True)
class Scored:
    """Labels of a window that came. surprises, variances: of each, as shares of the loss (`loss_estimate.surprises`).

    doubt: standard error of the model, as a share of the loss; miss: realised less estimated loss of the labelled rows,
    in standard errors of the estimate, nan where there are too few.
    """

    surprises: Array
    variances: Array
    doubt: float
    miss: float = math.nan


@dataclass(frozen=True)
class Trust:
    """After the labels of a window. labels: scored so far; since: labels since the withdrawal, 0 while trusted;
    away: mean surprise of those labels, as a share of the loss; needed: labels that must agree; widened: what
    the interval's width is to be multiplied by.
    """

    trusted: bool
    labels: int
    since: int
    away: float
    needed: int
    evidence: float
    threshold: float
    widened: float
    withdrawals: int

    @property
    def reason(self) -> str:
        """Why, in words."""
        if not self.labels:
            return "no label has come yet to score the estimate"
        if self.trusted:
            return f"{self.labels:,} labels agree with it"
        more = "above" if self.away > 0 else "below"
        return (
            f"the loss of the last {self.since:,} labels lies {abs(self.away):.0%} {more} the estimate "
            f"(evidence {self.evidence:,.0f}, threshold {self.threshold:,.0f}); it is given back when "
            f"{self.needed:,} labels agree"
        )


def trust(windows: Sequence[Scored], run_length: float) -> tuple[Trust, ...]:
    """Whether the estimate is trusted after each of these windows, in the order of time.

    run_length: windows between two false withdrawals, on average, while the estimate is right.

    >>> quiet = Scored(np.tile([0.1, -0.1], 100), np.ones(200), doubt=0.01)
    >>> loud = Scored(np.ones(200), np.ones(200), doubt=0.01)
    >>> [one.trusted for one in trust([quiet, loud, quiet], 1000)]
    [True, False, False]
    """
    scorer = TrustScorer(run_length)
    return tuple(scorer.update(window) for window in windows)


@dataclass
class TrustScorer:
    """Scores windows one after the other. run_length: as `trust` takes it."""

    run_length: float
    _labels: int = 0
    _windows: int = 0
    _withdrawals: int = 0
    _trusted: bool = True
    _misses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting = np.zeros((3, 0))
        self._begin()

    def _begin(self) -> None:
        self._up, self._down = Detector(), Detector()
        self._past: list[tuple[float, float]] = []  # of every batch: mean surprise, and what is allowed

    def update(self, window: Scored) -> Trust:
        """Takes the labels of the next window."""
        self._windows += 1
        self._labels += len(window.surprises)
        allowed = np.full(len(window.surprises), TOLERANCE + MODEL_ERRORS * window.doubt)
        rows = np.concatenate([self._waiting, [window.surprises, window.variances, allowed]], axis=1)
        whole = rows.shape[1] // BATCH * BATCH
        self._waiting = rows[:, whole:]
        for place in range(0, whole, BATCH):
            self._take(rows[:, place : place + BATCH])
        if self._trusted and math.isfinite(window.miss):
            self._misses.append(min(abs(window.miss), MOST_MISS))
        return self._found()

    @property
    def _threshold(self) -> float:
        """In batches, of which a window may have many."""
        each = max(self._labels / BATCH / max(self._windows, 1), 1.0)
        return threshold_for(self.run_length * each, tests=2)

    @property
    def _needed(self) -> int:
        return int(RETURN * 2 ** max(self._withdrawals - 1, 0))

    def _take(self, rows: Array) -> None:
        """The next batch."""
        mean, allowed = float(rows[0].mean()), float(rows[2].mean())
        self._past.append((mean, allowed))
        if self._trusted:
            error = math.sqrt(float(rows[1].sum())) / BATCH
            self._up.update(_score(mean - allowed, error))
            self._down.update(_score(-mean - allowed, error))
            if max(self._up.evidence, self._down.evidence) >= self._threshold:
                self._withdraw()
        elif self._agrees():
            self._trusted = True
            self._begin()

    def _withdraw(self) -> None:
        self._trusted, self._withdrawals = False, self._withdrawals + 1
        leader = max(self._up, self._down, key=lambda detector: detector.evidence)
        self._past = self._past[leader.start :]

    def _agrees(self) -> bool:
        """Whether the labels that are needed have come since the withdrawal and are as expected together."""
        recent = np.array(self._past[-self._needed // BATCH :])
        return len(recent) * BATCH >= self._needed and abs(recent[:, 0].mean()) <= recent[:, 1].mean()

    def _found(self) -> Trust:
        since = 0 if self._trusted else len(self._past) * BATCH
        return Trust(
            trusted=self._trusted,
            labels=self._labels,
            since=since,
            away=float(np.mean([mean for mean, _ in self._past])) if since else 0.0,
            needed=self._needed,
            evidence=max(self._up.evidence, self._down.evidence),
            threshold=self._threshold,
            widened=self._widened(),
            withdrawals=self._withdrawals,
        )

    def _widened(self) -> float:
        total = PRIOR_WINDOWS + sum(miss**2 for miss in self._misses)
        return max(math.sqrt(total / (PRIOR_WINDOWS + len(self._misses))), NARROWEST)


def _score(excess: float, error: float) -> float:
    if not error > 0:
        return 0.0 if excess <= 0 else CLIP
    return normal_score(excess / error, math.inf)
