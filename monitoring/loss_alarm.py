"""The loss alarm: has the loss of the deployed version risen, against its reference or against itself?

Two sequential tests share one budget of false alarms. Both start from the windows of the reference, held-out rows from
before the deployment, and score every window by how surprising it is that its loss came so high
(`expected_level.ExpectedLevel`). The *self-starting* test goes on learning the level with every window, so that it
needs no large reference; a window under suspicion teaches it nothing about the level. The *fixed-reference* test never
learns: it allows a tolerance and some errors of the reference, and a decline however slow cannot become normal to it.

The evidence of both is added up by `evidence.Detectors`. The self-starting scores are recursive residuals (Brown,
Durbin, Evans 1975); the tolerance follows Podkopaev and Ramdas, "Tracking the risk of a deployed model" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from monitoring.budget import budget_of
from monitoring.evidence import Detectors, threshold_for
from monitoring.expected_level import ExpectedLevel
from monitoring.seasons import Seasons, seasons_at

Array = npt.NDArray[np.float64]

# reference blocks are few: their spread is shrunk towards this share of the loss, worth this many blocks
PRIOR_SPREAD, PRIOR_BLOCKS = 0.05, 4
MOST_PRIOR_BLOCKS = 12.0  # what was learned in services before counts for so many blocks at most
MOST_BLOCKS = 400  # windows of a reference that are kept, the last: two weeks of hours and more
# winsorised at this quantile of the reference losses, so that a few rows are not a window
WINSOR_QUANTILE = 0.99
# windows are taken to differ by this share of the loss at least: no reference is known more exactly than that
LEAST_DEVIATION = 0.01
# at a quarter of the threshold a window teaches the self-starting test nothing about the level; less would keep chance
# highs out and make the next high look larger than it is
SUSPICION = 0.25
# a reference that is low by chance is low in every window: so many of its standard errors are forgiven
REFERENCE_ERRORS = 2.0
# of the budget, for the fixed-reference test: the other is the quicker one in all but very slow declines
FIXED_SHARE = 0.1


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
    variance: of the level, from the rows alone. doubt: variance that a correction of the level brings with it. start:
    of the window, in days since 1970 (UTC); None where unknown, and then no calendar terms help.
    """

    rows: int
    loss: float
    level: float
    variance: float
    doubt: float = 0.0
    start: float | None = None


@dataclass(frozen=True)
class Block:
    """A window of the reference. level: less the level of its reference. group: blocks of one group have one level:
    rows that trained a version lose less than others.
    """

    level: float
    rows: int
    group: int
    start: float | None = None


@dataclass(frozen=True)
class LossReference:
    """What the loss of a version was on held-out rows before it served.

    ceiling: the winsorising value. logarithmic: whether levels are logs. level, error: the reference level and
    its standard error. spread: standard deviation of the level between blocks beyond what rows explain.
    freedom: degrees of freedom of the spread. row_variance: variance that a single row gives to a level. blocks: in
    the order of time; `unseen` of them, the last, are of rows that the version was not trained on.
    """

    rows: int
    loss: float
    ceiling: float
    logarithmic: bool
    level: float
    error: float
    spread: float
    freedom: float
    row_variance: float = 1.0
    unseen: int = 0
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        blocks = (one if isinstance(one, Block) else Block(**one) for one in self.blocks)
        object.__setattr__(self, "blocks", tuple(blocks))  # from JSON they come as tables

    @property
    def scale(self) -> float:
        """Of what a share of the loss is a share: 1 on the log scale."""
        return 1.0 if self.logarithmic else max(abs(self.level), float(np.sqrt(self.row_variance)))

    def variance(self, rows: float) -> float:
        """Of the level of a window of so many rows, by their chance."""
        return max(self.row_variance / max(rows, 1.0), (LEAST_DEVIATION * self.scale) ** 2)


@dataclass(frozen=True)
class LossAlarm:
    """What both tests say after one window. start: a window's index.

    evidence_fixed, evidence_self: each by its share of the budget, so that both are compared with one `threshold`.
    """

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


def loss_level(losses: Array, ceiling: float, logarithmic: bool, start: float | None = None) -> LossLevel:
    """Summary of the losses of the rows of a window, shape (n,), finite. start: of the window, in days since 1970.

    >>> loss_level(np.array([1.0, 1.0, 9.0]), ceiling=4.0, logarithmic=False)
    LossLevel(rows=3, loss=3.66..., level=2.0, variance=1.0, doubt=0.0, start=None)
    """
    clipped = np.minimum(losses, ceiling)
    rows = len(clipped)
    mean = float(clipped.mean())
    variance = float(clipped.var(ddof=1)) / rows if rows > 1 else float("nan")
    if logarithmic:
        floor = max(mean, 1e-12)  # a window without any loss is -27 on the log scale, not minus infinity
        return LossLevel(rows, float(losses.mean()), float(np.log(floor)), variance / floor**2, start=start)
    return LossLevel(rows, float(losses.mean()), mean, variance, start=start)


