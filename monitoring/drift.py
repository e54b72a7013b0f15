"""Two tables compared, without a project: what has moved between them, and what is broken.

Rows count as drawn at random, unless the reference is said to be in the order of time. Then it is counted in blocks,
and how much they differ from each other is allowed on top: a reference of a year knows summer and winter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from monitoring.distances import Distances, distances
from monitoring.faults import DataFault, data_faults
from monitoring.profile import Profile, merge_all
from monitoring.shift import FEWEST_ROWS, ColumnShift, calibrate, chance_thresholds, compare

Verdict = Literal["data fault", "shift", "no shift", "not enough rows"]

BLOCKS = 20  # of a reference in the order of time; fewer show too little of how it differs from itself
LEAST = 0.1  # standard deviations: of millions of rows any difference is beyond chance, and few matter
FALSE_ALARMS = 1 / 1000  # that two tables of the same source are called different, over all columns together


@dataclass(frozen=True)
class ColumnDrift:
    """One column of two tables. fault: what is broken about it; None where nothing is."""

    shift: ColumnShift
    distances: Distances
    fault: DataFault | None

    @property
    def name(self) -> str:
        return self.shift.name

    @property
    def verdict(self) -> Verdict:
        if self.fault is not None:
            return "data fault"
        return "shift" if self.shift.shifted else "no shift"

    @property
    def evidence(self) -> str:
        """What shows it, in numbers; "" where nothing has moved."""
        if self.fault is not None:
            return f"{self.fault.kind}: {self.fault.evidence}"
        if not self.shift.shifted:
            return ""
        return (
            f"{self.shift.cell!r} {self.shift.reference_share:.1%} -> {self.shift.current_share:.1%} of rows"
        )


@dataclass(frozen=True)
class TableDrift:
    """Two tables, column by column. rows: of the reference and of the current table."""

    rows: tuple[int, int]
    columns: tuple[ColumnDrift, ...]

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that moved or are broken, broken ones first, then the furthest beyond their threshold."""
        found = [column for column in self.columns if column.verdict != "no shift"]
        return tuple(sorted(found, key=_gravity))

    @property
    def verdict(self) -> Verdict:
        """Of all columns together: the gravest."""
        if any(column.fault for column in self.columns):
            return "data fault"
        if min(self.rows) < FEWEST_ROWS:
            return "not enough rows"
        return "shift" if self.drifted else "no shift"


def table_drift(
    blocks: Sequence[Profile], current: Profile, *, ordered: bool = False, false_alarms: float = FALSE_ALARMS
) -> TableDrift:
    """Compares the current rows with the reference, which comes counted in one block or several.

    ordered: whether the blocks follow each other in time, and how they differ is normal. Raises ValueError where the
    two were counted into other cells, or the reference has no rows.

    >>> import numpy as np
    >>> from monitoring.bins import reference_bins
    >>> from monitoring.profile import profile
    >>> rng = np.random.default_rng(0)
    >>> before, after = {"x": rng.normal(size=2000)}, {"x": rng.normal(1, size=500)}
    >>> bins = reference_bins(before)
    >>> blocks = [profile({"x": part}, bins) for part in np.split(before["x"], 20)]
    >>> table_drift(blocks, profile(after, bins)).verdict
    'shift'
    """
    reference = merge_all(blocks)
    if ordered:
        thresholds = calibrate(blocks, false_alarms=false_alarms)
    else:
        thresholds = chance_thresholds(reference, least=LEAST, false_alarms=false_alarms)
    shifts = compare(reference, current, thresholds)
    faults = {fault.column: fault for fault in data_faults(reference, current, blocks=blocks)}
    columns = zip(reference.columns, current.columns, shifts.columns, strict=True)
    found = tuple(
        ColumnDrift(shift, distances(before, after), faults.get(shift.name))
        for before, after, shift in columns
    )
    return TableDrift((reference.rows, current.rows), found)


def _gravity(column: ColumnDrift) -> tuple[bool, float]:
    return column.fault is None, column.shift.threshold - column.shift.distance
