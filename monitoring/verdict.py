"""One verdict a window: does it hurt, and is it the data, the inputs, or the concept?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from monitoring.loss_alarm import LossAlarm
from monitoring.recovery import Recovery

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


def judge(
    *,
    faults: Sequence[str],
    shifted: Sequence[str],
    alarm: LossAlarm,
    recovery: Recovery | None,
) -> Verdict:
    """The verdict on the newest window, the gravest finding first.

    faults: data faults in words. shifted: what the columns that shifted say of themselves. alarm, recovery: after
    this window; recovery None where no correction can be fitted (a loss of the user's own).
    """
    if faults:
        return Verdict("data fault", tuple(faults))
    if not alarm.enough:
        return Verdict("not enough evidence", (f"only {alarm.rows} labelled rows",))
    recoverable = recovery is not None and recovery.shown
    if alarm.raised or recoverable:
        reasons, starts = [], []
        if recoverable and recovery is not None:
            reasons.append(_recovery_reason(recovery))
            starts.append(recovery.start)
        if alarm.raised:
            reasons.append(_alarm_reason(alarm))
            starts.append(alarm.start)
        # inputs that moved explain the harm only if no correction on the same inputs explains it better
        kind: VerdictKind = "harmful shift" if shifted and not recoverable else "concept change"
        return Verdict(kind, (*reasons, *shifted), start=min(starts))
    if shifted:
        return Verdict("benign shift", tuple(shifted))
    return Verdict("quiet", ())


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
