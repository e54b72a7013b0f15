"""The two stores of a project, opened together: the registry of versions and the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.log import Log
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
    return Stores(project, registry, Log(Path(project.log()), project.config.log))
