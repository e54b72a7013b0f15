"""What a version is compared with, made of rows in memory and what its network makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.loss_alarm import LossReference
from monitoring.window import Window
from pipelines.estimating import make_estimator
from pipelines.objective import Objective
from pipelines.reference import Reference, make_correction, make_reference, make_slices
from pipelines.watched_inputs import Answers

if TYPE_CHECKING:
    import keras

    from models.schema import Schema

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class AnsweredRows:
    """Rows in time order, n of them, m with a target.

    columns: those that are watched, n values each; times (n,); known: mask of the rows with a target, (n,). The others
    are of these m: inputs (m, width), predictions (m, outputs), targets, losses, and unseen, the mask of the rows that
    the version was not trained on.
    """

    columns: Mapping[str, Array]
    times: Array
    known: npt.NDArray[np.bool_]
    inputs: npt.NDArray[np.float32]
    predictions: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]
    unseen: npt.NDArray[np.bool_]


def version_reference(
    model: keras.Model,
    schema: Schema,
    goal: Objective,
    rows: AnsweredRows,
    windows: Sequence[Window],
    loss: LossReference,
) -> Reference:
    """All that a version is compared with. loss: its level, of these rows."""
    unseen, times = rows.unseen, rows.times[rows.known]
    inputs, predictions, targets = rows.inputs[unseen], rows.predictions[unseen], rows.targets[unseen]
    slices = make_slices(
        {name: values[rows.known] for name, values in rows.columns.items()},
        rows.predictions,
        rows.losses,
        times,
        windows,
        unseen=unseen,
        ceiling=loss.ceiling,
        targets=rows.targets,
    )
    reference = make_reference(
        rows.columns,
        rows.times,
        windows,
        loss=loss,
        correction=make_correction(inputs, predictions, targets, goal),
        slices=slices,
        answers=answers_of(model, inputs, predictions, times[unseen]),
    )
    estimator = make_estimator(
        inputs, predictions, targets, times[unseen], windows, target=schema.target, goal=goal
    )
    return replace(reference, estimator=estimator)


def answers_of(
    model: keras.Model, inputs: npt.NDArray[np.float32], predictions: Array, times: Array
) -> Answers:
    """What a network makes of rows: its answers, and the activations of its last layer where it has one."""
    from models.fit import predict
    from models.last_layer import last_activations

    hidden = last_activations(model)
    return Answers(predictions, times, None if hidden is None else predict(hidden, inputs))
