"""The main job: a year of real flights replayed; the cost of a command, of the monitor and of the flow.

python -m benchmarks.replay [--quick] [--json FILE]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cpu, options
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

if TYPE_CHECKING:
    from pipelines.project import Project
    from pipelines.replay_result import ReplayResult

FLIGHTS = Path(__file__).parent.parent / "examples" / "flights"
YEAR = {"train_until": "2013-03-01", "until": "2014-01-01"}
QUICK = {"train_until": "2013-01-06", "until": "2013-01-20"}  # two windows; nothing of the year is decided
MADE_DAYS, MADE_ROWS = 12, 100
HELP_RUNS, MONITOR_RUNS = 7, 3


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        say("losswatch --help")
        results = [help_cost()]
        say("the replay of the flights" + (", a few weeks" if quick else ", a whole year"))
        project = flights(Path(folder) / "flights", QUICK if quick else YEAR)
        results += main_job(project, decided=not quick)
        say("losswatch monitor")
        results.append(monitor_cost(project, times=1 if quick else MONITOR_RUNS))
        say("a replay as a flow, and plain")
        results += flow_overhead(Path(folder) / "made", further=not quick)
    return results


def help_cost() -> Result:
    value = cpu.of_command(losswatch("--help"), times=HELP_RUNS)
    return at_most(0.15, "losswatch --help", value, "s of CPU")


def flights(folder: Path, period: dict[str, str]) -> Project:
    """The example's own files in a folder of their own; only the period is as asked."""
    from pipelines.project import open_project

    shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns(".losswatch", "__pycache__"))
    file = folder / "losswatch.toml"
    written = [
        f"{name} = {period[name]}" if (name := line.partition("=")[0].strip()) in period else line
        for line in file.read_text("utf-8").splitlines()
    ]
    file.write_text("\n".join(written) + "\n", "utf-8")
    return open_project(folder)


def main_job(project: Project, *, decided: bool) -> list[Result]:
    """The figures of the replay; decided: whether this period can meet what is asked of the year."""
    from pipelines.environment import plan_devices
    from pipelines.replay import replay

    plan_devices(os.environ, project.config)
    spent = _Spent.begin()
    done = replay(project, progress=_now_and_then())
    wall, used = spent.seconds()
    return [
        *replay_figures(done, decided=decided),
        figure("whole replay", wall, "s"),
        figure("whole replay, CPU", used, "s of CPU"),
    ]


def replay_figures(done: ReplayResult, *, decided: bool) -> list[Result]:
    """What the replay itself says of its loss and its retrainings."""
    found, unit = done.summary, "log loss"
    return [
        at_most(0.505, "flights, losswatch", found.loss, unit, decided=decided),
        figure("flights, never retrained", found.loss_never, unit),
        figure("flights, fixed schedule", found.loss_schedule, unit),
        figure("flights, simple model", found.loss_simple, unit),
        figure("flights, base rate", found.loss_constant, unit),
        at_most(11, "flights, retrainings", found.retrainings, "", decided=decided),
        figure("flights, promotions", found.promotions, ""),
        figure("flights, alarms", found.alarms, ""),
        at_most(60, "flights, training", found.cpu_training, "s of CPU", decided=decided),
    ]


def monitor_cost(project: Project, *, times: int) -> Result:
    """A call by the clock that finds no new window due, on the stores that the replay left, as live ones."""
    replayed = project.for_replay()
    live = project.folder.with_name("live")
    shutil.copytree(project.folder, live, ignore=shutil.ignore_patterns(".losswatch", "__pycache__"))
    with (live / "losswatch.toml").open("a", encoding="utf-8") as file:
        file.write(
            f'\n[store]\ntracking = "{replayed.tracking()}"\nartifacts = "{replayed.artifacts()}"\n'
            f'log = "{replayed.log()}"\n'
        )
    now = project.config.replay.until
    assert now is not None  # written by `flights`
    command = losswatch("monitor", "--project", str(live), "--now", now.date().isoformat())
    cpu.of_command(command)  # warms the disk's cache and the compiled modules
    return figure("losswatch monitor, warm", cpu.of_command(command, times=times), "s of CPU")


