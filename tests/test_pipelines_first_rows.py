"""The rows of a first training, in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.first_rows import SIGNED, first_rows
from pipelines.prepared import prepare_rows
from pipelines.project import Project, open_project


def frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "when": pd.date_range("2013-01-01", periods=rows, freq="h"),
            "x": x,
            "y": np.where(np.arange(rows) % 7 == 0, np.nan, 2 * x),
        }
    )


def write_project(folder: Path, rows: pd.DataFrame, more: str = "") -> Project:
    rows.to_csv(folder / "rows.csv", index=False)
    text = f'[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n{more}'
    (folder / "losswatch.toml").write_text(text, "utf-8")
    return open_project(folder)


def test_rows_are_cut_and_named(tmp_path: Path) -> None:
    project = write_project(tmp_path, frame(), "test_share = 0.1\n")
    rows = first_rows(project, prepare_rows(project))
    known = frame()["y"].notna().to_numpy()
    assert len(rows.times) == 180
    assert (len(rows.train), len(rows.validation)) == (known[:150].sum(), known[150:180].sum())
    assert rows.ids([0, 5]) == {0: "1", 5: "6"}
    assert (len(rows.oldest), rows.oldest["x"].iloc[0]) == (SIGNED, frame()["x"].iloc[0])
    assert rows.newest["x"].iloc[-1] == frame()["x"].iloc[179]
    assert rows.notes == ()


def test_rows_that_are_cut_already_are_taken_as_they_are(tmp_path: Path) -> None:
    project = write_project(tmp_path, frame())
    rows = first_rows(project, prepare_rows(project))
    assert first_rows(project, rows) is rows
