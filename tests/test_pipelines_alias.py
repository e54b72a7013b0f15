"""The champion is looked up without MLflow, and means the same as what MLflow says."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.alias import DistantRegistry, of_database, of_server
from pipelines.project import Project, open_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "losswatch.toml").write_text(
        '[data]\npath = "rides.csv"\ntarget = "cnt"\n[project]\nname = "bikes"\n'
    )
    return open_project(tmp_path)


def database(path: Path, *rows: tuple[str, str, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INTEGER)")
        connection.executemany("INSERT INTO registered_model_aliases VALUES (?, ?, ?)", rows)
        connection.commit()
    return path


def test_the_alias_is_read_in_the_database(project: Project) -> None:
    registry = DistantRegistry(project, {})
    assert registry.alias("champion") is None
    database(
        project.state / "mlflow.db", ("bikes", "champion", 7), ("other", "champion", 8), ("bikes", "older", 6)
    )
    found = registry.alias("champion")
    assert found is not None
    assert found.version == 7


def test_a_database_without_the_table_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert of_database(tmp_path / "mlflow.db", "bikes", "champion") is None
    assert of_database(tmp_path / "none.db", "bikes", "champion") is None


@contextmanager
def tracking(status: int, content: Any) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives one answer, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join(20)


def test_a_tracking_server_is_asked_by_its_rest_api() -> None:
    with tracking(200, {"model_version": {"version": "12"}}) as (host, asked):
        assert of_server(f"http://me:s%40cret@{host}/mlflow/", "my bikes", "champion", {}) == 12
        assert of_server(f"http://{host}", "bikes", "champion", {"MLFLOW_TRACKING_TOKEN": "abc"}) == 12
    path = "/api/2.0/mlflow/registered-models/alias?name="
    assert asked == [
        (f"/mlflow{path}my+bikes&alias=champion", "Basic bWU6c0BjcmV0"),
        (f"{path}bikes&alias=champion", "Bearer abc"),
    ]


def test_a_server_without_the_alias_names_nothing_and_one_that_fails_is_told() -> None:
    with tracking(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}) as (host, _):
        assert of_server(f"http://{host}", "bikes", "champion", {}) is None
    with (
        tracking(404, {"error_code": "ENDPOINT_NOT_FOUND"}) as (host, _),
        pytest.raises(OSError, match="404"),
    ):
        of_server(f"http://{host}", "bikes", "champion", {})
    with tracking(500, {}) as (host, _), pytest.raises(OSError, match="500"):
        of_server(f"http://{host}", "bikes", "champion", {})


def test_files_that_cannot_be_had_are_not_asked_for_again_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []

    def fail(self: DistantRegistry, *arguments: str) -> Any:
        calls.append(arguments)
        raise RuntimeError("BrokenBundle: its files were changed")

    monkeypatch.setattr(DistantRegistry, "_child", fail)
    registry = DistantRegistry(project, {})
    for _ in range(3):
        with pytest.raises(RuntimeError, match="its files were changed"):
            registry.bundle(7)
    assert calls == [("--files", "7")]


@pytest.mark.slow
def test_a_process_that_finds_nothing_says_why(project: Project) -> None:
    with pytest.raises(RuntimeError, match="7"):
        DistantRegistry(project).bundle(7)
