"""A file is scored in parts, and its rows are in the log once."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import versions

from models.schema import Task
from pipelines.errors import UserError
from pipelines.file_scoring import score_file
from pipelines.log import Log
from pipelines.project import open_project
from pipelines.registry import Registry
from pipelines.scoring import Scorer
from pipelines.stores import Stores

COLUMNS = ["hour", "carrier", "wind", "holiday"]


@dataclass
class OneVersion:
    """A registry of one version, or of none."""

    folder: Path | None

    def alias(self, name: str) -> Any:
        return None if self.folder is None else type("Named", (), {"version": 7})

    def bundle(self, version: int) -> Path:
        assert self.folder is not None
        return self.folder


def stores(folder: Path, *, key: str = "", task: Task = "binary", served: bool = True) -> Stores:
    text = f'[data]\npath = "rows.csv"\ntarget = "{task}"\ntime = "when"\n' + (
        f'key = "{key}"\n' if key else ""
    )
    (folder / "losswatch.toml").write_text(text)
    project = open_project(folder)
    version = versions.write_version(folder / "version", task) if served else None
    return Stores(project, cast(Registry, OneVersion(version)), Log(project.log_folder()))


def rows(count: int) -> pd.DataFrame:
    frame = pd.DataFrame(versions.frame(count))[COLUMNS]
    return frame.assign(
        when=pd.Timestamp("2013-03-01") + pd.to_timedelta(np.arange(count), unit="min"),
        ride=[f"r{number}" for number in range(count)],
    )


def logged(opened: Stores) -> Any:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    return opened.log.predictions(start, start + timedelta(days=9999))


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_every_row_is_scored_and_logged_with_its_id_and_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.file_scoring._PART", 40)
    opened, frame = stores(tmp_path, key="ride"), rows(100)
    write = frame.to_parquet if name.endswith("parquet") else frame.to_csv
    write(tmp_path / name, index=False)
    found = score_file(opened, tmp_path / name, out=tmp_path / "out.csv")
    assert (found.rows, found.logged, found.version) == (100, 100, 7)
    there = logged(opened)
    expected = Scorer.load(tmp_path / "version").predict(frame[COLUMNS])[:, 0]
    assert there.ids.tolist() == frame["ride"].tolist()
    np.testing.assert_array_equal(there.times, frame["when"].to_numpy())
    np.testing.assert_allclose(there.predictions[:, 0], expected, rtol=1e-6)
    with (tmp_path / "out.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["id"] for row in written] == frame["ride"].tolist()
    np.testing.assert_allclose([float(row["prediction"]) for row in written], expected, rtol=1e-6)


def test_the_same_file_is_in_the_log_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.file_scoring._PART", 40)
    opened = stores(tmp_path)
    rows(100).to_parquet(tmp_path / "rows.parquet")
    score_file(opened, tmp_path / "rows.parquet")
    again = score_file(opened, tmp_path / "rows.parquet")
    assert (again.rows, again.logged) == (100, 0)
    assert "100 rows were in the log from an earlier time" in again.lines()[1]
    assert len(set(logged(opened).ids)) == len(logged(opened)) == 100


def test_a_file_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.file_scoring._PART", 40)
    opened = stores(tmp_path)
    rows(100).to_parquet(tmp_path / "rows.parquet")

    def cut(text: str) -> None:
        if text.startswith("80"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_file(opened, tmp_path / "rows.parquet", out=tmp_path / "out.csv", progress=cut)
    assert not list(tmp_path.glob("*out.csv*"))
    assert score_file(opened, tmp_path / "rows.parquet", out=tmp_path / "out.csv").logged == 20
    assert len(logged(opened)) == 100
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 101


def test_of_classes_every_probability_has_its_column(tmp_path: Path) -> None:
    opened = stores(tmp_path, task="multiclass")
    rows(10).to_csv(tmp_path / "rows.csv", index=False)
    score_file(opened, tmp_path / "rows.csv", out=tmp_path / "out.csv")
    header = (tmp_path / "out.csv").read_text().splitlines()[0]
    assert header == "id,probability of a,probability of b,probability of c"


def test_rows_that_the_version_does_not_expect_are_told(tmp_path: Path) -> None:
    opened = stores(tmp_path)
    rows(10).drop(columns="carrier").assign(wind="strong").to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(UserError) as told:
        score_file(opened, tmp_path / "rows.csv", out=tmp_path / "out.csv")
    assert "column 'carrier' is missing" in str(told.value)
    assert "column 'wind'" in str(told.value)
    assert not (tmp_path / "out.csv").exists()


def test_without_a_version_or_a_file_nothing_is_scored(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no version serves yet"):
        score_file(stores(tmp_path, served=False), tmp_path / "rows.csv")
    with pytest.raises(UserError, match=r"rows.csv does not exist"):
        score_file(stores(tmp_path), tmp_path / "rows.csv")
