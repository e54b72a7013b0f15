"""What a request to score rows says: MLflow's protocol, read strictly."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import orjson

from models.schema import Column, Schema
from pipelines.plain_columns import Array, columns_of, moments

FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")
_FORMATS = frozenset(FORMATS)
# the latter may stand beside the rows; params is MLflow's, and has no effect here
_ALLOWED = frozenset((*FORMATS, "ids", "times", "params"))
_MOST_USUAL = 1000  # rows with and without some missing values
LONGEST_ID = 200  # characters
MOST_ROWS = 100_000  # of a request; the limit of its bytes is met before in all but the narrowest tables
_MISSING_IN_CSV = frozenset(("", "NA", "N/A", "NaN", "nan", "null", "None", "<NA>"))


class BadRequest(Exception):
    """A request that cannot be answered.

    status: of HTTP; field: which part of it; rule: what was broken, in a word or two; reason: what came and what was
    expected, in words; expected: the latter alone.
    """

    def __init__(
        self, field: str, found: str, expected: str = "", *, rule: str = "form", status: int = 400
    ) -> None:
        self.reason = f"{found}; expected {expected}" if expected else found
        super().__init__(f"{field}: {self.reason}" if field else self.reason)
        self.field, self.rule, self.expected, self.status = field, rule, expected, status


@dataclass(frozen=True)
class Invocation:
    """Rows to be scored. columns: the schema's in its order, n values each; ids, times: n, where they were given.

    keys: the user's own names for what the rows are about, from the column that the project names; None without it.
    """

    columns: Mapping[str, Sequence[Any]]
    rows: int
    ids: tuple[str, ...] | None = None
    times: Array | None = None
    keys: tuple[str | None, ...] | None = None


class Form:
    """What the rows of a version look like in a request.

    booleans: number columns whose values are true and false; in any other a bool is refused. key: the column that
    says what a row is about, by the user's own name.
    """

    def __init__(
        self, schema: Schema, booleans: frozenset[str] = frozenset(), key: str | None = None
    ) -> None:
        self.schema, self.booleans, self.key = schema, booleans, key
        self.names = list(schema.column_names)
        self.known = frozenset(self.names)
        self.allowed = [_allowed(column, booleans) for column in schema.columns]
        self.dates = any(column.takes == "date" for column in schema.columns)
        self._usual: set[tuple[type, ...]] = set()

    def is_usual(self, columns: Mapping[str, Sequence[Any]]) -> bool:
        """Whether a single row has types that were found to be in order before."""
        return tuple([type(values[0]) for values in columns.values()]) in self._usual

    def remember(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """The types of a single row are in order."""
        if len(self._usual) < _MOST_USUAL:
            self._usual.add(tuple([type(values[0]) for values in columns.values()]))


def _allowed(column: Column, booleans: frozenset[str]) -> frozenset[type]:
    if column.takes != "number":
        return frozenset((str, int, float, bool, NoneType))
    return frozenset((int, float, NoneType, bool) if column.name in booleans else (int, float, NoneType))


def read_invocation(body: bytes, content_type: str, form: Form) -> Invocation:
    """The rows of a request, checked against the schema; `BadRequest` names the first thing that is wrong."""
    if content_type == "application/json":
        return _from_json(body, form)
    kind, _, options = content_type.partition(";")
    if options.strip() and options.replace(" ", "").lower() != "charset=utf-8":
        raise BadRequest("Content-Type", repr(content_type[:80]), "charset=utf-8", rule="charset", status=415)
    if kind.strip().lower() == "application/json":
        return _from_json(body, form)
    if kind.strip().lower() == "text/csv":
        return _from_csv(body, form)
    expected = "application/json or text/csv"
    raise BadRequest("Content-Type", repr(kind[:80]), expected, rule="media type", status=415)


def _checked(invocation: Invocation, form: Form, *, thoroughly: bool) -> Invocation:
    """thoroughly: whether values of the right type may still be none that the schema takes."""
    if not invocation.rows:
        raise BadRequest("", "the request holds no rows", "at least one", rule="rows")
    if invocation.rows > MOST_ROWS:
        found = f"{invocation.rows:,} rows"
        raise BadRequest("", found, f"at most {MOST_ROWS:,} in a request", rule="rows", status=413)
    if invocation.rows > 1 or not form.is_usual(invocation.columns):
        _check_types(invocation.columns, form)
    if thoroughly or form.dates:
        for fault in form.schema.check(invocation.columns):
            raise BadRequest(fault.column, fault.problem, rule="value")
    return invocation


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object; NaN, Infinity, bad UTF-8 and lone surrogates are refused."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("", f"the body is not JSON: {error}", rule="JSON") from None
    if not isinstance(content, dict):
        raise BadRequest("", f"the body is {_name_of(content)}", "an object", rule="JSON")
    if body.count(b":") != _keys(content):  # a colon in a text, or a key that came twice
        _check_unique(body)
    return content


def _keys(content: Mapping[str, Any]) -> int:
    """How many keys there are where a request usually has some; texts may hold further colons."""
    count = len(content)
    for value in content.values():
        if isinstance(value, dict):
            count += len(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            rows = value if set(map(type, value)) == {dict} else [row for row in value if type(row) is dict]
            count += sum(map(len, rows))
    return count


def _check_unique(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_unique)
    except RecursionError:
        raise BadRequest("", "the body is nested too deeply", rule="depth") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(twice[:80], "the name comes twice in one object", "each name once", rule="unique")
    return found


# --- JSON --------------------------------------------------------------------------------------------


def _from_json(body: bytes, form: Form) -> Invocation:
    content = read_json(body)
    named = [name for name in content if name in _FORMATS]
    if len(named) != 1:
        expected = f"exactly one of {', '.join(FORMATS)}"
        raise BadRequest("", f"found {_shown(list(content))}", expected, rule="format")
    if not _ALLOWED.issuperset(content):
        unknown = [name for name in content if name not in _ALLOWED]
        expected = f"{named[0]}, ids or times"
        raise BadRequest(unknown[0][:80], "no part of a request", expected, rule="unknown name")
    columns = _columns(named[0], content[named[0]], form)
    kept, rows = _of_schema(columns, form)
    ids = _ids(content["ids"], rows) if "ids" in content else None
    times = _times(content["times"], rows) if "times" in content else None
    keys = _keys_in(columns, form, rows)
    # JSON knows no infinite number, and what is too large for one was refused with it
    return _checked(Invocation(kept, rows, ids, times, keys), form, thoroughly=False)


def _columns(name: str, value: Any, form: Form) -> dict[str, list[Any]]:
    if name == "dataframe_split":
        return _from_split(value, form)
    if name == "dataframe_records":
        return _from_rows(name, value, form)
    if isinstance(value, dict):
        return {column: values if isinstance(values, list) else [values] for column, values in value.items()}
    return _from_rows(name, value, form)


def _from_split(value: Any, form: Form) -> dict[str, list[Any]]:
    if not isinstance(value, dict) or not {"columns", "data"} <= set(value):
        raise BadRequest("dataframe_split", _name_of(value), "an object with columns and data")
    names, data = value["columns"], value["data"]
    if names == form.names:
        return _from_lists("dataframe_split.data", names, data)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest("dataframe_split.columns", _name_of(names), "a list of names")
    if len(set(names)) < len(names):
        raise BadRequest("dataframe_split.columns", "a name comes twice", "each name once", rule="unique")
    return _from_lists("dataframe_split.data", names, data)


def _from_lists(field: str, names: Sequence[str], data: Any) -> dict[str, list[Any]]:
    if not isinstance(data, list):
        raise BadRequest(field, _name_of(data), "a list of rows")
    if not (set(map(type, data)) <= {list} and set(map(len, data)) <= {len(names)}):
        wrong = (place for place, row in enumerate(data) if type(row) is not list or len(row) != len(names))
        place = next(wrong)
        row = data[place]
        found = f"a list of {len(row)} values" if type(row) is list else _name_of(row)
        raise BadRequest(f"{field}[{place}]", found, f"a list of {len(names)} values", rule="width")
    columns = map(list, zip(*data, strict=True)) if data else [[] for _ in names]
    return dict(zip(names, columns, strict=True))


def _from_rows(field: str, value: Any, form: Form) -> dict[str, list[Any]]:
    """Rows as objects by column name, or as lists in the order of the schema's columns."""
    if not isinstance(value, list):
        raise BadRequest(field, _name_of(value), "a list of rows")
    if value and all(isinstance(row, list) for row in value):
        return _from_lists(field, form.names, value)
    if not set(map(type, value)) <= {dict}:
        place, row = next((place, row) for place, row in enumerate(value) if type(row) is not dict)
        raise BadRequest(f"{field}[{place}]", _name_of(row), "an object by column name")
    return columns_of(value)


