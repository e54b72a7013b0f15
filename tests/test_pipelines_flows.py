"""The flows: what starts what; and the story of it on real servers, with steps that are toys."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
import streams
from prefect.client.schemas.objects import StateType

from pipelines import flows, live_report, steps, stores
from pipelines.alerts import Finding, open_book
from pipelines.errors import UserError
from pipelines.project import Project, open_project
from pipelines.standing import Standing

# Stands in for pipelines.steps in every process of the story: the monitor finds harm, the retraining notes it.
TOY_STEPS = """
import sys, types
from pathlib import Path

steps = types.ModuleType("pipelines.steps")

def monitor(project, now):
    return types.SimpleNamespace(harmful=True, action="update", reasons=("loss 0.31 to 0.47",), windows=())

def retrain(project, now):
    (project.folder / "retrained").write_text(now.isoformat())
    return types.SimpleNamespace(promoted=True)

steps.monitor, steps.retrain = monitor, retrain
sys.modules["pipelines.steps"] = steps
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _project(folder: Path) -> Project:
    folder.mkdir(exist_ok=True)
    (folder / "losswatch.toml").write_text(
        f'[data]\npath = "rides.csv"\ntarget = "cnt"\n[serve]\nport = {_free_port()}\n'
        '[schedule]\nmonitor = "0 3 1 1 *"\n'
    )
    return open_project(folder)


def _deployments(project: Project) -> dict[str, Any]:
    return {str(deployment.flow_name): deployment for deployment in flows.deployments(project)}


def test_the_monitor_runs_by_the_clock_and_a_late_one_is_left_out(tmp_path: Path) -> None:
    monitor = _deployments(_project(tmp_path / "rides"))[flows.MONITOR]
    assert [schedule.schedule.cron for schedule in monitor.schedules] == ["0 3 1 1 *"]
    assert monitor.concurrency_limit == 1
    assert monitor.concurrency_options.collision_strategy == "CANCEL_NEW"


def test_a_retraining_is_started_by_the_event_of_its_own_project_one_at_a_time(tmp_path: Path) -> None:
    project = _project(tmp_path / "rides")
    retrain = _deployments(project)[flows.RETRAIN]
    assert retrain.concurrency_limit == 1
    assert retrain.concurrency_options.collision_strategy == "ENQUEUE"
    (trigger,) = retrain.triggers
    assert trigger.expect == {"losswatch.harmful"}
    assert trigger.match["prefect.resource.id"] == ["losswatch.project.rides"]
    assert trigger.parameters["project"] == str(project.folder)


def test_flows_are_found_by_import_from_any_directory_and_take_the_folder(tmp_path: Path) -> None:
    for deployment in _deployments(_project(tmp_path / "rides")).values():
        assert deployment.entrypoint.startswith("pipelines.flows.")
        assert deployment.parameters == {"project": str(tmp_path / "rides")}


def test_a_time_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="now = 'soon': not a date"):
        flows._moment(_project(tmp_path / "rides"), "soon")


def test_a_time_is_taken_and_none_is_the_clock(tmp_path: Path) -> None:
    project = _project(tmp_path / "rides")
    assert flows._moment(project, "2013-03-01").isoformat() == "2013-03-01T00:00:00+00:00"
    assert abs((flows._moment(project, "") - project.now()).total_seconds()) < 5


# --- before the first promotion ---


def _plainly(name: str, step: Any, *, retries: int = 0) -> Any:
    return step()


