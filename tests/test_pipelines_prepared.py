"""Prepared rows: kept once, by what they contain, and found again as they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring.window import WindowLength
from pipelines.errors import UserError
from pipelines.prepared import fit_schema, prepare_rows, read_prepared, window_length
from pipelines.project import Project, open_project

SETTINGS = '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n'


def frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "when": pd.date_range("2021-01-01", periods=rows, freq="30min"),
            "wind": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(10, 3, rows).round(1)),
            "hour": rng.integers(0, 24, rows),
            "kind": rng.choice(np.array(["a", "b", None], dtype=object), rows),
            "flag": rng.random(rows) < 0.3,
            "y": rng.integers(0, 2, rows),
        }
    )


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    def of(rows: pd.DataFrame | None = None, more: str = "") -> Project:
        (frame() if rows is None else rows).to_csv(tmp_path / "rows.csv", index=False)
        (tmp_path / "losswatch.toml").write_text(SETTINGS + more)
        return open_project(tmp_path)

    return of


def test_rows_are_kept_once(project: Callable[..., Project]) -> None:
    opened = project()
    first, second = prepare_rows(opened), prepare_rows(opened)
    assert (first.fresh, second.fresh) == (True, False)
    assert first.identity == second.identity
    assert [path.name for path in (opened.state / "prepared").iterdir()] == [first.identity]


def test_rows_come_back_as_they_were(project: Callable[..., Project]) -> None:
    opened = project()
    kept = prepare_rows(opened)
    found = read_prepared(opened, kept.identity)
    pd.testing.assert_frame_equal(found.table.frame, kept.table.frame)
    assert (found.table.times == kept.table.times).all()
    assert (found.table.ids == kept.table.ids).all()
    assert found.table.identity == kept.identity
    assert found.window == kept.window


def test_other_rows_are_other_rows(project: Callable[..., Project]) -> None:
    one = prepare_rows(project()).identity
    assert prepare_rows(project(frame().assign(hour=3))).identity != one
    assert prepare_rows(project(frame().iloc[:-1])).identity != one
    assert prepare_rows(project()).identity == one


def test_nothing_half_written_is_left(
    project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = project()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            prepare_rows(opened)
    assert list((opened.state / "prepared").iterdir()) == []
    assert prepare_rows(opened).fresh


def test_rows_that_are_gone_are_named_with_what_to_do(project: Callable[..., Project]) -> None:
    with pytest.raises(UserError, match=r"prepared rows 0123456789abcdef .* losswatch prepare"):
        read_prepared(project(), "0123456789abcdef")


def test_the_window_is_the_projects_or_the_shortest_that_holds_enough(
    project: Callable[..., Project],
) -> None:
    assert prepare_rows(project()).window == WindowLength(1, "month")
    opened = project(more='[monitor]\nwindow = "12h"\n')
    assert window_length(opened, prepare_rows(opened).times) == WindowLength(12, "hour")


def test_a_schema_that_cannot_be_learned_tells_every_column(project: Callable[..., Project]) -> None:
    rows = frame().assign(note=[f"remark {place}" for place in range(200)])
    rows = rows.assign(born=pd.date_range("1990-01-01", periods=200))
    opened = project(rows)
    table = prepare_rows(opened).table
    dated = replace(table, frame=table.frame.assign(born=pd.to_datetime(table.frame["born"])))
    with pytest.raises(UserError, match="the data cannot be learned from:") as told:
        fit_schema(opened, dated)
    assert "born" in str(told.value)
