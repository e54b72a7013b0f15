from datetime import UTC, date, datetime

import pytest

from pipelines.written_date import parse_moment, to_utc


def test_a_date_is_its_first_moment_in_utc() -> None:
    assert parse_moment("2013-03-01") == datetime(2013, 3, 1, tzinfo=UTC)
    assert to_utc(date(2013, 3, 1)) == datetime(2013, 3, 1, tzinfo=UTC)


def test_a_zone_is_turned_into_utc() -> None:
    assert parse_moment("2013-03-01T01:00+02:00") == datetime(2013, 2, 28, 23, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2013-02-30", "1/2/2013", "0001-01-01T00:00+10:00"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"Write e\.g\. 2013-03-01"):
        parse_moment(text)
