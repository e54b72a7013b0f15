"""Memory and disk at an end, and a training under way: told in words, found through what they caused."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from pipelines.exhausted import in_plain_words
from pipelines.registry import RunInProgress


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


def test_an_array_that_does_not_fit_into_memory_is_told_with_its_size(tmp_path: Path) -> None:
    told = in_plain_words(
        ResourceExhaustedError("OOM when allocating tensor with shape[2550,8192] and"), tmp_path
    )
    assert told is not None
    assert told.startswith("out of memory, an array of 2550 x 8192 numbers: the process may use ")
    assert "batch_size" in told


def test_python_s_own_lack_of_memory_is_told(tmp_path: Path) -> None:
    told = in_plain_words(MemoryError(), tmp_path)
    assert told is not None
    assert told.startswith("out of memory: the process may use ")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_told_with_its_place(error: Exception, tmp_path: Path) -> None:
    told = in_plain_words(error, tmp_path / "not" / "yet")
    assert told is not None
    assert told.startswith(f"the disk is full: {tmp_path / 'not' / 'yet'}, ")
    assert " are free there. Make room and type the same command again" in told


def test_the_file_that_could_not_be_written_says_where(tmp_path: Path) -> None:
    told = in_plain_words(
        OSError(errno.ENOSPC, "No space left", str(tmp_path / "rows.parquet")), Path("/elsewhere")
    )
    assert told is not None
    assert told.startswith(f"the disk is full: {tmp_path}, ")


def test_without_a_project_a_full_disk_is_told_all_the_same() -> None:
    told = in_plain_words(OSError(errno.ENOSPC, "No space left on device"), None)
    assert told is not None
    assert told.startswith("the disk is full. Make room")


def test_what_was_caused_by_it_is_told_as_it(tmp_path: Path) -> None:
    store = RuntimeError("the store failed")
    store.__cause__ = sqlite3.OperationalError("database or disk is full")
    assert "the disk is full" in (in_plain_words(store, tmp_path) or "")


def test_a_training_under_way_is_told(tmp_path: Path) -> None:
    told = in_plain_words(
        RunInProgress("rides: the run 'fit-1' is being worked on by another process"), tmp_path
    )
    assert told == (
        "rides: the run 'fit-1' is being worked on by another process. "
        "Wait for its end; the same command then says what came of it"
    )


def test_anything_else_is_not_explained_away(tmp_path: Path) -> None:
    assert in_plain_words(ValueError("no such thing"), tmp_path) is None
    assert in_plain_words(OSError(errno.EACCES, "Permission denied"), tmp_path) is None
