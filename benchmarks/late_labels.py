"""How often ordinary labels are taken for an outage, how soon one is found, and what correcting late labels is worth.

python -m benchmarks.late_labels [--quick] [--json FILE]

Years of rows are made with labels of ordinary kinds: one by one, in batches by the clock, with weekends and holidays.
Each is looked at as the monitor looks, just before every long pause ends. Then windows are made whose late labels lose
more or less, and judged with and without the correction.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure
from monitoring.label_delay import LEAST, Silence, silence
from monitoring.label_selection import WINDOWS, Stratum, corrected, selection
from monitoring.loss_alarm import AlarmConfig, loss_alarms, loss_level, loss_reference

Array = npt.NDArray[np.float64]
Year = tuple[str, Array, Array]  # kind, when rows were scored, when they were labelled; in days

YEAR, SEEN = 365, 90  # days; of the latter the monitor looks at
YEARS, QUICK_YEARS = 40, 2
COVERAGE = 0.9
STOPS = 300.3  # the day on which labels stop
RUNS, QUICK_RUNS, SERVED, ROWS = 60, 4, 100, 300
LATE = ((0.0, 0.5), (0.5, 0.3), (-0.3, 0.5))  # how much more late rows lose, and their share


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    years = QUICK_YEARS if quick else YEARS
    false: dict[str, int] = {}
    for seed in range(years):
        for kind, scored, labelled in ordinary_years(np.random.default_rng(seed)):
            false[kind] = false.get(kind, 0) + false_alarms(scored, labelled)
    chance = false.pop(AT_RANDOM)
    found = [
        at_most(0, f"false alarms, {kind}", alarms / years, "a year", decided=not quick)
        for kind, alarms in false.items()
    ]
    found.append(at_most(0.3, f"false alarms, {AT_RANDOM}", chance / years, "a year", decided=not quick))
    found += [
        figure(f"outage found, {kind}", until_found(scored, labelled), "days")
        for kind, scored, labelled in ordinary_years(np.random.default_rng(years))
    ]
    return [*found, *_corrections(QUICK_RUNS if quick else RUNS)]


# --- silence ---

AT_RANDOM = "batches at random, one a day"


def ordinary_years(rng: np.random.Generator) -> Iterator[Year]:
    """Rows and labels of every ordinary kind, nine in ten of them labelled."""
    for kind, scored, labelled in _complete_years(rng):
        yield kind, scored, np.where(rng.random(len(scored)) < COVERAGE, labelled, np.nan)


def _complete_years(rng: np.random.Generator) -> Iterator[Year]:
    scored = np.sort(rng.uniform(0, YEAR, 60 * YEAR))
    some = scored + rng.exponential(1.0, len(scored))
    nights = np.arange(1, YEAR) + 0.9 + rng.normal(0, 0.05, YEAR - 1)
    weekdays = nights[np.arange(1, YEAR) % 7 < 5]
    yield "one by one", scored, scored + rng.exponential(2.0, len(scored))
    yield "three a day", scored[::20], scored[::20] + rng.lognormal(0, 1, len(scored[::20]))
    yield "by night", scored, _next(scored + 0.5, nights)
    yield "by night on weekdays", scored, _next(some, weekdays)
    yield "on weekdays but holidays", scored, _next(some, weekdays[rng.random(len(weekdays)) > 0.04])
    yield "in office hours", scored, _next(some, _office_hours())
    weeks = np.arange(3, YEAR, 7)
    yield "by the week", scored, _next(scored + 2, weeks + rng.normal(0, 0.3, len(weeks)))
    more = np.sort(np.concatenate([scored, rng.uniform(200, YEAR, 180 * (YEAR - 200))]))
    yield "by night, four times the rows from a day on", more, _next(more + 0.5, nights)
    fewer = scored[rng.random(len(scored)) < np.where(scored > 200, 0.1, 1.0)]
    yield "one by one, a tenth of the rows from a day on", fewer, fewer + rng.exponential(2.0, len(fewer))
    yield AT_RANDOM, scored, _next(scored, np.cumsum(rng.exponential(1.0, 2 * YEAR)))


def _office_hours() -> Array:
    days = np.arange(YEAR)[np.arange(YEAR) % 7 < 5]
    return np.sort(np.concatenate([days + hour / 24 for hour in np.arange(9, 17, 0.25)]))


def _next(ready: Array, batches: Array) -> Array:
    """The first batch after each label is ready, nan after the last one."""
    return np.append(batches, np.nan)[np.minimum(np.searchsorted(batches, ready), len(batches))]


def seen(scored: Array, labelled: Array, now: float) -> Silence | None:
    """What the monitor finds at a moment."""
    rows = (scored > now - SEEN) & (scored <= now)
    return silence(scored[rows], np.where(labelled <= now, labelled, np.nan)[rows], now)


def false_alarms(scored: Array, labelled: Array) -> int:
    """How many outages are seen in a year, looked at just before every long pause ends."""
    came, longest = np.unique(labelled[labelled <= YEAR]), 0.0
    found: set[float] = set()
    for before, after in pairwise(came.tolist()):
        # a shorter one cannot be twice as long as the longest in sight
        if after - before > max(longest, LEAST):
            judged = seen(scored, labelled, after - 1e-9)
            found |= {judged.since} if judged is not None and judged.stopped else set()
        longest = max(longest, after - before) if before < SEEN / 6 else longest
    return len(found)


def until_found(scored: Array, labelled: Array) -> float:
    """Days from the moment at which labels stop until the alarm, looked at by the hour; nan after a month."""
    told = np.where(labelled > STOPS, np.nan, labelled)
    for hours in range(1, 30 * 24):
        judged = seen(scored, told, STOPS + hours / 24)
        if judged is not None and judged.stopped:
            return hours / 24
    return float("nan")


# --- selection ---


def _corrections(runs: int) -> list[Result]:
    found = []
    for more, share in LATE:
        for mended in (False, True):
            said = "corrected" if mended else "as labelled"
            name = f"false alarms, late labels ({share:.0%}) lose {more:+.0%}, {said}"
            value = false_of_late(more, share, runs, mended=mended)
            limit = at_most(2.0, name, value, "in 1,000 windows", decided=runs == RUNS)
            found.append(limit if mended else figure(name, value, "in 1,000 windows"))
            say(f"{name}: {value:.1f}")
    return found


def false_of_late(more: float, share: float, runs: int, *, mended: bool) -> float:
    """Alarms in 1,000 windows in which nothing changes, judged without their late labels."""
    rng, alarms, windows = np.random.default_rng(0), 0, 0
    for _ in range(runs):
        first = _first_alarm(rng, more, share, mended=mended)
        alarms += first is not None
        windows += SERVED if first is None else first + 1
    return 1000 * alarms / windows


def _first_alarm(rng: np.random.Generator, more: float, share: float, *, mended: bool) -> int | None:
    def window() -> Stratum:
        late = rng.random(ROWS) < share
        return Stratum(rng.exponential(1.0, ROWS) * (1 + more * late), late)

    blocks = [window().losses for _ in range(20)]
    reference = loss_reference(np.concatenate(blocks), blocks, windows=20.0)
    before: list[Stratum] = []
    levels = []
    for _ in range(SERVED):
        one = window()
        level = loss_level(one.losses[~one.late], reference.ceiling, reference.logarithmic)
        found = selection(before[-WINDOWS:]) if mended else None
        if found is not None:
            level = corrected(level, found, logarithmic=reference.logarithmic)
        levels.append(level)
        before.append(Stratum(np.minimum(one.losses, reference.ceiling), one.late))
    alarms = loss_alarms(reference, levels, AlarmConfig())
    return next((place for place, alarm in enumerate(alarms) if alarm.raised), None)


if __name__ == "__main__":
    sys.exit(options.run("late_labels", measure))
