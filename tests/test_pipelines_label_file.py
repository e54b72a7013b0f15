"""A file of labels comes into the log in parts, once, and what is no label is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines import label_file
from pipelines.errors import UserError
from pipelines.label_file import LabelColumns, LabelFile, add_labels, choose_columns, names_of
from pipelines.log import Log

NOW = datetime(2013, 3, 1, tzinfo=UTC)
BY_ID = LabelColumns("id", False, "rented")
ROWS = 120


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log(tmp_path / "log")
    ids, keys = [f"p{row}" for row in range(ROWS)], [f"k{row // 2}" for row in range(ROWS)]
    columns: dict[str, Any] = {}
    opened.append_predictions(ids, [NOW] * ROWS, columns, np.zeros(ROWS), version=1, known_at=NOW, keys=keys)
    yield opened
    opened.close()


def labels(log: Log) -> list[Any]:
    rows = log.predictions(NOW, NOW + timedelta(days=1))
    found = dict(zip(rows.ids, rows.labels.tolist(), strict=True))
    return [found[f"p{row}"] for row in range(ROWS)]


def written(folder: Path, text: str, name: str = "truth.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_labels_of_a_file_are_joined_once_in_parts(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(label_file, "_PART", 50)
    frame = pd.DataFrame({"id": [f"p{row}" for row in range(ROWS)], "rented": range(ROWS)})
    path = tmp_path / f"truth.{form}"
    frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
    told: list[str] = []
    done = add_labels(log, path, BY_ID, now=NOW, progress=told.append)
    assert (done.rows, done.added, done.known, done.failed) == (ROWS, ROWS, 0, False)
    assert told[-1] == "120 rows read, 120 labels added"
    assert labels(log) == list(range(ROWS))
    again = add_labels(log, path, BY_ID, now=NOW)
    assert (again.added, again.known) == (0, ROWS)
    assert again.lines() == [
        f"{path}: 120 rows, 0 labels added by id, 120 were in the log from an earlier time"
    ]


def test_labels_by_the_users_own_key_hold_for_all_rows_of_it(log: Log, tmp_path: Path) -> None:
    frame = pd.DataFrame({"order": [f"k{row}" for row in range(ROWS // 2)], "rented": range(ROWS // 2)})
    frame.to_parquet(tmp_path / "truth.parquet")
    done = add_labels(log, tmp_path / "truth.parquet", LabelColumns("order", True, "rented"), now=NOW)
    assert done.added == ROWS // 2
    assert labels(log) == [row // 2 for row in range(ROWS)]


def test_what_is_no_label_is_left_out_and_told_by_its_row(log: Log, tmp_path: Path) -> None:
    text = "id;rented;moment\np1;1,5;2013-01-01\n;2;\np2;many;\np3;?;\np4;4;soon\np5;5;2013-03-05\n\np6;6;\n"
    columns = LabelColumns("id", False, "rented", "moment")
    done = add_labels(log, written(tmp_path, text), columns, now=NOW, numbers=True)
    assert (done.rows, done.added, done.unlabelled, done.refused, done.failed) == (7, 2, 1, 4, True)
    assert done.lines()[1:] == [
        "  row 2: id is missing; expected what the label is about",
        "  row 3: rented is 'many'; expected a number",
        "  row 5: moment is no moment; expected ISO 8601, e.g. 2013-03-01T12:00:00Z",
        "  row 6: moment is 2013-03-05 is still to come; expected when the label was found out",
    ]
    assert (labels(log)[1], labels(log)[6]) == (1.5, 6)


def test_of_many_refused_rows_the_first_are_told_with_the_number_of_all(log: Log, tmp_path: Path) -> None:
    text = "id,rented\n" + "\n".join(f"p{row},x" for row in range(30))
    done = add_labels(log, written(tmp_path, text), BY_ID, now=NOW, numbers=True)
    assert len(done.first_refused) == 10
    assert done.lines()[-1] == "  and 20 more"


def test_a_file_without_a_single_label_adds_nothing(log: Log, tmp_path: Path) -> None:
    done = add_labels(log, written(tmp_path, "id,rented\np1,\np2,NA\n"), BY_ID, now=NOW)
    assert (done.added, done.unlabelled, done.failed) == (0, 2, False)


def test_moments_of_a_table_are_taken_as_they_are(log: Log, tmp_path: Path) -> None:
    moments = pd.to_datetime(["2013-01-02", "2013-01-01", None])
    frame = pd.DataFrame({"id": ["p1"] * 2 + ["p2"], "rented": [1, 2, 3], "moment": moments})
    frame.to_parquet(tmp_path / "truth.parquet")
    add_labels(log, tmp_path / "truth.parquet", LabelColumns("id", False, "rented", "moment"), now=NOW)
    assert labels(log)[1:3] == [1, 3]


def test_a_key_keeps_its_zeros(log: Log, tmp_path: Path) -> None:
    ids = ["0130"]
    log.append_predictions(ids, [NOW], {}, [[0]], version=1, known_at=NOW)
    add_labels(log, written(tmp_path, "id,rented\n0130,7\n"), BY_ID, now=NOW)
    rows = log.predictions(NOW, NOW + timedelta(days=1))
    assert rows.labels[rows.ids == "0130"].tolist() == [7]


# --- columns ---


def chosen(path: Path, **named: str | None) -> LabelColumns:
    return choose_columns(path, target="rented", key="order", **named)


@pytest.mark.parametrize(
    ("header", "named", "expected"),
    [
        ("id,rented", {}, LabelColumns("id", False, "rented")),
        ("order,id,value,moment", {}, LabelColumns("order", True, "value", "moment")),
        ("order,id,rented", {"id_column": "id"}, LabelColumns("id", False, "rented")),
        ("ride,label", {"key_column": "ride"}, LabelColumns("ride", True, "label")),
        ("id,a,b", {"value": "a", "moment": "b"}, LabelColumns("id", False, "a", "b")),
    ],
)
def test_columns_are_found_by_their_names(
    tmp_path: Path, header: str, named: dict[str, str], expected: LabelColumns
) -> None:
    assert chosen(written(tmp_path, f"{header}\n"), **named) == expected


def test_everything_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "ride,rentd\n")
    with pytest.raises(UserError) as problem:
        chosen(path)
    assert str(problem.value).splitlines() == [
        f"{path} has neither id nor order; name the column with --id, or with --key for your own key",
        f"{path} has no column 'rented'; the nearest is 'rentd'",
        "its columns: ride, rentd",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"id,rented\n\xff\xfe,1\n", "not UTF-8"),
        (b"id,rented\0\n", "is not text"),
        (b"id,id\n1,2\n", "two columns called 'id'"),
        (b"id,rented\n1,2,3\n", "line 2 has 3 values, expected 2"),
        (b'id,rented\n1,"2\n', "line"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_users_mistake(
    log: Log, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "truth.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        add_labels(log, path, chosen(path), now=NOW)


def test_a_file_or_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        names_of(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="without Parquet files"):
        names_of(tmp_path)


def test_a_result_without_refusals_has_not_failed() -> None:
    assert not LabelFile("truth.csv", 1, 1, 0, 0, 0).failed
