"""Everything that [network] can say of losses, optimisers and schedules, through training, update and gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
import streams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

CLASSES = """[data]
path = "rows.csv"
target = "y"
time = "when"
[monitor]
window = "day"
[network]
epochs = 5
hidden = [8]
loss = "BinaryCrossentropy"
class_weights = "balanced"
label_smoothing = 0.05
optimizer = "nadam"
optimizer_parameters = {beta_1 = 0.8}
clip_by = "norm"
schedule = "cosine"
schedule_parameters = {epochs = 5}
warmup = 0.5
activation = "silu"
batch_norm = true
"""

NUMBERS = """[data]
path = "rows.csv"
target = "y"
time = "when"
[network]
epochs = 12
hidden = [8]
loss = "quantile"
loss_parameters = {quantile = 0.8}
optimizer = "adam"
learning_rate = 0.02
schedule = "plateau"
l1 = 0.01
restarts = 2
"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A replay: a first training, and updates of it from its file."""
    folder = tmp_path_factory.mktemp("classes")
    streams.stream(20, 150, change_on=10).to_csv(folder / "rows.csv", index=False)
    (folder / "losswatch.toml").write_text(CLASSES)
    commands.losswatch("replay", "--json", "out.json", folder=folder)
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


def test_a_version_of_every_setting_is_updated_from_its_file_and_gets_better(lived: dict[str, Any]) -> None:
    assert lived["loss_name"] == "BinaryCrossentropy"
    assert lived["summary"]["retrainings"] >= 1
    assert lived["summary"]["loss"] < lived["summary"]["loss_never"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("numbers")
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(2000, 8)), columns=list("abcdefgh")).round(3)
    frame["y"] = (100 * frame["a"] + 50 * random.normal(size=2000)).round(2)
    frame.insert(0, "when", pd.date_range("2024-01-01", periods=2000, freq="h"))
    frame.to_csv(place / "rows.csv", index=False)
    (place / "losswatch.toml").write_text(NUMBERS)
    return place


def test_several_seeds_and_a_penalty_are_told_after_a_training(folder: Path) -> None:
    told = json.loads(commands.losswatch("train", "--json", folder=folder))
    assert told["loss"] < 0.8 * told["loss_constant"]
    assert any(note.startswith("2 starts: ") for note in told["notes"])
    assert any("inputs are not used" in note for note in told["notes"])
    assert "validation  " in commands.losswatch("curve", folder=folder)
    (steps,) = folder.rglob("steps.parquet")  # of the start that is kept
    assert parquet.read_table(steps).num_rows > told["epochs"]
    said = commands.losswatch("train", folder=folder)
    assert "nothing to train" in said
    assert "% of what the best constant leaves open is explained" in said


def test_every_start_has_its_curve_in_the_run(folder: Path) -> None:
    from mlflow import MlflowClient

    told = json.loads(commands.losswatch("train", "--json", folder=folder))
    client = MlflowClient(f"sqlite:///{folder / '.losswatch' / 'mlflow.db'}")
    curves = [
        client.get_metric_history(told["run_id"], f"start_{number}_validation_loss") for number in range(2)
    ]
    assert all(len(curve) >= 2 for curve in curves)
    kept = client.get_metric_history(told["run_id"], "validation_loss")
    assert sorted(point.value for point in kept) in [
        sorted(point.value for point in curve) for curve in curves
    ]


def test_rates_are_tried_in_the_unit_of_the_target(folder: Path) -> None:
    told = json.loads(commands.losswatch("rates", "--json", "--out", "rates.png", folder=folder))
    assert told["suggested"] is not None
    assert 1e-4 < told["suggested"] < 1.0
    assert (folder / "rates.png").read_bytes().startswith(b"\x89PNG")
    commands.losswatch("rates", "--out", "rates.pdf", folder=folder, code=2)
    commands.losswatch("rates", "--lowest", "5", "--highest", "1", folder=folder, code=2)
