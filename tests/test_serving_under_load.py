"""A scoring server while others ask it: versions that change, ends, large and malformed requests, a full disk."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asking
import pytest
import versions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.champion import Champion, Served
from pipelines.log import Log
from pipelines.scoring import Scorer
from pipelines.serving import ScoringServer
from pipelines.tokens import Tokens

NOW = datetime(2013, 3, 1, 12, tzinfo=UTC)


ROW = {"hour": 7, "carrier": "UA", "wind": 9.5, "holiday": True}


@dataclass
class Alternating:
    """A registry whose champion is told by the test. broken: versions whose files do not load."""

    folders: dict[int, Path]
    champion: int = 1

    @dataclass(frozen=True)
    class Named:
        version: int

    def alias(self, name: str) -> Named:
        return self.Named(self.champion)

    def bundle(self, version: int) -> Path:
        return self.folders[version]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("versions")
    made = {number: versions.write_version(folder / str(number), seed=number) for number in (1, 2)}
    broken = versions.write_version(folder / "3", golden_shift=0.5)
    torn = Path(shutil.copytree(folder / "1", folder / "4"))
    (torn / "model.onnx").write_bytes(b"torn")
    return {**made, 3: broken, 4: torn}


def scoring(source: Any, folder: Path, **options: Any) -> Any:
    log = Log(folder / "log")
    tokens = Tokens(folder / "tokens.json")
    return ScoringServer(source, log, folder=folder, now=lambda: NOW, tokens=tokens, **options)


class Fixed:
    """A source of one version."""

    def __init__(self, folder: Path) -> None:
        self._served = Served(1, Scorer.load(folder))

    def current(self) -> Served:
        return self._served


@dataclass
class Asking:
    """A client in a thread that asks until it is stopped. seen: version and prediction of every answer."""

    port: int
    rows: int = 1
    seen: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    closed: bool = False

    def run(self, stop: threading.Event) -> None:
        body = json.dumps({"dataframe_records": [ROW] * self.rows})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            while not stop.is_set() and not self.closed:
                connection.request("POST", "/invocations", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
                self.closed = answer.getheader("connection") == "close"
                if answer.status != 200:
                    self.failed.append(str(said))
                else:
                    self.seen.append((str(answer.getheader("losswatch-version")), tuple(said["predictions"])))
        except Exception as error:
            self.failed.append(repr(error))
        finally:
            connection.close()


@contextmanager
def asked_by(clients: list[Asking]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


@pytest.mark.slow
def test_versions_that_change_under_load_are_never_mixed(folders: dict[int, Path], tmp_path: Path) -> None:
    registry = Alternating(folders)
    champion = Champion(lambda: registry, tmp_path / "serving.json")
    champion.refresh()
    columns = {name: [value] for name, value in ROW.items()}
    expected = {str(number): float(Scorer.load(folders[number]).predict(columns)[0, 0]) for number in (1, 2)}
    assert expected["1"] != expected["2"]
    with asking.running(scoring(champion, tmp_path)) as port:
        clients = [Asking(port), Asking(port), Asking(port, rows=5), Asking(port, rows=300)]
        with asked_by(clients):
            for number in range(50):
                registry.champion = 1 + number % 2
                if number % 10 == 9:
                    registry.champion = 3 + number % 20 // 10  # one that must never serve
                champion.refresh()
                time.sleep(0.05)
    assert [client.failed for client in clients] == [[], [], [], []]
    for client in clients:
        assert {version for version, _ in client.seen} == {"1", "2"}
        for version, predictions in client.seen:
            assert predictions == pytest.approx([expected[version]] * client.rows, rel=1e-6)


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
"""


