"""What is to be forgotten, written down before it begins; and the part of who takes arriving rows.

The scoring server does that part itself, for one process alone writes `arriving.db`. The rest is in `forgetting`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.document import write_whole

if TYPE_CHECKING:
    from pipelines.arriving import Arriving

WANTED = "forgetting.json"  # in the folder of the log while it goes on


@dataclass(frozen=True)
class Wanted:
    """What is to be forgotten. keys: of no other row; erased: whether it is out of the rows that wait."""

    ids: tuple[str, ...]
    keys: tuple[str, ...] = ()
    erased: bool = False


def read_wanted(folder: Path) -> Wanted | None:
    """What is written down to be forgotten; None where nothing is."""
    try:
        found = json.loads((folder / WANTED).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return Wanted(tuple(found["ids"]), tuple(found["keys"]), found["erased"])


def erase_waiting(folder: Path, arriving: Arriving) -> None:
    """The part of who takes arriving rows: out of these, what is written down to be forgotten."""
    wanted = read_wanted(folder)
    if wanted is not None and not wanted.erased:
        arriving.erase(wanted.ids, wanted.keys)
        write_wanted(folder, replace(wanted, erased=True))


def write_wanted(folder: Path, wanted: Wanted) -> None:
    write_whole(json.dumps(asdict(wanted)), folder / WANTED)
