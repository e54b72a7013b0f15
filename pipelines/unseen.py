"""The rows that a version is judged on: none that taught it, stopped it, or chose it among others."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.batches import column_of, rows_after
from pipelines.config import DataConfig
from pipelines.errors import UserError
from pipelines.labelled import usable
from pipelines.learning import joined_weights
from pipelines.moments import moment_of, numpy_moment
from pipelines.parts import VALIDATION, Parts, parts_again
from pipelines.prepared import read_prepared
from pipelines.reading import in_batches
from pipelines.service import RETRAINING, bundle_of, known_levels
from pipelines.sources import Table, read, read_frame

if TYPE_CHECKING:
    from pipelines.registry import ModelVersion
    from pipelines.stores import Stores

logger = logging.getLogger(__name__)

LEAST_ROWS = 30  # of a known target; from fewer not even the sign of a difference can be told
ENOUGH_ROWS = 200  # logged rows that are taken rather than those of a file: what was served is what counts


@dataclass(frozen=True, eq=False)
class Unseen:
    """Rows with a known target, in the order of time. source: what they are, in words. tuned: whether they stopped
    or chose the version after all, for want of others. notices: what was left out, and why.
    """

    table: Table
    source: str
    tuned: bool = False
    notices: tuple[str, ...] = ()


def unseen_rows(
    stores: Stores, versions: Sequence[ModelVersion], now: datetime, *, file: Path | None = None
) -> Unseen:
    """The rows that none of these versions has seen, those of a file where one is named.

    Else the newest of the log with a label, from after all of them were made; else those that data.test_share held
    out; else the newest of the data. Where there are none, those that stopped or chose the first of the versions,
    which is then said. UserError where there are too few rows of any kind.
    """
    since = max(unseen_since(stores, version) for version in versions)
    if file is not None:
        return _of_file(stores, versions, file, since)
    logged = _logged(stores, versions[0], since, now)
    of_log = Unseen(logged, f"those of the log with a label since {_day(since)}, after the version was made")
    if len(logged.times) >= ENOUGH_ROWS:
        return of_log
    held_out = _held_out(stores, versions)
    if held_out is not None and len(held_out.times) >= LEAST_ROWS:
        notices = _of_sample(stores, versions[0])
        return Unseen(held_out, "those that data.test_share held out from all training", notices=notices)
    newer = _newer(stores, since)
    if newer is not None and len(newer.times) >= max(LEAST_ROWS, len(logged.times)):
        return Unseen(newer, f"those of the data after {_day(since)}, which the version has not seen")
    return of_log if len(logged.times) >= LEAST_ROWS else _tuned(stores, versions[0], now)


def unseen_since(stores: Stores, version: ModelVersion) -> np.datetime64:
    """The moment after which rows cannot have taught, stopped or chosen a version."""
    moments = [version.trained_until] if version.trained_until else []
    retrainings = stores.log.events(kind=RETRAINING)
    moments += [event.known_at for event in retrainings if event.payload.get("challenger") == version.version]
    if not moments:
        return np.datetime64(0, "s")
    return numpy_moment(max(moments))


def taught_rows(stores: Stores, version: ModelVersion) -> Table:
    """The rows that taught a version and not those that stopped it, with a known target, oldest first.

    For a retrained version: those of the first training and the logged ones up to its own; without those of a
    concept that is over. UserError where the rows of the first training are gone.
    """
    parts = _first_parts(stores, version)
    if version.kind == "fit":
        return _labelled(stores, parts.table.rows(parts.split.train))
    until = version.trained_until or moment_of(parts.table.times[-1])
    rows = known_before(stores, version, numpy_moment(until))
    since = bundle_of(stores, version.version).settings.get("true_since")
    return rows.rows(rows.times >= np.datetime64(since)) if since else rows


def stopping_rows(stores: Stores, version: ModelVersion) -> Table:
    """The rows that stopped a first training: they say when a network has learned enough."""
    parts = _first_parts(stores, version)
    return _labelled(stores, parts.table.rows(parts.split.validation))


def known_before(stores: Stores, version: ModelVersion, moment: np.datetime64) -> Table:
    """All rows with a known target before a moment: of the first training, then of the log."""
    table = _first_parts(stores, version).table
    first = _labelled(stores, table.rows(table.times < moment))
    ends = moment_of(table.times[-1]) + timedelta(microseconds=1)
    if moment_of(moment) <= ends:
        return first
    return _joined(first, _logged_between(stores, version, ends, moment_of(moment)))


def with_column(stores: Stores, table: Table, name: str) -> Any:
    """The values of a column that is left out of the project's inputs, for rows of the project's data.

    UserError where the data have no such column, or these rows are not of the data.
    """
    config = stores.project.config.data
    found = in_batches(config, stores.project.folder)
    columns = found.dataset.names if found else read_frame(config, stores.project.folder).columns
    if name not in columns:
        known = ", ".join(map(repr, [*table.frame.columns, *TIME_COLUMNS][:20]))
        raise UserError(f"[evaluate] slices: there is no column {name!r}; known are {known}")
    try:
        if found is not None:
            return column_of(config, found, name, table.ids)
        return _column(config, stores.project.folder, name, table.ids)
    except KeyError:
        raise UserError(
            f"[evaluate] slices: column {name!r} is no input of the network, and the rows that are judged are not of "
            "the data, so that it is not known of them"
        ) from None


def _column(config: DataConfig, folder: Path, name: str, ids: npt.NDArray[Any]) -> Any:
    """A column of the data in the rows of these names; KeyError where one is not of the data."""
    frame = read_frame(config, folder)
    keys = frame[config.key].astype(str) if config.key else [str(row) for row in range(len(frame))]
    place = {key: row for row, key in enumerate(keys)}
    return frame[name].to_numpy()[[place[row] for row in ids]]


TIME_COLUMNS = ("hour of day", "weekday", "month")


def time_columns(times: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """What can be told of a row from its time: groups that every table has.

    >>> found = time_columns(np.array(["2024-02-29T13:30"], "datetime64[s]"))
    >>> {name: values.tolist() for name, values in found.items()}
    {'hour of day': [13], 'weekday': ['Thursday'], 'month': [2]}
    """
    days = times.astype("datetime64[D]")
    names = np.array(["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"])
    return {
        "hour of day": (times.astype("datetime64[h]") - days).astype(int),
        "weekday": names[days.astype(np.int64) % 7],  # 1970 began on a Thursday
        "month": times.astype("datetime64[M]").astype(int) % 12 + 1,
    }


# --- where the rows are ---


def _of_file(stores: Stores, versions: Sequence[ModelVersion], file: Path, since: np.datetime64) -> Unseen:
    """The rows of a file without those that a version has learned from, which are known by their content."""
    config = dataclasses.replace(
        stores.project.config.data, path=str(file.absolute()), load=None, in_batches=None
    )
    found = _labelled(stores, read(config, stores.project.folder))
    new = np.ones(len(found.times), bool)
    for version in versions:
        taught = known_before(stores, version, unseen_since(stores, version) + np.timedelta64(1, "us"))
        new &= ~np.isin(_contents(found, found), _contents(taught, found))
    rows = found.rows(new)
    if len(rows.times) < LEAST_ROWS:
        raise UserError(
            f"{file} holds {len(rows.times):,} rows with a target that the version has not learned from; expected at "
            f"least {LEAST_ROWS}. Name a file with rows of another time"
        )
    notices = [note for version in versions for note in _of_sample(stores, version)]
    if not new.all():
        notices.append(f"{int((~new).sum()):,} rows of {file.name} taught the version and were left out")
    if old := int((rows.times <= since).sum()):
        notices.append(
            f"{old:,} rows of {file.name} are of the time in which the version learned, where it knows its way better"
        )
    return Unseen(rows, f"those of {file.name} that did not teach the version", notices=tuple(notices))


def _contents(table: Table, like: Table) -> npt.NDArray[np.uint64]:
    """A number for the content of each row, in the columns that another table has, and its time."""
    import pandas as pd

    names = [name for name in like.frame.columns if name in table.frame.columns]
    text = table.frame[names].assign(**{"losswatch time": table.times.astype("datetime64[s]")}).astype(str)
    return np.asarray(pd.util.hash_pandas_object(text, index=False).to_numpy(), np.uint64)


def _held_out(stores: Stores, versions: Sequence[ModelVersion]) -> Table | None:
    """The test rows that all these versions have in common: those of their one first training, or none."""
    try:
        first, *others = (_first_parts(stores, version).test for version in versions)
    except UserError:  # the prepared rows are gone, and with them what they held out
        return None
    common = np.ones(len(first.times), bool)
    for other in others:
        common &= np.isin(_contents(first, first), _contents(other, first))
    return _labelled(stores, first.rows(common))


def _newer(stores: Stores, since: np.datetime64) -> Table | None:
    """Rows of the project's data after a moment; None where the data are not there any more."""
    config, folder = stores.project.config, stores.project.folder
    try:
        if (found := in_batches(config.data, folder)) is not None:
            return rows_after(config.data, found, since, seed=config.project.seed)
        table = read(config.data, folder)
    except UserError as error:
        logger.info("no newer rows: %s", error)
        return None
    return _labelled(stores, table.rows(table.times > since))


