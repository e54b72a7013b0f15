"""Every rule finds what it is for, and none of them accuses honest rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.row_checks import CHECKS, CheckedRows, Finding, checked
from models.schema import Schema
from models.split import Split, split_in_time

START = np.datetime64("2013-01-01T00:00", "us")
HOUR = np.timedelta64(1, "h")


def clean(seed: int = 0, rows: int = 800, *, task: str = "binary") -> pd.DataFrame:
    """Rows with a signal, noise, a name, some missing values and repeated levels: nothing is wrong with them."""
    rng = np.random.default_rng(seed)
    wind = rng.normal(10, 3, rows)
    score = wind + rng.normal(0, 4, rows)
    targets: dict[str, Any] = {
        "binary": np.where(score > 10, "late", "on time"),
        "multiclass": np.digitize(score, [8, 12]),
        "regression": score,
    }
    return pd.DataFrame(
        {
            "wind": wind,
            "rain": np.where(rng.random(rows) < 0.1, np.nan, rng.exponential(1, rows)),
            "carrier": rng.choice(["UA", "DL", "AA"], rows),
            "hour": np.arange(rows) % 24,
            "y": targets[task],
        }
    )


def times_of(rows: int) -> np.ndarray[Any, Any]:
    return START + np.arange(rows) * HOUR


def look(
    frame: pd.DataFrame,
    *,
    split: Split | None = None,
    times: Any = "hourly",
    expected: Schema | None = None,
) -> list[Finding]:
    parts = split_in_time(len(frame)) if split is None else split
    schema = Schema.fit(frame.iloc[parts.train], "y")
    columns = {name: frame[name].to_numpy() for name in frame}
    when = times_of(len(frame)) if isinstance(times, str) else times
    return list(checked(CheckedRows(columns, schema, parts.train, parts.validation, when, expected)))


def found(findings: list[Finding], check: str) -> list[tuple[str, str]]:
    return [(one.severity, one.text) for one in findings if one.check == check]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("seed", range(8))
def test_honest_rows_are_accused_of_nothing(task: str, seed: int) -> None:
    frame = clean(seed, task=task)
    assert look(frame) == []
    assert look(frame, times=None) == []
    assert look(frame, expected=Schema.fit(clean(seed + 100, task=task), "y")) == []


def test_a_table_of_few_levels_is_made_of_copies_and_that_is_no_fault() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.choice(["x", "z"], 500), "b": rng.integers(0, 2, 500)})
    frame = frame.assign(y=np.where(rng.random(500) < np.where(frame["a"] == "x", 0.98, 0.02), "no", "yes"))
    assert [one for one in look(frame, times=None) if one.severity != "note"] == []


def test_every_rule_has_a_name_of_its_own_and_is_looked_at() -> None:
    assert len(CHECKS) == len({rule.__name__ for rule in CHECKS.values()})
    assert all(
        name.replace(" ", "_") == rule.__name__ or name == "target given away"
        for name, rule in CHECKS.items()
    )


# --- what was expected ---


def test_columns_that_went_came_or_changed_their_kind_are_told() -> None:
    expected = Schema.fit(clean(), "y")
    frame = clean(1).drop(columns="rain").rename(columns={"hour": "clock"})
    frame = frame.assign(wind=[f"w{round(wind)}" for wind in frame["wind"]])
    assert found(look(frame, expected=expected), "expected columns") == [
        ("warning", "column 'hour' was there in the rows prepared before and is gone"),
        ("warning", "column 'rain' was there in the rows prepared before and is gone"),
        ("note", "column 'clock' was not there in the rows prepared before"),
        ("warning", "column 'wind' was a number in the rows prepared before and is now a category"),
    ]


def test_values_and_levels_that_were_never_there_are_told() -> None:
    expected = Schema.fit(clean(), "y")
    frame = clean(1)
    frame = frame.assign(wind=frame["wind"] + 100, carrier=frame["carrier"].replace("UA", "B6"))
    told = [text for _, text in found(look(frame, expected=expected), "expected columns")]
    assert "column 'wind' has values in 100.0% of the rows that were not among those prepared before" in told
    assert any(text.startswith("column 'carrier' has values in 3") for text in told)


def test_a_target_with_other_classes_or_of_another_kind_is_told() -> None:
    other = clean(1).assign(y=np.where(clean(1)["wind"] + clean(2)["wind"] > 20, "late", "early"))
    assert found(look(other, expected=Schema.fit(clean(), "y")), "expected columns") == [
        ("warning", "the target 'y' has other classes than before: without on time and with early")
    ]
    number = look(clean(task="regression"), expected=Schema.fit(clean(), "y"))
    assert found(number, "expected columns") == [
        ("warning", "the target was 'y' (binary) before and is now 'y' (regression)")
    ]


# --- enough ---


def test_a_target_that_is_mostly_unknown_is_told() -> None:
    frame = clean()
    frame.loc[np.arange(800) % 5 > 1, "y"] = None
    assert found(look(frame), "missing target")[0][0] == "warning"
    assert "missing in 60% of the rows" in found(look(frame), "missing target")[0][1]


def test_newest_rows_whose_truth_is_not_known_yet_cannot_stop_a_training() -> None:
    frame = clean()
    frame.loc[690:, "y"] = None
    told = found(look(frame), "missing target")
    assert [severity for severity, _ in told] == ["warning"]
    assert told[0][1].startswith("10 of the 120 validation rows have a target")


def test_a_column_that_is_hardly_ever_there_is_told() -> None:
    frame = clean().assign(rain=np.arange(800) ** 0.5)
    frame.loc[np.arange(800) % 40 > 0, "rain"] = np.nan
    frame.loc[np.arange(800) % 40 > 0, "carrier"] = None
    assert [text for _, text in found(look(frame), "missing values")] == [
        "column 'rain' is missing in 97.5% of the training rows",
        "column 'carrier' is missing in 97.5% of the training rows",
    ]


@pytest.mark.parametrize(("inputs", "severity"), [(80, "note"), (160, "warning")])
def test_rows_that_are_too_few_for_the_inputs_are_told(inputs: int, severity: str) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(800, inputs)), columns=[f"x{k}" for k in range(inputs)])
    told = found(look(frame.assign(y=rng.normal(size=800)), times=None), "rows for inputs")
    assert [one for one, _ in told] == [severity]
    assert told[0][1].startswith(
        f"680 training rows for {inputs} inputs are {680 / inputs:.1f} rows for each"
    )


def test_a_class_of_few_rows_and_one_that_nothing_judges_are_told() -> None:
    frame = clean(task="multiclass")
    frame = frame.assign(y=[f"c{value}" for value in frame["y"]])
    frame.loc[:7, "y"] = "rare"
    assert [text for _, text in found(look(frame), "rows of each class")] == [
        "fewer than 20 training rows of rare (8): too few to learn a class from. Bring more, or join classes",
        "no validation row of rare: nothing says how well this is learned",
    ]


@pytest.mark.parametrize(("other", "severity"), [(30, "note"), (5, "warning")])
def test_one_class_in_nearly_all_rows_is_told(other: int, severity: str) -> None:
    frame = clean().assign(y="no")
    frame.loc[np.linspace(0, 799, other).astype(int), "y"] = "yes"
    told = found(look(frame), "class balance")
    assert [one for one, _ in told] == [severity]
    assert told[0][1].startswith(f"{1 - other / 800:.1%} of the rows are of class 'no'")


# --- twice ---


def test_copies_are_told_with_the_first() -> None:
    frame = clean()
    frame.iloc[11] = frame.iloc[10]
    times = times_of(800)
    times[11] = times[10]
    told = found(look(frame, times=times), "identical rows")
    assert told == [
        (
            "note",
            "1 of 800 rows (0.1%) are copies of another row, time and target included, first in row 11 (from 0): they "
            "count twice. Keep one of each",
        )
    ]


def test_a_file_that_was_appended_to_itself_is_told() -> None:
    frame = pd.concat([clean(), clean()], ignore_index=True)
    findings = look(frame, times=np.concatenate([times_of(800), times_of(800)]))
    assert found(findings, "identical rows")[0][0] == "warning"
    assert found(findings, "copies across the split")[0][1].startswith("100.0% of the validation rows")


def test_equal_rows_at_other_times_are_no_copies() -> None:
    frame = clean()
    frame.iloc[11] = frame.iloc[10]
    assert look(frame) == []


def test_equal_inputs_at_the_same_time_with_different_targets_contradict_each_other() -> None:
    frame = clean()
    for row in range(0, 40, 2):
        frame.iloc[row + 1] = frame.iloc[row]
        frame.loc[row, "y"], frame.loc[row + 1, "y"] = "late", "on time"
    times = times_of(800)
    times[1:40:2] = times[0:40:2]
    told = found(look(frame, times=times), "contradictory rows")
    assert [severity for severity, _ in told] == ["warning"]
    assert told[0][1].startswith("40 of 800 rows (5.0%) have the inputs and the time of another row")
    assert "first in row 0 (from 0)" in told[0][1]


def test_inputs_that_leave_the_class_open_say_how_many_errors_are_sure() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": ["x", "z"] * 400})
    frame = frame.assign(y=np.where(np.arange(800) % 8 < 2, "yes", "no"), b=rng.choice(["k", "l"], 800))
    told = found(look(frame, times=None), "contradictory rows")
    assert told == [
        (
            "note",
            "rows with the same inputs have different classes: whoever sees these columns alone is wrong in at least "
            "25% of these rows",
        )
    ]


# --- columns ---


def test_constant_columns_are_told() -> None:
    frame = clean().assign(station=7.5, note=[f"n{k}" for k in range(800)])
    assert [text.split(".")[0] for _, text in found(look(frame), "constant columns")] == [
        "column 'station' is the same in all older rows, so the network does not see it, even when it changes",
        "column 'note' has hardly any value twice, so the network sees only whether there is one",
    ]


def test_numbers_that_count_or_name_the_rows_are_told() -> None:
    rng = np.random.default_rng(0)
    frame = clean().assign(
        row=np.arange(800) * 3,
        back=-np.arange(800),
        ticket=rng.permutation(1000)[:800],
        sum=np.floor(rng.lognormal(12, 2, 800)),
    )
    assert [text.split(":")[0] for _, text in found(look(frame), "identity columns")] == [
        "column 'row' is a different whole number in each row and goes one way through time",
        "column 'back' is a different whole number in each row and goes one way through time",
        "column 'ticket' is a different whole number in each row with hardly one left out",
    ]


def test_a_counter_is_one_though_some_rows_are_there_twice() -> None:
    frame = clean().assign(row=np.arange(800))
    twice = pd.concat([frame, frame.iloc[700:]], ignore_index=True)
    times = np.concatenate([times_of(800), times_of(800)[700:]])
    assert len(found(look(twice, times=times), "identity columns")) == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_a_number_that_is_a_later_time_is_told(unit: str) -> None:
    rng = np.random.default_rng(0)
    later = times_of(800) + (rng.exponential(7200, 800) * 1e6).astype("timedelta64[us]") + 2 * HOUR
    told = found(
        look(clean().assign(arrived=later.astype(f"datetime64[{unit}]").astype(np.int64))), "later times"
    )
    assert [severity for severity, _ in told] == ["warning"]
    assert told[0][1].startswith("column 'arrived' is a time after the row's own in 100% of the rows, by 3.")


def test_a_text_that_is_a_later_time_is_told_and_an_earlier_one_is_not() -> None:
    times = times_of(800)
    frame = clean().assign(
        planned=(times - 5 * HOUR).astype(str), arrived=[f"{time}Z" for time in times + 5 * HOUR]
    )
    told = found(look(frame), "later times")
    assert [text.split(" is ")[0] for _, text in told] == ["column 'arrived'"]
    assert "by 5 hours in the middle" in told[0][1]


def test_a_time_of_the_same_day_is_not_later_than_a_row_that_knows_its_day_only() -> None:
    days = START + np.arange(800) * np.timedelta64(1, "D")
    frame = clean().assign(clock=(days + 7 * HOUR).astype("datetime64[s]").astype(np.int64))
    assert found(look(frame, times=days), "later times") == []


def test_a_time_whose_distance_is_the_target_is_a_fault() -> None:
    frame = clean(task="regression")
    took = np.abs(frame["y"].to_numpy()) * 600
    frame = frame.assign(y=took, landed=(times_of(800).astype(np.int64) / 1e6 + took))
    assert found(look(frame), "later times") == [
        (
            "fault",
            "column 'landed' gives the target 'y' away: its distance from the row's own time says it. Write it into "
            "drop in [data]",
        )
    ]


def test_a_copy_of_the_target_is_a_fault() -> None:
    frame = clean(task="regression")
    told = found(look(frame.assign(again=frame["y"] * 1.8 + 32)), "target given away")
    assert [severity for severity, _ in told] == ["fault"]


def test_the_findings_of_rows_without_a_time_are_those_that_need_none() -> None:
    frame = clean().assign(arrived=(times_of(800) + 5 * HOUR).astype(str))
    assert found(look(frame, times=None), "later times") == []