def _of_schema(columns: Mapping[str, list[Any]], form: Form) -> tuple[dict[str, list[Any]], int]:
    """The schema's columns and the number of rows; other columns have no effect and are left out."""
    rows = max(map(len, columns.values()), default=0)
    if (
        len(columns) == len(form.names)
        and list(columns) == form.names
        and min(map(len, columns.values())) == rows
    ):
        return dict(columns), rows
    if rows and not form.known <= columns.keys():
        missing = next(name for name in form.names if name not in columns)
        raise BadRequest(missing, "missing", f"the columns {_shown(form.names)}", rule="column")
    for name, values in columns.items():
        if len(values) != rows:
            raise BadRequest(
                name[:80], f"{len(values)} values", f"{rows}, as in another column", rule="length"
            )
    return {name: columns[name] for name in form.names if name in columns}, rows


def _ids(value: Any, rows: int) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != rows:
        raise BadRequest("ids", _name_of(value), f"a list of {rows} texts, one for each row", rule="length")
    for place, one in enumerate(value):
        if not isinstance(one, str) or not 0 < len(one) <= LONGEST_ID or not one.isprintable():
            expected = f"a text of 1 to {LONGEST_ID} printable characters"
            raise BadRequest(f"ids[{place}]", _name_of(one), expected, rule="id")
    if len(set(value)) < rows:
        raise BadRequest("ids", "an id comes twice", "one of its own for every row", rule="unique")
    return tuple(value)


