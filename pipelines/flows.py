"""The steps as Prefect flows: what runs when, what starts what, one retraining at a time; no work of their own.

A flow takes the project's folder and small values, never caches, and leaves what it found in the project's own
stores; Prefect knows only that it ran.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import NAMESPACE_URL, uuid5

from prefect import Flow, Task, flow, serve
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    State,
    StateType,
)
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events import DeploymentEventTrigger, emit_event
from prefect.states import Completed
from prefect.types.entrypoint import EntrypointType

from pipelines.errors import Failed, UserError
from pipelines.project import Project, open_project
from pipelines.standing import markdown

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

    from pipelines.receivers import Message
    from pipelines.replay_result import ReplayResult
    from pipelines.steps import MonitorResult, PrepareResult, RetrainResult, TrainResult

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

HARMFUL = "losswatch.harmful"  # the event by which the monitor asks for a retraining
ALERT = "losswatch.alert"  # of every message that goes to people

PREPARE, TRAIN, MONITOR, RETRAIN, REPLAY = (
    f"losswatch-{step}" for step in ("prepare", "train", "monitor", "retrain", "replay")
)


_UNDER_WAY = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def resource(project: Project) -> str:
    """The name under which Prefect's events speak of a project."""
    return f"losswatch.project.{project.name}"


@flow(name=PREPARE, persist_result=False)
def prepare(project: str) -> PrepareResult:
    """Checks the data, learns the schema and keeps prepared rows."""
    from pipelines import steps

    return _run("prepare", lambda: steps.prepare(open_project(Path(project))))


@flow(name=TRAIN, persist_result=False)
def train(project: str) -> TrainResult:
    """Trains a network and stores it as a version."""
    from pipelines import steps

    return _run("train", lambda: steps.train(open_project(Path(project))))


@flow(name=MONITOR, persist_result=False)
def monitor(project: str, now: str = "") -> MonitorResult | State[None]:
    """Judges every window that is due, and asks for a retraining where the newest one calls for it.

    now: as if it were this time, in ISO 8601; the clock where it is empty.
    """
    opened = open_project(Path(project))
    result = _run("monitor", lambda: _judge(opened, _moment(opened, now)))
    if isinstance(result, str):
        return Completed(message=result)
    _emit_alerts(opened)
    if result.harmful:
        emit_event(
            HARMFUL,
            resource={"prefect.resource.id": resource(opened), "prefect.resource.name": opened.name},
            payload={"action": result.action, "reason": "; ".join(result.reasons), "now": now},
        )
    if result.windows:
        _run("report", lambda: _report(opened, result))
    return result


def _report(project: Project, found: MonitorResult) -> str | None:
    """Writes the report anew, and a short form of it as an artifact; the monitor has done its work without either."""
    from pipelines import live_report

    try:
        written = live_report.after_monitor(project, [window.number for window in found.windows])
        create_markdown_artifact(
            markdown(written.name, written.standing, written.windows, written.page),
            key=f"losswatch-{re.sub('[^a-z0-9]+', '-', project.name.lower()).strip('-')}",
            description="Where the project stands, after its newest window",
        )
    except Exception:
        logger.warning("the report was not written", exc_info=True)
        return None
    return written.page


def _emit_alerts(project: Project) -> None:
    """Every message of the last days that Prefect does not know, as an event of its own; the same one has one id."""
    from pipelines.outbox import Channel
    from pipelines.stores import open_stores
    from pipelines.telling import tell_prefect

    channel = Channel("prefect", lambda message: _emit(project, message), everything=True)
    try:
        tell_prefect(open_stores(project), channel, project.now())
    except Exception as error:  # the monitor has done its work; the next one gives them to Prefect
        logger.warning("Prefect was not told of alerts: %s", type(error).__name__)


def _emit(project: Project, message: Message) -> None:
    emit_event(
        ALERT,
        resource={
            "prefect.resource.id": resource(project),
            "prefect.resource.name": project.name,
            "losswatch.severity": message.severity,
            "losswatch.kind": message.kind,
            "losswatch.status": message.status,
        },
        payload=asdict(message),
        id=uuid5(NAMESPACE_URL, f"{resource(project)}/{message.id}"),
    )


def _judge(project: Project, now: datetime) -> MonitorResult | str:
    """What the monitor found; or a line that says why there is nothing to judge before the first promotion.

    `losswatch up` may run before, and its hourly monitor is no failure then.
    """
    from pipelines import steps

    try:
        return steps.monitor(project, now)
    except UserError as problem:
        if steps.serves(project, now):
            raise
        logger.info("%s", problem)
        return str(problem)


