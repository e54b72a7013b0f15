"""The input alarm on streams with a known truth: false alarms where nothing changes, delays and names where one does.

python -m benchmarks.input_detection [--quick] [--json FILE] [--seeds N] [--workers N] [--no-peers]

20 columns (numbers, skewed ones, counts, levels, missing values) in windows of 200 rows, 500 of them before the
deployment, at the share of inputs in the default budget. Beside it, on the same windows: Kolmogorov-Smirnov and
chi-squared with Bonferroni's correction, the population stability index above 0.2, and, with peers, Evidently's
defaults and NannyML. Without peers it needs numpy and scipy alone.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import options
from benchmarks.environment import FOLDER, ROOT, peer_environ
from benchmarks.input_streams import (
    COLUMNS,
    KEPT,
    LEVELS,
    NAMES,
    TUNED,
    Change,
    Stream,
    columns_of,
    window_of,
)
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure
from monitoring.bins import ColumnBins, reference_bins
from monitoring.budget import Budget
from monitoring.input_alarm import InputAlarm, InputDetector, InputReference, InputWindow, input_reference
from monitoring.joint import PairSums, pair_bins
from monitoring.profile import ColumnProfile, Profile, profile

Floats = NDArray[np.float64]

RUN_LENGTH = Budget(1000.0).of("inputs")
REFERENCE, LIVE = 500, 1000  # windows before and after the deployment
LATEST = 60  # windows after a change within which it is to be found
SEEDS, QUICK_SEEDS, QUICK_LIVE = 20, 1, 150
FIRST_SEED = 1000  # what was chosen was chosen on seeds below
EVIDENTLY_WINDOWS, EVIDENTLY_ROWS = 30, 20_000  # it takes a second or more a window
CHANGES: tuple[tuple[Change, float], ...] = (
    ("mean", 1.0),
    ("mean", 0.5),
    ("mean", 0.25),
    ("spread", 0.5),
    ("missing", 0.2),
    ("level", 0.5),
    ("correlation", 0.5),
    ("correlation", 0.3),
)
CHANGED = ("iid", "season", "ar.9", "mixed")
# what is asked of one shifted column and of a changed correlation, on independent rows
ASKED = {("mean", 1.0), ("mean", 0.5), ("spread", 0.5), ("missing", 0.2), ("correlation", 0.5)}
NEVER = 999.0  # stands for a median beyond the windows looked at
NUMBERS = range(16)
KS, PSI = "KS and chi-squared, Bonferroni", "PSI above 0.2"


class Counter:
    """Counts tables of a stream into profiles and pairs as `profile` and `pair_sums` do, only quicker.

    `tests/test_benchmarks_input_detection.py` keeps the two equal.
    """

    def __init__(self, table: Floats) -> None:
        columns = columns_of(table)
        self.bins = reference_bins(columns)
        self.profile = profile(columns, self.bins)
        self.pairs = pair_bins(columns, self.profile)
        self._codes = [self._of_levels(bins) for bins in self.bins]
        self._variables = [
            (NAMES.index(one.bins.name), np.array(one.scores, float)) for one in self.pairs.variables
        ]
        self._places = np.array(self.pairs.pairs).T

    def window(self, table: Floats, number: int) -> InputWindow:
        cells = [self._cells(table[:, place], place) for place in range(COLUMNS)]
        counted = [_counted(bins, found) for bins, found in zip(self.bins, cells, strict=True)]
        scores = np.column_stack([scores[cells[place]] for place, scores in self._variables])
        products = scores.T @ scores
        sums = PairSums(
            self.pairs,
            len(table),
            tuple(int(total) for total in scores.sum(axis=0)),
            tuple(int(square) for square in np.diag(products)),
            tuple(int(product) for product in products[self._places[0], self._places[1]]),
        )
        return InputWindow(window_of(number), Profile(len(table), tuple(counted)), sums)

    def _of_levels(self, bins: ColumnBins) -> NDArray[np.intp]:
        known = {level: place for place, level in enumerate(bins.levels)}
        return np.array([known.get(f"level {k}", len(known)) for k in range(16)], dtype=np.intp)

    def _cells(self, values: Floats, place: int) -> NDArray[np.intp]:
        bins, missing = self.bins[place], np.isnan(values)
        if place in LEVELS:
            cells = self._codes[place][np.where(missing, 0, values).astype(np.intp)]
        else:
            cells = np.searchsorted(np.array(bins.edges), values, side="right").astype(np.intp)
        cells[missing] = bins.cells
        return cells


def _counted(bins: ColumnBins, cells: NDArray[np.intp]) -> ColumnProfile:
    counts = np.bincount(cells, minlength=bins.cells + 2).tolist()
    return ColumnProfile(bins, tuple(counts[:-1]), invalid=counts[-1])


def learned(tables: Iterator[Floats], windows: int) -> tuple[Counter, InputReference]:
    """The reference of the first windows of a stream."""
    blocks = list(islice(tables, windows))
    counter = Counter(np.concatenate(blocks))
    parts = [counter.window(table, number) for number, table in enumerate(blocks)]
    return counter, input_reference(counter.profile, parts, counter.pairs)


# --- nothing changes ---


@dataclass(frozen=True)
class Calm:
    """A stream in which nothing changed. alarms: how often one began; raised: windows in which one stood.

    others: windows that each of the simple peers called shifted.
    """

    windows: int
    alarms: int
    raised: int
    others: Mapping[str, int]


def calm(family: str, seed: int, *, live: int = LIVE, run_length: float = RUN_LENGTH) -> Calm:
    """One stream of a family, judged to its end."""
    tables = iter(Stream(family, seed, REFERENCE + live))
    first = list(islice(tables, REFERENCE))
    counter, reference = learned(iter(first), REFERENCE)
    detector, peers = InputDetector(reference, run_length), SimplePeers(np.concatenate(first))
    raised, others = [], dict.fromkeys((KS, PSI), 0)
    for number, table in enumerate(tables, REFERENCE):
        raised.append(detector.update(counter.window(table, number)).raised)
        for name, shifted in peers.shifted(table).items():
            others[name] += shifted
    begun = sum(now and not before for before, now in pairwise([False, *raised]))
    return Calm(len(raised), begun, sum(raised), others)


class SimplePeers:
    """What is done in practice with a window and a reference, column by column."""

    def __init__(self, table: Floats) -> None:
        self._sorted = [np.sort(table[~np.isnan(table[:, place]), place]) for place in range(COLUMNS)]
        self._edges = [
            np.unique(np.quantile(self._sorted[place], np.arange(1, 10) / 10)) for place in NUMBERS
        ]
        self._counts = [self._counted(values, place) for place, values in enumerate(self._sorted)]

    def shifted(self, table: Floats) -> dict[str, bool]:
        """Whether each of them calls a window shifted in any column."""
        columns = [table[~np.isnan(table[:, place]), place] for place in range(COLUMNS)]
        p_values = [self._p_value(values, place) for place, values in enumerate(columns)]
        indices = [self._stability(values, place) for place, values in enumerate(columns)]
        return {KS: min(p_values) < 0.05 / COLUMNS, PSI: max(indices) > 0.2}

    def _p_value(self, values: Floats, place: int) -> float:
        """Of Kolmogorov-Smirnov's test for numbers, by the limiting distribution; of chi-squared for levels."""
        from scipy.special import chdtrc, kolmogorov

        known = self._sorted[place]
        if place in NUMBERS:
            ordered = np.sort(values)
            below = np.searchsorted(known, ordered, side="right") / len(known)
            rank = np.searchsorted(ordered, ordered, side="right") / len(ordered)
            before = np.searchsorted(known, ordered, side="left") / len(known)
            earlier = np.searchsorted(ordered, ordered, side="left") / len(ordered)
            distance = max(np.abs(below - rank).max(), np.abs(before - earlier).max())
            return float(
                kolmogorov(distance * np.sqrt(len(known) * len(values) / (len(known) + len(values))))
            )
        table = np.stack([self._counts[place], self._counted(values, place)]).astype(float)
        table = table[:, table.sum(0) > 0]
        expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
        return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))

    def _stability(self, values: Floats, place: int) -> float:
        """Population stability index over the tenths of the reference, or the levels; 1e-4 for an empty cell."""
        shares = [part / part.sum() for part in (self._counts[place], self._counted(values, place))]
        used = (shares[0] > 0) | (shares[1] > 0)
        before, after = (np.maximum(part[used], 1e-4) for part in shares)
        return float(((before - after) * np.log(before / after)).sum())

    def _counted(self, values: Floats, place: int) -> NDArray[np.intp]:
        """Rows in each tenth of the reference, or of each level."""
        if place not in NUMBERS:
            return np.bincount(values.astype(int), minlength=16)
        edges = self._edges[place]
        return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


