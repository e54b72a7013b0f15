"""How often the loss alarm is wrong where nothing changes, and how soon it is right: families of made streams.

python -m benchmarks.detection [--quick] [--json FILE] [--seeds N] [--workers N] [--no-peers | --own FILE]

--own takes all but the peers from the JSON of a run with --no-peers, on another machine perhaps.

Each stream has windows of a reference before the deployment, 50 windows in which nothing changes, then a rise. Beside
ours: an oracle CUSUM that knows mean, deviation and rise; mean +- 3 deviations as NannyML has it and a CUSUM, both from
the reference; and, from an environment of their own (`make bench-env`), river's ADWIN and Page-Hinkley.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import options
from benchmarks.detection_streams import FAMILIES, LISTED, OTHERS, Family, abrupt, ramp, stream
from benchmarks.environment import FOLDER, ROOT, peer_environ
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure
from monitoring.budget import budget_of
from monitoring.loss_alarm import (
    AlarmConfig,
    LossDetectors,
    LossLevel,
    LossReference,
    loss_level,
    loss_reference,
)

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SEEDS, QUICK_SEEDS = 200, 2
PEER_SEEDS = 5  # of the peers that read row by row in Python
QUIET, QUICK_QUIET = 1000, 200  # windows without a change, of each stream
WARM = 50  # windows between the deployment and the change
SLICE = 20  # seeds of a task
CONFIG = AlarmConfig()
RUN_LENGTH = budget_of(CONFIG.false_alarms).of("loss")
RISES = (0.05, 0.10, 0.25, 0.50)
HORIZON = {200: 150, 1000: 100, 5000: 60}  # windows after the change that are looked at
SHIFTS = (0.5, 1.0, 2.0, 3.0, 4.0)  # in deviations of a window
ORACLE_RUN_LENGTH = 1000.0
# log-likelihood at which the oracle of the ramp alarms, by rows of a window: simulated on 300 streams of 1,500 normal
# scores for the same run length
RAMP_THRESHOLD = {200: 3.95, 1000: 4.25, 5000: 4.5}
RAMP = "ramp of 25 % over 50"


@dataclass(frozen=True)
class Task:
    """One family at one size of a window, for some seeds. kind: "quiet", "rises", "shifts" or "short"."""

    kind: str
    family: str
    rows: int
    seeds: tuple[int, ...]
    blocks: int
    windows: int


@dataclass(frozen=True)
class Found:
    """first: for each detector and scenario the window of the first alarm of every seed, counted from the change or,
    where nothing changes, from the deployment; -1 for none. watched: windows that were looked at.
    """

    task: Task
    first: Mapping[tuple[str, str], list[int]]
    watched: int
    alarms: Mapping[str, int] = field(default_factory=dict)  # of detectors that go on after an alarm


# --- streams and detectors ---


@dataclass(frozen=True)
class Stream:
    """One stream after its reference. means: plain mean losses of the reference's windows. rows, factors: of the
    windows since. starts: of those, in days.
    """

    family: Family
    reference: LossReference
    means: Array
    rows: list[Array]
    factors: Array
    starts: list[float | None]

    def losses(self, place: int, rise: float = 1.0) -> Array:
        """Losses of the rows of a window since the deployment, risen so many times."""
        return self.family.losses(self.rows[place], self.factors[place] * rise)

    def levels(self, rises: Array, begin: int = 0) -> Iterator[LossLevel]:
        """Of windows from a place on, risen so many times each."""
        known = self.reference
        for place, rise in enumerate(rises.tolist(), begin):
            losses = self.losses(place, rise)
            yield loss_level(losses, known.ceiling, known.logarithmic, self.starts[place])

    def plain(self, rises: Array, begin: int = 0) -> list[float]:
        """Their plain mean losses; nan, which is beyond nothing, of a window without a row."""
        return [_mean(self.losses(place, rise)) for place, rise in enumerate(rises.tolist(), begin)]


def _mean(losses: Array) -> float:
    return float(losses.mean()) if len(losses) else math.nan


def streams(task: Task, windows: int) -> list[Stream]:
    """The streams of a task, so many windows after their references."""
    family, found = FAMILIES[task.family], []
    for seed in task.seeds:
        rows, factors = stream(task.family, seed, task.blocks + windows, task.rows)
        starts = [family.start(place) for place in range(len(rows))]
        past = [family.losses(rows[place], factors[place]) for place in range(task.blocks)]
        reference = loss_reference(
            np.concatenate(past), past, windows=float(task.blocks), starts=starts[: task.blocks]
        )
        means = np.array([one.mean() for one in past if len(one)])
        means = np.resize(means, len(past))  # in place of a window without a row the first ones again
        cut = task.blocks
        found.append(Stream(family, reference, means, rows[cut:], factors[cut:], starts[cut:]))
    return found


def raised(detectors: LossDetectors, windows: Sequence[Sequence[LossLevel]]) -> Flags:
    """Whether an alarm stands after each window of each stream, shape (streams, windows)."""
    found = []
    for now in zip(*windows, strict=True):
        detectors.update(now)
        tests = detectors.tests
        found.append(np.maximum(tests.evidence_fixed, tests.evidence_self) >= tests.threshold)
    return np.array(found).T


def first(alarms: Flags) -> list[int]:
    """Place of the first alarm of each stream, -1 for none."""
    return [int(row.argmax()) if row.any() else -1 for row in alarms]


def cusum(scores: Array, shift: float, run_length: float) -> Flags:
    """Where a CUSUM for a rise by `shift` deviations passes its threshold; scores: (streams, windows).

    The threshold for a run length is Siegmund's (1985, eq. 2.57), with the overshoot of 1.166.
    """
    threshold, sums, found = cusum_threshold(shift, run_length), np.zeros(len(scores)), []
    for now in scores.T:
        sums = np.maximum(sums + now - shift / 2, 0.0)
        found.append(sums >= threshold)
    return np.array(found).T


def cusum_threshold(shift: float, run_length: float) -> float:
    """In deviations.

    >>> round(cusum_threshold(1.0, 1000.0), 2)
    5.06
    """
    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        width = shift * (middle + 1.166)
        reached = (math.exp(min(width, 700.0)) - 1 - width) / (shift**2 / 2)
        low, high = (middle, high) if reached < run_length else (low, middle)
    return low


def three_deviations(means: Array, windows: Array) -> Flags:
    """NannyML's default: a window above the mean of the reference's windows and three of their deviations."""
    return np.asarray(windows > means.mean(axis=1, keepdims=True) + 3 * means.std(axis=1, keepdims=True))


# --- tasks ---


def quiet(task: Task) -> Found:
    """Nothing changes."""
    made, still = streams(task, task.windows), np.ones(task.windows)
    ours = LossDetectors([one.reference for one in made], CONFIG, RUN_LENGTH)
    found = {("losswatch", ""): first(raised(ours, [list(one.levels(still)) for one in made]))}
    means = np.array([one.plain(still) for one in made])
    past = np.array([one.means for one in made])
    found["CUSUM, plug-in", ""] = first(cusum(standard(means, past), 1.0, ORACLE_RUN_LENGTH))
    alone = three_deviations(past, means)
    return Found(task, found, task.windows, {"mean + 3 deviations": int(alone.sum())})


def standard(means: Array, past: Array) -> Array:
    """Plain means by mean and deviation of the reference's windows."""
    return np.asarray((means - past.mean(axis=1, keepdims=True)) / past.std(axis=1, ddof=1, keepdims=True))


