"""`losswatch drift`: two files or tables compared by what the monitor compares with, in bounded memory."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitoring.bins import ColumnBins, reference_bins
from monitoring.counting import BatchSpace
from monitoring.drift import BLOCKS, ColumnDrift, TableDrift, Verdict, table_drift
from monitoring.profile import Profile, beside, merge_all, profile_all
from monitoring.values import Columns, LevelCounts
from pipelines.data_file import read_csv_table
from pipelines.dataset import Dataset, is_dataset, open_dataset
from pipelines.errors import UserError
from pipelines.nearest import did_you_mean
from pipelines.table import Column, render

Say = Callable[[str], None]

BATCH = 65_536  # rows in memory at once
READ_AT_ONCE = 1 << 16  # bytes of a column
LEARNED = 100_000  # rows of the reference from which the cells are learned, spread over all of it
UNLIKE = 0.05  # of the rows in a cell, as much as one of 20 cells is to hold
SHOWN = 20  # columns without a shift that are shown


@dataclass(frozen=True)
class DriftOfColumn:
    """One column, as it goes to JSON. threshold: the Jensen-Shannon distance that so many rows may have."""

    name: str
    verdict: Verdict
    evidence: str
    jensen_shannon: float
    threshold: float
    psi: float
    chi_squared: float
    degrees: int
    p_value: float
    kolmogorov_smirnov: tuple[float, float, float] | None
    wasserstein: tuple[float, float, float] | None


@dataclass(frozen=True)
class JointDrift:
    """What a classifier says of a sample of both tables, as it goes to JSON; see `monitoring.domain.DomainCheck`."""

    rows: tuple[int, int]
    separation: float
    error: float
    p_value: float
    columns: tuple[tuple[str, float], ...]
    text: str


@dataclass(frozen=True)
class Drift:
    """Two tables compared. only_reference, only_current: columns that just one of them has; left_out: times and others
    that are not compared. fail: whether drift is to end the command with exit code 1. joint: what a classifier says of
    all columns together; None where it was not asked, or has too few rows. It changes no verdict.
    """

    reference: str
    current: str
    rows: tuple[int, int]
    verdict: Verdict
    columns: tuple[DriftOfColumn, ...]
    only_reference: tuple[str, ...]
    only_current: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: float
    fail: bool = False
    joint: JointDrift | None = None

    @property
    def failed(self) -> bool:
        return self.fail and self.verdict in ("shift", "data fault")

    def lines(self) -> list[str]:
        calm = [column for column in self.columns if column.verdict == "no shift"]
        shown = [column for column in self.columns if column.verdict != "no shift"] + calm[:SHOWN]
        told = render([_row(column) for column in shown], _COLUMNS)
        if len(calm) > SHOWN:
            told.append(f"and {len(calm) - SHOWN} more without a shift")
        return [*told, *self._others(), *([self.joint.text] if self.joint else []), self._end()]

    def _others(self) -> Iterator[str]:
        for names, text in (
            (self.only_reference, f"only in {self.reference}"),
            (self.only_current, f"only in {self.current}"),
            (self.left_out, "not compared (times, lists and other kinds)"),
        ):
            if names:
                yield f"{text}: {', '.join(names)}"

    def _end(self) -> str:
        moved = sum(column.verdict != "no shift" for column in self.columns)
        rows = f"{self.rows[0]:,} and {self.rows[1]:,} rows"
        if self.verdict == "not enough rows":
            return f"not enough rows: {rows}; a shift needs 30 on both sides"
        return f"{self.verdict}: {moved} of {len(self.columns)} columns, {rows}, in {self.seconds:.1f} s"


_COLUMNS = (
    Column("name", "column"),
    Column("verdict", "verdict"),
    Column("jensen_shannon", "distance", 3),
    Column("threshold", "allowed", 3),
    Column("psi", "PSI", 3),
    Column("ks", "KS", 3),
    Column("wasserstein", "Wasserstein", 3),
    Column("evidence", "what moved"),
)


def drift(
    reference: Path,
    current: Path,
    *,
    columns: Sequence[str] = (),
    ordered: bool = False,
    fail: bool = False,
    joint: bool = False,
    progress: Say | None = None,
) -> Drift:
    """Compares two CSV or Parquet files, folders of Parquet files or Delta tables.

    columns: the ones to be compared; () takes all that both have. ordered: whether the reference is in the order of
    time, see `monitoring.drift`. fail: see `Drift`. joint: asks a classifier, too. UserError where a table
    cannot be read, they have no column in common, or a column that was asked for is in neither.
    """
    begin, say = time.monotonic(), progress or (lambda text: None)
    before, after = open_table(reference), open_table(current)
    compared, left_out = _compared(before, after, columns)
    say(f"learning the cells of {len(compared)} columns")
    blocks = counted_reference(before, compared, say)
    whole = counted(after, blocks[0].bins, say)
    found = table_drift(blocks, whole, ordered=ordered)
    return _drift_of(
        found,
        (reference, current),
        only=(_only(before, after, columns), _only(after, before, columns)),
        left_out=left_out,
        seconds=time.monotonic() - begin,
        fail=fail,
        joint=_joint(before, after, blocks, say) if joint else None,
    )


def _joint(before: Opened, after: Opened, blocks: Sequence[Profile], say: Say) -> JointDrift | None:
    """What a classifier says of a sample of both, drawn in always the same way."""
    from monitoring.domain import MOST_ROWS, domain_check

    say("asking a classifier whether it can tell the rows apart")
    reference = merge_all(blocks)
    first, second = (row_sample(opened, reference.names, MOST_ROWS) for opened in (before, after))
    found = domain_check(first, second, reference, rng=np.random.default_rng(0))
    if found is None:
        return None
    return JointDrift(found.rows, found.separation, found.error, found.p_value, found.columns, str(found))


def counted_reference(opened: Opened, columns: Sequence[str], say: Say) -> list[Profile]:
    """The reference in blocks of consecutive rows, counted into cells that are learned from some of its rows.

    These are the first of each group of rows in a Parquet file, for they cost no second reading. Where they turn out
    to be unlike the whole, the cells are learned once more, from rows of all parts.
    """
    space = BatchSpace()
    parts = [_reference_of(opened, some, say, space) for some in _together(opened, columns, say)]
    return [beside(blocks) for blocks in zip(*parts, strict=True)]


def counted(opened: Opened, bins: Sequence[ColumnBins], say: Say) -> Profile:
    """The rows, counted into cells."""
    cells, space = {column.name: column for column in bins}, BatchSpace()
    return beside(
        [
            profile_all(batches(opened, some, say), [cells[name] for name in some], space)
            for some in _together(opened, list(cells), say)
        ]
    )


def _together(opened: Opened, columns: Sequence[str], say: Say) -> Iterator[Sequence[str]]:
    """The columns that are read together: one at a time, which is then counted while it is near, or all."""
    if not opened.apart:
        yield columns
        return
    for place, name in enumerate(columns):
        say(f"{opened.path.name}: {place} of {len(columns)} columns counted")
        yield [name]


def _reference_of(opened: Opened, columns: Sequence[str], say: Say, space: BatchSpace) -> list[Profile]:
    if (first := opened.beginnings(columns, LEARNED)) is not None:
        begun = _columns(first)
        bins = reference_bins(begun)
        learned_of = profile_all([begun], bins, space)
        del first, begun  # memory for what follows
        blocks = _in_blocks(opened, columns, bins, say, space)
        if _alike(learned_of, merge_all(blocks)):
            return blocks
        say(f"the first rows are unlike the others in {', '.join(columns[:3])}: learning the cells again")
    return _in_blocks(opened, columns, reference_bins(sample(opened, columns)), say, space)


def _alike(part: Profile, whole: Profile) -> bool:
    """Whether cells that were learned from the part suit the whole: each holds about the share that it was made for."""
    pairs = zip(part.columns, whole.columns, strict=True)
    return all(bool((np.abs(one.shares - other.shares) <= UNLIKE).all()) for one, other in pairs)


# --- reading ---


class Opened(Protocol):
    """A table that is open and not read."""

    @property
    def path(self) -> Path: ...

    @property
    def rows(self) -> int: ...

    @property
    def names(self) -> list[str]: ...

    @property
    def apart(self) -> bool:
        """Whether to read columns one after the other costs no more than to read all at once."""
        ...

    def kind(self, name: str) -> Any:
        """Arrow's type of a column."""
        ...

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """The rows in their order, at most so many at once."""
        ...

    def beginnings(self, columns: Sequence[str], rows: int) -> Any:
        """A table of so many rows that cost little to read, not of all parts; None where all cost the same."""
        ...


