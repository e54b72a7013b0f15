"""Requests that come together share a call of the network and a commit, and each has its own answer."""

from __future__ import annotations

import json
import socket
import struct
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asking
import numpy as np
import pytest
import versions

from pipelines.answering import Ids, error_body
from pipelines.arrival import Arrival, Busy, Conflict, Stored, ids_from
from pipelines.champion import Served
from pipelines.log import Log
from pipelines.scoring import Scorer
from pipelines.serving import ScoringServer
from pipelines.tokens import Tokens

NOW = datetime(2013, 3, 1, 12, tzinfo=UTC)


class Noting(Log):
    """A log that notes how many requests came together, and may have another thread write first."""

    groups: list[int]
    busy = 0

    def arrive_together(
        self, arrivals: Sequence[Arrival], *, wait: bool = True
    ) -> list[Stored | Conflict | None]:
        if self.busy:
            self.busy -= 1
            raise Busy
        self.groups.append(len(arrivals))
        return super().arrive_together(arrivals, wait=wait)


class Fixed:
    """A source of one version."""

    def __init__(self, folder: Path) -> None:
        self.served = Served(3, Scorer.load(folder))

    def current(self) -> Served:
        return self.served


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Fixed:
    return Fixed(versions.write_version(tmp_path_factory.mktemp("answering") / "version"))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Noting]:
    opened = Noting(tmp_path / "log")
    opened.groups = []
    yield opened
    opened.close()


def row(wind: float | None) -> dict[str, Any]:
    return {"hour": 7, "carrier": "UA", "wind": wind, "holiday": True}


def sent(content: Any) -> bytes:
    body = json.dumps(content).encode()
    head = "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def answering(source: Fixed, log: Log, folder: Path) -> Iterator[int]:
    tokens = Tokens(folder / "tokens.json")
    with asking.running(ScoringServer(source, log, folder=folder, now=lambda: NOW, tokens=tokens)) as port:
        yield port


def all_at_once(source: Fixed, log: Log, folder: Path, contents: Sequence[Any]) -> list[tuple[int, Any]]:
    """What each is told when all come in one turn of the loop."""
    with answering(source, log, folder) as port:
        connections = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in contents]
        assert asking.ask(port, "/livez").status == 200
        blocker = sent({"dataframe_records": [row(0.0)] * 200})
        for connection, content in zip(connections, contents, strict=True):
            connection.sendall(blocker + sent(content))
        answers = [_second(connection) for connection in connections]
        for connection in connections:
            connection.close()
        return answers


def _second(connection: socket.socket) -> tuple[int, Any]:
    """The answer after that to the request which made the others wait."""
    data = b""
    for _ in range(2):
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        data, answer = body[length:], body[:length]
    return int(head.split()[1]), json.loads(answer)


def test_requests_that_come_together_have_the_answers_that_they_have_alone(
    source: Fixed, log: Noting, tmp_path: Path
) -> None:
    winds: list[float | None] = [None, *range(1, 12)]
    contents = [{"dataframe_records": [row(wind)] * (place % 3 + 1)} for place, wind in enumerate(winds)]
    answers = all_at_once(source, log, tmp_path, contents)
    for (status, answer), content in zip(answers, contents, strict=True):
        rows = content["dataframe_records"]
        columns = {name: [one[name] for one in rows] for name in rows[0]}
        expected = source.served.scorer.predict(columns)[:, 0]
        assert status == 200
        np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-6)


def test_a_wrong_request_and_a_conflict_hurt_nobody_beside_them(
    source: Fixed, log: Noting, tmp_path: Path
) -> None:
    contents: list[Any] = [
        {"dataframe_records": [row(1.0)], "ids": ["a"]},
        {"dataframe_records": [row(2.0)], "ids": ["b"]},
        {"dataframe_records": [{**row(1.0), "wind": "strong"}]},
        {"dataframe_records": [row(3.0)]},
    ]
    first = all_at_once(source, log, tmp_path, contents)
    assert [status for status, _ in first] == [200, 200, 400, 200]
    contents[1] = {"dataframe_records": [row(9.0), row(2.0)], "ids": ["c", "b"]}
    contents.append({"dataframe_records": [row(9.0), row(9.0)], "ids": ["d", "b"]})
    second = all_at_once(source, log, tmp_path, contents)
    assert [status for status, _ in second] == [200, 200, 400, 200, 409]
    assert second[0] == first[0]
    assert second[1][1]["predictions"][1] == first[1][1]["predictions"][0]
    span = log.span()
    assert span is not None
    assert span.rows == 3 + 4 * 200 + 5 * 200 + 2


