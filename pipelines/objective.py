"""The project's own loss, row by row: the one unit in which everything is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.losses import canonical, default_loss, row_losses
from pipelines.userfile import load_function

if TYPE_CHECKING:
    from models.schema import Task
    from monitoring.recovery import Link
    from pipelines.project import Project

Array = npt.NDArray[np.float64]

# a linear correction of the answer makes sense where the answer is a plain number
_IDENTITY_LOSSES = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")


@dataclass(frozen=True)
class Objective:
    """name: as the project file has it. link: how answers may be corrected; None where no way is known.

    row_losses: (target (n,), prediction (n, outputs)) -> (n,). row_losses_of_chances: the same of answers that are
    probabilities whatever the network answers, such as those of a simple model. parameters: of the loss.
    """

    name: str
    link: Link | None
    row_losses: Callable[[Array, Array], Array]
    user_loss: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row_losses_of_chances(self) -> Callable[[Array, Array], Array]:
        if not self.parameters.get("from_logits"):
            return self.row_losses
        return partial(row_losses, self.name, **{**self.parameters, "from_logits": False})


def objective(project: Project, task: Task) -> Objective:
    """The loss of a project; a loss of the user's own is computed through Keras.

    Class weights and the label smoothing of [network] are means of training: what is judged is the loss without them.
    """
    network = project.config.network
    name, parameters = network.loss or default_loss(task), network.loss_parameters
    if ":" not in name:
        return Objective(
            name,
            _link(name, parameters, task),
            partial(row_losses, name, **parameters),
            parameters=parameters,
        )
    from models.recipe import row_losses_through_keras

    function = load_function(name, project.folder, key="network.loss")
    return Objective(name, None, partial(row_losses_through_keras, function), function)


def _link(loss: str, parameters: Mapping[str, Any], task: Task) -> Link | None:
    """How a correction acts on the answers; with scores, smoothed labels or an ignored class no way is known."""
    name = canonical(loss)
    if any(parameters.get(key) for key in ("from_logits", "label_smoothing")) or "ignore_class" in parameters:
        return None
    if name == "binary_crossentropy":
        return "logit"
    if name in ("sparse_categorical_crossentropy", "categorical_crossentropy"):
        return "softmax"
    return "identity" if name in _IDENTITY_LOSSES and task != "multiclass" else None
