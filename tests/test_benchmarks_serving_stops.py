"""A server that is ended under load answers what it accepted, and one that does not is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving_stops import stopped


@pytest.mark.slow
def test_what_was_accepted_before_sigterm_is_answered(tmp_path: Path) -> None:
    found = stopped(tmp_path / "project", 12)
    assert found.faultless
    assert found.stops == 12
    assert found.answered > 200


@pytest.mark.slow
@pytest.mark.parametrize("plant", ["leave_at_once", "leave_after_one"])
def test_a_server_that_leaves_too_soon_is_found(plant: str, tmp_path: Path) -> None:
    assert stopped(tmp_path / "project", 4, plant=plant).unanswered > 0
