"""From the facts of windows to their judgements: every measurement, then the verdict. Knows no file and no clock.

The monitor calls it with the facts of the log, the benchmark of the verdicts with those of made rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from monitoring.budget import Budget
from monitoring.explanation import Explanation, explain
from monitoring.faults import DataFault
from monitoring.input_alarm import InputAlarm
from monitoring.label_selection import Selection
from monitoring.loss_alarm import AlarmConfig, LossAlarm, LossLevel, LossReference, loss_alarms
from monitoring.loss_slices import SliceReference, SliceSums
from monitoring.power import Power, power
from monitoring.profile import Profile
from monitoring.recovery import Gain, Recovery, recoveries
from monitoring.shift import ShiftResult, ShiftThresholds, compare
from monitoring.slice_alarm import SliceAlarm, slice_alarms
from monitoring.verdict import Harm, Verdict, judge

LONGEST = 32  # windows that an explanation is about at most: a slow decline is told by what it has come to


class Inputs(Protocol):
    """What the inputs of the rows were that a version was made for, and what they lost by slices."""

    @property
    def profile(self) -> Profile: ...
    @property
    def thresholds(self) -> ShiftThresholds: ...
    @property
    def slices(self) -> SliceReference | None: ...


class Facts(Protocol):
    """What is known of a window. rows: scored by the version; sums: of labelled rows by slice; faults: of its data.

    inputs: what the sequential test of the inputs says after it; None where there is none.
    """

    @property
    def rows(self) -> int: ...
    @property
    def level(self) -> LossLevel: ...
    @property
    def gains(self) -> tuple[Gain, ...]: ...
    @property
    def profile(self) -> Profile: ...
    @property
    def sums(self) -> SliceSums | None: ...
    @property
    def faults(self) -> tuple[DataFault, ...]: ...
    @property
    def selection(self) -> Selection | None: ...
    @property
    def inputs(self) -> InputAlarm | None: ...


@dataclass(frozen=True)
class Judgement:
    """The verdict on a window and everything that speaks for it. explanation: since the harm began, where there is any.

    recovery, slices, explanation: None where there is no such test, or no labelled row.
    """

    verdict: Verdict
    alarm: LossAlarm
    recovery: Recovery | None
    slices: SliceAlarm | None
    explanation: Explanation | None
    power: Power
    shift: ShiftResult
    faults: tuple[DataFault, ...]
    inputs: InputAlarm | None = None


def judge_windows(
    reference: Inputs,
    loss: LossReference,
    facts: Sequence[Facts],
    *,
    config: AlarmConfig,
    worth: float,
    budget: Budget,
    correctable: bool,
    after: int = -1,
) -> list[Judgement]:
    """The judgements of windows in order of time, since the deployment.

    loss: what the loss was before. worth: share of the loss that must be recoverable. budget: of false alarms, over all
    tests. correctable: whether a correction of the answers is known. after: index of the last window that needs none.
    """
    # what broken data lost says nothing of the network: such a window adds no evidence of harm
    levels = [replace(fact.level, rows=0) if fact.faults else fact.level for fact in facts]
    alarms = loss_alarms(loss, levels, config, budget.of("loss"))
    gains = [() if fact.faults else fact.gains for fact in facts]
    recovered: Sequence[Recovery | None] = (
        recoveries(gains, worth=worth, run_length=budget.of("recovery"))
        if correctable
        else [None] * len(facts)
    )
    slices = slice_alarms(reference.slices, [_sound_sums(fact) for fact in facts], budget.of("slices"))
    return [
        _judged(
            reference, loss, facts[: place + 1], Harm(alarms[place], recovered[place], slices[place]), config
        )
        for place in range(max(after + 1, 0), len(facts))
    ]


def _judged(
    reference: Inputs, loss: LossReference, facts: Sequence[Facts], harm: Harm, config: AlarmConfig
) -> Judgement:
    """The judgement of the last of these windows."""
    fact = facts[-1]
    shift = compare(reference.profile, fact.profile, reference.thresholds)
    explanation = _explanation(reference.slices, facts, harm)
    verdict = judge(
        faults=[str(fault) for fault in fact.faults],
        shifted=_shifted(shift, fact.inputs),
        harm=harm,
        explanation=explanation,
    )
    if fact.selection is not None and fact.selection.shown:
        verdict = replace(verdict, reasons=(*verdict.reasons, str(fact.selection)))
    could_show = power(
        loss,
        fact.level if harm.alarm.enough else None,
        threshold=harm.alarm.threshold,
        tolerance=config.tolerance,
        distances=reference.thresholds.at(fact.rows),
    )
    return Judgement(
        verdict,
        harm.alarm,
        harm.recovery,
        harm.slices,
        explanation,
        could_show,
        shift,
        fact.faults,
        fact.inputs,
    )


def _shifted(shift: ShiftResult, inputs: InputAlarm | None) -> list[str]:
    """What moved, in words: by the sequential test, where there is one, with the distance of this window."""
    if inputs is None:
        return [str(column) for column in shift.shifted_columns]
    far = {column.name: column for column in shift.columns}
    return [f"{said}; {far[name]}" if name in far else said for name, said in inputs.words]


def _explanation(reference: SliceReference | None, facts: Sequence[Facts], harm: Harm) -> Explanation | None:
    """Why the loss is what it is since the harm began, or in the last window where there is none."""
    if reference is None:
        return None
    last = len(facts) - 1
    start = max(min(harm.start, last), last - LONGEST + 1) if harm.found else last
    sums = [one for fact in facts[start:] if (one := _sound_sums(fact)) is not None]
    found = explain(reference, sums)
    if found is None or found.rise > 0 or not harm.alarm.raised:
        return found
    # risen above the windows before and not above the reference, which was too high: it is those that it has risen from
    past = map(_sound_sums, facts[max(start - LONGEST, 0) : start])
    earlier = [one for one in past if one is not None]
    return explain(reference, sums, earlier) if earlier else found


def _sound_sums(fact: Facts) -> SliceSums | None:
    return None if fact.faults else fact.sums