@dataclass(frozen=True, eq=False)
class _InMemory:
    """A CSV file, which is read as a whole."""

    path: Path
    table: Any
    apart = True

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @property
    def names(self) -> list[str]:
        return list(self.table.column_names)

    def kind(self, name: str) -> Any:
        return self.table.schema.field(name).type

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        for start in range(0, self.rows, rows):
            yield self.table.select(list(columns)).slice(start, rows)

    def beginnings(self, columns: Sequence[str], rows: int) -> None:
        return None


@dataclass(frozen=True, eq=False)
class _OneFile:
    """A Parquet file, read page by page: Arrow's data sets hold whole groups of rows, and import pandas."""

    path: Path
    file: Any
    apart = True

    @property
    def rows(self) -> int:
        return int(self.file.metadata.num_rows)

    @property
    def names(self) -> list[str]:
        return [
            name for name in self.file.schema_arrow.names if not re.fullmatch(r"__index_level_\d+__", name)
        ]

    def kind(self, name: str) -> Any:
        return self.file.schema_arrow.field(name).type

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        import pyarrow as pa

        for batch in self._read(columns, rows, range(self.file.num_row_groups)):
            yield pa.Table.from_batches([batch])

    def beginnings(self, columns: Sequence[str], rows: int) -> Any:
        import pyarrow as pa

        groups = self.file.num_row_groups
        each = max(1, rows // groups)
        read = (next(self._read(columns, each, [group]), None) for group in range(groups))
        return pa.Table.from_batches([batch for batch in read if batch is not None])

    def _read(self, columns: Sequence[str], batch: int, groups: Sequence[int]) -> Iterator[Any]:
        import pyarrow as pa

        try:
            yield from self.file.iter_batches(
                batch, columns=list(columns), row_groups=list(groups), use_threads=False
            )
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.path} is a damaged Parquet file: {error}") from None


