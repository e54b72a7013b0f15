"""The curve of a training as its run keeps it: whole, broken off, or from before there were records."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import streams

from models.diagnosis import Diverged
from models.history import EpochLoss
from models.learning_curve import CurvePoint
from pipelines import kept_curve, training
from pipelines.diagnosis import TrainingDiagnosis
from pipelines.errors import Failed
from pipelines.kept_curve import (
    NO_STEPS,
    KeptCurve,
    TrainingRecord,
    read_kept,
    read_learning_curves,
    read_steps,
)
from pipelines.prepared import prepare_rows
from pipelines.stores import Stores
from pipelines.training import train_version

SMALL = "[monitor]\nwindow = 'day'\n[network]\nhidden = [4]\nepochs = 3\nbatch_size = 64\n"
DIAGNOSIS = TrainingDiagnosis("healthy", (), ("the loss curve is healthy (2 epochs)",))
RECORD = TrainingRecord(
    "mse",
    (EpochLoss(0, math.nan, 0.8, 1e-3, 0.1, {"mae": 0.5}), EpochLoss(1, 0.7, 0.6, 1e-3, 0.1)),
    1,
    {"constant": 1.0, "simple": math.nan},
    90,
    10,
    False,
    DIAGNOSIS,
    ((0.8, 0.6), (), (math.nan, 0.9)),
    0,
)


@pytest.fixture
def stores(make_stores: Callable[..., Any]) -> Stores:
    opened: Stores = make_stores(streams.stream(4, 150), SMALL)
    return opened


def newest(stores: Stores) -> KeptCurve:
    run = stores.registry.runs()[0]
    versions = [one for one in stores.registry.versions() if one.run_id == run.run_id]
    return read_kept(stores.registry, stores.project.name, run, versions[0] if versions else None)


# --- the record ---


def test_a_record_comes_back_as_it_was_written() -> None:
    again = TrainingRecord.from_json(RECORD.to_json())
    assert repr(again) == repr(RECORD)
    assert "NaN" not in RECORD.to_json()


# --- of a training ---


def test_a_training_keeps_its_curve_with_the_run(stores: Stores) -> None:
    trained = train_version(stores, prepare_rows(stores.project), trees=True)
    kept = newest(stores)
    assert (kept.version, kept.kind, kept.failure) == (1, "fit", "")
    assert [epoch.epoch for epoch in kept.epochs] == [0, 1, 2]
    assert kept.record.kept == trained.best_epoch
    assert set(kept.record.baselines) == {"constant", "simple", "trees"}
    assert kept.record.baselines["simple"] == pytest.approx(trained.loss_simple)
    assert kept.record.diagnosis == trained.diagnosis
    assert np.unique(kept.steps.epoch).tolist() == [0, 1, 2]
    assert float(kept.steps.of(1).mean()) == pytest.approx(kept.epochs[1].loss, rel=0.01)
    assert np.isfinite(kept.steps.gradient_norm).any()
    assert kept.title == f"{stores.project.name}: training of version 1"


def test_a_training_that_diverged_keeps_what_there_was_of_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, linear_networks: ModuleType
) -> None:
    Steps = linear_networks.Steps

    def explodes(*arguments: Any, on_epoch: Any, on_steps: Any, **more: Any) -> Any:
        on_steps(0, 0, Steps(np.array([0.7, 0.6], np.float32), np.array([1.0, np.nan], np.float32)))
        on_epoch(EpochLoss(0, 0.65, 0.6, 1e-3, 0.1))
        on_steps(1, 0, Steps(np.array([np.inf], np.float32), np.array([np.nan], np.float32)))
        raise Diverged(1, 0)

    monkeypatch.setattr(training, "first_fit", explodes)
    with pytest.raises(Failed, match="the training diverged"):
        train_version(stores, prepare_rows(stores.project))
    kept = newest(stores)
    assert kept.version is None
    assert kept.failure.startswith("nothing was registered: the training diverged")
    assert kept.steps.loss.tolist() == pytest.approx([0.7, 0.6, math.inf])
    assert [(epoch.loss, epoch.validation_loss) for epoch in kept.epochs] == [(0.65, 0.6)]
    assert kept.record.kept is None
    assert set(kept.record.baselines) == {"constant", "simple"}
    assert kept.record.diagnosis is not None
    assert kept.record.diagnosis.kind == "divergence"
    assert kept.title == f"{stores.project.name}: training of run {kept.run_id[:8]}"


def test_a_store_that_takes_nothing_hides_no_divergence(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explodes(*arguments: Any, **more: Any) -> Any:
        raise Diverged(0, 0)

    def full(*arguments: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(training, "first_fit", explodes)
    monkeypatch.setattr(kept_curve, "keep_curve", full)
    with pytest.raises(Failed, match="the training diverged"):
        train_version(stores, prepare_rows(stores.project))
    assert "could not be kept: no space left on device" in caplog.text


def test_a_training_without_a_record_is_read_from_its_metrics(stores: Stores, tmp_path: Path) -> None:
    train_version(stores, prepare_rows(stores.project))
    folder = stores.registry.folder / "runs" / stores.registry.runs()[0].run_id  # type: ignore[attr-defined]
    whole = newest(stores)
    (folder / kept_curve.RECORD).unlink()
    (folder / kept_curve.STEPS).write_bytes(b"half a file")
    kept = newest(stores)
    assert [epoch.loss for epoch in kept.epochs] == [epoch.loss for epoch in whole.epochs]
    assert (kept.record.kept, len(kept.steps)) == (whole.record.kept, 0)
    assert kept.record.diagnosis == whole.record.diagnosis
    assert kept.record.baselines == {name: whole.record.baselines[name] for name in ("constant", "simple")}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"epochs": 3, "diagnosis": null, "baselines": {}}'])
def test_a_damaged_record_is_none(stores: Stores, content: str) -> None:
    train_version(stores, prepare_rows(stores.project))
    folder = stores.registry.folder / "runs" / stores.registry.runs()[0].run_id  # type: ignore[attr-defined]
    (folder / kept_curve.RECORD).write_text(content)
    assert len(newest(stores).epochs) == 3


# --- jumps ---


def test_a_step_that_jumps_is_found_by_its_number() -> None:
    loss = np.full(60, 0.5)
    loss[41] = 40.0
    steps = kept_curve.StepTable(np.repeat([0, 1], 30).astype(np.int32), loss, np.full(60, np.nan))
    epochs = (EpochLoss(0, 0.5, 0.5, 1e-3, 0.1), EpochLoss(1, 0.5, 0.5, 1e-3, 0.1))
    record = TrainingRecord("mse", epochs, 1, {"constant": 1.0})
    kept = KeptCurve("bikes", "r", "fit", 1, "", record, steps)
    assert [(jump.step, jump.loss) for jump in kept.jumps] == [(41, 40.0)]
    assert KeptCurve("bikes", "r", "fit", 1, "", record, NO_STEPS).jumps == ()


# --- the other files ---


def test_steps_that_are_not_there_are_none() -> None:
    assert read_steps(None) is NO_STEPS


def test_learning_curves_are_read_from_an_evaluation() -> None:
    point = {"rows": 100, "runs": 3, "seen": 0.1, "unseen": 0.5, "lowest": None, "highest": 0.6}
    found = {
        "repeats": {
            "curves": [{"metric": "loss", "direction": -1, "points": [point]}],
            "more_rows_verdicts": ["more rows would help"],
        }
    }
    (curve,), verdicts = read_learning_curves(json.dumps(found).encode())
    assert (curve.metric, curve.direction, verdicts) == ("loss", -1, ("more rows would help",))
    assert repr(curve.points) == repr((CurvePoint(100, 3, 0.1, 0.5, math.nan, 0.6),))
    assert read_learning_curves(None) == read_learning_curves(b'{"repeats": null}') == ((), ())
