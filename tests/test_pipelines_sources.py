from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import DataConfig
from pipelines.errors import UserError
from pipelines.sources import Table, read, read_frame

RIDES = "id,day,hr,temp,cnt\na,1/1/2013,0,0.5,3\nb,1/1/2013,1,0.6,4\nc,1/13/2013,0,0.7,5\n"


def config(**more: Any) -> DataConfig:
    return DataConfig(**{"target": "cnt", "path": "rides.csv", "time": ("day", "hr"), **more})


def table(folder: Path, text: str = RIDES, **more: Any) -> Table:
    (folder / "rides.csv").write_text(text, encoding="utf-8")
    return read(config(**more), folder)


def refusal(folder: Path, text: str = RIDES, **more: Any) -> str:
    with pytest.raises(UserError) as error:
        table(folder, text, **more)
    return str(error.value)


def module(folder: Path, body: str) -> DataConfig:
    text = f"import pandas as pd\ndef load():\n    {body}\n"
    (folder / "mine.py").write_text(text, encoding="utf-8")
    return config(path=None, load="mine:load", time=("day",))


# --- what a table holds ---


def test_the_time_is_the_date_and_the_hour(tmp_path: Path) -> None:
    times = table(tmp_path).times
    assert times.dtype == np.dtype("datetime64[ns]")
    assert times.astype("datetime64[h]").astype(str).tolist() == [
        "2013-01-01T00",
        "2013-01-01T01",
        "2013-01-13T00",
    ]


def test_the_date_is_no_input_but_the_hour_is_one_as_a_number(tmp_path: Path) -> None:
    frame = table(tmp_path, drop=("id",)).frame
    assert list(frame.columns) == ["hr", "temp", "cnt"]
    assert frame["hr"].tolist() == [0, 1, 0]


def test_a_clock_time_as_text_is_no_input(tmp_path: Path) -> None:
    text = "day,clock,temp,cnt\n2013-01-01,10:30,1,3\n2013-01-01,10:45,2,4\n"
    assert list(table(tmp_path, text, time=("day", "clock")).frame.columns) == ["temp", "cnt"]


def test_a_dropped_hour_still_says_the_time(tmp_path: Path) -> None:
    found = table(tmp_path, drop=("id", "hr"))
    assert list(found.frame.columns) == ["temp", "cnt"]
    assert str(found.times[1]).startswith("2013-01-01T01")


def test_rows_are_known_by_number_or_by_key(tmp_path: Path) -> None:
    assert table(tmp_path).ids.tolist() == ["0", "1", "2"]
    keyed = table(tmp_path, key="id")
    assert keyed.ids.tolist() == ["a", "b", "c"]
    assert "id" not in keyed.frame.columns


def test_rows_are_brought_into_order_with_their_ids_and_it_is_said(tmp_path: Path) -> None:
    text = "when,cnt,x\n2013-01-02,1,5\n2013-01-01,2,6\n2013-01-02,3,7\n2013-01-01,4,8\n"
    found = table(tmp_path, text, time=("when",))
    assert found.ids.tolist() == ["1", "3", "0", "2"]
    assert found.frame["x"].tolist() == [6, 8, 5, 7]
    assert found.notices == (
        "the rows are not in time order (row 2 is the first that is earlier); they were sorted",
    )


def test_rows_of_equal_time_are_in_order(tmp_path: Path) -> None:
    text = "when,cnt,x\n2013-01-01,1,5\n2013-01-01,2,6\n"
    assert table(tmp_path, text, time=("when",)).notices == ()


def test_without_a_time_column_rows_follow_each_other(tmp_path: Path) -> None:
    start, step = datetime(1996, 5, 7, tzinfo=UTC), timedelta(minutes=30)
    found = table(tmp_path, "x,cnt\n1,0\n2,1\n3,0\n", time=(), start=start, step=step)
    assert str(found.times[2]).startswith("1996-05-07T01:00")
    assert found.has_times