def loss_reference(
    losses: Array,
    blocks: Sequence[Array],
    *,
    windows: float,
    before: LossReference | None = None,
    unseen: Sequence[bool] | None = None,
    starts: Sequence[float | None] | None = None,
) -> LossReference:
    """What a version's loss is before it serves.

    losses: of rows that it was not trained on, shape (n,); they span so many windows of time. blocks: losses of rows
    cut into windows, in the order of time. unseen: of each block, whether it holds no rows of the training; by default
    all. Blocks of the training teach how windows differ, not what their level is. starts: of each block, in days since
    1970. before: the reference of the service before; its blocks teach how windows differ, too.
    """
    ceiling = float(np.quantile(losses, WINSOR_QUANTILE))
    logarithmic = bool(losses.min() >= 0 and losses.mean() > 0)
    whole = loss_level(losses, ceiling, logarithmic)
    unseen = [True] * len(blocks) if unseen is None else unseen
    starts = [None] * len(blocks) if starts is None else starts
    kept = [place for place, block in enumerate(blocks) if len(block) > 1]
    levels = [loss_level(blocks[place], ceiling, logarithmic, starts[place]) for place in kept]
    spread, freedom = _spread(levels, whole, logarithmic, before)
    variance = whole.variance if whole.rows > 1 else 0.0
    known = _blocks(levels, [unseen[place] for place in kept], whole, logarithmic, before)
    return LossReference(
        rows=whole.rows,
        loss=whole.loss,
        ceiling=ceiling,
        logarithmic=logarithmic,
        level=whole.level,
        error=float(np.sqrt(variance + spread**2 / max(windows, 1.0))),
        spread=spread,
        freedom=freedom,
        row_variance=_row_variance(levels or [whole]),
        unseen=_last_unseen([unseen[place] for place in kept]),
        blocks=known,
    )


def _row_variance(levels: Sequence[LossLevel]) -> float:
    """Variance that one row gives to a level, within the windows."""
    known = [one for one in levels if np.isfinite(one.variance)]
    rows = sum(one.rows for one in known)
    return sum(one.variance * one.rows**2 for one in known) / rows if rows else 1.0


def _last_unseen(unseen: Sequence[bool]) -> int:
    """How many blocks at the end hold no rows of the training."""
    return next((count for count, new in enumerate(reversed(unseen)) if not new), len(unseen))


def _blocks(
    levels: Sequence[LossLevel],
    unseen: Sequence[bool],
    whole: LossLevel,
    logarithmic: bool,
    before: LossReference | None,
) -> tuple[Block, ...]:
    """The blocks of the reference behind those of the one before, the last `MOST_BLOCKS` of them."""
    earlier = before.blocks if before is not None and before.logarithmic == logarithmic else ()
    group = max((block.group for block in earlier), default=-1)
    found = list(earlier)
    for _, run in groupby(zip(levels, unseen, strict=True), key=lambda pair: pair[1]):
        group += 1
        found += [Block(one.level - whole.level, one.rows, group, one.start) for one, _ in run]
    return tuple(found[-MOST_BLOCKS:])


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
    if run_length is None:
        run_length = budget_of(config.false_alarms).of("loss")
    detector = LossDetector(reference, config, run_length)
    return tuple(detector.update(window) for window in windows)


class LossDetector:
    """Both tests of one version since its deployment, window by window."""

    def __init__(self, reference: LossReference, config: AlarmConfig, run_length: float) -> None:
        self._reference = reference
        self._detectors = LossDetectors([reference], config, run_length)

    def update(self, window: LossLevel) -> LossAlarm:
        """What both tests say after the next window."""
        enough = self._detectors.update([window])
        tests = self._detectors.tests
        return LossAlarm(
            rows=window.rows,
            loss=window.loss,
            reference_loss=self._reference.loss,
            evidence_fixed=float(tests.evidence_fixed[0]),
            evidence_self=float(tests.evidence_self[0]),
            threshold=tests.threshold,
            start=int(tests.starts[0]),
            enough=enough,
        )


