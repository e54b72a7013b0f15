"""Processes that are there to be killed: forked from one that has loaded the libraries, with a pipe for their words."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Tell = Callable[[str], None]
Plant = Callable[[], None]


@dataclass(frozen=True)
class Forked:
    """A process and the pipe with what it says. errors: where it writes why it ended by itself."""

    pid: int
    words: int
    errors: Path

    def hear(self, enough: Callable[[str], bool]) -> str:
        """What it has said as soon as that is enough; RuntimeError where it ends before."""
        heard = b""
        while not enough(heard.decode()):
            part = os.read(self.words, 65_536)
            if not part:
                raise RuntimeError(f"the process ended by itself: {self.error or 'without a word'}")
            heard += part
        return heard.decode()

    def rest(self) -> str:
        """What it says until its end."""
        heard = b""
        while part := os.read(self.words, 65_536):
            heard += part
        return heard.decode()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    @property
    def error(self) -> str:
        """Why it ended by itself; empty where it did not fail."""
        return self.errors.read_text("utf-8") if self.errors.is_file() else ""


@contextmanager
def forked(work: Callable[[Tell], None], errors: Path, *, plant: Plant | None = None) -> Iterator[Forked]:
    """A process that does this work; killed at the end of the block where it still runs.

    work: is given what tells the other side a line. plant: called first, to make it a wrong one.
    """
    words, mouth = os.pipe()
    child = os.fork()
    if not child:
        _live(work, errors, mouth, plant)
    os.close(mouth)
    process = Forked(child, words, errors)
    try:
        yield process
    finally:
        os.close(words)
        process.kill()
        os.waitpid(child, 0)


def _live(work: Callable[[Tell], None], errors: Path, mouth: int, plant: Plant | None) -> None:
    """The child, which never returns."""

    def tell(line: str) -> None:
        os.write(mouth, f"{line}\n".encode())

    try:
        if plant is not None:
            plant()
        work(tell)
    except BaseException:
        errors.write_text(traceback.format_exc(), "utf-8")
        os._exit(1)
    os._exit(0)
