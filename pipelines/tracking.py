"""A training followed into its run: every step and epoch, gradient norms, CPU and memory.

Every step lands in a small file beside the checkpoint and at the end among the run's files; MLflow's curves get a few
points an epoch, for a point costs it as much as a step costs a small network.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from models.history import EpochLoss, LossHistory
    from models.steps import StepLosses

POINTS = 10  # of an epoch's steps in MLflow's curves: they show a spike, and cost less than a hundredth

_STEP = np.dtype([("epoch", "<i4"), ("step", "<i4"), ("loss", "<f4"), ("gradient_norm", "<f4")])


class Run(Protocol):
    """What is asked of a run."""

    def epoch(self, loss: EpochLoss) -> None: ...

    def points(self, name: str, values: Mapping[int, float]) -> None: ...

    def artifact(self, path: Path) -> None: ...


class _Nobody:
    """A run that nothing is noted in."""

    def epoch(self, loss: EpochLoss) -> None:
        """Not noted."""

    def points(self, name: str, values: Mapping[int, float]) -> None:
        """Not noted."""

    def artifact(self, path: Path) -> None:
        """Not kept."""


class Tracking:
    """Takes what `models.fit` tells and notes it in a run.

    steps: the file of steps, which outlives a kill as the checkpoint does; None keeps them in memory.
    """

    def __init__(
        self, run: Run, steps: Path | None, on_epoch: Callable[[EpochLoss], None] | None = None
    ) -> None:
        self._run, self._file, self._told = run, steps, on_epoch
        self._taken = _read(steps)
        self._new: list[npt.NDArray[Any]] = []
        self._cpu = time.process_time()
        self._starts: list[Tracking] = []

    def start(
        self, number: int
    ) -> tuple[Callable[[EpochLoss], None], Callable[[int, int, StepLosses], None]]:
        """Who takes the epochs and the steps of one of several starts, in their order: the run hears of none yet."""
        file = None if self._file is None else self._file.with_name(f"{self._file.name}-{number}")
        self._starts.append(Tracking(_Nobody(), file, self._told))
        return self._starts[-1].epoch, self._starts[-1].steps

    def choose(self, number: int) -> None:
        """The start that is kept: its steps are those of the training."""
        self._taken = self._starts[number]._taken

    def steps(self, epoch: int, first: int, found: StepLosses) -> None:
        """Steps of an epoch, from the one of this number on."""
        rows = np.zeros(len(found.losses), _STEP)
        rows["epoch"], rows["step"] = epoch, np.arange(first, first + len(rows))
        rows["loss"], rows["gradient_norm"] = found.losses, found.gradient_norms
        self._new.append(rows)

    def epoch(self, loss: EpochLoss) -> None:
        """The end of an epoch. One that is trained again after a kill takes the place of its first trial."""
        rows = np.concatenate([np.zeros(0, _STEP), *self._new])
        self._new = []
        self._taken = np.concatenate([self._taken[self._taken["epoch"] < max(loss.epoch, 0)], rows])
        if self._file is not None:
            _write(self._file, self._taken)
        self._note(loss.epoch, rows)
        cpu, self._cpu = time.process_time() - self._cpu, time.process_time()
        system = {"cpu_seconds": cpu, "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        self._run.epoch(dataclasses.replace(loss, metrics={**loss.metrics, **system}))
        if self._told is not None:
            self._told(loss)

    @property
    def step_losses(self) -> dict[int, npt.NDArray[np.float32]]:
        """Of the steps of every epoch, by its number."""
        epochs = np.unique(self._taken["epoch"])
        return {int(epoch): self._taken["loss"][self._taken["epoch"] == epoch] for epoch in epochs}

    def close(self, history: LossHistory) -> None:
        """The end of the training: keeps all steps with the run, as `steps.parquet`.

        What an earlier process had to say of its epochs and could not send before it was killed is noted now. The file
        beside the checkpoint goes when that goes.
        """
        for epoch in history.epochs:
            self._run.epoch(epoch)
            self._note(epoch.epoch, self._taken[self._taken["epoch"] == epoch.epoch])
        self._keep()

    def broken_off(self) -> None:
        """The training, or the last of its starts, ended in the midst of an epoch: keeps the steps up to there."""
        last = self._starts[-1] if self._starts else self
        self._taken = np.concatenate([last._taken, *last._new])
        self._new = []
        self._keep()

    def _keep(self) -> None:
        if len(self._taken):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "steps.parquet"
                _write_parquet(path, self._taken)
                self._run.artifact(path)

    def _note(self, epoch: int, rows: npt.NDArray[Any]) -> None:
        """A few points of the epoch's steps: means of neighbours, at the number of the last of them."""
        for name, column in (("step_loss", "loss"), ("gradient_norm", "gradient_norm")):
            points = {}
            for part in np.array_split(np.arange(len(rows)), min(POINTS, len(rows)) or 1):
                values = rows[column][part]
                values = values[np.isfinite(values)]
                if len(values):
                    points[epoch * len(rows) + int(part[-1])] = float(values.mean(dtype=np.float64))
            self._run.points(name, points)


def _read(path: Path | None) -> npt.NDArray[Any]:
    """The steps that an earlier process wrote; a damaged file counts as none."""
    if path is None or not path.is_file():
        return np.zeros(0, _STEP)
    content = path.read_bytes()
    return np.frombuffer(content[: len(content) // _STEP.itemsize * _STEP.itemsize], _STEP)


def _write(path: Path, rows: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.write_bytes(rows.tobytes())
    os.replace(whole, path)


def _write_parquet(path: Path, rows: npt.NDArray[Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table({name: rows[name] for name in _STEP.names or ()}), path)
