"""Monitors killed with SIGKILL while they raise and send alerts, a receiver that is down for a day: none is lost.

python -m benchmarks.alert_kills [--quick] [--json FILE]

Each process is forked from one that has loaded the libraries and done nothing. It finds causes that stand and others
that are over, drawn by chance, sends what waits, and is killed at any moment of its life; after every fifty kills three
live on, which tells how long a life is. Ten minutes pass to the next one. The receiver is a process of its own, which
refuses everything for a day of these.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import options
from benchmarks.forked import Plant, Tell, forked
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

if TYPE_CHECKING:
    from pipelines.alerts import Finding
    from pipelines.receivers import Severity

KILLS, QUICK = 2_000, 20
ANEW = 50  # kills, after which it is measured anew how long a process lives: the log grows
START, STEP = datetime(2024, 1, 1, tzinfo=UTC), timedelta(minutes=10)
DAY = timedelta(days=1) // STEP  # kills
CAUSES = 12
BEGUN, SENDS = "begun", "sends"  # words of a process: as it begins, and as it has found all and sends


@dataclass(frozen=True)
class Kills:
    """What became of all messages. lost: that never reached the receiver; unsaid: causes that were found, by the word
    of a process, and are in no log; twice: that came more than once; changed: of these with another text; strangers:
    that came and are in no log; refused: while the receiver was down.
    """

    kills: int
    messages: int
    lost: int
    unsaid: int
    twice: int
    changed: int
    strangers: int
    refused: int


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        found = killed(Path(folder), QUICK if quick else KILLS)
    return [
        figure("kills", found.kills, ""),
        figure("messages", found.messages, ""),
        figure("attempts while the receiver was down", found.refused, ""),
        figure("messages that came more than once, under the same id", found.twice, ""),
        at_most(0, "messages lost", found.lost, ""),
        at_most(0, "causes found and forgotten", found.unsaid, ""),
        at_most(0, "repeated messages with another text", found.changed, ""),
        at_most(0, "messages that nobody raised", found.strangers, ""),
    ]


def killed(folder: Path, kills: int, *, plant: Plant | None = None, seed: int = 0) -> Kills:
    """Kills monitors of one log. plant: called in each of them, to make it a wrong one."""
    for name in ("pipelines.alerts", "pipelines.outbox", "pyarrow.dataset", "pandas", "urllib.request"):
        import_module(name)  # loaded once, before any process is forked
    rng, said = random.Random(seed), set[str]()
    with _receiver(folder) as port:
        for number in range(kills):
            if number % ANEW == 0:
                longest = _longest(folder, port, number, rng, plant)
            _set_down(folder, kills // 3 <= number < kills // 3 + min(DAY, kills // 3))
            work = partial(_work, folder, port, number, rng.randrange(2**32))
            with forked(work, folder / "error", plant=plant) as process:
                begun = process.hear(_begun if rng.random() < 0.5 else _all_found)
                time.sleep(rng.uniform(0.0, 2 * longest))
                process.kill()
                said |= set((begun + process.rest()).split()) - {BEGUN, SENDS}
            if number % 100 == 99:
                say(f"{number + 1} kills, {len(said):,} causes found")
        _set_down(folder, False)
        _live(folder, port, kills, None, plant)  # it sends what is left
    return _checked(folder, said, kills)


def _begun(heard: str) -> bool:
    return BEGUN in heard


def _all_found(heard: str) -> bool:
    """Whether a process has found all that it finds; half of them are killed after that."""
    return SENDS in heard


def _longest(folder: Path, port: int, number: int, rng: random.Random, plant: Plant | None) -> float:
    """How many seconds a process lives that nobody kills: the longer of two, after one that sends what others left."""
    lives = []
    for _ in range(3):
        begun = time.monotonic()
        _live(folder, port, number, rng.randrange(2**32), plant)
        lives.append(time.monotonic() - begun)
    return max(lives[1:])


def _live(folder: Path, port: int, number: int, seed: int | None, plant: Plant | None) -> None:
    """A process that ends by itself."""
    with forked(partial(_work, folder, port, number, seed), folder / "error", plant=plant) as process:
        process.rest()


# --- the receiver ---


@contextmanager
def _receiver(folder: Path) -> Iterator[int]:
    """A process that writes down what it is posted, and refuses it while a file says that it is down."""
    server = HTTPServer(("127.0.0.1", 0), _handler(folder))
    child = os.fork()
    if not child:
        server.serve_forever()
        os._exit(0)
    port = server.server_port
    server.server_close()
    try:
        yield port
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            down = (folder / "down").exists()
            with (folder / ("refused" if down else "received")).open("ab") as file:
                file.write(body + b"\n")
            self.send_response(503 if down else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


def _set_down(folder: Path, down: bool) -> None:
    if down:
        (folder / "down").touch()
    else:
        (folder / "down").unlink(missing_ok=True)


# --- the monitors ---


def _work(folder: Path, port: int, number: int, seed: int | None, tell: Tell) -> None:
    """What a monitor does. seed: of what it finds; None where it only sends."""
    from pipelines.alerts import Book
    from pipelines.log import Log
    from pipelines.outbox import Channel, deliver
    from pipelines.receivers import AlertsConfig, Message, send

    tell(BEGUN)
    log, now = Log(folder / "log"), START + number * STEP

    def post(message: Message) -> None:
        send(message, f"http://127.0.0.1:{port}/", key="alerts.receivers.team")

    if seed is not None:
        book = Book(log, "bikes", AlertsConfig({"team": "env:TEAM"}), now)
        for finding in _findings(random.Random(seed), now):
            book.stand([finding], causes=(), over="")
            tell(f"{finding.cause}|{now.isoformat()}")
        book.stand([], causes=[f"cause{random.Random(seed).randrange(CAUSES)}"], over="it is over")
    tell(SENDS)
    deliver(log, [Channel("team", post)], lock=folder / "alerts.lock", now=now, at_once=seed is None)


def _findings(rng: random.Random, now: datetime) -> list[Finding]:
    from pipelines.alerts import Finding

    severities: tuple[Severity, ...] = ("warning", "critical")
    return [
        Finding(
            cause=f"cause{rng.randrange(CAUSES)}",
            since=now,
            kind="harmful shift",
            severity=rng.choice(severities),
            title="bikes: harm",
            body=f"found at {now.isoformat()}",
            next="losswatch retrain",
        )
        for _ in range(rng.randint(0, 2))
    ]


# --- what is left ---


def _checked(folder: Path, said: set[str], kills: int) -> Kills:
    received = [json.loads(line) for line in _lines(folder / "received")]
    texts: dict[str, set[str]] = {}
    for one in received:
        texts.setdefault(one["key"], set()).add(one["text"])
    meant, causes = _raised(folder)
    return Kills(
        kills=kills,
        messages=len(meant),
        lost=len(meant - set(texts)),
        unsaid=sum(one.partition("|")[0] not in causes for one in said),
        twice=sum(count > 1 for count in Counter(one["key"] for one in received).values()),
        changed=sum(len(one) > 1 for one in texts.values()),
        strangers=len(set(texts) - meant),
        refused=len(_lines(folder / "refused")),
    )


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.is_file() else []


def _raised(folder: Path) -> tuple[set[str], set[str]]:
    """The ids of all messages that the log says were to be sent, and the causes that were ever raised."""
    from pipelines.alerts import KINDS, alerts_of
    from pipelines.log import Log
    from pipelines.outbox import messages

    events = Log(folder / "log").events(kind=KINDS)
    meant = {one.message.id for one in messages(events) if "team" in one.receivers}
    return meant, {alert.cause for alert in alerts_of(events).values()}


if __name__ == "__main__":
    sys.exit(options.run("alert_kills", measure))
