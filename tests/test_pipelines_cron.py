"""A cron line is due when cron would run it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.cron import next_after

AT = datetime(2024, 2, 28, 23, 59, 30, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("line", "due"),
    [
        ("* * * * *", "2024-02-29T00:00"),
        ("5 * * * *", "2024-02-29T00:05"),
        ("*/15 3,4 * * *", "2024-02-29T03:00"),
        ("0 3 1 * *", "2024-03-01T03:00"),
        ("0 3 * * 7", "2024-03-03T03:00"),
        ("0 3 * * 0", "2024-03-03T03:00"),
        ("0 3 15 * 5", "2024-03-01T03:00"),  # the 15th, or a Friday
        ("30 6 29 2 *", "2024-02-29T06:30"),
        ("10-20/5 0 * 12 *", "2024-12-01T00:10"),
        ("20/20 0 * * *", "2024-02-29T00:20"),
    ],
)
def test_the_next_time_is_the_first_that_fits(line: str, due: str) -> None:
    found = next_after(line, AT)
    assert found is not None
    assert found.isoformat()[:16] == due


def test_a_moment_that_is_due_is_followed_by_the_next_one() -> None:
    due = datetime(2024, 3, 1, 10, 5, tzinfo=UTC)
    found = next_after("5 * * * *", due)
    assert found is not None
    assert (found - due).total_seconds() == 3600


def test_a_day_that_never_comes_is_never_due() -> None:
    assert next_after("0 0 30 2 *", AT) is None
