"""What a request of labels says, read strictly."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.arrival import ArrivingLabel
from pipelines.invocations import LONGEST_ID, BadRequest, key_text, read_json
from pipelines.moments import microseconds

LONGEST_LABEL = 1000  # characters
MOST_LABELS = 100_000  # of a request
AHEAD = timedelta(hours=1)  # a moment may lie so far ahead of our clock, for clocks differ
_EXAMPLE = '[{"id": "...", "value": 1}]'
_FORM = "an object with id or key, with value, and perhaps with moment"


def read_labels(body: bytes, *, known_at: int, caller: str) -> list[ArrivingLabel]:
    """The labels of a request; `BadRequest` names the first thing that is wrong. known_at: microseconds."""
    labels = read_json(body).get("labels")
    if not isinstance(labels, list) or not labels:
        raise BadRequest("labels", "none came", f"a list such as {_EXAMPLE}", rule="rows")
    if len(labels) > MOST_LABELS:
        found = f"{len(labels):,} labels"
        raise BadRequest("labels", found, f"at most {MOST_LABELS:,}", rule="rows", status=413)
    return [_label(label, f"labels[{place}]", known_at, caller) for place, label in enumerate(labels)]


def _label(label: Any, field: str, known_at: int, caller: str) -> ArrivingLabel:
    if not isinstance(label, dict) or set(label) - {"moment"} not in ({"id", "value"}, {"key", "value"}):
        raise BadRequest(field, "something else came", _FORM)
    keyed = "key" in label
    id = _key(label["key"], field) if keyed else _id(label["id"], field)
    value = label["value"]
    if not is_label(value):
        raise BadRequest(f"{field}.value", "no label", "a number, a text, true or false", rule="type")
    moment = _moment(label["moment"], field, known_at) if "moment" in label else None
    return ArrivingLabel(id, value, known_at, moment, keyed, caller)


def is_label(value: Any) -> bool:
    """Whether a single value says something: a number, a text that is not too long, true or false.

    >>> is_label(1.5), is_label("late"), is_label(None), is_label(float("nan"))
    (True, True, False, False)
    """
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and len(value) <= LONGEST_LABEL)


def _id(id: Any, field: str) -> str:
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID:
        raise BadRequest(f"{field}.id", "no text", "an id as an answer of /invocations gives it", rule="id")
    return id


def _key(key: Any, field: str) -> str:
    try:
        return key_text(key)
    except ValueError as problem:
        raise BadRequest(f"{field}.key", str(problem), rule="key") from None


def _moment(written: Any, field: str, known_at: int) -> int:
    try:
        return read_moment(written, known_at)
    except ValueError as problem:
        raise BadRequest(f"{field}.moment", str(problem), rule="time") from None


def read_moment(written: Any, known_at: int) -> int:
    """When a label was found out, in microseconds; ValueError where that is no moment, or still to come.

    >>> read_moment("1970-01-01T00:00:01Z", known_at=0)
    1000000
    """
    try:
        moment = datetime.fromisoformat(written)
        found = microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        raise ValueError("no moment; expected ISO 8601, e.g. 2013-03-01T12:00:00Z") from None
    if found > known_at + AHEAD // timedelta(microseconds=1):
        raise ValueError(f"{written} is still to come; expected when the label was found out")
    return found
