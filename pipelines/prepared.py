"""Prepared rows: read and checked once, kept by what they contain, used by every training that follows."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
_GROUPS, _WEIGHTS, _PARTS = "losswatch group", "losswatch weight", "losswatch part"


@dataclass(frozen=True)
class Prepared:
    """Rows of a project, and the length of the windows in which they are judged.

    sample_of: where they are a sample of more rows, of how many.
    """

    identity: str
    table: Table
    window: WindowLength
    fresh: bool
    sample_of: int | None = None

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
    window = window_length(project, table.times)
    fresh = keep_rows(project, table.identity, table, window)
    return Prepared(table.identity, table, window, fresh)


def keep_rows(
    project: Project, identity: str, table: Table, window: WindowLength, *, of: int | None = None
) -> bool:
    """Puts rows where `read_prepared` finds them; whether they were new there. of: of so many they are a sample."""
    folder = folder_of(project, identity)
    if (folder / META).is_file():
        return False
    _write(folder, table, {"window": str(window), "sample_of": of})
    return True


def kept_table(folder: Path) -> Table:
    """The rows that `keep_rows` put into a folder."""
    import pandas as pd

    frame = pd.read_parquet(folder / FRAME)
    times, ids = frame.pop(_TIMES), frame.pop(_IDS)
    groups = frame.pop(_GROUPS).to_numpy() if _GROUPS in frame.columns else None
    weights = frame.pop(_WEIGHTS).to_numpy(np.float32) if _WEIGHTS in frame.columns else None
    parts = frame.pop(_PARTS).to_numpy(np.int8) if _PARTS in frame.columns else None
    moments = times.to_numpy(dtype="datetime64[ns]")
    return Table(frame, moments, ids.to_numpy(dtype=object), groups=groups, weights=weights, parts=parts)


def read_prepared(project: Project, identity: str) -> Prepared:
    """The rows that an earlier `prepare_rows` kept."""
    folder = folder_of(project, identity)
    if not (folder / META).is_file():
        raise UserError(
            f"the prepared rows {identity} of {project.name} are gone from {folder.parent}; "
            "run losswatch prepare on the data that the version was trained on"
        )
    table = kept_table(folder)
    meta = json.loads((folder / META).read_text("utf-8"))
    length = window_length(project, table.times)
    if meta.get("sample_of") and not project.config.monitor.window:
        length = WindowLength.parse(meta["window"])  # of all rows: a sample would choose longer ones
    return Prepared(identity, table, length, False, meta.get("sample_of"))


def last_prepared(project: Project) -> Prepared | None:
    """The rows that were prepared last; None where there are none, or they cannot be read any more."""
    kept = sorted((project.state / "prepared").glob(f"*/{META}"), key=lambda path: path.stat().st_mtime)
    if not kept:
        return None
    try:
        return read_prepared(project, kept[-1].parent.name)
    except (UserError, OSError, ValueError, KeyError):
        return None


def window_length(project: Project, times: Times) -> WindowLength:
    """The project's window, or the shortest that usually holds enough of the rows of these times."""
    written = project.config.monitor.window
    return WindowLength.parse(written) if written else default_window(times)


def fit_schema(project: Project, table: Table) -> Schema:
    """What a row is, learned from these rows."""
    from models.schema import Schema, SchemaError

    try:
        return Schema.fit(table.frame, project.config.data.target, prepare=project.config.prepare)
    except SchemaError as error:
        listed = "\n".join(f"  {fault}" for fault in error.faults)
        raise UserError(f"the data cannot be learned from:\n{listed}") from None


def folder_of(project: Project, identity: str) -> Path:
    """Where what was made of these rows lies."""
    return project.state / "prepared" / identity


def _write(folder: Path, table: Table, more: Mapping[str, Any]) -> None:
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
        if table.parts is not None:
            frame = frame.assign(**{_PARTS: table.parts})
        frame.to_parquet(new / FRAME, index=False)
        meta = {
            "rows": len(frame),
            "first": str(np.datetime_as_string(table.times[0], "s")),
            "last": str(np.datetime_as_string(table.times[-1], "s")),
            "columns": [str(name) for name in table.frame.columns],
            **more,
        }
        (new / META).write_text(json.dumps(meta), "utf-8")
        if not folder.exists():
            os.replace(new, folder)
