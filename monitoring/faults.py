"""Is the feed broken? What no change of the world explains: a column gone, a sensor stuck, another unit.

A data fault stops retraining, so each rule asks for strong evidence: a drift, a season, a moderate shift or a
column that has its own moods is never a fault. The windows of the reference say what is normal; rules that
cannot do without them stay silent where fewer than 4 are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.counting import STEPS_AN_OCTAVE
from monitoring.profile import ColumnProfile, Profile

Floats = NDArray[np.float64]
FaultKind = Literal[
    "column absent",
    "all missing",
    "many missing",
    "invalid values",
    "constant",
    "another unit",
    "level renamed",
    "unknown levels",
    "rows absent",
    "rows repeated",
    "missing for a while",
    "stuck for a while",
    "impossible values",
]

FEWEST_ROWS = 30  # fewer rows prove nothing but that a column is absent
FEWEST_BLOCKS = 4  # windows of the reference that a rule needs to know what is normal
# growth does not jump so far; seconds, percent, kilo ...
FACTORS = (
    10.0,
    60.0,
    100.0,
    1000.0,
    3600.0,
    1e6,
    1e9,
)
KELVIN = 273.15


@dataclass(frozen=True)
class DataFault:
    """A column that cannot be trusted in this window, and what shows it."""

    column: str
    kind: FaultKind
    evidence: str

    def __str__(self) -> str:
        return f"{self.column}: {self.kind}: {self.evidence}"


@dataclass(frozen=True)
class _Case:
    """One column: the whole reference, its windows, and the window to be judged."""

    reference: ColumnProfile
    blocks: tuple[ColumnProfile, ...]
    current: ColumnProfile

    @property
    def known(self) -> tuple[ColumnProfile, ...]:
        """The reference and each of its windows."""
        return (self.reference, *self.blocks)


def data_faults(
    reference: Profile, current: Profile, *, blocks: Sequence[Profile] = ()
) -> tuple[DataFault, ...]:
    """The columns whose feed is broken in the current rows, at most one fault each.

    blocks: profiles of the reference cut into windows like the one to be judged.

    >>> from monitoring.bins import reference_bins
    >>> from monitoring.profile import profile
    >>> good = {"delay": np.arange(100.0)}
    >>> bins = reference_bins(good)
    >>> [str(fault) for fault in data_faults(profile(good, bins), profile({"other": good["delay"]}, bins))]
    ['delay: column absent: no row has it']
    """
    blocks = [block for block in blocks if block.rows >= FEWEST_ROWS]
    if any(other.bins != reference.bins for other in (current, *blocks)):
        raise ValueError("the profiles were counted into other bins; count all against one reference's")
    found = []
    for k, column in enumerate(current.columns):
        case = _Case(reference.columns[k], tuple(block.columns[k] for block in blocks), column)
        found.append(next(_faults(case), None))
    return tuple(fault for fault in found if fault is not None)


def _faults(case: _Case) -> Iterator[DataFault]:
    for kind, rule in RULES:
        if (evidence := rule(case)) is not None:
            yield DataFault(case.current.name, kind, evidence)


# --- missing and invalid ------------------------------------------------------------------------------------


def _column_absent(case: _Case) -> str | None:
    if not case.current.rows or case.current.absent < case.current.rows:
        return None
    return None if _largest_missing(case) > 0.9 else "no row has it"


def _all_missing(case: _Case) -> str | None:
    current = case.current
    if current.rows < FEWEST_ROWS or current.missing < current.rows or _largest_missing(case) > 0.9:
        return None
    return f"all {current.rows:,} rows; the reference misses {_missing_share(case.reference):.1%}"


def _many_missing(case: _Case) -> str | None:
    share, normal = _missing_share(case.current), _largest_missing(case)
    if case.current.rows < FEWEST_ROWS or share < 0.3 or share < 5 * max(normal, 0.01):
        return None
    return f"{share:.0%} of rows; no window of the reference misses more than {normal:.1%}"


def _invalid_values(case: _Case) -> str | None:
    current = case.current
    share, normal = _invalid_share(current), max(map(_invalid_share, case.known))
    if current.rows < FEWEST_ROWS or current.invalid < 5 or share < max(0.01, 3 * normal):
        return None
    return f"text or infinite in {share:.1%} of rows; in the reference at most {normal:.1%}"


def _missing_share(column: ColumnProfile) -> float:
    return column.missing / column.rows if column.rows else 0.0


def _invalid_share(column: ColumnProfile) -> float:
    return column.invalid / column.rows if column.rows else 0.0


def _largest_missing(case: _Case) -> float:
    return max(map(_missing_share, case.known))


# --- stuck --------------------------------------------------------------------------------------------------


def _constant(case: _Case) -> str | None:
    """One value only, in a column of which no value ever filled half a window of the reference."""
    current = case.current
    if len(case.blocks) < FEWEST_BLOCKS or current.valid < max(FEWEST_ROWS, current.rows / 2):
        return None
    if not _is_constant(current) or max(map(_largest_share, case.known)) >= 0.5:
        return None
    value = f"{current.minimum:g}" if current.minimum is not None else _only_level(current)
    usual = max(map(_largest_share, case.blocks))
    return f"{value} in all rows; in the reference no value fills more than {usual:.0%} of a window"


def _is_constant(column: ColumnProfile) -> bool:
    if column.bins.kind == "number":
        return column.minimum is not None and column.minimum == column.maximum
    return max(column.counts[:-2], default=0) == column.valid or (
        len(column.unseen) == 1 and column.unseen[0][1] == column.valid
    )


def _only_level(column: ColumnProfile) -> str:
    most = int(np.argmax(column.counts[:-1]))
    return repr(column.bins.labels[most] if most < len(column.bins.levels) else column.unseen[0][0])


def _largest_share(column: ColumnProfile) -> float:
    return max(column.counts[:-1], default=0) / column.valid if column.valid else 1.0


# --- another unit -------------------------------------------------------------------------------------------


def _another_unit(case: _Case) -> str | None:
    """The reference's own distribution, multiplied, or from one scale of temperature to another."""
    current, known = case.current, [column for column in case.known if _measurable(column)]
    if current.bins.kind != "number" or not _measurable(current) or not known:
        return None
    if _varies_widely(known) or any(_multiplied(column, current, 1.0) for column in known):
        return None
    for factor in (*FACTORS, *(1 / f for f in FACTORS)):
        if any(_multiplied(column, current, factor) for column in known):
            return f"the reference's values times {factor:g}: mean {case.reference.mean:.4g} -> {current.mean:.4g}"
    return _temperature(case)


