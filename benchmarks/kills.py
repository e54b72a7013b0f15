"""A training killed with SIGKILL at random moments until it has been killed 200 times, and started again each time.

python -m benchmarks.kills [--quick] [--json FILE]

Each start is a process of its own, forked from one that has loaded the libraries and done nothing with them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

if TYPE_CHECKING:
    from pipelines.project import Project

KILLS, QUICK = 200, 5
EPOCHS = 12
PROJECT = f"""
[project]
name = "killed"
[data]
path = "rows.csv"
target = "y"
time = "when"
[network]
epochs = {EPOCHS}
patience = {EPOCHS}
batch_size = 32
"""


@dataclass(frozen=True)
class Training:
    """A training that was killed some times. lost: the most epochs that one kill threw away."""

    kills: int
    lost: int
    runs: int
    versions: int
    weights: tuple[Any, ...]
    losses: tuple[float, ...]


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    for name in (
        "models.fit",
        "mlflow",
        "mlflow.pyfunc",
        "pandas",
        "sklearn.linear_model",
        "pipelines.steps",
    ):
        import_module(name)  # loaded once, before any process is forked
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    wanted = QUICK if quick else KILLS
    rng = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        lengths = []
        for number in range(3):
            begun = time.monotonic()
            alone = killed(Path(folder) / f"alone-{number}", iter(()))
            lengths.append(time.monotonic() - begun)
        length = min(lengths)
        say(f"undisturbed: {length:.1f} s")
        found: list[Training] = []
        while sum(one.kills for one in found) < wanted:
            left = wanted - sum(one.kills for one in found)
            moments = iter([rng.uniform(0, length) for _ in range(left)])
            found.append(killed(Path(folder) / f"{len(found)}", moments))
            say(f"{sum(one.kills for one in found)} kills in {len(found)} trainings")
    return _results(found, alone)


def _results(found: Sequence[Training], alone: Training) -> list[Result]:
    different = sum(one.weights != alone.weights or one.losses != alone.losses for one in found)
    return [
        figure("kills", sum(one.kills for one in found), ""),
        figure("trainings", len(found), ""),
        at_most(1, "epochs lost by a kill", max(one.lost for one in found), ""),
        at_most(1, "runs of a training", max(one.runs for one in found), ""),
        at_most(1, "versions of a training", max(one.versions for one in found), ""),
        at_most(0, "trainings that ended elsewhere", different, ""),
    ]


def killed(folder: Path, moments: Iterator[float]) -> Training:
    """Starts a training again and again until it ends by itself. moments: seconds from a start to its kill."""
    made_project(folder)
    kills = lost = 0
    while not _ended(folder, next(moments, None)):
        kills += 1
        lost = max(lost, _lost(folder))
    return _found(folder, kills, lost)


def _ended(folder: Path, seconds: float | None) -> bool:
    """Whether a start of the training ended by itself before it was killed."""
    child = os.fork()
    if not child:
        _train(folder)
    if seconds is not None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                return True
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the training failed: {(folder / 'error').read_text('utf-8')}")
    return os.WIFEXITED(status)


def _train(folder: Path) -> None:
    """The child: trains, notes each epoch as it ends, and never returns."""
    import traceback

    from pipelines.project import open_project
    from pipelines.steps import train

    try:
        with (folder / "epochs").open("a", encoding="utf-8", buffering=1) as noted:
            noted.write("start\n")
            train(open_project(folder), on_epoch=lambda loss: print(loss.epoch, file=noted))
    except BaseException:
        (folder / "error").write_text(traceback.format_exc(), "utf-8")
        os._exit(1)
    os._exit(0)


def _lost(folder: Path) -> int:
    """Epochs that had ended before the last start but one and were trained again by the last start."""
    starts: list[list[int]] = []
    for line in (folder / "epochs").read_text("utf-8").split():
        if line == "start":
            starts.append([])
        else:
            starts[-1].append(int(line))
    lost, ended = 0, -1
    for epochs in starts:
        if epochs:
            lost = max(lost, ended + 1 - epochs[0])
            ended = max(epochs)
    return lost


def _found(folder: Path, kills: int, lost: int) -> Training:
    """What the training left, as the registry tells it; asked in a child, for TensorFlow and forks do not mix."""
    import json

    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        with os.fdopen(write, "w", encoding="utf-8") as answer:
            json.dump(_left(folder), answer)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as answer:
        left = json.load(answer)
    os.waitpid(child, 0)
    return Training(
        kills,
        max(lost, _lost(folder)),
        left["runs"],
        left["versions"],
        tuple(left["weights"]),
        tuple(left["losses"]),
    )


def _left(folder: Path) -> dict[str, Any]:
    import hashlib

    from mlflow import MlflowClient

    from models.export import load_keras
    from pipelines.project import open_project
    from pipelines.stores import open_stores

    project = open_project(folder)
    client = MlflowClient(project.tracking())
    experiments = [one.experiment_id for one in client.search_experiments()]
    registry = open_stores(project).registry
    [version] = registry.versions()
    weights = load_keras(registry.bundle(version.version) / "model.keras").get_weights()
    return {
        "runs": len(client.search_runs(experiments)),
        "versions": len(client.search_model_versions("name = 'killed'")),
        "weights": [hashlib.sha256(weight.tobytes()).hexdigest() for weight in weights],
        "losses": [epoch.loss for epoch in registry.curve(version.run_id)],
    }


def made_project(folder: Path) -> Project:
    """Rows whose target follows from two numbers and a category."""
    import numpy as np
    import pandas as pd

    from pipelines.project import open_project

    rng, rows = np.random.default_rng(0), 4000
    kind = rng.choice(["shop", "web", "post"], rows)
    wind, heat = rng.standard_normal((2, rows))
    score = wind - heat + (kind == "web")
    when = np.datetime64("2021-01-01") + np.arange(rows) * np.timedelta64(600, "s")
    frame = pd.DataFrame({"when": when, "wind": wind, "heat": heat, "kind": kind})
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(int)
    folder.mkdir()
    frame.to_csv(folder / "rows.csv", index=False)
    (folder / "losswatch.toml").write_text(PROJECT, "utf-8")
    return open_project(folder)


if __name__ == "__main__":
    sys.exit(options.run("kills", measure))
