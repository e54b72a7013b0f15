"""A scoring server for a long time below its saturation, then far above it: errors, memory, goodput, recovery.

python -m benchmarks.serving_soak [--quick] [--json FILE]

Saturation is what clients that wait for their answers get in the slowest of five minutes, while rows are moved into the
tables, which takes part of the machine. On one that shares its cores with others a request takes half as much CPU again
in some minutes as in others, though nothing else has changed: only the slowest tells what can be kept up. Then requests
come by the clock, whatever the answers do: at 70 % of it for an hour, and at three times for a quarter of one, where
saturation is measured anew every five minutes, from so many connections that the server cannot have them all. Who is
refused comes again when its next request is due.

Where server and clients share cores, clients that send three times as much slow the server down, whatever it does with
it. So saturation is measured a second time while what a flood has too much goes to another server, which answers
everything with the same few bytes: what is left of it in a flood tells what refusing costs.
"""

from __future__ import annotations

import json
import math
import resource
import select
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from benchmarks import options
from benchmarks.clients import Answer, Connection, ask, request
from benchmarks.forked import Tell, forked
from benchmarks.malformed import ROW
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure
from benchmarks.scoring_server import Running, Settings, ended, made_project, memory, ready, started
from benchmarks.servers import free_port, running
from benchmarks.serving_switches import percentile

PART = 300.0  # seconds, after which saturation is measured anew
CLIENTS, ALONE = 32, 50
FLUSH_EVERY = 5.0
SHARE, TIMES = 0.7, 3.0
ROWS = 64  # of a request, so that the client, which is Python as well, can send three times what the server answers
MOST_CONNECTIONS = 12_000  # more than the server has room for
RECOVERY = 10.0  # seconds
WARM = 0.2  # share of the time after which memory is first looked at
FLAT = 1.1  # memory at the end against then
QUICK_REFUSAL = 1000.0  # ms
MINUTES = 5  # of which the slowest tells what saturation is


@dataclass(frozen=True)
class Times:
    """Seconds of each part. steady: at 70 % of saturation; flood: at three times.

    sustained: in which saturation is measured for the first, in `MINUTES` parts; saturating: for each part of the
    second. before: of the same load, which do not count; warming: the same once, until rows are moved all the time.
    """

    steady: float
    flood: float
    sustained: float
    saturating: float
    before: float
    warming: float


WHOLE, QUICK = Times(3600.0, 900.0, 300.0, 30.0, 10.0, 60.0), Times(12.0, 8.0, 3.0, 3.0, 1.0, 1.0)