def rises(task: Task) -> Found:
    """Abrupt rises and ramps."""
    horizon = min(HORIZON[task.rows], task.windows)
    scenarios = {f"+{rise:.0%}": abrupt(rise, horizon) for rise in RISES}
    scenarios[RAMP] = ramp(0.25, 50, horizon)
    if task.windows > horizon:
        scenarios["ramp of 25 % over 300"] = ramp(0.25, 300, task.windows)
    made = streams(task, WARM + task.windows)
    found = _delays(task, made, scenarios)
    if task.family != "chi2":
        return found
    return replace(found, first={**found.first, ("oracle of the ramp", RAMP): _known_ramp(task, made)})


def _known_ramp(task: Task, made: Sequence[Stream]) -> list[int]:
    """Delays of one that knows mean, deviation and the whole ramp, and only waits for its beginning."""
    factors = ramp(0.25, 50, min(HORIZON[task.rows], task.windows))
    known = np.concatenate([np.ones(WARM), factors])
    levels = np.array([[level.level for level in one.levels(known)] for one in made])
    mean, deviation = levels[:, :WARM].mean(), levels[:, :WARM].std()
    scores, profile = (levels - mean) / deviation, np.log(factors) / deviation
    gains = np.zeros((len(scores), len(profile)))  # of a ramp that began so many windows ago
    found = []
    for now in scores.T:
        gains = np.concatenate([np.zeros((len(scores), 1)), gains[:, :-1]], axis=1)
        gains += profile * now[:, None] - profile**2 / 2
        found.append(gains.max(axis=1) >= RAMP_THRESHOLD[task.rows])
    alarms = np.array(found).T
    return _unless(alarms[:, :WARM], first(alarms[:, WARM:]))


