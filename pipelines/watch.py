"""Watching: what the rows of each window say of the version that served them. A pure function of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from monitoring.budget import Budget, budget_of
from monitoring.faults import DataFault, data_faults
from monitoring.loss_alarm import loss_alarms
from monitoring.recovery import Recovery, recoveries
from monitoring.shift import ShiftResult, compare
from monitoring.verdict import Verdict, judge
from monitoring.window import Window
from pipelines.service import Service, bundle_of, reference_of
from pipelines.window_facts import WindowFacts, objective_of, window_facts

if TYPE_CHECKING:
    from models.schema import Schema
    from pipelines.stores import Stores


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
    facts = window_facts(stores, service, now)
    if not facts:
        return []
    config = stores.project.config
    budget = budget_of(config.alarm.false_alarms, service.window)
    levels = [fact.level for fact in facts]
    alarms = loss_alarms(service.reference, levels, config.alarm, budget.of("loss"))
    recovered = _recoveries(stores, service, facts, budget)
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


def _recoveries(
    stores: Stores, service: Service, facts: Sequence[WindowFacts], budget: Budget
) -> tuple[Recovery, ...]:
    config = stores.project.config
    if objective_of(stores, service.version).link is None:
        return ()
    gains = [fact.gains for fact in facts]
    return recoveries(gains, worth=config.retrain.worth, run_length=budget.of("recovery"))


def _blind(schema: Schema, shift: ShiftResult) -> tuple[str, ...]:
    """Columns that shifted and that the preparation passes on as a constant."""
    constant = {column.name for column in schema.columns if not getattr(column, "scale", 1.0)}
    return tuple(name for name in shift.names if name in constant)
