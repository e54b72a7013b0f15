"""What a long command is doing, on stderr: one changing line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

PATIENCE = 2.0  # seconds; what is done sooner needs no progress
PLAIN_EVERY = 10.0  # seconds between lines where nobody sees them change, e.g. in the log of a scheduler
_CLEAR = "\r\x1b[K"


class Progress:
    """Shows the latest text and the seconds passed, once there is something to wait for.

    Call it with a text; inside `with`, a thread keeps the seconds moving while the work is silent.

    >>> import io
    >>> seconds = iter([0.0, 1.0, 3.0, 4.0, 14.0])
    >>> progress = Progress(stream := io.StringIO(), clock=lambda: next(seconds))
    >>> for text in ("epoch 1", "epoch 2", "epoch 3", "epoch 4"):
    ...     progress(text)
    >>> print(stream.getvalue(), end="")
    3 s: epoch 2
    14 s: epoch 4
    """

    def __init__(
        self, stream: TextIO, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._clock = clock
        self._terminal = stream.isatty()
        self._begin = clock()
        self._shown_at: float | None = None
        self._text = ""
        self._lock = threading.Lock()  # the thread and the work may both draw
        self._ended = threading.Event()

    def __call__(self, text: str) -> None:
        with self._lock:
            self._text = text
            self._draw()

    def tick(self) -> None:
        """Shows how many seconds have passed, where that is due."""
        with self._lock:
            self._draw()

    def __enter__(self) -> Self:
        if not self._quiet:
            threading.Thread(target=self._keep_ticking, daemon=True, name="progress").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with self._lock:
            self._quiet = True  # the thread may be at its last tick
            self.clear()

    def clear(self) -> None:
        """Takes the changing line away, before something else is written."""
        if self._terminal and self._shown_at is not None:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def _keep_ticking(self) -> None:
        while not self._ended.wait(1.0):
            self.tick()

    def _draw(self) -> None:
        if self._quiet:
            return
        now = self._clock()
        since = now - (self._begin if self._shown_at is None else self._shown_at)
        due = PATIENCE if self._shown_at is None else 0.1 if self._terminal else PLAIN_EVERY
        if since < due:
            return
        self._shown_at = now
        self._stream.write(self._line(now - self._begin))
        self._stream.flush()

    def _line(self, seconds: float) -> str:
        line = f"{seconds:.0f} s: {self._text or 'working'}"
        if not self._terminal:
            return f"{line}\n"
        return _CLEAR + line[: shutil.get_terminal_size().columns - 1]


class ProgressHandler(logging.Handler):
    """Shows what the code logs at INFO as progress, so that a step need not know who is watching."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING:  # a warning is shown as a line of its own
            self._progress(record.getMessage())


class BehindProgress(logging.StreamHandler[TextIO]):
    """Writes warnings to the stream that a progress line may stand on."""

    def __init__(self, stream: TextIO, progress: Progress | None) -> None:
        super().__init__(stream)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        if self._progress is not None:
            self._progress.clear()
        super().emit(record)