def _delays(task: Task, made: Sequence[Stream], scenarios: Mapping[str, Array]) -> Found:
    warm, still = LossDetectors([one.reference for one in made], CONFIG, RUN_LENGTH), np.ones(WARM)
    early = raised(warm, [list(one.levels(still)) for one in made])
    past = np.array([one.means for one in made])
    found: dict[tuple[str, str], list[int]] = {}
    for name, factors in scenarios.items():
        ours = copy.deepcopy(warm)
        known = [list(one.levels(factors, WARM)) for one in made]
        found["losswatch", name] = _unless(early, first(raised(ours, known)))
        means = np.array([one.plain(np.concatenate([still, factors])) for one in made])
        plain = cusum(standard(means, past), 1.0, ORACLE_RUN_LENGTH)
        found["CUSUM, plug-in", name] = _unless(plain[:, :WARM], first(plain[:, WARM:]))
        alone = three_deviations(past, means)
        found["mean + 3 deviations", name] = first(alone[:, WARM:])
    return Found(task, found, max(len(factors) for factors in scenarios.values()))


def _unless(early: Flags, places: list[int]) -> list[int]:
    """-2 for streams with an alarm before the change: they say nothing of the delay."""
    return [-2 if before.any() else place for before, place in zip(early, places, strict=True)]


def shifts(task: Task) -> Found:
    """Rises by deviations of a window, beside the oracle that knows them."""
    made = streams(task, WARM + task.windows)
    before = np.array([[level.level for level in one.levels(np.ones(WARM))] for one in made])
    mean, deviation = before.mean(), before.std()
    scenarios = {
        f"{shift:g} deviations": abrupt(math.exp(shift * deviation) - 1, task.windows) for shift in SHIFTS
    }
    found = dict(_delays(task, made, scenarios).first)
    for shift, (name, factors) in zip(SHIFTS, scenarios.items(), strict=True):
        after = np.array([[level.level for level in one.levels(factors, WARM)] for one in made])
        scores = (np.concatenate([before, after], axis=1) - mean) / deviation
        oracle = cusum(scores, shift, ORACLE_RUN_LENGTH)
        found["oracle CUSUM", name] = _unless(oracle[:, :WARM], first(oracle[:, WARM:]))
    return Found(task, found, task.windows)


def short(task: Task) -> Found:
    """A few windows of a reference, three quiet ones, then eight times the loss."""
    made = streams(task, 3 + task.windows)
    ours = LossDetectors([one.reference for one in made], CONFIG, RUN_LENGTH)
    early = raised(ours, [list(one.levels(np.ones(3))) for one in made])
    late = raised(ours, [list(one.levels(np.full(task.windows, 8.0), 3)) for one in made])
    return Found(task, {("losswatch", "eightfold"): _unless(early, first(late))}, task.windows)


KINDS: Mapping[str, Callable[[Task], Found]] = {
    "quiet": quiet,
    "rises": rises,
    "shifts": shifts,
    "short": short,
}


def work(task: Task) -> Found:
    """One task, in any process."""
    return KINDS[task.kind](task)


# --- the plan, and what is told ---


def plan(seeds: int, quiet_windows: int, *, quick: bool) -> list[Task]:
    """Every task of a run."""
    cells: list[tuple[str, str, int, int, int]] = []
    for name, family in FAMILIES.items():
        if name not in LISTED and name not in OTHERS:
            continue
        cells.append(("quiet", name, 200, family.blocks, quiet_windows))
        cells.append(("rises", name, 200, family.blocks, 300 if name == "chi2" else HORIZON[200]))
    cells.append(("rises", "season", 1000, FAMILIES["season"].blocks, HORIZON[1000]))
    cells.append(("rises", "chi2", 1000, 100, 300))
    if not quick:
        cells.append(("rises", "chi2", 5000, 100, HORIZON[5000]))
        cells.append(("quiet", "chi2", 1000, 100, quiet_windows))
        cells += [("quiet", name, 200, few, 300) for few in (8, 20) for name in LISTED if name != "season"]
        cells.append(("quiet", "season", 200, 100, quiet_windows))
    cells.append(("shifts", "chi2", 200, 100, HORIZON[200]))
    cells += [("short", "chi2", 500, few, 10) for few in (1, 2, 4)]
    return [
        Task(kind, name, rows, tuple(range(begin, min(begin + SLICE, seeds))), blocks, windows)
        for kind, name, rows, blocks, windows in cells
        for begin in range(0, seeds, SLICE)
    ]


