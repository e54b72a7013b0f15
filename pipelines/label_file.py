"""A file of labels, a part at a time, into the log."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from pipelines.data_file import MISSING_MARKS, delimiter_of
from pipelines.dataset import is_dataset, open_dataset
from pipelines.errors import UserError
from pipelines.file_scoring import digest_of
from pipelines.invocations import key_text
from pipelines.label_request import is_label, read_moment
from pipelines.log import Log
from pipelines.moments import microseconds
from pipelines.nearest import did_you_mean
from pipelines.plain_columns import Array, missing, moments, objects_of

_PART = 50_000  # rows in memory at once
_TOLD = 10  # refused rows that are named; of the others their number is told
_HEAD = 65_536  # bytes from which the delimiter is told
Part = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class LabelColumns:
    """The columns of a file of labels. name: of ids, or of the user's own keys where `keyed`."""

    name: str
    keyed: bool
    value: str
    moment: str | None = None


@dataclass(frozen=True)
class Refused:
    """A row that says nothing. row: its number, from 1, without the line of names."""

    row: int
    reason: str


@dataclass(frozen=True)
class LabelFile:
    """What came of a file. added: labels that are new in the log; known: those of parts that were added before;
    unlabelled: rows without a value yet; refused: rows that are no labels, the first of them with their reasons.
    """

    file: str
    rows: int
    added: int
    known: int
    unlabelled: int
    refused: int
    first_refused: tuple[Refused, ...] = ()
    by: Literal["id", "key"] = "id"
    told: int = field(default=_TOLD, metadata={"json": False})

    @property
    def failed(self) -> bool:
        return self.refused > 0

    def lines(self) -> list[str]:
        parts = [f"{self.added:,} labels added by {self.by}"]
        parts += [f"{self.known:,} were in the log from an earlier time"] if self.known else []
        parts += [f"{self.unlabelled:,} without a value yet"] if self.unlabelled else []
        parts += [f"{self.refused:,} refused"] if self.refused else []
        said = [f"{self.file}: {self.rows:,} rows, {', '.join(parts)}"]
        said += [f"  row {one.row:,}: {one.reason}" for one in self.first_refused]
        left = self.refused - len(self.first_refused)
        return [*said, f"  and {left:,} more"] if left else said


def add_labels(
    log: Log,
    path: Path,
    columns: LabelColumns,
    *,
    now: datetime,
    numbers: bool = False,
    progress: Callable[[str], None] | None = None,
) -> LabelFile:
    """Adds the labels of a CSV or Parquet file, a folder of Parquet files or a Delta table.

    A part at a time, and each once: a file that was cut off goes on, the same file again adds nothing. Rows that are
    no labels are left out and told. numbers: whether a label has to be a number, as for a regression.
    """
    digest = open_dataset(path).digest() if is_dataset(path) else digest_of(path)
    identity = f"{digest}:{columns}"
    rows = added = known = unlabelled = refused = 0
    first: list[Refused] = []
    for part in _parts(path, columns):
        checked = _checked(part, columns, rows, now, numbers)
        new = log.append_labels(
            checked.names,
            objects_of(checked.values),
            known_at=now,
            moments=checked.moments,
            keyed=columns.keyed,
            caller="losswatch labels",
            batch=f"labels:{identity}:{rows}",
        )
        rows += len(part[columns.name])
        added, known = added + new * len(checked.names), known + (not new) * len(checked.names)
        unlabelled, refused = unlabelled + checked.unlabelled, refused + len(checked.refused)
        first += checked.refused[: _TOLD - len(first)]
        if progress is not None:
            progress(f"{rows:,} rows read, {added:,} labels added")
    by: Literal["id", "key"] = "key" if columns.keyed else "id"
    return LabelFile(str(path), rows, added, known, unlabelled, refused, tuple(first), by)


@dataclass(frozen=True)
class _Checked:
    names: list[str]
    values: list[Any]
    moments: Array
    unlabelled: int
    refused: list[Refused]


def _checked(part: Part, columns: LabelColumns, before: int, now: datetime, numbers: bool) -> _Checked:
    names, values, said, refused, unlabelled = [], [], [], [], 0
    told: Sequence[Any] = part[columns.moment] if columns.moment else [None] * len(part[columns.name])
    latest = microseconds(now)
    for row, (name, value, moment) in enumerate(
        zip(part[columns.name], part[columns.value], told, strict=True), before + 1
    ):
        if missing(value):
            unlabelled += 1
            continue
        try:
            found = _name(name, columns), _value(value, columns, numbers), _moment(moment, columns, latest)
        except ValueError as problem:
            refused.append(Refused(row, str(problem)))
            continue
        names.append(found[0])
        values.append(found[1])
        said.append(found[2])
    return _Checked(names, values, moments(said), unlabelled, refused)


def _name(name: Any, columns: LabelColumns) -> str:
    if missing(name):
        raise ValueError(f"{columns.name} is missing; expected what the label is about")
    try:
        return key_text(name)
    except ValueError as problem:
        raise ValueError(f"{columns.name} is {problem}") from None


