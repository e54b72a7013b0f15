"""What a command costs, and the seconds of CPU of this process with everything that it started."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Of one command. cpu, seconds: with the processes that it waited for; peak: bytes of resident memory."""

    cpu: float
    peak: int
    seconds: float


def of_command(command: Sequence[str], *, times: int = 1) -> float:
    """The least of several runs: other work on the machine can only add to it.

    Raises RuntimeError with the command's own words where it fails.
    """
    return min(cost_of(command).cpu for _ in range(times))


# A process counts the memory of the one that starts it as its own peak, so a small one starts what is measured.
_BETWEEN = """
import os, sys
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def cost_of(command: Sequence[str]) -> Cost:
    """Of one run. Raises RuntimeError with the command's own words where it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _BETWEEN, *command], capture_output=True, text=True, check=True
    )
    code, cpu, peak = done.stdout.split()
    if int(code):
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{done.stderr}")
    return Cost(float(cpu), int(peak) * 1024, time.perf_counter() - began)


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
