"""The gate: champion and challenger on the same unseen rows, with paired intervals."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GateConfig:
    """What a challenger must prove before it serves."""

    held_out: float = field(
        default=0.2,  # one row in five never trains any version; a gate on four windows then sees most of one window
        metadata={"doc": "share of production rows that never train a version and only judge", "range": (0.05, 0.5)},
    )
    confidence: float = field(
        default=0.95,
        metadata={"doc": "one-sided confidence that the challenger's loss is lower", "range": (0.5, 0.9999)},
    )
    anchor_tolerance: float = field(
        default=0.05,  # the challenger may lose this much on rows of before, unless they no longer tell the truth
        metadata={"doc": "share by which the loss on older held-out rows may rise", "range": (0.0, 1.0)},
    )
    least_rows: int = field(
        default=50,  # below this a paired interval on skewed losses does not hold its level
        metadata={"doc": "fewest held-out rows on which a challenger is judged", "range": (10, 1_000_000)},
    )
