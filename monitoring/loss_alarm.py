"""The loss alarm: has the loss of the deployed version risen, against its reference or against itself?

Two sequential tests share one budget of false alarms. The *fixed-reference* test compares every window with
the loss on held-out rows from before the deployment and allows a tolerance: a slow decline cannot be learned as
normal, and it speaks from the first window. The *self-starting* test compares every window with the windows
before it, lags included, so that it needs no good reference and forgives autocorrelation; a window under
suspicion does not enter its baseline.

The evidence of both is added up by `evidence.Detector`. The self-starting scores are recursive residuals (Brown,
Durbin, Evans 1975); the tolerance follows Podkopaev and Ramdas, "Tracking the risk of a deployed model" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitoring.budget import budget_of
from monitoring.evidence import Detector, normal_score, threshold_for

Array = npt.NDArray[np.float64]

# reference blocks are few: their spread is shrunk towards this share of the loss, worth this many blocks
PRIOR_SPREAD, PRIOR_BLOCKS = 0.05, 4
MOST_PRIOR_BLOCKS = 12.0  # what was learned in services before counts for so many blocks at most
# winsorised at this quantile of the reference losses, so that a few rows are not a window
WINSOR_QUANTILE = 0.99
# at a quarter of the threshold a window waits outside the baseline until the evidence falls again; less would
# keep chance highs out and make the next high look larger than it is (false alarms at 0.05 four times the nominal)
SUSPICION = 0.25
LAGS, LAGS_FROM = 3, 30
# a reference that is low by chance is low in every window: so many of its standard errors are forgiven
REFERENCE_ERRORS = 2.0


@dataclass(frozen=True)
class AlarmConfig:
    """How much harm counts, and how often the night may be disturbed for nothing."""

    tolerance: float = field(
        default=0.05,  # a rise of a twentieth is seldom worth a retraining, a larger one often is
        metadata={
            "doc": "rise of the loss over its reference, as a share, where harm begins",
            "range": (0.0, 10.0),
        },
    )
    false_alarms: str = field(
        # 19 years of weeks, 3 years of days, 6 weeks of hours: in windows, for a window is what is looked at, and a
        # year of months is too few of them to tell a change from chance
        default="1 per 1000 windows",
        metadata={
            "doc": "how many false alarms are accepted on average while nothing changes, over all columns, slices "
            'and tests together: "1 per year", "2 per month", "1 per 1000 windows"',
            "kind": "false alarms",
        },
    )
    least_rows: int = field(
        default=30,
        metadata={"doc": "fewest labelled rows on which a window is judged", "range": (2, 10**9)},
    )


@dataclass(frozen=True)
class LossLevel:
    """The loss of some rows on the scale on which windows are compared.

    loss: plain mean. level: log of the winsorised mean (the winsorised mean itself where losses may be negative).
    variance: of the level, from the rows alone.
    """

    rows: int
    loss: float
    level: float
    variance: float


@dataclass(frozen=True)
class LossReference:
    """What the loss of a version was on held-out rows before it served.

    ceiling: the winsorising value. logarithmic: whether levels are logs. level, error: the reference level and
    its standard error. spread: standard deviation of the level between blocks beyond what rows explain.
    freedom: degrees of freedom of the spread.
    """

    rows: int
    loss: float
    ceiling: float
    logarithmic: bool
    level: float
    error: float
    spread: float
    freedom: float


@dataclass(frozen=True)
class LossAlarm:
    """What both tests say after one window. Evidence is compared with `threshold`; start is a window's index."""

    rows: int
    loss: float
    reference_loss: float
    evidence_fixed: float
    evidence_self: float
    threshold: float
    start: int
    enough: bool

    @property
    def raised(self) -> bool:
        return self.enough and max(self.evidence_fixed, self.evidence_self) >= self.threshold

    @property
    def rise(self) -> float:
        """Rise of the loss over its reference, as a share of the reference's size; `nan` with a reference of 0."""
        if not self.reference_loss:
            return float("nan")
        return (self.loss - self.reference_loss) / abs(self.reference_loss)


def loss_level(losses: Array, ceiling: float, logarithmic: bool) -> LossLevel:
    """Summary of the losses of the rows of a window, shape (n,), finite.

    >>> loss_level(np.array([1.0, 1.0, 9.0]), ceiling=4.0, logarithmic=False)
    LossLevel(rows=3, loss=3.66..., level=2.0, variance=1.0)
    """
    clipped = np.minimum(losses, ceiling)
    rows = len(clipped)
    mean = float(clipped.mean())
    variance = float(clipped.var(ddof=1)) / rows if rows > 1 else float("nan")
    if logarithmic:
        floor = max(mean, 1e-12)  # a window without any loss is -27 on the log scale, not minus infinity
        return LossLevel(rows, float(losses.mean()), float(np.log(floor)), variance / floor**2)
    return LossLevel(rows, float(losses.mean()), mean, variance)


