"""What the command line sets before any heavy import: quiet libraries, no telemetry, one log file."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pipelines.progress import BehindProgress, Progress, ProgressHandler

if TYPE_CHECKING:
    from pipelines.config import ProjectConfig

OWN_LOGGERS = ("models", "monitoring", "pipelines")
NOISY = "tensorflow"  # it warns of what every new training does, and nobody who reads it can change
LOG_FILE = "losswatch.log"

# each was found to be needed for a command that prints nothing but its own words
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its two notices come before any log level is read
    "DO_NOT_TRACK": "true",  # MLflow takes only `true`
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # its links would stand in the middle of --json
    "OPENBLAS_NUM_THREADS": "1",  # the monitor solves small systems: a second thread only waits for the first
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # its heartbeat also locks a new SQLite store
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 seconds are too few on a busy machine
}


# how a process of ours is started: -P, or a folder called `models` where the user works would be taken for ours
PYTHON = (sys.executable, "-P")


def quiet_environment(environ: MutableMapping[str, str], state: Path | None) -> None:
    """Sets what is not set yet; what a user has set stays.

    state: the project's state folder, where Prefect then keeps its files; None outside of a project.
    """
    for name, value in _QUIET.items():
        environ.setdefault(name, value)
    if state is not None:
        environ.setdefault("PREFECT_HOME", str(state / "prefect"))


WIDE = 256  # units of a layer from which a second thread has enough to do


def plan_devices(environ: MutableMapping[str, str], config: ProjectConfig) -> None:
    """One thread of TensorFlow for a small network and no GPU, before it is loaded; what a user has set stays.

    Measured on 40,000 rows of 100 columns, layers of 64 and 32: two threads take half as much CPU again as one, and
    no less time. And the sums of one thread are the same on every machine. A user's own network is not looked into.
    A GPU is hidden where the project file does not ask for one: for a small network it is a detour.
    """
    if config.network.device == "cpu":
        environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if config.code.build is None and max(config.network.hidden, default=0) <= WIDE:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            environ.setdefault(name, "1")


class LogFile(logging.FileHandler):
    """A log file that comes into being with its first line, and its folder too."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self.setLevel(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be written is lost: on a full disk the command itself says so, and says it better."""


def set_up_logging(stderr: TextIO, log_file: Path | None, *, progress: Progress | None, spoken: bool) -> None:
    """Warnings on stderr, our own lines from INFO up in the log file, Python's warnings in the file alone.

    progress: shows our INFO lines as they come. spoken: they go to stderr as lines of their own.
    """
    handlers: list[logging.Handler] = [LogFile(log_file)] if log_file else []
    screen = BehindProgress(stderr, progress)
    screen.setLevel(logging.INFO if spoken else logging.WARNING)
    screen.setFormatter(logging.Formatter("losswatch: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[*handlers, screen], force=True)
    logging.captureWarnings(True)
    warnings = logging.getLogger("py.warnings")
    warnings.handlers, warnings.propagate = handlers or [logging.NullHandler()], False
    logging.getLogger(NOISY).setLevel(logging.ERROR)
    for name in OWN_LOGGERS:
        own = logging.getLogger(name)
        own.setLevel(logging.INFO)
        own.handlers = [ProgressHandler(progress)] if progress is not None else []
