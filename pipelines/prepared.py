"""Prepared rows: read and checked once, kept by what they contain, used by every training that follows."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monitoring.window import WindowLength, default_window
from pipelines.errors import UserError
from pipelines.row_times import Times
from pipelines.sources import Table, read

if TYPE_CHECKING:
    from models.schema import Schema
    from pipelines.project import Project

FRAME, META = "rows.parquet", "rows.json"
_TIMES, _IDS = "losswatch time", "losswatch id"
_GROUPS, _WEIGHTS = "losswatch group", "losswatch weight"


@dataclass(frozen=True)
class Prepared:
    """Rows of a project, and the length of the windows in which they are judged."""

    identity: str
    table: Table
    window: WindowLength
    fresh: bool

    @property
    def times(self) -> Times:
        return self.table.times


def prepare_rows(project: Project, table: Table | None = None) -> Prepared:
    """Reads the project's data (or takes the table given) and keeps it under its identity; twice is a no-op."""
    table = read(project.config.data, project.folder) if table is None else table
    if not table.has_times:
        raise UserError(
            "[data] names no time: write time = COLUMN, or start and step for rows that come at equal steps"
        )
    folder = _folder(project, table.identity)
    fresh = not (folder / META).is_file()
    if fresh:
        _write(folder, table)
    return Prepared(table.identity, table, window_length(project, table), fresh)


def read_prepared(project: Project, identity: str) -> Prepared:
    """The rows that an earlier `prepare_rows` kept."""
    import pandas as pd

    folder = _folder(project, identity)
    if not (folder / META).is_file():
        raise UserError(
            f"the prepared rows {identity} of {project.name} are gone from {folder.parent}; "
            "run losswatch prepare on the data that the version was trained on"
        )
    frame = pd.read_parquet(folder / FRAME)
    times, ids = frame.pop(_TIMES), frame.pop(_IDS)
    groups = frame.pop(_GROUPS).to_numpy() if _GROUPS in frame.columns else None
    weights = frame.pop(_WEIGHTS).to_numpy(np.float32) if _WEIGHTS in frame.columns else None
    moments = times.to_numpy(dtype="datetime64[ns]")
    table = Table(frame, moments, ids.to_numpy(dtype=object), groups=groups, weights=weights)
    return Prepared(identity, table, window_length(project, table), False)


def last_prepared(project: Project) -> Prepared | None:
    """The rows that were prepared last; None where there are none, or they cannot be read any more."""
    kept = sorted((project.state / "prepared").glob(f"*/{META}"), key=lambda path: path.stat().st_mtime)
    if not kept:
        return None
    try:
        return read_prepared(project, kept[-1].parent.name)
    except (UserError, OSError, ValueError, KeyError):
        return None


def window_length(project: Project, table: Table) -> WindowLength:
    """The project's window, or the shortest that usually holds enough rows."""
    written = project.config.monitor.window
    return WindowLength.parse(written) if written else default_window(table.times)


def fit_schema(project: Project, table: Table) -> Schema:
    """What a row is, learned from these rows."""
    from models.schema import Schema, SchemaError

    try:
        return Schema.fit(table.frame, project.config.data.target, prepare=project.config.prepare)
    except SchemaError as error:
        listed = "\n".join(f"  {fault}" for fault in error.faults)
        raise UserError(f"the data cannot be learned from:\n{listed}") from None


def _folder(project: Project, identity: str) -> Path:
    return project.state / "prepared" / identity


def _write(folder: Path, table: Table) -> None:
    """Everything or nothing: the folder appears whole, under its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as half:
        new = Path(half) / "rows"
        new.mkdir()
        frame = table.frame.assign(**{_TIMES: table.times, _IDS: table.ids})
        if table.groups is not None:
            frame = frame.assign(**{_GROUPS: table.groups})
        if table.weights is not None:
            frame = frame.assign(**{_WEIGHTS: table.weights})
        frame.to_parquet(new / FRAME, index=False)
        meta = {
            "rows": len(frame),
            "first": str(np.datetime_as_string(table.times[0], "s")),
            "last": str(np.datetime_as_string(table.times[-1], "s")),
            "columns": [str(name) for name in table.frame.columns],
        }
        (new / META).write_text(json.dumps(meta), "utf-8")
        if not folder.exists():
            os.replace(new, folder)