def _logged(stores: Stores, version: ModelVersion, since: np.datetime64, now: datetime) -> Table:
    begins = moment_of(since) + timedelta(microseconds=1)
    return _logged_between(stores, version, begins, max(now, begins))


def _logged_between(stores: Stores, version: ModelVersion, start: datetime, end: datetime) -> Table:
    """Rows of the log with a label, as a table."""
    import pandas as pd

    schema = bundle_of(stores, version.version).schema
    rows = stores.log.predictions(start, end, levels=known_levels(stores, version.version))
    rows = rows.take(usable(rows, schema))
    frame = pd.DataFrame({**rows.columns, schema.target.name: rows.labels})
    missing = [name for name in schema.column_names if name not in frame.columns]
    if missing and not len(rows):  # an empty log has no columns at all
        frame = frame.assign(**{name: [] for name in missing})
    return Table(frame.reset_index(drop=True), rows.times.astype("datetime64[ns]"), rows.ids)


def _tuned(stores: Stores, version: ModelVersion, now: datetime) -> Unseen:
    """For want of others: the rows that stopped a first training, or those that the gate judged on."""
    if version.kind == "fit":
        table = stopping_rows(stores, version)
        source = f"the {VALIDATION:.0%} that stopped the training of the version"
        advice = (
            "they did not teach the version, but they stopped its training, so that its figures flatter it a little. "
            "Set test_share in [data] before the next training, bring newer rows, or name a file with --data"
        )
    else:
        until = version.trained_until or now
        table = _logged_between(stores, version, until, now)
        source = "those on which the gate let the version in"
        advice = (
            "they did not teach the version, but it was chosen on them, so that its figures flatter it a little; newer "
            "labelled rows will take their place"
        )
    if len(table.times) < LEAST_ROWS:
        raise UserError(
            f"{len(table.times)} rows with a target are left to judge version {version.version} on; expected at least "
            f"{LEAST_ROWS}. Wait for labels, or name a file with --data"
        )
    notices = _of_sample(stores, version) if version.kind == "fit" else ()
    return Unseen(table, source, True, (advice, *notices))


