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
    scorer = _Scorer(run_length)
    return tuple(scorer.after(window) for window in windows)


@dataclass
class _Scorer:
    run_length: float
    labels: int = 0
    windows: int = 0
    withdrawals: int = 0
    trusted: bool = True
    misses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting = np.zeros((3, 0))
        self._begin()

    def _begin(self) -> None:
        self._up, self._down, self._batches = Detector(), Detector(), 0
        self._past = np.zeros((3, 0))

    @property
    def threshold(self) -> float:
        """In batches, of which a window may have many."""
        each = max(self.labels / BATCH / max(self.windows, 1), 1.0)
        return threshold_for(self.run_length * each, tests=2)

    @property
    def needed(self) -> int:
        return int(RETURN * 2 ** max(self.withdrawals - 1, 0))

    def after(self, window: Scored) -> Trust:
        self.windows += 1
        self.labels += len(window.surprises)
        allowed = np.full(len(window.surprises), TOLERANCE + MODEL_ERRORS * window.doubt)
        rows = np.concatenate([self._waiting, [window.surprises, window.variances, allowed]], axis=1)
        whole = rows.shape[1] // BATCH * BATCH
        self._waiting = rows[:, whole:]
        for place in range(0, whole, BATCH):
            self._batch(rows[:, place : place + BATCH])
        if self.trusted and math.isfinite(window.miss):
            self.misses.append(min(abs(window.miss), MOST_MISS))
        return self._found()

    def _batch(self, rows: Array) -> None:
        if not self.trusted:
            self._past = np.concatenate([self._past, rows], axis=1)
            recent = self._past[:, -self.needed :]
            if recent.shape[1] == self.needed and abs(recent[0].mean()) <= recent[2].mean():
                self.trusted = True
                self._begin()
            return
        self._past = np.concatenate([self._past, rows], axis=1)
        mean, error = float(rows[0].mean()), float(np.sqrt(rows[1].sum())) / rows.shape[1]
        for detector, side in ((self._up, mean), (self._down, -mean)):
            detector.update(_score(side - float(rows[2].mean()), error))
        if max(self._up.evidence, self._down.evidence) >= self.threshold:
            self._withdraw()

    def _withdraw(self) -> None:
        self.trusted, self.withdrawals = False, self.withdrawals + 1
        leader = max(self._up, self._down, key=lambda detector: detector.evidence)
        self._past = self._past[:, leader.start * BATCH :]

    def _found(self) -> Trust:
        since = 0 if self.trusted else self._past.shape[1]
        return Trust(
            trusted=self.trusted,
            labels=self.labels,
            since=since,
            away=float(self._past[0].mean()) if since else 0.0,
            needed=self.needed,
            evidence=max(self._up.evidence, self._down.evidence),
            threshold=self.threshold,
            widened=self._widened(),
            withdrawals=self.withdrawals,
        )

    def _widened(self) -> float:
        total = PRIOR_WINDOWS + sum(miss**2 for miss in self.misses)
        return max(math.sqrt(total / (PRIOR_WINDOWS + len(self.misses))), NARROWEST)


def _score(excess: float, error: float) -> float:
    if not error > 0:
        return 0.0 if excess <= 0 else CLIP
    return normal_score(excess / error, math.inf)
