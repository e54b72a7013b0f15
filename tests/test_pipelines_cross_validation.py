"""A project is cross-validated as its file says, and what it costs to be wrong is told in words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.cross_validation import FoldLoss
from pipelines.answer import to_json
from pipelines.cross_validation import CrossValidated, cross_validate_project
from pipelines.errors import UserError
from pipelines.project import Project, open_project

QUICK = "[network]\nhidden = []\nepochs = 3\ndropout = 0.0\ninput_dropout = 0.0\n"


def project(folder: Path, more: str = "", network: str = QUICK, rows: int = 240) -> Project:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    times = pd.date_range("2013-01-01", periods=rows, freq="h").astype(str)
    customers = [f"c{row % 12}" for row in range(rows)]
    frame = pd.DataFrame(
        {"time": times, "x": x, "customer": customers, "y": 3 * x + rng.normal(0, 0.5, rows)}
    )
    frame.loc[:4, "y"] = np.nan
    frame.to_csv(folder / "rows.csv", index=False)
    text = f'[data]\npath = "rows.csv"\ntarget = "y"\ntime = "time"\n{more}{network}'
    (folder / "losswatch.toml").write_text(text, "utf-8")
    return open_project(folder)


def result(*losses: float, simple: float = 2.0) -> CrossValidated:
    folds = tuple(FoldLoss(100, 20, 7, loss, 4.0, simple) for loss in losses)
    mean = float(np.mean(losses))
    error = float(np.std(losses, ddof=1) / np.sqrt(len(losses)))
    return CrossValidated(
        "bikes", "forward", 120, "mean_squared_error", folds, mean, error, simple - mean, error
    )


def test_folds_follow_the_split_of_the_project(tmp_path: Path) -> None:
    found = cross_validate_project(project(tmp_path, 'split = "group"\ngroup = "customer"\n'), folds=2)
    assert (found.kind, found.rows, len(found.folds)) == ("group", 240, 2)
    assert sum(fold.judged_on for fold in found.folds) == 235
    assert '"standard_error":' in to_json(found)


def test_by_time_rows_within_the_label_delay_are_left_out(tmp_path: Path) -> None:
    told: list[str] = []
    found = cross_validate_project(project(tmp_path, 'label_delay = "10h"\n'), folds=2, progress=told.append)
    assert found.kind == "forward"
    begins = 235 - 2 * 78
    assert found.folds[0].trained_on == begins - 9 - int(0.15 * (begins - 9))
    assert found.folds[0].judged_on == 78
    assert told[0] == "reading the data"
    assert told[-1].startswith("fold 2 of 2: loss ")
    assert not (tmp_path / ".losswatch").exists()


def test_held_out_rows_stay_aside(tmp_path: Path) -> None:
    found = cross_validate_project(project(tmp_path, "test_share = 0.2\n"), folds=2, kind="plain")
    assert found.rows == 192
    assert sum(fold.judged_on for fold in found.folds) == 187


@pytest.mark.parametrize(
    ("more", "kind", "folds", "said"),
    [
        ("", "group", 2, 'folds by group need \\[data\\] split = "group"'),
        ("", "plain", 300, "300 folds of 235 rows: expected from 2 folds"),
    ],
)
def test_folds_that_cannot_be_had_are_told(
    tmp_path: Path, more: str, kind: str, folds: int, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        cross_validate_project(project(tmp_path, more), folds=folds, kind=kind)  # type: ignore[arg-type]


def test_forward_folds_need_times(tmp_path: Path) -> None:
    opened = project(tmp_path)
    text = (tmp_path / "losswatch.toml").read_text("utf-8").replace('time = "time"\n', 'drop = "time"\n')
    (tmp_path / "losswatch.toml").write_text(text, "utf-8")
    with pytest.raises(UserError, match="forward folds need times"):
        cross_validate_project(open_project(opened.folder), folds=2)


def test_the_lines_show_every_fold_and_say_who_wins() -> None:
    told = result(1.0, 1.2, 1.1).lines()
    headings = re.split("  +", told[0])
    assert headings == [
        "fold",
        "rows learned",
        "rows judged",
        "epochs",
        "network",
        "best constant",
        "simple model",
    ]
    assert len(told) == 7
    assert told[-2] == (
        "mean_squared_error 1.10 ± 0.06 (mean and standard error of 3 forward folds of 120 rows)"
    )
    assert told[-1].startswith("the network beats the simple model by 0.9000")
    assert "does worse than the simple model" in result(3.0, 3.1).lines()[-1]
    assert "is not clearly better than the simple model" in result(1.0, 3.1).lines()[-1]
