"""A version through MLflow's own loader, in a process that knows nothing of losswatch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from models.schema import Schema, Task
from pipelines.bundle import Golden, write_bundle
from pipelines.registry import Registry
from pipelines.scoring import Scorer

pytestmark = pytest.mark.slow

READER = """
import json, sys
import mlflow
import pandas as pd

mlflow.set_tracking_uri(sys.argv[1])
asked = json.load(sys.stdin)
answers = {}
for name, frame in asked.items():
    frame = pd.DataFrame(frame)
    frame = frame.astype({"carrier": "category"}) if name == "multiclass" else frame
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    answer = model.predict(frame)
    columns = model.metadata.signature.inputs.input_names()
    answers[name] = {"shape": answer.shape, "values": answer.tolist(), "columns": columns}
assert not {"keras", "tensorflow"} & set(sys.modules)
print(json.dumps(answers))
"""


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "carrier": rng.choice(["UA", "DL", "B6"], 60),
            "hour": rng.integers(5, 23, 60),
            "distance": rng.integers(100, 2600, 60),
            "wind": np.where(rng.random(60) < 0.2, np.nan, rng.normal(10, 3, 60)),
            "holiday": rng.random(60) < 0.1,
        }
    )


def _network(width: int, outputs: int, last: str) -> onnx.ModelProto:
    """One dense layer with fixed weights."""
    rng = np.random.default_rng(4)
    weights = helper.make_tensor(
        "w", TensorProto.FLOAT, [width, outputs], rng.normal(size=(width, outputs)).ravel()
    )
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node(last, ["h"], ["y"])],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, outputs])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _registered(folder: Path, task: Task, target: list[Any], last: str) -> Registry:
    """A project named like its task, with one version, in the store of the folder."""
    frame = _rows()
    schema = Schema.fit(frame.assign(target=target), "target", task=task)
    bundle = folder / task
    bundle.mkdir()
    (bundle / "model.keras").write_bytes(b"not needed here")
    onnx.save(_network(schema.width, schema.outputs, last), bundle / "model.onnx")
    golden = Golden(({"carrier": "UA"},), ((0.5,) * schema.outputs,))
    write_bundle(bundle, schema=schema, settings={"task": task}, reference={}, golden=golden)
    registry = Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts" / task, task)
    with registry.run("key", kind="fit", parameters={}, tags={}) as run:
        run.register(bundle, signature_frame=frame.head(), tags={})
    return registry


@pytest.fixture(scope="module")
def asked() -> dict[str, pd.DataFrame]:
    """Raw rows: columns too many, missing text and whole numbers, whole numbers for fractions."""
    binary = _rows().head(4).assign(target=True, note="x")
    binary["carrier"] = [None, "UA", "DL", "never seen"]
    binary["hour"] = [7, None, 9, 10]
    regression = _rows().head(1).assign(wind=9)
    return {"binary": binary, "multiclass": _rows().head(5), "regression": regression}


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Registry]:
    folder = tmp_path_factory.mktemp("store")
    return {
        "binary": _registered(folder, "binary", [False, True] * 30, "Sigmoid"),
        "multiclass": _registered(folder, "multiclass", ["a", "b", "c"] * 20, "Softmax"),
        "regression": _registered(folder, "regression", list(np.linspace(0.0, 9.5, 60)), "Identity"),
    }


@pytest.fixture(scope="module")
def answers(
    registries: dict[str, Registry], asked: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """What a fresh process in another directory, to which pickles are forbidden, is answered."""
    environment = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    frames = {name: json.loads(frame.to_json(orient="records")) for name, frame in asked.items()}
    done = subprocess.run(
        [sys.executable, "-c", READER, registries["binary"].tracking_uri],
        input=json.dumps(frames),
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=os.environ | environment,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("task", "shape"), [("binary", [4]), ("multiclass", [5, 3]), ("regression", [1])])
def test_a_raw_frame_is_answered_as_the_scorer_answers_it(
    registries: dict[str, Registry], asked: dict[str, Any], answers: Any, task: str, shape: list[int]
) -> None:
    assert answers[task]["shape"] == shape
    expected = Scorer(registries[task].bundle(1)).predict(asked[task]).reshape(shape).tolist()
    assert np.ravel(answers[task]["values"]).tolist() == pytest.approx(np.ravel(expected).tolist(), rel=1e-6)


def test_the_signature_names_the_columns_of_the_user(answers: Any) -> None:
    assert answers["binary"]["columns"] == ["carrier", "hour", "distance", "wind", "holiday"]
