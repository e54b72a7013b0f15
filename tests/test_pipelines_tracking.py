"""A training followed into its run: nothing noted twice, nothing lost by a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pyarrow.parquet as parquet
import pytest

from models.history import EpochLoss, LossHistory
from models.steps import StepLosses
from pipelines.tracking import POINTS, Tracking


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return fakes.FakeRun("r1", "fit-x", "fit", fakes.FakeRegistry(tmp_path / "registry"))


def losses(*values: float) -> StepLosses:
    norms = np.full(len(values), np.nan, np.float32)
    norms[0] = 2.0
    return StepLosses(np.array(values, np.float32), norms)


def epoch(number: int) -> EpochLoss:
    return EpochLoss(number, 0.5, 0.6, 1e-3, 0.1, {"accuracy": 0.9})


HISTORY = LossHistory((epoch(0),))


def kept(run: Any) -> dict[str, list[float]]:
    table = parquet.read_table(run.registry.folder / "runs" / run.run_id / "steps.parquet")
    found: dict[str, list[float]] = table.to_pydict()
    return found


def test_every_step_is_kept_with_the_run(run: Any, tmp_path: Path) -> None:
    tracking = Tracking(run, tmp_path / "steps")
    for number in range(2):
        tracking.steps(number, 0, losses(4.0, 3.0))
        tracking.steps(number, 2, losses(2.0))
        tracking.epoch(epoch(number))
    tracking.close(HISTORY)
    found = kept(run)
    assert found["epoch"] == [0, 0, 0, 1, 1, 1]
    assert found["step"] == [0, 1, 2, 0, 1, 2]
    assert found["loss"] == [4.0, 3.0, 2.0, 4.0, 3.0, 2.0]
    assert found["gradient_norm"][0] == 2.0


def test_an_epoch_brings_a_few_points_and_what_it_cost(run: Any) -> None:
    told: list[int] = []
    tracking = Tracking(run, None, lambda loss: told.append(loss.epoch))
    tracking.steps(0, 0, losses(*range(100, 0, -1)))
    tracking.epoch(epoch(0))
    assert len(run.pointed["step_loss"]) == POINTS
    assert run.pointed["step_loss"][9] == pytest.approx(95.5)
    assert run.pointed["step_loss"][99] == pytest.approx(5.5)
    assert run.pointed["gradient_norm"] == {9: 2.0}
    assert run.epochs[0].metrics["accuracy"] == 0.9
    assert run.epochs[0].metrics["cpu_seconds"] >= 0
    assert run.epochs[0].metrics["memory_mb"] > 10
    assert told == [0]


def test_after_a_kill_the_steps_of_whole_epochs_are_there_once(run: Any, tmp_path: Path) -> None:
    first = Tracking(run, tmp_path / "steps")
    for number in range(2):
        first.steps(number, 0, losses(float(number)))
        first.epoch(epoch(number))
    first.steps(2, 0, losses(9.0))  # the epoch that the kill cut off

    second = Tracking(run, tmp_path / "steps")
    second.steps(2, 0, losses(2.0))
    second.epoch(epoch(2))
    second.close(LossHistory(tuple(epoch(number) for number in range(3))))
    assert kept(run)["loss"] == [0.0, 1.0, 2.0]


def test_what_a_killed_process_could_not_send_is_sent_by_the_next(run: Any, tmp_path: Path) -> None:
    first = Tracking(run, tmp_path / "steps")
    first.steps(0, 0, losses(3.0))
    first.epoch(epoch(0))
    run.epochs.clear()  # it waited to be sent, and died with the process
    run.pointed.clear()

    second = Tracking(run, tmp_path / "steps")
    second.steps(1, 0, losses(2.0))
    second.epoch(epoch(1))
    second.close(LossHistory((epoch(0), epoch(1))))
    assert sorted(run.epochs) == [0, 1]
    assert run.pointed["step_loss"] == {0: 3.0, 1: 2.0}


def test_a_training_that_begins_anew_leaves_nothing_of_the_old_one(run: Any, tmp_path: Path) -> None:
    (tmp_path / "steps").write_bytes(b"half a row" * 7)
    tracking = Tracking(run, tmp_path / "steps")
    tracking.steps(0, 0, losses(1.0))
    tracking.epoch(epoch(0))
    tracking.close(HISTORY)
    assert kept(run)["loss"] == [1.0]


def test_a_training_that_is_broken_off_keeps_the_steps_up_to_there(run: Any, tmp_path: Path) -> None:
    tracking = Tracking(run, tmp_path / "steps")
    tracking.steps(0, 0, losses(1.0, 2.0))
    tracking.epoch(epoch(0))
    tracking.steps(1, 0, losses(30.0, np.inf))
    tracking.broken_off()
    assert kept(run)["loss"] == [1.0, 2.0, 30.0, np.inf]
    assert kept(run)["epoch"] == [0, 0, 1, 1]


def test_of_several_starts_the_chosen_one_is_kept(run: Any, tmp_path: Path) -> None:
    tracking = Tracking(run, tmp_path / "steps")
    for number, loss in enumerate((3.0, 2.0)):
        told, taken = tracking.start(number)
        taken(0, 0, losses(loss, loss))
        told(epoch(0))
    assert (run.epochs, run.pointed) == ({}, {})
    tracking.choose(1)
    tracking.close(HISTORY)
    assert kept(run)["loss"] == [2.0, 2.0]
    assert sorted(run.epochs) == [0]
    assert run.pointed["step_loss"] == {0: 2.0, 1: 2.0}


def test_the_steps_of_a_start_outlive_a_kill(run: Any, tmp_path: Path) -> None:
    first = Tracking(run, tmp_path / "steps")
    told, taken = first.start(0)
    taken(0, 0, losses(3.0))
    told(epoch(0))

    second = Tracking(run, tmp_path / "steps")
    second.start(0)  # it was complete, and is not trained again
    second.choose(0)
    second.close(HISTORY)
    assert kept(run)["loss"] == [3.0]


def test_a_last_start_that_is_broken_off_keeps_its_steps(run: Any, tmp_path: Path) -> None:
    tracking = Tracking(run, None)
    for number, loss in enumerate((3.0, np.inf)):
        _, taken = tracking.start(number)
        taken(0, 0, losses(loss))
    tracking.broken_off()
    assert kept(run)["loss"] == [np.inf]


def test_a_training_without_epochs_keeps_nothing(run: Any, tmp_path: Path) -> None:
    Tracking(run, tmp_path / "steps").close(LossHistory())
    assert not (run.registry.folder / "runs").exists()
