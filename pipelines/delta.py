"""A Delta table that grows: atomic appends that land once, and quick reads of a part.

It lies in a folder, or at an address of S3, by the same code: what differs is how files are listed and removed.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError

from pipelines.errors import Failed
from pipelines.file_lock import file_lock
from pipelines.log_folder import sync
from pipelines.moments import moment_of
from pipelines.waiting import Forgotten

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

Where = list[
    tuple[str, str, Any]
]  # column, one of >= < <= =, or in, not in; value, or values; all of them must hold
Mark = tuple[str, int]  # a name and a number that grows, which land with an append or not at all

_ATTEMPTS = 10  # two processes that add a column at once: the second tries again on the new table
# small ones, after which they are joined; a table of 72 files opens in 0.11 s, of 6 in 0.01 s
_MANY_FILES = 64
_FILE_BYTES = 32 * 2**20
_SETTINGS = {
    "delta.logRetentionDuration": "interval 2 days"
}  # commits of a month of half minutes are 86,000 files
_GROUP_ROWS = 8192  # a window is found by the statistics of row groups: 7,000 of 500,000 rows in 0.04 s
# a file that has so many of either is not small: joining it makes nothing quicker to find
_LARGE_BYTES, _LARGE_ROWS = _FILE_BYTES // 2, 32 * _GROUP_ROWS
_PATIENCE_SECONDS = 600.0  # a table of 10 million rows is rewritten in less
_ROUNDED = timedelta(milliseconds=1)  # what is told of a file's moments may be less exact than they are
_UNSETTLED = 10  # commits; one append with a compaction behind it makes four
_DISTANT = {"connect_timeout": "5s", "timeout": "60s", "max_retries": "3", "retry_timeout": "20s"}
_UNDO_HOURS = 24  # replaced files stay so long, for readers that began before


T_co = TypeVar("T_co", covariant=True)


class Beside(Protocol[T_co]):
    """Reads what a table lacks. landed: the last batch that it holds; gaps: see `waiting.waiting_rows`."""

    def __call__(self, landed: int, /, *, gaps: bool) -> T_co: ...


def _itself(landed: int, /, *, gaps: bool) -> Any:
    return landed


class Table:
    """One table, which the first append makes. Several processes may append at once.

    `Failed` where it lies at an address that cannot be reached.
    """

    def __init__(self, path: Path, fields: Any, *, durable: bool = False, address: str | None = None) -> None:
        """path: of the folder; fields: the Arrow schema with which it begins; an append may bring further ones.

        durable: whether a change is on disk, and not only with the operating system, when the call returns. address:
        where the table lies if not on this machine; beside `path` is then only the lock.
        """
        self._path, self._fields, self._address = path, fields, address
        self._durable = durable and address is None  # what S3 has taken is safe
        self._uri = address or str(path.absolute())
        self._table: DeltaTable | None = None
        self._lock = threading.RLock()
        self._compact_at = _MANY_FILES
        self._warned = False

    @property
    def schema(self) -> Any:
        """The Arrow schema, with the metadata of its fields."""
        with self._lock, self._reaching():
            table = self._current()
            return self._fields if table is None else pa.schema(table.schema().to_arrow())

    def landed(self, name: str) -> int:
        """The number of the last mark of that name, 0 where there is none."""
        with self._lock, self._reaching():
            table = self._current()
            return 0 if table is None else _landed(table, name)

    def append(
        self, build: Callable[[Any, int], Any], mark: Mark | None = None, *, compact: bool = True
    ) -> bool:
        """Adds the Arrow table that `build(schema, number)` makes; False where `mark` has landed before.

        number: that of the commit before, which orders appends. Where another process changed the table
        meanwhile, `build` is called again on what is there then. compact: whether to join small files if they are many
        now; who does not have this done calls `compact_if_many` himself, when he has time.
        """
        with self._lock, self._reaching(), self._alone():
            for attempt in range(1, _ATTEMPTS + 1):
                table = self._current() or self._created()
                if mark is not None and _landed(table, mark[0]) >= mark[1]:
                    return False
                with self._retried(last=attempt == _ATTEMPTS), self._settled(table):
                    _write(table, build(self.schema, table.version()), mark)
                    break
            if compact:
                self._compact_if_many()
            return True

    def _alone(self) -> AbstractContextManager[None]:
        """One change at a time: Delta lets two land with one mark, and files that nobody names yet may be removed."""
        return file_lock(self._path.with_name(f"{self._path.name}.lock"), wait=_PATIENCE_SECONDS)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Says of a table elsewhere that it could not be read or written, and what may be the matter."""
        try:
            yield
        except (OSError, DeltaError) as error:
            if self._address is None or isinstance(
                error, FileNotFoundError | CommitFailedError | SchemaMismatchError
            ):
                raise
            first = str(error).strip().partition("\n")[0][:300]
            raise Failed(
                f"{self._address}: {first}. Look whether the bucket is there, AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, AWS_REGION and, where it is not Amazon's, AWS_ENDPOINT_URL. Rows that arrive "
                "are kept on this machine meanwhile"
            ) from error

    @contextmanager
    def _retried(self, *, last: bool) -> Iterator[None]:
        try:
            yield
        except (CommitFailedError, SchemaMismatchError) as error:
            self._table = None  # read again
            if last:
                raise
            logger.info("table %s changed meanwhile: %s", self._path.name, error)

    @contextmanager
    def _settled(self, table: DeltaTable) -> Iterator[None]:
        """Has on disk at its end what was committed inside, where that is wanted."""
        before = table.version()
        yield
        if self._durable:
            settle(self._path, range(before + 1, table.version() + 1))

    def settle(self) -> None:
        """Has on disk what a killed process may have committed; does nothing where not durable."""
        with self._lock:
            table = self._current()
            if self._durable and table is not None:
                newest = table.version()
                settle(self._path, range(max(newest - _UNSETTLED, 0), newest + 1))

    def _created(self) -> DeltaTable:
        options = storage_options(self._uri)
        DeltaTable.create(
            self._uri, self._fields, mode="ignore", configuration=_SETTINGS, storage_options=options
        )
        self._table = DeltaTable(self._uri, storage_options=options)
        self.settle()
        return self._table

    def _current(self) -> DeltaTable | None:
        if self._table is not None:
            self._table.update_incremental()
            return self._table
        options = storage_options(self._uri)
        if DeltaTable.is_deltatable(self._uri, storage_options=options):
            self._table = DeltaTable(self._uri, storage_options=options)
        return self._table

    def read(
        self,
        where: Where,
        columns: Callable[[Any], list[str]] | None = None,
        *,
        mark: str = "",
        beside: Beside[T] = _itself,
    ) -> tuple[Any, T]:
        """Rows for which all conditions hold, and the number of the last `mark` whose rows are among them.

        columns: says, for a schema, which columns are wanted. beside: what to read of what has not landed, by that
        number, and comes instead of it; where it raises `Forgotten`, all is read anew, and with gaps where the table is
        older than what waits.
        """
        return self._again(partial(self._read, where, columns, mark, beside))

    def _again(self, read: Callable[[bool], R]) -> R:
        """Reads, and anew where what is read was taken away meanwhile. read: is told whether gaps are allowed."""
        late: int | None = None
        with self._reaching():
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return read(False)
                except FileNotFoundError:  # a purge took the files of the version that was being read
                    if attempt == _ATTEMPTS:
                        raise
                    with self._lock:
                        self._table = None
                except Forgotten as forgotten:
                    # what is deleted had landed before, so that this table is another
                    if forgotten.landed == late:
                        self._warn_of_gaps()
                        return read(True)
                    late = forgotten.landed
        raise Failed(f"{self._path}: rows land more quickly than they are read. Try again")

    def _warn_of_gaps(self) -> None:
        if not self._warned:
            logger.warning(
                "%s: the table is older than arriving.db beside it, as when a backup was put back: rows that had "
                "landed since are in neither. Put back what was saved after them, if there is anything",
                self._path,
            )
        self._warned = True

    def _read(
        self,
        where: Where,
        columns: Callable[[Any], list[str]] | None,
        mark: str,
        beside: Beside[T],
        gaps: bool,
    ) -> tuple[Any, T]:
        import pyarrow.dataset as datasets  # it brings pandas along, which appending does without

        with self._lock:
            table = self._current()
            if table is None:
                return self._fields.empty_table(), beside(0, gaps=gaps)
            dataset, landed = self._dataset(table, where), _landed(table, mark)
        found = beside(landed, gaps=gaps)  # at once: what lands now is deleted there before long
        chosen = columns(dataset.schema) if columns is not None else None
        return dataset.to_table(columns=chosen, filter=_expression(datasets, where)), found

    def count(self, *, mark: str = "", beside: Beside[T] = _itself) -> tuple[int, T]:
        """How many rows there are, as their files say at the end, and the number of the last `mark` among them.

        beside: see `read`.
        """
        return self._again(partial(self._count, mark, beside))

    def _count(self, mark: str, beside: Beside[T], gaps: bool) -> tuple[int, T]:
        with self._lock:
            table = self._current()
            if table is None:
                return 0, beside(0, gaps=gaps)
            dataset, landed = self._dataset(table, []), _landed(table, mark)
            found = beside(landed, gaps=gaps)
            return dataset.count_rows(), found

    def _dataset(self, table: DeltaTable, where: Where) -> Any:
        """The rows of a version, without files of which their least and greatest values say that none is meant."""
        files = None if self._address is not None else self._files()
        pruning = [(column, sign, value) for column, sign, value in where if "in" not in sign]
        return table.to_pyarrow_dataset(filesystem=files, file_pruning_predicate=pruning or None)

    def _files(self) -> Any:
        """Everything that lies where the table is, as Arrow's file systems name it: by paths within it."""
        from pyarrow.fs import LocalFileSystem, PyFileSystem, SubTreeFileSystem

        if self._address is None:
            return SubTreeFileSystem(self._uri, LocalFileSystem())
        from deltalake.fs import DeltaStorageHandler

        return PyFileSystem(DeltaStorageHandler(self._uri, storage_options(self._uri)))

    def stored(self, within: str = "") -> Iterator[tuple[str, Callable[[], Any]]]:
        """Every file that lies where the table is, of older versions too: its path within, and how to open it."""
        from pyarrow.fs import FileSelector, FileType

        with self._reaching():
            files = self._files()
            found = files.get_file_info(FileSelector(within, recursive=True, allow_not_found=True))
            for path in sorted(one.path for one in found if one.type == FileType.File):
                yield path, partial(files.open_input_file, path)

    def files(self) -> tuple[str, ...]:
        """The Parquet files that hold the rows now, as other engines take them."""
        with self._lock, self._reaching():
            table = self._current()
            return () if table is None else tuple(_local(uri) for uri in table.file_uris())

    def compact(self) -> None:
        """Joins small files; done by itself where they are 64 more than after the last time."""
        with self._lock, self._reaching(), self._alone():
            self._compact()

    def compact_if_many(self) -> None:
        """Joins small files where they are 64 more than after the last time."""
        with self._lock, self._reaching(), self._alone():
            self._current()
            self._compact_if_many()

    def _compact(self) -> None:
        table = self._current()
        if table is None:
            return
        with self._settled(table):  # before the files are removed that the new ones take the place of
            table.optimize.compact(target_size=_FILE_BYTES, writer_properties=_properties())
        _vacuum(table, _UNDO_HOURS)
        self._compact_at = _small_files(table) + _MANY_FILES

    def _compact_if_many(self) -> None:
        if self._table is None or _small_files(self._table) < self._compact_at:
            return
        try:
            self._compact()
        except (CommitFailedError, OSError):  # the rows have landed; another process may be doing the same
            logger.warning("table %s could not be compacted now", self._path.name, exc_info=True)
            self._compact_at += _MANY_FILES

    def delete(self, where: Where, *, along: str) -> int:
        """Removes the rows for which all conditions hold, and returns how many there were, in one commit.

        along: the column of moments in whose order rows came. What is rewritten are the files that reach into the time
        of these rows; older versions of the table still hold them until `purge`, or for a day.
        """
        with self._lock, self._reaching(), self._alone():
            for attempt in range(1, _ATTEMPTS + 1):
                table = self._current()
                if table is None or any(sign == "in" and not values for _, sign, values in where):
                    return 0
                with self._retried(last=attempt == _ATTEMPTS), self._settled(table):
                    return self._without(table, where, along)
        raise AssertionError("the last attempt raises")

    def _without(self, table: DeltaTable, where: Where, along: str) -> int:
        # by Delta's own delete, columns of text would come out of another type, by which Arrow cannot filter
        import pyarrow.dataset as datasets

        dataset = self._dataset(table, [])
        known = set(dataset.schema.names)
        if any(sign != "not in" and name not in known for name, sign, _ in where):
            return 0
        gone = _expression(
            datasets, [one for one in where if one[0] in known and (one[1] != "not in" or one[2])]
        )
        times = dataset.to_table(columns=[along], filter=gone)[along]
        if not len(times):
            return 0
        first, last = _reach(table, along, times)
        between: Where = [(along, ">=", first), (along, "<=", last)]
        left = (
            self._dataset(table, between).scanner(filter=_expression(datasets, between) & ~gone).to_reader()
        )
        name = f'"{along}"'
        predicate = f"{name} >= '{first.isoformat()}' AND {name} <= '{last.isoformat()}'"
        write_deltalake(table, left, mode="overwrite", predicate=predicate, writer_properties=_properties())
        return len(times)

    def purge(self) -> None:
        """Removes every file that the table does not need now: those of older versions, and what killed processes left.

        The list of commits goes with them, for it holds the least and the greatest value of each column. Who reads an
        older version at this moment has to begin again.
        """
        with self._lock, self._reaching(), self._alone():
            table = self._current()
            if table is None:
                return
            _vacuum(table, 0)
            table.create_checkpoint()
            newest, files = table.version(), self._files()
            for path, _ in self.stored("_delta_log"):
                name = path.rpartition("/")[2]
                number = name.partition(".")[0]
                if (number.isdecimal() and int(number) < newest) or name.startswith("_commit_"):
                    files.delete_file(path)
            if self._durable:
                self.settle()


