"""A scoring server killed with SIGKILL at random moments under load: what it acknowledged is there, once.

python -m benchmarks.serving_kills [--quick] [--json FILE]

It takes half an hour on two cores, with a log for every thousand kills; interrupted (Ctrl+C) it checks what was killed
so far.

Each server is a process of its own, forked from one that has loaded the libraries; it moves rows into the tables all
the time, so that kills fall into that, too. Four clients send rows with ids of their own; what was not answered is sent
again to the next server. Afterwards the log is read by a process that knows nothing of the servers.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import options
from benchmarks.forked import Forked, Plant, Tell, forked
from benchmarks.load import request
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

KILLS, QUICK = 10_000, 50
EACH = 1000  # kills of servers of one log
CLIENTS = 4
LONGEST, RARELY = 0.25, 1.5  # seconds that a server lives after its first answer
OFTEN = 0.9  # share of those that live less long; the rest have time to move rows into the tables
FLUSH_EVERY = 0.05


@dataclass
class Sent:
    """What the clients know. answered: by id, what each was told; open: requests without an answer."""

    answered: dict[str, float] = field(default_factory=dict)
    open: dict[str, bytes] = field(default_factory=dict)
    different: int = 0
    refused: int = 0
    number: int = 0


@dataclass(frozen=True)
class Kills:
    """What is left after some kills. lost: acknowledged rows that the log lacks; different: of another answer; sound:
    whether the file is whole and the log can be moved and read.
    """

    kills: int
    acknowledged: int
    lost: int
    twice: int
    different: int
    refused: int
    sound: bool


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        version = made_version(Path(folder) / "version")
        found = killed_beside(Path(folder), version, QUICK if quick else KILLS)
    return [
        figure("kills", found.kills, ""),
        figure("acknowledged rows", found.acknowledged, ""),
        at_most(0, "acknowledged rows lost", found.lost, ""),
        at_most(0, "rows twice", found.twice, ""),
        at_most(0, "rows with another answer", found.different, ""),
        at_most(0, "damaged files", float(not found.sound), ""),
    ]


def killed_beside(folder: Path, version: Path, kills: int) -> Kills:
    """The same on several logs, as many at once as there are cores: each start looks through the whole file."""
    shares = [min(EACH, kills - done) for done in range(0, kills, EACH)]
    logs = [folder / f"{number}" / "log" for number in range(len(shares))]
    for log in logs:
        log.parent.mkdir()
    works = ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=_note_interrupts)
    with works, _until_interrupted():
        found = list(works.map(killed, logs, [version] * len(logs), shares, range(len(logs))))
    return Kills(
        *(sum(getattr(one, field.name) for one in found) for field in fields(Kills)[:-1]),
        sound=all(one.sound for one in found),
    )


def killed(folder: Path, version: Path, kills: int, seed: int = 0, *, plant: Plant | None = None) -> Kills:
    """Kills servers on one log. version: a bundle; plant: called in each server, to make it a wrong one."""
    if _interrupted:
        return Kills(0, 0, 0, 0, 0, 0, sound=True)
    for name in ("log", "scoring", "serving"):
        import_module(f"pipelines.{name}")  # loaded once, before any process is forked
    rng, sent, done = random.Random(seed), Sent(), 0
    with _until_interrupted() as go_on, socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        while done < kills and go_on():
            work = partial(_serve, listening, folder, version)
            with forked(work, folder.parent / "error", plant=plant) as server:
                longest = LONGEST if rng.random() < OFTEN else RARELY
                _ask(listening.getsockname()[1], sent, rng.uniform(0, longest), server)
            done += 1
            if done % 500 == 0:
                say(f"{done} kills, {len(sent.answered):,} rows acknowledged")
    return _checked(folder, sent, done)


_interrupted: list[int] = []  # of this process, between two logs as well


def _note_interrupts() -> None:
    signal.signal(signal.SIGINT, lambda number, _: _interrupted.append(number))


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Whether to go on: until SIGINT comes, which ends nothing in the middle."""
    before = signal.getsignal(signal.SIGINT)
    _note_interrupts()
    try:
        yield lambda: not _interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(listening: socket.socket, folder: Path, version: Path, _: Tell) -> None:
    from pipelines.champion import Served
    from pipelines.log import Log
    from pipelines.scoring import Scorer
    from pipelines.serving import ScoringServer
    from pipelines.tokens import Tokens

    served = Served(1, Scorer.load(version))

    class Fixed:
        def current(self) -> Served:
            return served

    log = Log(folder)
    log.open_for_arriving()
    tokens = Tokens(folder / "tokens.json")
    server = ScoringServer(
        Fixed(), log, folder=folder, now=lambda: datetime.now(UTC), tokens=tokens, flush_every=FLUSH_EVERY
    )
    server.run(listening)