def _project(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    text = f'[data]\npath = "rides.csv"\ntarget = "cnt"\n\n[serve]\nport = {port}\n'
    (folder / "losswatch.toml").write_text(text)
    return port


def _until_ready(port: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            if asking.ask(port, "/readyz").status == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_server_that_is_ended_under_load_answers_what_it_has_taken(
    folders: dict[int, Path], tmp_path: Path
) -> None:
    rng, answered = random.Random(0), 0
    for number in range(8):
        port = _project(tmp_path / "project")
        command = [sys.executable, "-c", SERVER, str(tmp_path / "project"), str(folders[1])]
        with subprocess.Popen(command) as process:
            try:
                _until_ready(port)
                clients = [Asking(port, rows=1 + 400 * (place == 0)) for place in range(5)]
                with asked_by(clients):
                    time.sleep(rng.uniform(0.05, 0.5))
                    os.kill(process.pid, signal.SIGTERM)
                    assert process.wait(60) == 0, number
                assert [client.failed for client in clients] == [[]] * 5
                answered += sum(len(client.seen) * client.rows for client in clients)
            finally:
                process.kill()
    log = Log(tmp_path / "project" / ".losswatch" / "log")
    assert (
        len(log.predictions(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))) == answered
    )


@pytest.mark.slow
def test_a_disk_that_fills_up_is_told_and_nothing_is_lost(folders: dict[int, Path], tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = [sys.executable, "-c", FULL, str(mount), str(folders[1]), str(Path(__file__).parent)]
    shell = f"mount -t tmpfs -o size=2m none {mount} && exec " + " ".join(f"'{part}'" for part in command)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", shell], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


FULL = """
import importlib.util, os, re, sys
from datetime import UTC, datetime
from pathlib import Path
folder, version = Path(sys.argv[1]), Path(sys.argv[2])
spec = importlib.util.spec_from_file_location("asking", Path(sys.argv[3]) / "asking.py")
asking = importlib.util.module_from_spec(spec)
sys.modules["asking"] = asking
spec.loader.exec_module(asking)
from pipelines.champion import Served
from pipelines.log import Log
from pipelines.scoring import Scorer
from pipelines.serving import ScoringServer
from pipelines.tokens import Tokens
served = Served(1, Scorer.load(version))
source = type("Fixed", (), {"current": lambda self: served})()
log = Log(folder / "log")
server = ScoringServer(source, log, folder=folder, now=lambda: datetime.now(UTC),
                       tokens=Tokens(folder / "tokens.json"), flush_every=0.2)
row = {"hour": 7, "carrier": "UA", "wind": 9.5, "holiday": True}
told, refused = [], 0
with asking.running(server) as port:
    def ask(number):
        global refused
        body = {"dataframe_records": [row] * 100, "ids": [f"{number}-{k}" for k in range(100)]}
        answer = asking.ask(port, "/invocations", body)
        if answer.status == 200:
            told.append(number)
        else:
            assert answer.status == 503, answer.body
            assert "retry-after" in answer.headers
            assert re.search("the log is full: [0-9]+ bytes free, about [0-9]+ needed", answer.error["reason"])
            refused += 1
    for number in range(3):
        ask(number)
    filler = folder / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, b"x" * 4096)
    except OSError:
        os.close(file)
    for number in range(3, 60):
        ask(number)
    assert refused > 0, "the disk was never full"
    before = refused
    filler.unlink()
    for number in range(60, 70):
        ask(number)
    assert refused == before, "it did not heal"
rows = log.predictions(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
assert sorted(rows.ids) == sorted(f"{number}-{k}" for number in told for k in range(100))
"""


# --- malformed requests ---

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PATHS = ("/invocations", "/labels")
NEAR = st.fixed_dictionaries(
    {"dataframe_records": st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, JSON_VALUES)), max_size=3)},
    optional={"ids": JSON_VALUES, "times": JSON_VALUES, "params": JSON_VALUES},
)
LABELS = st.fixed_dictionaries(
    {"labels": st.lists(st.fixed_dictionaries({"id": JSON_VALUES, "value": JSON_VALUES}), max_size=3)}
)
BY_HAND = [
    b"",
    b"null",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"inputs": [[NaN]]}',
    b'{"inputs": [[1e999]]}',
    b'{"inputs": "\xff"}',
    b'{"inputs": ["\\ud800"]}',
    b'{"inputs": [' + b"9" * 5000 + b"]}",
    b'{"inputs": {"hour": [], "hour": []}}',
    b'{"dataframe_records": [{"hour": true, "carrier": [], "wind": "1e3", "holiday": {}}]}',
    b'{"dataframe_records": [{}]}',
    b'{"dataframe_split": {"columns": ["hour"], "data": [[1], [1, 2]]}}',
    b'{"dataframe_split": {"columns": ["\\u0000"], "data": [["\\u0000"]]}}',
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    b"hour,carrier\n\x00,\xff\n",
]


@pytest.fixture(scope="module")
def port(folders: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with asking.running(scoring(Fixed(folders[1]), tmp_path_factory.mktemp("malformed"))) as found:
        yield found


def _status(port: int, path: str, body: bytes, kind: str = "application/json") -> int:
    answer = asking.ask(port, path, body, kind=kind)
    assert answer.status == 200 or {"field", "rule", "reason", "expected"} == set(answer.error)
    status: int = answer.status
    return status


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_a_malformed_request_is_refused_with_its_reason(port: int, path: str, kind: str) -> None:
    for body in BY_HAND:
        assert 400 <= _status(port, path, body, kind) < 500, body[:60]


FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(body=NEAR | LABELS | st.dictionaries(st.sampled_from(["inputs", "instances"]), JSON_VALUES))
def test_whatever_is_sent_the_answer_is_no_fault_of_the_server(port: int, body: Any) -> None:
    sent = json.dumps(body).encode()
    assert all(_status(port, path, sent) < 500 for path in PATHS)


@pytest.mark.slow
@MANY
@given(
    body=st.binary(max_size=200) | (NEAR | LABELS).map(lambda value: json.dumps(value).encode()),
    cut=st.integers(0, 200),
)
def test_of_thousands_of_malformed_requests_none_is_a_fault_of_the_server(
    port: int, body: bytes, cut: int
) -> None:
    assert all(_status(port, path, body[cut:] + body[:cut]) < 500 for path in PATHS)


@pytest.mark.slow
def test_large_requests_leave_the_others_their_turn(folders: dict[int, Path], tmp_path: Path) -> None:
    with asking.running(scoring(Fixed(folders[1]), tmp_path)) as port:
        large, small = [Asking(port, rows=20_000) for _ in range(2)], [Asking(port) for _ in range(2)]
        with asked_by([*large, *small]):
            deadline = time.monotonic() + 60
            while any(len(client.seen) < 3 for client in large) and time.monotonic() < deadline:
                time.sleep(0.05)
        assert [client.failed for client in (*large, *small)] == [[], [], [], []]
        # one at a time, each small one would have waited for a large one
        assert sum(len(client.seen) for client in small) > 3 * sum(len(client.seen) for client in large)


def test_more_large_requests_than_there_is_room_for_are_asked_to_come_again(
    folders: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.answering._MOST_LARGE", 1)
    with asking.running(scoring(Fixed(folders[1]), tmp_path)) as port:
        clients = [Asking(port, rows=5000) for _ in range(4)]
        with asked_by(clients):
            time.sleep(1.0)
    assert any(client.seen for client in clients)
    refused = [text for client in clients for text in client.failed]
    assert refused
    assert all("too many large requests wait" in text for text in refused)