def _small_files(table: DeltaTable) -> int:
    found = table.get_add_actions(flatten=True)
    sizes, rows = (found[name].to_pylist() for name in ("size_bytes", "num_records"))
    # who else wrote a file may not have said how many rows it has
    return sum(
        size < _LARGE_BYTES and (count or 0) < _LARGE_ROWS for size, count in zip(sizes, rows, strict=True)
    )


def _vacuum(table: DeltaTable, hours: int) -> None:
    """Removes files that are named by no commit, or by none since so many hours."""
    table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True)


def _reach(table: DeltaTable, along: str, times: Any) -> tuple[datetime, datetime]:
    """A time that holds these moments, and every file that reaches into it as a whole."""
    actions = table.get_add_actions(flatten=True)
    ranges = zip(actions[f"min.{along}"].to_pylist(), actions[f"max.{along}"].to_pylist(), strict=True)
    files = [(least - _ROUNDED, greatest + _ROUNDED) for least, greatest in ranges if least is not None]
    found = times.to_numpy()
    first, last = moment_of(found.min()), moment_of(found.max())
    while True:
        met = [(least, greatest) for least, greatest in files if least <= last and greatest >= first]
        wider = min([first, *(least for least, _ in met)]), max([last, *(greatest for _, greatest in met)])
        if wider == (first, last):
            return first, last
        first, last = wider


