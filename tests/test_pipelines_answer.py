import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.answer import to_json


@dataclass(frozen=True)
class Inner:
    loss: float


@dataclass(frozen=True)
class Result:
    value: Any


def plain(value: Any) -> Any:
    return json.loads(to_json(Result(value)))["value"]


def test_records_lists_and_mappings_are_plain() -> None:
    assert plain((Inner(0.5), {"a": [1]}, None, True, "x")) == [{"loss": 0.5}, {"a": [1]}, None, True, "x"]


def test_what_is_undefined_is_null() -> None:
    assert plain([float("nan"), float("inf"), np.float32("nan")]) == [None, None, None]


def test_times_durations_paths_and_arrays_have_a_form() -> None:
    assert plain(datetime(2013, 3, 1, tzinfo=UTC)) == "2013-03-01T00:00:00+00:00"
    assert plain(timedelta(minutes=1)) == 60.0
    assert plain(Path("a/b")) == "a/b"
    assert plain([np.float64(0.5), np.arange(2)]) == [0.5, [0, 1]]


@dataclass(frozen=True)
class Told:
    loss: float
    chart: tuple[str, ...] = field(default=("▇▁",), metadata={"json": False})


def test_what_is_for_the_terminal_alone_is_left_out() -> None:
    assert json.loads(to_json([Told(0.5)])) == [{"loss": 0.5}]
