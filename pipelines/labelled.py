"""Labelled rows of the log as the monitor takes them: prepared, with their losses, without what no target can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.recovery import LabelledWindow
from pipelines.objective import Objective

if TYPE_CHECKING:
    from models.schema import Schema
    from pipelines.log import LabelledRows

Array = npt.NDArray[Any]


def labelled_window(rows: LabelledRows, schema: Schema, goal: Objective) -> LabelledWindow:
    """Labelled rows as the monitor takes them: prepared inputs and targets, predictions, losses."""
    target = targets_of(rows, schema)
    predictions = rows.predictions[:, : schema.outputs]
    return LabelledWindow(
        inputs=schema.inputs(rows.columns) if len(rows) else np.zeros((0, schema.width), np.float32),
        prediction=predictions,
        target=target,
        losses=goal.row_losses(target, predictions) if len(rows) else np.zeros(0),
    )


def row_losses_of(rows: LabelledRows, schema: Schema, goal: Objective) -> Array:
    """Losses of labelled rows, by whatever version they were served."""
    if not len(rows):
        return np.zeros(0)
    return goal.row_losses(targets_of(rows, schema), rows.predictions[:, : schema.outputs])


def usable(rows: LabelledRows, schema: Schema) -> npt.NDArray[np.intp]:
    """Places of the rows with a label that the target can take; a text among numbers must not stop the monitor."""
    places = np.flatnonzero(rows.labelled)
    if len(places) and not takes(schema, rows.labels[places]):
        places = np.array([place for place in places if takes(schema, rows.labels[[place]])], dtype=np.intp)
    return places


def takes(schema: Schema, labels: Array) -> bool:
    """Whether the target can take all of these labels."""
    from models.schema import SchemaError

    try:
        targets = schema.targets({schema.target.name: labels})
    except SchemaError:
        return False
    return bool(np.isfinite(targets).all())


def targets_of(rows: LabelledRows, schema: Schema) -> Array:
    """The labels as the network's targets, float64 (n,)."""
    if not len(rows):
        return np.zeros(0)
    labels: Mapping[str, Any] = {schema.target.name: rows.labels}
    return np.asarray(schema.targets(labels), dtype=np.float64)
