"""Do the rows whose labels come late lose more, or less, than those whose labels come in time?

A window is judged on the labels that it has when it is due. Where easy rows are labelled first, its loss is too low,
and a reference that was labelled completely is too high for it. The windows before it show by how much: some of their
labels have come since. Within each of them the losses of rows labelled late are compared with those of rows labelled in
time, and the differences are joined by their weights (stratified, so that a loss that moves from window to window is
no difference). The window's loss is then moved by the share of labels that come late times that difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from monitoring.loss_alarm import LossLevel

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LEAST_LATE = 30  # rows; below it a difference of means is not about normal
SHOWN = 4.0  # standard errors: once in 16,000 windows by chance
WINDOWS = 4  # before a window, that say how late labels differ


@dataclass(frozen=True)
class Stratum:
    """Labelled rows of a window before. losses: winsorised, shape (n,); late: whether a label came after it was due."""

    losses: Array
    late: Mask


@dataclass(frozen=True)
class Selection:
    """How rows labelled late differ. difference: of their mean loss from that of rows in time, with its standard error;
    in_time: mean loss of the latter; share: of the labels, that come late; rows: labelled late.
    """

    difference: float
    error: float
    in_time: float
    share: float
    rows: int

    @property
    def shown(self) -> bool:
        return abs(self.difference) > SHOWN * self.error

    @property
    def shift(self) -> float:
        """By how much the loss of a window changes when its late labels come."""
        return self.share * self.difference

    def __str__(self) -> str:
        more = "more" if self.difference > 0 else "less"
        apart = abs(self.difference) / self.in_time if self.in_time > 0 else math.nan
        much = f"{apart:.0%}" if math.isfinite(apart) else f"{abs(self.difference):.3g}"
        return (
            f"rows labelled late ({self.share:.0%} of the labels) lose {much} {more} than those in time, over "
            f"{self.rows:,} rows ({abs(self.difference) / self.error:.1f} standard errors): the loss of this window is "
            f"corrected by {self.shift:+.3g}"
        )


def selection(strata: Sequence[Stratum]) -> Selection | None:
    """What windows before say of late labels, oldest first; None where too few were late, or all.

    >>> rng = np.random.default_rng(0)
    >>> late = np.arange(400) < 100
    >>> found = selection([Stratum(np.where(late, 2.0, 1.0) + 0.1 * rng.standard_normal(400), late)])
    >>> round(found.difference, 1), found.share, found.shown
    (1.0, 0.25, True)
    """
    parts = [one for one in strata if 0 < one.late.sum() < len(one.late)]
    rows = int(sum(one.late.sum() for one in parts))
    others = int(sum((~one.late).sum() for one in parts))
    if min(rows, others) < LEAST_LATE:
        return None
    late, in_time = ([one.losses[one.late == which] for one in parts] for which in (True, False))
    counts, rest = (np.array([len(one) for one in group], float) for group in (late, in_time))
    differences = np.array([one.mean() - other.mean() for one, other in zip(late, in_time, strict=True)])
    weights = counts * rest / (counts + rest)
    weights /= weights.sum()
    variances = _variance(late) / counts + _variance(in_time) / rest
    if not np.isfinite(variances).all():
        return None
    return Selection(
        difference=float(weights @ differences),
        error=float(np.sqrt(weights**2 @ variances)),
        in_time=float(np.concatenate(in_time).mean()),
        share=_share(strata),
        rows=rows,
    )


def _variance(groups: Sequence[Array]) -> float:
    """Of the rows within their windows, one for all windows."""
    freedom = sum(len(one) - 1 for one in groups)
    spread = sum(float(((one - one.mean()) ** 2).sum()) for one in groups)
    return spread / freedom if freedom > 0 else math.nan


def _share(strata: Sequence[Stratum]) -> float:
    """Of the labels, that come late: in the older half of the windows, of which more have come."""
    known = [one for one in strata if len(one.late)]
    older = known[: (len(known) + 1) // 2]
    return float(np.concatenate([one.late for one in older]).mean())


def corrected(level: LossLevel, found: Selection, *, logarithmic: bool) -> LossLevel:
    """The level of a window as it will be when its late labels have come, with what is uncertain about that.

    >>> level = LossLevel(rows=100, loss=1.0, level=1.0, variance=0.01)
    >>> corrected(level, Selection(0.5, 0.1, 1.0, 0.2, 50), logarithmic=False)
    LossLevel(rows=100, loss=1.1, level=1.1, variance=0.0104, doubt=0.0004, start=None)
    """
    shift, doubt = found.shift, (found.share * found.error) ** 2
    if not logarithmic:
        return replace(
            level,
            loss=level.loss + shift,
            level=level.level + shift,
            variance=level.variance + doubt,
            doubt=doubt,
        )
    mean = math.exp(level.level)
    moved = max(mean + shift, 0.1 * mean)  # a loss does not vanish by what is known of a few late rows
    return replace(
        level,
        loss=level.loss + moved - mean,
        level=math.log(moved),
        variance=(level.variance * mean**2 + doubt) / moved**2,
        doubt=doubt / moved**2,
    )
