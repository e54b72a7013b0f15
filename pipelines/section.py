"""One section of a project file: from a TOML table to a frozen dataclass, with every fault named.

The dataclass is the whole description. A field's type says what may be written, its default what holds when
nothing is written, and its metadata the rest:

    doc      one sentence for docs/project-file.md
    range    (least, most), both allowed; for a list it holds for each item
    choices  the allowed values
    kind     a name in KINDS: a text with a form of its own, e.g. "module:function"
    example  what a right value looks like
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar

from pipelines.duration import parse_duration, write_duration
from pipelines.nearest import did_you_mean, nearest
from pipelines.written_date import parse_moment, to_utc

Record = TypeVar("Record")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a project file.

    >>> print(Fault("serve.port", "70000", "out of range. Write a number from 1 to 65535"))
    [serve] port = 70000: out of range. Write a number from 1 to 65535
    """

    key: str
    written: str | None  # as the user wrote it; None where there is no value or it may be a secret
    problem: str

    def __str__(self) -> str:
        section, dot, name = self.key.partition(".")
        place = f"[{section}] {name}" if dot else f"[{section}]"
        return (
            f"{place}: {self.problem}"
            if self.written is None
            else f"{place} = {self.written}: {self.problem}"
        )


@dataclass(frozen=True)
class KeyDoc:
    """One key as the documentation shows it."""

    key: str
    type: str
    default: str | None  # None: the key must be written
    doc: str
    example: str  # a right value as TOML writes it: the default where that is one


class NotThis(ValueError):
    """A value that its field does not take; the text says what it takes."""


# --- texts with a form of their own ---

_MODULE_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?")


def is_reference(text: str) -> bool:
    """Whether a text names a user's function.

    >>> is_reference("flights:load"), is_reference("huber")
    (True, False)
    """
    return _MODULE_FUNCTION.fullmatch(text) is not None


def _check_reference(text: str) -> str | None:
    if is_reference(text):
        return None
    return 'not the name of a function. Write "module:function", e.g. "flights:load" for load() in flights.py'


def _check_secret(text: str) -> str | None:
    if re.fullmatch(r"env:\w+", text, re.ASCII) or re.fullmatch(r"file:.+", text):
        return None
    return 'a secret has no place in this file. Write "env:NAME" for a variable or "file:PATH" for a file'


def _check_store(text: str) -> str | None:
    if re.match(r"[\w+.-]+://[^/@\s]*:[^/@\s]*@", text):
        return 'has a password in it. Put the address into a variable and write "env:NAME"'
    return None


def _check_window(text: str) -> str | None:
    from monitoring.window import WindowLength

    try:
        WindowLength.parse(text)
    except ValueError:
        return 'not a window. Write "hour", "day", "week", "month" or e.g. "7d"'
    return None


def _check_false_alarms(text: str) -> str | None:
    from monitoring.budget import FalseAlarms

    try:
        FalseAlarms.parse(text)
    except ValueError as problem:
        return str(problem)
    return None


def _check_slice(text: str) -> str | None:
    from models.slices import parse_slice

    try:
        parse_slice(text)
    except ValueError as problem:
        return str(problem)
    return None


def _is_cron_part(part: str, least: int, most: int) -> bool:
    match = _CRON_PART.fullmatch(part)
    numbers = [int(number) for number in match.group(1, 2) if number] if match else []
    return (
        match is not None
        and all(least <= number <= most for number in numbers)
        and numbers == sorted(numbers)
    )


def _check_cron(text: str) -> str | None:
    fields = text.split()
    right = len(fields) == 5 and all(
        _is_cron_part(part, *limits)
        for field, limits in zip(fields, _CRON_RANGES, strict=True)
        for part in field.split(",")
    )
    return None if right else 'not a cron line. Write minute, hour, day, month and weekday, e.g. "0 3 * * *"'