def _measurable(column: ColumnProfile) -> bool:
    """Enough numbers, not all the same, not mostly 0."""
    numbers = sum(count for _, count in column.magnitudes)
    return numbers >= 50 and numbers >= 0.3 * column.valid and column.minimum != column.maximum


def _varies_widely(known: Sequence[ColumnProfile]) -> bool:
    """Whether the typical size differs threefold between windows of the reference, so that no jump is odd."""
    middles = [_middle_step(column) for column in known]
    return max(middles) - min(middles) > STEPS_AN_OCTAVE * math.log2(3)


def _middle_step(column: ColumnProfile) -> float:
    steps, counts = np.array(column.magnitudes).T
    return float(steps[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])


def _multiplied(reference: ColumnProfile, current: ColumnProfile, factor: float) -> bool:
    """Whether the current values are distributed as the reference's, times the factor.

    The means of log |x| have to agree within 10 %, its distributions within one step of 9 % and a share of rows;
    a narrow column, of which they say little, has to be as many times as wide.
    """
    tolerance = 0.05 + 1 / math.sqrt(current.valid)
    moved = (_mean_step(current) - _mean_step(reference)) / STEPS_AN_OCTAVE - math.log2(factor)
    if abs(moved) > math.log2(1.1) or abs(_zero_share(reference) - _zero_share(current)) > tolerance:
        return False
    steps = np.arange(current.magnitudes[0][0] - 1, current.magnitudes[-1][0] + 3, dtype=np.float64)
    expected = steps - STEPS_AN_OCTAVE * math.log2(factor)
    share = _share_below(current, steps)
    lowest, highest = _share_below(reference, expected - 1), _share_below(reference, expected + 1)
    agrees = bool((share >= lowest - tolerance).all() and (share <= highest + tolerance).all())
    return agrees and _as_wide(reference, current, factor)


def _mean_step(column: ColumnProfile) -> float:
    steps, counts = np.array(column.magnitudes, dtype=np.float64).T
    return float(steps @ counts / counts.sum())


def _as_wide(reference: ColumnProfile, current: ColumnProfile, factor: float) -> bool:
    if reference.deviation > 0.3 * abs(reference.mean):
        return True
    return 0.5 < current.deviation / (factor * reference.deviation) < 2


