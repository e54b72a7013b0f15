"""What the log keeps of a row, for how long, and against which mishaps: the section [log] of the project file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Durability = Literal["process", "power"]


@dataclass(frozen=True)
class LogConfig:
    """[log]"""

    durability: Durability = field(
        default="process",  # one fsync for each commit costs more than all the rest of a request
        metadata={
            "doc": 'what a row that was answered survives: the end of the process, `kill -9` too, or with "power" also '
            "that of the machine, by an fsync for each commit",
        },
    )
