"""The scoring server notices that the monitor does not run, or that alerts wait to be sent again.

It only looks at a small file. The telling is done by a process of its own, `losswatch alerts deliver`, for it needs
libraries that would weigh on the server.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from pipelines import heartbeat
from pipelines.environment import PYTHON

logger = logging.getLogger(__name__)

_EVERY = 60.0  # seconds between two looks
_AGAIN = timedelta(hours=1)  # after which what was told in vain is told again
_LONGEST = 300.0  # seconds that the telling may take


class Watchdog:
    """Looks every minute, and has it told where the monitor is late."""

    def __init__(
        self,
        project: Path,
        log: Path,
        cron: str,
        *,
        now: Callable[[], datetime],
        tell: Callable[[Path], None] | None = None,
    ) -> None:
        """project, log: folders; cron: when the monitor should run; tell: what is done where it is late."""
        self._project, self._log, self._cron, self._now = project, log, cron, now
        self._tell = tell or tell_in_a_process
        self._began = now()
        self._told: datetime | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begins to look; a monitor is not missed from before."""
        heartbeat.write(self._log, replace(heartbeat.read(self._log), server=self._began))
        self._thread.start()

    def stop(self) -> None:
        """Ends it; a telling under way is not waited for."""
        self._ended.set()

    def look(self) -> bool:
        """Looks once, and has it told where something is to be told; says whether it has."""
        now, seen = self._now(), heartbeat.read(self._log)
        late = heartbeat.late(seen, self._cron, now, serving_since=self._began)
        retry = seen.retry is not None and seen.retry <= now
        pause = self._told is None or now - self._told >= (_AGAIN if late else timedelta(minutes=1))
        if (late is None and not retry) or not pause:
            return False
        self._told = now
        self._tell(self._project)
        return True

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            try:
                self.look()
            except Exception as error:  # the server answers all the same
                logger.warning("the monitor could not be looked after: %s", type(error).__name__)


def tell_in_a_process(project: Path) -> None:
    """`losswatch alerts deliver`, whose words go into the project's log file."""
    command = [*PYTHON, "-m", "pipelines.cli", "alerts", "deliver", "--quiet", "--project", str(project)]
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_LONGEST,
        check=False,
    )
    if ended.returncode:
        logger.warning("losswatch alerts deliver ended with %d", ended.returncode)
