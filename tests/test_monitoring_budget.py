"""The budget of false alarms: what a user may write, and how the tests share it."""

from __future__ import annotations

import pytest

from monitoring.budget import LEAST_RUN_LENGTH, SHARES, Budget, FalseAlarms, Part, budget_of
from monitoring.window import WindowLength


@pytest.mark.parametrize(
    ("text", "window", "windows"),
    [
        ("1 per year", "day", 365.25),
        ("1 per year", "hour", 8766),
        ("2 per month", "day", 30.4375 / 2),
        ("2 per months", "hour", 730.5 / 2),
        ("1 per 2 weeks", "hour", 336),
        ("1 per 1000 windows", "month", 1000),
        ("1 per 1,000 windows", "month", 1000),
        ("0.5 per 100 windows", "hour", 200),
        (" 1  PER  Year ", "7d", 365.25 / 7),
        ("1 per year", "30min", 2 * 8766),
    ],
)
def test_a_rate_is_so_many_windows(text: str, window: str, windows: float) -> None:
    assert budget_of(text, WindowLength.parse(window)).run_length == pytest.approx(windows)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "per year",
        "1 year",
        "1 per",
        "one per year",
        "1 per decade",
        "-1 per year",
        "1 per 1000",
        "1/year",
    ],
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r'not a number of false alarms\. Write e\.g\. "1 per year"'):
        FalseAlarms.parse(text)


@pytest.mark.parametrize("text", ["0 per year", "1 per 0 windows", "0.0 per day"])
def test_a_rate_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a rate of nothing"):
        FalseAlarms.parse(text)


def test_time_needs_the_length_of_a_window() -> None:
    with pytest.raises(ValueError, match="the length of a window is not known"):
        budget_of("1 per year")
    assert budget_of("1 per 1000 windows") == Budget(1000.0)


def test_a_monitor_is_never_asked_to_be_wrong_all_the_time() -> None:
    assert budget_of("100 per day", WindowLength.parse("week")).run_length == LEAST_RUN_LENGTH


def test_the_parts_together_have_the_false_alarms_of_the_whole() -> None:
    parts: list[Part] = ["loss", "recovery", "inputs", "slices"]
    assert set(SHARES) == set(parts)
    budget = Budget(1000.0)
    assert sum(1 / budget.of(part) for part in parts) == pytest.approx(1 / 1000)
