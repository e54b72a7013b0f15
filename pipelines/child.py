"""A server of ours as a child process: started with its log, asked for its health, ended with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from pipelines.errors import Failed

_POLL = 0.2  # seconds between two looks
_LAST_LINES = 15  # of a log, shown when its process ended by itself


@dataclass(frozen=True)
class Server:
    """What to start. healthy: asked until it says yes; url: where people find it, if they do."""

    name: str
    command: Sequence[str]
    healthy: Callable[[], bool]
    url: str | None = None


class Child:
    """A running server, in a process group of its own, so that Ctrl-C reaches it through us alone."""

    def __init__(self, server: Server, *, log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.server = server
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                server.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=log.parent,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises `Failed` with the end of its log where the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise Failed(f"{self.server.name} ended with code {code}. The end of {self.log}:\n{self._tail()}")

    def wait_until_healthy(self, seconds: float, stopped: Event) -> None:
        """Returns when the server answers or `stopped` is set; `Failed` where it ends or stays silent."""
        deadline = time.monotonic() + seconds
        while not stopped.is_set() and not self.server.healthy():
            self.check()
            if time.monotonic() > deadline:
                raise Failed(
                    f"{self.server.name} did not answer within {seconds:.0f} s. The end of {self.log}:\n"
                    f"{self._tail()}"
                )
            stopped.wait(_POLL)

    def ask_to_end(self) -> None:
        """Sends SIGTERM to the process and to what it started in its group."""
        self._signal(signal.SIGTERM)

    def end(self, seconds: float) -> None:
        """Waits for the end that was asked for; what is left then is killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0.0))
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # nobody of the group is left
            os.killpg(self._process.pid, number)

    def _tail(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:])


def answers(url: str) -> bool:
    """Whether an address answers a GET with a success; no proxy is asked.

    >>> answers("http://127.0.0.1:9/health")
    False
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5):
            return True
    except (OSError, ValueError):
        return False
