"""The project's own loss, row by row: the one unit in which everything is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.losses import default_loss, row_losses
from pipelines.userfile import load_function

if TYPE_CHECKING:
    from models.schema import Task
    from monitoring.recovery import Link
    from pipelines.project import Project

Array = npt.NDArray[np.float64]

# a linear correction of the answer makes sense where the answer is a plain number
_IDENTITY_LOSSES = frozenset(
    {"mean_squared_error", "mse", "mean_absolute_error", "mae", "huber", "log_cosh", "logcosh"}
)


@dataclass(frozen=True)
class Objective:
    """name: as the project file has it. link: how answers may be corrected; None where no way is known.

    row_losses: (target (n,), prediction (n, outputs)) -> (n,).
    """

    name: str
    link: Link | None
    row_losses: Callable[[Array, Array], Array]
    user_loss: Any = None


def objective(project: Project, task: Task) -> Objective:
    """The loss of a project; a loss of the user's own is computed through Keras."""
    name = project.config.network.loss or default_loss(task)
    if ":" not in name:
        return Objective(name, _link(name), partial(row_losses, name))
    from models.recipe import row_losses_through_keras

    function = load_function(name, project.folder, key="network.loss")
    return Objective(name, None, partial(row_losses_through_keras, function), function)


def _link(loss: str) -> Link | None:
    if loss == "binary_crossentropy":
        return "logit"
    if loss == "sparse_categorical_crossentropy":
        return "softmax"
    return "identity" if loss in _IDENTITY_LOSSES else None
