"""The tables of a log, wherever they lie: in its folder, or at an address such as "s3://bucket/folder"."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pipelines.delta import Table
from pipelines.label_rows import LABELS
from pipelines.log_folder import ARRIVING, written_place
from pipelines.log_rows import EVENTS, PREDICTIONS

Name = Literal["predictions", "labels", "events"]
NAMES: tuple[Name, ...] = get_args(Name)

_FIELDS = {"predictions": PREDICTIONS, "labels": LABELS, "events": EVENTS}


def log_table(folder: Path, name: Name, *, durable: bool = False, address: str | None = None) -> Table:
    """A table of a log, which may have no row yet.

    address: where the tables are to lie if nothing was logged yet; afterwards the folder says it itself.
    """
    written = written_place(folder)
    at = written.address if written is not None else address
    return Table(
        folder / name,
        _FIELDS[name],
        durable=durable,
        address=None if at is None else f"{at.rstrip('/')}/{name}",
    )


def moved_mark(folder: Path) -> str:
    """The name under which the tables remember the last batch that was moved from this folder."""
    written = written_place(folder)
    return ARRIVING if written is None else written.mark


def has_rows(folder: Path) -> bool:
    """Whether there may be rows in a log, told without a look at them."""
    return any((folder / name).exists() for name in ("predictions", "arriving.db")) or (
        written_place(folder) is not None
    )