def _check_name(text: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", text, re.ASCII):
        return None
    return 'not a name. Write up to 100 letters, digits, "-", "_" and ".", e.g. "flight-delays"'


KINDS: Mapping[str, Callable[[str], str | None]] = {
    "reference": _check_reference,
    "secret": _check_secret,
    "store": _check_store,
    "window": _check_window,
    "false alarms": _check_false_alarms,
    "cron": _check_cron,
    "slice": _check_slice,
    "name": _check_name,
}


# --- one value ---


def _came(value: object) -> str:
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a table"),
        ((datetime, date, time), "a date or time"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)


def _refuse(value: object, expected: str) -> NotThis:
    return NotThis(f"expected {expected}, came {_came(value)}")


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse(value, "true or false")
    return value


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(value, "a whole number, e.g. 64")
    return value


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(value, "a number, e.g. 0.5")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise NotThis("not a finite number. Write e.g. 0.5")
    return number


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise _refuse(value, 'a text in quotes, e.g. "cnt"')
    if not value.strip() or "\0" in value:
        raise NotThis("empty. Write a text, or leave the key out")
    return value


def _duration(value: object) -> timedelta:
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    if not isinstance(value, str):
        raise _refuse(value, 'a duration in quotes, e.g. "7d"')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise NotThis(str(error)) from None


def _datetime(value: object) -> datetime:
    if not isinstance(value, str | date):  # a datetime is a date
        raise _refuse(value, "a date, e.g. 2013-03-01")
    try:
        return parse_moment(value) if isinstance(value, str) else to_utc(value)
    except ValueError as error:
        raise NotThis(str(error)) from None


_READERS: Mapping[Any, Callable[[object], object]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    timedelta: _duration,
    datetime: _datetime,
}
_TYPE_NAMES: Mapping[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    str: ("text", "texts"),
    timedelta: ("duration", "durations"),
    datetime: ("date", "dates"),
}


def _members(kind: Any) -> tuple[Any, ...]:
    """The types that a field takes, None left out: `str | None` takes str."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(member for member in typing.get_args(kind) if member is not type(None))
    return (kind,)


def _read_list(item: Any, value: object) -> tuple[object, ...]:
    items = value if isinstance(value, list) else [value]  # one item may stand without brackets
    return tuple(_READERS[item](one) for one in items)


def _read_table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _refuse(value, "a table, e.g. {delta = 2.0}")
    for name, item in value.items():
        if not isinstance(item, bool | int | float | str):
            raise NotThis(f"{name}: expected a number, a text, true or false, came {_came(item)}")
    return dict(value)


def _is_table(kind: Any) -> bool:
    return typing.get_origin(kind) is Mapping


def _read_type(kind: Any, value: object) -> object:
    if _is_table(kind):
        return _read_table(value)
    if typing.get_origin(kind) is tuple:
        return _read_list(typing.get_args(kind)[0], value)
    if typing.get_origin(kind) is typing.Literal:
        return _one_of(value, typing.get_args(kind))
    return _READERS[kind](value)


def _read_any(kind: Any, value: object) -> object:
    problems = []
    for member in _members(kind):
        try:
            return _read_type(member, value)
        except NotThis as problem:
            problems.append(str(problem))
    raise NotThis(" or ".join(problems))


def _one_of(value: object, choices: Iterable[object]) -> object:
    known = [choice for choice in choices if choice is not None]
    if any(value == choice and type(value) is type(choice) for choice in known):
        return value
    close = nearest(value, [c for c in known if isinstance(c, str)]) if isinstance(value, str) else None
    advice = f'; the nearest is "{close}"' if close else ""
    raise NotThis(f"not known. Write one of {', '.join(_write(choice) for choice in known)}{advice}")


def _check_range(value: object, limits: tuple[Any, Any]) -> None:
    least, most = limits
    numbers = value if isinstance(value, tuple) else (value,)
    if all((least is None or number >= least) and (most is None or number <= most) for number in numbers):
        return
    if most is None:
        raise NotThis(f"out of range. Write {_write(least)} or more")
    raise NotThis(f"out of range. Write a value from {_write(least)} to {_write(most)}")


def _check_kind(value: object, kind: str) -> None:
    if isinstance(value, str) and (problem := KINDS[kind](value)):
        raise NotThis(problem)


def read_value(kind: Any, metadata: Mapping[str, Any], value: object) -> object:
    """The value in the field's own type; NotThis where the field does not take it.

    >>> read_value(timedelta, {}, "7d")
    datetime.timedelta(days=7)
    >>> read_value(int, {"range": (1, 65535)}, 70000)
    Traceback (most recent call last):
        ...
    pipelines.section.NotThis: out of range. Write a value from 1 to 65535
    """
    read = _read_any(kind, value)
    for item in read if isinstance(read, tuple) else (read,):
        if "choices" in metadata:
            _one_of(item, metadata["choices"])
        if "kind" in metadata:
            _check_kind(item, metadata["kind"])
    if "range" in metadata:
        _check_range(read, metadata["range"])
    return read


# --- a section ---


def _write(value: object) -> str:
    """A value as TOML writes it.

    >>> _write(("hr", "mnth")), _write(timedelta(hours=12)), _write({"delta": 2.0})
    ('["hr", "mnth"]', '"12h"', '{delta = 2.0}')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return f'"{write_duration(value)}"'
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_write(item) for item in value)}]"
    if isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_write_key(name)} = {_write(item)}' for name, item in value.items())}}}"
    return str(value)


def _write_key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else _write(name)


write_value = _write


