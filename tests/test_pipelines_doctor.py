import importlib.metadata
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from monitoring.loss_alarm import LossReference
from monitoring.window import WindowLength
from pipelines import doctor as module
from pipelines import heartbeat
from pipelines.answer import to_json
from pipelines.bundle import BrokenBundle
from pipelines.doctor import Finding, doctor
from pipelines.log import Log
from pipelines.project import Project, open_project
from pipelines.service import VERDICT, begin_service

NOW = datetime(2013, 3, 10, 12, tzinfo=UTC)
LOSS = LossReference(
    rows=100, loss=0.5, ceiling=3.0, logarithmic=True, level=-0.69, error=0.05, spread=0.05, freedom=4.0
)


def write(folder: Path, more: str = "") -> Project:
    text = '[project]\nname = "rides"\n[data]\npath = "rides.csv"\ntarget = "late"\n'
    (folder / "losswatch.toml").write_text(text + more, "utf-8")
    return open_project(folder)


def found(folder: Path) -> dict[str, Finding]:
    return {finding.part: finding for finding in doctor(folder).findings}


class Answering(BaseHTTPRequestHandler):
    """Answers by path; anything else is not there."""

    answers: Mapping[str, Any] = {}

    def do_GET(self) -> None:
        there = self.path in self.answers
        self.send_response(200 if there else 404)
        self.end_headers()
        self.wfile.write(json.dumps(self.answers.get(self.path)).encode())

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture
def serve() -> Iterator[Callable[[Mapping[str, Any]], int]]:
    """A server on a port of its own that answers these paths."""
    servers: list[HTTPServer] = []

    def begin(answers: Mapping[str, Any]) -> int:
        handler = type("Handler", (Answering,), {"answers": answers})
        servers.append(HTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return int(servers[-1].server_address[1])

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


# --- without a project ---


def test_a_folder_without_a_project_is_looked_at_as_far_as_it_goes(tmp_path: Path) -> None:
    result = doctor(tmp_path)
    assert not result.failed
    assert [finding.part for finding in result.findings] == [
        "python",
        "libraries",
        "sqlite",
        "disk",
        "project",
    ]
    assert "losswatch init" in result.findings[-1].text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_gets_no_traceback(tmp_path: Path) -> None:
    assert not doctor(tmp_path / "no" / "such").failed


def test_every_fault_of_the_project_file_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "losswatch.toml").write_text("[data]\ntaget = 1\n[serve]\nport = 0\n", "utf-8")
    result = doctor(tmp_path)
    assert result.failed
    assert sum(finding.part == "project" for finding in result.findings) == 4


def test_looking_loads_nothing_heavy(tmp_path: Path) -> None:
    write(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.doctor import doctor\n"
        f"doctor(Path({str(tmp_path)!r}))\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"keras", "tensorflow", "mlflow", "prefect", "pandas", "sklearn", "evidently", "onnxruntime"}
    assert heavy.isdisjoint(done.stdout.split())


# --- the installation ---


def test_a_library_of_another_version_is_a_fault_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.155.0" if name == "fastapi" else real(name)
    )
    finding = found(tmp_path)["fastapi"]
    assert finding.state == "fault"
    assert finding.text == "0.155.0, expected <0.151,>=0.150. pip install 'fastapi<0.151,>=0.150'"


def test_a_library_that_is_not_there_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda name: ["no-such-thing>=2; python_version > '3'"]
    )
    assert found(tmp_path)["no-such-thing"].text.startswith("not installed, expected >=2")


def test_what_belongs_to_an_extra_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["no-such-thing; extra == 'demo'"])
    assert found(tmp_path)["libraries"].state == "ok"


def test_an_installation_without_its_own_record_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    assert found(tmp_path)["libraries"].text.startswith("looking at it raised PackageNotFoundError")


def test_another_python_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.doctor.sys.version_info", (3, 14, 0))
    assert found(tmp_path)["python"].text.startswith("3.14.0, expected ")


