"""The curve of a training as its run keeps it: written when it ends, well or not, and read again to be drawn."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.curve import Curve, Jump, Reading
from models.diagnosis import diagnose
from models.history import EpochLoss, LossHistory
from models.learning_curve import CurvePoint, LearningCurve
from pipelines.diagnosis import TrainingDiagnosis, read_diagnosis, told
from pipelines.errors import Failed

if TYPE_CHECKING:
    from pipelines.learning import Learned
    from pipelines.registry import ModelVersion, Registry, RunRecord
    from pipelines.tracking import Run, Tracking

logger = logging.getLogger(__name__)

RECORD, STEPS, EVALUATION = "training.json", "steps.parquet", "evaluation.json"  # names of files of a run
FAILURE = "Failed: "  # how a run begins the reason for its end


@dataclass(frozen=True)
class TrainingRecord:
    """What a training leaves beside its steps.

    kept: number of the epoch whose weights are kept. baselines: losses on the validation rows of what was learned
    without a network. rows, judged: how many were learned from, and how many judged it. network: keys of [network].
    starts: of a training from
    several seeds the judged loss of every epoch of each, () for one that diverged; chosen: which of them was kept.
    """

    loss_name: str
    epochs: tuple[EpochLoss, ...]
    kept: int | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    rows: int | None = None
    judged: int | None = None
    may_be_negative: bool = False
    diagnosis: TrainingDiagnosis | None = None
    starts: tuple[tuple[float, ...], ...] = ()
    chosen: int = 0
    network: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, learned: Learned, curve: Curve, *, loss: str, judged: int) -> TrainingRecord:
        """Of a first training and its curve, with the diagnosis."""
        return cls(
            loss,
            learned.history.epochs,
            learned.history.best_epoch,
            dict(curve.baselines),
            curve.rows,
            judged,
            curve.may_be_negative,
            told(diagnose(curve)),
            tuple(_judged(start.history) for start in learned.starts),
            learned.chosen,
            dict(curve.settings),
        )

    def to_json(self) -> str:
        """Strict JSON; an undefined loss is written as null."""
        content = asdict(self) | {"epochs": json.loads(LossHistory(self.epochs).to_json())}
        return json.dumps(_plain(content), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> TrainingRecord:
        """What `to_json` wrote.

        >>> record = TrainingRecord("mse", (EpochLoss(0, 0.9, 0.8, 1e-3, 0.1),), 0, {"constant": 1.0}, rows=90)
        >>> TrainingRecord.from_json(record.to_json()) == record
        True
        """
        content = json.loads(text)
        found = content["diagnosis"]
        return cls(
            **content
            | {
                "epochs": LossHistory.from_json(json.dumps(content["epochs"])).epochs,
                "baselines": {name: _known(loss) for name, loss in content["baselines"].items()},
                "diagnosis": TrainingDiagnosis.from_json(json.dumps(found)) if found else None,
                "starts": tuple(tuple(map(_known, start)) for start in content["starts"]),
            }
        )


@dataclass(frozen=True, eq=False)
class StepTable:
    """Every step of a training. epoch: number of its epoch, (n,); loss: (n,); gradient_norm: (n,), nan where none."""

    epoch: npt.NDArray[np.int32]
    loss: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.loss)

    def of(self, epoch: int) -> npt.NDArray[np.float64]:
        """The losses of one epoch's steps."""
        return np.asarray(self.loss[self.epoch == epoch])


NO_STEPS = StepTable(np.zeros(0, np.int32), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, eq=False)
class KeptCurve:
    """All that is known of one training.

    name: of the project. version: what it became; None where nothing was registered. failure: why; "" otherwise.
    learning_curves: by rows, of an evaluation; their verdicts in words. finished: False while it goes on, or where
    its process was killed.
    """

    name: str
    run_id: str
    kind: str
    version: int | None
    failure: str
    record: TrainingRecord
    steps: StepTable = NO_STEPS
    learning_curves: tuple[LearningCurve, ...] = ()
    verdicts: tuple[str, ...] = ()
    finished: bool = True

    @property
    def epochs(self) -> tuple[EpochLoss, ...]:
        return self.record.epochs

    @cached_property
    def history(self) -> LossHistory:
        return LossHistory(self.epochs)

    @property
    def title(self) -> str:
        """Which training it is, in words."""
        what = f"version {self.version}" if self.version is not None else f"run {self.run_id[:8]}"
        return f"{self.name}: {'training' if self.kind == 'fit' else self.kind} of {what}"

    @cached_property
    def jumps(self) -> tuple[Jump, ...]:
        """Steps far above those around them, as the diagnosis finds them; numbered over all steps from 0."""
        trained = [epoch for epoch in self.epochs if epoch.epoch >= 0]
        taken = tuple(tuple(self.steps.of(epoch.epoch).tolist()) for epoch in trained)
        if not trained or not all(taken):
            return ()
        found = Reading(
            Curve.of(
                LossHistory(tuple(trained)),
                steps=taken,
                baselines=dict(self.record.baselines),
                may_be_negative=self.record.may_be_negative,
            )
        )
        return found.jumps if found.finite else ()


