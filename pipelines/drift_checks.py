"""Rows that do not look like those a network learns from: the validation part, and the newest production rows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.row_checks import CheckedRows, Finding
from monitoring.bins import reference_bins
from monitoring.profile import merge_all, profile
from monitoring.shift import FEWEST_ROWS, ShiftResult, calibrate, compare
from monitoring.window import WindowLength, cut
from pipelines.log import LabelledRows, Log
from pipelines.log_tables import has_rows
from pipelines.moments import numpy_moment
from pipelines.watched_columns import date_names, watched_columns

Array = npt.NDArray[Any]

BLOCKS = 24  # pieces of the training rows that show what differs anyway; from 20 on thresholds are sharp
MOST_ROWS = 200_000  # of training rows that are counted, spread over all; a share is then known to 0.1 %
SPLIT, PRODUCTION = "drift in the split", "drift of production"
CHECKS = (SPLIT, PRODUCTION)
_SHOWN = 4  # columns in one finding


def split_drift(rows: CheckedRows) -> tuple[Finding, ...]:
    """Columns, the target too, that are otherwise in the validation rows than pieces of the training rows differ."""
    columns = _watched(rows) | _countable({rows.target: rows.columns[rows.target]})
    found = shift_between(
        columns, rows.train, {name: values[rows.validation] for name, values in columns.items()}
    )
    if found is None or not found.shifted:
        return ()
    text = (
        f"the validation rows differ from the training rows in {_told(found)}: the training is stopped, and its loss "
        "judged, on another kind of rows"
    )
    return (Finding(SPLIT, "warning", text),)


def production_drift(
    rows: CheckedRows, log: Path, window: WindowLength, *, without: tuple[str, ...] = ()
) -> tuple[Finding, ...]:
    """Columns that are otherwise in the newest logged window than pieces of the training rows differ.

    without: columns that the log does not keep as they came.
    """
    names = (*rows.schema.watched_names, *date_names(rows.schema))
    newest = newest_window(log, window, tuple(name for name in names if name not in without))
    if newest is None:
        return ()
    current = watched_columns(rows.schema, newest.columns, None if rows.times is None else newest.times)
    columns = {name: values for name, values in _watched(rows).items() if name in current}
    found = shift_between(columns, rows.train, {name: current[name] for name in columns})
    if found is None or not found.shifted:
        return ()
    text = (
        f"the newest {found.rows:,} production rows, until {newest.times[-1].astype('datetime64[s]')}, differ from the "
        f"training rows in {_told(found)}. Train on rows like those that come"
    )
    return (Finding(PRODUCTION, "warning", text),)


def newest_window(log: Path, window: WindowLength, names: tuple[str, ...]) -> LabelledRows | None:
    """The rows of the last window of a log, as long as the project's windows; None of an empty log."""
    if not has_rows(log):
        return None
    written = Log(log)
    span = written.span()
    if span is None:
        return None
    windows = cut(np.array([numpy_moment(span.last)]), span.first, window)
    rows = written.predictions(windows[-1].start, span.last + timedelta(microseconds=1), columns=names)
    if len(rows) < FEWEST_ROWS and len(windows) > 1:  # it has just begun
        rows = written.predictions(windows[-2].start, span.last + timedelta(microseconds=1), columns=names)
    return rows if len(rows) >= FEWEST_ROWS else None


def shift_between(
    columns: dict[str, Array], reference: npt.NDArray[np.int64], current: dict[str, Array]
) -> ShiftResult | None:
    """How far rows lie from the reference's, beyond what its own pieces, in their order, differ among themselves.

    None where there are too few rows to tell.
    """
    rows = len(next(iter(current.values()), ()))
    if rows < FEWEST_ROWS or len(reference) < 2 * FEWEST_ROWS or not columns:
        return None
    chosen = reference[np.linspace(0, len(reference) - 1, min(len(reference), MOST_ROWS)).astype(np.int64)]
    bins = reference_bins({name: values[chosen] for name, values in columns.items()})
    pieces = np.array_split(chosen, max(2, min(BLOCKS, len(chosen) // FEWEST_ROWS)))
    blocks = [profile({name: values[piece] for name, values in columns.items()}, bins) for piece in pieces]
    return compare(merge_all(blocks), profile(current, bins), calibrate(blocks))


def _watched(rows: CheckedRows) -> dict[str, Array]:
    """The columns as the monitor watches them: of dates how long before their row they lie, at which hour."""
    return _countable(watched_columns(rows.schema, rows.columns, rows.times))


def _countable(columns: dict[str, Array]) -> dict[str, Array]:
    """Columns that can be counted: times cannot, and they are never alike."""
    return {name: values for name, values in columns.items() if values.dtype.kind not in "mM"}


def _told(found: ShiftResult) -> str:
    moved = found.shifted_columns
    told = [
        f"{column.name!r} ({column.cell}: {column.reference_share:.1%} -> {column.current_share:.1%} of rows)"
        for column in moved[:_SHOWN]
    ]
    return ", ".join(told) + (f", ... {len(moved)} columns in all" if len(moved) > _SHOWN else "")
