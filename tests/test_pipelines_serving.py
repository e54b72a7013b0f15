"""The scoring server: MLflow's protocol, every answer in the log, and nothing for strangers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asking
import numpy as np
import pytest
import versions

from pipelines import heartbeat
from pipelines.answering import Ids
from pipelines.arrival import ids_from
from pipelines.champion import Served
from pipelines.errors import UserError
from pipelines.heartbeat import Heartbeat
from pipelines.log import Log
from pipelines.project import Project, open_project
from pipelines.scoring import Scorer
from pipelines.serving import ScoringServer, serve
from pipelines.tokens import Tokens, add_token, remove_token

NOW = datetime(2013, 3, 1, 12, tzinfo=UTC)


@dataclass
class Fixed:
    """A source that gives what it is told."""

    served: Served | None

    def current(self) -> Served | None:
        return self.served


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scorer]:
    folder = tmp_path_factory.mktemp("serving")
    return {
        task: Scorer.load(versions.write_version(folder / task, task)) for task in ("binary", "multiclass")
    }


@pytest.fixture
def source(scorers: dict[str, Scorer]) -> Fixed:
    return Fixed(Served(3, scorers["binary"]))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log(tmp_path / "log")
    yield opened
    opened.close()


@dataclass(frozen=True)
class Client:
    """Asks one server."""

    port: int

    def post(self, path: str, content: Any, **options: Any) -> Any:
        return asking.ask(self.port, path, content, method="POST", **options)

    def get(self, path: str, **options: Any) -> Any:
        return asking.ask(self.port, path, **options)


def serving(source: Fixed, log: Log, folder: Path, **options: Any) -> Any:
    given = {"now": lambda: NOW, "tokens": Tokens(folder / "tokens.json"), **options}
    return asking.running(ScoringServer(source, log, folder=folder, **given))


@pytest.fixture
def client(source: Fixed, log: Log, tmp_path: Path) -> Iterator[Client]:
    with serving(source, log, tmp_path) as port:
        yield Client(port)


def rows(count: int = 3) -> dict[str, list[Any]]:
    frame = versions.frame(count)
    return {name: frame[name] for name in ("hour", "carrier", "wind", "holiday")}


def logged(log: Log) -> Any:
    return log.predictions(NOW - timedelta(days=9), NOW + timedelta(days=9))


# --- answers -----------------------------------------------------------------------------------------


def test_an_answer_gives_predictions_and_says_which_version_and_rows_they_are(
    client: Client, source: Fixed, log: Log
) -> None:
    answer = client.post("/invocations", {"inputs": rows()})
    assert answer.status == 200
    assert source.served is not None
    expected = source.served.scorer.predict(rows())[:, 0].astype(float).tolist()
    assert answer.content == {"predictions": expected}
    assert answer.headers["losswatch-version"] == "3"
    found = logged(log)
    assert found.ids.tolist() == sorted(answer.headers["losswatch-ids"].split(","))
    assert found.predictions[:, 0].tolist() == expected
    assert found.versions.tolist() == [3, 3, 3]
    assert found.times.tolist() == [NOW.replace(tzinfo=None)] * 3
    assert found.columns["carrier"].tolist() == rows()["carrier"]
    assert found.columns["holiday"].tolist() == rows()["holiday"]


def test_for_more_classes_an_answer_has_a_list_for_each_row(
    client: Client, source: Fixed, scorers: dict[str, Scorer]
) -> None:
    source.served = Served(4, scorers["multiclass"])
    predictions = client.post("/invocations", {"inputs": rows(2)}).content["predictions"]
    assert np.shape(predictions) == (2, 3)
    np.testing.assert_allclose(np.sum(predictions, axis=1), 1.0, rtol=1e-6)


def test_rows_keep_the_ids_and_times_that_a_request_gives_them(client: Client, log: Log) -> None:
    body = {"inputs": rows(2), "ids": ["b", "a"], "times": ["2013-03-01T00:00Z", "2013-02-28T00:00Z"]}
    answer = client.post("/invocations", body)
    assert answer.headers["losswatch-ids"] == "b,a"
    assert logged(log).ids.tolist() == ["a", "b"]


def test_ids_that_are_too_long_for_a_header_are_in_the_body(client: Client) -> None:
    answer = client.post("/invocations", {"inputs": rows(400)})
    assert "losswatch-ids" not in answer.headers
    assert len(answer.content["ids"]) == 400
    other = client.post("/invocations", {"inputs": rows(1), "ids": ["ö"]})
    assert other.content["ids"] == ["ö"]


def test_a_retry_gets_its_first_answer_and_adds_no_row(
    client: Client, source: Fixed, log: Log, scorers: dict[str, Scorer]
) -> None:
    first = client.post("/invocations", {"inputs": rows(1), "ids": ["a"]})
    source.served = Served(4, scorers["binary"])
    again = client.post("/invocations", {"inputs": rows(1), "ids": ["a"]})
    assert again.body == first.body
    assert again.headers["losswatch-version"] == "3"
    assert len(logged(log)) == 1


def test_an_id_that_comes_with_another_row_is_a_conflict(client: Client) -> None:
    client.post("/invocations", {"inputs": rows(1), "ids": ["a"]})
    other = {**rows(1), "wind": [99.0]}
    answer = client.post("/invocations", {"inputs": other, "ids": ["a"]})
    assert answer.status == 409
    assert "came before with other inputs" in answer.error["reason"]


def test_labels_are_joined_to_their_rows(client: Client, log: Log) -> None:
    client.post("/invocations", {"inputs": rows(2), "ids": ["a", "b"]})
    answer = client.post("/labels", {"labels": [{"id": "b", "value": "late"}]})
    assert (answer.status, answer.content) == (200, {"accepted": 1})
    assert logged(log).labels.tolist() == [None, "late"]


def test_labels_find_their_rows_by_the_users_own_key(client: Client, log: Log, source: Fixed) -> None:
    served = source.served
    assert served is not None
    source.served = Served(served.version, served.scorer, key="ride")
    client.post("/invocations", {"inputs": {**rows(3), "ride": [4711, None, "x"]}, "ids": ["a", "b", "c"]})
    told = {"labels": [{"key": 4711, "value": 1, "moment": "2013-01-01T00:00:00Z"}, {"key": "x", "value": 0}]}
    assert client.post("/labels", told).content == {"accepted": 2}
    client.post("/labels", {"labels": [{"key": "4711", "value": 0, "moment": "2012-01-01"}]})
    found = logged(log)
    np.testing.assert_array_equal(found.labels, [1.0, np.nan, 0.0])
    again = client.post("/invocations", {"inputs": {**rows(1), "ride": [4712]}, "ids": ["a"]})
    assert again.status == 409
    wrong = client.post("/invocations", {"inputs": {**rows(1), "ride": [True]}})
    assert (wrong.status, wrong.error["field"], wrong.error["rule"]) == (400, "ride", "key")


def test_csv_is_answered_as_json_is(client: Client) -> None:
    import pandas as pd

    text = pd.DataFrame(rows()).to_csv(index=False)
    answer = client.post("/invocations", text.encode(), kind="text/csv")
    assert answer.content == client.post("/invocations", {"inputs": rows()}).content


def test_the_other_routes_say_what_serves(client: Client, source: Fixed) -> None:
    for route in ("/ping", "/health", "/readyz"):
        answer = client.get(route)
        assert (answer.status, answer.body) == (200, b"\n")
        assert answer.headers["losswatch-version"] == "3"
    version = client.get("/version")
    assert version.body.decode() == importlib.metadata.version("mlflow")
    assert version.headers["losswatch-version"] == "3"
    source.served = None
    assert client.get("/ping").status == 503
    assert client.get("/readyz").status == 503
    assert client.get("/livez").status == 200
    assert client.get("/version").status == 200


def test_what_arrived_is_moved_into_the_tables_while_the_server_runs_and_at_its_end(
    source: Fixed, log: Log, tmp_path: Path
) -> None:
    with serving(source, log, tmp_path, flush_every=0.05) as port:
        client = Client(port)
        client.post("/invocations", {"inputs": rows(2)})
        deadline = time.monotonic() + 20
        while log._predictions.landed("arriving") == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        client.post("/invocations", {"inputs": rows(2)})
    assert log.flush() == 0
    assert len(logged(log)) == 4


def test_ids_grow_with_time() -> None:
    ids = Ids()
    found = [id for known_at, rows in ((5, 3), (5, 2), (6, 3)) for id in ids_from(ids.start(known_at), rows)]
    assert found == sorted(set(found))


# --- refusals ----------------------------------------------------------------------------------------


def test_a_mistake_in_a_request_is_named_and_nothing_is_logged(client: Client, log: Log) -> None:
    answer = client.post("/invocations", {"inputs": {**rows(1), "wind": ["strong"]}})
    assert answer.status == 400
    assert answer.error["field"] == "wind"
    assert len(logged(log)) == 0


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "labels"),
        ({"labels": []}, "labels"),
        ({"labels": [3]}, "labels[0]"),
        ({"labels": [{"id": "a"}]}, "labels[0]"),
        ({"labels": [{"id": "a", "key": "b", "value": 1}]}, "labels[0]"),
        ({"labels": [{"key": True, "value": 1}]}, "labels[0].key"),
        ({"labels": [{"key": "", "value": 1}]}, "labels[0].key"),
        ({"labels": [{"id": "a", "value": 1, "moment": "soon"}]}, "labels[0].moment"),
        ({"labels": [{"id": "a", "value": 1, "moment": "9000-01-01"}]}, "labels[0].moment"),
        ({"labels": [{"id": "a", "value": 1, "moment": 3}]}, "labels[0].moment"),
        ({"labels": [{"id": 3, "value": 1}]}, "labels[0].id"),
        ({"labels": [{"id": "x" * 201, "value": 1}]}, "labels[0].id"),
        ({"labels": [{"id": "a", "value": None}]}, "labels[0].value"),
        ({"labels": [{"id": "a", "value": 1}, {"id": "a", "value": [1]}]}, "labels[1].value"),
        ({"labels": [{"id": "a", "value": "x" * 2000}]}, "labels[0].value"),
    ],
)
def test_a_mistake_in_labels_is_named(client: Client, content: Any, field: str) -> None:
    answer = client.post("/labels", content)
    assert (answer.status, answer.error["field"]) == (422, field)


def test_a_body_that_is_too_large_is_refused_while_it_comes_in(client: Client) -> None:
    answer = client.post("/invocations", b" " * (10 * 2**20 + 1))
    assert answer.status == 413
    assert "larger than 10 MiB" in answer.error["reason"]


def test_before_a_version_is_loaded_requests_are_asked_to_come_again(client: Client, source: Fixed) -> None:
    source.served = None
    answer = client.post("/invocations", {"inputs": rows(1)})
    assert (answer.status, answer.headers["retry-after"]) == (503, "3")


def test_a_busy_server_refuses_a_request_by_its_head(
    client: Client, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.answering._MOST_BYTES", -1)  # so much waits already
        refused = asking.raw(client.port, head + b'{"a": 1}\n', seconds=1.0)
        assert client.get("/livez").status == 200
        assert client.post("/labels", {"labels": []}).status != 503
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in refused
    assert b"100 Continue" not in refused
    assert client.post("/invocations", {"inputs": rows(1)}).status == 200
    assert len(logged(log)) == 1


def test_without_the_log_nothing_is_answered(
    client: Client, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(log, "arrive_together", broken)
        answer = client.post("/invocations", {"inputs": rows(1)})
    assert (answer.status, answer.headers["retry-after"]) == (503, "3")
    assert "disk I/O error" in answer.error["reason"]
    assert client.post("/invocations", {"inputs": rows(1)}).status == 200


def test_where_the_user_chose_so_rows_are_answered_that_the_log_cannot_take(
    source: Fixed, log: Log, tmp_path: Path
) -> None:
    writer = log._writer()
    (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()
    with serving(source, log, tmp_path, unlogged=True) as port:
        client = Client(port)
        first = client.post("/invocations", {"inputs": rows(200)})
        writer._connection.execute(f"PRAGMA max_page_count = {pages}")
        for count in (200, 2000):  # the small and the large way
            answer = client.post("/invocations", {"inputs": rows(count)})
            assert (answer.status, answer.headers["losswatch-logged"]) == (200, "no")
            assert len(answer.content["predictions"]) == count
            if count == 200:
                assert answer.content["predictions"] == first.content["predictions"]
        figures = client.get("/metrics").body.decode()
        assert "losswatch_rows_unlogged_total 2200" in figures
        writer._connection.execute("PRAGMA max_page_count = 1000000")
        assert "losswatch-logged" not in client.post("/invocations", {"inputs": rows(1)}).headers
    assert len(logged(log)) == 201


def test_the_figures_say_when_the_monitor_ran_and_what_stands(client: Client, tmp_path: Path) -> None:
    heartbeat.write(tmp_path, Heartbeat((datetime(2013, 3, 8, tzinfo=UTC),), open=(("critical", 2),)))
    figures = client.get("/metrics").body.decode()
    assert "losswatch_monitor_last_run_seconds 1362700800" in figures
    assert "losswatch_alerts_critical 2" in figures


def test_a_full_disk_is_told_with_its_bytes_and_mends_itself(client: Client, log: Log) -> None:
    writer = log._writer()
    (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()
    writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    for count in (200, 2000):  # the small and the large way
        answer = client.post("/invocations", {"inputs": rows(count), "ids": [f"x{n}" for n in range(count)]})
        assert answer.status == 503
        assert re.search(r"the log is full: \d+ bytes free, about \d+ needed", answer.error["reason"])
    writer._connection.execute("PRAGMA max_page_count = 1000000")
    assert client.post("/invocations", {"inputs": rows(2000)}).status == 200
    assert len(logged(log)) == 2000


def test_a_flush_that_fails_is_tried_again(
    source: Fixed, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> int:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(log, "flush", fail)
        with serving(source, log, tmp_path) as port:
            Client(port).post("/invocations", {"inputs": rows(2)})
    assert "rows could not be moved" in caplog.text
    assert log.flush() == 2


# --- who may ask -------------------------------------------------------------------------------------


def test_a_token_is_asked_for_where_one_is_set(source: Fixed, log: Log, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json", ["a-secret-of-ours", "the-one-after-it"])
    with serving(source, log, tmp_path, tokens=tokens) as port:
        client = Client(port)
        for path in ("/invocations", "/labels"):
            for given in ({}, {"authorization": "Bearer other"}, {"authorization": "Bearer ö"}):
                answer = client.post(path, {}, headers=given)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        for token in ("a-secret-of-ours", "the-one-after-it"):
            bearer = {"authorization": f"Bearer {token}", "host": "scoring.example"}
            assert client.post("/invocations", {"inputs": rows(1)}, headers=bearer).status == 200
        assert client.get("/ping").status == 200


MAY: dict[Any, set[str]] = {
    "client": {"/invocations", "/version", "/openapi.json", "/docs"},
    "labeller": {"/labels", "/version", "/openapi.json", "/docs"},
    "viewer": {"/metrics", "/version", "/openapi.json", "/docs"},
    "operator": {"/invocations", "/labels", "/metrics", "/version", "/openapi.json", "/docs"},
    "none": set(),
}


@pytest.mark.parametrize("role", MAY)
def test_each_role_opens_its_own_paths_and_no_other(
    role: str, source: Fixed, log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    secrets = {one: add_token(path, one, name=one, days=None, now=NOW).secret for one in MAY if one != "none"}
    given = {"authorization": f"Bearer {secrets.get(role, 'x')}"}
    bodies = {"/invocations": {"inputs": rows(1)}, "/labels": {"labels": [{"id": "a", "value": 1}]}}
    server = ScoringServer(source, log, folder=tmp_path, now=lambda: NOW, tokens=Tokens(path))
    with asking.running(server) as port:
        for route in server._routes:
            answer = asking.ask(port, route, bodies.get(route), headers=given)
            free = route in ("/ping", "/health", "/readyz", "/livez")
            refused = 401 if role == "none" else 403
            assert answer.status == (200 if free or route in MAY[role] else refused), route


def test_the_name_of_a_token_is_the_caller_in_the_log(source: Fixed, log: Log, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    made = add_token(path, "client", name="shop", days=None, now=NOW)
    with serving(source, log, tmp_path, tokens=Tokens(path)) as port:
        bearer = {"authorization": f"Bearer {made.secret}"}
        assert Client(port).post("/invocations", {"inputs": rows(1)}, headers=bearer).status == 200
    assert log._predictions.read([])[0]["caller"].to_pylist() == ["shop"]


def test_a_token_is_taken_and_taken_back_while_the_server_runs(
    source: Fixed, log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    old = add_token(path, "client", name="", days=None, now=NOW)
    with serving(source, log, tmp_path, tokens=Tokens(path)) as port:
        new = add_token(path, "client", name="", days=None, now=NOW)
        _until(lambda: _status(port, new.secret) == 200)
        assert _status(port, old.secret) == 200
        remove_token(path, old.token.id)
        _until(lambda: _status(port, old.secret) == 401)
        assert _status(port, new.secret) == 200


def _status(port: int, secret: str) -> int:
    headers = {"authorization": f"Bearer {secret}"}
    status: int = asking.ask(port, "/invocations", {"inputs": rows(1)}, headers=headers).status
    return status


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_page_from_elsewhere_may_not_ask_where_no_token_is_set(client: Client) -> None:
    for origin, status in (("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)):
        answer = client.post("/invocations", {"inputs": rows(1)}, headers={"origin": origin})
        assert answer.status == status


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:80", 200), ("[::1]:80", 200), ("evil.example", 403)]
)
def test_without_a_token_only_this_machine_is_answered_by_its_own_name(
    client: Client, host: str, status: int
) -> None:
    answer = client.post("/invocations", {"inputs": rows(1)}, headers={"host": host})
    assert answer.status == status


# --- the process -------------------------------------------------------------------------------------


def project(folder: Path, **serving: Any) -> Project:
    lines = [f"{key} = {json.dumps(value)}" for key, value in serving.items()]
    text = '[data]\npath = "rides.csv"\ntarget = "cnt"\ntime = ["t"]\n\n[serve]\n' + "\n".join(lines) + "\n"
    (folder / "losswatch.toml").write_text(text)
    return open_project(folder)


def test_an_open_address_without_a_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\[serve\] host = '0.0.0.0': anybody .* Set LOSSWATCH_TOKEN"):
        serve(project(tmp_path, host="0.0.0.0"), environ={})
    with pytest.raises(UserError, match="Set LOSSWATCH_TOKEN"):
        serve(project(tmp_path, host="scoring.example"), environ={"LOSSWATCH_TOKEN": " ,"})
    assert not (tmp_path / ".losswatch").exists()


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port = {port}: .*in use.* Set another port"):
            serve(project(tmp_path, port=port), environ={})
    assert not (tmp_path / ".losswatch").exists()


def test_a_second_server_on_one_log_is_refused(tmp_path: Path) -> None:
    opened = project(tmp_path, port=_free_port())
    first = Log(opened.log_folder())
    first.open_for_arriving()
    with pytest.raises(UserError, match="another process is writing it"):
        serve(opened, environ={})
    first.close()


SERVER = """
import sys
from pathlib import Path
import pipelines.serving
from pipelines.project import open_project

class Registry:
    def alias(self, name):
        return type("Named", (), {"version": 5})
    def bundle(self, version):
        return Path(sys.argv[2])

pipelines.serving._registry = lambda project, environ: Registry()
pipelines.serving.serve(open_project(Path(sys.argv[1])), environ={})
assert not {"pandas", "keras", "tensorflow", "mlflow"} & set(sys.modules), sorted(sys.modules)
"""


@pytest.mark.slow
def test_a_server_starts_answers_and_ends_on_sigterm_with_everything_in_the_tables(tmp_path: Path) -> None:
    version = versions.write_version(tmp_path / "version")
    port = _free_port()
    opened = project(tmp_path, port=port)
    command = [sys.executable, "-c", SERVER, str(tmp_path), str(version)]
    with subprocess.Popen(command) as process:
        try:
            _until_ready(f"http://127.0.0.1:{port}/readyz")
            body = json.dumps({"inputs": rows(2), "ids": ["a", "b"], "times": ["2013-03-01"] * 2}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations", body, {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.headers["losswatch-version"] == "5"
                assert len(json.load(answer)["predictions"]) == 2
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    log = Log(opened.log_folder())
    assert logged(log).ids.tolist() == ["a", "b"]
    assert log.flush() == 0
    log.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.05)
