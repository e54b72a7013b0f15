"""`losswatch up`: tracking, orchestration and scoring of a project on this machine, until stopped."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

from pipelines.addresses import sqlite_file, without_password
from pipelines.child import Child, Server, answers
from pipelines.environment import plan_devices, quiet_environment
from pipelines.errors import UserError
from pipelines.file_lock import Locked, file_lock
from pipelines.left_over import end_left_over, forget, note
from pipelines.project import Project

logger = logging.getLogger(__name__)

STARTED = "up.json"  # in the project's state while it runs: addresses and process ids
_LOOPBACK = "127.0.0.1"
_MLFLOW_PORT, _PREFECT_PORT = 5000, 4200  # their own defaults; another free one where somebody has them
_START_SECONDS = 240.0  # a Prefect server needed 91 s for its first start on a busy machine
_END_SECONDS = 15.0  # the scoring server gives requests under way 10
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """Where everything will listen. mlflow: None where the project's tracking server runs elsewhere."""

    tracking: str
    mlflow: int | None
    prefect: int
    scoring: str

    @property
    def prefect_api(self) -> str:
        return f"http://{_LOOPBACK}:{self.prefect}/api"

    @property
    def addresses(self) -> dict[str, str]:
        """What a person opens, by what is found there."""
        mlflow = f"http://{_LOOPBACK}:{self.mlflow}" if self.mlflow else without_password(self.tracking)
        return {"mlflow": mlflow, "prefect": f"http://{_LOOPBACK}:{self.prefect}", "scoring": self.scoring}


def up(project: Project) -> None:
    """Starts everything, says where it is, and stays until Ctrl-C or SIGTERM, which end all of it.

    A port in use, or a second `losswatch up` of the project, is told before anything starts. What an earlier one
    left behind, which was killed, is ended first. Nothing is started again by itself: when one part ends, all end,
    with the last lines of its log.
    """
    with _only_one(project):
        _end_left_over(project)
        plan = make_plan(project)
        _make_store(project)
        with _stop_signals() as stopped, _children(project) as children:
            _start(_stores_and_flows(project, plan), project, plan, children, stopped)
            _start(_workers(project, plan), project, plan, children, stopped)
            if not stopped.is_set():
                _announce(project, plan)
            with _started_file(project, plan, children):
                while not stopped.wait(_LOOK_SECONDS):
                    for child in children:
                        child.check()
            logger.info("stopping")


def make_plan(project: Project) -> Plan:
    """Ports for everything; `UserError` where the configured one is in use or a server does not answer."""
    host, port, tracking = project.config.serve.host, project.config.serve.port, project.tracking()
    _check_free(host, port)
    mlflow = None
    if not tracking.startswith("http"):
        mlflow = _free_port(_MLFLOW_PORT, {port})
    elif not answers(f"{tracking.rstrip('/')}/health"):
        raise UserError(
            f"[store] tracking: no MLflow server answers at {without_password(tracking)}: start it"
        )
    prefect = _free_port(_PREFECT_PORT, {port, mlflow})
    shown = f"[{host}]" if ":" in host else host
    return Plan(tracking, mlflow, prefect, f"http://{shown}:{port}")


def _stores_and_flows(project: Project, plan: Plan) -> list[Server]:
    """What the others need."""
    python = [sys.executable, "-m"]
    at = ["--host", _LOOPBACK, "--port"]
    orchestration = Server(
        "Prefect server",
        [*python, "prefect", "server", "start", *at, str(plan.prefect)],
        lambda: answers(f"{plan.prefect_api}/health"),
    )
    if plan.mlflow is None:
        return [orchestration]
    tracking = Server(
        "MLflow server",
        [*python, "mlflow", "server", *at, str(plan.mlflow), "--workers", "1"],
        lambda: answers(f"http://{_LOOPBACK}:{plan.mlflow}/health"),
    )
    return [tracking, orchestration]


def _workers(project: Project, plan: Plan) -> list[Server]:
    """What does the project's work."""
    begin = datetime.now(UTC)
    run = "import sys; from pipelines.flows import serve_deployments; serve_deployments(sys.argv[1])"
    return [
        Server(
            "scoring server",
            [sys.executable, "-m", "pipelines.cli", "serve", "--project", str(project.folder)],
            lambda: answers(f"{plan.scoring}/livez"),
        ),
        Server(
            "scheduled flows",
            [sys.executable, "-c", run, str(project.folder)],
            lambda: _polled(plan, "losswatch-retrain", project.name, since=begin),
        ),
    ]


