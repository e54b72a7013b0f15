"""The facts of a window: sums over its rows, computed once from what was known when the window was due."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.budget import budget_of
from monitoring.faults import DataFault, data_faults
from monitoring.feed import FeedSample, column_faults, feed_faults, feed_sample, merge_samples
from monitoring.input_alarm import InputAlarm, InputDetector, InputWindow
from monitoring.label_selection import WINDOWS, Selection, Stratum, corrected, selection
from monitoring.loss_alarm import LossLevel, LossReference, loss_level
from monitoring.loss_estimate import EstimatedRows
from monitoring.loss_slices import SliceSums, merge_sums, signed_errors, slice_sums, with_answers
from monitoring.profile import Profile, merge_all, profile
from monitoring.recovery import (
    MEMORIES,
    Correction,
    Gain,
    LabelledWindow,
    fit_corrections,
    horizon_of,
    window_gains,
    with_correction,
)
from monitoring.values import Columns
from monitoring.window import Window
from pipelines.estimating import rows_for_estimate
from pipelines.labelled import labelled_window, prepared_inputs, row_losses_of, usable
from pipelines.moments import numpy_moment
from pipelines.objective import Objective, objective
from pipelines.reference import Reference
from pipelines.service import Service, bundle_of, known_levels, reference_of
from pipelines.watched_columns import watched_columns
from pipelines.watched_inputs import InputCounts, count_inputs, merge_counts

if TYPE_CHECKING:
    from pipelines.log import LabelledRows
    from pipelines.stores import Stores

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class WindowFacts:
    """What is remembered of a window: sums and corrections, no rows but those that the next ones learn from.

    rows: scored by the version in service. served_loss: mean over all labelled rows, whoever served them. selection:
    how rows labelled late differ, where some of this window wait for a label; the level is corrected for it. arrived:
    rows of any version; sums: of the labelled rows by slice; faults: of its data; sample: of the rows,
    by which copies are known again. inputs: what their sequential test says. estimate: what is left of
    the rows for the estimate of their loss.
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
    arrived: int
    sums: SliceSums | None
    faults: tuple[DataFault, ...]
    sample: FeedSample
    inputs: InputAlarm | None = None
    selection: Selection | None = None
    estimate: EstimatedRows | None = None


def window_facts(stores: Stores, service: Service, now: datetime) -> list[WindowFacts]:
    """Facts of all due windows; each is computed once, from what was known when it became due."""
    delay = stores.project.config.data.label_delay
    names = bundle_of(stores, service.version).schema.column_names
    levels = known_levels(stores, service.version)
    known: list[WindowFacts] = stores.memo.setdefault(("facts", service.since), [])
    for number, window in service.windows_until(now, delay)[len(known) :]:
        due = window.end + delay
        parts = stores.log.parts(window.start, window.end, known_until=due, columns=names, levels=levels)
        counts = _joined([_counted(stores, service, rows) for rows in parts])
        goal, reference = objective_of(stores, service.version), reference_of(stores, service.version)
        fact = fact_of(number, window, counts, known, goal=goal, reference=reference, loss=service.reference)
        fact = _corrected(fact, _selection(stores, service, fact, due), service)
        known.append(with_inputs(fact, counts.inputs, input_detector(stores, service)))
    return known


def rows_of_window(stores: Stores, service: Service, window: Window, now: datetime) -> EstimatedRows | None:
    """What is left of the rows of a window that is not due yet, without any label; None where nothing is estimated."""
    if reference_of(stores, service.version).estimator is None:
        return None
    names = bundle_of(stores, service.version).schema.column_names
    levels = known_levels(stores, service.version)
    parts = stores.log.parts(window.start, window.end, known_until=now, columns=names, levels=levels)
    found = []
    schema = bundle_of(stores, service.version).schema
    for rows in parts:
        own = _own(service, rows)
        inputs = prepared_inputs(schema, own.columns, len(own))
        found.append(estimated(stores, service, own, inputs, np.full(len(own), np.nan)))
    return _added([one for one in found if one is not None])


def _own(service: Service, rows: LabelledRows) -> LabelledRows:
    """Rows that the version in service scored."""
    since = np.datetime64(service.since.replace(tzinfo=None), "us")
    return rows.take(np.flatnonzero((rows.versions == service.version) & (rows.times >= since)))


