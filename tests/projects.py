"""Projects in a temporary folder, and their stores with a registry in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from pipelines.course import Course
from pipelines.log import Log
from pipelines.project import Project, open_project
from pipelines.stores import Stores


def write_project(folder: Path, frame: pd.DataFrame, more: str = "", *, target: str = "y") -> Project:
    """A project over rows with a column `when`; more: further lines of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "rows.csv", index=False)
    text = f'[data]\npath = "rows.csv"\ntarget = "{target}"\n'
    text += 'time = "when"\n' if "when" in frame else ""
    (folder / "losswatch.toml").write_text(text + more, "utf-8")
    return open_project(folder)


def stores(project: Project) -> Stores:
    """Opened as the code under test opens them, after `install`."""
    from pipelines import stores as module

    return module.open_stores(project)


def install(monkeypatch: pytest.MonkeyPatch, fakes: ModuleType) -> None:
    """Opens registries in memory, one for each state folder, from now on."""
    known: dict[Path, Any] = {}

    def open_stores(project: Project) -> Stores:
        registry = known.get(project.state)
        if registry is None or not project.state.exists():
            registry = known[project.state] = fakes.FakeRegistry(project.state / "registry", project.name)
        return Stores(project, registry, Log(project.log_folder(), project.config.log))

    for name in ("stores", "steps", "replay", "reproduce", "curves"):
        module = __import__(f"pipelines.{name}", fromlist=["open_stores"])
        monkeypatch.setattr(module, "open_stores", open_stores)


def live(stores: Stores, cut: datetime) -> Course:
    """Trains and lets in a first version on the rows before a moment, and has it score those since; none is judged."""
    from pipelines.course import plan
    from pipelines.prepared import prepare_rows
    from pipelines.replay import score_rows
    from pipelines.sources import read
    from pipelines.steps import promote_first
    from pipelines.training import train_version

    course = plan(stores.project, read(stores.project.config.data, stores.project.folder))
    trained = train_version(stores, prepare_rows(stores.project, course.past))
    promote_first(stores, trained.version.version, now=cut, anchor=cut, window=course.window, author="test")
    before = cut
    for now, _ in course.nows(timedelta(0)):
        score_rows(stores, course, before, now, timedelta(0))
        before = now
    return course
