"""The doctor: is everything there that a project needs to run, and how to mend what is not.

It changes nothing, and whatever goes wrong while it looks is a finding like any other.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from pipelines.addresses import absolute_uri, sqlite_file, without_password
from pipelines.child import answers
from pipelines.errors import Failed, UserError
from pipelines.project import Project, open_project
from pipelines.reachable import existing, unreachable, unusable_place, unwritable

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.outbox import ReceiverState
    from pipelines.receivers import Receiver
    from pipelines.service import Service
    from pipelines.stores import Stores

State = Literal["ok", "note", "warning", "fault"]

_GB = 1e9
_LITTLE, _TOO_LITTLE = 2 * _GB, 0.2 * _GB  # a year of flights replayed leaves 0.3 GB; a version is about 1 MB
_SILENT = 2  # windows that may be due and not yet judged while the monitor only waits for its next turn
# SQLite 3.7.0 to 3.51.2 may damage a file that two processes write at the same instant; repaired in these
_REPAIRED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
_STEPS = ("prepare", "train", "monitor", "retrain")  # those that `losswatch up` keeps as deployments


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. text: what was found and, where it is not as it should be, how to mend it."""

    state: State
    part: str
    text: str

    def line(self) -> str:
        return f"{self.state:<8}{self.part}: {self.text}"


@dataclass(frozen=True)
class DoctorResult:
    """Everything that was looked at, in the order in which things depend on each other."""

    folder: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(finding.state == "fault" for finding in self.findings)

    def lines(self) -> list[str]:
        counts = [sum(finding.state == state for finding in self.findings) for state in ("fault", "warning")]
        words = [
            _counted(number, word)
            for number, word in zip(counts, ("fault", "warning"), strict=True)
            if number
        ]
        return [*(finding.line() for finding in self.findings), ", ".join(words) or "all is well"]


def doctor(folder: Path) -> DoctorResult:
    """Looks at the installation, and at the project in a folder if there is one."""
    folder = folder.absolute()
    findings = [*_look("python", _python), *_look("libraries", _libraries), *_look("sqlite", _sqlite)]
    findings += _look("disk", lambda: _disk(folder))
    project, found = _project(folder)
    findings += found
    if project is not None:
        findings += _of_project(project)
    return DoctorResult(str(folder), tuple(findings))


def _of_project(project: Project) -> list[Finding]:
    findings = _look("store.tracking", lambda: _place("store.tracking", unreachable(project.tracking())))
    findings += _look(
        "store.artifacts", lambda: _place("store.artifacts", unusable_place(project.artifacts()))
    )
    findings += _look("store.log", lambda: _log(project))
    findings += _look("versions", lambda: _versions(project))
    findings += _look("alerts", lambda: _alerts(project))
    findings += _look("servers", lambda: _servers(project))
    findings += _look("flows", lambda: _flows(project))
    return findings + _look("monitor", lambda: _monitor(project))