@pytest.mark.parametrize(("version", "state"), [("3.40.1", "note"), ("3.51.3", "ok"), ("3.50.7", "ok")])
def test_an_old_sqlite_is_noted(
    version: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.doctor.sqlite3.sqlite_version", version)
    assert found(tmp_path)["sqlite"].state == state


@pytest.mark.parametrize(("free", "state"), [(5e9, "ok"), (1e9, "warning"), (1e8, "fault")])
def test_a_full_disk_is_told(
    free: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert found(tmp_path)["disk"].state == state


# --- stores ---


def test_a_new_project_is_well(tmp_path: Path) -> None:
    write(tmp_path)
    result = doctor(tmp_path)
    assert not result.failed
    assert result.lines()[-1] == "all is well"
    assert json.loads(to_json(result))["findings"][0]["part"] == "python"
    assert [path.name for path in tmp_path.iterdir()] == ["losswatch.toml"]


def test_stores_that_cannot_be_used_are_told_each(tmp_path: Path) -> None:
    write(tmp_path, '[store]\ntracking = "http://127.0.0.1:9"\nartifacts = "losswatch.toml/a"\nlog = "old"\n')
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "version").write_text("99")
    findings = found(tmp_path)
    assert "no MLflow server answers" in findings["store.tracking"].text
    assert "cannot be written" in findings["store.artifacts"].text
    assert "a log of version '99'" in findings["store.log"].text
    assert {findings[part].state for part in ("versions", "store.tracking", "monitor")} == {"fault"}


def test_a_secret_that_is_not_set_is_told_where_it_is_needed(tmp_path: Path) -> None:
    write(tmp_path, '[alerts]\nwebhook = "env:NO_SUCH_HOOK"\n')
    finding = found(tmp_path)["alerts to webhook"]
    assert (finding.state, finding.text) == (
        "fault",
        "alerts.webhook: the environment variable NO_SUCH_HOOK is not set",
    )


def test_without_a_receiver_alerts_are_in_the_log_alone(tmp_path: Path) -> None:
    write(tmp_path)
    assert found(tmp_path)["alerts"] == Finding(
        "note", "alerts", "only in the log: [alerts] names no receiver"
    )


def test_each_receiver_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receivers = 'team = "env:TEAM"\nbad = "env:BAD"\nmail = "env:MAIL"\n'
    project = write(tmp_path, f"[alerts.receivers]\n{receivers}")
    monkeypatch.setenv("TEAM", "https://hooks.example.org/s3cret")
    monkeypatch.setenv("BAD", "json://hooks.example.org/s3cret")
    monkeypatch.setenv("MAIL", "mailto://ann:s3cret@mail.example.org")
    about = {"alert": "3f2a9c01b2.1", "receiver": "team", "reason": "it answered 500"}
    Log(project.log_folder()).append_event("alert not sent", about, known_at=NOW, author="alerts")
    findings = found(tmp_path)
    states = {name: findings[f"alerts to {name}"].state for name in ("team", "bad", "mail")}
    assert states == {"team": "warning", "bad": "fault", "mail": "warning"}
    assert "it answered 500; 0 wait" in findings["alerts to team"].text
    assert "unencrypted" in findings["alerts to mail"].text
    assert "s3cret" not in str(findings)


@dataclass(frozen=True)
class Registry:
    """A registry with this many versions."""

    count: int
    champion: int | None
    broken: bool = False

    def versions(self) -> list[int]:
        return list(range(1, self.count + 1))

    def alias(self, name: str) -> Any:
        return SimpleNamespace(version=self.champion) if self.champion else None

    def bundle(self, version: int) -> Path:
        if self.broken:
            raise BrokenBundle(f"rides version {version}: the files were changed")
        return Path()


@pytest.mark.parametrize(
    ("registry", "part", "state", "said"),
    [
        (Registry(0, None), "versions", "note", "losswatch train"),
        (Registry(2, None), "versions", "warning", "2 versions, none serves: losswatch promote --first"),
        (Registry(3, 2), "champion", "ok", "version 2 of 3 serves"),
        (Registry(3, 2, broken=True), "champion", "fault", "let another serve: losswatch rollback"),
    ],
)
def test_the_champion_and_its_files_are_looked_at(
    registry: Registry, part: str, state: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write(tmp_path)
    project.state.mkdir()
    (project.state / "mlflow.db").touch()
    stores = SimpleNamespace(registry=registry, log=Log(project.log_folder()))
    monkeypatch.setattr(module, "_stores", lambda project: stores)
    finding = found(tmp_path)[part]
    assert finding.state == state
    assert said in finding.text


@pytest.mark.slow
def test_a_store_of_another_mlflow_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    made, project = write(tmp_path / "made"), write(tmp_path)
    module._stores(made).registry.versions()
    project.state.mkdir()  # another place, for MLflow looks at a store once in a process
    shutil.copy(made.state / "mlflow.db", project.state)
    with sqlite3.connect(project.state / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'of-the-future'")
    database.close()
    finding = found(tmp_path)["versions"]
    assert finding.state == "fault"
    assert "mlflow db upgrade" in finding.text


# --- servers ---


def test_a_port_of_somebody_else_is_a_fault(
    tmp_path: Path, serve: Callable[[Mapping[str, Any]], int]
) -> None:
    port = serve({})
    write(tmp_path, f"[serve]\nport = {port}\n")
    assert "somebody else listens" in found(tmp_path)["scoring server"].text


def test_a_scoring_server_without_a_version_is_told(
    tmp_path: Path, serve: Callable[[Mapping[str, Any]], int]
) -> None:
    write(tmp_path, f"[serve]\nport = {serve({'/livez': 1})}\n")
    assert found(tmp_path)["scoring server"].state == "warning"


DEPLOYED = {"paused": False, "status": "READY", "schedules": [{"active": True}], "id": "17"}
STEPS = ("prepare", "train", "monitor", "retrain")


def prefect(**changed: Any) -> dict[str, Any]:
    """What a Prefect server answers where all is well, but for these steps."""
    answers: dict[str, Any] = {"/api/health": True}
    for step in STEPS:
        if (state := {**DEPLOYED, **changed.get(step, {})}) != {**DEPLOYED, "id": None}:
            answers[f"/api/deployments/name/losswatch-{step}/rides"] = state
    automations = changed.get("automations", [{"name": "harm", "enabled": True}])
    return {**answers, "/api/automations/related-to/prefect.deployment.17": automations}


@pytest.fixture
def up(tmp_path: Path, serve: Callable[[Mapping[str, Any]], int]) -> Callable[..., None]:
    """A project whose `losswatch up` runs, with one server in the place of all three."""

    def begin(answers: Mapping[str, Any], *, pid: int = os.getpid()) -> None:
        port = serve({"/health": "OK", "/readyz": 1, "/livez": 1, **answers})
        project = write(tmp_path, f"[serve]\nport = {port}\n")
        address = f"http://127.0.0.1:{port}"
        project.state.mkdir()
        started = {"mlflow": address, "prefect": address, "scoring": address, "pid": pid, "processes": {}}
        (project.state / "up.json").write_text(json.dumps(started))

    return begin


def test_all_that_is_up_is_told(up: Callable[..., None], tmp_path: Path) -> None:
    up(prefect())
    findings = found(tmp_path)
    parts = ("mlflow server", "prefect server", "scoring server", "flows", "automation")
    assert {part: findings[part].state for part in parts} == dict.fromkeys(parts, "ok")


def test_servers_that_do_not_answer_are_faults(up: Callable[..., None], tmp_path: Path) -> None:
    up({})
    findings = found(tmp_path)
    assert (findings["mlflow server"].state, findings["prefect server"].state) == ("ok", "fault")
    assert "losswatch up starts one" in findings["flows"].text


def test_what_a_killed_up_left_is_a_fault(up: Callable[..., None], tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    up(prefect(), pid=ended.pid)
    assert "ended without stopping" in found(tmp_path)["servers"].text


@pytest.mark.parametrize(
    ("changed", "part", "said"),
    [
        ({"train": {"id": None}}, "flow train", "is not deployed"),
        ({"monitor": {"schedules": [{"active": False}]}}, "flow monitor", "is paused"),
        ({"retrain": {"paused": True}}, "flow retrain", "is paused"),
        ({"retrain": {"status": "NOT_READY"}}, "flow retrain", "nothing runs it"),
        ({"automations": []}, "automation", "no harmful window starts a retraining"),
        ({"automations": [{"name": "harm", "enabled": False}]}, "automation", "'harm' is switched off"),
    ],
)
def test_flows_that_would_not_run_are_faults(
    changed: dict[str, Any], part: str, said: str, up: Callable[..., None], tmp_path: Path
) -> None:
    up(prefect(**changed))
    finding = found(tmp_path)[part]
    assert finding.state == "fault"
    assert said in finding.text


def test_a_prefect_server_of_the_environment_is_asked(
    tmp_path: Path, serve: Callable[[Mapping[str, Any]], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{serve(prefect())}/api")
    assert found(tmp_path)["flows"].state == "ok"
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert found(tmp_path)["flows"].state == "fault"


# --- silence ---


def judged(project: Project, days: int) -> None:
    """A service of daily windows that began ten days ago, of which the first were judged."""
    stores = SimpleNamespace(log=Log(project.log_folder()), project=project, registry=None)
    began = NOW - timedelta(days=10)
    window = WindowLength(1, "day")
    begin_service(
        stores,  # type: ignore[arg-type]
        1,
        now=began,
        anchor=began,
        window=window,
        reference=LOSS,
        author="ann",
        reason="the first version",
    )
    for number in range(days):
        known = began + timedelta(days=number + 1)
        stores.log.append_event(VERDICT, {"number": number}, known_at=known, author="losswatch")


@pytest.mark.parametrize(("days", "state"), [(10, "ok"), (9, "ok"), (8, "fault"), (0, "fault")])
def test_a_monitor_that_was_silent_for_two_windows_is_a_fault(
    days: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write(tmp_path)
    judged(project, days)
    monkeypatch.setattr(Project, "now", lambda self: NOW)
    finding = found(tmp_path)["monitor"]
    assert finding.state == state
    assert ("losswatch monitor judges them now" in finding.text) == (state == "fault")


@pytest.mark.parametrize(
    ("hours", "failed", "state", "words"),
    [
        (1, None, "ok", "it last ran at"),
        (5, None, "warning", "the monitor does not run"),
        (1, "OSError", "fault", "it ended with OSError"),
    ],
)
def test_when_the_monitor_ran_is_known_before_windows_are_missed(
    hours: int,
    failed: str | None,
    state: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = write(tmp_path)
    judged(project, 10)
    heartbeat.ran(project.log_folder(), NOW - timedelta(hours=hours), failed=failed)
    monkeypatch.setattr(Project, "now", lambda self: NOW)
    finding = found(tmp_path)["monitor"]
    assert finding.state == state
    assert words in finding.text


def test_before_a_version_serves_silence_is_right(tmp_path: Path) -> None:
    write(tmp_path)
    assert found(tmp_path)["monitor"].state == "note"


def test_findings_are_plain_data() -> None:
    assert asdict(Finding("ok", "disk", "much")) == {"state": "ok", "part": "disk", "text": "much"}