@dataclass(frozen=True, eq=False)
class _Folder:
    """A folder of Parquet files, or a Delta table."""

    dataset: Dataset
    apart = False  # each of many files would be opened for each column

    @property
    def path(self) -> Path:
        return self.dataset.path

    @property
    def rows(self) -> int:
        return self.dataset.rows

    @property
    def names(self) -> list[str]:
        return self.dataset.names

    def kind(self, name: str) -> Any:
        return self.dataset.schema.field(name).type

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        return self.dataset.tables(columns, batch=rows)

    def beginnings(self, columns: Sequence[str], rows: int) -> None:
        return None


def open_table(path: Path) -> Opened:
    """A CSV or Parquet file, a folder of Parquet files or a Delta table; UserError where it is none."""
    if not path.exists():
        beside = sorted(other.name for other in path.parent.glob("*")) if path.parent.is_dir() else []
        raise UserError(f"{path} does not exist{did_you_mean(path.name, beside)}")
    if not is_dataset(path):
        return _InMemory(path, read_csv_table(path))
    return _Folder(open_dataset(path)) if path.is_dir() else _open_file(path)


def _open_parquet(path: Path) -> Any:
    """Text comes as the file has it, each level once and its number for every row."""
    import pyarrow.parquet as parquet
    from pyarrow import types

    with parquet.ParquetFile(path) as first:
        metadata = first.metadata
        text = [field.name for field in first.schema_arrow if types.is_string(field.type)]
    return parquet.ParquetFile(
        path, metadata=metadata, read_dictionary=text, pre_buffer=False, buffer_size=READ_AT_ONCE
    )