def _value(value: Any, columns: LabelColumns, numbers: bool) -> Any:
    if not is_label(value) or (numbers and isinstance(value, str)):
        expected = "a number" if numbers else "a number, a text, true or false"
        raise ValueError(f"{columns.value} is {str(value)[:40]!r}; expected {expected}")
    return value


def _moment(moment: Any, columns: LabelColumns, latest: int) -> Any:
    if missing(moment):
        return None
    written = moment.isoformat() if isinstance(moment, datetime) else moment
    try:
        return np.datetime64(read_moment(written, latest), "us")
    except ValueError as problem:
        raise ValueError(f"{columns.moment} is {problem}") from None


# --- reading -----------------------------------------------------------------------------------------


def choose_columns(
    path: Path,
    *,
    target: str,
    key: str | None,
    id_column: str | None = None,
    key_column: str | None = None,
    value: str | None = None,
    moment: str | None = None,
) -> LabelColumns:
    """Which columns of a file are meant: those that were named, else `id` or the project's key, its target, `moment`.

    `UserError` with everything that is missing.
    """
    names = names_of(path)
    found = _about(names, key, id_column, key_column)
    told = value or next((name for name in (target, "value", "label") if name in names), target)
    said = moment or ("moment" if "moment" in names else None)
    wanted = [found[0] if found else None, told, said]
    faults = [
        f"{path} has no column {name!r}{did_you_mean(name, names)}"
        for name in wanted
        if name is not None and name not in names
    ]
    if found is None:
        own = f"neither id nor {key}" if key else "no id"
        faults.insert(0, f"{path} has {own}; name the column with --id, or with --key for your own key")
    if faults or found is None:
        raise UserError("\n".join([*faults, f"its columns: {', '.join(names)[:300]}"]))
    return LabelColumns(found[0], found[1], told, said)


def _about(
    names: Sequence[str], key: str | None, id_column: str | None, key_column: str | None
) -> tuple[str, bool] | None:
    if key_column is not None:
        return key_column, True
    if id_column is not None:
        return id_column, False
    if key is not None and key in names:
        return key, True
    return ("id", False) if "id" in names else None


def names_of(path: Path) -> list[str]:
    """The names of the columns."""
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if is_dataset(path):
        return list(open_dataset(path).names)
    if path.is_dir():
        raise UserError(f"{path} is a folder without Parquet files (*.parquet) or a Delta table")
    with _lines(path) as lines:
        return lines.names


def _parts(path: Path, columns: LabelColumns) -> Iterator[Part]:
    wanted = list(dict.fromkeys([columns.name, columns.value, *([columns.moment] if columns.moment else [])]))
    if is_dataset(path):
        for table in open_dataset(path).tables(wanted, batch=_PART):
            yield {name: table[name].to_pylist() for name in wanted}
        return
    with _lines(path) as lines:
        yield from lines.parts(wanted)


@contextmanager
def _lines(path: Path) -> Iterator[_Lines]:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if b"\0" in head:
        raise UserError(f"{path} is not text: expected CSV in UTF-8, or Parquet")
    with path.open(encoding="utf-8-sig", newline="") as text:
        yield _Lines(path, text, delimiter_of(head.decode("utf-8-sig", "replace")))


class _Lines:
    """The rows of a CSV file, read as they are needed."""

    def __init__(self, path: Path, text: TextIO, delimiter: str) -> None:
        self._path, self._comma = path, delimiter != ","  # then 1,5 is a number
        self._rows = csv.reader(text, delimiter=delimiter, strict=True)
        self.names = [name.strip() for name in next(self._read(), [])]
        if not self.names:
            raise UserError(f"{path} is empty")
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise UserError(f"{path} has two columns called {twice[0]!r}. Rename one of them")

    def _read(self) -> Iterator[list[str]]:
        try:
            yield from self._rows
        except UnicodeDecodeError:
            raise UserError(f"{self._path} is not UTF-8 text. Save it as UTF-8") from None
        except csv.Error as error:
            raise UserError(f"{self._path}: line {self._rows.line_num}: {error}") from None

    def parts(self, wanted: Sequence[str]) -> Iterator[Part]:
        """Columns of some rows each; texts that are numbers are numbers, but for the first column."""
        places = [self.names.index(name) for name in wanted]
        kept: list[list[str]] = []
        for row in self._read():
            if not row:
                continue
            if len(row) != len(self.names):
                raise UserError(
                    f"{self._path}: line {self._rows.line_num} has {len(row)} values, expected {len(self.names)}"
                )
            kept.append([row[place].strip() for place in places])
            if len(kept) == _PART:
                yield _columns(wanted, kept, self._comma)
                kept = []
        if kept:
            yield _columns(wanted, kept, self._comma)


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]], comma: bool) -> Part:
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return {
        name: [None if text in _MISSING else _number(text, comma) if place == 1 else text for text in texts]
        for place, (name, texts) in enumerate(columns.items())
    }


_MISSING = frozenset(MISSING_MARKS)


def _number(text: str, comma: bool) -> int | float | str:
    """
    >>> _number("3", False), _number("2,5", True), _number("late", False), _number("1_0", False)
    (3, 2.5, 'late', '1_0')
    """
    if "_" in text:
        return text
    for kind in (int, float):
        try:
            return kind(text.replace(",", ".") if comma else text)
        except ValueError:
            continue
    return text
