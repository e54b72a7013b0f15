"""The gate: champion and challenger on the same unseen rows, with paired intervals.

A challenger serves only if its loss is lower, beyond chance, on rows newer than all that any version was trained
on, and has not risen by more than it fell there on the anchor: older rows that never trained any version, which
guard what had been learned before. After a concept change the anchor no longer tells the truth and does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BLOCKS = 40  # rows in time order are averaged in so many blocks: neighbours are not independent witnesses


@dataclass(frozen=True)
class GateConfig:
    """What a challenger must prove before it serves."""

    share: float = field(
        default=0.25,  # enough rows to tell a gain of some percent; the rest is fresh enough to learn from
        metadata={
            "doc": "share of the rows since the change, the newest, on which is judged",
            "range": (0.05, 0.9),
        },
    )
    held_out: float = field(
        default=0.1,  # one row in ten: stops an update early and guards what had been learned before
        metadata={"doc": "share of all production rows that never train a version", "range": (0.01, 0.5)},
    )
    confidence: float = field(
        default=0.95,
        metadata={"doc": "one-sided confidence that the challenger's loss is lower", "range": (0.5, 0.9999)},
    )
    anchor_tolerance: float = field(
        default=0.05,  # the tolerance of the loss alarm: a smaller rise would not be called harm either
        metadata={"doc": "share by which the loss on older held-out rows may rise", "range": (0.0, 1.0)},
    )
    least_rows: int = field(
        default=50,  # below this a paired interval on skewed losses does not hold its level
        metadata={"doc": "fewest held-out rows on which a challenger is judged", "range": (10, 10**6)},
    )


@dataclass(frozen=True)
class Comparison:
    """Losses of champion and challenger on the same rows. lower, upper: bounds of the mean gain, in loss."""

    rows: int
    champion: float
    challenger: float
    lower: float
    upper: float

    @property
    def gain(self) -> float:
        """Loss that the challenger saves a row; negative when it is worse."""
        return self.champion - self.challenger


@dataclass(frozen=True)
class Promotion:
    """Whether the challenger may serve. `new` and `anchor` are the evidence, `faults` what speaks against it.

    settled: whether enough of the newest rows showed no gain, so that the champion's loss is what can be had now.
    """

    new: Comparison | None
    anchor: Comparison | None
    faults: tuple[str, ...]
    settled: bool = False

    @property
    def promoted(self) -> bool:
        return not self.faults

    @property
    def reasons(self) -> tuple[str, ...]:
        if self.faults or self.new is None:
            return self.faults
        return (
            f"loss {self.new.champion:.4g} → {self.new.challenger:.4g} on {self.new.rows:,} unseen rows, "
            f"gain {self.new.gain:.3g} (at least {self.new.lower:.3g})",
        )


def compare_losses(
    champion: Array, challenger: Array, *, confidence: float, challengers: int = 1
) -> Comparison:
    """Paired comparison of row losses, shape (n,) each, rows in time order.

    Bounds are one-sided t bounds over the means of up to 40 blocks of neighbouring rows; `nan` with one row.
    challengers: how many there were to choose from; the bounds hold for the best of them (Bonferroni).

    >>> compare_losses(np.array([3.0, 5.0, 4.0]), np.array([2.0, 3.0, 2.5]), confidence=0.95).gain
    1.5
    """
    from scipy.special import stdtrit

    difference = champion - challenger
    blocks = min(BLOCKS, len(difference))
    means = np.array([block.mean() for block in np.array_split(difference, blocks)])
    error = float(means.std(ddof=1) / np.sqrt(blocks)) if blocks > 1 else float("nan")
    quantile = (
        float(stdtrit(blocks - 1, 1.0 - (1.0 - confidence) / challengers)) if blocks > 1 else float("nan")
    )
    margin = quantile * error
    gain = float(difference.mean())
    return Comparison(
        len(difference), float(champion.mean()), float(challenger.mean()), gain - margin, gain + margin
    )


def judge_challenger(
    new: Comparison | None, anchor: Comparison | None, config: GateConfig, *, anchor_counts: bool = True
) -> Promotion:
    """The decision of the gate; without rows to judge on there is no promotion."""
    if new is None or new.rows < config.least_rows:
        rows = 0 if new is None else new.rows
        return Promotion(
            new, anchor, (f"only {rows} unseen rows to judge on, {config.least_rows} are needed",)
        )
    faults = []
    if not new.lower > 0:  # also when a loss is not a number
        faults.append(
            f"not better on {new.rows:,} unseen rows: loss {new.champion:.4g} → {new.challenger:.4g}, "
            f"gain {new.gain:.3g} (at least {new.lower:.3g}, needed above 0)"
        )
    if anchor_counts and anchor is not None and anchor.rows >= config.least_rows:
        allowed = max(config.anchor_tolerance * abs(anchor.champion), new.gain)
        if not -anchor.gain <= allowed:
            faults.append(
                f"forgets: loss on {anchor.rows:,} older rows {anchor.champion:.4g} → {anchor.challenger:.4g}, "
                f"allowed {anchor.champion + allowed:.4g}"
            )
    return Promotion(new, anchor, tuple(faults), settled=not new.lower > 0)