def _first_parts(stores: Stores, version: ModelVersion) -> Parts:
    """The rows of a version's first training, cut as they were then."""
    key = ("parts", version.version)
    if key not in stores.memo:
        settings = bundle_of(stores, version.version).settings
        prepared = read_prepared(stores.project, settings["data"])
        table, stores.memo["sample", version.version] = prepared.table, prepared.sample_of
        config, remembered = stores.project.config.data, settings.get("parts", {})
        stores.memo[key] = parts_again(config, remembered, table, validation=VALIDATION)
    found: Parts = stores.memo[key]
    return found


def _of_sample(stores: Stores, version: ModelVersion) -> tuple[str, ...]:
    """That of the rows of a first training a sample is known, where they were read in batches."""
    parts, of = _first_parts(stores, version), stores.memo["sample", version.version]
    if of is None:
        return ()
    kept = len(parts.table.times) + len(parts.test.times)
    return (
        f"of the {of:,} rows of the first training, read in batches, {kept:,} were kept, drawn at random",
    )


def _labelled(stores: Stores, table: Table) -> Table:
    return table.rows(table.frame[stores.project.config.data.target].notna().to_numpy())


def _joined(first: Table, later: Table) -> Table:
    import pandas as pd

    if not len(later.times):
        return first
    frame = pd.concat([first.frame, later.frame.reindex(columns=first.frame.columns)], ignore_index=True)
    times, ids = np.concatenate([first.times, later.times]), np.concatenate([first.ids, later.ids])
    weights = joined_weights((first.weights, len(first.times)), (None, len(later.times)))
    return Table(frame, times, ids, weights=weights)


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[m]")).replace("T", " ")
