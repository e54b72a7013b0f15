import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.export import NotExportable, OnnxExport, export_onnx, load_keras, save_keras
from models.fit import predict
from models.recipe import NetworkConfig, Recipe, recipe_from
from models.schema import NumberColumn, Schema, Target, Task


def schema(task: Task = "binary", *, classes: int = 2) -> Schema:
    columns = tuple(NumberColumn(name, 0.0, 0.0, 1.0, indicator=False) for name in ("a", "b", "c"))
    names = () if task == "regression" else tuple("vwxyz"[:classes])
    return Schema(columns, Target("y", task, names, 1000.0, 50.0))


def rows(count: int = 50) -> Any:
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)


def squared(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.square(y_true - y_pred)


class Rounded(keras.layers.Layer):  # type: ignore[misc]  # Keras publishes no type of it
    """A user's own layer."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.sin(inputs)


class Bitten(keras.layers.Layer):  # type: ignore[misc]
    """A layer that ONNX has no operation for."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        return tf.math.bessel_i0e(inputs)


def network(*layers: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
    model.compile(loss=squared)
    return model


def test_a_network_comes_back_with_its_optimiser_and_loss(tmp_path: Path) -> None:
    model = recipe_from(NetworkConfig(learning_rate=0.125), "binary").compiled(schema(), seed=0)
    model.train_on_batch(rows(), np.ones((50, 1)))
    save_keras(model, tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    assert np.array_equal(predict(loaded, rows()), predict(model, rows()))
    assert int(loaded.optimizer.iterations.numpy()) == 1
    assert float(loaded.optimizer.learning_rate) == 0.125
    assert loaded.loss == "binary_crossentropy"
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_saving_replaces_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "model.keras"
    save_keras(network(), path)
    save_keras(network(keras.layers.Dense(7)), path)
    assert load_keras(path, compiled=False).count_params() == 3 * 7 + 7 + 7 + 1


def test_a_failed_save_leaves_the_file_before_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = tmp_path / "model.keras", network()
    save_keras(model, path)
    before = path.read_bytes()

    def half(part: Path) -> None:
        part.write_bytes(before[:100])
        raise OSError("no space left")

    monkeypatch.setattr(model, "save", half)
    with pytest.raises(OSError, match="no space left"):
        save_keras(model, path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_a_network_with_parts_of_the_users_own_is_loaded_with_them(tmp_path: Path) -> None:
    model = network(Rounded())
    save_keras(model, tmp_path / "model.keras")
    loaded = load_keras(
        tmp_path / "model.keras", objects={"Rounded": Rounded, "squared": squared, "version": 3}
    )
    assert np.array_equal(predict(loaded, rows()), predict(model, rows()))
    assert loaded.loss is squared


def test_a_loss_of_the_users_own_is_not_needed_to_answer(tmp_path: Path) -> None:
    save_keras(network(), tmp_path / "model.keras")
    assert predict(load_keras(tmp_path / "model.keras", compiled=False), rows()).shape == (50, 1)


def test_unknown_parts_are_named(tmp_path: Path) -> None:
    save_keras(network(), tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded.*squared.*module that defines them"):
        load_keras(tmp_path / "model.keras")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    save_keras(network(), path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded"):
        load_keras(path)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    save_keras(network(keras.layers.Lambda(lambda values: values + 1)), tmp_path / "model.keras")
    with pytest.raises(ValueError, match="a Lambda layer has to become a Layer class"):
        load_keras(tmp_path / "model.keras", compiled=False)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.keras"):
        load_keras(tmp_path / "nothing.keras")


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4), ("regression", 0)])
def test_onnx_answers_as_keras_does(task: Task, classes: int, tmp_path: Path) -> None:
    model = recipe_from(NetworkConfig(), task).compiled(schema(task, classes=classes), seed=0)
    for weight in model.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, seed=1))
    path = tmp_path / "deep" / "model.onnx"
    export = export_onnx(model, path, rows())
    assert export.faithful
    assert export.rows == 50
    assert export.largest_difference <= 1e-5 * export.scale
    assert [path.name for path in path.parent.iterdir()] == ["model.onnx"]


def test_the_difference_allowed_grows_with_the_answers() -> None:
    assert OnnxExport(largest_difference=0.5, scale=1e4, rows=1).faithful
    assert not OnnxExport(largest_difference=0.5, scale=1.0, rows=1).faithful


def test_a_network_that_onnx_cannot_hold_says_why_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotExportable, match=r"BesselI0e"):
        export_onnx(network(Bitten()), tmp_path / "model.onnx", rows())
    assert list(tmp_path.iterdir()) == []
    assert "BesselI0e" not in caplog.text + "".join(capfd.readouterr())
    assert logging.getLogger("tf2onnx").getEffectiveLevel() <= logging.WARNING


def test_other_answers_than_keras_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.export._answers", lambda path, inputs: np.ones((50, 1), np.float32))
    model = Recipe(lambda _: network(), "mse").compiled(schema("regression"), seed=0)
    with pytest.raises(NotExportable, match=r"ONNX answers differ from Keras by up to .* on 50 rows"):
        export_onnx(model, tmp_path / "model.onnx", rows())
    assert list(tmp_path.iterdir()) == []


def test_another_shape_of_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.export._answers", lambda path, inputs: np.ones(50, np.float32))
    with pytest.raises(NotExportable, match=r"shape \(50,\), Keras with \(50, 1\)"):
        export_onnx(network(), tmp_path / "model.onnx", rows())


def test_an_export_needs_rows_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got no rows"):
        export_onnx(network(), tmp_path / "model.onnx", rows(0))
