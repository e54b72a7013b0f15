"""Rows in batches are the rows in memory: the same schema, the same parts, the same inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import write_deltalake

from models.split import split_in_time
from pipelines.batches import prepare_in_batches
from pipelines.errors import UserError
from pipelines.first_rows import examples
from pipelines.parts import VALIDATION
from pipelines.prepared import fit_schema
from pipelines.project import Project, open_project
from pipelines.sources import read


def frame(rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "time": pd.date_range("2013-01-01", periods=rows, freq="h"),
            "x": np.where(np.arange(rows) % 9 == 0, np.nan, x),
            "carrier": rng.choice(["UA", "DL", "AA"], rows),
            "hour": np.arange(rows) % 24,
            "y": pd.Series(np.where(x > 0, "late", "on time"), dtype=object).where(
                np.arange(rows) % 11 > 0, None
            ),
        }
    )


def project(folder: Path, path: str, more: str = "", time: str = 'time = "time"\n') -> Project:
    text = f'[data]\npath = "{path}"\ntarget = "y"\n{time}{more}'
    (folder / "losswatch.toml").write_text(text, "utf-8")
    return open_project(folder)


def parquet_file(folder: Path, rows: pd.DataFrame) -> str:
    parquet.write_table(
        pa.Table.from_pandas(rows, preserve_index=False), folder / "rows.parquet", row_group_size=300
    )
    return "rows.parquet"


def test_a_parquet_file_in_batches_gives_what_it_gives_in_memory(tmp_path: Path) -> None:
    opened = project(tmp_path, parquet_file(tmp_path, frame()))
    told: list[str] = []
    found = prepare_in_batches(opened, tmp_path / "files", batch=170, progress=told.append)
    table = read(opened.config.data, tmp_path)
    split = split_in_time(2000, validation=VALIDATION)
    train, stop = table.rows(split.train), table.rows(split.validation)
    assert found.schema == fit_schema(opened, train)
    for ours, part in ((found.train, train), (found.validation, stop)):
        expected = examples(part, found.schema)
        np.testing.assert_array_equal(ours.inputs, expected.inputs)
        np.testing.assert_array_equal(ours.targets, expected.targets)
    assert (found.rows, told[0], len(told)) == (2000, "reading the times", 4)


def test_rows_out_of_order_are_cut_by_their_time(tmp_path: Path) -> None:
    rows = frame()
    first = prepare_in_batches(project(tmp_path, parquet_file(tmp_path, rows)), tmp_path / "a")
    shuffled = rows.sample(frac=1, random_state=1)
    again = prepare_in_batches(project(tmp_path, parquet_file(tmp_path, shuffled)), tmp_path / "b", batch=100)
    assert again.schema == first.schema
    for one, other in ((first.train, again.train), (first.validation, again.validation)):
        np.testing.assert_array_equal(np.sort(one.inputs, axis=0), np.sort(other.inputs, axis=0))


@pytest.mark.parametrize("kind", ["delta", "folder"])
def test_a_delta_table_and_a_folder_of_files_are_read(tmp_path: Path, kind: str) -> None:
    rows = frame()
    expected = prepare_in_batches(project(tmp_path, parquet_file(tmp_path, rows)), tmp_path / "a")
    (tmp_path / "many").mkdir()
    for number in range(4):
        piece = rows.iloc[number * 500 : number * 500 + 500]
        if kind == "delta":
            write_deltalake(
                tmp_path / "many", pa.Table.from_pandas(piece, preserve_index=False), mode="append"
            )
        else:
            piece.to_parquet(tmp_path / "many" / f"{number}.parquet", index=False)
    found = prepare_in_batches(project(tmp_path, "many"), tmp_path / "b")
    assert found.schema == expected.schema
    assert (len(found.train), len(found.validation)) == (len(expected.train), len(expected.validation))
    np.testing.assert_array_equal(np.sort(found.train.inputs, axis=0), np.sort(expected.train.inputs, axis=0))


def test_a_schema_of_many_rows_is_learned_from_some_of_the_training_rows(tmp_path: Path) -> None:
    rows = frame().assign(x=lambda one: np.where(np.arange(2000) < 1700, one["x"], 1e6))
    found = prepare_in_batches(project(tmp_path, parquet_file(tmp_path, rows)), tmp_path / "a", sample=400)
    numbers = {column.name: column for column in found.schema.columns}
    assert getattr(numbers["x"], "high", 1e6) < 10
    assert len(found.train) == int((rows["y"].notna() & (np.arange(2000) < 1700)).sum())


def test_rows_without_a_time_are_cut_by_their_place_and_held_out_ones_left(tmp_path: Path) -> None:
    path = parquet_file(tmp_path, frame().drop(columns="time"))
    found = prepare_in_batches(project(tmp_path, path, "test_share = 0.1\n", time=""), tmp_path / "a")
    known = frame()["y"].notna().to_numpy()
    assert (len(found.train), len(found.validation)) == (int(known[:1500].sum()), int(known[1500:1800].sum()))


def test_what_cannot_be_read_in_batches_is_told(tmp_path: Path) -> None:
    path = parquet_file(tmp_path, frame())
    with pytest.raises(UserError, match="cut by time only"):
        prepare_in_batches(project(tmp_path, path, 'split = "random"\n'), tmp_path / "a")
    with pytest.raises(UserError, match="does not exist"):
        prepare_in_batches(project(tmp_path, "none.parquet"), tmp_path / "a")
    (tmp_path / "rows.csv").write_text("time,y\n2013-01-01,1\n", "utf-8")
    with pytest.raises(UserError, match="neither Parquet nor a Delta table"):
        prepare_in_batches(project(tmp_path, "rows.csv"), tmp_path / "a")
    with pytest.raises(UserError, match="has no target column 'y'"):
        prepare_in_batches(
            project(tmp_path, parquet_file(tmp_path, frame().drop(columns="y"))), tmp_path / "a"
        )
