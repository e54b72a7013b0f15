from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.duration import parse_duration, write_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        ("30 min", timedelta(minutes=30)),
        ("1.5 hours", timedelta(minutes=90)),
        ("2 Weeks", timedelta(weeks=2)),
        ("0", timedelta(0)),
        ("10 s", timedelta(seconds=10)),
    ],
)
def test_a_number_and_a_unit_are_a_duration(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["7x", "", "d", "-1d", "7", "1d 2h", "٣d", "9" * 400 + "d", "1e3d"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r'Write .*"7d"'):
        parse_duration(text)


@given(st.timedeltas(timedelta(0), timedelta(days=9999)))
def test_a_written_duration_reads_back_the_same(duration: timedelta) -> None:
    assert abs(parse_duration(write_duration(duration)) - duration) <= timedelta(microseconds=1)
