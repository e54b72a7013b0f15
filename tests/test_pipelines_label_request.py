"""A request of labels is read strictly, and the first thing that is wrong is named."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pipelines.arrival import ArrivingLabel
from pipelines.invocations import BadRequest
from pipelines.label_request import MOST_LABELS, is_label, read_labels, read_moment

HOUR = 3600 * 1_000_000


def read(*labels: Any, known_at: int = 10 * HOUR) -> list[ArrivingLabel]:
    return read_labels(orjson.dumps({"labels": labels}), known_at=known_at, caller="shop")


def test_a_label_names_a_prediction_or_the_users_own_key() -> None:
    moment = "1970-01-01T01:00:00+00:00"
    assert read({"id": "a", "value": 1}, {"key": 4711, "value": "late", "moment": moment}) == [
        ArrivingLabel("a", 1, 10 * HOUR, None, False, "shop"),
        ArrivingLabel("4711", "late", 10 * HOUR, HOUR, True, "shop"),
    ]


def test_a_moment_without_a_zone_is_utc() -> None:
    assert read_moment("1970-01-01T01:00", known_at=HOUR) == HOUR


def test_a_moment_may_be_ahead_of_our_clock_by_an_hour() -> None:
    assert read_moment("1970-01-01T02:00Z", known_at=HOUR) == 2 * HOUR
    with pytest.raises(ValueError, match="still to come"):
        read_moment("1970-01-01T02:00:01Z", known_at=HOUR)


@pytest.mark.parametrize("value", [None, [1], {}, float("inf"), "x" * 1001])
def test_what_says_nothing_is_no_label(value: Any) -> None:
    assert not is_label(value)


def test_too_many_labels_are_refused_with_their_number() -> None:
    body = b'{"labels":[' + b",".join([b"1"] * (MOST_LABELS + 1)) + b"]}"
    with pytest.raises(BadRequest, match="100,001 labels; expected at most 100,000") as refusal:
        read_labels(body, known_at=0, caller="")
    assert refusal.value.status == 413