def keep_curve(run: Run, record: TrainingRecord) -> None:
    """Puts a training's record among the files of its run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / RECORD
        path.write_text(record.to_json(), "utf-8")
        run.artifact(path)


def keep_broken(
    run: Run, tracking: Tracking, baselines: Mapping[str, float], failed: Failed, *, loss: str
) -> None:
    """Keeps what there is of a training that diverged; where that fails, its end is told all the same."""
    try:
        tracking.broken_off()
        diagnosis = TrainingDiagnosis("divergence", (), tuple(str(failed).splitlines()))
        keep_curve(run, TrainingRecord(loss, (), baselines=baselines, diagnosis=diagnosis))
    except Exception as error:
        logger.warning("the curve of the training that diverged could not be kept: %s", error)


def read_kept(registry: Registry, name: str, run: RunRecord, version: ModelVersion | None) -> KeptCurve:
    """What the store keeps of a training; of one from before there were records, what its metrics say.

    name: of the project. version: what the run became, if anything.
    """
    curves, verdicts = read_learning_curves(registry.read(run.run_id, EVALUATION))
    return KeptCurve(
        name,
        run.run_id,
        run.kind,
        version.version if version else None,
        "" if version else run.failure.removeprefix(FAILURE),
        _record(registry, run.run_id, version),
        read_steps(registry.read(run.run_id, STEPS)),
        curves,
        verdicts,
        finished=version is not None or run.status in ("FINISHED", "FAILED"),
    )


def _record(registry: Registry, run_id: str, version: ModelVersion | None) -> TrainingRecord:
    content = registry.read(run_id, RECORD)
    try:
        record = TrainingRecord.from_json(content.decode()) if content is not None else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("run %s: its %s cannot be read: %s", run_id, RECORD, error)
        record = None
    if record is not None and record.epochs:
        return record
    epochs, figures = registry.curve(run_id), registry.figures(run_id)
    known = {name: figures[f"loss_{name}"] for name in ("constant", "simple") if f"loss_{name}" in figures}
    return TrainingRecord(
        record.loss_name if record else "loss",
        epochs,
        LossHistory(epochs).best_epoch if version is not None else None,
        record.baselines if record else known,
        may_be_negative=any(min(epoch.loss, epoch.judged) < 0 for epoch in epochs),
        diagnosis=record.diagnosis if record else read_diagnosis(version.tags) if version else None,
    )


def read_steps(content: bytes | None) -> StepTable:
    """The table of steps in a file of `pipelines.tracking`; none where there is none, or where it is damaged."""
    if content is None:
        return NO_STEPS
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(pa.BufferReader(content))
        columns = {name: table.column(name).to_numpy() for name in ("epoch", "step", "loss", "gradient_norm")}
    except (pa.ArrowException, KeyError) as error:
        logger.warning("the steps of a training cannot be read: %s", error)
        return NO_STEPS
    order = np.lexsort((columns["step"], columns["epoch"]))
    loss, norm = (columns[name][order].astype(np.float64) for name in ("loss", "gradient_norm"))
    return StepTable(columns["epoch"][order].astype(np.int32), loss, norm)


def read_learning_curves(content: bytes | None) -> tuple[tuple[LearningCurve, ...], tuple[str, ...]]:
    """Learning curves by rows, and what they say, in a file of `losswatch evaluate`; () where it holds none."""
    found = json.loads(content).get("repeats") if content is not None else None
    if not found:
        return (), ()
    curves = tuple(
        LearningCurve(
            one["metric"],
            one["direction"],
            tuple(
                CurvePoint(**{key: _known(value) for key, value in point.items()}) for point in one["points"]
            ),
        )
        for one in found["curves"]
    )
    return curves, tuple(found["more_rows_verdicts"])


def _judged(history: LossHistory | None) -> tuple[float, ...]:
    return () if history is None else tuple(epoch.judged for epoch in history.epochs)


def _known(value: Any) -> Any:
    return math.nan if value is None else value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
