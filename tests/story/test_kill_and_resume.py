"""`losswatch train`, killed in the middle with SIGKILL and typed again: one run, one version, the same network."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import pytest
import streams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

EPOCHS = 12


def project(folder: Path) -> Path:
    """A project whose training takes its time: small steps, all of its epochs."""
    folder.mkdir()
    streams.stream(20, 400).to_csv(folder / "rows.csv", index=False)
    (folder / "losswatch.toml").write_text(
        '[project]\nname = "mine"\n[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n'
        f"[network]\nepochs = {EPOCHS}\npatience = {EPOCHS}\nbatch_size = 16\nhidden = [128, 128]\n"
    )
    return folder


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 600) -> None:
    """Waits while the process runs; if it ends before, it tells what it said."""
    end = time.monotonic() + seconds
    while not reached():
        if process.poll() is not None:
            raise AssertionError(
                f"it ended with {process.returncode} before it was reached:\n{process.communicate()[1]}"
            )
        assert time.monotonic() < end, "it was not reached in time"
        time.sleep(0.02)


def epochs_begun(folder: Path) -> Callable[[], bool]:
    """Whether a training has finished an epoch: its checkpoint then lies in the project's state."""
    return lambda: any((folder / ".losswatch" / "checkpoints").glob("fit-*"))


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()


def runs_and_versions(folder: Path) -> tuple[list[Any], list[Any]]:
    """As MLflow itself tells them."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / '.losswatch' / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments)), list(client.search_model_versions("name = 'mine'"))


def trained(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(commands.losswatch("train", "--json", folder=folder))
    return found


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """A folder with a training that was killed twice, what its third start said, and what one start alone says."""
    killed = project(tmp_path_factory.mktemp("stories") / "killed")
    process = commands.start("train", folder=killed)
    wait_until(epochs_begun(killed), process)
    kill(process)
    before = {path: path.stat().st_mtime_ns for path in (killed / ".losswatch" / "checkpoints").iterdir()}
    process = commands.start("train", folder=killed)
    wait_until(lambda: any(path.stat().st_mtime_ns > written for path, written in before.items()), process)
    kill(process)
    resumed = trained(killed)
    alone = trained(project(killed.with_name("alone")))
    return killed, resumed, alone


Stories = tuple[Path, dict[str, Any], dict[str, Any]]


def test_the_same_command_goes_on_with_the_training(stories: Stories) -> None:
    _, resumed, alone = stories
    assert (resumed["resumed"], resumed["skipped"]) == (True, False)
    assert (alone["resumed"], alone["skipped"]) == (False, False)


def test_one_run_and_one_version_come_of_it(stories: Stories) -> None:
    runs, versions = runs_and_versions(stories[0])
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert [version.version for version in versions] == [stories[1]["version"]] == [1]
    assert versions[0].run_id == runs[0].info.run_id


def test_the_network_is_the_one_that_would_have_come_without_a_kill(stories: Stories) -> None:
    _, resumed, alone = stories
    assert resumed["loss"] == alone["loss"]
    assert resumed["best_epoch"] == alone["best_epoch"]


def test_every_epoch_is_in_the_curve_once(stories: Stories) -> None:
    from mlflow import MlflowClient

    folder, resumed, _ = stories
    client = MlflowClient(f"sqlite:///{folder / '.losswatch' / 'mlflow.db'}")
    points = client.get_metric_history(resumed["run_id"], "loss")
    assert sorted(point.step for point in points) == list(range(EPOCHS))


def test_nothing_is_left_of_the_kills(stories: Stories) -> None:
    state = stories[0] / ".losswatch"
    assert list((state / "checkpoints").glob("*")) == []
    assert [path for path in state.rglob("*") if path.name.endswith((".part", ".tmp"))] == []


def test_once_more_trains_nothing(stories: Stories) -> None:
    again = trained(stories[0])
    assert again["skipped"]
    assert again["version"] == 1
    assert [len(found) for found in runs_and_versions(stories[0])] == [1, 1]
