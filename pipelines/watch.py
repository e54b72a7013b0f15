"""Watching: what the rows of each window say of the version that served them. A pure function of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.faults import DataFault, data_faults
from monitoring.label_selection import WINDOWS, Selection, Stratum, corrected, selection
from monitoring.loss_alarm import LossLevel, loss_alarms, loss_level
from monitoring.profile import Profile, merge_all, profile
from monitoring.recovery import (
    MEMORIES,
    Correction,
    Gain,
    LabelledWindow,
    Recovery,
    fit_corrections,
    horizon_of,
    recoveries,
    window_gains,
    with_correction,
)
from monitoring.shift import ShiftResult, compare
from monitoring.verdict import Verdict, judge
from monitoring.window import Window
from pipelines.moments import numpy_moment
from pipelines.objective import Objective, objective
from pipelines.reference import Reference, read_reference
from pipelines.service import Service, bundle_of

if TYPE_CHECKING:
    from models.schema import Schema
    from pipelines.log import LabelledRows
    from pipelines.stores import Stores

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class WindowFacts:
    """What is remembered of a window: sums and corrections, no rows but those that the next ones learn from.

    rows: scored by the version in service. served_loss: mean over all labelled rows, whoever served them. selection:
    how rows labelled late differ, where some of this window wait for a label; the level is corrected for it.
    """

    window: Window
    number: int
    rows: int
    level: LossLevel
    served_rows: int
    served_loss: float
    gains: tuple[Gain, ...]
    corrections: tuple[Correction, ...]
    labelled: LabelledWindow
    profile: Profile
    selection: Selection | None = None


@dataclass(frozen=True)
class WindowJudgement:
    """The verdict on a window with its evidence.

    harm_since: start of the window in which the harm began. risen: whether the loss itself is higher than it was.
    """

    number: int
    window: Window
    version: int
    rows: int
    labelled: int
    loss: float
    verdict: Verdict
    harm_since: datetime | None
    risen: bool
    blind: tuple[str, ...]
    shift: ShiftResult
    faults: tuple[DataFault, ...]


def watch(stores: Stores, service: Service, now: datetime, *, after: int = -1) -> list[WindowJudgement]:
    """Judges the windows of a service that are due, in order of time; the same log gives the same judgements.

    after: number of the last window that needs no judgement any more.
    """
    facts = _facts(stores, service, now)
    if not facts:
        return []
    config = stores.project.config
    alarms = loss_alarms(service.reference, [fact.level for fact in facts], config.alarm)
    recovered = _recoveries(stores, service, facts)
    reference = reference_of(stores, service.version)
    judgements = []
    for place, fact in enumerate(facts):
        if fact.number <= after:
            continue
        faults = data_faults(reference.profile, fact.profile, blocks=reference.blocks) if fact.rows else ()
        shift = compare(reference.profile, fact.profile, reference.thresholds)
        verdict = judge(
            faults=[str(fault) for fault in faults],
            shifted=[str(column) for column in shift.shifted_columns],
            alarm=alarms[place],
            recovery=recovered[place] if recovered else None,
        )
        if fact.selection is not None and fact.selection.shown:
            verdict = replace(verdict, reasons=(*verdict.reasons, str(fact.selection)))
        began = facts[min(verdict.start, place)].window.start if verdict.start is not None else None
        judgements.append(
            WindowJudgement(
                number=fact.number,
                window=fact.window,
                version=service.version,
                rows=fact.rows,
                labelled=fact.level.rows,
                loss=fact.served_loss,
                verdict=verdict,
                harm_since=began,
                risen=alarms[place].raised,
                blind=_blind(bundle_of(stores, service.version).schema, shift),
                shift=shift,
                faults=tuple(faults),
            )
        )
    return judgements


def reference_of(stores: Stores, version: int) -> Reference:
    """What a version is compared with, of the columns that the log keeps; read once a process."""
    key = ("reference", version)
    if key not in stores.memo:
        dropped = stores.project.config.log.columns_with("drop")
        stores.memo[key] = read_reference(bundle_of(stores, version).reference).without(dropped)
    found: Reference = stores.memo[key]
    return found


def known_levels(stores: Stores, version: int) -> dict[str, tuple[str, ...]]:
    """Of columns that the log keeps as hashes, the values that a version knows, by which they are named again."""
    hashed = stores.project.config.log.columns_with("hash")
    if not hashed:
        return {}
    columns = bundle_of(stores, version).schema.columns
    known = {column.name: set(getattr(column, "levels", ())) for column in columns if column.name in hashed}
    for bins in reference_of(stores, version).profile.bins:
        if bins.name in known:
            known[bins.name].update(bins.levels)
    return {name: tuple(sorted(levels)) for name, levels in known.items()}


def _recoveries(stores: Stores, service: Service, facts: Sequence[WindowFacts]) -> tuple[Recovery, ...]:
    config = stores.project.config
    if _objective(stores, service.version).link is None:
        return ()
    return recoveries([fact.gains for fact in facts], worth=config.retrain.worth)


def _objective(stores: Stores, version: int) -> Objective:
    if "objective" not in stores.memo:
        task = bundle_of(stores, version).schema.target.task
        stores.memo["objective"] = objective(stores.project, task)
    found: Objective = stores.memo["objective"]
    return found


def _facts(stores: Stores, service: Service, now: datetime) -> list[WindowFacts]:
    """Facts of all due windows; each is computed once, from what was known when it became due."""
    delay = stores.project.config.data.label_delay
    names = bundle_of(stores, service.version).schema.column_names
    levels = known_levels(stores, service.version)
    known: list[WindowFacts] = stores.memo.setdefault(("facts", service.since), [])
    for number, window in service.windows_until(now, delay)[len(known) :]:
        due = window.end + delay
        parts = stores.log.parts(window.start, window.end, known_until=due, columns=names, levels=levels)
        counts = _joined([_counted(stores, service, rows) for rows in parts])
        fact = _fact(stores, service, number, window, counts, known)
        known.append(_corrected(fact, _selection(stores, service, fact, due), service))
    return known


def _corrected(fact: WindowFacts, found: Selection | None, service: Service) -> WindowFacts:
    if found is None:
        return fact
    level = corrected(fact.level, found, logarithmic=service.reference.logarithmic)
    return replace(fact, level=level, selection=found)


def _selection(stores: Stores, service: Service, fact: WindowFacts, due: datetime) -> Selection | None:
    """How late labels differ in the windows before, as is known when this one is due; None where all have come."""
    if not 0 < fact.level.rows < fact.rows:
        return None
    first = max(fact.number - WINDOWS, 0)
    starts = [service.window.after(service.anchor, number) for number in range(first, fact.number + 1)]
    since = max(starts[0], service.since)
    if since >= starts[-1]:
        return None
    delay = stores.project.config.data.label_delay
    dues = np.array([numpy_moment(start + delay) for start in starts[1:]])
    parts = stores.log.parts(since, starts[-1], known_until=due, columns=())
    losses, windows, late = zip(
        *(_lateness(stores, service, rows, starts, dues) for rows in parts), strict=True
    )
    joined = [np.concatenate(one) for one in (losses, windows, late)]
    return selection(
        [
            Stratum(joined[0][joined[1] == number], joined[2][joined[1] == number])
            for number in range(len(dues))
        ]
    )


def _lateness(
    stores: Stores, service: Service, rows: LabelledRows, starts: Sequence[datetime], dues: Array
) -> tuple[Array, Array, Array]:
    """Of the rows of the version in service with a label: losses, numbers of their windows, whether it came late."""
    schema, goal = bundle_of(stores, service.version).schema, _objective(stores, service.version)
    own = rows.take(np.flatnonzero(rows.versions == service.version))
    own = own.take(usable(own, schema))
    windows = (
        np.searchsorted(np.array([numpy_moment(start) for start in starts]), own.times, side="right") - 1
    )
    losses = np.minimum(row_losses_of(own, schema, goal), service.reference.ceiling)
    return losses, windows, own.labelled_at > dues[windows]


@dataclass(frozen=True)
class _Counts:
    """What is left of rows of a window. rows: scored by the version in service; served: losses, whoever served them."""

    rows: int
    served: Array
    labelled: LabelledWindow
    profile: Profile


def _counted(stores: Stores, service: Service, rows: LabelledRows) -> _Counts:
    schema, goal = bundle_of(stores, service.version).schema, _objective(stores, service.version)
    since = np.datetime64(service.since.replace(tzinfo=None), "us")
    own = rows.take(np.flatnonzero((rows.versions == service.version) & (rows.times >= since)))
    return _Counts(
        rows=len(own),
        served=row_losses_of(rows.take(usable(rows, schema)), schema, goal),
        labelled=labelled_window(own.take(usable(own, schema)), schema, goal),
        profile=profile(own.columns, reference_of(stores, service.version).profile.bins),
    )


def _joined(parts: Sequence[_Counts]) -> _Counts:
    if len(parts) == 1:
        return parts[0]
    windows = [part.labelled for part in parts if len(part.labelled.losses)] or [parts[0].labelled]
    return _Counts(
        rows=sum(part.rows for part in parts),
        served=np.concatenate([part.served for part in parts]),
        labelled=LabelledWindow(
            np.concatenate([window.inputs for window in windows]),
            np.concatenate([window.prediction for window in windows]),
            np.concatenate([window.target for window in windows]),
            np.concatenate([window.losses for window in windows]),
        ),
        profile=merge_all(part.profile for part in parts),
    )


def _fact(
    stores: Stores,
    service: Service,
    number: int,
    window: Window,
    counts: _Counts,
    before: Sequence[WindowFacts],
) -> WindowFacts:
    goal = _objective(stores, service.version)
    reference = reference_of(stores, service.version)
    labelled, every = counts.labelled, counts.served
    level = _level(labelled.losses, service)
    if reference.correction and goal.link is not None and len(labelled.losses):
        labelled = with_correction(labelled, np.array(reference.correction), goal.link, goal.row_losses)
    past = [fact.labelled for fact in before[-max(MEMORIES) + 1 :]]
    gains: tuple[Gain, ...] = ()
    corrections: tuple[Correction, ...] = ()
    if goal.link is not None and len(labelled.losses):
        horizon = horizon_of(window.end - window.start)
        earlier = [fact.corrections for fact in before[-horizon:] if fact.corrections]
        gains = window_gains(earlier, labelled, goal.link, goal.row_losses, horizon=horizon)
        learn = [*(one for one in past if len(one.losses)), labelled]
        corrections = fit_corrections(learn, goal.link, earlier[-1] if earlier else ())
    return WindowFacts(
        window=window,
        number=number,
        rows=counts.rows,
        level=level,
        served_rows=len(every),
        served_loss=float(every.mean()) if len(every) else float("nan"),
        gains=gains,
        corrections=corrections,
        labelled=labelled,
        profile=counts.profile,
    )


def _level(losses: Array, service: Service) -> LossLevel:
    if not len(losses):
        return LossLevel(0, float("nan"), float("nan"), float("nan"))
    return loss_level(losses, service.reference.ceiling, service.reference.logarithmic)


def labelled_window(rows: LabelledRows, schema: Schema, goal: Objective) -> LabelledWindow:
    """Labelled rows as the monitor takes them: prepared inputs and targets, predictions, losses."""
    target = targets_of(rows, schema)
    predictions = rows.predictions[:, : schema.outputs]
    return LabelledWindow(
        inputs=schema.inputs(rows.columns) if len(rows) else np.zeros((0, schema.width), np.float32),
        prediction=predictions,
        target=target,
        losses=goal.row_losses(target, predictions) if len(rows) else np.zeros(0),
    )


def row_losses_of(rows: LabelledRows, schema: Schema, goal: Objective) -> Array:
    """Losses of labelled rows, by whatever version they were served."""
    if not len(rows):
        return np.zeros(0)
    return goal.row_losses(targets_of(rows, schema), rows.predictions[:, : schema.outputs])


def usable(rows: LabelledRows, schema: Schema) -> npt.NDArray[np.intp]:
    """Places of the rows with a label that the target can take; a text among numbers must not stop the monitor."""
    places = np.flatnonzero(rows.labelled)
    if len(places) and not takes(schema, rows.labels[places]):
        places = np.array([place for place in places if takes(schema, rows.labels[[place]])], dtype=np.intp)
    return places


def takes(schema: Schema, labels: Array) -> bool:
    """Whether the target can take all of these labels."""
    from models.schema import SchemaError

    try:
        targets = schema.targets({schema.target.name: labels})
    except SchemaError:
        return False
    return bool(np.isfinite(targets).all())


def targets_of(rows: LabelledRows, schema: Schema) -> Array:
    """The labels as the network's targets, float64 (n,)."""
    if not len(rows):
        return np.zeros(0)
    labels: Mapping[str, Any] = {schema.target.name: rows.labels}
    return np.asarray(schema.targets(labels), dtype=np.float64)


def _blind(schema: Schema, shift: ShiftResult) -> tuple[str, ...]:
    """Columns that shifted and that the preparation passes on as a constant."""
    constant = {column.name for column in schema.columns if not getattr(column, "scale", 1.0)}
    return tuple(name for name in shift.names if name in constant)