def test_while_another_thread_writes_requests_wait_without_holding_up_the_loop(
    source: Fixed, log: Noting, tmp_path: Path
) -> None:
    log.busy = 5
    answers = all_at_once(source, log, tmp_path, [{"dataframe_records": [row(1.0)]}] * 3)
    assert [status for status, _ in answers] == [200] * 3
    assert log.busy == 0
    assert max(log.groups) >= 2  # those that waited were committed together


def test_a_fault_in_the_network_is_told_to_each(
    source: Fixed,
    log: Noting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a fault in the network")

    monkeypatch.setattr(source.served.scorer, "predict_inputs", broken)
    with answering(source, log, tmp_path) as port:
        for count in (1, 300):
            answer = asking.ask(port, "/invocations", {"dataframe_records": [row(1.0)] * count})
            assert answer.status == 500
            assert "fault of the server" in answer.error["reason"]
    assert "a fault in the network" in caplog.text


def test_ids_of_a_process_are_never_alike() -> None:
    ids, other = Ids(), Ids()
    assert len({ids.start(7), ids.start(7), other.start(7)}) == 3


@pytest.mark.parametrize("rows", [1, 300])
def test_an_id_that_the_server_gave_is_nobodys_own(
    rows: int, source: Fixed, log: Noting, tmp_path: Path
) -> None:
    with answering(source, log, tmp_path) as port:
        given = ids_from(Ids().start(7), rows)
        answer = asking.ask(port, "/invocations", {"dataframe_records": [row(1.0)] * rows, "ids": given})
        assert (answer.status, answer.error["field"]) == (400, "ids[0]")
        assert asking.ask(port, "/invocations", {"dataframe_records": [row(2.0)]}).status == 200


def test_an_error_may_hold_what_no_text_can() -> None:
    assert b"\\ud800" in error_body("\ud800", "reason", rule="rule").replace(b"\\\\", b"\\")


@pytest.mark.slow
def test_mlflows_own_client_is_answered(source: Fixed, log: Noting, tmp_path: Path) -> None:
    import pandas as pd

    with warnings.catch_warnings():  # of type hints of its own
        warnings.simplefilter("ignore")
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    rows = [row(wind) for wind in (1.0, 2.5, None)]
    frame = pd.DataFrame(rows).astype({"wind": object})
    frame.loc[2, "wind"] = None  # a frame of numbers has NaN there, which is no JSON
    expected = source.served.scorer.predict({name: [one[name] for one in rows] for name in rows[0]})[:, 0]
    server = ScoringServer(
        source, log, folder=tmp_path, now=lambda: NOW, tokens=Tokens(tmp_path / "tokens.json")
    )
    with asking.running(server) as port:
        client: Any = ScoringServerClient("127.0.0.1", port)  # type: ignore[no-untyped-call]
        client.wait_server_ready(timeout=20)
        assert client.get_version().count(".") == 2
        answer = client.invoke(frame, params={"temperature": 1}).get_predictions()
        np.testing.assert_allclose(answer.iloc[:, 0].astype(float), expected, rtol=1e-6)
        with pytest.raises(Exception, match=r"error code 400.*wind"):
            client.invoke(frame.assign(wind="strong"))


@pytest.mark.parametrize(("patience", "status"), [(0.0, 503), (60.0, 200)])
def test_who_would_wait_for_too_long_is_asked_to_come_again(
    source: Fixed,
    log: Noting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    status: int,
) -> None:
    monkeypatch.setattr("pipelines.answering._PATIENCE", patience)
    content = {"dataframe_records": [row(1.0)]}
    with answering(source, log, tmp_path) as port, ThreadPoolExecutor(3) as clients:
        log.busy = 10**9  # another thread writes, while one is to be committed and one waits for its turn
        asked = []
        for waiting in (1, 2):
            asked.append(clients.submit(asking.ask, port, "/invocations", content))
            until_waiting(port, waiting)
        third = clients.submit(asking.ask, port, "/invocations", content)
        if status == 200:
            until_waiting(port, 3)
        else:
            assert third.result(20).error["rule"] == "overload"
            assert third.result().headers["retry-after"] == "1"
        log.busy = 0
        assert [one.result(20).status for one in asked] == [200, 200]
        assert third.result(20).status == status


def until_waiting(port: int, count: int) -> None:
    until(port, f"losswatch_waiting_requests {count}")


def until(port: int, line: str) -> None:
    end = time.monotonic() + 20
    while line not in asking.ask(port, "/metrics").body.decode():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_cannot_be_answered_soon_is_told_so_at_once(
    source: Fixed, log: Noting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.answering._MOST_BYTES", 0)  # one request is as much as may wait
    contents = [{"dataframe_records": [row(1.0)]} for _ in range(12)]
    answers = all_at_once(source, log, tmp_path, contents)
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {200, 503}
    refused = [answer["error"] for status, answer in answers if status == 503]
    assert refused
    assert all(
        error["rule"] == "overload" and "too many requests wait" in error["reason"] for error in refused
    )
    log.flush()
    assert set(log.groups) == {1}


def test_while_some_are_asked_to_come_again_others_wait_for_less(
    source: Fixed, log: Noting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"dataframe_records": [row(1.0)]}
    monkeypatch.setattr("pipelines.answering._PATIENCE", 60.0)
    monkeypatch.setattr("pipelines.answering._SHORT_PATIENCE", 0.0)
    monkeypatch.setattr("pipelines.answering._FLOOD", 60.0)
    with answering(source, log, tmp_path) as port, ThreadPoolExecutor(3) as clients:
        log.busy = 10**9
        asked = []
        for waiting in (1, 2):
            asked.append(clients.submit(asking.ask, port, "/invocations", content))
            until_waiting(port, waiting)
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.answering._MOST_BYTES", 0)
            assert asking.ask(port, "/invocations", content).status == 503
        assert asking.ask(port, "/invocations", content).status == 503  # nobody waits for long yet
        monkeypatch.setattr("pipelines.answering._FLOOD", 0.0)  # as when nobody came for a while
        asked.append(clients.submit(asking.ask, port, "/invocations", content))
        until_waiting(port, 3)
        log.busy = 0
        assert [one.result(20).status for one in asked] == [200] * 3


def test_a_client_that_left_while_it_waited_is_not_scored(source: Fixed, log: Noting, tmp_path: Path) -> None:
    content = {"dataframe_records": [row(1.0)]}
    with answering(source, log, tmp_path) as port, ThreadPoolExecutor(1) as clients:
        log.busy = 10**9
        first = clients.submit(asking.ask, port, "/invocations", content)
        until_waiting(port, 1)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(sent({**content, "ids": ["left"]}))
            until_waiting(port, 2)
            # closed so, the server learns at once that nobody reads any more
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(port, "losswatch_connections 2\n")  # the first one, and the one that asks this
        log.busy = 0
        assert first.result(20).status == 200
        assert asking.ask(port, "/invocations", {**content, "ids": ["later"]}).status == 200
    span = log.span()
    assert span is not None
    assert span.rows == 2


def test_requests_that_one_client_sent_ahead_are_each_answered_while_another_thread_writes(
    source: Fixed, log: Noting, tmp_path: Path
) -> None:
    good, bad = {"dataframe_records": [row(1.0)]}, {"dataframe_records": [{**row(1.0), "wind": "strong"}]}
    with answering(source, log, tmp_path) as port:
        log.busy = 3
        said = asking.raw(port, b"".join(map(sent, [bad, good, bad, good, good, bad])), seconds=2.0)
    assert [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]] == [400, 200, 400, 200, 200, 400]
    assert log.groups == [1, 1, 1]
