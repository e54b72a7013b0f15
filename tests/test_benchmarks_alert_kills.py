"""Monitors that are killed lose no alert, and wrong ones are found out."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks import alert_faults, alert_kills
from benchmarks.alert_kills import Kills, Plant


def killed(folder: Path, kills: int, plant: Plant | None = None) -> Kills:
    """In a process that has done nothing yet: what Delta has begun in this one does not survive a fork."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(alert_kills.killed, folder, kills, plant=plant).result(timeout=900)


@pytest.mark.slow
def test_monitors_that_are_killed_lose_no_alert(tmp_path: Path) -> None:
    found = killed(tmp_path, 30)
    assert (found.lost, found.unsaid, found.changed, found.strangers) == (0, 0, 0, 0)
    assert found.messages > 5


@pytest.mark.slow
def test_a_message_that_counts_as_taken_before_it_is_is_found(tmp_path: Path) -> None:
    assert killed(tmp_path, 30, alert_faults.note_before_sending).lost > 0


@pytest.mark.slow
def test_a_cause_that_is_only_said_is_found(tmp_path: Path) -> None:
    assert killed(tmp_path, 10, alert_faults.say_before_writing).unsaid > 0
