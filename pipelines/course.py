"""The rows of a replay: cut where the deployment begins, and into windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from monitoring.window import Window, WindowLength, cut
from pipelines.anchor import ceil_to
from pipelines.errors import UserError
from pipelines.moments import moment_of, numpy_moment
from pipelines.prepared import window_length
from pipelines.sources import Table

if TYPE_CHECKING:
    from pipelines.project import Project


@dataclass(frozen=True)
class Course:
    """The rows of a replay: those of the first training, those that are lived through, and their windows."""

    past: Table
    future: Table
    cut: datetime
    window: WindowLength
    windows: tuple[Window, ...]

    def nows(self, delay: timedelta) -> Iterator[tuple[datetime, Window]]:
        """When each window is judged."""
        for window in self.windows:
            yield window.end + delay, window


def plan(project: Project, table: Table) -> Course:
    """Cuts a table where the replay begins."""
    config = project.config.replay
    if not table.has_times:
        raise UserError(
            "[data] names no time: write time = COLUMN, or start and step for rows that come at equal steps"
        )
    window = window_length(project, table.times)
    if config.train_until is not None:
        begins = config.train_until.astimezone(UTC) if config.train_until.tzinfo else config.train_until
        begins = begins.replace(tzinfo=UTC)
    else:
        place = min(int(config.train_share * len(table.times)), len(table.times) - 1)
        begins = ceil_to(moment_of(table.times[place]), window)
    chosen = table.times >= numpy_moment(begins)
    past, future = table.rows(~chosen), table
    if config.until is not None:
        until = config.until if config.until.tzinfo else config.until.replace(tzinfo=UTC)
        chosen &= table.times < numpy_moment(until)
    future = table.rows(chosen)
    if not len(past.times) or not len(future.times):
        side = "before" if not len(past.times) else "from"
        raise UserError(
            f"[replay] no row lies {side} {begins.isoformat()}; the data reach from "
            f"{moment_of(table.times[0]).isoformat()} to {moment_of(table.times[-1]).isoformat()}"
        )
    return Course(past, future, begins, window, tuple(cut(future.times, begins, window)))
