"""Calendar terms: only of periods that the reference has seen twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from monitoring.seasons import Seasons, middles, seasons_at, seasons_of
from monitoring.window import Window

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def windows(count: int, length: timedelta) -> list[Window]:
    return [Window(MONDAY + k * length, MONDAY + (k + 1) * length) for k in range(count)]


def test_a_day_seen_once_teaches_nothing() -> None:
    assert seasons_of(windows(24, timedelta(hours=1))) == Seasons()


def test_two_weeks_of_hours_teach_the_day_and_the_weekdays() -> None:
    assert seasons_of(windows(14 * 24, timedelta(hours=1))) == Seasons(daily=3, weekly=True)


def test_days_know_no_hours_and_weeks_no_weekdays() -> None:
    assert seasons_of(windows(28, timedelta(days=1))) == Seasons(weekly=True)
    assert seasons_of(windows(60, timedelta(weeks=1))) == Seasons()


def test_two_years_of_weeks_teach_the_year() -> None:
    assert seasons_of(windows(106, timedelta(weeks=1))) == Seasons(yearly=2)


def test_no_more_terms_than_windows_can_teach() -> None:
    days = windows(14, timedelta(days=1))
    assert seasons_of(days).count <= len(days) / 2


def test_without_windows_there_are_no_terms() -> None:
    assert seasons_of([]) == Seasons()
    assert Seasons().terms(windows(3, timedelta(days=1))).shape == (3, 0)


def test_a_weekday_is_the_one_of_the_calendar() -> None:
    terms = Seasons(weekly=True).terms(windows(7, timedelta(days=1)))
    assert np.array_equal(terms, np.vstack([np.zeros(6), np.eye(6)]))


def test_terms_come_back_after_their_period() -> None:
    hours = windows(7 * 24 + 24, timedelta(hours=1))
    terms = Seasons(daily=3, weekly=True).terms(hours)
    assert np.allclose(terms[:24], terms[7 * 24 :])


def test_by_moments_they_are_the_same() -> None:
    hours = windows(500, timedelta(hours=1))
    moments = middles(hours)
    seasons = seasons_at(moments, 1 / 24)
    assert seasons == seasons_of(hours)
    assert np.array_equal(seasons.terms_at(moments), seasons.terms(hours))
    assert seasons_at(np.zeros(0), 1.0) == Seasons()
