"""A server that is killed under load loses nothing that it acknowledged, and a wrong one is found out."""

from __future__ import annotations

import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from benchmarks import serving_kills
from benchmarks.serving_kills import Kills, Plant, made_version
from pipelines import answering, arriving
from pipelines.delta import Table


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_version(tmp_path_factory.mktemp("kills") / "version")


def killed(folder: Path, version: Path, kills: int, plant: Plant | None = None) -> Kills:
    """In a process that has done nothing yet: what Delta has begun in this one does not survive a fork."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(serving_kills.killed, folder, version, kills, plant=plant).result(timeout=900)


def faultless(found: Kills) -> bool:
    return (found.lost, found.twice, found.different, found.refused, found.sound) == (0, 0, 0, 0, True)


@pytest.mark.slow
def test_no_acknowledged_row_is_lost_or_twice_after_kills(version: Path, tmp_path: Path) -> None:
    found = killed(tmp_path / "log", version, 100)
    assert faultless(found)
    assert found.acknowledged > 100


# --- faults that are made, so that it is seen that they would be found ---


def _answer_first() -> None:
    """Answers, and commits a moment later."""
    commit = answering.Answering._store

    def store(self: Any, asked: list[Any]) -> None:
        for one in asked:
            one.exchange.reply(*self._answer(one.arrival, None))
        asyncio.get_running_loop().call_later(0.02, commit, self, asked)

    answering.Answering._store = store  # type: ignore[method-assign]


def _forget_the_ids() -> None:
    """Neither looks for an id that came before, nor has the file a key that would refuse it."""
    arriving._TABLES = arriving._TABLES.replace("id TEXT PRIMARY KEY", "id TEXT").replace(
        "STRICT, WITHOUT ROWID;\nCREATE TABLE IF NOT EXISTS labels",
        "STRICT;\nCREATE TABLE IF NOT EXISTS labels",
    )
    arriving._FIND = "SELECT 1 WHERE ? IS NULL"


def _skip_the_mark() -> None:
    """Appends to the tables without the number of the batch, by which it would land once."""
    append = Table.append
    Table.append = lambda self, build, mark=None: append(self, build)  # type: ignore[method-assign]


@pytest.mark.slow
def test_an_answer_before_the_commit_is_found(version: Path, tmp_path: Path) -> None:
    assert killed(tmp_path / "log", version, 15, plant=_answer_first).lost > 0


@pytest.mark.slow
def test_a_file_without_its_unique_key_is_found(version: Path, tmp_path: Path) -> None:
    assert not faultless(killed(tmp_path / "log", version, 30, plant=_forget_the_ids))


@pytest.mark.slow
def test_a_move_without_its_number_is_found(version: Path, tmp_path: Path) -> None:
    assert killed(tmp_path / "log", version, 15, plant=_skip_the_mark).twice > 0
