"""A trained network as files: Keras's own, to go on training, and ONNX, to serve."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.fit import predict
from models.last_layer import last_activations
from models.onnx_runtime import onnx_runtime

TOLERANCE = 1e-4  # of the answers' size; float32 arithmetic in another order differs by about 1e-6


class NotExportable(ValueError):
    """A network that ONNX cannot hold, or that answers differently there; Keras has to serve it."""


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX file that was compared with Keras.

    largest_difference: between the two, over all rows and outputs, in the units of the answers.
    scale: size of the largest answer. rows: how many were compared.
    """

    largest_difference: float
    scale: float
    rows: int

    @property
    def faithful(self) -> bool:
        """Whether both give the same answers but for rounding."""
        return self.largest_difference <= TOLERANCE * self.scale


def save_keras(model: keras.Model, path: Path) -> None:
    """Writes the network with its weights, optimiser and loss; the file is whole or not there."""
    with _unfinished(path) as part, _as_keras_warns():
        model.save(part)


def load_keras(path: Path, *, objects: Mapping[str, Any] | None = None, compiled: bool = True) -> keras.Model:
    """The network that `save_keras` wrote, optimiser included, ready to go on learning.

    Runs no code from the file (Keras's safe mode). objects: a user's own loss and layers by name, `vars(module)`
    for instance. compiled: False leaves loss and optimiser out, which is enough to answer.
    Raises ValueError where the file is missing or damaged, or holds parts that are neither Keras's nor in `objects`.
    """
    import_module("models.keras_objects")  # makes them known to Keras
    own = {name: value for name, value in (objects or {}).items() if callable(value)}
    try:
        with _as_keras_warns():
            return keras.saving.load_model(path, custom_objects=own, compile=compiled, safe_mode=True)
    except Exception as fault:
        raise ValueError(
            f"{path} cannot be loaded: {_first_line(fault)} Where it holds layers or a loss of your own, "
            "load it with the module that defines them; a Lambda layer has to become a Layer class."
        ) from fault


def export_onnx(model: keras.Model, path: Path, inputs: NDArray[np.float32]) -> OnnxExport:
    """Writes the network as ONNX and compares it with Keras on these rows.

    Its first output is the answer; where `last_activations` knows the last layer, a second one is what that reads.
    inputs: float32 (n, width), at least one row as they come in service.
    Raises NotExportable where the conversion fails or the answers differ by more than rounding; no file is
    left then.
    """
    if len(inputs) == 0:
        raise ValueError("export_onnx got no rows. Give some, so that the export can be compared with Keras.")
    expected = predict(model, inputs)
    with _unfinished(path) as part:
        _convert(model, part, inputs)
        export = _compared(expected, _answers(part, np.ascontiguousarray(inputs, np.float32)))
        if not export.faithful:
            raise NotExportable(
                f"ONNX answers differ from Keras by up to {export.largest_difference:.3g} on {export.rows} rows, "
                f"with answers up to {export.scale:.3g}; allowed is {TOLERANCE:g} of that."
            )
    return export


def _convert(model: keras.Model, path: Path, inputs: NDArray[np.float32]) -> None:
    hidden = last_activations(model)
    if hidden is not None:
        model = keras.Model(model.inputs[0], [model.outputs[0], hidden.outputs[0]])
        model(inputs[:1], training=False)  # only networks that have answered can be converted
    try:
        with _quiet("tf2onnx", "tensorflow", "absl"), _as_keras_warns():
            model.export(path, format="onnx", verbose=False)
    except Exception as fault:  # tf2onnx and TensorFlow raise whatever the layer at fault raises
        raise NotExportable(f"The network cannot be written as ONNX: {_first_line(fault)}") from fault


def _compared(expected: NDArray[np.float32], answers: NDArray[np.float32]) -> OnnxExport:
    if answers.shape != expected.shape:
        raise NotExportable(f"ONNX answers with shape {answers.shape}, Keras with {expected.shape}.")
    scale = float(np.abs(expected).max())
    return OnnxExport(float(np.abs(answers - expected).max()), scale, len(expected))


def _answers(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the scoring server would answer."""
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        answers: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    except Exception as fault:  # onnxruntime's errors have no common class of their own
        raise NotExportable(f"onnxruntime refuses the network: {_first_line(fault)}") from fault
    return answers


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place once it is whole; gone where writing fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        part = folder / path.name
        yield part
        _flush(part)
        part.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    """Waits until the file is on the disk, so that its name never points to half of it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Lets these loggers say nothing for a while: what they would say is in the error raised."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _as_keras_warns() -> Any:
    return warnings.catch_warnings(action="ignore")


def _first_line(fault: BaseException) -> str:
    lines = str(fault).strip().splitlines() or [type(fault).__name__]
    return lines[0][:300].rstrip(".") + "."