def objective_of(stores: Stores, version: int) -> Objective:
    """The loss by which a version is judged; found once a process."""
    if "objective" not in stores.memo:
        task = bundle_of(stores, version).schema.target.task
        stores.memo["objective"] = objective(stores.project, task)
    found: Objective = stores.memo["objective"]
    return found


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
    schema, goal = bundle_of(stores, service.version).schema, objective_of(stores, service.version)
    own = rows.take(np.flatnonzero(rows.versions == service.version))
    own = own.take(usable(own, schema))
    windows = (
        np.searchsorted(np.array([numpy_moment(start) for start in starts]), own.times, side="right") - 1
    )
    losses = np.minimum(row_losses_of(own, schema, goal), service.reference.ceiling)
    return losses, windows, own.labelled_at > dues[windows]


@dataclass(frozen=True)
class Counts:
    """What is left of rows of a window. rows: scored by the version in service; served: losses, whoever served them."""

    rows: int
    served: Array
    labelled: LabelledWindow
    profile: Profile
    arrived: int
    sums: SliceSums | None
    sample: FeedSample
    inputs: InputCounts | None = None
    estimate: EstimatedRows | None = None


def _counted(stores: Stores, service: Service, rows: LabelledRows) -> Counts:
    schema, goal = bundle_of(stores, service.version).schema, objective_of(stores, service.version)
    own = _own(service, rows)
    places = usable(own, schema)
    known = own.take(places)
    labelled = labelled_window(known, schema, goal)
    losses = np.full(len(own), np.nan)
    losses[places] = labelled.losses
    served = row_losses_of(rows.take(usable(rows, schema)), schema, goal)
    inputs = prepared_inputs(schema, own.columns, len(own))
    watched = watched_columns(schema, own.columns, own.times)
    counts = count_rows(
        watched,
        own.times,
        labelled,
        {name: values[places] for name, values in watched.items()},
        reference_of(stores, service.version),
        served=served[np.isfinite(served)],
        arrived=len(rows),
        predictions=own.predictions[:, : schema.outputs],
        last_layer=_last_layer(stores, service.version, inputs),
    )
    return replace(counts, estimate=estimated(stores, service, own, inputs, losses))


def _last_layer(stores: Stores, version: int, inputs: Array) -> dict[str, Array]:
    """The columns of the last layer of rows; none where the version does not watch it."""
    directions = reference_of(stores, version).last_layer
    if directions is None:
        return {}
    key = ("last layer", version)
    if key not in stores.memo:
        from pipelines.scoring import last_layer_of

        stores.memo[key] = last_layer_of(bundle_of(stores, version))
    return directions.columns(stores.memo[key](inputs))


def estimated(
    stores: Stores, service: Service, own: LabelledRows, inputs: Array, losses: Array
) -> EstimatedRows | None:
    """What is left of rows of the version for the estimate of their loss.

    inputs: of the rows, prepared; losses: nan where there is no label.
    """
    estimator = reference_of(stores, service.version).estimator
    if estimator is None:
        return None
    schema, goal = bundle_of(stores, service.version).schema, objective_of(stores, service.version)
    return rows_for_estimate(estimator, inputs, own.predictions[:, : schema.outputs], losses, goal)


def count_rows(
    columns: Columns,
    times: Array,
    labelled: LabelledWindow,
    labelled_columns: Columns,
    reference: Reference,
    *,
    served: Array,
    arrived: int,
    predictions: Array | None = None,
    last_layer: Mapping[str, Array] | None = None,
) -> Counts:
    """What is left of rows of a window.

    columns, times: of the rows that the version scored. labelled, labelled_columns: those with a label; one whose loss
    is no number, because its answer was none, counts as a row without. served: losses, whoever served them.
    predictions: of the rows that the version scored, shape (n, outputs); without them the inputs are not tested;
    last_layer: their columns of the last layer.
    """
    finite = np.flatnonzero(np.isfinite(labelled.losses))
    if len(finite) < len(labelled.losses):
        labelled = LabelledWindow(
            labelled.inputs[finite],
            labelled.prediction[finite],
            labelled.target[finite],
            labelled.losses[finite],
        )
        labelled_columns = {name: np.asarray(values)[finite] for name, values in labelled_columns.items()}
    inputs = None
    if reference.inputs is not None and predictions is not None:
        inputs = count_inputs(reference.inputs, columns, predictions, last_layer)
    sums = None
    if reference.slices is not None:
        known = with_answers(labelled_columns, labelled.prediction)
        errors = signed_errors(labelled.target, labelled.prediction)
        sums = slice_sums(reference.slices, known, labelled.losses, errors)
    return Counts(
        rows=len(times),
        served=served,
        labelled=labelled,
        profile=profile(columns, reference.profile.bins),
        arrived=arrived,
        sums=sums,
        sample=feed_sample(columns, times, reference.profile.bins),
        inputs=inputs,
    )


