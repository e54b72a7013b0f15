"""Seconds of CPU: of a command, and of this process with everything that it started."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence


def of_command(command: Sequence[str], *, times: int = 1) -> float:
    """The least of several runs: other work on the machine can only add to it.

    Raises RuntimeError with the command's own words where it fails.
    """
    return min(_once(command) for _ in range(times))


def _once(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def so_far() -> float:
    """Of this process, of its children that ended, and of those that still run, with theirs."""
    import psutil  # type: ignore[import-untyped]

    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
