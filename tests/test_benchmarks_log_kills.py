"""A log that is killed while it is tidied loses nothing and forgets for good, and a wrong one is found out."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks import log_faults, log_kills, serving_faults
from benchmarks.log_kills import Kills, Plant


def killed(folder: Path, kills: int, plant: Plant | None = None) -> Kills:
    """In a process that has done nothing yet: what Delta has begun in this one does not survive a fork."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(log_kills.killed, folder, kills, plant=plant).result(timeout=900)


def faultless(found: Kills) -> bool:
    return (found.lost, found.twice, found.back, found.traces, found.sound) == (0, 0, 0, 0, True)


@pytest.mark.slow
def test_a_log_that_is_killed_loses_nothing_and_forgets_for_good(tmp_path: Path) -> None:
    found = killed(tmp_path, 40)
    assert faultless(found)
    assert found.rows > 300
    assert found.forgotten > 5
    assert {"move", "compact", "forget", "retain"} <= set(found.done)


@pytest.mark.slow
def test_a_move_without_its_number_is_found(tmp_path: Path) -> None:
    assert killed(tmp_path, 25, serving_faults.skip_the_mark).twice > 0


@pytest.mark.slow
def test_rows_that_leave_before_they_have_landed_are_found(tmp_path: Path) -> None:
    assert killed(tmp_path, 25, log_faults.delete_first).lost > 0


@pytest.mark.slow
def test_forgetting_that_is_not_written_down_is_found(tmp_path: Path) -> None:
    assert not faultless(killed(tmp_path, 25, log_faults.write_nothing_down))


@pytest.mark.slow
def test_older_versions_that_stay_are_found(tmp_path: Path) -> None:
    assert killed(tmp_path, 10, log_faults.keep_older_versions).traces > 0
