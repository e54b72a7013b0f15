"""A Parquet file, a folder of them or a Delta table, opened and not read: its columns, its size, batch by batch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.data_file import frame_of
from pipelines.errors import UserError
from pipelines.memory import in_words

if TYPE_CHECKING:
    import pandas as pd

BATCH = 65_536  # rows in memory at once: of 100 columns some 50 MB as a frame
HASHED_AT_ONCE = 1 << 20  # bytes
TOLD_EVERY = 1 << 28  # bytes; a disk reads them in a second or so
TEXT_BYTES = 57  # of a short text in Python, beside its letters and its place
_LONG_ENOUGH = 12  # bytes of the shortest Parquet file


@dataclass(frozen=True, eq=False)
class Dataset:
    """path: as the user named it. pieces: Arrow's fragments in the order of their names. rows: of all of them."""

    path: Path
    schema: Any
    pieces: tuple[Any, ...]
    rows: int

    @property
    def names(self) -> list[str]:
        """The columns, without the row numbers that pandas saves along."""
        return [name for name in self.schema.names if not re.fullmatch(r"__index_level_\d+__", name)]

    def empty(self) -> pd.DataFrame:
        """No rows, in the columns that there are."""
        return frame_of(self.path, self.schema.empty_table().select(self.names))

    def tables(self, columns: Sequence[str] | None = None, *, batch: int = BATCH) -> Iterator[Any]:
        """The rows as Arrow tables of at most so many, in an order that stays.

        Files of many small groups of rows give no small tables: each would cost as much as a large one.
        """
        import pyarrow as pa

        waiting: list[Any] = []
        for found in self._groups(columns, batch):
            if sum(one.num_rows for one in waiting) + found.num_rows > batch:
                yield pa.Table.from_batches(waiting)
                waiting = []
            waiting.append(found)
        if waiting:
            yield pa.Table.from_batches(waiting)

    def _groups(self, columns: Sequence[str] | None, batch: int) -> Iterator[Any]:
        """The rows as the files hold them, in groups of at most so many."""
        import pyarrow as pa
        from pyarrow.dataset import ParquetFragmentScanOptions

        for piece in self.pieces:
            try:
                read = piece.to_batches(
                    schema=self.schema,
                    columns=list(self.names if columns is None else columns),
                    batch_size=batch,
                    batch_readahead=1,
                    fragment_readahead=1,
                    use_threads=False,
                    # else it keeps the file as it reads
                    fragment_scan_options=ParquetFragmentScanOptions(pre_buffer=False),
                )
                yield from (found for found in read if found.num_rows)
            except (pa.ArrowException, OSError) as problem:
                raise UserError(f"{piece.path} is damaged or of other columns: {_line(problem)}") from None

    def whole(self) -> pd.DataFrame:
        """All rows at once."""
        import pyarrow as pa

        return self.frame(pa.concat_tables(self.tables()))

    def frame(self, table: Any) -> pd.DataFrame:
        """Rows that `tables` gave, in the types in which a whole file is read."""
        for name in self._gaps.intersection(table.column_names):
            place = table.column_names.index(name)
            table = table.set_column(place, name, _as_numbers(table.column(name)))
        return frame_of(self.path, table)

    @cached_property
    def _gaps(self) -> frozenset[str]:
        """Columns of true and false in which some are missing: all of them become numbers, in every batch."""
        import pyarrow as pa

        found: set[str] = set()
        truths = [name for name in self.names if pa.types.is_boolean(self.schema.field(name).type)]
        for table in self.tables(truths) if truths else ():
            found |= {name for name in truths if table.column(name).null_count}
        return frozenset(found)

    @cached_property
    def frame_bytes(self) -> int:
        """What all rows take as a frame, from what the files say of themselves."""
        texts = {field.name for field in self.schema if not _is_fixed(field.type)}
        letters = sum(_stored(piece, texts) for piece in self.pieces) if texts else 0
        return self.rows * (8 * len(self.schema) + TEXT_BYTES * len(texts)) + letters

    def digest(self, progress: Callable[[str], None] | None = None) -> str:
        """64 hexadecimal digits of the content of the files, and of their partitions, read piece by piece."""
        digest, done = hashlib.sha256(), 0
        for piece in self.pieces:
            digest.update(f"\n{piece.partition_expression}\n".encode())
            with piece.open() as file:
                while content := file.read(HASHED_AT_ONCE):
                    digest.update(content)
                    done += len(content)
                    if progress is not None and done % TOLD_EVERY < len(content):
                        progress(f"reading the data: {in_words(done)}")
        return digest.hexdigest()