def settle(path: Path, versions: Iterable[int]) -> None:
    """Waits until these commits, and the files that they added, are on disk and not only on their way."""
    log = path / "_delta_log"
    for version in versions:
        commit = log / f"{version:020d}.json"
        if not commit.is_file():  # a checkpoint has taken its place
            continue
        actions = (json.loads(line) for line in commit.read_text("utf-8").splitlines())
        for file in (unquote(action["add"]["path"]) for action in actions if "add" in action):
            sync(path / file)
        sync(commit)
    for folder in (path, log, path.parent):
        sync(folder)


def dataset_of(uri: str | Path) -> Any:
    """The rows of a Delta table as it is now, to be read in batches, in no order that one may count on."""
    return DeltaTable(uri, storage_options=storage_options(str(uri))).to_pyarrow_dataset()


def storage_options(uri: str) -> dict[str, str] | None:
    """How to reach what is not on this machine; what AWS_ variables say comes on top of it."""
    if "://" not in uri:
        return None
    plain_http = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return _DISTANT | ({"allow_http": "true"} if plain_http else {})


def _local(uri: str) -> str:
    return unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri


def _landed(table: DeltaTable, name: str) -> int:
    return table.transaction_version(name) or 0


def _properties() -> WriterProperties:
    return WriterProperties(max_row_group_size=_GROUP_ROWS, compression="ZSTD")


def _write(table: DeltaTable, data: Any, mark: Mark | None) -> None:
    # the schema is touched only where there is a new field: two appends that touch it cannot both land
    known = {field.name for field in table.schema().fields}
    write_deltalake(
        table,
        data,
        mode="append",
        schema_mode="merge" if set(data.schema.names) != known else None,
        commit_properties=CommitProperties(app_transactions=[Transaction(*mark)] if mark else None),
        writer_properties=_properties(),
    )


def _expression(datasets: Any, where: Where) -> Any:
    expression = None
    for column, sign, value in where:
        one = _condition(datasets.field(column), sign, value)
        expression = one if expression is None else expression & one
    return expression


def _condition(field: Any, sign: str, value: Any) -> Any:
    if sign in ("in", "not in"):  # a missing value is in no set
        return field.isin(value) if sign == "in" else ~field.isin(value)
    return {">=": field >= value, "<": field < value, "<=": field <= value, "=": field == value}[sign]
