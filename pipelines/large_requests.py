"""Large requests, read and scored by a process of their own, so that nobody else waits while they are.

Reading ten MiB of JSON is one step for Python: whatever thread takes it, all others wait. What comes back comes in
pieces of a millisecond each.
"""

from __future__ import annotations

import os
import pickle
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipelines.champion import Served
from pipelines.environment import PYTHON
from pipelines.invocations import BadRequest, Invocation, read_invocation

_PIECE = 500  # rows
_IDLE_SECONDS = 60.0  # after which the process ends, and its memory is given back
_MADE = re.compile("[0-9a-f]{16}-[0-9a-f]{22}-[0-9a-f]{5}")  # what `answering.Ids` makes
_COMMAND = "from pipelines.large_requests import main; main()"  # with -m, its classes would have other names
_NICE = 5  # small requests go first


class LargeFailed(Exception):
    """The process ended, or gave no answer in time; the next request gets a new one."""


@dataclass(frozen=True)
class Task:
    """What is read and scored, and by which version."""

    body: bytes
    content_type: str
    folder: Path
    version: int
    key: str | None


@dataclass(frozen=True)
class Refused:
    """What is wrong with a request, as it comes from the process; see `BadRequest`."""

    field: str
    reason: str
    expected: str
    rule: str
    status: int

    def error(self) -> BadRequest:
        error = BadRequest(self.field, self.reason, rule=self.rule, status=self.status)
        error.expected = self.expected
        return error


class LargeRequests:
    """The process, started when it is needed; one thread uses it."""

    def __init__(self, *, seconds: float) -> None:
        """seconds: for one request."""
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, body: bytes, content_type: str, served: Served) -> tuple[Invocation, list[list[float]]]:
        """The rows of a request and the answers to them; `BadRequest` where it is none, `LargeFailed`."""
        task = Task(body, content_type, served.scorer.bundle.folder, served.version, served.key)
        end = time.monotonic() + self._seconds
        try:
            process = self._asked(task)
            frames = _frames(cast(BinaryIO, process.stdout), end)
            first = pickle.loads(next(frames))
            if isinstance(first, Refused):
                raise first.error()
            return _joined(first, frames)
        except BadRequest:
            raise
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            self.close()
            raise LargeFailed(str(error) or "the process ended") from error
        except BaseException:  # what it still says would be taken for the next answer
            self.close()
            raise

    def _asked(self, task: Task) -> subprocess.Popen[bytes]:
        sent = pickle.dumps(task)
        if self._process is not None and self._process.poll() is None:
            try:
                return _send(self._process, sent)
            except OSError:  # it was idle, and ended at this very moment
                pass
        self.close()
        self._process = subprocess.Popen(
            [*PYTHON, "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        return _send(self._process, sent)

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _send(process: subprocess.Popen[bytes], frame: bytes) -> subprocess.Popen[bytes]:
    _write(cast(BinaryIO, process.stdin), frame)
    return process


def _write(pipe: BinaryIO, frame: bytes) -> None:
    pipe.write(len(frame).to_bytes(8, "big"))
    pipe.write(frame)
    pipe.flush()


def _frames(pipe: BinaryIO, end: float) -> Iterator[bytes]:
    """What the process says, frame by frame, without an end. end: by the clock of `time.monotonic`."""
    number, waiting = pipe.fileno(), bytearray()
    while True:
        length = int.from_bytes(waiting[:8], "big") if len(waiting) >= 8 else None
        if length is not None and len(waiting) >= 8 + length:
            yield bytes(waiting[8 : 8 + length])
            del waiting[: 8 + length]
            continue
        if not select.select([number], [], [], max(end - time.monotonic(), 0.0))[0]:
            raise TimeoutError("no answer in time")
        part = os.read(number, 1 << 16)
        if not part:
            raise EOFError("the process ended")
        waiting += part


def _joined(pieces: int, frames: Iterator[bytes]) -> tuple[Invocation, list[list[float]]]:
    """The pieces as one; each is a millisecond's work, after which other threads go on."""
    answers: list[list[float]] = []
    columns: dict[str, list[Any]] = {}
    beside: dict[str, list[Any]] = {}
    rows = 0
    for _ in range(pieces):
        piece, its_columns, its_beside, own = pickle.loads(next(frames))
        rows += piece
        answers += own
        for name, values in its_columns.items():
            columns.setdefault(name, []).extend(values)
        for name, values in its_beside.items():
            beside.setdefault(name, []).append(values)
    return Invocation(columns, rows, **{name: _whole(parts) for name, parts in beside.items()}), answers


def _whole(parts: Sequence[Any]) -> Any:
    """Tuples, or arrays of numpy, one after the other."""
    if isinstance(parts[0], tuple):
        return tuple([value for part in parts for value in part])
    import numpy as np

    return np.concatenate(parts)


def read_rows(body: bytes, content_type: str, served: Served) -> Invocation:
    """The rows of a request; an id that the server gave may not come back as a client's own: it names another row."""
    asked = read_invocation(body, content_type, served.form)
    for place, id in enumerate(asked.ids or ()):
        if _MADE.fullmatch(id):
            found = f"{id} is of the form that this server gives"
            raise BadRequest(f"ids[{place}]", found, "an id of your own", rule="id")
    return asked


# --- in the process ---


def main() -> None:
    """Answers until its standard input ends or nothing comes for a while."""
    os.nice(_NICE)
    requests, said, versions = sys.stdin.buffer, sys.stdout.buffer, Versions()
    while select.select([requests.fileno()], [], [], _IDLE_SECONDS)[0]:
        length = int.from_bytes(requests.read(8), "big")
        if not length:
            return
        for frame in _answer(pickle.loads(requests.read(length)), versions):
            _write(said, pickle.dumps(frame))


class Versions:
    """The last version that was asked for, loaded."""

    def __init__(self) -> None:
        self._last: Served | None = None

    def of(self, task: Task) -> Served:
        """The version of a task; ValueError where its files answer otherwise than they did."""
        last = self._last
        if last is None or (last.version, last.scorer.bundle.folder) != (task.version, task.folder):
            from pipelines.scoring import Scorer

            last = Served(task.version, Scorer.load(task.folder), task.key)
            if not last.scorer.golden_ok():
                raise ValueError(f"version {task.version} answers otherwise than it did")
            self._last = last
        return replace(last, key=task.key) if last.key != task.key else last


def _answer(task: Task, versions: Versions) -> Iterator[Any]:
    """The number of pieces and the pieces, or what is wrong with the request."""
    served = versions.of(task)
    try:
        asked = read_rows(task.body, task.content_type, served)
    except BadRequest as error:
        yield Refused(error.field, error.reason, error.expected, error.rule, error.status)
        return
    answers = served.scorer.predict(asked.columns)
    yield -(-asked.rows // _PIECE)
    for start in range(0, asked.rows, _PIECE):
        end = min(start + _PIECE, asked.rows)
        columns = {name: list(values[start:end]) for name, values in asked.columns.items()}
        beside = {name: getattr(asked, name) for name in ("ids", "times", "keys")}
        given = {name: values[start:end] for name, values in beside.items() if values is not None}
        yield end - start, columns, given, answers[start:end].tolist()
