"""Malformed requests sent to a scoring server: each is refused with its reason, and nothing breaks or grows.

python -m benchmarks.serving_malformed [--quick] [--json FILE]

By hand (every one of them must be refused), torn bytes that are no HTTP, what hypothesis finds, and most of all bodies
after the server's own description in OpenAPI with one thing made wrong. Then clients that trickle, that leave in the
middle of a body, and that say nothing, while another one is answered.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import options
from benchmarks.clients import Answer, Connection, ask, get, readable
from benchmarks.malformed import ROW, Maker, Malformed, http, requests_by_hand, torn_http, written
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure
from benchmarks.scoring_server import Running, Settings, made_project, memory, ready, started

REQUESTS, QUICK = 100_000, 4000
BY_HYPOTHESIS = 0.1  # share of the requests
READING = 2.0  # seconds in which a request must have come in; 30 otherwise
LOITERING = 300  # clients of each kind that trickle, leave or say nothing
LONGEST_REFUSAL = 4096  # bytes: what a client sent is echoed only in part
MOST_GROWTH = 1.1


@dataclass
class Refused:
    """What came back. by_status: how often each; faults: the first requests that found something, in words.

    broken: answers of 5xx, and none at all where one was due; taken: requests by hand that were answered as if they
    were in order; unsaid: refusals without field, rule and reason; ends: times that the server was gone; kept: bytes
    that it says it still holds at the end; late: slow clients that were not sent away; grown: its memory at the end, as
    a share of what it was after every kind of request had come once.
    """

    by_status: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    broken: int = 0
    taken: int = 0
    unsaid: int = 0
    ends: int = 0
    kept: float = 0.0
    late: int = 0
    before: float = 0.0
    grown: float = 1.0

    @property
    def faultless(self) -> bool:
        return not (self.broken or self.taken or self.unsaid or self.ends or self.kept or self.late)

    def fault(self, malformed: Malformed, words: str) -> None:
        """Keeps what is worth looking at."""
        if len(self.faults) < 20:
            self.faults.append(f"{malformed.name}: {words}; sent {malformed.sent[:300]!r}")


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        found = refused(Path(folder) / "project", QUICK if quick else REQUESTS)
    for fault in found.faults:
        say(fault)
    counts = found.by_status
    refusals = sum(count for status, count in counts.items() if 400 <= status < 500)
    return [
        figure("requests", counts.total(), ""),
        at_least(0.5, "of them refused", refusals / max(counts.total(), 1), "of 1"),
        at_most(0, "answers 5xx or none", found.broken, ""),
        at_most(0, "malformed by hand and answered", found.taken, ""),
        at_most(0, "refusals without their reason", found.unsaid, ""),
        at_most(0, "servers that ended", found.ends, ""),
        at_most(0, "slow clients that stayed", found.late, ""),
        at_most(0, "bytes held at the end", found.kept, ""),
        figure("memory before", found.before, "MB"),
        at_most(MOST_GROWTH, "memory afterwards, against before", found.grown, "times"),
        *(figure(f"answers {status}", count, "") for status, count in sorted(counts.items())),
    ]


def refused(folder: Path, requests: int, *, plant: str = "", seed: int = 0) -> Refused:
    """Sends so many malformed requests to a server. folder: is made; plant: a fault of `benchmarks.serving_faults`."""
    made_project(folder)
    found = Refused()
    by_hand = [*requests_by_hand(), *torn_http()]
    with started(folder, Settings(limits={"reading": READING}, flush_every=1e6, plant=plant)) as server:
        client = _Client(server, found)
        maker = Maker(ask(server.port, get("/openapi.json")).content, seed)
        client.send_all(itertools.chain(by_hand, itertools.islice(maker.requests(), len(by_hand))))
        found.before = _memory(server)
        by_hypothesis = int(requests * BY_HYPOTHESIS)
        _hypothesis(client, by_hypothesis, seed)
        made = requests - found.by_status.total()
        mixed = _mixed(maker.requests(), by_hand, made, random.Random(seed))
        client.send_all(mixed)
        _loiter(server, found)
        client.send_all(Malformed("afterwards", one.sent) for one in by_hand)
        client.close()
        found.grown = _memory(server) / found.before if server.alive else float("nan")
        found.kept = _held(server) if server.alive else 0.0
    return found


def _memory(server: Running) -> float:
    return memory(server.process) if server.alive else float("nan")


def _mixed(
    made: Iterator[Malformed], by_hand: list[Malformed], count: int, rng: random.Random
) -> Iterator[Malformed]:
    """Mostly what is made, and now and then one by hand that is small."""
    small = [one for one in by_hand if len(one.sent) < 100_000]
    for number in range(max(count, 0)):
        if number % 10_000 == 9999:
            say(f"{number + 1:,} requests made from the description")
        yield rng.choice(small) if rng.random() < 0.2 else next(made)


def _hypothesis(client: _Client, count: int, seed: int) -> None:
    """What hypothesis thinks of, half of it in the form of a request."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
    rows = st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, values)), max_size=3)
    near = st.fixed_dictionaries(
        {"dataframe_records": rows}, optional=dict.fromkeys(("ids", "times", "params"), values)
    )
    label = st.fixed_dictionaries({"id": values, "value": values})
    labels = st.fixed_dictionaries({"labels": st.lists(label, max_size=3)})
    bodies = (near | labels | values).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)

    @settings(
        max_examples=max(count, 1),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seeded(seed)
    @given(path=st.sampled_from(["/invocations", "/labels"]), body=bodies)
    def send(path: str, body: bytes) -> None:
        client.send(Malformed("hypothesis", http("POST", path, body), refused=False))

    send()


class _Client:
    """Sends one request after the other and looks at each answer."""

    def __init__(self, server: Running, found: Refused) -> None:
        self._server, self._found = server, found
        self._connection: Connection | None = None

    def send_all(self, malformed: Iterable[Malformed]) -> None:
        for one in malformed:
            self.send(one)

    def send(self, malformed: Malformed) -> None:
        """Sends a request and looks at the first answer to it; the connection goes on where it can."""
        found = self._found
        if found.ends:
            return
        answer = self._answer(malformed.sent) or self._answer(malformed.sent)
        if answer is None:
            self._none_came(malformed)
            return
        found.by_status[answer.status] += 1
        if answer.headers.get("connection") == "close" or b"HTTP/1.1" in malformed.sent[20:]:
            self.close()
        if answer.status >= 500:
            found.broken += 1
            found.fault(malformed, f"answered {answer.status} {answer.body[:200]!r}")
        elif answer.status >= 400:
            if answer.body and not said(answer):
                found.unsaid += 1
                found.fault(malformed, f"refused without its reason: {answer.body[:200]!r}")
        elif malformed.refused:
            found.taken += 1
            found.fault(malformed, f"answered {answer.status} {answer.body[:200]!r}")

    def _answer(self, sent: bytes) -> Answer | None:
        """None where the connection ends without one, as it may where an earlier one has broken it."""
        try:
            if self._connection is None:
                self._connection = Connection(self._server.port)
            with suppress(BrokenPipeError, ConnectionResetError):  # the refusal may be there already
                self._connection.send(sent)
            return self._connection.answer(head=sent.startswith(b"HEAD"))
        except OSError:
            self.close()
            return None

    def _none_came(self, malformed: Malformed) -> None:
        if ready(self._server.port):
            self._found.broken += 1
            self._found.fault(malformed, "not answered")
        else:
            self._found.ends += 1
            self._found.fault(malformed, "the server is gone")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def said(answer: Answer) -> bool:
    """Whether a refusal says which field breaks which rule and why, in JSON, in few words."""
    try:
        error = answer.content["error"]
    except (ValueError, KeyError, TypeError):
        return False
    return (
        bool(error["rule"] and error["reason"]) and len(answer.body) <= LONGEST_REFUSAL and "field" in error
    )


# --- clients that are slow ---


def _loiter(server: Running, found: Refused) -> None:
    """Clients that trickle, that leave in the middle, and that say nothing; another one is answered meanwhile."""
    if found.ends or not server.alive:
        return
    body = written({"dataframe_records": [ROW]})
    whole = http("POST", "/invocations", body)
    trickling = [Connection(server.port) for _ in range(LOITERING)]
    silent = [Connection(server.port) for _ in range(LOITERING)]
    for place in range(LOITERING):
        leaving = Connection(server.port)
        leaving.send(
            http("POST", "/invocations", b"[" * 5000, headers={"Content-Length": "1000000"})[
                : 200 + place * 10
            ]
        )
        leaving.close()
    waiting, begun = dict.fromkeys(trickling, 0), time.monotonic()
    while waiting and time.monotonic() < begun + 5 * READING:
        for connection, place in waiting.items():
            with suppress(OSError):
                connection.send(whole[place : place + 1])
            waiting[connection] = min(place + 1, len(whole) - 2)
        for connection in readable(waiting, 0.2):
            _sent_away(connection, found)
            del waiting[connection]
        if ask(server.port, whole).status != 200:
            found.broken += 1
    found.late += len(waiting)
    for connection in (*trickling, *silent):
        connection.close()


def _sent_away(connection: Connection, found: Refused) -> None:
    try:
        found.late += connection.answer().status != 408
    except OSError:
        found.late += 1


def _held(server: Running) -> float:
    """Bytes of bodies that the server says it holds when nobody asks."""
    end, held = time.monotonic() + 10, 1.0
    while held and time.monotonic() < end:
        text = ask(server.port, get("/metrics")).body.decode()
        lines = [
            line.split() for line in text.splitlines() if "held_bytes" in line and not line.startswith("#")
        ]
        held = float(lines[0][1])
        time.sleep(0.2)
    return held


if __name__ == "__main__":
    sys.exit(options.run("serving_malformed", measure))
