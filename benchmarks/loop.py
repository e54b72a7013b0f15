"""The whole loop on made years: `losswatch init` and `losswatch replay` with nothing set, by the command line.

python -m benchmarks.loop [--quick] [--json FILE]

Beside the loss of what was served stand those of the same network never retrained, and of as many retrainings on a
fixed schedule without a gate. Nothing in losswatch was chosen on these years.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import options
from benchmarks.loop_streams import DAYS, FAMILIES, Family, made
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

SEEDS, QUICK_DAYS = (1, 2), 60
HARMFUL = ("harmful shift", "concept change")


@dataclass(frozen=True)
class Replayed:
    """What came of one year. Losses are means over the rows of the windows."""

    loss: float
    never: float
    schedule: float
    retrainings: int
    promotions: int
    harmful: int
    windows: int


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    families, seeds = (FAMILIES[:1], SEEDS[:1]) if quick else (FAMILIES, SEEDS)
    days = QUICK_DAYS if quick else DAYS
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # what works are processes of their own
        begun = {
            (family.name, seed): pool.submit(replayed, family, seed, days=days)
            for family in families
            for seed in seeds
        }
        found = {family.name: [begun[family.name, seed].result() for seed in seeds] for family in families}
    return [one for family in families for one in _figures(family, found[family.name], decided=not quick)]


def replayed(family: Family, seed: int, *, days: int) -> Replayed:
    """A year as a user would replay it: a file, `init`, `replay`."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as name:
        folder = Path(name)
        made(family, seed, days=days).to_csv(folder / "rows.csv", index=False)
        project = str(folder / "project")
        _losswatch("init", project, "--data", str(folder / "rows.csv"), "--target", "y", "--time", "time")
        _losswatch("replay", "--project", project, "--json", str(folder / "found.json"))
        found = json.loads((folder / "found.json").read_text("utf-8"))
    summary, windows = found["summary"], found["windows"]
    year = Replayed(
        summary["loss"],
        summary["loss_never"],
        summary["loss_schedule"],
        summary["retrainings"],
        summary["promotions"],
        sum(window["verdict"] in HARMFUL for window in windows),
        len(windows),
    )
    say(f"{family.name}, seed {seed}: {year}")
    return year


def _losswatch(*arguments: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("losswatch")), *arguments], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"losswatch {arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")


def _figures(family: Family, years: list[Replayed], *, decided: bool) -> list[Result]:
    def mean(name: str) -> float:
        return float(sum(getattr(year, name) for year in years)) / len(years)

    never = at_most(
        1.0, f"{family.name}: loss, of never", mean("loss") / mean("never"), "times", decided=decided
    )
    return [
        never if family.harm else figure(never.name, never.value, "times"),
        figure(f"{family.name}: loss, of a schedule", mean("loss") / mean("schedule"), "times"),
        figure(f"{family.name}: retrainings", mean("retrainings"), "a year"),
        figure(f"{family.name}: promotions", mean("promotions"), "a year"),
        figure(f"{family.name}: harmful verdicts, of {years[0].windows}", mean("harmful"), ""),
    ]


if __name__ == "__main__":
    sys.exit(options.run("loop", measure))
