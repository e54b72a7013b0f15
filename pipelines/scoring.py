"""A version, loaded to answer: a frame of the user's columns in, predictions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.few_rows import FewRows
from models.onnx_runtime import onnx_runtime
from models.schema import Columns
from pipelines.bundle import Bundle, read_bundle
from pipelines.plain_columns import columns_of

Array = npt.NDArray[Any]

_CHUNK = 8192  # rows to a call: keeps memory flat, and larger ones were no quicker
_TOGETHER = 256  # rows of which activations are asked at once
_RELATIVE = 1e-4  # ONNX and Keras differ by about 1e-7 of the values (float32); a wrong file by far more
_ABSOLUTE = 1e-5


class Scorer:
    """One version's preparation and network, which belong together and are loaded together.

    engine: "onnx", or "keras" where the network could not be exported, which is slower. Several threads may
    use it at once.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """folder: the version's bundle; threads: how many one call may use inside the network."""
        self.bundle = read_bundle(folder)
        self.schema = self.bundle.schema
        self.engine: Literal["onnx", "keras"] = "onnx" if self.bundle.onnx else "keras"
        self._few = FewRows(self.schema)
        self._run = _onnx(self.bundle.onnx, threads) if self.bundle.onnx else _keras(self.bundle)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Scorer:
        """The version that lies in a folder; `BrokenBundle` where it is incomplete."""
        return cls(folder, threads=threads)

    def predict(self, columns: Columns) -> npt.NDArray[np.float32]:
        """Predictions, float32 (n, outputs), in the user's own units or as probabilities.

        columns: a frame or a mapping of column names to n values; check them with `schema.check` first.
        """
        return self.predict_inputs(self.schema.inputs(columns))

    def prepared(self, columns: Sequence[Sequence[Any]]) -> npt.NDArray[np.float32]:
        """A few rows as the network sees them, float32 (n, width), quicker than `schema.inputs` and the same.

        columns: in the order of the schema, checked.
        """
        return self._few.inputs(columns)

    def predict_inputs(self, inputs: Array) -> npt.NDArray[np.float32]:
        """As `predict`, from rows that the schema has prepared, float32 (n, width)."""
        if 0 < len(inputs) <= _CHUNK:
            return self._run(inputs).reshape(len(inputs), -1).astype(np.float32, copy=False)
        chunks = [self._run(inputs[start : start + _CHUNK]) for start in range(0, len(inputs), _CHUNK)]
        if not chunks:
            return np.zeros((0, self.schema.outputs), np.float32)
        return np.concatenate(chunks).reshape(len(inputs), -1).astype(np.float32, copy=False)

    def golden_ok(self) -> bool:
        """Whether the loaded version still gives the answers that were stored with it."""
        golden = self.bundle.golden
        expected = np.array(golden.predictions, dtype=np.float64)
        if not len(golden.rows):
            return False
        answers = self.predict(columns_of(golden.rows))
        tolerance = _ABSOLUTE * max(1.0, float(np.abs(expected).max()))
        same_shape = answers.shape == expected.shape
        return same_shape and bool(np.allclose(answers, expected, rtol=_RELATIVE, atol=tolerance))


def last_layer_of(bundle: Bundle) -> Callable[[Array], Array] | None:
    """Gives the activations of the last layer, float32 (n, units), of rows as the network takes them; None without any.

    A row's do not depend on the rows beside it, to the last bit: the network always takes as many at once.
    """
    if bundle.onnx is None:
        return None
    session = _session(bundle.onnx, 1)
    name, outputs = session.get_inputs()[0].name, [output.name for output in session.get_outputs()]
    if len(outputs) == 1:
        return None

    def activations(inputs: Array) -> Array:
        rows, width = inputs.shape
        whole = np.zeros((-(-max(rows, 1) // _TOGETHER) * _TOGETHER, width), np.float32)
        whole[:rows] = inputs
        parts = [
            session.run(outputs[1:], {name: whole[start : start + _TOGETHER]})[0]
            for start in range(0, len(whole), _TOGETHER)
        ]
        return np.asarray(np.concatenate(parts)[:rows])

    return activations


def _onnx(path: Path, threads: int) -> Callable[[Array], Array]:
    session = _session(path, threads)
    name, answer = session.get_inputs()[0].name, [session.get_outputs()[0].name]

    def run(inputs: Array) -> Array:
        answered: Array = session.run(answer, {name: inputs})[0]
        return answered

    return run


def _session(path: Path, threads: int) -> Any:
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        path.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
    )


def _keras(bundle: Bundle) -> Callable[[Array], Array]:
    from models.export import load_keras
    from models.fit import predict

    model = load_keras(bundle.keras, compiled=False)

    def run(inputs: Array) -> Array:
        return predict(model, inputs)

    return run