def run(tasks: Sequence[Task], workers: int) -> list[Found]:
    """Every task, in so many processes."""
    if workers <= 1:
        return [_told(work(task)) for task in tasks]
    heavy = sorted(tasks, key=lambda task: -task.rows * (task.blocks + task.windows))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return [_told(found) for found in pool.map(work, heavy)]


def _told(found: Found) -> Found:
    task = found.task
    say(f"{task.kind}, {task.family}, {task.rows} rows, {task.blocks} blocks, seeds from {task.seeds[0]}")
    return found


@dataclass(frozen=True)
class Cell:
    """All seeds of one question together."""

    found: tuple[Found, ...]

    def first(self, detector: str, scenario: str = "") -> list[int]:
        return [place for one in self.found for place in one.first[detector, scenario]]

    def rate(self, detector: str) -> float:
        """False alarms in 1,000 windows; a stream ends with its first."""
        places = self.first(detector)
        windows = self.found[0].watched
        watched = sum(windows if place < 0 else place + 1 for place in places)
        return 1000 * sum(place >= 0 for place in places) / watched

    def rate_alone(self, detector: str) -> float:
        """The same of a detector that judges every window for itself."""
        windows = sum(len(one.task.seeds) * one.watched for one in self.found)
        return 1000 * sum(one.alarms[detector] for one in self.found) / windows

    def delay(self, detector: str, scenario: str) -> float:
        """Median windows until the alarm, the one that raises it included; inf where half the streams have none."""
        places = [place for place in self.first(detector, scenario) if place != -2]
        return float(np.median([place + 1.0 if place >= 0 else math.inf for place in places]))


Cells = Mapping[tuple[str, str, int, int], Cell]


def cells_of(found: Sequence[Found]) -> Cells:
    together: dict[tuple[str, str, int, int], list[Found]] = {}
    for one in found:
        task = one.task
        together.setdefault((task.kind, task.family, task.rows, task.blocks), []).append(one)
    return {key: Cell(tuple(parts)) for key, parts in together.items()}


PEERS = ("mean + 3 deviations", "CUSUM, plug-in")
ALARMS, WINDOWS = "in 1,000 windows", "windows"


def false_alarms(cells: Cells, *, decided: bool) -> list[Result]:
    """G1, and what was not asked for: short references, a season that the reference does not cover."""
    results = []
    for name in (*LISTED, *OTHERS):
        cell = cells["quiet", name, 200, FAMILIES[name].blocks]
        limit = 1 if name in LISTED else 3
        results.append(
            at_most(limit, f"false alarms, {name}", cell.rate("losswatch"), ALARMS, decided=decided)
        )
        results.append(
            figure(f"false alarms, {name}, {PEERS[0]}", cell.rate_alone("mean + 3 deviations"), ALARMS)
        )
        results.append(figure(f"false alarms, {name}, {PEERS[1]}", cell.rate(PEERS[1]), ALARMS))
    for (kind, name, rows, blocks), cell in cells.items():
        if kind == "quiet" and (rows, blocks) != (200, FAMILIES[name].blocks):
            told = f"false alarms, {name}, {rows} rows, {blocks} windows of reference"
            results.append(figure(told, cell.rate("losswatch"), ALARMS))
    return results


ASKED_DELAYS = {
    ("chi2", 200, "+10%"): 16.0,
    ("chi2", 1000, "+10%"): 4.0,
    ("chi2", 5000, "+10%"): 2.0,
    ("season", 200, "+10%"): 19.0,
    ("season", 1000, "+10%"): 8.0,
    ("chi2", 200, RAMP): 20.0,
    ("chi2", 1000, RAMP): 12.0,
    ("chi2", 5000, RAMP): 6.0,
    ("chi2", 200, "ramp of 25 % over 300"): 120.0,  # where the loss is 10 % up
    ("chi2", 1000, "ramp of 25 % over 300"): 120.0,
}


