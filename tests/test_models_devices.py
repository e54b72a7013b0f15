"""The switches for a GPU and for mixed precision: without effect here, and said so; the sums that they change."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from models import devices
from models.devices import computing, device_remarks, lowered
from models.export import load_keras, save_keras
from models.fit import fit, predict
from models.recipe import FitConfig, NetworkConfig, Recipe, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target

WIDTH = 4
SCHEMA = Schema(
    tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH)),
    Target("y", "binary", ("no", "yes"), 0.0, 1.0),
)


def _rows(count: int, seed: int = 0) -> Rows:
    inputs = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return Rows(inputs, (inputs[:, 0] * inputs[:, 1] > 0).astype(np.float32))


def _network() -> keras.Model:
    return recipe_from(NetworkConfig(hidden=(16, 8)), "binary").compiled(SCHEMA, seed=0)


def test_nothing_is_said_where_nothing_was_asked_for() -> None:
    assert device_remarks("cpu", "full") == ()


def test_switches_that_do_nothing_here_say_so() -> None:
    (told,) = device_remarks("gpu", "full")
    assert told.startswith('device = "gpu": TensorFlow finds no GPU here, so the CPU does it')
    assert device_remarks("cpu", "mixed") == (
        'precision = "mixed" does nothing on a CPU; it is for device = "gpu"',
    )
    assert device_remarks("gpu", "mixed") == (told, 'precision = "mixed" does nothing without a GPU')


def test_with_a_gpu_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ("GPU:0",))
    assert device_remarks("gpu", "mixed") == ()


def test_hidden_layers_are_lowered_and_come_back(tmp_path: Path) -> None:
    model, rows = _network(), _rows(200)
    before = predict(model, rows.inputs)
    with lowered(model):
        types = {layer.name: layer.compute_dtype for layer in model.layers if layer.weights}
        assert set(types.values()) == {"bfloat16"}
        assert all(weight.dtype == "float32" for weight in model.weights)
        inside = model(rows.inputs).numpy()
    assert inside.dtype == np.float32
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    np.testing.assert_array_equal(predict(model, rows.inputs), before)
    save_keras(model, tmp_path / "m.keras")
    assert {layer.compute_dtype for layer in load_keras(tmp_path / "m.keras").layers} == {"float32"}


def test_the_layer_that_answers_keeps_its_type() -> None:
    model = keras.Sequential(
        [keras.Input((WIDTH,)), keras.layers.Dense(3, name="inner"), keras.layers.Dense(1, name="answer")]
    )
    with lowered(model):
        assert model.get_layer("inner").compute_dtype == "bfloat16"
        assert model.get_layer("answer").compute_dtype == "float32"


def test_layers_of_another_type_and_models_of_another_make_stay_as_they_are() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
            return self.dense(inputs)

    own = Own()
    own(np.zeros((1, WIDTH), np.float32))
    with lowered(own):
        assert own.dense.compute_dtype == "float32"
    wide = keras.Sequential(
        [keras.Input((WIDTH,)), keras.layers.Dense(3, dtype="float64"), keras.layers.Dense(1)]
    )
    with lowered(wide):
        assert wide.layers[0].compute_dtype == "float64"


def test_without_a_gpu_mixed_gives_the_weights_of_full() -> None:
    rows, config = _rows(300), FitConfig(epochs=2)
    recipe = recipe_from(NetworkConfig(hidden=(16,)), "binary")
    plain = fit(recipe, SCHEMA, rows, _rows(100, 1), config)
    asked = fit(recipe, SCHEMA, rows, _rows(100, 1), FitConfig(epochs=2, precision="mixed"))
    for one, other in zip(plain.model.get_weights(), asked.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_in_bfloat16_learns_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(2000)
    network = NetworkConfig(hidden=(16, 8), dropout=0.0, input_dropout=0.0, epochs=12)
    recipe: Recipe = recipe_from(network, "binary")
    plain = fit(recipe, SCHEMA, rows, _rows(500, 1), network.fit_config(seed=0))
    monkeypatch.setattr(devices, "gpus", lambda: ("GPU:0",))
    mixed = fit(
        recipe,
        SCHEMA,
        rows,
        _rows(500, 1),
        FitConfig(**{**vars(network.fit_config(seed=0)), "precision": "mixed"}),
    )
    assert any(
        (one != other).any()
        for one, other in zip(plain.model.get_weights(), mixed.model.get_weights(), strict=True)
    )
    assert mixed.history.best_loss == pytest.approx(plain.history.best_loss, rel=0.03)
    assert {layer.compute_dtype for layer in mixed.model.layers} == {"float32"}


def test_an_error_inside_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ("GPU:0",))
    model = _network()
    seen = []

    def fail() -> None:
        with computing(model, "mixed"):
            seen.append(model.get_layer("hidden_0").compute_dtype)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == ["bfloat16"]
    assert model.get_layer("hidden_0").compute_dtype == "float32"
