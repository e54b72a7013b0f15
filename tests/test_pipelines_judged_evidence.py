"""The evidence that the log keeps beside a verdict: plain, small, and whatever a judgement has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import orjson

from monitoring.faults import DataFault
from monitoring.loss_alarm import LossAlarm
from monitoring.shift import ColumnShift, ShiftResult
from monitoring.slice_alarm import SliceAlarm, SliceLoss
from pipelines.bundle import plain as plain_json
from pipelines.judged_evidence import MOST, MOST_SLICES, kept_evidence, plain

ALARM = LossAlarm(800, 0.7, 0.5, 900.0, 20.0, 530.0, 3, enough=True)
MOVED = ColumnShift("wind", 0.4, 0.2, 1.1, "above 9", 0.01, 0.3)
STILL = ColumnShift("hour", 0.1, 0.2, 0.0, "3", 0.1, 0.1)


@dataclass(frozen=True)
class Group:
    """A record as another part may give it."""

    name: str
    at: datetime

    @property
    def raised(self) -> bool:
        return True


@dataclass(frozen=True)
class Interval:
    """An estimate whose ends follow from its error."""

    loss: float
    error: float

    @property
    def low(self) -> float:
        return self.loss - self.error

    @property
    def high(self) -> float:
        return self.loss + self.error


def judgement(**parts: Any) -> Any:
    return cast(Any, SimpleNamespace(shift=ShiftResult(800, (STILL, MOVED)), **parts))


def test_only_the_columns_that_moved_are_kept() -> None:
    assert [column["name"] for column in kept_evidence(judgement())["shifted"]] == ["wind"]


def test_a_record_tells_its_fields_and_what_follows_from_them() -> None:
    kept = kept_evidence(judgement(alarm=ALARM))["alarm"]
    assert (kept["loss"], kept["threshold"], kept["raised"]) == (0.7, 530.0, True)


def test_what_a_judgement_does_not_have_is_left_out() -> None:
    assert set(kept_evidence(judgement(faults=(), estimate=None))) == {"shifted"}


def test_the_text_of_a_fault_is_its_own() -> None:
    (fault,) = kept_evidence(judgement(faults=(DataFault("wind", "constant", "3 in all rows"),)))["faults"]
    assert fault["text"] == "wind: constant: 3 in all rows"


def test_times_and_numbers_of_numpy_can_be_written() -> None:
    made = {"group": Group("a", datetime(2013, 1, 2, tzinfo=UTC)), "loss": np.float64(0.5)}
    kept = json.loads(orjson.dumps(plain_json(plain(made))))
    assert kept == {"group": {"name": "a", "at": "2013-01-02T00:00:00+00:00", "raised": True}, "loss": 0.5}


def test_a_thousand_records_do_not_swell_the_log() -> None:
    faults = tuple(DataFault("wind", "constant", str(k)) for k in range(1000))
    assert len(kept_evidence(judgement(faults=faults))["faults"]) == MOST


def test_of_slices_the_first_are_kept_with_what_is_drawn_of_them() -> None:
    slices = tuple(SliceLoss(f"carrier = {k}", "carrier", 90, 0.7, 0.5, 3.0, named=k == 0) for k in range(24))
    kept = kept_evidence(judgement(slices=SliceAlarm(slices, 900.0, 500.0, 3)))["slices"]
    assert len(kept["slices"]) == MOST_SLICES
    first = {"name": "carrier = 0", "rows": 90, "loss": 0.7, "reference_loss": 0.5, "raised": True}
    assert (kept["slices"][0], kept["raised"]) == (first, True)


def test_an_interval_that_follows_from_a_record_is_kept() -> None:
    estimate = Interval(0.5, 0.123456789)
    assert kept_evidence(judgement(estimate=estimate))["estimate"] == {
        "loss": 0.5, "error": 0.123457, "low": 0.376543, "high": 0.623457,
    }  # fmt: skip
