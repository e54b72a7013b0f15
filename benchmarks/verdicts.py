"""Are the verdicts right? Ten kinds of things that happen, 50 seeds each, judged by the functions of the live monitor.

python -m benchmarks.verdicts [--quick] [--json FILE] [--seeds N] [--workers N] [--tuning]

Weeks of 400 rows (days for the season), 26 windows before the service and 32 in it, the change in the 13th; two
processes by turns, on which no setting was chosen; those that settings were chosen on are shown by `--tuning`. A model
in numpy stands for the network. Nothing is retrained, so that every window of a stream says what the monitor makes of
it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure
from benchmarks.verdict_streams import CHANGE, KEPT, TUNED, Judged, Process, judged, scenarios
from monitoring.loss_slices import ANSWER, CONFIDENCE

SEEDS, QUICK = 50, 2
WINDOWS, ROWS = 32, 400
FIRST_SEED = 5000  # those below were looked at
HARMFUL = ("harmful shift", "concept change")
LIMITS = {
    "data fault": 0.0,
    "benign shift": 0.05,
}  # share of the streams in which a retraining may be asked for
FOUND = NAMED = 0.9
ANSWERS = (ANSWER, CONFIDENCE)  # what the model answers moves with what it is asked


@dataclass(frozen=True)
class Outcome:
    """What came of one stream. early: windows before anything happened that called for a retraining or a mending.

    delay: windows until the verdict that the scenario asks for, or another harmful one; None where there was none.
    right: whether the first such verdict was the right one; named: whether it named the cause. asked: windows since the
    change that called for a retraining. before, after: windows that were judged before it and since.
    """

    scenario: str
    kind: str
    early: int
    before: int
    delay: int | None
    right: bool
    named: bool
    asked: int
    after: int


def outcome(stream: Judged) -> Outcome:
    """What came of one stream, told without rows."""
    kind, names = stream.scenario.kind, stream.scenario.names
    verdicts = [judgement.verdict for judgement in stream.judgements]
    happens = range(CHANGE, min(stream.scenario.until, len(verdicts))) if kind != "quiet" else range(0)
    wanted = HARMFUL if kind in HARMFUL else (kind,)
    first = next((k for k in happens if verdicts[k].kind in wanted), None)
    calm = verdicts[:CHANGE] if kind != "quiet" else verdicts
    return Outcome(
        scenario=stream.scenario.name,
        kind=kind,
        early=sum(verdict.harmful or verdict.kind == "data fault" for verdict in calm),
        before=len(calm),
        delay=None if first is None else first - CHANGE,
        right=first is not None and verdicts[first].kind == kind,
        named=first is not None and _cause(stream, first) in names,
        asked=sum(verdict.harmful for verdict in verdicts[CHANGE:]) if kind != "quiet" else 0,
        after=len(verdicts) - CHANGE,
    )


def _cause(stream: Judged, window: int) -> str | None:
    """What a judgement names first: a column, or the slice where the harm lies in one."""
    judgement, kind = stream.judgements[window], stream.scenario.kind
    if kind == "data fault":
        return judgement.faults[0].column
    if kind == "benign shift":
        names = judgement.shift.names if judgement.inputs is None else judgement.inputs.columns
        return next((name for name in names if name not in ANSWERS), None)
    explanation = judgement.explanation
    if explanation is None:
        return None
    if kind == "harmful shift":
        return explanation.cause.name if explanation.cause is not None else None
    if stream.scenario.name != "one slice only":
        return explanation.slices[0].column if explanation.slices else None
    if judgement.slices is not None and judgement.slices.named:
        return judgement.slices.named[0].name
    return explanation.slices[0].name if explanation.slices else None


def one(task: tuple[Process, int, int]) -> Outcome:
    process, seed, which = task
    return outcome(judged(process, seed, which, windows=WINDOWS, rows=ROWS))


def lived(processes: Sequence[Process], seeds: int, workers: int) -> list[Outcome]:
    """Every scenario with so many seeds, by turns of the processes."""
    names = [scenario.name for scenario in scenarios(processes[0])]
    tasks = [
        (processes[k % len(processes)], FIRST_SEED + k, which)
        for which in range(len(names))
        for k in range(seeds)
    ]
    found: list[Outcome] = []
    if workers == 1:
        for number, task in enumerate(tasks):
            found.append(one(task))
            if (number + 1) % seeds == 0:
                say(_line(found[-seeds:]))
        return found
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(one, tasks, chunksize=5))


def _line(outcomes: Sequence[Outcome]) -> str:
    name, delay = outcomes[0].scenario, _delay(outcomes)
    return f"{name}: found {_share([one.delay is not None for one in outcomes]):.0%}, delay {delay:g}"


def results(outcomes: Sequence[Outcome], *, decided: bool) -> list[Result]:
    """Every figure. decided: whether there are streams enough for what is asked."""
    found = []
    for name in dict.fromkeys(one.scenario for one in outcomes):
        found += _scenario(name, [one for one in outcomes if one.scenario == name], decided)
    early, windows = sum(one.early for one in outcomes), sum(one.before for one in outcomes)
    onsets = sum(one.early > 0 for one in outcomes)
    return [
        *found,
        figure("windows in which nothing had happened", windows, ""),
        figure("of them called harmful or broken, of 1,000", 1000 * early / windows, ""),
        figure("streams with a false alarm, of 1,000 such windows", 1000 * onsets / windows, ""),
    ]


def _scenario(name: str, outcomes: Sequence[Outcome], decided: bool) -> list[Result]:
    kind = outcomes[0].kind
    if kind == "quiet":
        share = 100 * _share([one.early > 0 for one in outcomes])
        return [figure(f"{name}: streams with a false alarm", share, "%")]
    found = 100 * _share([one.delay is not None for one in outcomes])
    right = 100 * _share([one.right for one in outcomes if one.delay is not None])
    named = 100 * _share([one.named for one in outcomes if one.delay is not None])
    asked = 100 * _share([one.asked > 0 for one in outcomes])
    told = [figure(f"{name}: windows until it is found, in the middle", _delay(outcomes), "")]
    if kind in LIMITS:
        limit = 100 * LIMITS[kind]
        told.insert(
            0, at_most(limit, f"{name}: leads to a retraining", asked, "% of streams", decided=decided)
        )
    told.insert(0, at_least(100 * FOUND, f"{name}: found", found, "% of streams", decided=decided))
    told.append(figure(f"{name}: called {kind} at once", right, "% of those found"))
    told.append(
        at_least(100 * NAMED, f"{name}: the cause is named", named, "% of those found", decided=decided)
    )
    return told


def _share(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _delay(outcomes: Sequence[Outcome]) -> float:
    """Windows until the verdict in the middle stream; those in which it never came are the longest."""
    return float(np.median([one.delay if one.delay is not None else one.after for one in outcomes]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tuning", action="store_true")
    own, rest = parser.parse_known_args(arguments)

    def measure(quick: bool) -> list[Result]:
        seeds = QUICK if quick else own.seeds
        processes = TUNED if own.tuning else KEPT
        return results(lived(processes, seeds, own.workers), decided=seeds >= SEEDS)

    return options.run("verdicts", measure, rest)


if __name__ == "__main__":
    sys.exit(main())
