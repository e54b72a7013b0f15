"""Rows that mislead are named, and what follows from that is judged on rows that chose nothing."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import pytest

from models.intervals import Resampling
from models.losses import row_losses
from pipelines.learning import Examples
from pipelines.training_rows import Taught, TrainingRows, value_training_rows

Array = Any
HOUR = np.timedelta64(1, "h")


def rows(count: int, seed: int, *, wrong: float = 0.0, first: int = 0, shift: float = 0.0) -> Examples:
    rng = np.random.default_rng(seed)
    inputs = (rng.normal(size=(count, 3)) + shift).astype(np.float32)
    targets = (inputs[:, 0] - shift > 0).astype(np.float32)
    spoiled = np.arange(count) < round(wrong * count)
    times = np.datetime64("2021-01-01", "us") + (first + np.arange(count)) * HOUR
    return Examples.of(inputs, np.where(spoiled, 1 - targets, targets).astype(np.float32), times)


def taught(learn: Examples, judge: Examples | None = None) -> Taught:
    judge = judge or rows(300, 9, first=2000)
    return Taught(
        "binary",
        1,
        learn,
        np.array([f"row {place}" for place in range(len(learn))], object),
        np.where(learn.targets > 0, "yes", "no"),
        rows(200, 8, first=1500),
        judge,
        np.random.default_rng(0).exponential(size=len(judge)),
        Resampling(len(judge), resamples=200),
        partial(row_losses, "binary_crossentropy"),
        0,
    )


def found(learn: Examples, judge: Examples | None = None) -> TrainingRows:
    return value_training_rows(taught(learn, judge), lambda text: None)


def test_spoiled_rows_are_named_first_with_their_target_and_time() -> None:
    valued = found(rows(1000, 0, wrong=0.1))
    assert {int(row.id.split()[1]) < 100 for row in valued.worst} == {True}
    assert valued.worst[0].value < 0
    assert valued.worst[0].target in ("yes", "no")
    assert valued.worst[0].time.startswith("2021-01-0")
    assert 80 < valued.harmful < 250
    assert valued.verdicts[0].startswith(
        f"{valued.harmful} of 1,000 rows that taught mislead their neighbours"
    )


def test_leaving_spoiled_rows_out_helps_on_rows_that_did_not_choose_them() -> None:
    valued = found(rows(1000, 0, wrong=0.2))
    assert valued.left_out >= 0.1
    assert valued.loss_without < valued.loss_all
    assert valued.low > 0
    assert any("these rows do harm" in sentence for sentence in valued.verdicts)


def test_where_all_rows_are_of_use_none_is_left_out() -> None:
    valued = dataclasses.replace(found(rows(300, 0)), left_out=0.0)
    assert any("none is worth leaving out" in sentence for sentence in valued.verdicts)
    by_chance = dataclasses.replace(valued, left_out=0.01, low=-1.0, high=1.0)
    assert any("which may be chance" in sentence for sentence in by_chance.verdicts)


def test_old_rows_that_say_less_are_told() -> None:
    valued = found(rows(1000, 0, wrong=0.25))  # the oldest quarter is all wrong
    assert [age.rows for age in valued.ages] == [250] * 4
    assert valued.ages[0].value < 0 < valued.ages[3].value
    assert any("old rows have less to say" in sentence for sentence in valued.verdicts)
    turned = dataclasses.replace(valued, ages=valued.ages[::-1])
    assert any("are worth more than those since" in sentence for sentence in turned.verdicts)
    equal = dataclasses.replace(valued, ages=valued.ages[2:])
    assert not any("are worth" in sentence for sentence in equal.verdicts)


def test_judged_rows_of_another_kind_are_counted_with_their_loss() -> None:
    usual = found(rows(1000, 0))
    assert usual.strange_share < 0.05
    other = found(rows(1000, 0), rows(300, 9, first=2000, shift=9.0))
    assert other.strange_share == 1.0
    assert other.strange is None
    assert other.verdicts[-1] == "100.0% of the judged rows are unlike any that taught (about 1% is usual)"
    mixed = rows(300, 9, first=2000)
    mixed = Examples.of(
        np.where(np.arange(300)[:, None] < 60, mixed.inputs + 9, mixed.inputs), mixed.targets, mixed.times
    )
    some = found(rows(1000, 0), mixed)
    assert some.strange is not None
    assert some.strange.rows >= 60
    assert "they are answered no worse: loss" in some.verdicts[-1]


def test_of_many_rows_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.training_rows.MOST_ROWS", 100)
    told: list[str] = []
    valued = value_training_rows(taught(rows(500, 0)), told.append)
    assert valued.looked_at == 100
    assert told == ["what 100 of the rows that taught are worth"]


def test_nothing_harmful_is_not_told() -> None:
    assert not any(
        "mislead" in sentence for sentence in dataclasses.replace(found(rows(100, 0)), harmful=0).verdicts
    )