def flow_overhead(folder: Path, *, further: bool) -> list[Result]:
    """What Prefect adds to a small replay: a server that it starts once, and its share of each flow.

    The flights came before, so that imports cost neither side anything. further: whether a second flow is measured.
    """
    from pipelines import flows
    from pipelines.replay import replay

    folder.mkdir()
    projects = [
        made_project(folder / f"made{number}") for number in range(3)
    ]  # a store for each, as for a user
    plain, plain_cpu = _timed(lambda: replay(projects[0]))
    with _prefect_home(folder / "prefect"):
        first, first_cpu = _timed(lambda: flows.replay(projects[1]))
        again = _timed(lambda: flows.replay(projects[2])) if further else None
    results = [
        figure("small replay, plain", plain, "s"),
        figure("first flow, added", first - plain, "s"),
        figure("first flow, added CPU", first_cpu - plain_cpu, "s of CPU"),
    ]
    if again is not None:
        results.append(figure("further flow, added", again[0] - plain, "s"))
        results.append(figure("further flow, added CPU", again[1] - plain_cpu, "s of CPU"))
    return results


def made_project(folder: Path) -> Project:
    """A few days of made rows whose target follows from two numbers and a category; nothing asks for retraining."""
    import numpy as np
    import pandas as pd

    from pipelines.project import open_project

    rng, rows = np.random.default_rng(0), MADE_DAYS * MADE_ROWS
    kind = rng.choice(["shop", "web", "post"], rows)
    wind, heat = rng.standard_normal((2, rows))
    score = wind - heat + (kind == "web")
    when = np.datetime64("2021-01-01") + np.arange(rows) * np.timedelta64(86_400 // MADE_ROWS, "s")
    frame = pd.DataFrame({"when": when, "wind": wind, "heat": heat, "kind": kind})
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(int)
    folder.mkdir()
    frame.to_csv(folder / "rows.csv", index=False)
    text = '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n[monitor]\nwindow = "day"\n[network]\nepochs = 3\n'
    text += f"[alarm]\nleast_rows = {10**6}\n"  # no window has enough: every run does the same, without retraining
    (folder / "losswatch.toml").write_text(text, "utf-8")
    return open_project(folder)


def losswatch(*arguments: str) -> list[str]:
    """The command beside this Python, or its module where it is not installed as a script."""
    script = Path(sys.executable).with_name("losswatch")
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "pipelines.cli"]), *arguments]


@dataclass(frozen=True)
class _Spent:
    wall: float
    cpu: float

    @classmethod
    def begin(cls) -> _Spent:
        return cls(time.monotonic(), cpu.so_far())

    def seconds(self) -> tuple[float, float]:
        """Of the clock and of CPU, since the beginning."""
        return time.monotonic() - self.wall, cpu.so_far() - self.cpu


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    spent = _Spent.begin()
    work()
    return spent.seconds()


@contextmanager
def _prefect_home(folder: Path) -> Iterator[None]:
    """A new store for Prefect, so that its first flow costs what it costs a new user."""
    before = os.environ.get("PREFECT_HOME")
    os.environ["PREFECT_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PREFECT_HOME"]
        else:
            os.environ["PREFECT_HOME"] = before


def _now_and_then(every: float = 20.0) -> Callable[[str], None]:
    """Tells how far a replay is, some times a minute."""
    told = time.monotonic()

    def tell(text: str) -> None:
        nonlocal told
        if time.monotonic() - told > every:
            told = time.monotonic()
            say(f"  {text}")

    return tell


def main(arguments: Sequence[str] | None = None) -> int:
    return options.run("replay", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
