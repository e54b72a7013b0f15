"""Small versions, written without Keras: one dense layer over a schema of four columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.schema import Schema, Task
from pipelines.bundle import KERAS, ONNX, Golden, write_bundle
from pipelines.scoring import Scorer

Frame = dict[str, list[Any]]


def frame(rows: int = 60, *, seed: int = 0) -> Frame:
    """Rows as a user has them, with the target of every task."""
    rng = np.random.default_rng(seed)
    wind = np.where(rng.random(rows) < 0.2, np.nan, rng.normal(10, 3, rows).round(1)).tolist()
    return {
        "hour": rng.integers(5, 9, rows).tolist(),
        "carrier": rng.choice(["UA", "DL", "B6"], rows).tolist(),
        "wind": [None if np.isnan(value) else value for value in wind],
        "holiday": (rng.random(rows) < 0.3).tolist(),
        "binary": rng.choice(["late", "on time"], rows).tolist(),
        "multiclass": rng.choice(["a", "b", "c"], rows).tolist(),
        "regression": rng.normal(40, 9, rows).tolist(),
    }


def write_version(
    folder: Path, task: Task = "binary", *, seed: int = 1, golden_shift: float = 0.0, rows_seed: int = 0
) -> Path:
    """A version's folder.

    golden_shift: added to the answers stored with it, so that they are wrong; rows_seed: of the rows on which its
    preparation was learned.
    """
    rows = frame(seed=rows_seed)
    targets = ("binary", "multiclass", "regression")
    schema = Schema.fit(rows, task, leave_out=targets, task=task)
    folder.mkdir(parents=True)
    (folder / KERAS).write_bytes(b"only read where there is no ONNX")
    onnx.save(_network(schema, seed), str(folder / ONNX))
    few: Frame = {name: rows[name][:8] for name in schema.column_names}
    answers = _scored(folder, schema, few)
    golden = tuple({name: few[name][row] for name in few} for row in range(8))
    predictions = tuple(tuple(float(value) + golden_shift for value in row) for row in answers)
    settings = {"loss": "binary_crossentropy", "task": task}
    write_bundle(folder, schema=schema, settings=settings, reference={}, golden=Golden(golden, predictions))
    return folder


def _scored(folder: Path, schema: Schema, few: Frame) -> Any:
    write_bundle(folder, schema=schema, settings={}, reference={}, golden=Golden((), ()))
    return Scorer.load(folder).predict(few)


def _network(schema: Schema, seed: int) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.5, (schema.width, schema.outputs)).astype(np.float32)
    last = {"binary": "Sigmoid", "multiclass": "Softmax", "regression": "Identity"}[schema.target.task]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "weights"], ["sums"]),
            helper.make_node(last, ["sums"], ["answers"]),
        ],
        "dense",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, schema.width])],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, [None, schema.outputs])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
