"""Our own parts of a .keras file: they train, are stored, and come back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models.export import load_keras, save_keras
from models.fit import fit, predict
from models.keras_objects import PlannedRate, Quantile, keras_loss, planned_rate
from models.losses import CATALOGUE, row_losses
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target

SCHEMA = Schema((NumberColumn("x", 0.0, 0.0, 1.0, indicator=False),), Target("y", "regression", (), 0.0, 1.0))


def noise(count: int) -> Rows:
    """A target whose spread grows with the input, and nothing else."""
    random = np.random.default_rng(0)
    inputs = random.uniform(0, 1, (count, 1)).astype(np.float32)
    return Rows(inputs, (random.normal(size=count) * (1 + inputs[:, 0])).astype(np.float32))


def test_the_quantile_loss_gives_keras_what_it_gives_us() -> None:
    target, prediction = np.array([[1.0], [3.0]], np.float32), np.array([[2.0], [2.0]], np.float32)
    rows = keras.ops.convert_to_numpy(Quantile(0.9, reduction=None)(target, prediction))
    assert rows == pytest.approx(row_losses("quantile", target[:, 0], prediction, quantile=0.9))


def test_a_network_of_a_quantile_is_above_that_share_of_the_rows(tmp_path: Path) -> None:
    network = NetworkConfig(
        hidden=(), loss="quantile", loss_parameters={"quantile": 0.8}, learning_rate=0.05, epochs=30
    )
    rows = noise(1500)
    fitted = fit(recipe_from(network, "regression"), SCHEMA, rows, rows, network.fit_config(seed=0))
    above = np.mean(predict(fitted.model, rows.inputs)[:, 0] > rows.targets)
    assert above == pytest.approx(0.8, abs=0.04)
    save_keras(fitted.model, tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    assert loaded.loss.quantile == 0.8


OTHER_THAN_DEFAULT = {
    "delta": 2.5,
    "from_logits": True,
    "label_smoothing": 0.1,
    "apply_class_balancing": True,
    "alpha": 0.3,
    "beta": 0.2,
    "gamma": 3.0,
    "ignore_class": 1,
    "q": 0.7,
    "quantile": 0.9,
    "axis": -1,
}


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_loss_is_stored_with_its_parameters(name: str) -> None:
    parameters = {key: OTHER_THAN_DEFAULT[key] for key in CATALOGUE[name].parameters}
    loss = keras_loss(name, parameters)
    assert {key: loss.get_config()[key] for key in parameters} == parameters
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_a_planned_rate_is_stored_where_it_stands() -> None:
    plan = PlannedRate(0.5, "step", 2.0, {"every": 3})
    plan.start(begin=40, steps=7, epochs=9)
    plan.level.assign(0.25)
    again = PlannedRate.from_config(plan.get_config())
    assert again.get_config() == plan.get_config()
    assert float(again(95)) == float(plan(95))


def test_a_plain_rate_is_no_plan() -> None:
    assert planned_rate(keras.optimizers.SGD(0.1)) is None


def test_a_file_with_parts_of_ours_loads_in_a_fresh_process(tmp_path: Path) -> None:
    network = NetworkConfig(hidden=(), loss="quantile", schedule="cosine", schedule_parameters={"epochs": 3})
    fitted = fit(recipe_from(network, "regression"), SCHEMA, noise(64), noise(9), FitConfig(epochs=1))
    save_keras(fitted.model, tmp_path / "model.keras")
    code = f"from models.export import load_keras; m = load_keras({str(tmp_path / 'model.keras')!r}); print(m.loss)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Quantile" in run.stdout
