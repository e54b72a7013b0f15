"""Whether rows are read at once or in batches follows from their size, the memory and the project file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.config import DataConfig
from pipelines.errors import UserError
from pipelines.reading import SHARE, TIMES_THE_FRAME, in_batches, refuse_in_batches
from pipelines.sources import read

ROWS = 10_000
NEEDED = TIMES_THE_FRAME * ROWS * 3 * 8 / SHARE  # bytes of memory that three numbers a row ask for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    times = pd.date_range("2013-01-01", periods=ROWS, freq="h")
    rows = pd.DataFrame({"time": times, "x": np.arange(ROWS) / 7, "y": np.arange(ROWS) % 5 / 3})
    rows.to_parquet(folder / "rows.parquet", index=False)
    rows.to_csv(folder / "rows.csv", index=False)
    return folder


def config(path: str | None = "rows.parquet", *, batches: bool | None = None) -> DataConfig:
    load = "mine:load" if path is None else None
    return DataConfig(target="y", path=path, load=load, time=("time",), in_batches=batches)


def test_rows_that_fit_are_read_at_once(folder: Path) -> None:
    assert in_batches(config(), folder, memory=int(NEEDED * 1.01)) is None
    assert in_batches(config(), folder) is None


def test_rows_that_do_not_fit_are_read_in_batches_with_the_reason(folder: Path) -> None:
    found = in_batches(config(), folder, memory=int(NEEDED * 0.99))
    assert found is not None
    assert found.reason == (
        "training on all 10,000 rows at once would take about 1 MB, and this process may use 2 MB"
    )


def test_the_project_file_has_the_last_word(folder: Path) -> None:
    assert in_batches(config(batches=False), folder, memory=1000) is None
    found = in_batches(config(batches=True), folder)
    assert found is not None
    assert found.reason == "[data] in_batches = true"


def test_what_needs_all_rows_refuses_with_what_to_do(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"in_batches = true. This needs all rows at once. Name a file with fewer"
    ):
        refuse_in_batches(config(batches=True), folder)
    with pytest.raises(UserError, match="needs all rows at once"):
        read(config(batches=True), folder)
    refuse_in_batches(config(), folder)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "load gives all rows at once"),
        ("rows.csv", "neither a Parquet file, a folder of them nor a Delta"),
    ],
)
def test_what_has_no_batches_is_told(folder: Path, path: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        in_batches(config(path, batches=True), folder)


def test_a_text_that_is_larger_than_memory_is_refused_before_it_is_read(folder: Path) -> None:
    size = (folder / "rows.csv").stat().st_size
    assert in_batches(config("rows.csv"), folder, memory=4 * size) is None
    with pytest.raises(UserError, match="Write the rows as Parquet files into a folder"):
        in_batches(config("rows.csv"), folder, memory=2 * size)
    assert in_batches(config("rows.csv", batches=False), folder, memory=2 * size) is None


def test_a_broken_file_is_told_by_whoever_reads_it(folder: Path) -> None:
    (folder / "cut.parquet").write_bytes((folder / "rows.parquet").read_bytes()[:-9])
    assert in_batches(config("cut.parquet"), folder) is None
    with pytest.raises(UserError, match="is cut off: the end of a Parquet file is missing"):
        in_batches(config("cut.parquet"), folder, memory=1000)
    with pytest.raises(UserError, match="is cut off"):
        in_batches(config("cut.parquet", batches=True), folder)