def open_dataset(path: Path) -> Dataset:
    """Opens what holds rows in columns; a UserError says what is wrong, of all files at once."""
    import pyarrow as pa

    is_delta = (path / "_delta_log").is_dir()
    try:
        found = _delta(path) if is_delta else _parquet(path)
        pieces = tuple(sorted(found.get_fragments(), key=lambda piece: str(piece.path)))
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise UserError(
            f"{path} is neither Parquet, a folder of Parquet files nor a Delta table: {_line(problem)}"
        ) from None
    faults = [] if is_delta else [fault for piece in pieces if (fault := _fault(piece, found.schema, path))]
    if faults:
        raise UserError("\n".join(faults))
    rows = sum(piece.count_rows() for piece in pieces)
    if not rows:
        raise UserError(f"{path} has column names but no rows" if pieces else f"{path} holds no rows")
    return Dataset(path, found.schema, pieces, rows)


def is_dataset(path: Path) -> bool:
    """Whether this is read as columns: a folder, or a file that begins as Parquet does."""
    if path.is_dir():
        return (path / "_delta_log").is_dir() or any(_parquet_files(path))
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


def _delta(path: Path) -> Any:
    from pipelines.delta import dataset_of

    return dataset_of(path)


def _parquet(path: Path) -> Any:
    """The files as one; a column of whole numbers in one file and of others in the next holds numbers.

    Folders such as `year=2013` give a column.
    """
    import pyarrow as pa
    import pyarrow.dataset as dataset

    files = _files(path)
    base = str(path if path.is_dir() else path.parent)
    found = dataset.dataset(files, format="parquet", partitioning="hive", partition_base_dir=base)
    if len(files) == 1:
        return found
    schemas = [piece.physical_schema.remove_metadata() for piece in found.get_fragments()]
    try:
        whole = pa.unify_schemas([*schemas, found.schema.remove_metadata()], promote_options="permissive")
    except pa.ArrowException:  # told later, with the name of the file
        return found
    return dataset.dataset(
        files, schema=whole, format="parquet", partitioning="hive", partition_base_dir=base
    )


def _files(path: Path) -> list[str]:
    """The Parquet files that are meant; each is whole."""
    files = sorted(_parquet_files(path)) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path} is a folder without a Parquet file (*.parquet) or a Delta table")
    if broken := [file for file in files if not _is_whole(file)]:
        raise UserError(
            "\n".join(
                f"{file} is cut off: the end of a Parquet file is missing ({file.stat().st_size:,} bytes are there)"
                for file in broken
            )
        )
    return [str(file) for file in files]


def _parquet_files(folder: Path) -> Iterator[Path]:
    hidden = (".", "_")
    for name in ("*.parquet", "*.parq", "*.pq"):
        for file in folder.rglob(name):
            if not any(part.startswith(hidden) for part in file.relative_to(folder).parts):
                yield file


def _is_whole(file: Path) -> bool:
    with file.open("rb") as opened:
        if opened.seek(0, 2) < _LONG_ENOUGH:
            return False
        opened.seek(-4, 2)
        return opened.read() == b"PAR1"


def _fault(piece: Any, schema: Any, path: Path) -> str | None:
    """What keeps one file of a folder from being read with the others."""
    import pyarrow as pa

    try:
        own = piece.physical_schema
        piece.ensure_complete_metadata()
    except (pa.ArrowException, OSError) as problem:
        return f"{piece.path} is a damaged Parquet file: {_line(problem)}"
    folders = {part.partition("=")[0] for part in Path(piece.path).parts[len(path.parts) :] if "=" in part}
    for field in schema:
        if field.name in folders:
            continue
        if field.name not in own.names:
            return f"{piece.path} has no column {field.name!r}, which the first file of the folder has"
        came = own.field(field.name).type
        if _family(came) != _family(field.type):
            return f"{piece.path}: column {field.name!r} holds {came}, in the first file {field.type}"
    twice = sorted({name for name in own.names if own.names.count(name) > 1})
    return f"{piece.path} has two columns called {twice[0]!r}. Rename one of them" if twice else None


def _as_numbers(column: Any) -> Any:
    import pyarrow as pa

    return column.cast(pa.int8()).cast(pa.float64())


def _family(kind: Any) -> str:
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_dictionary(kind):
        return _family(kind.value_type)
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_null(kind):
        return "number"
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return "text"
    return str(kind)


def _is_fixed(kind: Any) -> bool:
    """Whether each value is a number or a moment of 8 bytes in a frame, where it may be missing."""
    kinds = _types()
    return bool(
        kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_temporal(kind)
    )


def _stored(piece: Any, names: set[str]) -> int:
    """Bytes of some columns in a file, unpacked; of texts the letters, each different text once in a group of rows."""
    metadata = piece.metadata
    if metadata is None:
        return 0
    places = [
        place
        for place in range(metadata.num_columns)
        if metadata.schema.column(place).path.partition(".")[0] in names
    ]
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    return sum(group.column(place).total_uncompressed_size for group in groups for place in places)


def _types() -> Any:
    import pyarrow as pa

    return pa.types


def _line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