def test_rows_without_any_time_keep_their_order(tmp_path: Path) -> None:
    found = table(tmp_path, "x,cnt\n3,0\n2,1\n", time=())
    assert not found.has_times
    assert found.frame["x"].tolist() == [3, 2]


def test_a_missing_target_is_said(tmp_path: Path) -> None:
    found = table(tmp_path, "x,cnt\n1,0\n2,\n3,1\n", time=())
    assert found.notices == ("the target 'cnt' is missing in 1 of 3 rows",)


def test_some_rows_are_a_table_too(tmp_path: Path) -> None:
    found = table(tmp_path).rows(np.array([2, 0]))
    assert found.ids.tolist() == ["2", "0"]
    assert found.frame["cnt"].tolist() == [5, 3]
    assert found.frame.index.tolist() == [0, 1]


def test_the_identity_is_that_of_the_content(tmp_path: Path) -> None:
    first = table(tmp_path).identity
    assert first == table(tmp_path).identity
    assert len(first) == 16
    others = {
        table(tmp_path, RIDES.replace("0.5", "0.51")).identity,
        table(tmp_path, RIDES.replace("temp", "heat")).identity,
        table(tmp_path, RIDES.replace("1/13", "1/14")).identity,
        table(tmp_path, key="id").identity,
    }
    assert len(others | {first}) == 5


def test_every_column_can_be_seen_as_it_came(tmp_path: Path) -> None:
    table(tmp_path)
    assert list(read_frame(config(), tmp_path).columns) == ["id", "day", "hr", "temp", "cnt"]


# --- what is refused ---


def test_all_missing_columns_are_told_with_the_nearest(tmp_path: Path) -> None:
    text = refusal(tmp_path, target="cntt", time=("dya",), drop=("tempp",), key="idd")
    assert text.splitlines() == [
        f"{tmp_path}/rides.csv has no target column 'cntt'; the nearest is 'cnt'",
        f"{tmp_path}/rides.csv has no time column 'dya'; the nearest is 'day'",
        f"{tmp_path}/rides.csv has no key column 'idd'; the nearest is 'id'",
        f"{tmp_path}/rides.csv has no drop column 'tempp'; the nearest is 'temp'",
    ]


def test_a_target_that_is_missing_throughout_is_refused(tmp_path: Path) -> None:
    assert "target 'cnt' is missing in all 2 rows" in refusal(tmp_path, "x,cnt\n1,\n2,\n", time=())


def test_a_target_of_one_value_is_refused(tmp_path: Path) -> None:
    assert "is 'yes' in every row; there is nothing to learn" in refusal(
        tmp_path, "x,cnt\n1,yes\n2,yes\n", time=()
    )


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    assert "no column left to learn from" in refusal(tmp_path, drop=("id", "temp", "hr"))


def test_a_key_must_tell_the_rows_apart(tmp_path: Path) -> None:
    assert "key 'hr' is '0' in row 3 and in a row before it" in refusal(tmp_path, key="hr", time=("day",))
    assert "key 'id' is missing in row 2" in refusal(tmp_path, RIDES.replace("\nb,", "\n,"), key="id")


def test_a_time_that_cannot_be_read_names_its_row(tmp_path: Path) -> None:
    assert "'1/32/2013' in row 3 of 3" in refusal(tmp_path, RIDES.replace("1/13", "1/32"), time=("day",))


def test_a_step_beyond_the_calendar_is_refused(tmp_path: Path) -> None:
    start = datetime(2000, 1, 1, tzinfo=UTC)
    text = refusal(
        tmp_path, "x,cnt\n1,0\n" * 1 + "2,1\n" * 99, time=(), start=start, step=timedelta(days=3650)
    )
    assert "ends after the year 2261" in text


def test_neither_path_nor_load_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='neither path = "FILE" nor load'):
        read(config(path=None), tmp_path)