@flow(name=RETRAIN, persist_result=False)
def retrain(project: str, now: str = "", reason: str = "") -> RetrainResult:
    """Trains a challenger where the newest verdict asks for it, and lets the gate judge it.

    now: as for `monitor`; reason: what the event said, for those who look at the run.
    """
    from pipelines import steps

    opened = open_project(Path(project))
    return _run("retrain", lambda: steps.retrain(opened, _moment(opened, now)), retries=2)


def replay(
    project: Project, *, json_path: Path | None = None, progress: Callable[[str], None] | None = None
) -> ReplayResult:
    """Replays a project as one flow with a task for each step, so that Prefect shows how it went."""
    from pipelines import replay as replaying

    @flow(name=REPLAY, persist_result=False)
    def whole(project: str, result: str | None = None) -> ReplayResult:
        opened = open_project(Path(project))
        target = Path(result) if result else None
        return replaying.replay(opened, json_path=target, progress=progress, run=_run)

    return whole(str(project.folder), str(json_path) if json_path else None)


def deployments(project: Project) -> list[RunnerDeployment]:
    """What `losswatch up` keeps ready: the monitor by the clock, retraining by the monitor, the rest by hand."""
    trigger = DeploymentEventTrigger(
        name=f"{project.name}: a harmful window starts a retraining",
        expect={HARMFUL},
        match={"prefect.resource.id": resource(project)},
        parameters={
            "project": str(project.folder),
            "now": "{{ event.payload.now }}",
            "reason": "{{ event.payload.reason }}",
        },
    )
    return [
        _deployment(prepare, project),
        _deployment(train, project),
        # A monitor judges all that is due, so one that is late has nothing to add to one that runs.
        _deployment(monitor, project, skip=True, cron=project.config.schedule.monitor),
        _deployment(retrain, project, triggers=[trigger]),
    ]


def serve_deployments(folder: str) -> None:
    """Runs the deployments of a project when they are due, until the process is ended."""
    project = open_project(Path(folder))
    for run in close_abandoned(project):
        logger.warning("flow run %s was cut off when its worker ended", run.name)
    serve(*deployments(project), pause_on_shutdown=False, print_starting_message=False)


def close_abandoned(project: Project) -> list[FlowRun]:
    """Marks runs as crashed that a worker left when it was ended, and starts a retraining among them again.

    Nobody else would: they would keep the one place that each deployment has, and no other run would ever begin.
    Only for a project whose worker does not run.
    """
    ended = "its worker was ended"
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[PREPARE, TRAIN, MONITOR, RETRAIN])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[project.name])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNDER_WAY))
            ),
            sort=FlowRunSort.START_TIME_ASC,
            limit=200,
        )
        for run in found:
            client.set_flow_run_state(run.id, State(type=StateType.CRASHED, message=ended), force=True)
            if run.deployment_id and client.read_flow(run.flow_id).name == RETRAIN:
                client.create_flow_run_from_deployment(run.deployment_id, parameters=run.parameters)
    return found


def _deployment(
    step: Flow[..., Any], project: Project, *, skip: bool = False, **settings: Any
) -> RunnerDeployment:
    strategy = ConcurrencyLimitStrategy.CANCEL_NEW if skip else ConcurrencyLimitStrategy.ENQUEUE
    found = step.to_deployment(
        project.name,
        parameters={"project": str(project.folder)},
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=strategy),
        entrypoint_type=EntrypointType.MODULE_PATH,  # found by import, from whatever directory
        **settings,
    )
    return cast("RunnerDeployment", found)  # outside of an event loop it is never a coroutine


def _run(name: str, step: Callable[[], Result], *, retries: int = 0) -> Result:
    """Runs a step as a task of the flow around it; a user's mistake is not tried again."""
    work = Task(
        step,
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=retries,
        retry_delay_seconds=30,  # a store that was locked for a moment is free again by then
        retry_condition_fn=_worth_another_try,
    )
    return work()


def _worth_another_try(task: Any, run: Any, state: Any) -> bool:
    try:
        state.result()
    except (UserError, Failed):
        return False
    except Exception:
        return True
    return False


def _moment(project: Project, now: str) -> datetime:
    from pipelines.written_date import parse_moment

    if not now:
        return project.now()
    try:
        return parse_moment(now)
    except ValueError as problem:
        raise UserError(f"now = {now!r}: {problem}") from None
