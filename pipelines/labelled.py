"""Labelled rows of the log as the monitor takes them: prepared, with their losses, without what no target can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.recovery import LabelledWindow
from monitoring.row_values import read_numbers
from pipelines.objective import Objective

if TYPE_CHECKING:
    from models.schema import Column, Schema
    from pipelines.log import LabelledRows

Array = npt.NDArray[Any]


def labelled_window(rows: LabelledRows, schema: Schema, goal: Objective) -> LabelledWindow:
    """Labelled rows as the monitor takes them: prepared inputs and targets, predictions, losses."""
    target = targets_of(rows, schema)
    predictions = rows.predictions[:, : schema.outputs]
    return LabelledWindow(
        inputs=prepared_inputs(schema, rows.columns, len(rows)),
        prediction=predictions,
        target=target,
        losses=goal.row_losses(target, predictions) if len(rows) else np.zeros(0),
    )


def prepared_inputs(schema: Schema, columns: Mapping[str, Array], rows: int) -> npt.NDArray[np.float32]:
    """The rows as the network takes them, (rows, width); what it could not take counts as missing.

    A row that was answered has passed the server's checks; one from a file, or of a feed that is broken, need not have,
    and must not stop the monitor.
    """
    from models.schema import SchemaError

    if not rows:
        return np.zeros((0, schema.width), np.float32)
    try:
        return schema.inputs(columns)
    except SchemaError:
        return schema.inputs({column.name: _takeable(column, columns, rows) for column in schema.columns})


def _takeable(column: Column, columns: Mapping[str, Array], rows: int) -> Array:
    """The values of a column with those left out that it cannot take."""
    nothing = np.full(rows, None, dtype=object)
    values = columns.get(column.name, nothing)
    if column.takes == "number":
        numbers = read_numbers(values)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    if column.takes == "date":
        return values if _are_dates(values) else nothing
    return values


def _are_dates(values: Array) -> bool:
    from models.column_values import moments_of

    try:
        moments_of(values)
    except ValueError:
        return False
    return True


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