def input_detector(stores: Stores, service: Service) -> InputDetector | None:
    """The sequential test of the inputs of a service, which goes on from window to window in this process."""
    key = ("input detector", service.since)
    if key not in stores.memo:
        inputs = reference_of(stores, service.version).inputs
        budget = budget_of(stores.project.config.alarm.false_alarms, service.window)
        stores.memo[key] = InputDetector(inputs, budget.of("inputs")) if inputs is not None else None
    found: InputDetector | None = stores.memo[key]
    return found


def _joined(parts: Sequence[Counts]) -> Counts:
    if len(parts) == 1:
        return parts[0]
    windows = [part.labelled for part in parts if len(part.labelled.losses)] or [parts[0].labelled]
    return Counts(
        rows=sum(part.rows for part in parts),
        served=np.concatenate([part.served for part in parts]),
        labelled=LabelledWindow(
            np.concatenate([window.inputs for window in windows]),
            np.concatenate([window.prediction for window in windows]),
            np.concatenate([window.target for window in windows]),
            np.concatenate([window.losses for window in windows]),
        ),
        profile=merge_all(part.profile for part in parts),
        arrived=sum(part.arrived for part in parts),
        sums=merge_sums([part.sums for part in parts if part.sums is not None]) if parts[0].sums else None,
        sample=merge_samples([part.sample for part in parts]),
        inputs=merge_counts([part.inputs for part in parts if part.inputs is not None])
        if parts[0].inputs is not None
        else None,
        estimate=_added([part.estimate for part in parts if part.estimate is not None]),
    )


def _added(parts: Sequence[EstimatedRows]) -> EstimatedRows | None:
    return functools.reduce(operator.add, parts) if parts else None


def fact_of(
    number: int,
    window: Window,
    counts: Counts,
    before: Sequence[WindowFacts],
    *,
    goal: Objective,
    reference: Reference,
    loss: LossReference,
) -> WindowFacts:
    """The facts of a window. before: those of the windows before it, in order of time; loss: what it was before."""
    labelled, every = counts.labelled, counts.served
    level = _level(labelled.losses, loss, window)
    faults = faults_of(counts, before, reference)
    if faults:  # nothing is learned from broken data
        labelled = _without_rows(labelled)
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
        arrived=counts.arrived,
        sums=counts.sums,
        faults=faults,
        sample=counts.sample.without_values(),
        estimate=counts.estimate,
    )


def with_inputs(fact: WindowFacts, counts: InputCounts | None, detector: InputDetector | None) -> WindowFacts:
    """With what the test of the inputs says after this window; one of broken data is passed over.

    counts: of the window's inputs. detector: the test after the windows before; None where a version has none.
    """
    if detector is None:
        return fact
    said = None if fact.faults or counts is None else InputWindow(fact.window, counts.profile, counts.pairs)
    return replace(fact, inputs=detector.update(said))


def _without_rows(labelled: LabelledWindow) -> LabelledWindow:
    return LabelledWindow(
        labelled.inputs[:0], labelled.prediction[:0], labelled.target[:0], labelled.losses[:0]
    )


def faults_of(counts: Counts, before: Sequence[WindowFacts], reference: Reference) -> tuple[DataFault, ...]:
    """What is broken about the feed of a window: about all of its rows, then about single columns."""
    whole = feed_faults(
        reference.feed,
        counts.sample,
        arrived=counts.arrived,
        arrived_before=[fact.arrived for fact in before],
        before=[fact.sample for fact in before],
    )
    if not counts.rows:
        return whole
    found = data_faults(reference.profile, counts.profile, blocks=reference.blocks)
    named = {fault.column for fault in found}
    partly = (fault for fault in column_faults(reference.feed, counts.sample) if fault.column not in named)
    return (*whole, *found, *partly)


def _level(losses: Array, loss: LossReference, window: Window) -> LossLevel:
    if not len(losses):
        return LossLevel(0, float("nan"), float("nan"), float("nan"))
    return loss_level(losses, loss.ceiling, loss.logarithmic, window.days)
