"""One verdict a window: does it hurt, and is it the data, the inputs, or the concept?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from monitoring.explanation import Explanation
from monitoring.loss_alarm import LossAlarm
from monitoring.recovery import Recovery
from monitoring.slice_alarm import SliceAlarm

VerdictKind = Literal[
    "quiet", "data fault", "benign shift", "harmful shift", "concept change", "not enough evidence"
]


@dataclass(frozen=True)
class Verdict:
    """What a window means. start: index of the window, since the deployment, at which the harm began."""

    kind: VerdictKind
    reasons: tuple[str, ...]
    start: int | None = None

    @property
    def harmful(self) -> bool:
        return self.kind in ("harmful shift", "concept change")


@dataclass(frozen=True)
class Harm:
    """The tests that say, after a window, that it hurts. recovery, slices: None where there is no such test."""

    alarm: LossAlarm
    recovery: Recovery | None = None
    slices: SliceAlarm | None = None

    @property
    def recoverable(self) -> bool:
        return self.recovery is not None and self.recovery.shown

    @property
    def in_slices(self) -> bool:
        return self.slices is not None and self.slices.raised

    @property
    def found(self) -> bool:
        return self.alarm.raised or self.recoverable or self.in_slices

    @property
    def start(self) -> int:
        """The window in which the first of the harm began."""
        starts = [self.alarm.start] if self.alarm.raised else []
        starts += [self.recovery.start] if self.recovery is not None and self.recovery.shown else []
        starts += [self.slices.start] if self.slices is not None and self.slices.raised else []
        return min(starts)

    @property
    def reasons(self) -> tuple[str, ...]:
        reasons = (
            [_recovery_reason(self.recovery)] if self.recovery is not None and self.recovery.shown else []
        )
        reasons += [_alarm_reason(self.alarm)] if self.alarm.raised else []
        reasons += [str(self.slices)] if self.slices is not None and self.slices.raised else []
        return tuple(reasons)


def judge(
    *,
    faults: Sequence[str],
    shifted: Sequence[str],
    harm: Harm,
    explanation: Explanation | None = None,
) -> Verdict:
    """The verdict on the newest window, the gravest finding first.

    faults: data faults in words. shifted: what the columns that shifted say of themselves. explanation: of the loss
    since the harm began, or of this window; None where nothing is known of cells and their loss.
    """
    if faults:
        return Verdict("data fault", tuple(faults))
    if not harm.alarm.enough:
        return Verdict("not enough evidence", (f"only {harm.alarm.rows} labelled rows",))
    told = (f"of that: {explanation}",) if explanation is not None else ()
    if harm.found:
        kind = _kind(harm, bool(shifted), explanation)
        return Verdict(kind, (*harm.reasons, *told, *shifted), start=harm.start)
    if shifted:
        return Verdict("benign shift", (*shifted, *_sensitivity(explanation)))
    return Verdict("quiet", ())


def _kind(harm: Harm, shifted: bool, explanation: Explanation | None) -> VerdictKind:
    """Whether the rows lie where the loss was always high, or rows like those before lose more."""
    if not harm.alarm.raised:
        # a loss that has not risen as a whole is no matter of where the rows lie, unless many lie where none ever lay
        return "harmful shift" if explanation is not None and explanation.outside else "concept change"
    if explanation is not None and explanation.rise > 0:
        return "harmful shift" if explanation.in_inputs else "concept change"
    # inputs that moved explain the harm only if no correction on the same inputs explains it better
    return "harmful shift" if shifted and not harm.recoverable else "concept change"


def _sensitivity(explanation: Explanation | None) -> tuple[str, ...]:
    """What a shift would do to the loss, if rows like those before lose what they lost."""
    if explanation is None or not explanation.reference_loss:
        return ()
    expected = explanation.by_inputs / abs(explanation.reference_loss)
    return (f"by where the rows lie now, the loss is to be expected to change by {expected:+.1%}",)


def _alarm_reason(alarm: LossAlarm) -> str:
    test = "its reference" if alarm.evidence_fixed >= alarm.evidence_self else "the windows before"
    return (
        f"loss {alarm.reference_loss:.4g} → {alarm.loss:.4g} ({alarm.rise:+.0%}) over {alarm.rows:,} labelled rows, "
        f"against {test}: evidence {max(alarm.evidence_fixed, alarm.evidence_self):,.0f}, "
        f"threshold {alarm.threshold:,.0f}"
    )


def _recovery_reason(recovery: Recovery) -> str:
    return (
        f"{recovery.share:.1%} of the loss is recoverable on rows not seen: evidence {recovery.evidence:,.0f}, "
        f"threshold {recovery.threshold:,.0f}"
    )