@dataclass
class Period:
    """What came back in one period, looked at every five seconds.

    answered, refused: milliseconds of answers with 200, and with 429 or 503 that say when to come again; failed: all
    else; unsent: requests for which the client itself had no connection left; looks: errors since the look before.
    """

    seconds: float = 0.0
    sent: int = 0
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failed: int = 0
    unsent: int = 0
    memory: list[float] = field(default_factory=list)
    cpu: float = 0.0  # seconds that the server itself took
    looks: list[int] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Requests that were not answered with 200."""
        return self.failed + len(self.refused) + self.unsent

    @property
    def rate(self) -> float:
        """Requests answered with 200 in a second."""
        return len(self.answered) / self.seconds

    @property
    def growth(self) -> float:
        """Memory at the end against that after the first fifth, each the median of some looks."""
        warm = self.memory[int(len(self.memory) * WARM) :]
        part = max(len(warm) // 5, 1)
        return percentile(warm[-part:], 0.5) / percentile(warm[:part], 0.5)


@dataclass(frozen=True)
class Saturation:
    """What clients get that wait for their answers.

    rate: requests a second; per_cpu: requests that a second of the server's CPU answers; calm: milliseconds of a
    request alone; beside: the rate while a flood's surplus goes elsewhere.
    """

    rate: float
    per_cpu: float
    calm: float
    beside: float = math.nan


@dataclass(frozen=True)
class Soak:
    """steady, flood: both periods, with the saturation before them: of some minutes, and before each part of the flood.

    recovery: seconds after the flood until requests are answered as quickly as before it.
    """

    steady: Period
    flood: Period
    minutes: tuple[Saturation, ...]
    saturated: tuple[Saturation, ...]
    recovery: float
    ended: bool

    @property
    def goodput(self) -> float:
        """Share of saturation that is answered in the flood."""
        return self.flood.rate / self.mean(lambda one: one.rate)

    @property
    def beside(self) -> float:
        """The same of what is answered while the surplus goes elsewhere."""
        return self.flood.rate / self.mean(lambda one: one.beside)

    @property
    def by_cpu(self) -> float:
        """The same by the server's own CPU, which other work on the machine changes less."""
        return len(self.flood.answered) / self.flood.cpu / self.mean(lambda one: one.per_cpu)

    def mean(self, what: Callable[[Saturation], float]) -> float:
        """Over the measurements of saturation."""
        return sum(map(what, self.saturated)) / len(self.saturated)


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        found = soaked(Path(folder) / "project", QUICK if quick else WHOLE)
    decided, steady, flood = not quick, found.steady, found.flood
    rates = [one.rate for one in found.minutes]
    return [
        figure("saturation in the slowest of five minutes", min(rates), "requests/s"),
        figure("in the quickest of them", max(rates), "requests/s"),
        figure("saturation before parts of the flood", found.mean(lambda one: one.rate), "requests/s"),
        figure(
            "saturation while the surplus goes elsewhere", found.mean(lambda one: one.beside), "requests/s"
        ),
        figure("rows of a request", ROWS, ""),
        figure("seconds at 70 %", steady.seconds, "s"),
        figure("answers at 70 %", len(steady.answered), ""),
        at_most(0, "errors at 70 %", steady.errors, "", decided=decided),
        figure("looks of five seconds with an error", sum(errors > 0 for errors in steady.looks), ""),
        figure("p99 at 70 %", percentile(steady.answered, 0.99), "ms"),
        at_most(FLAT, "memory at 70 %, end against begin", steady.growth, "times", decided=decided),
        figure("seconds at three times", flood.seconds, "s"),
        figure("sent at three times", flood.sent / flood.seconds / found.mean(lambda one: one.rate), "times"),
        at_most(0, "errors at three times", flood.failed, ""),
        at_least(0.8, "goodput at three times", found.goodput, "of 1", decided=decided),
        at_least(
            0.8,
            "the same, of saturation while the surplus goes elsewhere",
            found.beside,
            "of 1",
            decided=decided,
        ),
        figure("the same by a second of the server's CPU", found.by_cpu, "of 1"),
        figure("p99 of an answer at three times", percentile(flood.answered, 0.99), "ms"),
        figure("refusals at three times", len(flood.refused), ""),
        at_most(
            QUICK_REFUSAL,
            "p99 of a refusal",
            percentile(flood.refused, 0.99) if flood.refused else 0.0,
            "ms",
            decided=decided,
        ),
        at_most(FLAT, "memory at three times, end against begin", flood.growth, "times", decided=decided),
        at_most(RECOVERY, "recovery", found.recovery, "s", decided=decided),
        at_most(0, "servers that ended", float(found.ended), ""),
    ]


def soaked(folder: Path, times: Times, *, plant: str = "") -> Soak:
    """Loads one server. folder: is made; plant: a fault of `benchmarks.serving_faults`."""
    made_project(folder)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file
    below, above, saturations = Period(), Period(), []
    with _elsewhere() as sink, started(folder, Settings(flush_every=FLUSH_EVERY, plant=plant)) as server:
        saturation(server.port, times.warming)
        minutes = [saturated(server, times.sustained / MINUTES, times.before) for _ in range(MINUTES)]
        rate = min(one.rate for one in minutes) * SHARE
        for seconds in _parts(times.steady):
            period(server, rate, seconds, below)
            say(f"at 70 %: {len(below.answered):,} answers, {below.errors:,} refused, unsent or failed")
        for seconds in _parts(times.flood):
            found = saturated(server, times.saturating, times.before)
            saturations.append(replace(found, beside=beside_surplus(server, found.rate, sink, times)))
            period(server, saturations[-1].rate * TIMES, seconds, above)
            say(f"at three times: {above.rate:,.0f} answers a second, {len(above.refused):,} refusals")
        recovery = recovered(server.port, 3 * saturations[-1].calm + 5.0)
        gone = not server.alive
        if not gone:
            ended(server)
    return Soak(below, above, tuple(minutes), tuple(saturations), recovery, gone)