def _zero_share(column: ColumnProfile) -> float:
    return 1 - sum(count for _, count in column.magnitudes) / column.valid


def _share_below(column: ColumnProfile, steps: Floats) -> Floats:
    """Share of the numbers that are not 0 with 8 log2 |x| below each step, linear within a step."""
    first, last = column.magnitudes[0][0], column.magnitudes[-1][0]
    counts = np.zeros(last - first + 1)
    for step, count in column.magnitudes:
        counts[step - first] = count
    below = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    return np.asarray(np.interp(steps, np.arange(first, last + 2), below), dtype=np.float64)


def _temperature(case: _Case) -> str | None:
    """Celsius, Fahrenheit and Kelvin; the Celsius side must have been below 0, which growth never is."""
    current = case.current
    for name, scale, offset in _SCALES:
        for column in (column for column in case.known if _measurable(column)):
            below_zero = column if name.startswith("Celsius") else current
            if (below_zero.minimum or 0.0) < 0 and _moved_to(column, current, scale, offset):
                return f"{name}: mean {case.reference.mean:.4g} -> {current.mean:.4g}"
    return None


_SCALES = (
    ("Celsius to Fahrenheit", 1.8, 32.0),
    ("Fahrenheit to Celsius", 1 / 1.8, -32 / 1.8),
    ("Celsius to Kelvin", 1.0, KELVIN),
    ("Kelvin to Celsius", 1.0, -KELVIN),
)


def _moved_to(reference: ColumnProfile, current: ColumnProfile, scale: float, offset: float) -> bool:
    """Whether mean and deviation are where the scale takes them, and were not near before."""
    deviation = scale * reference.deviation
    away = abs(current.mean - (scale * reference.mean + offset)) / deviation
    jump = abs(current.mean - reference.mean) / reference.deviation
    wide = current.deviation / deviation
    return away < 0.25 and 1 / 1.15 < wide < 1.15 and jump > 2.5


# --- categories ---------------------------------------------------------------------------------------------


def _level_renamed(case: _Case) -> str | None:
    """A steady level vanishes and a new one has its share."""
    current = case.current
    if not _has_steady_levels(case) or current.rows < FEWEST_ROWS:
        return None
    before = dict(case.reference.unseen)
    fresh = {level: count for level, count in current.unseen if level not in before}
    for k, level in enumerate(case.reference.bins.levels):
        share = case.reference.counts[k] / case.reference.rows
        if current.counts[k] or not _is_steady(case, k, share) or share * current.rows < 20:
            continue
        doubt = max(0.3 * share, 3 * math.sqrt(share / current.rows))
        for name, count in fresh.items():
            if abs(count / current.rows - share) <= doubt:
                return (
                    f"{level!r} ({share:.0%} of rows) is gone, {name!r} is new ({count / current.rows:.0%})"
                )
    return None


def _unknown_levels(case: _Case) -> str | None:
    current = case.current
    if not _has_steady_levels(case) or current.rows < FEWEST_ROWS or not current.valid:
        return None
    share = current.counts[-2] / current.valid
    if share < 0.9 or max(map(_other_share, case.known)) > 0.05:
        return None
    examples = ", ".join(repr(level) for level, _ in current.unseen[:3])
    return f"{share:.0%} of rows have levels the reference never had, such as {examples}"


def _has_steady_levels(case: _Case) -> bool:
    """Whether every window of the reference has much the same levels; dates and identities do not."""
    if case.current.bins.kind != "category" or len(case.blocks) < FEWEST_BLOCKS:
        return False
    shares = np.stack([block.shares[:-3] for block in case.blocks])
    return float(shares.min(axis=0).sum()) >= 0.5


def _is_steady(case: _Case, level: int, share: float) -> bool:
    return share >= 0.05 and min(block.counts[level] / block.rows for block in case.blocks) >= share / 2


def _other_share(column: ColumnProfile) -> float:
    return column.counts[-2] / column.valid if column.valid else 0.0


Rule = Callable[[_Case], str | None]
# the first that holds names the fault
RULES: tuple[tuple[FaultKind, Rule], ...] = (
    ("column absent", _column_absent),
    ("all missing", _all_missing),
    ("many missing", _many_missing),
    ("invalid values", _invalid_values),
    ("constant", _constant),
    ("another unit", _another_unit),
    ("level renamed", _level_renamed),
    ("unknown levels", _unknown_levels),
)
