"""The decision after a verdict: keep, update, refit, or fix the data. Small rules, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from monitoring.verdict import Verdict

Action = Literal["keep", "update", "refit", "fix data"]


@dataclass(frozen=True)
class RetrainPolicy:
    """When a harmful verdict may start a retraining, and what one is made of."""

    worth: float = field(
        default=0.01,  # below one percent of the loss a retraining costs more attention than it wins
        metadata={
            "doc": "share of the loss that must be shown to be recoverable before retraining for it alone",
            "range": (0.0, 1.0),
        },
    )
    windows_each: float = field(
        default=4.0,  # the long-run budget: one retraining every four windows follows most gradual declines
        metadata={
            "doc": "long-run budget: at most one retraining in this many windows",
            "range": (1.0, 1000.0),
        },
    )
    burst: int = field(
        default=3,  # a sudden change is followed up: at once, and again when its first rows have come
        metadata={
            "doc": "how many unused retrainings may be saved up for a sudden change",
            "range": (1, 100),
        },
    )
    rehearsal: float = field(
        default=0.5,  # half old rows: forgets little, still follows the new rows
        metadata={"doc": "share of old rows mixed into an update", "range": (0.0, 0.95)},
    )
    epochs: int = field(
        default=6,  # an update starts from a trained network
        metadata={"doc": "most epochs of an update; early stopping may end it sooner", "range": (1, 1000)},
    )


@dataclass(frozen=True)
class PastRetraining:
    """A retraining that ended: after how many windows since the first deployment, and whether it was let in."""

    window: int
    promoted: bool


@dataclass(frozen=True)
class RetrainDecision:
    action: Action
    reasons: tuple[str, ...]


def budget(window: int, past: Sequence[PastRetraining], policy: RetrainPolicy) -> float:
    """Retrainings that may be started now: one saved up every `windows_each` windows, at most `burst`.

    >>> budget(8, [PastRetraining(4, True)], RetrainPolicy(windows_each=4, burst=3))
    2.0
    """
    saved, last = 1.0, 0
    for retraining in past:
        saved = min(saved + (retraining.window - last) / policy.windows_each, policy.burst) - 1.0
        last = retraining.window
    return min(saved + (window - last) / policy.windows_each, float(policy.burst))


def decide(
    verdict: Verdict,
    *,
    window: int,
    past: Sequence[PastRetraining],
    blind: Sequence[str],
    policy: RetrainPolicy,
) -> RetrainDecision:
    """What to do after the verdict on a window, and why.

    window: windows since the first deployment, this one included. blind: columns that moved and that the deployed
    version cannot see, because they were constant when its preparation was fitted or their categories are new.
    """
    if verdict.kind == "data fault":
        return RetrainDecision(
            "fix data", ("a retraining on broken data would make it worse", *verdict.reasons)
        )
    if not verdict.harmful:
        return RetrainDecision("keep", verdict.reasons)
    left = budget(window, past, policy)
    if left < 1.0:
        wait = (1.0 - left) * policy.windows_each
        reason = f"the budget of retrainings is used up: the next one in {wait:.0f} window(s)"
        return RetrainDecision("keep", (*verdict.reasons, reason))
    if blind:
        reason = f"the preparation cannot see {', '.join(blind)}: it is fitted anew"
        return RetrainDecision("refit", (*verdict.reasons, reason))
    return RetrainDecision("update", verdict.reasons)
