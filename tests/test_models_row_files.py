"""Rows in a file train as rows in memory do: the same steps, the same losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.fit import fit, predict
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.row_files import RowWriter, open_rows, run_of, shuffled
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target, Task

WIDTH = 4


def schema(task: Task) -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH))
    classes: dict[Task, tuple[str, ...]] = {
        "regression": (),
        "binary": ("a", "b"),
        "multiclass": ("a", "b", "c"),
    }
    return Schema(columns, Target("y", task, classes[task]))


def rows(count: int, task: Task = "binary", *, seed: int = 0, weighed: bool = False) -> Rows:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, WIDTH)).astype(np.float32)
    score = inputs[:, 0] - inputs[:, 1] + rng.normal(0, 0.5, count)
    targets: dict[Task, Any] = {
        "regression": score.astype(np.float32),
        "binary": (score > 0).astype(np.float32),
        "multiclass": np.digitize(score, [-0.5, 0.5]).astype(np.int32),
    }
    return Rows(inputs, targets[task], np.linspace(0.5, 2, count, dtype=np.float32) if weighed else None)


def on_disk(folder: Path, whole: Rows, batch: int = 70) -> Rows:
    weighed = whole.weights is not None
    writer = RowWriter(folder, len(whole), WIDTH, whole.targets.dtype, weighed=weighed)
    for places in np.array_split(np.arange(len(whole)), range(batch, len(whole), batch)):
        writer.put(places, whole.take(places))
    writer.close()
    return open_rows(folder)


@pytest.mark.parametrize("weighed", [True, False])
def test_what_was_written_is_read(tmp_path: Path, weighed: bool) -> None:
    whole = rows(300, "multiclass", weighed=weighed)
    found = on_disk(tmp_path, whole)
    assert isinstance(found.inputs, np.memmap)
    np.testing.assert_array_equal(found.inputs, whole.inputs)
    np.testing.assert_array_equal(found.targets, whole.targets)
    assert found.targets.dtype == whole.targets.dtype
    assert (found.weights is None) == (whole.weights is None)


@pytest.mark.parametrize(("task", "steps_at_once"), [("regression", 7), ("binary", 1), ("multiclass", 256)])
def test_a_training_from_files_is_that_from_memory(tmp_path: Path, task: Task, steps_at_once: int) -> None:
    recipe = recipe_from(NetworkConfig(hidden=(8,), dropout=0.2), task)
    config = FitConfig(epochs=3, batch_size=32, seed=5, steps_at_once=steps_at_once)
    train, validation = rows(1000, task, weighed=True), rows(300, task, seed=1)
    memory = fit(recipe, schema(task), train, validation, config)
    disk = fit(
        recipe, schema(task), on_disk(tmp_path / "t", train), on_disk(tmp_path / "v", validation), config
    )
    for one, other in zip(memory.history.epochs, disk.history.epochs, strict=True):
        assert (one.loss, one.validation_loss) == pytest.approx((other.loss, other.validation_loss), rel=1e-5)
    np.testing.assert_allclose(
        predict(memory.model, validation.inputs), predict(disk.model, validation.inputs), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("run", [1, 3, 16])
def test_every_row_is_in_a_shuffle_once(run: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.row_files.MIXED_AT_ONCE", 40)
    order = shuffled(101, np.random.default_rng(0), run=run)
    np.testing.assert_array_equal(np.sort(order), np.arange(101))
    assert (np.diff(order) != 1).mean() > 0.8


def test_neighbours_are_near_each_other_in_a_shuffle_by_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.row_files.MIXED_AT_ONCE", 200)
    place = np.argsort(shuffled(5000, np.random.default_rng(0), run=10))
    assert (np.abs(np.diff(place)) < 200).mean() > 0.85
    plain = np.argsort(shuffled(5000, np.random.default_rng(0)))
    assert (np.abs(np.diff(plain)) < 200).mean() < 0.15


def test_a_large_file_is_read_in_runs_and_learned_from_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_from(NetworkConfig(hidden=(8,)), "binary")
    config = FitConfig(epochs=8, batch_size=32, seed=5)
    train, validation = rows(4000), rows(2000, seed=1)
    assert run_of(train.inputs) == 1
    memory = fit(recipe, schema("binary"), train, validation, config).history.best_loss
    monkeypatch.setattr("models.row_files.READ_AT_RANDOM", 1000)
    monkeypatch.setattr("models.row_files.READ_TOGETHER", 160)
    monkeypatch.setattr("models.row_files.MIXED_AT_ONCE", 700)
    file = on_disk(tmp_path, train)
    assert run_of(file.inputs) == 10
    assert fit(recipe, schema("binary"), file, validation, config).history.best_loss == pytest.approx(
        memory, rel=0.02
    )


def test_rows_that_cannot_be_learned_from_are_found_in_files_too(tmp_path: Path) -> None:
    whole = rows(100)
    whole.inputs[60, 2] = np.nan
    recipe, found = recipe_from(NetworkConfig(hidden=()), "binary"), on_disk(tmp_path, whole)
    with pytest.raises(ValueError, match="training inputs hold NaN or infinite values"):
        fit(recipe, schema("binary"), found, rows(10), FitConfig(epochs=1))


def test_no_rows_are_no_trouble(tmp_path: Path) -> None:
    assert len(on_disk(tmp_path, rows(0))) == 0


def test_rows_may_come_in_any_order(tmp_path: Path) -> None:
    whole, order = rows(90, "regression"), np.random.default_rng(0).permutation(90)
    writer = RowWriter(tmp_path, 90, WIDTH, np.float32, weighed=False)
    for places in np.array_split(order, 7):
        writer.put(places, whole.take(places))
    writer.close()
    found = open_rows(tmp_path)
    np.testing.assert_array_equal(found.inputs, whole.inputs)
    np.testing.assert_array_equal(found.targets, whole.targets)


def test_batches_of_other_schemas_are_refused(tmp_path: Path) -> None:
    wide = Rows(np.zeros((2, 9), np.float32), np.zeros(2, np.float32))
    writer = RowWriter(tmp_path, 5, WIDTH, np.float32, weighed=False)
    with pytest.raises(ValueError, match="rows with 9 inputs and no weights came, expected 4 inputs"):
        writer.put(np.arange(2), wide)
    with pytest.raises(ValueError, match="with 4 inputs and weights came, expected 4 inputs and no weights"):
        writer.put(np.arange(5), rows(5, weighed=True))
    with pytest.raises(ValueError, match="no rows that were written whole"):
        open_rows(tmp_path)


def test_a_file_that_was_cut_off_is_told(tmp_path: Path) -> None:
    on_disk(tmp_path, rows(100))
    whole = (tmp_path / "inputs.f32").read_bytes()
    (tmp_path / "inputs.f32").write_bytes(whole[:-8])
    with pytest.raises(ValueError, match="holds 1592 bytes of inputs; expected 1600"):
        open_rows(tmp_path)