# --- the clients ---


class _Client:
    """One connection, with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.id = ""
        self.read = b""

    def take(self, sent: Sent) -> bool:
        """Reads what there is; whether an answer is whole. ConnectionError where the server is gone."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionResetError
        self.read += part
        head, found, body = self.read.partition(b"\r\n\r\n")
        length = _length(head)
        if not found or len(body) < length:
            return False
        self.read = b""
        _note(sent, self.id, head, body[:length])
        return True


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 1 << 30


def _note(sent: Sent, id: str, head: bytes, body: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        sent.refused += 1
        return
    (told,) = json.loads(body)["predictions"]
    sent.different += sent.answered.get(id, told) != told
    sent.answered[id] = told


def _body(id: str, number: int) -> bytes:
    row = {"hour": 5 + number % 4, "carrier": "UA", "wind": number / 10, "holiday": number % 3 == 0}
    return json.dumps({"dataframe_records": [row], "ids": [id]}).encode()


def _ask(port: int, sent: Sent, seconds: float, server: Forked) -> None:
    """Asks for some time and kills; then reads what was sent before the end. Open requests go to the next server."""
    clients = {one.socket.fileno(): one for one in (_Client(port) for _ in range(CLIENTS))}
    again, under_way = list(sent.open), {}
    for number, client in clients.items():
        under_way[number] = _next(client, sent, again)
    end = None
    while end is None or time.monotonic() < end:
        ready, _, _ = select.select(list(clients), [], [], 0.02 if end is not None else 20.0)
        if not ready and end is None:
            raise RuntimeError(f"the server answers nothing: {server.error or 'and says nothing'}")
        for number in ready:
            if clients[number].take(sent):
                sent.open.pop(under_way[number], None)
                end = end if end is not None else time.monotonic() + seconds
                under_way[number] = _next(clients[number], sent, again)
    server.kill()
    for number, client in clients.items():
        try:
            while not client.take(sent):
                pass
            sent.open.pop(under_way[number], None)
        except OSError:
            pass
        client.socket.close()


def _next(client: _Client, sent: Sent, again: list[str]) -> str:
    if again:
        client.id = again.pop()
    else:
        sent.number += 1
        client.id = f"row-{sent.number}"
        sent.open[client.id] = _body(client.id, sent.number)
    client.socket.sendall(request("/invocations", sent.open[client.id]))
    return client.id


# --- afterwards ---

READ = """
import json, sqlite3, sys
from pathlib import Path
from pipelines.delta import dataset_of
from pipelines.log import Log
folder = Path(sys.argv[1])
connection = sqlite3.connect(f"file:{folder}/arriving.db?mode=ro", uri=True)
(sound,) = connection.execute("PRAGMA integrity_check").fetchone()
connection.close()
log = Log(folder)
log.flush()
rows = dataset_of(folder / "predictions").to_table(columns=["id", "prediction"])
predictions = [first for first, *_ in rows["prediction"].to_pylist()]
json.dump({"ids": rows["id"].to_pylist(), "predictions": predictions, "sound": sound}, sys.stdout)
"""


def _checked(folder: Path, sent: Sent, kills: int) -> Kills:
    done = subprocess.run([sys.executable, "-c", READ, str(folder)], capture_output=True, text=True)
    if done.returncode:
        say(f"the log cannot be read: {done.stderr[-800:]}")
        return Kills(kills, len(sent.answered), 0, 0, sent.different, sent.refused, sound=False)
    left: Any = json.loads(done.stdout)
    there = dict(zip(left["ids"], left["predictions"], strict=True))
    lost = [id for id in sent.answered if id not in there]
    wrong = [id for id, told in sent.answered.items() if there.get(id, told) != told]
    return Kills(
        kills,
        len(sent.answered),
        len(lost),
        len(left["ids"]) - len(there),
        len(wrong) + sent.different,
        sent.refused,
        left["sound"] == "ok",
    )


def made_version(folder: Path, **options: Any) -> Path:
    """A version of one layer, written without Keras by what the tests have for it; options: of `write_version`."""
    import importlib.util

    path = Path(__file__).parent.parent / "tests" / "versions.py"
    spec = importlib.util.spec_from_file_location("losswatch_made_versions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written: Path = module.write_version(folder, **options)
    return written


if __name__ == "__main__":
    sys.exit(options.run("serving_kills", measure))