def _shown(value: object, metadata: Mapping[str, Any]) -> str | None:
    if metadata.get("kind") in ("secret", "store"):
        return None
    text = _write(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def field_names(record: type) -> tuple[str, ...]:
    """The keys that a section of this record has."""
    return tuple(field.name for field in dataclasses.fields(record))


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _missing(section: str, field: dataclasses.Field[Any]) -> Fault:
    example = field.metadata.get("example", '"..."')
    return Fault(f"{section}.{field.name}", None, f"missing. Write e.g. {field.name} = {example}")


def read_section(
    section: str, table: Mapping[str, Any], record: type[Record]
) -> tuple[Record | None, tuple[Fault, ...]]:
    """The record that a table describes, or every fault of its values; unknown keys are passed over.

    >>> @dataclass(frozen=True)
    ... class Serve:
    ...     host: str = "127.0.0.1"
    ...     port: int = dataclasses.field(default=8000, metadata={"range": (1, 65535)})
    >>> read_section("serve", {"port": 80}, Serve)[0].port
    80
    >>> print(*read_section("serve", {"port": "80", "host": 3}, Serve)[1], sep="\\n")
    [serve] host = 3: expected a text in quotes, e.g. "cnt", came a whole number
    [serve] port = "80": expected a whole number, e.g. 64, came a text
    """
    kinds = typing.get_type_hints(record)
    values: dict[str, object] = {}
    faults: list[Fault] = []
    for field in dataclasses.fields(typing.cast(Any, record)):
        if field.name in table:
            value = table[field.name]
            try:
                values[field.name] = read_value(kinds[field.name], field.metadata, value)
            except NotThis as problem:
                faults.append(Fault(f"{section}.{field.name}", _shown(value, field.metadata), str(problem)))
        elif _is_required(field):
            faults.append(_missing(section, field))
    if faults:
        return None, tuple(faults)
    try:
        return record(**values), ()
    except ValueError as error:  # a record may refuse a combination of values
        return None, (Fault(section, None, str(error)),)


def unknown_keys(
    section: str, table: Mapping[str, Any], known: Mapping[str, Iterable[str]]
) -> tuple[Fault, ...]:
    """A fault for each key that the section does not have. Their values are not shown: they may be secrets.

    known: section name -> its keys, of the whole file.

    >>> print(unknown_keys("data", {"taget": 1}, {"data": ["target"], "serve": ["port"]})[0])
    [data] taget: unknown key; the nearest is 'target'
    >>> print(unknown_keys("data", {"port": 1}, {"data": ["target"], "serve": ["port"]})[0])
    [data] port: unknown key; [serve] has one of this name
    """
    faults = []
    for key in table:
        if key in known[section]:
            continue
        homes = [other for other, keys in known.items() if key in keys]
        advice = f"; [{homes[0]}] has one of this name" if homes else did_you_mean(key, known[section])
        faults.append(Fault(f"{section}.{key}", None, f"unknown key{advice}"))
    return tuple(faults)


def _type_name(kind: Any, metadata: Mapping[str, Any]) -> str:
    if "choices" in metadata:
        return "one of " + ", ".join(_write(choice) for choice in metadata["choices"] if choice is not None)
    names = []
    for member in _members(kind):
        if typing.get_origin(member) is tuple:
            names.append(f"list of {_TYPE_NAMES[typing.get_args(member)[0]][1]}")
        elif _is_table(member):
            names.append("table")
        elif typing.get_origin(member) is typing.Literal:
            names.append("one of " + ", ".join(_write(choice) for choice in typing.get_args(member)))
        else:
            names.append(_TYPE_NAMES[member][0])
    if "range" in metadata:
        least, most = metadata["range"]
        names[-1] += (
            f", {_write(least)} or more" if most is None else f" from {_write(least)} to {_write(most)}"
        )
    return " or ".join(names)


def describe_section(section: str, record: type) -> tuple[KeyDoc, ...]:
    """Every key of a section with its type, default and sentence, in the order of the record."""
    kinds = typing.get_type_hints(record)
    docs = []
    for field in dataclasses.fields(record):
        default = None if _is_required(field) else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        shown = None if _is_required(field) else field.metadata.get("default_doc", _default_text(default))
        type_name = _type_name(kinds[field.name], field.metadata)
        example = _example(kinds[field.name], field.metadata, default)
        docs.append(
            KeyDoc(f"{section}.{field.name}", type_name, shown, field.metadata.get("doc", ""), example)
        )
    return tuple(docs)


_EXAMPLES_BY_KIND = {"reference": '"module:function"', "secret": '"env:NAME"', "store": '"env:NAME"'}
_EXAMPLES_BY_TYPE: Mapping[Any, str] = {timedelta: '"1h"', datetime: "2013-01-01", str: '"..."'}


def _example(kind: Any, metadata: Mapping[str, Any], default: object) -> str:
    if default is not None and default not in ("", (), {}):
        return _write(default)
    member = _members(kind)[0]
    empty = "[]" if typing.get_origin(member) is tuple else "{}" if _is_table(member) else "0"
    by_type = _EXAMPLES_BY_TYPE.get(member, empty)
    return str(metadata.get("example", _EXAMPLES_BY_KIND.get(metadata.get("kind", ""), by_type)))


def _default_text(default: object) -> str:
    return "none" if default is None or default in ((), {}) else _write(default)
