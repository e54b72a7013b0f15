"""The network of a project: how its file describes it, and what of it is the user's own."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from pipelines.userfile import load_function

if TYPE_CHECKING:
    from models.recipe import FitConfig, Recipe
    from models.schema import Schema
    from pipelines.objective import Objective
    from pipelines.project import Project


def recipe_of(project: Project, goal: Objective, task: Any) -> Recipe:
    """The network of a project as its file describes it."""
    from models.recipe import recipe_from

    config = project.config
    build = config.code.build
    builder = load_function(build, project.folder, key="network.build") if build else None
    network = dataclasses.replace(config.network, loss=None if goal.user_loss else config.network.loss)
    try:
        return recipe_from(network, task, build=builder, loss=goal.user_loss)
    except ValueError as error:
        raise UserError(f"[network] {error}") from None


def fit_config_of(project: Project, schema: Schema, *, seed: int) -> FitConfig:
    """How long and in which steps a project's networks learn."""
    try:
        return project.config.network.fit_config(seed=seed, classes=schema.target.classes)
    except ValueError as error:
        raise UserError(f"[network] {error}") from None


def user_objects(project: Project) -> dict[str, Any]:
    """What stands in the modules of a user's own network and loss, by name: Keras needs it to load a file."""
    config = project.config
    found: dict[str, Any] = {}
    named = (("network.build", config.code.build), ("network.loss", config.network.loss))
    for key, reference in named:
        if reference and ":" in reference:
            own = vars(sys.modules[load_function(reference, project.folder, key=key).__module__])
            found |= {name: value for name, value in own.items() if callable(value)}
    return found
