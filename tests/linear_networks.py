"""Straight lines in the place of Keras's networks: the functions of `models/` that train, save and export.

A network here is weights over the prepared inputs, with a sigmoid where the target has two classes. It is fitted
in closed form, so that a whole replay takes a second or two.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.history import EpochLoss, LossHistory
from models.losses import row_losses
from models.rows import Rows

Array = Any
PENALTY = 5.0  # rows' worth of belief in the weights before


@dataclass
class Line:
    """weights: (width + 1,), the constant last."""

    weights: Array
    binary: bool

    def get_weights(self) -> list[Array]:
        return [self.weights]


@dataclass(frozen=True)
class Fitted:
    model: Line
    history: LossHistory


@dataclass(frozen=True)
class Steps:
    losses: Array
    gradient_norms: Array

    @classmethod
    def around(cls, loss: float) -> Steps:
        """Four steps of this mean loss; the gradient of every other one is measured."""
        scatter = np.array([0.99, 1.01, 1.01, 0.99], np.float32)
        return cls(np.float32(loss) * scatter, np.array([2 * loss, np.nan, loss, np.nan], np.float32))


@dataclass(frozen=True)
class Export:
    largest_difference: float = 0.0


class NotExportable(ValueError):
    """Never raised: every line can be exported."""


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts these functions where `models/fit.py`, `models/export.py` and `models/callbacks.py` are imported."""
    places: dict[str, tuple[Any, ...]] = {
        "fit": (fit, update, predict),
        "export": (save_keras, load_keras, export_onnx, NotExportable),
        "callbacks": (state_of, restore),
    }
    for name, functions in places.items():
        module = ModuleType(f"models.{name}")
        module.__dict__.update({function.__name__: function for function in functions})
        monkeypatch.setitem(sys.modules, module.__name__, module)


def fit(recipe: Any, schema: Any, train: Rows, validation: Rows, config: Any, **more: Any) -> Fitted:
    """Three epochs, each a third of the way to the best weights."""
    model = Line(np.zeros(schema.width + 1), schema.target.task == "binary")
    best, epochs = _best(model, train), []
    for epoch in range(3):
        model.weights = best * (epoch + 1) / 3
        epochs.append(EpochLoss(epoch, _loss(model, train), _loss(model, validation), 1e-3, 0.1))
        if more.get("on_steps") is not None:
            more["on_steps"](epoch, 0, Steps.around(epochs[-1].loss))
        if more.get("on_epoch") is not None:
            more["on_epoch"](epochs[-1])
    return Fitted(model, LossHistory(tuple(epochs)))


def update(model: Line, train: Rows, validation: Rows, config: Any, **more: Any) -> Fitted:
    """One step to the best weights near the old ones, taken back where it is worse on the validation rows."""
    old = model.weights
    before = EpochLoss(-1, float("nan"), _loss(model, validation), 1e-3, 0.0)
    model.weights = _best(model, train)
    after = EpochLoss(0, _loss(model, train), _loss(model, validation), 1e-3, 0.1)
    if after.validation_loss > before.validation_loss:
        model.weights = old
    return Fitted(model, LossHistory((before, after)))


def predict(model: Line, inputs: Array, batch_size: int = 8192) -> Array:
    score = inputs @ model.weights[:-1].astype(np.float32) + np.float32(model.weights[-1])
    answers = _sigmoid(score) if model.binary else score
    return answers.astype(np.float32).reshape(-1, 1)


def save_keras(model: Line, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weights=model.weights, binary=model.binary)


def load_keras(path: Path, **more: Any) -> Line:
    stored = np.load(path)
    return Line(stored["weights"], bool(stored["binary"]))


def export_onnx(model: Line, path: Path, inputs: Array) -> Export:
    width = len(model.weights) - 1
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "weights"], ["products"]),
            helper.make_node("Add", ["products", "constant"], ["sums"]),
            helper.make_node("Sigmoid" if model.binary else "Identity", ["sums"], ["answers"]),
        ],
        "line",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(model.weights[:-1, None].astype(np.float32), "weights"),
            numpy_helper.from_array(model.weights[-1:].astype(np.float32), "constant"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return Export()


def state_of(model: Line) -> Array:
    return model.weights.copy()


def restore(model: Line, state: Array) -> None:
    model.weights = state.copy()


def _loss(model: Line, rows: Rows) -> float:
    loss = "binary_crossentropy" if model.binary else "mean_squared_error"
    if not len(rows):
        return float("nan")
    return float(
        row_losses(loss, rows.targets.astype(float), predict(model, rows.inputs).astype(float)).mean()
    )


def _best(model: Line, rows: Rows) -> Array:
    """Penalised least squares, or logistic regression in small steps, around the weights as they are."""
    features = np.column_stack([rows.inputs, np.ones(len(rows))]).astype(float)
    target, start, weights = rows.targets.astype(float), model.weights, model.weights.copy()
    curve = (0.25 if model.binary else 1.0) * features.T @ features + PENALTY * np.eye(len(weights))
    for _ in range(40 if model.binary else 1):  # a fixed bound of the curvature never steps too far
        answers = features @ weights
        answers = _sigmoid(answers) if model.binary else answers
        slope = features.T @ (target - answers) - PENALTY * (weights - start)
        weights = weights + np.linalg.solve(curve, slope)
    return weights


def _sigmoid(score: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(score, -30, 30)))