@pytest.fixture
def untrained(make_stores: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without a version, and flows that run their steps without Prefect."""
    monkeypatch.setattr(flows, "_run", _plainly)
    found: Project = make_stores(streams.stream(2, 20)).project
    return found


def test_a_monitor_ends_well_where_no_version_serves_yet(untrained: Project) -> None:
    state: Any = flows.monitor.fn(str(untrained.folder))
    assert state.type == StateType.COMPLETED
    assert "no version serves yet" in state.message


def test_a_mistake_is_told_where_a_version_serves(
    untrained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(project: Project, now: datetime) -> None:
        raise UserError("the log was written by a newer losswatch")

    monkeypatch.setattr(steps, "monitor", refuse)
    monkeypatch.setattr(steps, "serves", lambda project, now: True)
    with pytest.raises(UserError, match="a newer losswatch"):
        flows.monitor.fn(str(untrained.folder))


# --- the report ---


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The artifacts that were made, and a report in the place of the real one."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(
        flows, "create_markdown_artifact", lambda text, **more: made.append({"text": text, **more})
    )
    return made


def _found(*numbers: int) -> Any:
    return SimpleNamespace(windows=tuple(SimpleNamespace(number=number) for number in numbers))


def test_a_monitor_that_judged_leaves_the_report_and_its_short_form(
    tmp_path: Path, artifacts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    standing = Standing("quiet", "All is quiet.", "Nothing to do", None, ())

    def written(project: Project, judged: list[int]) -> Any:
        asked.append(judged)
        return SimpleNamespace(name="my rides", standing=standing, windows=(), page="/x/report.html")

    monkeypatch.setattr(live_report, "after_monitor", written)
    assert flows._report(_project(tmp_path / "My_rides"), _found(3, 4)) == "/x/report.html"
    assert asked == [[3, 4]]
    assert [one["key"] for one in artifacts] == ["losswatch-my-rides"]
    assert "**All is quiet.**" in artifacts[0]["text"]


def test_every_message_is_an_event_once_with_an_id_of_its_own(
    untrained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted: list[dict[str, Any]] = []
    monkeypatch.setattr(flows, "emit_event", lambda event, **said: emitted.append({"event": event, **said}))
    finding = Finding("rows", untrained.now(), "no rows", "critical", "rides: no rows", "none", "look")
    open_book(stores.open_stores(untrained), untrained.now()).stand([finding], causes=["rows"], over="")
    for _ in range(2):
        flows._emit_alerts(untrained)
    (one,) = emitted
    assert (one["event"], one["payload"]["kind"]) == ("losswatch.alert", "no rows")
    assert one["resource"]["prefect.resource.id"] == flows.resource(untrained)
    assert one["resource"]["losswatch.severity"] == "critical"
    assert one["id"] == uuid5(NAMESPACE_URL, f"{flows.resource(untrained)}/{one['payload']['id']}")


def test_a_prefect_that_takes_no_events_does_not_fail_the_monitor(
    untrained: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no server")

    monkeypatch.setattr(flows, "emit_event", broken)
    finding = Finding("rows", untrained.now(), "no rows", "critical", "rides: no rows", "none", "look")
    open_book(stores.open_stores(untrained), untrained.now()).stand([finding], causes=["rows"], over="")
    flows._emit_alerts(untrained)
    assert "Prefect was not told of alerts: OSError" in caplog.text


def test_a_report_that_fails_does_not_fail_the_monitor(
    tmp_path: Path, artifacts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(project: Project, judged: list[int]) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(live_report, "after_monitor", full)
    assert flows._report(_project(tmp_path / "rides"), _found(3)) is None
    assert artifacts == []


# --- the story ---


@dataclass(frozen=True)
class Running:
    """A project that is up."""

    project: Project
    process: subprocess.Popen[bytes]
    output: Path
    started: dict[str, Any]

    def prefect(self, path: str, content: dict[str, Any] | None = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            f"{self.started['prefect']}/api/{path}", data=data, headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextlib.contextmanager
def _speaking_to(running: Running) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    server = {
        PREFECT_API_URL: f"{running.started['prefect']}/api",
        PREFECT_LOGGING_TO_API_ENABLED: False,  # it would still send when the server has gone
    }
    with temporary_settings(server):
        yield


def _wait(condition: Any, seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise TimeoutError


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`losswatch up`, called from another directory."""
    folder = tmp_path_factory.mktemp("up")
    project = _project(folder / "rides")
    toys = folder / "toys"
    toys.mkdir()
    (toys / "sitecustomize.py").write_text(TOY_STEPS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "pipelines.cli", "up", "--project", str(project.folder)]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=toys,
            stderr=output,
            env={**environment, "PYTHONPATH": str(toys)},
            start_new_session=True,
        )
    started = project.state / "up.json"
    try:
        _wait(lambda: started.exists() or process.poll() is not None, 500)
        assert process.poll() is None, (folder / "output").read_text()
        yield Running(project, process, folder / "output", json.loads(started.read_text()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(600)  # whichever comes first waits for the servers
def test_everything_answers_where_it_was_said_to_be(running: Running) -> None:
    said = running.output.read_text()
    for name, path in (("mlflow", "health"), ("prefect", "api/health"), ("scoring", "livez")):
        assert running.started[name] in said
        with urllib.request.urlopen(f"{running.started[name]}/{path}", timeout=30) as answer:
            assert answer.status == 200


@pytest.mark.slow
@pytest.mark.timeout(600)  # whichever comes first waits for the servers
def test_a_harmful_window_starts_a_retraining_that_completes(running: Running) -> None:
    deployment = running.prefect(f"deployments/name/{flows.MONITOR}/rides")
    asked = {"parameters": {"project": str(running.project.folder), "now": "2013-05-01"}}
    running.prefect(f"deployments/{deployment['id']}/create_flow_run", asked)

    def retrained() -> Any:
        condition = {"flows": {"name": {"any_": [flows.RETRAIN]}}, "limit": 5, "sort": "START_TIME_DESC"}
        runs = running.prefect("flow_runs/filter", condition)
        return [run for run in runs if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]

    (run,) = _wait(retrained)
    assert run["state_type"] == "COMPLETED"
    assert run["parameters"]["reason"] == "loss 0.31 to 0.47"
    assert "harmful window" in run["created_by"]["display_value"]
    assert (running.project.folder / "retrained").read_text() == "2013-05-01T00:00:00+00:00"


@pytest.mark.slow
@pytest.mark.timeout(600)  # whichever comes first waits for the servers
def test_a_replay_is_one_flow_with_a_task_for_each_step(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lived(project: Project, *, json_path: Path | None, progress: Any, run: Any) -> Any:
        return [run(name, lambda name=name: name.upper()) for name in ("score", "monitor", "retrain")]

    monkeypatch.setattr("pipelines.replay.replay", lived)
    with _speaking_to(running):
        answers: Any = flows.replay(running.project)
    assert answers == ["SCORE", "MONITOR", "RETRAIN"]
    condition = {"flows": {"name": {"any_": [flows.REPLAY]}}}
    (run,) = running.prefect("flow_runs/filter", condition)
    assert run["state_type"] == "COMPLETED"

    def tasks() -> Any:  # they are told to the server a moment later
        found = running.prefect("task_runs/filter", condition)
        return found if len(found) == 3 and all(one["state_type"] == "COMPLETED" for one in found) else None

    assert {task["name"].rsplit("-", 1)[0] for task in _wait(tasks, 60)} == {"score", "monitor", "retrain"}


@pytest.mark.slow
@pytest.mark.timeout(600)  # whichever comes first waits for the servers
def test_a_retraining_that_was_cut_off_gives_its_place_back_and_starts_again(running: Running) -> None:
    deployment = running.prefect(f"deployments/name/{flows.RETRAIN}/rides")
    left = {"flow_id": deployment["flow_id"], "deployment_id": deployment["id"], "state": {"type": "RUNNING"}}
    parameters = {"project": str(running.project.folder), "now": "2013-06-01"}
    run = running.prefect("flow_runs/", {**left, "parameters": parameters})
    with _speaking_to(running):
        closed = flows.close_abandoned(running.project)
    assert [str(one.id) for one in closed] == [run["id"]]
    assert running.prefect(f"flow_runs/{run['id']}")["state_type"] == "CRASHED"
    retrained = running.project.folder / "retrained"
    _wait(lambda: retrained.exists() and retrained.read_text() == "2013-06-01T00:00:00+00:00")


@pytest.mark.slow
@pytest.mark.timeout(600)  # whichever comes first waits for the servers
def test_a_second_up_is_refused_with_exit_code_2(running: Running) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "up", "--project", str(running.project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "rides is up already" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)  # whichever comes first waits for the servers
def test_ctrl_c_stops_all_of_it(running: Running) -> None:
    groups = list(running.started["processes"].values())
    assert len(groups) == 4
    os.kill(running.process.pid, signal.SIGINT)
    assert running.process.wait(60) == 0
    assert not (running.project.state / "up.json").exists()
    for group in groups:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
    for name in ("mlflow", "prefect", "scoring"):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(running.started[name], timeout=5)
