"""A server starts on a long log as a kill left it, and one that is slow at it or loses rows is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving_restart import READY, restarted


@pytest.mark.slow
def test_what_waited_when_a_server_was_killed_is_there_after_the_next_start(tmp_path: Path) -> None:
    found = restarted(tmp_path / "project", 30_000, 3000, times=2)
    assert (found.missing, found.failed) == (0, 0)
    assert len(found.ready) == 2


@pytest.mark.slow
def test_a_start_that_looks_at_every_row_is_found(tmp_path: Path) -> None:
    assert min(restarted(tmp_path / "project", 100, 6000, times=1, plant="look_at_every_row").ready) > READY


@pytest.mark.slow
def test_a_start_that_throws_rows_away_is_found(tmp_path: Path) -> None:
    assert restarted(tmp_path / "project", 100, 3000, times=1, plant="begin_anew").missing > 0
