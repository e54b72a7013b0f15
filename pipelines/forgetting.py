"""What leaves the log: rows that somebody asks to forget, and those that are older than is wanted.

To forget is written down before it begins, and ends with a look at every file; a process that is killed on the way is
followed by the next one, which does it again from the start. Nothing is removed twice by that, for what is removed is
told by its id.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.arriving import Arriving
from pipelines.delta import Table, Where
from pipelines.erasing import WANTED, Wanted, erase_waiting, read_wanted, write_wanted
from pipelines.errors import Failed, UserError
from pipelines.file_lock import Locked, file_lock
from pipelines.log_folder import MOVING, MOVING_SECONDS
from pipelines.log_tables import Name, log_table, moved_mark
from pipelines.moments import aware
from pipelines.service import RETRAINING, current_service
from pipelines.waiting import rows_with

if TYPE_CHECKING:
    from pipelines.stores import Stores

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

FORGOTTEN, RETENTION = "forgotten", "retention"
_SERVER_SECONDS = 180.0  # a scoring server looks every half minute, and a large move may be under way
_LOOK_SECONDS = 0.5
_AT_ONCE = 200_000  # labels that are compared with rows at once


@dataclass(frozen=True)
class Forgotten:
    """What came of it. traces: files in which something was found afterwards; learned: versions that may have been
    trained on these rows, and still serve or may serve again.
    """

    ids: int
    rows: int
    labels: int
    files: int
    traces: tuple[str, ...]
    learned: tuple[int, ...]

    @property
    def failed(self) -> bool:
        return bool(self.traces)

    def lines(self) -> list[str]:
        said = [
            f"forgotten: {_counted(self.rows, 'row')} with inputs and {_counted(self.labels, 'label')}, of "
            f"{_counted(self.ids, 'id')}",
            f"looked at again: {_counted(self.files, 'file')} of the log, "
            + ("none holds any of them" if not self.traces else f"still in {', '.join(self.traces)}"),
        ]
        if self.learned:
            versions = ", ".join(map(str, self.learned))
            said.append(
                f"trained since, perhaps on them: versions {versions}. A network keeps what it learned: where that "
                "must not be, train a new one and let these go"
            )
        return [*said, "not looked at: your own data, backups, pages that were written, the registry"]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


# --- to forget ---------------------------------------------------------------------------------------


def forget(stores: Stores, ids: Sequence[str], *, progress: Say | None = None) -> Forgotten:
    """Removes predictions by their ids, with inputs and labels, from every file of the log, and looks for them again.

    A scoring server that runs does its part itself, within half a minute. `Failed` where it does not; what is wanted
    stays written down then. `UserError` where no log is there.
    """
    folder, say = stores.project.log_folder(), progress or (lambda text: None)
    if not (folder / "version").exists():
        raise UserError(f"{folder}: nothing was logged yet, so there is nothing to forget")
    now, known_at = stores.project.now(), _first_known(stores, ids)
    wanted, rows, labels = _write_down(folder, ids)
    done = _finish(folder, wanted, durable=stores.project.config.log.durability == "power", say=say)
    payload = {"ids": len(wanted.ids), "rows": rows, "labels": labels}
    stores.log.append_event(FORGOTTEN, payload, known_at=now, author="losswatch")
    learned = _learned_since(stores, known_at) if known_at is not None else ()
    return Forgotten(len(wanted.ids), rows, labels, *done, learned)


def resume(folder: Path, *, durable: bool) -> bool:
    """Goes on with what a process began that was killed; False where there is nothing."""
    wanted = read_wanted(folder)
    if wanted is None:
        return False
    _finish(folder, wanted, durable=durable, say=lambda text: None)
    return True


def _write_down(folder: Path, ids: Sequence[str]) -> tuple[Wanted, int, int]:
    """What is to be forgotten, with the ids of a call that did not end; and how many rows and labels that is."""
    before = read_wanted(folder) or Wanted(())
    every = tuple(dict.fromkeys([*before.ids, *ids]))
    found = _rows_named(folder, "id", every)
    keys = {key for _, key in found if key is not None}
    others = {key for id, key in _rows_named(folder, "key", tuple(keys)) if id not in set(every)}
    wanted = Wanted(every, tuple(sorted({*before.keys, *keys} - others)))
    labels = _count_labels(folder, wanted)
    write_wanted(folder, wanted)
    return wanted, len({id for id, _ in found}), labels


def _rows_named(folder: Path, field: str, names: Sequence[str]) -> set[tuple[str, str | None]]:
    """Ids and keys of the rows, in the tables or before them, that have one of these ids or keys."""
    if not names:
        return set()
    waiting = rows_with(folder / "arriving.db", names)  # first: what lands meanwhile is then found twice
    table = log_table(folder, "predictions")
    found: set[tuple[str, str | None]] = set()
    if field in table.schema.names:
        rows, _ = table.read([(field, "in", sorted(names))], _those_of(("id", "key")))
        keys = rows["key"].to_pylist() if "key" in rows.schema.names else [None] * len(rows)
        found = set(zip(rows["id"].to_pylist(), keys, strict=True))
    wanted = set(names)
    return found | {(row.id, row.key) for row in waiting if (row.id if field == "id" else row.key) in wanted}


def _those_of(names: Sequence[str]) -> Callable[[Any], list[str]]:
    return lambda schema: [name for name in names if name in schema.names]


def _count_labels(folder: Path, wanted: Wanted) -> int:
    from pipelines.waiting import waiting_labels

    table = log_table(folder, "labels")
    # first: what lands meanwhile counts twice, and is not missed
    _, waiting = table.count(mark=moved_mark(folder), beside=partial(waiting_labels, folder / "arriving.db"))
    count = 0
    for field, names in (("id", wanted.ids), ("key", wanted.keys)):
        if names and field in table.schema.names:
            count += len(table.read([(field, "in", sorted(names))], _those_of((field,)))[0])
    named = {False: set(wanted.ids), True: set(wanted.keys)}
    return count + sum(label.id in named[label.keyed] for label in waiting)


def _finish(folder: Path, wanted: Wanted, *, durable: bool, say: Say) -> tuple[int, tuple[str, ...]]:
    """Everything behind the writing down; how many files were looked at, and those with a trace."""
    say("out of the rows that arrive")
    _erase(folder, durable=durable, say=say)
    predictions = log_table(folder, "predictions", durable=durable)
    labels = log_table(folder, "labels", durable=durable)
    with file_lock(folder / MOVING, wait=MOVING_SECONDS):  # a move that began before is over
        say("out of the tables and their older versions")
        labels.delete([("id", "in", wanted.ids)], along="known_at")
        labels.delete([("key", "in", wanted.keys)], along="known_at")
        predictions.delete([("id", "in", wanted.ids)], along="time")
        for table in (labels, predictions):
            table.purge()
    say("looking at every file again")
    found = _looked_at(folder, wanted)
    (folder / WANTED).unlink()
    return found


def _erase(folder: Path, *, durable: bool, say: Say) -> None:
    """Out of arriving.db: by this process, or by the scoring server that has the right to write it."""
    if not (folder / "arriving.db").exists():
        return
    until = time.monotonic() + _SERVER_SECONDS
    while (wanted := read_wanted(folder)) is not None and not wanted.erased:
        try:
            arriving = Arriving(folder, durable=durable)
        except UserError as error:
            if time.monotonic() > until or not isinstance(error.__cause__, Locked):
                raise Failed(
                    f"{error}. What is to be forgotten stays written down: when the server has done its part it is "
                    "forgotten by the same command, or by the next losswatch monitor"
                ) from error
            say("the scoring server takes it out of the rows that arrive, within half a minute")
            time.sleep(_LOOK_SECONDS)
            continue
        try:
            erase_waiting(folder, arriving)
        finally:
            arriving.close()


def _first_known(stores: Stores, ids: Sequence[str]) -> datetime | None:
    """When the first of these rows became known; None where none is there."""
    folder = stores.project.log_folder()
    rows, _ = log_table(folder, "predictions").read([("id", "in", sorted(ids))], _those_of(("known_at",)))
    times = [aware(time) for time in rows["known_at"].to_pylist()]
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    waiting = rows_with(folder / "arriving.db", ids)
    times += [epoch + timedelta(microseconds=row.known_at) for row in waiting if row.id in set(ids)]
    return min(times, default=None)


def _learned_since(stores: Stores, known_at: datetime) -> tuple[int, ...]:
    events = stores.log.events(kind=RETRAINING)
    return tuple(event.payload["challenger"] for event in events if event.known_at >= known_at)


# --- looking for traces ------------------------------------------------------------------------------


def _looked_at(folder: Path, wanted: Wanted) -> tuple[int, tuple[str, ...]]:
    files, traces = 0, []
    for name, found in _traces(folder, wanted):
        files += 1
        traces += [name] * found
    return files, tuple(traces)


def _traces(folder: Path, wanted: Wanted) -> Iterator[tuple[str, bool]]:
    """Every file of rows and labels, and whether one of the ids, or of the keys, is in it."""
    named = {"id": set(wanted.ids), "key": set(wanted.keys)}
    fields: dict[Name, tuple[str, ...]] = {"predictions": ("id",), "labels": ("id", "key")}
    for table, sought in fields.items():
        for path, opened in log_table(folder, table).stored():
            if path.endswith(".parquet") and "_delta_log" not in path:
                yield f"{table}/{path}", _holds(opened, {field: named[field] for field in sought})
            else:
                yield f"{table}/{path}", _says(path, opened, named["id"])
    if (folder / "arriving.db").exists():
        waiting = rows_with(folder / "arriving.db", wanted.ids)
        yield "arriving.db", any(row.id in named["id"] for row in waiting)


def _holds(opened: Callable[[], Any], named: dict[str, set[str]]) -> bool:
    """Whether a Parquet file has a row with one of these names."""
    import pyarrow.parquet as parquet

    with opened() as stream, parquet.ParquetFile(stream) as file:
        there = [field for field in named if field in file.schema_arrow.names]
        for batch in file.iter_batches(columns=there):
            for field in there:
                if not named[field].isdisjoint(batch.column(field).to_pylist()):
                    return True
    return False


def _says(path: str, opened: Callable[[], Any], ids: set[str]) -> bool:
    """Whether a list of commits names one of these: as the least or greatest of a file, or as what was removed."""
    if not path.endswith((".parquet", ".json")):
        return False
    with opened() as stream:
        if path.endswith(".parquet"):
            import pyarrow.parquet as parquet

            actions: Iterable[Any] = parquet.read_table(stream, columns=["add"]).to_pylist()
        else:
            actions = [json.loads(line) for line in stream.read().decode().splitlines()]
    return any(not ids.isdisjoint(_told(action)) or _removed(action, ids) for action in actions)


def _told(action: dict[str, Any]) -> set[Any]:
    stats = json.loads((action.get("add") or {}).get("stats") or "{}")
    return {stats.get(side, {}).get("id") for side in ("minValues", "maxValues")}


def _removed(action: dict[str, Any], ids: set[str]) -> bool:
    parameters = (action.get("commitInfo") or {}).get("operationParameters") or {}
    return any(f"'{id}'" in str(parameters.get("predicate", "")) for id in ids)


# --- what is older than is wanted --------------------------------------------------------------------


@dataclass(frozen=True)
class Retained:
    """What was removed because of its age. before: rows of before this moment went."""

    before: datetime
    rows: int
    labels: int


def tidy(stores: Stores, now: datetime) -> None:
    """What the monitor does for the log: it goes on with what was begun, and removes what is older than is wanted."""
    durable = stores.project.config.log.durability == "power"
    try:
        resume(stores.project.log_folder(), durable=durable)
        retain(stores, now)
    except Exception as error:  # the verdict stands; the next monitor tries again
        logger.warning("the log could not be tidied now: %s", error)


def retain(stores: Stores, now: datetime) -> Retained | None:
    """Removes what `log.keep` says, once a day; None where nothing was to be done.

    Rows that the service of now is judged by stay, and rows that may still get a label in time. Events stay for good.
    """
    keep = stores.project.config.log.keep
    if keep is None:
        return None
    before = oldest_kept(stores, now, keep)
    key = f"{RETENTION} {before:%Y-%m-%d}"
    if any(event.key == key for event in stores.log.events(kind=RETENTION)):
        return None
    folder, durable = stores.project.log_folder(), stores.project.config.log.durability == "power"
    with file_lock(folder / MOVING, wait=MOVING_SECONDS):
        removed = _removed_before(folder, before, durable=durable)
    payload = {"before": before.isoformat(), "rows": removed.rows, "labels": removed.labels}
    stores.log.append_event(RETENTION, payload, known_at=now, author="losswatch", key=key)
    return removed


def oldest_kept(stores: Stores, now: datetime, keep: timedelta) -> datetime:
    """The start of the day from which on rows stay."""
    limits = [now - keep, now - stores.project.config.data.label_delay]
    service = current_service(stores, now)
    if service is not None:
        first = max(service.window.windows_until(service.anchor, service.since) - 1, 0)
        limits.append(service.window.after(service.anchor, first))
    return min(limits).replace(hour=0, minute=0, second=0, microsecond=0)


def _removed_before(folder: Path, before: datetime, *, durable: bool) -> Retained:
    predictions = log_table(folder, "predictions", durable=durable)
    labels = log_table(folder, "labels", durable=durable)
    early: Where = [(field, "not in", _early(predictions, labels, before, field)) for field in ("id", "key")]
    gone = labels.delete([("known_at", "<", before), *early], along="known_at")
    rows = predictions.delete([("time", "<", before)], along="time")
    for table in (labels, predictions):
        table.compact()
    return Retained(before, rows, gone)


def _early(predictions: Table, labels: Table, before: datetime, field: str) -> list[str]:
    """Names with labels of before a moment whose rows are of later."""
    if field not in labels.schema.names or field not in predictions.schema.names:
        return []
    old, _ = labels.read([("known_at", "<", before)], _those_of((field,)))
    names, early = sorted({*old[field].to_pylist()} - {None}), set[str]()
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        kept, _ = predictions.read([("time", ">=", before), (field, "in", some)], _those_of((field,)))
        early |= set(kept[field].to_pylist())
    return sorted(early)
