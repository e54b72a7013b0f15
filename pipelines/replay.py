"""Replay: a deployment lived through again on past rows, by the very steps that run live.

The rows before the cut train the first version; from there time moves on, window by window: rows are scored by
whatever serves and remembered, truth arrives after its delay, the monitor judges, decides, retrains, and the
gate lets in. Beside it, on the same rows: never retrained, the best constant, a simple model, and a fixed
schedule with as many retrainings. A replay has stores of its own and begins each time from nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.baselines import best_constant, fit_simple
from monitoring.window import Window, rows_by_window
from pipelines.course import Course, plan
from pipelines.first_rows import examples
from pipelines.moments import numpy_moment
from pipelines.objective import Objective, objective
from pipelines.prepared import Prepared, prepare_rows
from pipelines.replay_result import ReplayResult, ReplaySummary, ReplayWindow, write_json
from pipelines.scoring import Scorer
from pipelines.service import bundle_of, needed_service
from pipelines.sources import Table, read
from pipelines.steps import (
    JudgedWindow,
    MonitorResult,
    RetrainResult,
    monitor_stores,
    promote_first,
    retrain_stores,
)
from pipelines.stores import Stores, open_stores
from pipelines.training import train_version

if TYPE_CHECKING:
    from models.schema import Schema
    from pipelines.project import Project

Array = npt.NDArray[Any]
Result = TypeVar("Result")
# runs one named step; a flow gives one that makes a task of it
RunStep = Callable[[str, Callable[[], Any]], Any]


def run_plainly(name: str, step: Callable[[], Result]) -> Result:
    """A step without an orchestrator."""
    return step()


@dataclass
class _Clock:
    """CPU seconds by purpose."""

    learning: float = 0.0

    def learn(self, step: Callable[[], Result]) -> Result:
        begin = time.process_time()
        try:
            return step()
        finally:
            self.learning += time.process_time() - begin


def replay(
    project: Project,
    *,
    json_path: Path | None = None,
    progress: Callable[[str], None] | None = None,
    run: RunStep = run_plainly,
) -> ReplayResult:
    """Replays a project from nothing; the same rows and seed give the same decisions.

    json_path: where the result is written as JSON. progress: told what is being done. run: runs each step.
    """
    begin = time.monotonic()
    say = progress or (lambda text: None)
    project = project.for_replay()
    say("reading the data")
    course = plan(project, run("read", lambda: read(project.config.data, project.folder)))
    shutil.rmtree(project.state, ignore_errors=True)
    stores, clock = open_stores(project), _Clock()
    say("loading TensorFlow")
    import_module("models.fit")  # here, so that its seconds do not count as learning, nor those of MLflow
    stores.registry.versions()
    say("training the first version")
    prepared = run("prepare", lambda: prepare_rows(project, course.past))
    prepared = Prepared(prepared.identity, prepared.table, course.window, prepared.fresh)
    trained = run("train", lambda: clock.learn(lambda: train_version(stores, prepared)))
    run(
        "promote the first version",
        lambda: promote_first(
            stores,
            trained.version.version,
            now=course.cut,
            anchor=course.cut,
            window=course.window,
            author="losswatch replay",
        ),
    )
    judged, retrained = _live(stores, course, clock, say, run)
    say("comparing with never, a simple model and a fixed schedule")
    losses = run("compare", lambda: _compare(stores, course, prepared, retrained))
    result = _result(stores, course, judged, retrained, losses, time.monotonic() - begin, clock)
    return _publish(stores, result, json_path)


def _live(
    stores: Stores, course: Course, clock: _Clock, say: Callable[[str], None], run: RunStep
) -> tuple[dict[str, JudgedWindow], dict[str, RetrainResult]]:
    """Moves time on from window to window. Returns what was judged and retrained, by start of the window."""
    delay = stores.project.config.data.label_delay
    judged: dict[str, JudgedWindow] = {}
    retrained: dict[str, RetrainResult] = {}
    before = course.cut
    for place, (now, window) in enumerate(course.nows(delay)):
        day = window.start.date().isoformat()
        say(f"{day}: window {place + 1} of {len(course.windows)}, {len(retrained)} retrainings")
        run(f"score {day}", partial(score_rows, stores, course, before, now, delay))
        found: MonitorResult = run(f"monitor {day}", partial(monitor_stores, stores, now))
        judged.update({one.start: one for one in found.windows})
        if found.harmful:
            retraining = partial(retrain_stores, stores, now)
            result: RetrainResult = run(f"retrain {day}", partial(clock.learn, retraining))
            retrained[window.start.isoformat()] = result
        before = now
    return judged, retrained


def score_rows(stores: Stores, course: Course, before: datetime, now: datetime, delay: timedelta) -> None:
    """Rows that came since `before` are answered by what serves, and the truth due by now is written down."""
    service = needed_service(stores, before)
    times = course.future.times
    came = np.flatnonzero((times >= numpy_moment(before)) & (times < numpy_moment(now)))
    target = stores.project.config.data.target
    if len(came):
        rows = course.future.rows(came)
        columns = {
            name: rows.frame[name].to_numpy()
            for name in bundle_of(stores, service.version).schema.column_names
        }
        predictions = _scorer(stores, service.version).predict(columns)
        stores.log.append_predictions(
            rows.ids, rows.times, columns, predictions, version=service.version, known_at=now, caller="replay"
        )
    late = np.timedelta64(int(delay.total_seconds() * 1e6), "us")
    since = numpy_moment(before) - late if before > course.cut else numpy_moment(course.cut) - late
    true = np.flatnonzero((times >= since) & (times < numpy_moment(now) - late))
    if len(true):
        rows = course.future.rows(true)
        stores.log.append_labels(rows.ids, rows.frame[target].to_numpy(), known_at=now)


def _scorer(stores: Stores, version: int) -> Scorer:
    key = ("scorer", version)
    if key not in stores.memo:
        stores.memo[key] = Scorer.load(bundle_of(stores, version).folder)
    scorer: Scorer = stores.memo[key]
    return scorer


@dataclass(frozen=True)
class _Losses:
    """Losses of every lived-through row with a label, in time order, by each way to live."""

    times: Array
    served: Array
    never: Array
    constant: Array
    simple: Array
    schedule: Array


def _compare(
    stores: Stores, course: Course, prepared: Prepared, retrained: dict[str, RetrainResult]
) -> _Losses:
    first = bundle_of(stores, 1)
    schema, task = first.schema, first.schema.target.task
    goal = objective(stores.project, task)
    rows = examples(course.future, schema)
    learn = examples(prepared.table, schema)
    inputs, taught = rows.inputs, learn.rows
    target = rows.targets.astype(np.float64)
    known = course.future.rows(course.future.frame[schema.target.name].notna().to_numpy())
    columns = {name: known.frame[name].to_numpy() for name in schema.column_names}
    seed = stores.project.config.project.seed
    loss, outputs = goal.row_losses_of_chances, schema.outputs
    costs = loss if goal.parameters else None
    constant = best_constant(task, goal.name, taught.targets, outputs=outputs, costs=costs).predict(inputs)
    simple = fit_simple(task, taught.inputs, taught.targets, seed=seed, outputs=schema.outputs).predict(
        inputs
    )
    never = _scorer(stores, 1).predict(columns)
    from pipelines.schedule import scheduled_predictions

    scheduled = scheduled_predictions(stores, course, rows, learn, first, len(retrained), goal.row_losses)
    return _Losses(
        times=rows.times,
        served=_served(stores, course, known, schema, goal),
        never=goal.row_losses(target, never.astype(np.float64)),
        constant=loss(target, constant.astype(np.float64)),
        simple=loss(target, simple.astype(np.float64)),
        schedule=goal.row_losses(target, scheduled.astype(np.float64)),
    )


def _served(stores: Stores, course: Course, known: Table, schema: Schema, goal: Objective) -> Array:
    """Losses of the answers that were given, row by row, from the log."""
    end = course.windows[-1].end
    rows = stores.log.predictions(course.cut, end, columns=())
    place = {row: number for number, row in enumerate(rows.ids)}
    order = np.array([place[row] for row in known.ids])
    target = schema.targets(known.frame).astype(np.float64)
    return goal.row_losses(target, rows.predictions[order, : schema.outputs])


def _result(
    stores: Stores,
    course: Course,
    judged: dict[str, JudgedWindow],
    retrained: dict[str, RetrainResult],
    losses: _Losses,
    seconds: float,
    clock: _Clock,
) -> ReplayResult:
    blocks = rows_by_window(losses.times, course.windows)
    windows = tuple(
        _window(window, rows, losses, verdict, retrained.get(window.start.isoformat()))
        for window, rows, verdict in zip(course.windows, blocks, _verdicts(course, judged), strict=True)
    )
    promotions = sum(result.promoted for result in retrained.values())
    summary = ReplaySummary(
        rows=len(losses.times),
        loss_never=float(losses.never.mean()),
        loss=float(losses.served.mean()),
        loss_constant=float(losses.constant.mean()),
        loss_simple=float(losses.simple.mean()),
        loss_schedule=float(losses.schedule.mean()),
        retrainings=len(retrained),
        promotions=promotions,
        refusals=len(retrained) - promotions,
        alarms=sum(one.verdict in ("harmful shift", "concept change") for one in judged.values()),
        seconds=seconds,
        cpu_training=clock.learning,
    )
    goal = objective(stores.project, bundle_of(stores, 1).schema.target.task)
    page = str(stores.project.state / "replay.html")
    return ReplayResult(stores.project.name, goal.name, str(course.window), windows, summary, page, None)


def _verdicts(course: Course, judged: dict[str, JudgedWindow]) -> Iterator[JudgedWindow]:
    """One for each window; where another version had begun to serve before its truth was known there was none."""
    last = next(iter(judged.values()))
    for window in course.windows:
        found = judged.get(window.start.isoformat())
        reason = f"version {last.version}, which served it, was replaced before its truth was known"
        last = found or replace(last, verdict="not enough evidence", action="keep", reasons=(reason,))
        yield last


def _window(
    window: Window, rows: Array, losses: _Losses, judged: JudgedWindow, retrained: RetrainResult | None
) -> ReplayWindow:
    def mean(values: Array) -> float:
        return float(values[rows].mean()) if len(rows) else float("nan")

    return ReplayWindow(
        start=window.start.isoformat(),
        end=window.end.isoformat(),
        rows=len(rows),
        loss_never=mean(losses.never),
        loss=mean(losses.served),
        loss_constant=mean(losses.constant),
        loss_simple=mean(losses.simple),
        loss_schedule=mean(losses.schedule),
        version=judged.version,
        verdict=judged.verdict,
        action=judged.action,
        reasons=judged.reasons,
        challenger=retrained.challenger if retrained else None,
        promoted=bool(retrained and retrained.promoted),
        gate=retrained.reasons if retrained else (),
    )


def _publish(stores: Stores, result: ReplayResult, json_path: Path | None) -> ReplayResult:
    from pipelines.replay_page import write_replay_page

    path = Path(result.page)
    write_replay_page(stores, result, path)
    write_json(result, stores.project.state / "replay.json")
    if json_path is not None:
        write_json(result, json_path)
        result = replace(result, json=str(json_path))
    return result