def _parts(seconds: float) -> list[float]:
    """A time in equal parts of about `PART` seconds."""
    count = max(1, round(seconds / PART))
    return [seconds / count] * count


@contextmanager
def _elsewhere() -> Iterator[int]:
    """The port of a server that answers everything with the same few bytes."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.servers", "fixed", str(port), "-"]
    with running(command, f"http://127.0.0.1:{port}/"):
        yield port


def saturated(server: Running, seconds: float, before: float) -> Saturation:
    """Measures the saturation of a server for some seconds. before: of the same load, which do not count."""
    saturation(server.port, before)
    used = cpu(server)
    rate, calm = saturation(server.port, seconds)
    say(f"saturation: {rate:,.0f} requests of {ROWS} rows a second")
    return Saturation(rate, (rate * seconds + ALONE) / (cpu(server) - used), calm)


def beside_surplus(server: Running, rate: float, sink: int, times: Times) -> float:
    """What is left of a server's rate while a flood's surplus goes to the server of another port."""
    with tempfile.TemporaryDirectory() as errors:
        surplus = partial(_send_for_ever, sink, rate * (TIMES - 1))
        with forked(surplus, Path(errors) / "error"):
            left, _ = saturation(server.port, times.saturating)
    say(f"while the surplus goes elsewhere: {left:,.0f}")
    return left


def _send_for_ever(port: int, rate: float, _: Tell) -> None:
    """Requests at a rate, until the process is killed."""
    found, begun, number = Period(), time.perf_counter(), 0
    clock = _Clock(port, found)
    while True:
        number = _send_due(clock, begun, number, rate)


def cpu(server: Running) -> float:
    """Seconds of CPU that the server itself has used, without what it started; 0 where it has ended."""
    import psutil  # type: ignore[import-untyped]

    if not server.alive:
        return 0.0
    times = psutil.Process(server.process.pid).cpu_times()
    return float(times.user + times.system)


def _request() -> bytes:
    return request("/invocations", json.dumps({"dataframe_records": [ROW] * ROWS}).encode())


def saturation(port: int, seconds: float) -> tuple[float, float]:
    """Requests a second that waiting clients get, and the median of their milliseconds alone."""
    sent, alone = _request(), []
    connection = Connection(port)
    for _ in range(ALONE):
        begun = time.perf_counter()
        connection.send(sent)
        connection.answer()
        alone.append((time.perf_counter() - begun) * 1e3)
    connection.close()
    clients = {one.fileno(): one for one in (Connection(port) for _ in range(CLIENTS))}
    poll, count = select.epoll(), 0
    for number, client in clients.items():
        poll.register(number, select.EPOLLIN)
        client.send(sent)
    begun = time.perf_counter()
    while time.perf_counter() < begun + seconds:
        for number, _ in poll.poll(1.0):
            for _ in clients[number].take():
                count += 1
                clients[number].send(sent)
    rate = count / (time.perf_counter() - begun)
    for client in clients.values():
        client.close()
    return rate, percentile(alone, 0.5)


@dataclass
class _Asking:
    connection: Connection
    due: float


class _Clock:
    """Requests that are sent when they are due, each on a connection that is free, or a new one.

    Of free ones the one that was used last, as the pools of HTTP clients have it: what a pause has opened is closed
    when it was idle for long, instead of being asked in turn for ever.
    """

    def __init__(self, port: int, found: Period) -> None:
        self._port, self._found, self._sent = port, found, _request()
        self._poll = select.epoll()
        self._free: list[Connection] = []
        self.waiting: dict[int, _Asking] = {}

    def send(self, due: float) -> None:
        """Sends a request that was due at a moment, from which its time is counted."""
        self._found.sent += 1
        try:
            connection = self._free.pop() if self._free else self._new()
            if connection is None:
                self._found.unsent += 1
                return
            self.waiting[connection.fileno()] = _Asking(connection, due)
            connection.send(self._sent)
        except OSError:
            return  # the refusal is read below, or its lack is counted there

    def _new(self) -> Connection | None:
        if len(self.waiting) >= MOST_CONNECTIONS:
            return None
        connection = Connection(self._port)
        self._poll.register(connection.fileno(), select.EPOLLIN)
        return connection

    def take(self, seconds: float) -> None:
        """Reads what comes, waiting for it at most so long."""
        for number, _ in self._poll.poll(max(seconds, 0.0)):
            asking = self.waiting.get(number)
            if asking is None:
                self._drop_free(number)
                continue
            try:
                answers = asking.connection.take()
            except OSError:
                self._found.failed += 1
                self._drop(asking.connection)
                continue
            for answer in answers:
                self._note(answer, asking)

    def _note(self, answer: Answer, asking: _Asking) -> None:
        taken = (time.perf_counter() - asking.due) * 1e3
        if answer.status == 200:
            self._found.answered.append(taken)
        elif answer.status in (429, 503) and "retry-after" in answer.headers:
            self._found.refused.append(taken)
        else:
            self._found.failed += 1
        if answer.headers.get("connection") == "close":
            self._drop(asking.connection)
        else:
            del self.waiting[asking.connection.fileno()]
            self._free.append(asking.connection)

    def _drop(self, connection: Connection) -> None:
        self.waiting.pop(connection.fileno(), None)
        connection.close()  # which takes it from the poll as well

    def _drop_free(self, number: int) -> None:
        """The server has closed a connection that was idle, to make room."""
        for connection in [one for one in self._free if one.fileno() == number]:
            self._free.remove(connection)
            connection.close()

    def close(self) -> None:
        for connection in (*self._free, *(one.connection for one in self.waiting.values())):
            connection.close()


def _send_due(clock: _Clock, begun: float, number: int, rate: float) -> int:
    """Sends what is due, reads what has come, and tells how many were sent. number: of those before."""
    # answers are read at least every 200 requests
    due = min(int((time.perf_counter() - begun) * rate) + 1, number + 200)
    for place in range(number, due):
        clock.send(begun + place / rate)
    number = max(due, number)
    clock.take(number / rate - (time.perf_counter() - begun))
    return number


def period(server: Running, rate: float, seconds: float, found: Period) -> None:
    """Requests at a rate for some time; what is under way at its end is waited for. found: is added to."""
    clock, begun, used = _Clock(server.port, found), time.perf_counter(), cpu(server)
    number, look, errors = 0, 0.0, found.errors
    while (now := time.perf_counter() - begun) < seconds:
        number = _send_due(clock, begun, number, rate)
        if now >= look and server.alive:
            found.memory.append(memory(server.process))
            found.looks.append(found.errors - errors)
            errors = found.errors
            look = now + min(seconds / 50, 5.0)
    found.seconds += time.perf_counter() - begun
    found.cpu += max(cpu(server) - used, 1e-9)
    counted = len(found.answered)
    end = time.perf_counter() + 30
    while clock.waiting and time.perf_counter() < end:
        clock.take(0.1)
    found.failed += len(clock.waiting)
    del found.answered[counted:]  # they count for no second of the period
    clock.close()


def recovered(port: int, bound: float) -> float:
    """Seconds until twenty requests in a row are each answered within a bound. bound: ms; nan where they never are."""
    sent, begun, row = _request(), time.perf_counter(), 0
    while time.perf_counter() < begun + 6 * RECOVERY:
        asked = time.perf_counter()
        try:
            good = ready(port) and ask(port, sent).status == 200
        except OSError:
            good = False
        row = row + 1 if good and (time.perf_counter() - asked) * 1e3 < bound else 0
        if row == 20:
            return time.perf_counter() - begun
    return float("nan")


if __name__ == "__main__":
    sys.exit(options.run("serving_soak", measure))