# --- one thing changes ---


@dataclass(frozen=True)
class Found:
    """A stream in which one thing changed.

    delay: windows until the alarm, that of the change included; None for never. right: what moved was named first.
    """

    delay: int | None
    right: bool


def found(seed: int, family: str, change: Change, size: float, *, run_length: float = RUN_LENGTH) -> Found:
    """One stream of a family with this change, judged until an alarm."""
    stream = Stream(family, seed, REFERENCE + LATEST, change=change, size=size, at=REFERENCE)
    tables = iter(stream)
    counter, reference = learned(tables, REFERENCE)
    detector = InputDetector(reference, run_length)
    for delay, table in enumerate(tables, 1):
        alarm = detector.update(counter.window(table, REFERENCE + delay - 1))
        if alarm.raised:
            return Found(delay, named(alarm) == stream.moved)
    return Found(None, False)


def named(alarm: InputAlarm) -> tuple[str, ...]:
    """What an alarm names first: a column, or a pair."""
    return alarm.moved[0].statistic.columns


# --- the table ---


def measure(
    quick: bool, *, seeds: int | None = None, workers: int = 1, with_peers: bool = True
) -> list[Result]:
    """Every figure of this benchmark."""
    count, live = seeds or (QUICK_SEEDS if quick else SEEDS), QUICK_LIVE if quick else LIVE
    families = TUNED if quick else (*TUNED, *KEPT)
    changed, changes = (CHANGED[:1], CHANGES[:1]) if quick else (CHANGED, CHANGES)
    chosen = range(FIRST_SEED, FIRST_SEED + count)
    quiet: dict[str, list[tuple[Any, ...]]] = {
        family: [(calm, family, seed, live) for seed in chosen] for family in families
    }
    moved: dict[tuple[str, Change, float], list[tuple[Any, ...]]] = {
        (family, *one): [(found, seed, family, *one) for seed in chosen]
        for family in changed
        for one in changes
    }
    groups: list[list[tuple[Any, ...]]] = [*quiet.values(), *moved.values()]
    done = _run([task for group in groups for task in group], workers)
    results = [figure("seeds", count, "")]
    for family in families:
        results += _of_calm(family, [done.pop(0) for _ in chosen], decided=not quick)
    for key in moved:
        results += _of_found(*key, [done.pop(0) for _ in chosen], decided=not quick)
    return results + (peers(quick) if with_peers else [])


