import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from pipelines.data_file import read_data_file
from pipelines.errors import UserError


def csv_file(folder: Path, content: str | bytes, name: str = "rides.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def frame_of(folder: Path, content: str | bytes, **options: Any) -> pd.DataFrame:
    return read_data_file(csv_file(folder, content), **options).frame


def parquet_file(folder: Path, columns: dict[str, Any], name: str = "rides.parquet") -> Path:
    path = folder / name
    parquet.write_table(pa.table(columns), path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_data_file(path)
    return str(error.value)


# --- CSV ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    frame = frame_of(tmp_path, "a,b\n1,x\n2,y\n".replace(",", delimiter))
    assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_a_comma_within_quotes_cuts_nothing(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, 'a;b\n"1,5,2";x\n"2,5,2";y\n')
    assert list(frame.columns) == ["a", "b"]


def test_a_decimal_comma_is_read_where_columns_are_cut_by_semicolons(tmp_path: Path) -> None:
    assert frame_of(tmp_path, "a;b\n1,5;x\n2,25;y\n")["a"].tolist() == [1.5, 2.25]


def test_one_column_is_a_file_too(tmp_path: Path) -> None:
    assert frame_of(tmp_path, "a\n1\n2\n")["a"].tolist() == [1, 2]


@pytest.mark.parametrize("mark", ["?", "", "NA", "nan", "NULL", "None", "N/A"])
def test_marks_of_missing_values_are_missing(tmp_path: Path, mark: str) -> None:
    frame = frame_of(tmp_path, f"a,b\n1,x\n{mark},{mark}\n")
    assert frame["a"].isna().tolist() == [False, True]
    assert frame["b"].isna().tolist() == [False, True]
    assert frame["a"].dtype == np.float64


def test_spaces_after_the_delimiter_do_not_count(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "a, b, c\n1, x, 5\n2, ?, ?\n")
    assert list(frame.columns) == ["a", "b", "c"]
    assert frame["b"].tolist() == ["x", None]
    assert frame["c"].isna().tolist() == [False, True]
    assert frame["c"].dtype == np.float64


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert list(frame_of(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n").columns) == ["a", "b"]


def test_utf_16_is_read(tmp_path: Path) -> None:
    assert frame_of(tmp_path, "a,b\n1,ü\n".encode("utf-16"))["b"].tolist() == ["ü"]


def test_windows_text_is_read_and_said(tmp_path: Path) -> None:
    read = read_data_file(csv_file(tmp_path, "a,b\n1,Zürich\n".encode("cp1252")))
    assert read.frame["b"].tolist() == ["Zürich"]
    assert "Windows-1252" in read.notices[0]


def test_the_row_number_that_pandas_saves_is_left_out_and_said(tmp_path: Path) -> None:
    read = read_data_file(csv_file(tmp_path, ",a\n0,5\n1,6\n"))
    assert list(read.frame.columns) == ["a"]
    assert read.notices == ("the first column has no name and is left out",)


def test_a_text_after_a_million_numbers_makes_the_column_text(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "a\n" + "123456789\n" * 200_000 + "x\n")
    assert frame["a"].iloc[-1] == "x"


def test_text_columns_keep_their_zeros(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "t,a\n0130,01\n0245,02\n", as_text=["t", "other"])
    assert frame["t"].tolist() == ["0130", "0245"]
    assert frame["a"].tolist() == [1, 2]


def test_clock_times_stay_text_and_dates_become_times(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "clock,day\n10:30:00,2013-01-01\n11:30:00,2013-01-02\n")
    assert frame["clock"].tolist() == ["10:30:00", "11:30:00"]
    assert pd.api.types.is_datetime64_any_dtype(frame["day"])


def test_an_empty_column_and_truth_values_with_gaps_are_numbers(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "a,b,c\n1,,true\n2,,\n")
    assert frame.dtypes.astype(str).to_dict() == {"a": "int64", "b": "float64", "c": "float64"}
    assert frame["c"].iloc[0] == 1.0


def test_a_line_break_within_quotes_is_part_of_the_value(tmp_path: Path) -> None:
    assert frame_of(tmp_path, 'a,b\n1,"x\ny"\n2,z\n')["b"].tolist() == ["x\ny", "z"]


def test_the_head_of_a_long_file_may_end_within_a_character(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "a,b\n" + "1,ü\n" * 40_000)
    assert len(frame) == 40_000


# --- CSV that is refused ---


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"rides\.csv is empty \(0 bytes\)"),
        (b"\n \n", "is empty"),
        (b"a,b\n", "has column names but no rows"),
        (b"1,2\n3,4\n", "has no column names: its first line is '1,2'"),
        (b"a,a\n1,2\n", "two columns called 'a'"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 values, expected 2"),
        (b"a,b\n1,2\n3,4,5\n6,7\n", "line 3 has 3 values, expected 2"),
        (b"a,b\n1,2\n3", "line 3 has 1 values, expected 2. The file seems to be cut off there"),
        (b"a,b\n1,\x002\n", "a zero byte at byte 6"),
        (b"a,b\n1,\x81\n", "not UTF-8 text: byte 6"),
        (b"\xff\xfea", "UTF-16"),
        (b"PK\x03\x04....", "a zip archive or an Excel workbook"),
        (b"\x1f\x8b....", "compressed with gzip"),
        (b"SQLite format 3\0..", "an SQLite database"),
    ],
)
def test_a_file_that_is_no_csv_is_refused_with_its_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = csv_file(tmp_path, content)
    with pytest.raises(UserError, match=reason) as error:
        read_data_file(path)
    assert str(path) in str(error.value)


def test_an_open_quote_is_refused(tmp_path: Path) -> None:
    assert "a quote in line 3 is never closed" in refusal(csv_file(tmp_path, 'a,b\n0,y\n1,"x\n2,y\n'))


def test_an_inch_mark_within_a_value_is_no_quote(tmp_path: Path) -> None:
    assert frame_of(tmp_path, 'a,b\n1,6" pipe\n2,x\n')["b"].tolist() == ['6" pipe', "x"]


def test_a_missing_file_is_told_with_the_nearest(tmp_path: Path) -> None:
    csv_file(tmp_path, "a\n1\n")
    assert refusal(tmp_path / "ride.csv").endswith(
        "ride.csv does not exist; the nearest beside it is 'rides.csv'"
    )


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "does not exist either" in refusal(tmp_path / "no" / "rides.csv")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = csv_file(tmp_path, "a\n1\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert refusal(path).endswith("cannot be read: Permission denied")


def test_names_that_promise_another_format_are_told(tmp_path: Path) -> None:
    assert "does not begin with PAR1" in refusal(csv_file(tmp_path, "a\n1\n", "rides.parquet"))
    path = parquet_file(tmp_path, {"a": [1]}, "rides2.csv")
    assert "is a Parquet file, but its name ends in .csv" in refusal(path)


def test_a_file_of_any_other_name_is_told_by_its_content(tmp_path: Path) -> None:
    assert read_data_file(parquet_file(tmp_path, {"a": [1]}, "rides.bin")).frame["a"].tolist() == [1]
    assert read_data_file(csv_file(tmp_path, "a\n1\n", "rides")).frame["a"].tolist() == [1]


# --- Parquet ---


def test_parquet_columns_become_numbers_texts_and_times(tmp_path: Path) -> None:
    columns = {
        "number": pa.array([1, None]),
        "text": pa.array(["x", None]),
        "word": pa.array(["x", "y"]).dictionary_encode(),
        "price": pa.array([Decimal("1.5"), None]),
        "clock": pa.array([0, 60], pa.time32("s")),
        "day": pa.array([0, 1], pa.date32()),
        "nothing": pa.nulls(2),
        "__index_level_0__": pa.array([5, 6]),
    }
    frame = read_data_file(parquet_file(tmp_path, columns)).frame
    assert frame["price"].iloc[0] == 1.5
    assert frame["word"].tolist() == ["x", "y"]
    assert frame["clock"].tolist() == ["00:00:00", "00:01:00"]
    assert frame["nothing"].dtype == np.float64
    assert pd.api.types.is_datetime64_any_dtype(frame["day"])
    assert "__index_level_0__" not in frame.columns


def test_a_column_of_lists_is_refused_by_name(tmp_path: Path) -> None:
    assert "column 'tags' holds list" in refusal(parquet_file(tmp_path, {"a": [1], "tags": [["x"]]}))


def test_a_parquet_file_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    assert "no rows" in refusal(parquet_file(tmp_path, {"a": pa.array([], pa.int64())}))


def test_a_parquet_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = parquet_file(tmp_path, {"a": list(range(1000)), "b": ["x"] * 1000}).read_bytes()
    cut = tmp_path / "cut.parquet"
    for length in random.Random(0).sample(range(4, len(whole)), 60):
        cut.write_bytes(whole[:length])
        assert "cut.parquet is cut off" in refusal(cut)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    whole = bytearray(parquet_file(tmp_path, {"a": list(range(1000))}).read_bytes())
    whole[-40:-8] = b"\xff" * 32
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(whole)
    assert "damaged" in refusal(damaged)


def test_a_csv_file_cut_anywhere_is_read_or_refused_but_never_crashes(tmp_path: Path) -> None:
    buffer = io.StringIO()
    pd.DataFrame({"day": ["2013-01-01"] * 30, "x": np.arange(30) / 7, "word": ['a "b", c'] * 30}).to_csv(
        buffer
    )
    whole = buffer.getvalue().encode()
    refused = 0
    for length in range(0, len(whole), 17):
        try:
            frame_of(tmp_path, whole[:length])
        except UserError:
            refused += 1
    assert refused > 0
