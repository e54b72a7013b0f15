"""The loss diagnosis on short Keras runs whose fault is known, because it was made.

python -m benchmarks.diagnosis [--quick] [--json FILE]

Half of the runs (runs_design) set the limits in models/diagnosis.py. The other half (runs_final) has other tables and
other networks, and nothing was set on it: what is asked is asked there.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure

if TYPE_CHECKING:
    from benchmarks.runs import Run
    from models.curve import Curve
    from models.diagnosis import Kind

    Confusion = Mapping[tuple[Kind, Kind], int]

QUICK = 14  # runs; too few to decide anything
ORDER = 10.0  # a loss so many times the constant's has diverged


@dataclass(frozen=True)
class Told:
    """A run and what was said of it. late: epochs from the first loss that had diverged to the stop; nan without."""

    run: Run
    said: Kind
    late: float


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    from benchmarks import runs_design, runs_final

    started = time.process_time()
    design = runs_design.runs()
    if quick:
        design = design[:: len(design) // QUICK]
    told = _told(design, "design")
    results = [
        figure("design runs", len(told), ""),
        figure("design runs, macro-F1", macro_f1(confusion(told)), ""),
    ]
    if not quick:
        final = _told(runs_final.runs(), "final")
        results += final_figures(final)
    return [*results, figure("all runs, CPU", time.process_time() - started, "s of CPU")]


def final_figures(told: Sequence[Told]) -> list[Result]:
    """What is asked of the runs that nothing was set on."""
    counts = confusion(told)
    faulty = sum(number for (made, _), number in counts.items() if made != "healthy")
    missed = sum(number for (made, said), number in counts.items() if made != "healthy" and said == "healthy")
    healthy = sum(number for (made, _), number in counts.items() if made == "healthy")
    alarmed = healthy - counts["healthy", "healthy"]
    late = [one.late for one in told if one.run.kind == "divergence" and one.late == one.late]
    return [
        figure("final runs", len(told), ""),
        at_least(0.90, "final runs, macro-F1", macro_f1(counts), ""),
        at_most(0.02, "final runs, with a fault and called healthy", missed / faulty, "of them"),
        figure("final runs, healthy and given a fault", alarmed / healthy, "of them"),
        at_most(2, "epochs from a diverged loss to the stop, most", max(late), ""),
    ]


def confusion(told: Sequence[Told]) -> Confusion:
    """How often each kind that was made was called which."""
    return Counter((one.run.kind, one.said) for one in told)


def macro_f1(counts: Confusion) -> float:
    """The mean of the F1 of every kind that was made.

    >>> macro_f1(Counter({("healthy", "healthy"): 3, ("spikes", "spikes"): 1, ("spikes", "healthy"): 1}))
    0.7619...
    """
    return fmean(_f1(counts, kind) for kind in sorted({made for made, _ in counts}))


def _f1(counts: Confusion, kind: Kind) -> float:
    right = counts.get((kind, kind), 0)
    called = sum(number for (_, said), number in counts.items() if said == kind)
    made = sum(number for (made, _), number in counts.items() if made == kind)
    return 2 * right / (called + made)


def table(counts: Confusion) -> list[str]:
    """The confusion table: a row for what was made, a column for what was said.

    >>> print(*table({("spikes", "spikes"): 2, ("healthy", "spikes"): 1})[:3], sep="\\n")
                        diver  spike  leak   too n  plate  overf  under  healt     F1
    divergence
    spikes                         2                                              0.80
    """
    from models.diagnosis import KINDS

    lines = [" " * 17 + "".join(f"{kind[:5]:>7}" for kind in KINDS) + f"{'F1':>7}"]
    for made in KINDS:
        cells = "".join(f"{counts.get((made, said), 0) or '':>7}" for said in KINDS)
        share = f"{_f1(counts, made):>7.2f}" if any(one == made for one, _ in counts) else ""
        lines.append(f"{made:<17}{cells}{share}".rstrip())
    return lines


def _told(runs: Sequence[Run], name: str) -> list[Told]:
    """Trains and diagnoses every run; prints what was said."""
    from benchmarks.runs import train
    from models.diagnosis import diagnose

    told = []
    for number, run in enumerate(runs):
        if number % 25 == 0:
            say(f"{name}: run {number} of {len(runs)}")
        curve = train(run)
        told.append(Told(run, diagnose(curve).kind, epochs_late(curve)))
    print(f"{name}: what was made, and what was said of it", *table(confusion(told)), sep="\n")
    for one in told:
        if one.said != one.run.kind:
            print(f"  {one.run.name}: {one.run.kind}, called {one.said}")
    print()
    return told


def epochs_late(curve: Curve) -> float:
    """Epochs from the first step whose loss had diverged to the last step that was taken; nan where none had.

    A step has diverged whose loss is no number, or an order above the constant's and never below it again.
    """
    losses = np.concatenate([np.asarray(steps) for steps in curve.steps])
    limit = ORDER * curve.baselines["constant"]
    over = ~(losses < limit)
    if not over[-1]:
        return float("nan")
    first = len(over) - int(np.argmin(over[::-1])) if not over.all() else 0
    return (len(losses) - 1 - first) / max(len(steps) for steps in curve.steps)


def main(arguments: Sequence[str] | None = None) -> int:
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # the networks are small: a second thread waits for the first
    return options.run("diagnosis", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
