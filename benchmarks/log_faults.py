"""What can be wrong with a log: each breaks the one of this process, so that a proof is seen to find it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any


def delete_first() -> None:
    """Rows leave SQLite when they are read to be moved, and not when they have landed."""
    from pipelines import log

    read = log.moving_rows

    def reading(path: Path, batch: int) -> Any:
        rows = read(path, batch)
        last = "SELECT last FROM batches WHERE queue = 'requests' AND batch = ?"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            connection.execute(f"DELETE FROM requests WHERE number <= ({last})", (batch,))
        time.sleep(0.1)  # a large batch takes as long to be packed
        return rows

    log.moving_rows = reading


def write_nothing_down() -> None:
    """What is to be forgotten is only in memory."""
    from pipelines import erasing, forgetting

    kept: list[erasing.Wanted] = []

    def write(folder: Path, wanted: erasing.Wanted) -> None:
        kept[:] = [wanted]
        (folder / erasing.WANTED).touch()

    def read(folder: Path) -> erasing.Wanted | None:
        return kept[0] if kept else None

    for module in (erasing, forgetting):
        module.write_wanted = write  # type: ignore[attr-defined]
        module.read_wanted = read  # type: ignore[attr-defined]


def keep_older_versions() -> None:
    """Rows leave the tables, and stay in the files of their older versions."""
    from pipelines.delta import Table

    Table.purge = lambda self: None  # type: ignore[method-assign]
