"""A server that is killed under load loses nothing that it acknowledged, and a wrong one is found out."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks import serving_kills
from benchmarks.serving_faults import answer_first, forget_the_ids, skip_the_mark
from benchmarks.serving_kills import Kills, Plant, made_version


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_version(tmp_path_factory.mktemp("kills") / "version")


def killed(folder: Path, version: Path, kills: int, plant: Plant | None = None) -> Kills:
    """In a process that has done nothing yet: what Delta has begun in this one does not survive a fork."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(serving_kills.killed, folder, version, kills, plant=plant).result(timeout=1700)


def faultless(found: Kills) -> bool:
    return (found.lost, found.twice, found.different, found.refused, found.sound) == (0, 0, 0, 0, True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_acknowledged_row_is_lost_or_twice_after_kills(version: Path, tmp_path: Path) -> None:
    found = killed(tmp_path / "log", version, 1000)
    assert faultless(found)
    assert found.acknowledged > 1000


# --- faults that are made, so that it is seen that they would be found ---


@pytest.mark.slow
def test_an_answer_before_the_commit_is_found(version: Path, tmp_path: Path) -> None:
    assert killed(tmp_path / "log", version, 15, plant=answer_first).lost > 0


@pytest.mark.slow
def test_a_file_without_its_unique_key_is_found(version: Path, tmp_path: Path) -> None:
    assert not faultless(killed(tmp_path / "log", version, 30, plant=forget_the_ids))


@pytest.mark.slow
def test_a_move_without_its_number_is_found(version: Path, tmp_path: Path) -> None:
    assert killed(tmp_path / "log", version, 15, plant=skip_the_mark).twice > 0
