"""When the monitor ran, in a small file beside the log: whoever serves or looks can see that it does not run any more.

The monitor cannot say so itself. The file says nothing that is decided by: without it nobody knows of the time before.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipelines.cron import next_after

FILE = "monitor.json"
_KEPT = 31  # moments
_GRACE = timedelta(minutes=10)  # a run that began in time may still be under way
_LONGER = 2  # times the usual pause; as for labels, where it is explained
_UNUSUAL = 3  # of the pauses so far, the longest that is not among the two that an outage may have made


@dataclass(frozen=True)
class Heartbeat:
    """The last runs of the monitor, oldest first; failed: the type of the error by which the last one ended.

    open, waiting: alerts that stand, by severity, and messages that wait; retry: when sending is to be tried again;
    server: since when the scoring server is up, before which a monitor was not missed.
    """

    runs: tuple[datetime, ...] = ()
    failed: str | None = None
    open: tuple[tuple[str, int], ...] = ()
    waiting: int = 0
    retry: datetime | None = None
    server: datetime | None = None

    @property
    def last(self) -> datetime | None:
        return self.runs[-1] if self.runs else None

    @property
    def usual(self) -> timedelta:
        """The longest pause between runs that is no exception."""
        pauses = sorted((after - before for before, after in pairwise(self.runs)), reverse=True)
        return pauses[_UNUSUAL - 1] if len(pauses) >= _UNUSUAL else timedelta(0)


@dataclass(frozen=True)
class Late:
    """A monitor that did not run when it should have. since: its last run, or when it should have begun to."""

    since: datetime
    due: datetime
    ran: bool

    def __str__(self) -> str:
        last = f"it last ran at {self.since:%Y-%m-%d %H:%M}" if self.ran else "it has never run"
        return f"the monitor does not run: {last}, and another run was due by {self.due:%Y-%m-%d %H:%M}"


def late(heartbeat: Heartbeat, cron: str, now: datetime, *, serving_since: datetime | None) -> Late | None:
    """Whether the monitor should have run by now, and did not.

    It is late when two of its times have passed and the pause is twice as long as usual, for whoever runs it by a clock
    of their own. serving_since: from when on it should run; None where nothing serves, so nothing is watched.
    """
    if serving_since is None:
        return None
    began = max(heartbeat.last or serving_since, heartbeat.server or serving_since)
    first = next_after(cron, began)
    second = next_after(cron, first) if first else None
    if second is None:
        return None
    due = max(second + _GRACE, began + _LONGER * heartbeat.usual)
    return Late(heartbeat.last or serving_since, due, heartbeat.last is not None) if now > due else None


def gauges(log: Path) -> dict[str, tuple[str, float]]:
    """What the scoring server says of the monitor and of alerts: name to meaning and value."""
    seen = read(log)
    standing = dict(seen.open)
    return {
        "monitor_last_run_seconds": (
            "when the monitor last ran; 0 where it never has",
            seen.last.timestamp() if seen.last else 0.0,
        ),
        "monitor_failed": ("1 where its last run ended with an error", float(seen.failed is not None)),
        "alerts_critical": ("critical alerts that stand", float(standing.get("critical", 0))),
        "alerts_warning": ("alerts that stand and are warnings", float(standing.get("warning", 0))),
        "alerts_waiting": ("messages that receivers have not taken", float(seen.waiting)),
    }


def read(log: Path) -> Heartbeat:
    """What the file says. log: the folder of the log. Nothing where there is none, or none of ours."""
    try:
        found: Any = json.loads((log / FILE).read_text("utf-8"))
        return Heartbeat(
            tuple(datetime.fromisoformat(run) for run in found["runs"]),
            found["failed"],
            tuple((str(severity), int(count)) for severity, count in found["open"]),
            int(found["waiting"]),
            _moment(found["retry"]),
            _moment(found["server"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return Heartbeat()


def _moment(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)


def ran(log: Path, now: datetime, *, failed: str | None = None) -> None:
    """Writes down that the monitor ran; failed: the type of the error by which it ended."""
    before = read(log)
    write(log, replace(before, runs=(*before.runs, now)[-_KEPT:], failed=failed))


def write(log: Path, heartbeat: Heartbeat) -> None:
    """Writes the file anew where there is a log, whole or not at all; a disk that is full is said by others."""
    path = log / FILE
    temporary = path.with_name(f"{FILE}.{os.getpid()}")
    if not log.is_dir():
        return
    try:
        temporary.write_text(json.dumps(asdict(heartbeat), default=datetime.isoformat), "utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
