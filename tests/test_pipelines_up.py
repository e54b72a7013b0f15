"""What `losswatch up` refuses before anything starts, and what it gives to the servers that it starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.file_lock import file_lock
from pipelines.project import Project, open_project
from pipelines.up import STARTED, Plan, _stop_signals, child_environment, make_plan, up


def _project(folder: Path, port: int, more: str = "") -> Project:
    folder.mkdir(exist_ok=True)
    (folder / "losswatch.toml").write_text(
        f'[data]\npath = "rides.csv"\ntarget = "cnt"\n[serve]\nport = {port}\n{more}'
    )
    return open_project(folder)


@pytest.fixture
def busy() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path, busy: socket.socket) -> None:
    project = _project(tmp_path / "rides", busy.getsockname()[1])
    with pytest.raises(
        UserError, match=r"\[serve\] host = '127\.0\.0\.1', port = \d+: Address already in use"
    ):
        up(project)
    assert not (project.state / "up").exists()
    assert not (project.state / "mlflow.db").exists()


def test_a_second_up_of_a_project_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    project = _project(tmp_path / "rides", _free_port())
    with file_lock(project.state / "locks" / "up.lock"):
        with pytest.raises(UserError, match=r"rides is up already$"):
            up(project)
        started = {"prefect": "http://127.0.0.1:4200", "pid": 17}
        (project.state / STARTED).write_text(json.dumps(started))
        with pytest.raises(UserError, match=r"up already: http://127\.0\.0\.1:4200, process 17"):
            up(project)


def test_a_tracking_server_that_does_not_answer_is_told_before_anything_starts(tmp_path: Path) -> None:
    store = '[store]\ntracking = "http://127.0.0.1:9"'
    with pytest.raises(UserError, match=r"no MLflow server answers at http://127\.0\.0\.1:9"):
        up(_project(tmp_path / "rides", _free_port(), store))


def test_every_server_has_a_port_of_its_own(tmp_path: Path) -> None:
    plan = make_plan(_project(tmp_path / "rides", _free_port()))
    assert len({plan.mlflow, plan.prefect, int(plan.scoring.rsplit(":", 1)[1])}) == 3


def test_where_others_have_the_usual_ports_free_ones_are_taken(
    tmp_path: Path, busy: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.up._MLFLOW_PORT", busy.getsockname()[1])
    monkeypatch.setattr("pipelines.up._PREFECT_PORT", busy.getsockname()[1])
    plan = make_plan(_project(tmp_path / "rides", _free_port()))
    assert busy.getsockname()[1] not in (plan.mlflow, plan.prefect)
    assert plan.mlflow != plan.prefect


def test_the_scoring_port_is_kept_where_it_is_the_usual_one_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = _free_port()
    monkeypatch.setattr("pipelines.up._MLFLOW_PORT", port)
    plan = make_plan(_project(tmp_path / "rides", port))
    assert plan.scoring == f"http://127.0.0.1:{port}"
    assert plan.mlflow != port


def test_the_password_of_a_store_is_in_no_address_that_is_shown() -> None:
    plan = Plan("http://ann:secret@tracking:5000", None, 4200, "http://127.0.0.1:8000")
    assert plan.addresses["mlflow"] == "http://ann:***@tracking:5000"


def test_children_speak_to_our_servers_without_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.setenv("PREFECT_API_URL", "https://elsewhere/api")
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    project = _project(tmp_path / "rides", 8000)
    environment = child_environment(project, Plan(project.tracking(), 5000, 4200, "http://127.0.0.1:8000"))
    assert environment["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert environment["PREFECT_HOME"] == str(project.state / "prefect")
    assert environment["MLFLOW_BACKEND_STORE_URI"] == project.tracking()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_the_end_and_changes_nothing_afterwards(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with _stop_signals() as stopped:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert stopped.is_set()
    assert signal.getsignal(number) is before