class LossDetectors:
    """Both tests of several versions whose windows come in step and whose references have as many blocks.

    One alone is the case of a service; many at once are how the tests are measured.
    """

    def __init__(self, references: Sequence[LossReference], config: AlarmConfig, run_length: float) -> None:
        self._references, self._least_rows = references, config.least_rows
        self._calendar = Calendar.of([block.start for block in references[0].blocks])
        self.tests = LossTests(
            self._expected(),
            allowed=np.array([_allowed(reference, config.tolerance) for reference in references]),
            threshold=threshold_for(run_length),
        )

    def update(self, windows: Sequence[LossLevel]) -> bool:
        """The next window of each; whether they have enough rows to say something."""
        enough = all(window.rows >= self._least_rows for window in windows)
        if not enough:
            self.tests.skip()
            return False
        pairs = list(zip(self._references, windows, strict=True))
        level = np.array([window.level - reference.level for reference, window in pairs])
        variance = np.array([reference.variance(window.rows) + window.doubt for reference, window in pairs])
        self.tests.update(level, variance, self._calendar.terms(windows[0].start))
        return True

    def _expected(self) -> ExpectedLevel:
        """What is expected of the first windows, from the blocks of the references."""
        references, blocks = self._references, self._references[0].blocks
        expected = ExpectedLevel(
            np.sqrt([reference.variance(_typical_rows(reference)) for reference in references]),
            np.array([reference.scale for reference in references]),
            self._calendar.count,
        )
        learn(
            expected,
            levels=np.array([[block.level for block in one.blocks] for one in references]),
            variances=np.array([[one.variance(block.rows) for block in one.blocks] for one in references]),
            terms=np.array([self._calendar.terms(block.start) for block in blocks]),
            groups=[block.group for block in blocks],
        )
        if not references[0].unseen:
            expected.forget_level(0.0, np.array([reference.error for reference in references]))
        return expected


def _allowed(reference: LossReference, tolerance: float) -> float:
    """The rise of the level that is no harm."""
    return float(np.log1p(tolerance)) if reference.logarithmic else tolerance * abs(reference.level)


def _typical_rows(reference: LossReference) -> float:
    return float(np.median([block.rows for block in reference.blocks] or [reference.rows]))


def learn(
    expected: ExpectedLevel, levels: Array, variances: Array, terms: Array, groups: Sequence[int]
) -> None:
    """Teaches the blocks of a reference, one after the other.

    levels, variances: shape (streams, blocks). terms: (blocks, terms). groups: of each block; a new one has a level
    of its own.
    """
    for place, group in enumerate(groups):
        if place and group != groups[place - 1]:
            expected.forget_level()
        expected.update(levels[..., place], variances[..., place], terms[place])


@dataclass(frozen=True)
class Calendar:
    """The calendar terms that a reference can teach, for windows of this length in days."""

    seasons: Seasons
    length: float

    @classmethod
    def of(cls, starts: Sequence[float | None]) -> Calendar:
        """For blocks that start so many days after 1970; no terms where a start is not known.

        >>> Calendar.of([hour / 24 for hour in range(72)]).seasons
        Seasons(daily=3, weekly=False, yearly=0)
        """
        known = np.array([start for start in starts if start is not None])
        length = float(np.median(np.diff(known))) if len(known) > 2 else 0.0
        if len(known) < len(starts) or length <= 0:
            return cls(Seasons(), 0.0)
        return cls(seasons_at(known + length / 2, length), length)

    @property
    def count(self) -> int:
        return self.seasons.count

    def terms(self, start: float | None) -> Array:
        """Of the window that starts then, shape (count,); 0 where that is unknown."""
        if start is None:
            return np.zeros(self.count)
        return np.asarray(self.seasons.terms_at(np.array([start + self.length / 2]))[0])


class LossTests:
    """Both tests over one stream of windows, or many in step.

    expected: of the first window. allowed: rise of the level that is no harm, shape (streams). threshold: of the
    evidence.
    """

    def __init__(self, expected: ExpectedLevel, *, allowed: Array, threshold: float) -> None:
        self.threshold = threshold
        self._own, self._fixed = expected, expected.at(allowed + REFERENCE_ERRORS * expected.error)
        self._detectors = {True: Detectors(expected.streams), False: Detectors(expected.streams)}

    @property
    def evidence_fixed(self) -> Array:
        return FIXED_SHARE * self._detectors[True].evidence

    @property
    def evidence_self(self) -> Array:
        return (1 - FIXED_SHARE) * self._detectors[False].evidence

    @property
    def starts(self) -> npt.NDArray[np.intp]:
        """The window in which the rise began, by the test with more evidence."""
        fixed, own = self._detectors[True].starts, self._detectors[False].starts
        return np.where(self.evidence_fixed >= self.evidence_self, fixed, own)

    def update(self, level: Array, variance: Array, terms: Array) -> None:
        """The next window; level, variance: shape (streams), terms: (terms,)."""
        trusted = self.evidence_self < SUSPICION * self.threshold
        self._detectors[False].update(self._own.update(level, variance, terms, trusted))
        self._detectors[True].update(self._fixed.update(level, variance, terms, False))

    def skip(self) -> None:
        """A window with too few rows: it adds nothing, and keeps windows and scores in step."""
        self._own.skip()
        self._fixed.skip()
        for detectors in self._detectors.values():
            detectors.update(np.full(self._own.streams, -1.0))