def _look(part: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What was found, also where looking itself failed."""
    try:
        return look()
    except (UserError, Failed) as error:
        return [Finding("fault", part, line.strip()) for line in str(error).splitlines()]
    except Exception as error:  # nothing that is wrong may hide what else is wrong
        lines = str(error).splitlines() or [""]
        return [Finding("fault", part, f"looking at it raised {type(error).__name__}: {lines[0]}")]


# --- the installation ---


def _python() -> list[Finding]:
    from importlib.metadata import metadata

    from packaging.specifiers import SpecifierSet

    found, wanted = ".".join(map(str, sys.version_info[:3])), metadata("losswatch")["Requires-Python"]
    if found in SpecifierSet(wanted):
        return [Finding("ok", "python", found)]
    return [
        Finding("fault", "python", f"{found}, expected {wanted}. Make the environment with such a Python")
    ]


def _libraries() -> list[Finding]:
    """Everything that losswatch asks for, in the versions that it asks for."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in requires("losswatch") or ()]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [finding for one in needed if (finding := _library(one.name, one.specifier)) is not None]
    return wrong or [Finding("ok", "libraries", f"all {len(needed)} in the versions that losswatch needs")]


def _library(name: str, wanted: Any) -> Finding | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding("fault", name, f"not installed, expected {wanted}. pip install '{name}{wanted}'")
    if wanted.contains(found, prereleases=True):
        return None
    return Finding("fault", name, f"{found}, expected {wanted}. pip install '{name}{wanted}'")


def _sqlite() -> list[Finding]:
    found = sqlite3.sqlite_version
    if _is_repaired(tuple(map(int, found.split(".")))):
        return [Finding("ok", "sqlite", found)]
    text = (
        f"{found}. Before 3.51.3 it may, very rarely, damage a file that two processes write at the same "
        "instant: keep backups, or put MLflow and Prefect on PostgreSQL"
    )
    return [Finding("note", "sqlite", text)]


def _is_repaired(found: tuple[int, ...]) -> bool:
    """Whether a release of SQLite, or the branch that it is of, has the repair.

    >>> _is_repaired((3, 40, 1)), _is_repaired((3, 50, 7)), _is_repaired((3, 51, 2)), _is_repaired((3, 53, 0))
    (False, True, False, True)
    """
    return found >= max(_REPAIRED) or any(found[:2] == fixed[:2] and found >= fixed for fixed in _REPAIRED)


def _disk(folder: Path) -> list[Finding]:
    free = shutil.disk_usage(existing(folder)).free
    text = f"{free / _GB:.1f} GB free"
    if free >= _LITTLE:
        return [Finding("ok", "disk", text)]
    state: State = "warning" if free >= _TOO_LITTLE else "fault"
    return [Finding(state, "disk", f"{text} in {existing(folder)}. Make room: stores only ever grow")]


# --- the project ---


def _project(folder: Path) -> tuple[Project | None, list[Finding]]:
    if not (folder / "losswatch.toml").is_file():
        text = f"none in {folder}. Name its folder with --project, or begin one with losswatch init"
        return None, [Finding("note", "project", text)]
    try:
        project = open_project(folder)
    except UserError as error:
        head, *faults = str(error).splitlines()
        return None, [Finding("fault", "project", fault.strip()) for fault in faults or [head]]
    return project, [Finding("ok", "project", f"{project.name} in {folder}")]


def _place(part: str, why: str | None) -> list[Finding]:
    return [Finding("fault", part, why)] if why else [Finding("ok", part, "can be used")]


def _log(project: Project) -> list[Finding]:
    from pipelines.log import Log
    from pipelines.log_folder import STORE_VERSION, check_place
    from pipelines.log_tables import log_table

    folder = project.log_folder()
    Log(folder)  # of another version of losswatch: it says so
    if why := unwritable(folder):
        return [Finding("fault", "store.log", why)]
    if address := project.log_address():
        check_place(folder, address)
        log_table(folder, "predictions", address=address).landed("")  # `Failed` says why it cannot be reached
        return [Finding("ok", "store.log", f"{address} answers; what arrives is kept in {folder} first")]
    state = f"of version {STORE_VERSION}" if folder.exists() else "can be used; nothing was logged yet"
    return [Finding("ok", "store.log", state)]


def _stores(project: Project) -> Stores:
    from pipelines.stores import open_stores

    return open_stores(project)


def _versions(project: Project) -> list[Finding]:
    """The registry's schema, the champion's alias, and whether its files are those that were registered."""
    database = sqlite_file(absolute_uri(project.tracking(), project.folder))
    if database is not None and not database.is_file():
        return [Finding("note", "versions", "none trained yet: losswatch train")]
    from pipelines.bundle import BrokenBundle

    registry = _stores(project).registry
    versions, champion = registry.versions(), registry.alias("champion")
    if not versions:
        return [Finding("note", "versions", "none trained yet: losswatch train")]
    if champion is None:
        text = f"{_counted(len(versions), 'version')}, none serves: losswatch promote --first"
        return [Finding("warning", "versions", text)]
    try:
        registry.bundle(champion.version)
    except BrokenBundle as error:
        text = f"{error}. Restore them from a backup, or let another serve: losswatch rollback"
        return [Finding("fault", "champion", text)]
    text = f"version {champion.version} of {len(versions)} serves; its files are those that were registered"
    return [Finding("ok", "champion", text)]


def _alerts(project: Project) -> list[Finding]:
    from pipelines.alerts import KINDS
    from pipelines.outbox import receiver_states

    receivers = project.config.alerts.known()
    if not receivers:
        return [Finding("note", "alerts", "only in the log: [alerts] names no receiver")]
    there = project.log_folder().exists()
    events = _stores(project).log.events(kind=KINDS) if there else []
    states = receiver_states(events, receivers, project.now())
    return [_receiver(project, *one) for one in zip(receivers, states, strict=True)]


def _receiver(project: Project, receiver: Receiver, state: ReceiverState) -> Finding:
    from pipelines.receivers import check_address, goes_open

    part = f"alerts to {receiver.name}"
    try:
        address = receiver.address(project.folder)
        check_address(address, key=receiver.key)
    except UserError as error:
        return Finding("fault", part, str(error))
    if state.failures and state.since is not None:
        text = (
            f"takes nothing since {state.since:%Y-%m-%d %H:%M}: {state.reason}; {state.waiting} wait. "
            "losswatch alerts test tries it"
        )
        return Finding("warning", part, text)
    if goes_open(address):
        return Finding("warning", part, "goes to the mail server unencrypted: write mailtos:// where it can")
    if state.waiting:
        return Finding(
            "warning", part, f"{_counted(state.waiting, 'message')} wait: losswatch alerts deliver"
        )
    return Finding("ok", part, "nothing waits")


# --- servers ---


def _servers(project: Project) -> list[Finding]:
    """What `losswatch up` has started, or else who answers at the configured port."""
    started = _started(project)
    if started is None:
        return [_scoring(project)]
    if not _alive(started["pid"]):
        text = f"losswatch up (process {started['pid']}) ended without stopping what it had started. Start it again"
        return [Finding("fault", "servers", text), _scoring(project)]
    paths = {"mlflow": "/health", "prefect": "/api/health", "scoring": "/livez"}
    return [
        _server(f"{name} server", started[name], path) if name != "scoring" else _scoring(project)
        for name, path in paths.items()
    ]


def _started(project: Project) -> Mapping[str, Any] | None:
    """The addresses that `losswatch up` wrote down; None where it does not run."""
    from pipelines.up import STARTED

    try:
        found = json.loads((project.state / STARTED).read_text("utf-8"))
        return found if {"pid", "mlflow", "prefect", "scoring"} <= set(found) else None
    except (OSError, ValueError, TypeError):
        return None


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # somebody else's, but there
    except OSError:
        return False
    return True


def _server(part: str, address: str, path: str) -> Finding:
    shown = without_password(address)
    if not address.startswith("http") or answers(f"{address.rstrip('/')}{path}"):
        return Finding("ok", part, shown)
    return Finding("fault", part, f"{shown} does not answer. Look into its log, or start losswatch up again")


def _scoring(project: Project) -> Finding:
    host, port = project.config.serve.host, project.config.serve.port
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    if answers(f"{address}/readyz"):
        return Finding("ok", "scoring server", f"{address} answers")
    if answers(f"{address}/livez"):
        text = f"{address} runs and has no version to answer with: losswatch promote --first"
        return Finding("warning", "scoring server", text)
    if _taken(host, port):
        text = f"somebody else listens at {address}. Set another port in [serve], or end that process"
        return Finding("fault", "scoring server", text)
    return Finding(
        "note", "scoring server", f"none at {address}: losswatch serve, or losswatch up for everything"
    )


def _taken(host: str, port: int) -> bool:
    try:
        socket.create_connection((host.strip("[]"), port), timeout=2).close()
    except OSError:
        return False
    return True


# --- flows ---


def _flows(project: Project) -> list[Finding]:
    """The deployments and the automation, where a Prefect server answers."""
    started = _started(project)
    address = f"{started['prefect']}/api" if started else os.environ.get("PREFECT_API_URL", "")
    if not address:
        return [Finding("note", "flows", "no Prefect server runs here: losswatch up starts one")]
    if not answers(f"{address}/health"):
        text = f"no Prefect server answers at {without_password(address)}: losswatch up starts one"
        return [Finding("fault", "flows", text)]
    findings = [_deployment(address, step, project.name) for step in _STEPS]
    wrong = [finding for finding in findings if finding.state != "ok"]
    return [
        *(wrong or [Finding("ok", "flows", f"{', '.join(_STEPS)} are ready")]),
        *_automation(address, project),
    ]


def _deployment(address: str, step: str, project: str) -> Finding:
    found = _asked(f"{address}/deployments/name/losswatch-{step}/{quote(project)}")
    part = f"flow {step}"
    if found is None:
        return Finding("fault", part, "is not deployed. Start losswatch up again, which deploys it")
    if found.get("paused") or (step == "monitor" and not any(one["active"] for one in found["schedules"])):
        text = (
            f"is paused. Resume it: prefect deployment schedule resume, or on {address.removesuffix('/api')}"
        )
        return Finding("fault", part, text)
    if found.get("status") != "READY":
        return Finding("fault", part, "is deployed and nothing runs it. Start losswatch up again")
    return Finding("ok", part, "is ready")


def _automation(address: str, project: Project) -> list[Finding]:
    """Whether a harmful window starts a retraining."""
    retrain = _asked(f"{address}/deployments/name/losswatch-retrain/{quote(project.name)}")
    if retrain is None:
        return []
    related = _asked(f"{address}/automations/related-to/prefect.deployment.{retrain['id']}") or []
    if not related:
        text = "no harmful window starts a retraining. Start losswatch up again, which makes it"
        return [Finding("fault", "automation", text)]
    if not any(one["enabled"] for one in related):
        text = f"{related[0]['name']!r} is switched off. Switch it on at {address.removesuffix('/api')}/automations"
        return [Finding("fault", "automation", text)]
    return [Finding("ok", "automation", str(related[0]["name"]))]


def _asked(address: str) -> Any:
    """The JSON that an address answers with, no proxy asked; None where it says that there is no such thing."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return None
            raise UserError(f"{without_password(address)} answered {error.code}") from None


# --- the monitor ---


def _monitor(project: Project) -> list[Finding]:
    """Silence is a finding: a monitor that does not run sees no harm."""
    from pipelines import heartbeat
    from pipelines.service import VERDICT, current_service

    stores, now = _stores(project), project.now()
    # where there is no log yet, reading it would load Arrow and pandas for nothing
    service = current_service(stores, now) if project.log_folder().exists() else None
    if service is None:
        return [Finding("note", "monitor", "no version serves, so there is nothing to judge")]
    verdicts = stores.log.events(kind=VERDICT)
    judged = max((event.payload["number"] for event in verdicts), default=-1)
    waiting = _unjudged(service, judged, now, project)
    last = (
        f"the last verdict is of {verdicts[-1].known_at:%Y-%m-%d %H:%M}"
        if verdicts
        else "there is no verdict yet"
    )
    seen = heartbeat.read(project.log_folder())
    ran = f"it last ran at {seen.last:%Y-%m-%d %H:%M}; {last}" if seen.last else last
    if seen.failed is not None:
        text = f"it ended with {seen.failed} at {seen.last:%Y-%m-%d %H:%M}. losswatch monitor --debug shows where"
        return [Finding("fault", "monitor", text)]
    # one that has left no trace yet is judged by the windows alone
    since = service.since if seen.last else None
    late = heartbeat.late(seen, project.config.schedule.monitor, now, serving_since=since)
    if waiting < _SILENT and late is None:
        return [Finding("ok", "monitor", ran)]
    if waiting < _SILENT:
        text = (
            f"{late}. losswatch up runs it by the clock; one of your own: set schedule.monitor to its times"
        )
        return [Finding("warning", "monitor", text)]
    text = (
        f"{waiting} windows are due and were not judged; {last}. losswatch monitor judges them now, "
        "losswatch up by the clock"
    )
    return [Finding("fault", "monitor", text)]


def _unjudged(service: Service, judged: int, now: datetime, project: Project) -> int:
    due = service.windows_until(now, project.config.data.label_delay)
    return sum(number > judged for number, _ in due)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