def delays(cells: Cells, *, decided: bool) -> list[Result]:
    """G2 and G4."""
    results = []
    for (kind, name, rows, _), cell in cells.items():
        if kind != "rises":
            continue
        for scenario in dict.fromkeys(scenario for _, scenario in cell.found[0].first):
            told, value = f"{scenario}, {name}, {rows} rows", cell.delay("losswatch", scenario)
            asked = ASKED_DELAYS.get((name, rows, scenario))
            results.append(
                figure(f"delay, {told}", _windows(value), WINDOWS)
                if asked is None
                else at_most(asked, f"delay, {told}", _windows(value), WINDOWS, decided=decided)
            )
            if ("oracle of the ramp", scenario) in cell.found[0].first:
                best = _windows(cell.delay("oracle of the ramp", scenario))
                results.append(figure(f"delay, {told}, an oracle that knows the ramp", best, WINDOWS))
            if scenario == "+10%":
                results += [
                    figure(f"delay, {told}, {peer}", _windows(cell.delay(peer, scenario)), WINDOWS)
                    for peer in PEERS
                ]
    return results


NEVER = 999.0  # stands for a median that lies beyond the windows looked at


def _windows(delay: float) -> float:
    return delay if math.isfinite(delay) else NEVER


def beside_the_oracle(cells: Cells, *, decided: bool) -> list[Result]:
    """G3."""
    results, cell = [], cells["shifts", "chi2", 200, 100]
    for shift in SHIFTS:
        scenario = f"{shift:g} deviations"
        ours, best = (_windows(cell.delay(name, scenario)) for name in ("losswatch", "oracle CUSUM"))
        results.append(figure(f"delay, {scenario}", ours, WINDOWS))
        results.append(figure(f"delay, {scenario}, oracle CUSUM", best, WINDOWS))
        told = f"delay, {scenario}, of the oracle's"
        results.append(
            at_most(1.75, told, ours / best, "times", decided=decided)
            if shift >= 1
            else figure(told, ours / best, "times")
        )
    return results


def after_short_histories(cells: Cells) -> list[Result]:
    results = []
    for (kind, _, _, blocks), cell in cells.items():
        if kind == "short":
            places = cell.first("losswatch", "eightfold")
            soon = np.mean([0 <= place < 3 for place in places])
            told = f"eightfold loss found within 3 windows, {blocks} windows of reference"
            results.append(figure(told, float(soon), "of streams"))
    return results


# --- peers with an environment of their own ---


def peers(seeds: int) -> list[Result]:
    """River's detectors by row and NannyML itself, from `.bench-env`."""
    python = FOLDER / "bin" / "python"
    if not python.is_file():
        say("no .bench-env here (make bench-env): river and NannyML are left out")
        return []
    say(f"river and NannyML, {seeds} seeds")
    command = [str(python), "-m", "benchmarks.detection_peers", str(seeds)]
    told = subprocess.run(
        command, cwd=ROOT, env=peer_environ(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return [Result(**one) for one in json.loads(told)]


def own_half(seeds: int, workers: int, *, quick: bool) -> list[Result]:
    """Every figure but those of the peers with an environment of their own."""
    tasks = plan(seeds, QUICK_QUIET if quick else QUIET, quick=quick)
    cells, decided = cells_of(run(tasks, workers)), not quick
    return [
        figure("seeds", seeds, ""),
        *false_alarms(cells, decided=decided),
        *delays(cells, decided=decided),
        *beside_the_oracle(cells, decided=decided),
        *after_short_histories(cells),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes its own options; the rest goes to the form of every benchmark."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--own", type=Path)
    chosen, others = parser.parse_known_args(arguments)

    def measure(quick: bool) -> list[Result]:
        if chosen.own is not None:
            content = json.loads(chosen.own.read_text("utf-8"))
            results = [Result(**one) for one in content["results"]]
        else:
            seeds = chosen.seeds or (QUICK_SEEDS if quick else SEEDS)
            results = own_half(seeds, chosen.workers, quick=quick)
        return results + ([] if chosen.no_peers or quick else peers(PEER_SEEDS))

    return options.run("detection", measure, others)


if __name__ == "__main__":
    sys.exit(main())
