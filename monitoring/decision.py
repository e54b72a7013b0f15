"""The decision after a verdict: keep, update, refit, or fix the data. A list of small rules, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field


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
        default=4.0,  # the long-run budget: a retraining every four windows pays for most gradual declines
        metadata={"doc": "long-run budget: at most one retraining in this many windows", "range": (1.0, 1000.0)},
    )
    burst: int = field(
        default=3,  # a sudden change is followed up quickly: at once, after one and after two more windows
        metadata={"doc": "how many unused retrainings may be saved up for a sudden change", "range": (1, 100)},
    )
    rehearsal: float = field(
        default=0.5,  # half old rows: forgets little, still follows the new rows
        metadata={"doc": "share of old rows mixed into an update", "range": (0.0, 0.95)},
    )
    epochs: int = field(
        default=6,  # an update starts from a trained network
        metadata={"doc": "most epochs of an update; early stopping may end it sooner", "range": (1, 1000)},
    )
    attempts: int = field(
        default=3,  # the third refusal in a row says that the data, not the network, has to be looked at
        metadata={"doc": "refused challengers in a row after which the waiting time doubles no more", "range": (1, 20)},
    )
