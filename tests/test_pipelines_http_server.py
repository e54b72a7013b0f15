"""HTTP with every limit counted while a request comes in, said byte by byte."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asking
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.http_server import Exchange, HttpServer, Limits, Refusal, header_lines


class Echo:
    """Answers what it was sent; /later when it is let go, /wrong with a fault, /no not at all, /full while it is not.

    looked: heads of requests that it was asked about.
    """

    def __init__(self) -> None:
        self.later: list[Exchange] = []
        self.statuses: list[int] = []
        self.looked = 0
        self.full = False

    def admit(self, exchange: Exchange) -> Refusal | None:
        self.looked += 1
        if exchange.path == "/full":
            return Refusal(503, b"full", lasts=lambda: self.full) if self.full else None
        return Refusal(403, b"no") if exchange.path == "/no" else None

    def handle(self, exchange: Exchange) -> None:
        if exchange.path == "/later":
            self.later.append(exchange)
        elif exchange.path == "/wrong":
            raise RuntimeError("a fault of ours")
        else:
            exchange.reply(
                200, exchange.method.encode() + b" " + exchange.path.encode() + b" " + exchange.body
            )

    def refused(self, status: int, reason: str) -> bytes:
        return reason.encode()

    def answered(self, exchange: Exchange, status: int) -> None:
        self.statuses.append(status)


class Running:
    """A server in a thread."""

    def __init__(self, listening: socket.socket, limits: Limits) -> None:
        self.echo = Echo()
        self.server = HttpServer(self.echo, limits)
        self.port: int = listening.getsockname()[1]
        self._ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(listening)), daemon=True)
        self.thread.start()
        assert self._ready.wait(20)

    async def _serve(self, listening: socket.socket) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self.server.serve(listening, self._stop, grace=3.0)

    def stop(self) -> None:
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stop.set)

    def let_go(self) -> None:
        """Answers what waits at /later."""
        until(lambda: bool(self.echo.later))
        self._loop.call_soon_threadsafe(self.echo.later.pop(0).reply, 200, b"at last")

    def say(self, sent: bytes, **options: Any) -> bytes:
        answer: bytes = asking.raw(self.port, sent, **options)
        return answer


@contextmanager
def running(**limits: Any) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        found = Running(listening, Limits(**limits))
        try:
            yield found
        finally:
            found.stop()
            found.thread.join(20)
            assert not found.thread.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(body=1000, head=2000, headers=20) as found:
        yield found


def until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def get(path: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"host: x", *lines, b"", b""])


def post(path: bytes, body: bytes, *lines: bytes) -> bytes:
    length = b"content-length: %d" % len(body)
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"host: x", length, *lines, b"", body])


LAST = b"connection: close"


def test_a_request_is_answered_with_its_body(server: Running) -> None:
    answer = server.say(post(b"/a?b=c", b"body", LAST))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
    assert body == b"POST /a body"


def test_several_requests_on_a_connection_are_answered_in_order(server: Running) -> None:
    answer = server.say(get(b"/1") + post(b"/2", b"x") + get(b"/3", LAST))
    assert [part[:6] for part in answer.split(b"\r\n\r\n")[1:]] == [b"GET /1", b"POST /", b"GET /3"]


def test_requests_that_are_sent_ahead_wait_for_the_one_that_takes_long(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(
            get(b"/later") + b"".join(get(b"/%d" % number) for number in range(30)) + get(b"/x", LAST)
        )
        server.let_go()
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.count(b"HTTP/1.1 200") == 32
    assert answer.index(b"at last") < answer.index(b"GET /0") < answer.index(b"GET /29")


def test_a_body_in_pieces_is_joined(server: Running) -> None:
    pieces = b"4\r\nsome\r\n6\r\n piece\r\n0\r\n\r\n"
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    assert server.say(head + pieces).endswith(b"POST /a some piece")


def test_a_head_is_a_get_without_a_body(server: Running) -> None:
    answer = server.say(b"HEAD /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"content-length: 8\r\nconnection: close\r\n\r\n")


def test_who_waits_for_leave_to_send_gets_it(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(post(b"/a", b"body", b"expect: 100-continue", LAST)[:-4])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert b"POST /a body" in connection.recv(1000)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nauthorization: a\r\nauthorization: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 3000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(30)) + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\ncontent-length: 1001\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"3e8\r\n"
            + b"x" * 1000
            + b"\r\n1\r\nx\r\n",
            413,
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_and_the_connection_closed(
    server: Running, sent: bytes, status: int
) -> None:
    answer = server.say(sent, end=True)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in answer


def test_a_refused_client_that_goes_on_sending_still_reads_why(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\ncontent-length: 3000000\r\n\r\n")
        for _ in range(30):
            connection.sendall(b"x" * 100_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_the_body_of_a_request_that_is_not_admitted_is_not_kept(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(post(b"/no", b"x" * 900)[:-500])
        time.sleep(0.1)
        assert server.server.held == 0
        connection.sendall(b"x" * 500 + get(b"/yes", LAST))
        answer = b""
        while part := connection.recv(1000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"HTTP/1.1 200" in answer


def test_a_fault_of_the_application_is_told_and_the_next_request_answered(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    answer = server.say(get(b"/wrong") + get(b"/a", LAST))
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"HTTP/1.1 200" in answer
    assert "a request could not be answered" in caplog.text


def test_a_second_answer_is_dropped(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(get(b"/later", LAST))
        until(lambda: bool(server.echo.later))
        exchange = server.echo.later[0]
        server.let_go()
        server._loop.call_soon_threadsafe(exchange.reply, 500, b"too late")
        answer = b""
        while part := connection.recv(1000):
            answer += part
    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_that_has_gone_disturbs_nobody(server: Running) -> None:
    for sent in (get(b"/later"), post(b"/a", b"x" * 900)[:-100]):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(sent)
            time.sleep(0.05)
    server.let_go()
    assert server.say(get(b"/a", LAST)).startswith(b"HTTP/1.1 200")
    until(lambda: server.server.held == 0)


def test_another_protocol_is_not_spoken_and_the_request_answered(server: Running) -> None:
    sent = get(b"/a", b"connection: upgrade", b"upgrade: websocket")
    assert server.say(sent).startswith(b"HTTP/1.1 200")


def test_a_sender_that_is_too_slow_is_refused() -> None:
    with (
        running(reading=0.3) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow,
    ):
        slow.sendall(b"POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\n")
        answer = b""
        while not answer:
            slow.sendall(b"x")
            slow.settimeout(0.1)
            try:
                answer = slow.recv(1000)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")


def test_a_connection_that_says_nothing_is_closed() -> None:
    with (
        running(idle=0.3) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as idle,
    ):
        assert idle.recv(10) == b""


def test_a_reader_that_is_too_slow_is_let_go() -> None:
    with (
        running(writing=0.3, body=50 * 2**20) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow,
    ):
        slow.sendall(post(b"/a", b"x" * 40 * 2**20))
        until(lambda: len(server.server.connections) == 0)


def test_idle_connections_make_room_for_those_who_ask() -> None:
    with running(connections=5, spare=0.0) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(20)]
        for _ in range(10):  # while some of the twenty are still on their way it may be asked to come again
            until(lambda: server.say(get(b"/a", LAST)).startswith(b"HTTP/1.1 200"))
        assert len(server.server.connections) <= 5
        for connection in idle:
            connection.close()


def test_who_was_answered_a_moment_ago_makes_no_room() -> None:
    with running(connections=2, spare=60.0) as server:
        fresh = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(2)]
        until(lambda: len(server.server.connections) == 2)
        assert server.say(get(b"/a")).startswith(b"HTTP/1.1 503")
        for connection in fresh:
            connection.sendall(get(b"/a", LAST))
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            connection.close()


def test_who_has_asked_and_was_not_read_yet_makes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(connections=1, spare=0.0) as server:
        held, entered = threading.Event(), threading.Event()

        def hold(exchange: Exchange, status: int) -> None:
            entered.set()
            held.wait(20)

        monkeypatch.setattr(server.echo, "answered", hold)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as asking:
            asking.sendall(get(b"/1"))
            assert entered.wait(20)
            asking.sendall(get(b"/2"))  # while the loop is held
            (connection,) = server.server.connections
            until(lambda: connection.unread > 0)
            assert not server.server.has_room()
            held.set()
            answer = b""
            while answer.count(b"HTTP/1.1 200") < 2:
                answer += asking.recv(1000)


def test_many_connections_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        held = threading.Event()
        monkeypatch.setattr(server.echo, "answered", lambda exchange, status: held.wait(20))
        first = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        first.sendall(get(b"/a"))  # the loop is held by it
        others = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(300)]
        held.set()
        until(lambda: len(server.server.connections) == 301)
        for connection in (first, *others):
            connection.close()


def test_where_all_connections_are_at_work_another_is_asked_to_come_again() -> None:
    with running(connections=2) as server:
        busy = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(2)]
        for connection in busy:
            connection.sendall(get(b"/later", LAST))
        until(lambda: len(server.echo.later) == 2)
        refused = server.say(get(b"/a"))
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused
        server.let_go()
        server.let_go()
        for connection in busy:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            connection.close()


def test_bodies_of_all_requests_together_have_a_limit() -> None:
    with (
        running(bodies=1500, body=1000) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as first,
    ):
        first.sendall(post(b"/later", b"x" * 1000))
        until(lambda: bool(server.echo.later))
        assert server.say(post(b"/a", b"x" * 900), end=True).startswith(b"HTTP/1.1 503")
        assert server.say(post(b"/a", b"x" * 100, LAST)).startswith(b"HTTP/1.1 200")
        server.let_go()
        assert first.recv(100).startswith(b"HTTP/1.1 200")


def test_at_the_end_what_has_come_in_is_answered_and_nothing_new_is_taken() -> None:
    with running() as server:
        busy = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        busy.sendall(get(b"/later"))
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        until(lambda: bool(server.echo.later) and len(server.server.connections) == 2)
        server.stop()
        until(lambda: server.server.draining)
        idle.sendall(get(b"/on-its-way"))
        answer = idle.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        server.let_go()
        assert b"connection: close" in busy.recv(1000)
        server.thread.join(20)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
        busy.close()
        idle.close()


class Talking:
    """One connection, request after request."""

    def __init__(self, server: Running) -> None:
        self._echo = server.echo
        self.connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)

    def say(self, *parts: bytes, answers: int = 1) -> tuple[list[bytes], int]:
        """Answers to what is sent part by part, and how many heads the application was asked about."""
        before, came = self._echo.looked, b""
        for place, part in enumerate(parts):
            self.connection.sendall(part)
            time.sleep(0.05 if place + 1 < len(parts) else 0.0)  # so that it comes in parts
        while came.count(b"HTTP/1.1 ") < answers or not came.endswith((b"full", b"!")):
            came += self.connection.recv(65536)
        return came.split(b"HTTP/1.1 ")[1:], self._echo.looked - before


@pytest.fixture
def full() -> Iterator[tuple[Running, Talking]]:
    with running(body=1000, head=2000, headers=20) as server:
        talking = Talking(server)
        server.echo.full = True
        yield server, talking
        talking.connection.close()


REFUSED = b"503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\nfull"


def test_while_it_is_full_requests_with_a_head_that_is_known_are_not_looked_at(
    full: tuple[Running, Talking],
) -> None:
    server, talking = full
    sent = post(b"/full", b"abc!")
    assert talking.say(sent) == ([REFUSED], 1)
    assert [talking.say(sent) for _ in range(3)] == [([REFUSED], 0)] * 3
    assert talking.say(post(b"/full", b"xyz!")) == ([REFUSED], 0)
    assert server.echo.statuses == [503] * 5
    server.echo.full = False
    (answer,), looked = talking.say(sent)
    assert answer.endswith(b"POST /full abc!")
    assert looked == 1
    server.echo.full = True
    assert talking.say(sent) == ([REFUSED], 0)


@pytest.mark.parametrize(
    "others",
    [
        [post(b"/full", b"abcd!")],
        [post(b"/full", b"abc!", b"x-more: 1")],
        [post(b"/full", b"abc!") * 2],
        [post(b"/full", b"abc!")[:-2], b"c!"],
        [post(b"/full", b"abc!")[:10], post(b"/full", b"abc!")[10:]],
        [post(b"/full", b"abc!") + post(b"/full", b"abc!")[:9], post(b"/full", b"abc!")[9:]],
    ],
    ids=["a longer body", "another head", "two at once", "a torn body", "a torn head", "one and a half"],
)
def test_all_else_is_looked_at(full: tuple[Running, Talking], others: list[bytes]) -> None:
    _, talking = full
    talking.say(post(b"/full", b"abc!"))
    count = b"".join(others).count(b"POST")
    assert talking.say(*others, answers=count) == ([REFUSED] * count, count)
    assert talking.say(post(b"/full", b"abc!"))[0] == [REFUSED]


@pytest.mark.parametrize(
    "sent",
    [
        post(b"/full", b"abc!", LAST),
        b"POST /full HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabc!\r\n0\r\n\r\n",
        post(b"/no", b"abc!"),
    ],
    ids=["the last one", "in chunks", "for another reason"],
)
def test_what_depends_on_more_than_the_head_is_not_known(sent: bytes) -> None:
    with running() as server:
        server.echo.full = True
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
                connection.sendall(sent)
                connection.recv(65536)
                with suppress(OSError):
                    connection.sendall(sent)
                    connection.recv(65536)
        assert server.echo.looked == (2 if LAST in sent else 4)


def test_at_its_end_it_closes_after_a_request_with_a_head_that_is_known(
    full: tuple[Running, Talking],
) -> None:
    server, talking = full
    talking.say(post(b"/full", b"abc!"))
    server.stop()
    until(lambda: server.server.draining)
    (answer,), looked = talking.say(post(b"/full", b"abc!"))
    assert b"connection: close" in answer
    assert looked == 1


def test_http_of_another_version_is_refused(server: Running) -> None:
    assert server.say(b"GET /a\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.say(b"GET /a HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_at_the_end_requests_that_were_sent_ahead_are_answered_too() -> None:
    with running() as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as ahead:
        ahead.sendall(get(b"/later") + get(b"/1") + get(b"/2") + get(b"/3")[:9])
        until(lambda: bool(server.echo.later))
        server.stop()
        until(lambda: server.server.draining)
        server.let_go()
        ahead.sendall(get(b"/3")[9:])
        answer = b""
        while part := ahead.recv(65536):
            answer += part
        assert answer.count(b"HTTP/1.1 200") == 4
        assert answer.index(b"GET /2") < answer.index(LAST) < answer.index(b"GET /3")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                b"GET / HTTP/1.1\r\n",
                b"POST /a HTTP/1.1\r\n",
                b"host: x\r\n",
                b"content-length: 3\r\n",
                b"\r\n",
                b"abc",
            ]
        )
        | st.binary(max_size=30),
        max_size=8,
    )
)
def test_whatever_bytes_come_the_server_goes_on(server: Running, parts: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"".join(parts))
    assert server.say(get(b"/a", LAST)).startswith(b"HTTP/1.1 200")


def test_a_header_cannot_begin_another() -> None:
    assert header_lines({"a": "b\r\nc: d"}) == b"a: bc: d\r\n"