def _run(tasks: Sequence[tuple[Any, ...]], workers: int) -> list[Any]:
    say(f"{len(tasks)} streams")
    if workers == 1:
        return [_do(task) for task in tasks]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(_do, tasks))


def _do(task: tuple[Any, ...]) -> Any:
    work: Callable[..., Any] = task[0]
    return work(*task[1:-1], live=task[-1]) if work is calm else work(*task[1:])


def _of_calm(family: str, streams: Sequence[Calm], *, decided: bool) -> list[Result]:
    windows, unit = sum(stream.windows for stream in streams), "of 1,000"
    told = f"false alarms, {family}"
    return [
        at_most(1.0, told, 1000 * sum(one.alarms for one in streams) / windows, unit, decided=decided),
        figure(f"{told}, windows called shifted", 1000 * sum(one.raised for one in streams) / windows, unit),
        *(
            figure(f"{told}, {name}", 1000 * sum(one.others[name] for one in streams) / windows, unit)
            for name in (KS, PSI)
        ),
    ]


def _of_found(
    family: str, change: Change, size: float, streams: Sequence[Found], *, decided: bool
) -> list[Result]:
    told = f"{change} {size:+g}, {family}"
    delay = float(np.median([NEVER if one.delay is None else one.delay for one in streams]))
    right = float(np.mean([one.right for one in streams]))
    if family != "iid" or (change, size) not in ASKED:
        return [figure(f"delay, {told}", delay, "windows"), figure(f"named, {told}", right, "of streams")]
    return [
        at_most(3.0, f"delay, {told}", delay, "windows", decided=decided),
        at_least(0.9, f"named, {told}", right, "of streams", decided=decided),
    ]


# --- peers that come with a library ---


def peers(quick: bool) -> list[Result]:
    """Evidently's defaults on a few windows, and NannyML on more, from an environment of its own."""
    results = [
        one for family in TUNED[: 1 if quick else None] for one in _evidently(family, 3 if quick else None)
    ]
    python = FOLDER / "bin" / "python"
    if quick or not python.is_file():
        say("NannyML is left out: it needs a full run and .bench-env (make bench-env)")
        return results
    say("NannyML")
    command = [str(python), "-m", "benchmarks.input_peers"]
    told = subprocess.run(
        command, cwd=ROOT, env=peer_environ(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return results + [Result(**one) for one in json.loads(told)]


def _evidently(family: str, windows: int | None) -> list[Result]:
    """Its preset as it comes, against the last rows of the reference."""
    import pandas as pd

    count = windows or EVIDENTLY_WINDOWS
    say(f"Evidently, {family}, {count} windows")
    tables = iter(Stream(family, FIRST_SEED, REFERENCE + count))
    before = np.concatenate(list(islice(tables, REFERENCE)))[-EVIDENTLY_ROWS:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=[NAMES[place] for place in NUMBERS],
            categorical_columns=[NAMES[place] for place in LEVELS],
        )
        reference = Dataset.from_pandas(pd.DataFrame(columns_of(before)), data_definition=definition)
        found = []
        for table in tables:
            current = Dataset.from_pandas(pd.DataFrame(columns_of(table)), data_definition=definition)
            metrics = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
            share = next(one for one in metrics if one["metric_name"].startswith("DriftedColumnsCount"))
            found.append(float(share["value"]["share"]))
    told = f"false alarms, {family}, Evidently's defaults"
    return [
        figure(f"{told}, half of the columns", 1000 * float(np.mean(np.array(found) >= 0.5)), "of 1,000"),
        figure(f"{told}, any column", 1000 * float(np.mean(np.array(found) > 0)), "of 1,000"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes its own options; the rest goes to the form of every benchmark."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-peers", action="store_true")
    own, others = parser.parse_known_args(arguments)
    ready = functools.partial(measure, seeds=own.seeds, workers=own.workers, with_peers=not own.no_peers)
    return options.run("input_detection", ready, others)


if __name__ == "__main__":
    sys.exit(main())