def _open_file(path: Path) -> _OneFile:
    import pyarrow as pa

    try:
        opened = _OneFile(path, _open_parquet(path))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is a damaged Parquet file: {error}") from None
    if not opened.rows:
        raise UserError(f"{path} has column names but no rows")
    return opened


def _compared(before: Opened, after: Opened, asked: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The columns that both have and that can be counted, and those that cannot."""
    unknown = [name for name in asked if name not in before.names and name not in after.names]
    if unknown:
        hints = "; ".join(f"{name!r}{did_you_mean(name, before.names)}" for name in unknown)
        raise UserError(f"--columns: neither table has {hints}")
    both = [name for name in before.names if name in after.names and (not asked or name in asked)]
    compared = [name for name in both if _countable(before.kind(name)) and _countable(after.kind(name))]
    if not compared:
        raise UserError(
            f"{before.path} and {after.path} have no column in common that could be compared: "
            f"{', '.join(before.names[:10])} there, {', '.join(after.names[:10])} here"
        )
    return compared, tuple(name for name in both if name not in compared)


def _only(one: Opened, other: Opened, asked: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in one.names if name not in other.names and (not asked or name in asked))


def _countable(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _countable(kind.value_type)
    return bool(
        _is_number(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)
    )


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    )


def _columns(table: Any) -> Columns:
    """What a profile counts: numbers as numpy arrays, text as its levels and how often each comes."""
    return {name: _column(table.column(name)) for name in table.column_names}


def _column(column: Any) -> Any:
    from pyarrow import types

    if types.is_dictionary(column.type):
        return _counted(column)
    if not _is_number(column.type):
        import pyarrow.compute as pc  # a third of what all other imports cost

        counted = pc.value_counts(column)
        levels, counts = counted.field("values"), counted.field("counts")
        return LevelCounts(levels.to_pylist(), counts.to_pylist())
    chunks = [_numbers(chunk) for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.zeros(0), *chunks])


def _counted(column: Any) -> LevelCounts:
    """Text that comes as numbers of levels."""
    counts: Counter[Any] = Counter()
    for chunk in column.chunks:
        numbers = _numbers(chunk.indices)
        if missing := chunk.null_count:
            counts[None] += missing
            numbers = numbers[~np.isnan(numbers)].astype(np.int64)
        rows = np.bincount(numbers)
        levels = chunk.dictionary.to_pylist()
        counts.update({levels[place]: int(rows[place]) for place in np.flatnonzero(rows).tolist()})
    return LevelCounts(list(counts), list(counts.values()))


def _numbers(chunk: Any) -> npt.NDArray[Any]:
    """The same as `to_numpy`, which imports pandas where values are missing, as `to_pandas_dtype` always does."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_decimal(chunk.type):
        chunk = chunk.cast(pa.float64())
    rows, start = len(chunk), chunk.offset
    known, stored = chunk.buffers()
    if not rows:
        return np.zeros(0)
    if types.is_boolean(chunk.type):
        numbers: npt.NDArray[Any] = _bits(stored, start, rows)
    else:
        kind = _stored_as(chunk.type)
        numbers = np.frombuffer(stored, kind, rows, start * kind.itemsize)
    if known is None or not chunk.null_count:
        return numbers
    return np.where(_bits(known, start, rows) == 1, numbers, np.nan)


def _stored_as(kind: Any) -> np.dtype[Any]:
    from pyarrow import types

    letter = "f" if types.is_floating(kind) else "i" if types.is_signed_integer(kind) else "u"
    return np.dtype(f"{letter}{kind.bit_width // 8}")


def _bits(stored: Any, start: int, rows: int) -> npt.NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")[start : start + rows]


def sample(opened: Opened, columns: Sequence[str]) -> Columns:
    """About LEARNED rows, every so many of them, from all parts of the table."""
    import pyarrow as pa

    step = max(1, opened.rows // LEARNED)
    parts = [
        table.take(_places(np.arange(-start % step, table.num_rows, step)))
        for start, table in _numbered(opened, columns, BATCH)
    ]
    return _columns(pa.concat_tables(parts))


def row_sample(opened: Opened, columns: Sequence[str], most: int) -> Columns:
    """At most so many rows, every so many of them, as rows and not as counts."""
    import pyarrow as pa

    step = max(1, -(-opened.rows // most))
    parts = [
        table.take(_places(np.arange(-start % step, table.num_rows, step)))
        for start, table in _numbered(opened, columns, BATCH)
    ]
    table = pa.concat_tables(parts)
    return {name: _values(table.column(name)) for name in columns}


def _values(column: Any) -> npt.NDArray[Any]:
    if _is_number(column.type):
        return np.concatenate([np.zeros(0), *(_numbers(chunk) for chunk in column.chunks)])
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def _places(places: npt.NDArray[np.int64]) -> Any:
    """The same as `pyarrow.array`, which imports pandas to see whether it was given something of it."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places.tobytes())])


def _numbered(
    opened: Opened, columns: Sequence[str], rows: int, say: Say | None = None
) -> Iterator[tuple[int, Any]]:
    """The rows in their order, as Arrow tables, at most so many at once, each with the number of its first row."""
    start = 0
    for table in opened.tables(columns, rows):
        if say is not None and not opened.apart:
            say(f"{opened.path.name}: {start:,} of {opened.rows:,} rows counted")
        yield start, table
        start += table.num_rows


def batches(opened: Opened, columns: Sequence[str], say: Say | None = None) -> Iterator[Columns]:
    """The rows in their order, as a profile counts them."""
    for _, table in _numbered(opened, columns, BATCH, say):
        yield _columns(table)


def _in_blocks(
    opened: Opened, columns: Sequence[str], bins: Sequence[ColumnBins], say: Say, space: BatchSpace
) -> list[Profile]:
    """At most BLOCKS blocks of consecutive rows, counted."""
    pieces = groupby(_pieces(opened, columns, say), key=itemgetter(0))
    return [profile_all((part for _, part in parts), bins, space) for _, parts in pieces]


def _pieces(opened: Opened, columns: Sequence[str], say: Say) -> Iterator[tuple[int, Columns]]:
    """The rows in their order, each piece with the number of its block. A block is read in pieces of one size."""
    block = max(1, -(-opened.rows // BLOCKS))
    pieces = -(-block // BATCH)
    for start, table in _numbered(opened, columns, -(-block // pieces), say):
        low, end = start, start + table.num_rows
        while low < end:
            high = min((low // block + 1) * block, end)
            yield low // block, _columns(table.slice(low - start, high - low))
            low = high


# --- telling ---


def _drift_of(
    found: TableDrift,
    paths: tuple[Path, Path],
    *,
    only: tuple[tuple[str, ...], tuple[str, ...]],
    left_out: tuple[str, ...],
    seconds: float,
    fail: bool,
    joint: JointDrift | None,
) -> Drift:
    moved = {column.name for column in found.drifted}
    ordered = [*found.drifted, *(column for column in found.columns if column.name not in moved)]
    return Drift(
        str(paths[0]),
        str(paths[1]),
        found.rows,
        found.verdict,
        tuple(_column_of(column) for column in ordered),
        *only,
        left_out,
        seconds,
        fail,
        joint,
    )


def _column_of(column: ColumnDrift) -> DriftOfColumn:
    measured = column.distances
    bounds = [
        None if one is None else (one.value, one.least, one.most)
        for one in (measured.kolmogorov_smirnov, measured.wasserstein)
    ]
    return DriftOfColumn(
        column.name,
        column.verdict,
        column.evidence,
        measured.jensen_shannon,
        column.shift.threshold,
        measured.psi,
        measured.chi_squared,
        measured.degrees,
        measured.p_value,
        *bounds,
    )


def _row(column: DriftOfColumn) -> Mapping[str, object]:
    ks, wasserstein = column.kolmogorov_smirnov, column.wasserstein
    return {
        "name": column.name,
        "verdict": column.verdict,
        "jensen_shannon": column.jensen_shannon,
        "threshold": column.threshold if column.threshold < 1 else None,
        "psi": column.psi,
        "ks": ks[0] if ks else None,
        "wasserstein": wasserstein[0] if wasserstein else None,
        "evidence": column.evidence,
    }
