"""The two stores of a project, opened together: the registry of versions and the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines.log import Log
from pipelines.log_folder import check_place
from pipelines.project import Project
from pipelines.registry import Registry


@dataclass(frozen=True)
class Stores:
    """registry, log: of one project. memo: what was computed from them and may be computed again."""

    project: Project
    registry: Registry
    log: Log
    memo: dict[Any, Any] = field(default_factory=dict)


def open_stores(project: Project) -> Stores:
    """Nothing is created before the first write."""
    registry = Registry(project.tracking(), project.artifacts(), project.name, cache=project.state)
    folder, address = project.log_folder(), project.log_address()
    check_place(folder, address)
    return Stores(project, registry, Log(folder, project.config.log, address=address))
