"""Watching: what the rows of each window say of the version that served them. A pure function of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from monitoring.budget import budget_of
from monitoring.explanation import Explanation
from monitoring.faults import DataFault
from monitoring.input_alarm import InputAlarm
from monitoring.judging import Judgement, judge_windows
from monitoring.loss_alarm import LossAlarm
from monitoring.loss_estimate import LossEstimate
from monitoring.power import Power
from monitoring.recovery import Recovery
from monitoring.shift import ShiftResult
from monitoring.slice_alarm import SliceAlarm
from monitoring.verdict import Verdict
from monitoring.window import Window
from pipelines.estimating import EndedWindow, Estimates, PendingEstimate
from pipelines.service import Service, bundle_of, reference_of
from pipelines.window_facts import WindowFacts, objective_of, rows_of_window, window_facts

if TYPE_CHECKING:
    from models.schema import Schema
    from pipelines.stores import Stores


MOST_PENDING = 3  # estimates that are told of: the newest are what is not known yet


@dataclass(frozen=True)
class WindowJudgement:
    """The verdict on a window with its evidence.

    harm_since: start of the window in which the harm began. risen: whether the loss itself is higher than it was. What
    follows `shift` is as in `monitoring.judging.Judgement`.
    estimate: of its loss, as it was known at its end; None where the version has none.
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
    alarm: LossAlarm
    recovery: Recovery | None
    slices: SliceAlarm | None
    explanation: Explanation | None
    power: Power
    input_alarm: InputAlarm | None = None
    estimate: LossEstimate | None = None


def watch(stores: Stores, service: Service, now: datetime, *, after: int = -1) -> list[WindowJudgement]:
    """Judges the windows of a service that are due, in order of time; the same log gives the same judgements.

    after: number of the last window that needs no judgement any more.
    """
    facts = window_facts(stores, service, now)
    if not facts:
        return []
    config = stores.project.config
    found = judge_windows(
        reference_of(stores, service.version),
        service.reference,
        facts,
        config=config.alarm,
        worth=config.retrain.worth,
        budget=budget_of(config.alarm.false_alarms, service.window),
        correctable=objective_of(stores, service.version).link is not None,
        after=max((place for place, fact in enumerate(facts) if fact.number <= after), default=-1),
    )
    schema, estimates = bundle_of(stores, service.version).schema, loss_estimates(stores, service, facts)
    return [
        replace(
            _window_judgement(service, schema, facts[: place + 1], judgement),
            estimate=_estimate(estimates, facts[place]),
        )
        for place, judgement in enumerate(found, start=len(facts) - len(found))
    ]


def loss_estimates(stores: Stores, service: Service, facts: Sequence[WindowFacts]) -> Estimates | None:
    """The estimates of a service, scored by the labels of these windows; they go on in this process."""
    estimator = reference_of(stores, service.version).estimator
    if estimator is None:
        return None
    config = stores.project.config
    run_length = budget_of(config.alarm.false_alarms, service.window).run_length
    made = (Estimates(estimator, config.data.label_delay, run_length), 0)
    estimates, done = stores.memo.get(("estimates", service.since), made)
    for fact in facts[done:]:
        if fact.estimate is not None:
            estimates.score(EndedWindow(fact.window, fact.estimate, sound=not fact.faults))
    stores.memo[("estimates", service.since)] = estimates, len(facts)
    found: Estimates = estimates
    return found


def _estimate(estimates: Estimates | None, fact: WindowFacts) -> LossEstimate | None:
    if estimates is None or fact.estimate is None:
        return None
    return estimates.of(EndedWindow(fact.window, fact.estimate))


def pending(stores: Stores, service: Service, now: datetime) -> tuple[PendingEstimate, ...]:
    """What is estimated of the newest windows that have ended and whose labels are not due yet, in order of time."""
    facts = window_facts(stores, service, now)
    estimates, delay = loss_estimates(stores, service, facts), stores.project.config.data.label_delay
    if estimates is None:
        return ()
    told = []
    for _, window in service.windows_until(now, timedelta(0))[len(facts) :][-MOST_PENDING:]:
        rows = rows_of_window(stores, service, window, now)
        said = estimates.of(EndedWindow(window, rows)) if rows is not None else None
        if said is not None:
            told.append(PendingEstimate.of(window, window.end + delay, said))
    return tuple(told)


def _window_judgement(
    service: Service, schema: Schema, facts: Sequence[WindowFacts], found: Judgement
) -> WindowJudgement:
    """What was found of the last of these windows, with what the log knows of it."""
    fact, start = facts[-1], found.verdict.start
    return WindowJudgement(
        number=fact.number,
        window=fact.window,
        version=service.version,
        rows=fact.rows,
        labelled=fact.level.rows,
        loss=fact.served_loss,
        verdict=found.verdict,
        harm_since=facts[min(start, len(facts) - 1)].window.start if start is not None else None,
        risen=found.alarm.raised,
        blind=_blind(schema, found.shift, found.inputs),
        shift=found.shift,
        faults=found.faults,
        alarm=found.alarm,
        recovery=found.recovery,
        slices=found.slices,
        explanation=found.explanation,
        power=found.power,
        input_alarm=found.inputs,
    )


def _blind(schema: Schema, shift: ShiftResult, inputs: InputAlarm | None) -> tuple[str, ...]:
    """Columns that shifted, in this window or by and by, and that the preparation passes on as a constant."""
    constant = {column.name for column in schema.columns if not getattr(column, "scale", 1.0)}
    moved = dict.fromkeys((*shift.names, *(inputs.columns if inputs is not None else ())))
    return tuple(name for name in moved if name in constant)
