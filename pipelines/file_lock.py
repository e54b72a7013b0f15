"""A lock on a file, which the operating system lets go of when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Locked(Exception):
    """Another process, or another thread of this one, holds the lock."""


@contextmanager
def file_lock(path: Path, *, wait: float = 60.0) -> Iterator[None]:
    """Holds the lock of `path` inside the block; the file stays where it is.

    wait: seconds after which `Locked` is raised; 0 asks once. A process that is killed, even by SIGKILL, lets
    go of its locks, so none is ever stale.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, file_lock(Path(folder) / "store.lock"):
    ...     with file_lock(Path(folder) / "store.lock", wait=0):
    ...         pass
    Traceback (most recent call last):
        ...
    pipelines.file_lock.Locked: ...store.lock is held by another process
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, time.monotonic() + wait)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Locked(f"{path} is held by another process") from None
            time.sleep(0.05)  # eight processes that start at once wait in turn; this is far below one start