def loss_reference(
    losses: Array, blocks: Sequence[Array], *, windows: float, before: LossReference | None = None
) -> LossReference:
    """What a version's loss is before it serves.

    losses: of rows that it was not trained on, shape (n,); they span so many windows of time. blocks: losses of
    rows cut into windows, for the spread between windows; rows of its training may be among them, for the spread
    is a difference between windows. With fewer than two blocks the spread is the prior alone.
    before: the reference of the service before, whose spread is a better prior than none.
    """
    ceiling = float(np.quantile(losses, WINSOR_QUANTILE))
    logarithmic = bool(losses.min() >= 0 and losses.mean() > 0)
    whole = loss_level(losses, ceiling, logarithmic)
    levels = [loss_level(block, ceiling, logarithmic) for block in blocks if len(block) > 1]
    spread, freedom = _spread(levels, whole, logarithmic, before)
    variance = whole.variance if whole.rows > 1 else 0.0
    return LossReference(
        rows=whole.rows,
        loss=whole.loss,
        ceiling=ceiling,
        logarithmic=logarithmic,
        level=whole.level,
        error=float(np.sqrt(variance + spread**2 / max(windows, 1.0))),
        spread=spread,
        freedom=freedom,
    )


def _spread(
    levels: Sequence[LossLevel], whole: LossLevel, logarithmic: bool, before: LossReference | None
) -> tuple[float, float]:
    """Standard deviation between blocks that rows do not explain, shrunk to the prior, and its freedom."""
    prior, weight = PRIOR_SPREAD if logarithmic else PRIOR_SPREAD * abs(whole.level), float(PRIOR_BLOCKS)
    if before is not None and before.logarithmic == logarithmic:
        prior, weight = before.spread, min(before.freedom, MOST_PRIOR_BLOCKS)
    between, count = 0.0, max(len(levels) - 1, 0)
    if count:
        values = np.array([level.level for level in levels])
        explained = float(np.mean([level.variance for level in levels]))
        between = max(float(values.var(ddof=1)) - explained, 0.0)
    pooled = (weight * prior**2 + count * between) / (weight + count)
    return float(np.sqrt(pooled)), weight + count


def loss_alarms(
    reference: LossReference,
    windows: Sequence[LossLevel],
    config: AlarmConfig,
    run_length: float | None = None,
) -> tuple[LossAlarm, ...]:
    """Both tests over the windows since the deployment, in time order: one alarm record a window.

    run_length: windows between two false alarms of the loss; without it, the loss's part of what `config` accepts,
    which then has to be counted in windows.
    """
    fixed, own, baseline = Detector(), Detector(), _Baseline()
    if run_length is None:
        run_length = budget_of(config.false_alarms).of("loss")
    threshold = threshold_for(run_length, tests=2)
    alarms = []
    for window in windows:
        enough = window.rows >= config.least_rows
        if enough:
            fixed.update(_fixed_score(reference, window, config.tolerance))
            own.update(baseline.score(window.level, suspicious=own.evidence > SUSPICION * threshold))
        else:  # keeps window and score numbers in step, adds nothing
            fixed.update(-1.0)
            own.update(-1.0)
        start = fixed.start if fixed.evidence >= own.evidence else own.start
        alarms.append(
            LossAlarm(
                rows=window.rows,
                loss=window.loss,
                reference_loss=reference.loss,
                evidence_fixed=fixed.evidence,
                evidence_self=own.evidence,
                threshold=threshold,
                start=start,
                enough=enough,
            )
        )
    return tuple(alarms)


def _fixed_score(reference: LossReference, window: LossLevel, tolerance: float) -> float:
    """Rise over reference and tolerance, in standard deviations of a window.

    The error of the reference is the same in every window: it is allowed for once, in the level, and not in the
    spread, where it would average out.
    """
    size = 1.0 if reference.logarithmic else abs(reference.level)
    allowed = np.log1p(tolerance) if reference.logarithmic else tolerance * size
    deviation = np.sqrt(window.variance + reference.spread**2)
    rise = window.level - reference.level - allowed - REFERENCE_ERRORS * reference.error
    return normal_score(float(rise / deviation) if deviation > 0 else 0.0, reference.freedom)


class _Baseline:
    """Recursive residuals of the window levels on an intercept and their last values."""

    def __init__(self) -> None:
        self._levels: list[float] = []  # the accepted ones, in time order
        self._waiting: list[float] = []

    def score(self, level: float, *, suspicious: bool) -> float:
        if not suspicious and self._waiting:  # the suspicion is over: those windows were normal after all
            self._levels += self._waiting
            self._waiting = []
        score = self._residual(level)
        (self._waiting if suspicious else self._levels).append(level)
        return score

    def _residual(self, level: float) -> float:
        """Score of the next level given the accepted ones; 0 while there are too few to say."""
        lags = LAGS if len(self._levels) >= LAGS_FROM else 1
        past = np.array(self._levels)
        rows = len(past) - lags
        if rows < lags + 4:
            return 0.0
        design = np.column_stack(
            [np.ones(rows), *[past[lags - k - 1 : len(past) - k - 1] for k in range(lags)]]
        )
        target = past[lags:]
        gram = design.T @ design + 1e-9 * np.eye(lags + 1)
        beta = np.linalg.solve(gram, design.T @ target)
        freedom = rows - lags - 1
        scale = float(np.sqrt(np.sum((target - design @ beta) ** 2) / freedom))
        now = np.concatenate([[1.0], past[::-1][:lags]])
        leverage = float(now @ np.linalg.solve(gram, now))
        if scale <= 0:
            return 0.0
        return normal_score(float((level - now @ beta) / (scale * np.sqrt(1 + leverage))), freedom)