# --- a user's own function ---


def test_the_users_function_gives_the_rows(tmp_path: Path) -> None:
    own = module(
        tmp_path, "return pd.DataFrame({'day': ['2013-01-01', '2013-01-02'], 'x': [1, 2], 'cnt': [0, 1]})"
    )
    found = read(own, tmp_path)
    assert list(found.frame.columns) == ["x", "cnt"]
    assert str(found.times[1]).startswith("2013-01-02")


def test_the_time_may_be_the_index(tmp_path: Path) -> None:
    own = module(
        tmp_path,
        "return pd.DataFrame({'x': [1, 2], 'cnt': [0, 1]}, "
        "index=pd.DatetimeIndex(['2013-01-01', '2013-01-02'], tz='UTC', name='day'))",
    )
    assert str(read(own, tmp_path).times[1]).startswith("2013-01-02")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 3", "'mine:load' returned int, expected a pandas DataFrame"),
        ("return pd.DataFrame({'day': [], 'cnt': []})", "returned no rows"),
        ("return pd.DataFrame({0: [1]})", "column name 0 is not a text"),
        ("return pd.DataFrame([[1, 2]], columns=['a', 'a'])", "two columns called 'a'"),
        ("raise KeyError('x')", "data.load = 'mine:load' raised KeyError: 'x', line 3 of mine.py"),
        (
            "return pd.DataFrame({'cnt': [1, 2], 'x': [1, 2]})",
            "data.load = 'mine:load' has no time column 'day'",
        ),
    ],
)
def test_a_function_that_gives_no_rows_is_told(tmp_path: Path, body: str, expected: str) -> None:
    own = module(tmp_path, body)
    with pytest.raises(UserError) as error:
        read(own, tmp_path)
    assert expected in str(error.value)


def test_a_users_own_refusal_is_passed_on(tmp_path: Path) -> None:
    own = module(tmp_path, "from pipelines.errors import UserError; raise UserError('no network here')")
    with pytest.raises(UserError, match=r"^no network here$"):
        read(own, tmp_path)


# --- weights ---

WEIGHED = "day,hr,temp,copies,cnt\n1/13/2013,0,0.7,6,5\n1/1/2013,0,0.5,1,3\n1/1/2013,1,0.6,2,4\n"


def test_weights_are_brought_to_mean_1_and_into_order_and_are_no_input(tmp_path: Path) -> None:
    found = table(tmp_path, WEIGHED, weight="copies")
    assert found.weights is not None
    np.testing.assert_allclose(found.weights, [1 / 3, 2 / 3, 2])
    assert "copies" not in found.frame.columns
    part = found.rows(np.array([2, 0])).weights
    assert part is not None
    np.testing.assert_allclose(part, [2, 1 / 3])


def test_other_weights_are_other_data(tmp_path: Path) -> None:
    first = table(tmp_path, WEIGHED, weight="copies").identity
    other = table(tmp_path, WEIGHED.replace(",6,", ",7,"), weight="copies").identity
    assert first != other
    assert table(tmp_path).weights is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (",-6,", "weight 'copies' is -6 in row 1; expected a number of 0 or more"),
        (",,", "weight 'copies' is nan in row 1"),
        (",many,", "weight 'copies' is 'many' in row 1"),
    ],
)
def test_a_weight_that_is_none_is_refused_with_its_row(written: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, WEIGHED.replace(",6,", written), weight="copies")


def test_weights_that_are_all_0_or_not_there_are_refused(tmp_path: Path) -> None:
    nothing = "day,hr,temp,copies,cnt\n1/1/2013,0,0.5,0,3\n1/1/2013,1,0.6,0,4\n"
    assert "is 0 in every row" in refusal(tmp_path, nothing, weight="copies")
    assert "has no weight column 'copeis'; the nearest is 'copies'" in refusal(
        tmp_path, WEIGHED, weight="copeis"
    )
