"""How the labels of a project come: coverage and delay by day, what is still expected, what fits no row, silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from monitoring.label_delay import Silence, curve_at, silence
from pipelines.label_rows import Counted, Events, counted
from pipelines.labelled import takes
from pipelines.moments import moment_of, numpy_moment
from pipelines.plain_columns import Array
from pipelines.service import bundle_of
from pipelines.stores import Stores, open_stores

if TYPE_CHECKING:
    from pipelines.label_file import LabelFile
    from pipelines.log import LabelTimes
    from pipelines.project import Project

KINDS: tuple[Literal["id", "key"], ...] = ("id", "key")
DAYS = 90  # whose rows say how labels come
_SHOWN = 21  # days in the terminal; --json has all
_BAR = 20  # letters
_EXAMPLES = 5  # labels that fit no row


@dataclass(frozen=True)
class LabelDay:
    """The rows of a day. median_delay, late_delay: days from a row to its first label, half and nine in ten of them;
    expected: of the rows without a label, how many will get one yet.
    """

    day: str
    rows: int
    labelled: int
    median_delay: float
    late_delay: float
    expected: float


@dataclass(frozen=True)
class LabelsResult:
    """How labels come. coverage: share of rows that get one in the end; delays in days; expected: labels still to come.

    labels: that came in these days, each time they were sent; again: the same label once more; corrected: with another
    value and a later moment; conflicts: with another value of the same moment; early: known before their row;
    unknown: things named by labels that no row is about, the oldest of them since `unknown_since`; unusable: labels
    that the target cannot take. silence: how long none has come, in words.
    """

    name: str
    since: str
    until: str
    rows: int
    labelled: int
    coverage: float
    median_delay: float
    late_delay: float
    expected: float
    labels: int
    again: int
    corrected: int
    conflicts: int
    early: int
    unknown: int
    unknown_since: str | None
    unknown_examples: tuple[str, ...]
    unusable: int
    stopped: bool
    silence: str | None
    days: tuple[LabelDay, ...] = field(default=())

    @property
    def failed(self) -> bool:
        return self.stopped

    def lines(self) -> list[str]:
        if not self.rows:
            return [f"{self.name}: no row was scored from {self.since[:10]} to {self.until[:10]}"]
        days = [_HEADER, *map(_day_line, self.days[-_SHOWN:])]
        return [self._summary(), *self._kinds(), *self._unknown(), *days, *self._silence()]

    def _summary(self) -> str:
        return (
            f"{self.name}: {self.labelled:,} of {self.rows:,} rows since {self.since[:10]} have a label; in the end "
            f"{_percent(self.coverage)} of them do, half within {_days(self.median_delay)}, nine in ten within "
            f"{_days(self.late_delay)}; {self.expected:,.0f} are still to come"
        )

    def _kinds(self) -> list[str]:
        said = f"{self.labels:,} labels came: {self.again:,} of them again, {self.corrected:,} corrections, "
        said += f"{self.conflicts:,} conflicts, {self.early:,} before their row"
        unusable = f"{self.unusable:,} labels are none that the target can take"
        return [said, *([unusable] if self.unusable else [])]

    def _unknown(self) -> list[str]:
        if not self.unknown:
            return []
        examples = ", ".join(self.unknown_examples)
        return [
            f"{self.unknown:,} labels fit no row, the oldest since {str(self.unknown_since)[:16]}: {examples}; they "
            "are kept, and joined when their row comes"
        ]

    def _silence(self) -> list[str]:
        return [f"labels have stopped: {self.silence}"] if self.stopped else []


_HEADER = f"{'day':10}  {'rows':>9}  {'labelled':>9}  {'':{_BAR}}  {'delay: half':>11}  {'9 in 10':>8}  {'to come':>9}"


def _day_line(day: LabelDay) -> str:
    share = day.labelled / day.rows if day.rows else 0.0
    filled = round(_BAR * share)
    bar = "█" * filled + "░" * (_BAR - filled)
    return (
        f"{day.day:10}  {day.rows:>9,}  {day.labelled:>9,}  {bar}  {_days(day.median_delay):>11}  "
        f"{_days(day.late_delay):>8}  {day.expected:>9,.0f}"
    )


def _days(days: float) -> str:
    """
    >>> _days(0.5), _days(12.3), _days(0.0001), _days(float("nan"))
    ('12 h', '12 d', '9 s', '-')
    """
    if days != days:
        return "-"
    for most, each, unit in ((2 / 1440, 86400, "s"), (2 / 24, 1440, "min"), (2, 24, "h")):
        if days < most:
            return f"{each * days:.0f} {unit}"
    return f"{days:.0f} d"


def _percent(share: float) -> str:
    return "-" if share != share else f"{share:.0%}"


def labels(project: Project, now: datetime, *, days: int = DAYS) -> LabelsResult:
    """How labels come, as it was known at a moment, by day over so many days before; 90 of them say what is usual."""
    stores = open_stores(project)
    since = now - timedelta(days=max(days, DAYS))
    rows, found = stores.log.label_times(since, now, now), stores.log.label_events(since, now)
    told, waits = counted(found), _waits(rows, now)
    unknown = _unknown(stores, told)
    quiet = silence(-waits.ages, waits.labelled, 0.0)
    # an outage says nothing of what is usual
    stopped = quiet.since if quiet is not None and quiet.stopped else 0.0
    curve = curve_at(-waits.ages, waits.labelled, stopped)
    by_day = _by_day(rows, waits, curve.still_expected(np.maximum(waits.ages + stopped, 0.0)))
    shown = str((now - timedelta(days=days)).date())
    oldest = min((told.first_known[name] for name in unknown), default=None)
    return LabelsResult(
        name=project.name,
        since=since.isoformat(),
        until=now.isoformat(),
        rows=len(rows),
        labelled=int((~np.isnan(waits.delays)).sum()),
        coverage=curve.coverage,
        median_delay=curve.quantile(0.5),
        late_delay=curve.quantile(0.9),
        expected=float(sum(day.expected for day in by_day)),
        labels=len(found),
        again=told.again,
        corrected=told.corrected,
        conflicts=told.conflicts,
        early=int((rows.first_known < rows.known_at).sum()),
        unknown=len(unknown),
        unknown_since=None if oldest is None else moment_of(oldest).isoformat(),
        unknown_examples=tuple(sorted(name for _, name in unknown)[:_EXAMPLES]),
        unusable=_unusable(stores, found),
        stopped=quiet is not None and quiet.stopped,
        silence=None if quiet is None else str(quiet),
        days=tuple(day for day in by_day if day.day >= shown),
    )


@dataclass(frozen=True)
class _Waits:
    """Days of n rows: since each happened, until its first label, and of that label on the clock that is 0 now."""

    ages: Array
    delays: Array
    labelled: Array


def _waits(rows: LabelTimes, now: datetime) -> _Waits:
    day: Any = np.timedelta64(1, "D")  # as what it divides
    ages = np.maximum((numpy_moment(now) - rows.times) / day, 0.0)
    labelled = -((numpy_moment(now) - rows.first_known) / day)
    return _Waits(ages, np.maximum(labelled + ages, 0.0), labelled)


def _by_day(rows: LabelTimes, waits: _Waits, chances: Array) -> tuple[LabelDay, ...]:
    """chances: of each row to get a label yet, if it has none."""
    names, place = np.unique(rows.times.astype("datetime64[D]"), return_inverse=True)
    known = ~np.isnan(waits.delays)
    expected = np.where(known, 0.0, chances)
    order = np.argsort(place, kind="stable")
    parts = np.split(order, np.searchsorted(place[order], np.arange(1, len(names))))
    return tuple(
        _day(str(name), known[part], waits.delays[part], expected[part])
        for name, part in zip(names, parts if len(names) else (), strict=True)
    )


def _day(name: str, known: Array, delays: Array, expected: Array) -> LabelDay:
    middle, late = np.quantile(delays[known], (0.5, 0.9)) if known.any() else (np.nan, np.nan)
    return LabelDay(name, len(known), int(known.sum()), float(middle), float(late), float(expected.sum()))


def _unknown(stores: Stores, told: Counted) -> list[tuple[str, str]]:
    """What labels name that no row is about, whenever it was scored."""
    found: list[tuple[str, str]] = []
    for kind in KINDS:
        names = {name for one, name in told.first_known if one == kind}
        found += [(kind, name) for name in names - stores.log.names_of_rows(kind, names)]
    return found


def _unusable(stores: Stores, events: Events) -> int:
    """Labels that the target of the version in service cannot take."""
    champion = stores.registry.alias("champion")
    if champion is None or not len(events):
        return 0
    schema = bundle_of(stores, champion.version).schema
    if takes(schema, events.values):
        return 0
    distinct, place = np.unique(events.ranks, return_inverse=True)
    _, first = np.unique(place, return_index=True)
    wrong = [k for k in range(len(distinct)) if not takes(schema, events.values[[first[k]]])]
    return int(np.isin(place, wrong).sum())


# --- the alarm ---


def label_silence(rows: LabelTimes, now: datetime) -> tuple[Silence, datetime] | None:
    """Whether labels have stopped, and when the last one came; None where they have not. rows: of 90 days."""
    waits = _waits(rows, now)
    quiet = silence(-waits.ages, waits.labelled, 0.0)
    if quiet is None or not quiet.stopped:
        return None
    came = np.maximum(rows.first_known, rows.times)
    return quiet, moment_of(came[came <= numpy_moment(now)].max())


# --- a file ---


def add_file(
    project: Project,
    path: Path,
    *,
    id_column: str | None = None,
    key_column: str | None = None,
    value: str | None = None,
    moment: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> LabelFile:
    """Adds the labels of a file; the columns are found by their names where they are not given."""
    from pipelines.label_file import add_labels, choose_columns

    stores, config = open_stores(project), project.config.data
    columns = choose_columns(
        path,
        target=config.target,
        key=config.key,
        id_column=id_column,
        key_column=key_column,
        value=value,
        moment=moment,
    )
    champion = stores.registry.alias("champion")
    numbers = champion is not None and (
        bundle_of(stores, champion.version).schema.target.task == "regression"
    )
    return add_labels(stores.log, path, columns, now=project.now(), numbers=numbers, progress=progress)
