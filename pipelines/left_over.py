"""Servers that outlived a killed `losswatch up`: written down as they start, known again by the next one, ended."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it publishes no types

from pipelines.child import Child

logger = logging.getLogger(__name__)

_FILE = "processes.json"
# seconds; a start time is counted from the boot, whose own time the clock's corrections move
_SAME_START = 2.0
_POLL = 0.1  # seconds between two looks


@dataclass(frozen=True)
class Noted:
    """A process that leads a group of its own. began: when it started, in seconds since 1970."""

    name: str
    pid: int
    began: float


def note(folder: Path, children: Sequence[Child]) -> None:
    """Writes down what has been started in `folder`, where all of it runs."""
    noted = []
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended, which its next check tells
            began = psutil.Process(child.pid).create_time()
            noted.append(Noted(child.server.name, child.pid, began))
    part = folder / f".{_FILE}.part"
    part.write_text(json.dumps([asdict(one) for one in noted]), "utf-8")
    os.replace(part, folder / _FILE)


def forget(folder: Path) -> None:
    """Nothing that was written down runs any more."""
    (folder / _FILE).unlink(missing_ok=True)


def end_left_over(folder: Path, *, seconds: float) -> tuple[Noted, ...]:
    """Ends what an earlier process started in `folder` and nobody ended; returns it.

    seconds: for an orderly end; what is left then is killed. A process is ours that was written down, began when it
    was written down, and runs in this folder; any other that has its number by now is left alone.
    """
    left = tuple(one for one in reversed(_read(folder)) if _is_ours(one, folder))
    for one in left:
        logger.warning(
            "ending the %s, process %d, which a killed losswatch up left behind", one.name, one.pid
        )
        _signal(one, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while any(_group(one) for one in left) and time.monotonic() < deadline:
        time.sleep(_POLL)
    for one in left:
        _signal(one, signal.SIGKILL)
    forget(folder)
    return left


def _read(folder: Path) -> list[Noted]:
    try:
        return [Noted(**one) for one in json.loads((folder / _FILE).read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _is_ours(noted: Noted, folder: Path) -> bool:
    """Whether the group is still the one that was written down; its leader may have ended before the others."""
    group = _group(noted)
    leader = next((member for member in group if member.pid == noted.pid), None)
    with contextlib.suppress(psutil.Error):  # the leader ended meanwhile
        if leader is not None and abs(leader.create_time() - noted.began) > _SAME_START:
            return False
    return any(_runs_in(folder, member) for member in group)


def _runs_in(folder: Path, process: psutil.Process) -> bool:
    try:
        return Path(process.cwd()) == folder.resolve()
    except psutil.Error:  # it ended meanwhile, or belongs to somebody else
        return False


def _group(noted: Noted) -> list[psutil.Process]:
    """The processes of its group that run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == noted.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _signal(noted: Noted, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # nobody of the group is left
        os.killpg(noted.pid, number)
