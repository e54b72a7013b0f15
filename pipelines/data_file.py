"""A CSV or Parquet file as a frame of its columns, told by its content; a UserError says what is wrong."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipelines.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# pandas's own list, and "?" as the UCI files write it
MISSING_MARKS = (
    *("", "?", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NaT"),
    *("NULL", "null", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
_DELIMITERS = (",", ";", "\t", "|")
_TEXT_NAMES = (".csv", ".tsv", ".txt", ".data")
_PARQUET_NAMES = (".parquet", ".parq", ".pq")
_OTHER_CONTENTS = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"(\xb5/\xfd", "compressed with zstd"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF", "a PDF"),
)
_TEXT_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # byte order marks
_LARGEST_CSV = 2**31 - 2  # bytes; Arrow infers a column's type within one block, and a block is not larger


@dataclass(frozen=True, eq=False)
class DataFile:
    """The columns of a file, and what had to be said while reading it."""

    frame: pd.DataFrame
    notices: tuple[str, ...] = ()


def read_data_file(path: Path, as_text: Sequence[str] = ()) -> DataFile:
    """Every column of a CSV or Parquet file.

    CSV: comma, semicolon, tab or bar; UTF-8 or, with a notice, Windows-1252; MISSING_MARKS are no values.
    as_text: columns of a CSV file that stay as they are written, so that "0130" keeps its zero.
    """
    content = _content(path)
    is_parquet = content.startswith(b"PAR1")
    _check_name(path, is_parquet)
    read = _read_parquet(path, content) if is_parquet else _read_csv(path, content, as_text)
    if not len(read.frame):
        raise UserError(f"{path} has column names but no rows")
    if not len(read.frame.columns):
        raise UserError(f"{path} has no columns")
    return read


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(
            f"{path} is a folder without Parquet files (*.parquet) or a Delta table. "
            "Name a CSV or Parquet file"
        )
    if not path.exists():
        raise UserError(f"{path} does not exist{_beside(path)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not content.strip():
        raise UserError(f"{path} is empty ({len(content)} bytes)")
    for mark, kind in _OTHER_CONTENTS:
        if content.startswith(mark):
            raise UserError(f"{path} is {kind}, not CSV or Parquet. Unpack or export it first")
    return content


def _beside(path: Path) -> str:
    from pipelines.nearest import nearest

    try:
        names = [other.name for other in path.parent.iterdir() if other.is_file()]
    except OSError:
        return f". Its folder {path.parent} does not exist either"
    close = nearest(path.name, names)
    return f"; the nearest beside it is {close!r}" if close else ""


def _check_name(path: Path, is_parquet: bool) -> None:
    name = path.suffix.lower()
    if is_parquet and name in _TEXT_NAMES:
        raise UserError(
            f"{path} is a Parquet file, but its name ends in {name}. Rename it to end in .parquet"
        )
    if not is_parquet and name in _PARQUET_NAMES:
        raise UserError(f"{path} is not the Parquet file that its name promises: it does not begin with PAR1")


def _check_columns(path: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{path} has two columns called {name!r}. Rename one of them")
        seen.add(name)


# --- Parquet ---


def _read_parquet(path: Path, content: bytes) -> DataFile:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    if len(content) < 12 or not content.endswith(b"PAR1"):
        raise UserError(
            f"{path} is cut off: the end of a Parquet file is missing ({len(content):,} bytes are there)"
        )
    try:
        table = parquet.ParquetFile(io.BytesIO(content)).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is a damaged Parquet file: {_first_line(error)}") from None
    _check_columns(path, table.column_names)
    unnamed = [name for name in table.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    table = table.drop_columns(unnamed)  # the row numbers that pandas saves along
    return DataFile(frame_of(path, table))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- CSV ---


def read_csv_table(path: Path) -> pa.Table:
    """The columns of a CSV file as Arrow reads them; a UserError says what is wrong with it."""
    content = _content(path)
    _check_name(path, content.startswith(b"PAR1"))
    table, _ = _csv_table(path, content, ())
    if not table.num_rows:
        raise UserError(f"{path} has column names but no rows")
    return table


def _read_csv(path: Path, content: bytes, as_text: Sequence[str]) -> DataFile:
    table, notices = _csv_table(path, content, as_text)
    return DataFile(frame_of(path, table), notices)


def _csv_table(path: Path, content: bytes, as_text: Sequence[str]) -> tuple[pa.Table, tuple[str, ...]]:
    content, notices = _as_utf8(path, content)
    head = _head(content)
    delimiter = delimiter_of(head)
    _check_quotes(path, content, delimiter)
    names = _header(path, head, delimiter)
    table = _parse_csv(path, content, delimiter, _decimal_mark(head, delimiter), names, as_text)
    if names[0] == "":  # pandas writes the row number so
        table = table.remove_column(0)
        notices = (*notices, "the first column has no name and is left out")
    return _stripped(table, as_text), notices


def _as_utf8(path: Path, content: bytes) -> tuple[bytes, tuple[str, ...]]:
    for mark, encoding in _TEXT_MARKS:
        if content.startswith(mark):
            try:
                return content.decode(encoding).encode(), ()
            except UnicodeError:
                raise UserError(f"{path} begins as UTF-16 text and is none: cut off or not a text") from None
    if (zero := content.find(b"\0")) >= 0:
        raise UserError(f"{path} is not text: a zero byte at byte {zero}. Expected CSV or Parquet")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _from_windows(path, content, error.start)
    return content, ()


def _from_windows(path: Path, content: bytes, place: int) -> tuple[bytes, tuple[str, ...]]:
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: byte {place}. Save it as UTF-8") from None
    return text.encode(), (f"{path.name} is not UTF-8; it was read as Windows-1252 text",)


def _head(content: bytes) -> str:
    """The first lines, up to 64 KiB, without a last one that may be cut."""
    if len(content) <= 65536:
        return content.decode()
    text = content[:65536].decode(errors="ignore")
    return text[: text.rfind("\n") + 1] or text


def _rows(head: str, delimiter: str, most: int = 50) -> list[list[str]]:
    try:
        rows = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
        return [row for row, _ in zip(rows, range(most), strict=False) if row]
    except csv.Error:
        return []


def delimiter_of(head: str) -> str:
    """The mark that cuts the first lines into the most columns, equally many on each line where one does.

    >>> delimiter_of("a;b\\n1,5;2,5\\n"), delimiter_of("a,b,c\\n1,2,3\\n"), delimiter_of("a\\n1\\n")
    (';', ',', ',')
    """

    def evenness(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in _rows(head, delimiter)]
        if not widths or widths[0] < 2:
            return (0.0, 0)
        return (sum(width == widths[0] for width in widths) / len(widths), widths[0])

    return max(_DELIMITERS, key=evenness)  # the first of equals: comma


def _check_quotes(path: Path, content: bytes, delimiter: str) -> None:
    """Refuses a last value whose quote is never closed, which would swallow every line that follows."""
    if content.count(b'"') % 2 == 0:
        return  # quotes come in pairs; an inch mark within a value may stand alone
    rows = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for _ in rows:
            begin = rows.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            raise UserError(
                f"{path}: a quote in line {begin} is never closed. The file may be cut off"
            ) from None


def _header(path: Path, head: str, delimiter: str) -> list[str]:
    rows = _rows(head, delimiter, most=1)
    if not rows:
        raise UserError(f"{path} cannot be read as CSV: its first line has no column names")
    names = [name.strip() for name in rows[0]]
    if all(_is_number(name) for name in names):
        raise UserError(f"{path} has no column names: its first line is {delimiter.join(names)[:60]!r}")
    if "" in names[1:]:
        raise UserError(f"{path}: column {names.index('', 1) + 1} has no name in the first line")
    _check_columns(path, names)
    return names


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", text) is not None


def _decimal_mark(head: str, delimiter: str) -> str:
    """A comma where a file that is not cut by commas writes 1,5."""
    if delimiter == ",":
        return "."
    fields = [field.strip() for row in _rows(head, delimiter)[1:] for field in row]
    commas = any(re.fullmatch(r"[+-]?\d*,\d+", field) for field in fields)
    points = any(re.fullmatch(r"[+-]?\d*\.\d+", field) for field in fields)
    return "," if commas and not points else "."


def _parse_csv(
    path: Path, content: bytes, delimiter: str, decimal_mark: str, names: list[str], as_text: Sequence[str]
) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    if len(content) > _LARGEST_CSV:
        raise UserError(f"{path} is larger than {_LARGEST_CSV:,} bytes. Save it as Parquet")

    def parse(threads: bool) -> pa.Table:
        return arrow_csv.read_csv(
            pa.BufferReader(content),
            # one block: with several, a text after the first megabyte of numbers is an error
            read_options=arrow_csv.ReadOptions(
                use_threads=threads, block_size=len(content) + 1, column_names=names, skip_rows_after_names=1
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in as_text if name in names},
                null_values=list(MISSING_MARKS),
                strings_can_be_null=True,
                decimal_point=decimal_mark,
            ),
        )

    try:
        return parse(threads=True)
    except pa.ArrowInvalid:
        pass
    try:
        return parse(threads=False)  # only a single thread knows the number of the row
    except pa.ArrowInvalid as error:
        _refuse_csv(path, content, error)


def _refuse_csv(path: Path, content: bytes, error: Exception) -> NoReturn:
    reason = _first_line(error).removeprefix("CSV parse error: ")
    match = re.match(r"Row #(\d+): Expected (\d+) columns, got (\d+)", reason)
    if match is None:
        raise UserError(f"{path} cannot be read as CSV: {reason}") from None
    row, expected, got = (int(number) for number in match.groups())
    cut = not content.endswith((b"\n", b"\r")) and row >= content.count(b"\n")
    end = ". The file seems to be cut off there" if cut else ""
    raise UserError(f"{path}: line {row} has {got} values, expected {expected}{end}") from None


def _stripped(table: pa.Table, as_text: Sequence[str]) -> pa.Table:
    """The table with spaces around texts taken away; a column that spaces alone made text becomes numbers."""
    import pyarrow as pa
    import pyarrow.compute as compute

    for place, name in enumerate(table.column_names):
        column = table.column(place)
        if not pa.types.is_string(column.type):
            continue
        trimmed = compute.utf8_trim_whitespace(column)
        if trimmed.equals(column):
            continue
        marks = compute.is_in(trimmed, value_set=pa.array(MISSING_MARKS))
        trimmed = compute.if_else(marks, pa.scalar(None, pa.string()), trimmed)
        table = table.set_column(place, name, trimmed if name in as_text else _numbers_or_text(trimmed))
    return table


def _numbers_or_text(column: Any) -> Any:
    import pyarrow as pa

    for kind in (pa.int64(), pa.float64()):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    return column


# --- from Arrow to pandas ---


def frame_of(path: Path, table: pa.Table) -> pd.DataFrame:
    """Rows of a file in the types in which they are worked with; UserError for a column that holds none of these."""
    columns = [_plain(path, name, table.column(name)) for name in table.column_names]
    import pyarrow as pa

    frame: pd.DataFrame = pa.table(columns, names=table.column_names).to_pandas(
        date_as_object=False, ignore_metadata=True
    )
    return frame


def _plain(path: Path, name: str, column: Any) -> Any:
    """The column as numbers, booleans, texts or times; missing values stay missing."""
    import pyarrow as pa
    import pyarrow.compute as compute

    kinds = pa.types
    kind = column.type
    if kinds.is_dictionary(kind):
        return _plain(path, name, column.cast(kind.value_type))
    if kinds.is_null(kind) or kinds.is_decimal(kind):
        return column.cast(pa.float64())
    if kinds.is_boolean(kind) and column.null_count:
        return column.cast(pa.int8()).cast(pa.float64())
    if kinds.is_time(kind):
        return compute.replace_substring_regex(column.cast(pa.string()), r"\.0+$", "")
    if (
        kinds.is_nested(kind)
        or kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_duration(kind)
    ):
        raise UserError(
            f"{path}: column {name!r} holds {kind}, expected numbers, texts or times. Take it out"
        )
    return column