def _keys_in(columns: Mapping[str, Sequence[Any]], form: Form, rows: int) -> tuple[str | None, ...] | None:
    if form.key is None or form.key not in columns:
        return None
    try:
        return tuple(None if value is None else key_text(value) for value in columns[form.key])
    except ValueError as problem:
        raise BadRequest(form.key, str(problem), rule="key") from None


def key_text(value: Any) -> str:
    """A user's own key as text; ValueError for what is none.

    >>> key_text(4711), key_text(4711.0), key_text("4711")
    ('4711', '4711', '4711')
    """
    # as pandas writes whole numbers of which one is missing
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and 0 < len(text) <= LONGEST_ID and text.isprintable():
        return text
    raise ValueError(
        f"{_name_of(value)}; expected a text of 1 to {LONGEST_ID} printable characters, or a whole number"
    )


def _times(value: Any, rows: int) -> Array | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != rows:
        raise BadRequest("times", _name_of(value), f"a list of {rows} times, one for each row", rule="length")
    return moments([_time(one, place) for place, one in enumerate(value)])


def _time(value: Any, place: int) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment
    except (TypeError, ValueError, OverflowError):
        expected = "ISO 8601, e.g. 2013-03-01T12:00:00Z"
        raise BadRequest(f"times[{place}]", _name_of(value), expected, rule="time") from None


# --- CSV ---------------------------------------------------------------------------------------------


def _from_csv(body: bytes, form: Form) -> Invocation:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest("", f"the body is not CSV in UTF-8: {error}", rule="CSV") from None
    if not lines:
        raise BadRequest("", "the body is empty", "a first line that names the columns", rule="CSV")
    names, rows = lines[0], [line for line in lines[1:] if line]
    if len(set(names)) < len(names):
        raise BadRequest("", "a column name comes twice in the first line", "each name once", rule="unique")
    came = _from_lists("row", names, rows)
    columns, count = _of_schema(came, form)
    if not count:
        return _checked(Invocation({}, 0), form, thoroughly=False)
    if form.key in came:
        came = {form.key: [None if text in _MISSING_IN_CSV else text for text in came[form.key]]}
    keys = _keys_in(came, form, count)
    read = {column.name: _read(column, columns[column.name], form.booleans) for column in form.schema.columns}
    return _checked(Invocation(read, count, keys=keys), form, thoroughly=True)


def _read(column: Column, values: Sequence[str], booleans: frozenset[str]) -> list[Any]:
    if column.takes == "number":
        return _numbers(column.name, values, booleans)
    levels = getattr(column, "levels", ())
    whole = bool(levels) and all(_is_whole(level) for level in levels)
    return [None if text in _MISSING_IN_CSV else _level(text, whole) for text in values]


def _level(text: str, whole: bool) -> str | int:
    """The value of a category; 3 where levels are whole numbers, though pandas may have written 3.0."""
    number = text.removesuffix(".0")
    return int(number) if whole and _is_whole(number) else text


def _is_whole(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit() and len(text) < 18


def _numbers(name: str, values: Sequence[str], booleans: frozenset[str]) -> list[float | bool | None]:
    read: list[float | bool | None] = []
    for row, text in enumerate(values):
        text = text.strip()
        if text in _MISSING_IN_CSV:
            read.append(None)
        elif name in booleans and text.lower() in ("true", "false"):
            read.append(text.lower() == "true")
        else:
            read.append(_number(name, row, text))
    return read


def _number(name: str, row: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadRequest(name, f"{text[:40]!r} in row {row} (from 0)", "a number", rule="number") from None


# --- values ------------------------------------------------------------------------------------------


def _check_types(columns: Mapping[str, Sequence[Any]], form: Form) -> None:
    """columns: those of the schema, in its order."""
    for name, allowed, values in zip(columns, form.allowed, columns.values(), strict=True):
        if not allowed.issuperset(map(type, values)):
            raise _of_another_type(name, allowed, values)
    if all(len(values) == 1 for values in columns.values()):
        form.remember(columns)


def _of_another_type(name: str, allowed: frozenset[type], values: Sequence[Any]) -> BadRequest:
    row = next(row for row, value in enumerate(values) if type(value) not in allowed)
    expected = "a text, a number or null" if str in allowed else "a number or null"
    return BadRequest(name, f"{_name_of(values[row])} in row {row} (from 0)", expected, rule="type")


def booleans_of(rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Columns that hold true and false in rows as a user sends them.

    >>> sorted(booleans_of([{"late": True, "wind": 3.0}, {"late": None, "wind": 1}]))
    ['late']
    """
    return frozenset(name for row in rows for name, value in row.items() if isinstance(value, bool))


def _name_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(names: Sequence[str]) -> str:
    text = ", ".join(names) or "nothing"
    return text if len(text) <= 200 else text[:200] + "..."