def _polled(plan: Plan, flow: str, deployment: str, *, since: datetime) -> bool:
    """Whether somebody has asked Prefect for runs of a deployment since a moment: then its worker is ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    address = f"{plan.prefect_api}/deployments/name/{quote(flow)}/{quote(deployment)}"
    try:
        with opener.open(address, timeout=5) as answer:
            polled = json.load(answer)["last_polled"]
    except (OSError, ValueError):
        return False
    return polled is not None and datetime.fromisoformat(polled) >= since


def child_environment(project: Project, plan: Plan) -> dict[str, str]:
    """What the children see: quiet libraries, our Prefect server, and no proxy in between."""
    environment = dict(os.environ)
    quiet_environment(environment, project.state)
    plan_devices(environment, project.config)
    environment["PYTHONSAFEPATH"] = (
        "1"  # as `environment.PYTHON`, for what Prefect starts in its turn as well
    )
    environment["PREFECT_API_URL"] = plan.prefect_api
    environment["MLFLOW_BACKEND_STORE_URI"] = plan.tracking  # here, for it may hold a password
    environment["MLFLOW_ARTIFACTS_DESTINATION"] = project.artifacts()
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # eight idle processes otherwise
    environment.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "models,monitoring,pipelines")
    environment.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    # In memory, their default, the places of runs that were cut off stay taken after a restart, for ever.
    leases = "prefect.server.concurrency.lease_storage.filesystem"
    environment.setdefault("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", leases)
    environment.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", "3")  # seconds; the server is next door
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environment.get(name), _LOOPBACK, "localhost"]))
    return environment


def _end_left_over(project: Project) -> None:
    """Only under the lock: then whoever wrote these files is gone."""
    end_left_over(_folder(project), seconds=_END_SECONDS)
    (project.state / STARTED).unlink(missing_ok=True)


def _folder(project: Project) -> Path:
    """Where the children run and write their logs."""
    return project.state / "up"


def _make_store(project: Project) -> None:
    """The MLflow store, before several processes find none and each begin to make it."""
    database = sqlite_file(project.tracking())
    if database is not None and not database.exists():
        from pipelines.stores import open_stores

        logger.info("making the store of runs and versions")
        open_stores(project).registry.versions()


def _start(
    servers: Sequence[Server], project: Project, plan: Plan, children: list[Child], stopped: Event
) -> None:
    """Starts some together and waits for all of them."""
    environment = child_environment(project, plan)
    new = []
    for server in servers:
        if stopped.is_set():
            return
        logger.info("starting the %s", server.name)
        log = _folder(project) / f"{server.name.replace(' ', '-').lower()}.log"
        new.append(Child(server, log=log, environment=environment))
        children.append(new[-1])
        note(_folder(project), children)
    for child in new:
        child.wait_until_healthy(_START_SECONDS, stopped)


def _announce(project: Project, plan: Plan) -> None:
    found = plan.addresses
    logger.info("%s is up; Ctrl-C stops all of it", project.name)
    logger.info("  runs, curves, versions  %s", found["mlflow"])
    logger.info("  flows and schedules     %s", found["prefect"])
    logger.info("  predictions             %s/invocations", found["scoring"])
    logger.info("  logs                    %s", _folder(project))


@contextmanager
def _children(project: Project) -> Iterator[list[Child]]:
    """Children that are all ended when the block is left, the youngest first, each by its own process group."""
    children: list[Child] = []
    try:
        yield children
    finally:
        for child in reversed(children):
            child.ask_to_end()
        deadline = time.monotonic() + _END_SECONDS
        for child in reversed(children):
            child.end(deadline - time.monotonic())
        forget(_folder(project))


@contextmanager
def _stop_signals() -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set; further ones change nothing, for the end is under way."""
    stopped = Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _only_one(project: Project) -> Iterator[None]:
    try:
        with file_lock(project.state / "locks" / "up.lock", wait=0):
            yield
    except Locked:
        known = _read(project.state / STARTED)
        where = f": {known['prefect']}, process {known['pid']}" if known else ""
        raise UserError(f"{project.name} is up already{where}") from None


@contextmanager
def _started_file(project: Project, plan: Plan, children: Sequence[Child]) -> Iterator[None]:
    """What is up and where, for the other commands; it is there only as long as that is true."""
    path = project.state / STARTED
    processes = {child.server.name: child.pid for child in children}
    path.write_text(json.dumps({**plan.addresses, "pid": os.getpid(), "processes": processes}), "utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _check_free(host: str, port: int) -> None:
    try:
        _listen(host, port).close()
    except OSError as error:
        raise UserError(
            f"[serve] host = {host!r}, port = {port}: {error.strerror or error}. Set another port, or end the "
            "process that listens there"
        ) from None


def _free_port(preferred: int, taken: set[int | None]) -> int:
    """The preferred port of loopback, or one that the system gives."""
    if preferred not in taken:
        try:
            with _listen(_LOOPBACK, preferred):
                return preferred
        except OSError:
            pass
    with _listen(_LOOPBACK, 0) as probe:
        return int(probe.getsockname()[1])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family)
