"""A trained network becomes a version: its bundle, with everything that serving and watching it needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.bundle import KERAS, ONNX, Bundle, Golden, plain, write_bundle
from pipelines.reference import Reference, write_reference

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from models.schema import Schema

GOLDEN_ROWS = 20
CHECKED_ROWS = 1000  # rows on which the export must agree with Keras


def pack(
    folder: Path,
    model: keras.Model,
    schema: Schema,
    frame: pd.DataFrame,
    *,
    reference: Reference,
    settings: Mapping[str, Any],
) -> Bundle:
    """Writes the bundle of a version.

    frame: rows as a user would send them, newest last; the last of them check the export and become the golden
    requests. A network that cannot be exported is kept as Keras alone and says so in its settings.
    """
    from models.export import NotExportable, export_onnx, save_keras
    from models.fit import predict

    folder.mkdir(parents=True, exist_ok=True)
    sample = frame.iloc[-CHECKED_ROWS:]
    inputs = schema.inputs(sample)
    save_keras(model, folder / KERAS)
    serving: dict[str, Any] = {"engine": "onnx"}
    try:
        serving["largest_difference"] = export_onnx(model, folder / ONNX, inputs).largest_difference
    except NotExportable as error:
        serving = {"engine": "keras", "not_exportable": str(error)}
        reference = reference.without_last_layer()  # the monitor asks no Keras for activations
    golden = sample.iloc[-GOLDEN_ROWS:]
    answers = predict(model, inputs[-len(golden) :])
    return write_bundle(
        folder,
        schema=schema,
        settings={**settings, "serving": serving},
        reference=write_reference(reference),
        golden=Golden(tuple(_row(record) for record in golden.to_dict("records")), _tuples(answers)),
    )


def _row(record: Mapping[Any, Any]) -> Mapping[str, Any]:
    return {str(name): plain(value) for name, value in record.items()}


def _tuples(answers: np.ndarray[Any, Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(number) for number in row) for row in answers)
