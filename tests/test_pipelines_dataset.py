"""A Parquet file, a folder of them or a Delta table, opened and read in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipelines.dataset import is_dataset, open_dataset
from pipelines.errors import UserError


def frame(rows: int = 10) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(rows), "s": ["x", "yy"] * (rows // 2), "p": [1, 2] * (rows // 2)})


def test_batches_are_the_rows_in_their_order(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "2.parquet")
    frame().assign(a=lambda one: one["a"] + 0.5).to_parquet(tmp_path / "10.parquet")
    found = open_dataset(tmp_path)
    tables = list(found.tables(["a"], batch=4))
    assert (found.rows, [table.num_rows for table in tables]) == (20, [4, 4, 2, 4, 4, 2])
    assert pa.concat_tables(tables)["a"].to_pylist()[:2] == [0.5, 1.5]
    assert found.names == ["a", "s", "p"]
    assert len(found.whole()) == 20


def test_the_size_of_a_frame_is_known_from_the_file(tmp_path: Path) -> None:
    rows = pd.DataFrame({"a": np.arange(1000.0), "s": [f"text number {row:05}" for row in range(1000)]})
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    known = open_dataset(tmp_path / "rows.parquet").frame_bytes
    assert known == pytest.approx(int(rows.memory_usage(index=False, deep=True).sum()), rel=0.2)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        frame().to_parquet(tmp_path / name)
    frame(12).to_parquet(tmp_path / "c.parquet")
    first, same, other = (open_dataset(tmp_path / f"{name}.parquet").digest() for name in "abc")
    assert first == same != other


def test_a_delta_table_is_read_as_it_is_now(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.Table.from_pandas(frame(), preserve_index=False), partition_by=["p"])
    DeltaTable(tmp_path).delete("a >= 6")
    found = open_dataset(tmp_path)
    assert found.rows == 6
    assert sorted(found.whole()["a"]) == [0, 1, 2, 3, 4, 5]
    assert set(found.whole()["p"]) == {1, 2}


def test_true_and_false_with_gaps_are_numbers_in_every_batch(tmp_path: Path) -> None:
    rows = pd.DataFrame({"t": pd.Series([True, False, True, None], dtype="boolean")})
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    found = open_dataset(tmp_path / "rows.parquet")
    kinds = {found.frame(table)["t"].dtype for table in found.tables(batch=2)}
    assert kinds == {np.dtype(np.float64)}


def test_folders_named_by_a_value_give_a_column(tmp_path: Path) -> None:
    for year in (2013, 2014):
        (tmp_path / f"year={year}").mkdir()
        frame().to_parquet(tmp_path / f"year={year}" / "0.parquet", index=False)
    found = open_dataset(tmp_path)
    assert found.whole()["year"].tolist() == [2013] * 10 + [2014] * 10
    assert next(found.tables(["year"], batch=12)).num_rows == 10
    first = found.digest()
    (tmp_path / "year=2014").rename(tmp_path / "year=2015")
    assert open_dataset(tmp_path).digest() != first


def test_much_that_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.dataset.TOLD_EVERY", 1)
    frame().to_parquet(tmp_path / "rows.parquet")
    told: list[str] = []
    open_dataset(tmp_path / "rows.parquet").digest(told.append)
    assert [line[:19] for line in told] == ["reading the data: 3"]


def test_what_is_a_data_set_is_told_by_its_content(tmp_path: Path) -> None:
    assert not is_dataset(tmp_path)
    assert not is_dataset(tmp_path / "none")
    (tmp_path / "rows.csv").write_text("a\n1\n", "utf-8")
    assert not is_dataset(tmp_path / "rows.csv")
    frame().to_parquet(tmp_path / "rows")
    assert is_dataset(tmp_path / "rows")
    assert not is_dataset(tmp_path)  # a file in a folder is known by its name
    frame().to_parquet(tmp_path / "rows.parquet")
    assert is_dataset(tmp_path)


def test_all_broken_files_of_a_folder_are_told_at_once(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "0.parquet")
    whole = (tmp_path / "0.parquet").read_bytes()
    (tmp_path / "1.parquet").write_bytes(whole[:-9])
    (tmp_path / "2.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError) as told:
        open_dataset(tmp_path)
    assert [line.split("/")[-1][:22] for line in str(told.value).splitlines()] == [
        "1.parquet is cut off: ",
        "2.parquet is cut off: ",
    ]


def test_files_of_other_columns_are_told_at_once(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "0.parquet")
    frame().drop(columns="s").to_parquet(tmp_path / "1.parquet")
    frame().assign(a="text").to_parquet(tmp_path / "2.parquet")
    with pytest.raises(UserError) as told:
        open_dataset(tmp_path)
    assert "1.parquet has no column 's', which the first file of the folder has" in str(told.value)
    assert "2.parquet: column 'a' holds" in str(told.value)


def test_a_damaged_page_is_told_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pd.DataFrame({"a": np.random.default_rng(0).normal(size=5000)}).to_parquet(file, compression=None)
    content = bytearray(file.read_bytes())
    content[4:40] = b"\xff" * 36
    file.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"rows\.parquet is damaged or of other columns"):
        list(open_dataset(file).tables())


def test_no_rows_are_told(tmp_path: Path) -> None:
    frame(0).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UserError, match="has column names but no rows"):
        open_dataset(tmp_path / "rows.parquet")
