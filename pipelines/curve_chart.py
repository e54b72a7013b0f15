"""The curve of a training in two lines of text, for the end of a command."""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.history import EpochLoss

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60  # bars; with words and numbers beside them a line of a hundred letters


def chart(epochs: Sequence[EpochLoss], kept: int | None = None, *, width: int = WIDTH) -> list[str]:
    """Training and validation loss by epochs, on one log scale where all are above 0; [] where there are under two.

    kept: number of the epoch whose weights are kept. Of more epochs than there is room for, groups are averaged.

    >>> history = [EpochLoss(k, loss, loss * 1.1, 1e-3, 0.1) for k, loss in enumerate((0.8, 0.4, 0.2))]
    >>> for line in chart(history, 2): print(line)
    training    █▄▁  0.8 → 0.2
    validation  █▅▁  0.88 → 0.22, kept is epoch 2 with 0.22
    """
    lines = {
        "training": [epoch.loss for epoch in epochs],
        "validation": [epoch.validation_loss for epoch in epochs],
    }
    known = [loss for line in lines.values() for loss in line if math.isfinite(loss)]
    if len(epochs) < 2 or not known:
        return []
    low, high = min(known), max(known)
    told = []
    for name, line in lines.items():
        finite = [loss for loss in line if math.isfinite(loss)]
        if finite:
            bars = "".join(_bar(loss, low, high) for loss in _grouped(line, width))
            told.append(f"{name:<10}  {bars}  {finite[0]:.4g} → {finite[-1]:.4g}")
    best = {epoch.epoch: epoch.judged for epoch in epochs}.get(kept if kept is not None else -2)
    if best is not None:
        told[-1] += f", kept is epoch {kept} with {best:.4g}"
    return told


def _grouped(losses: Sequence[float], width: int) -> list[float]:
    """At most so many means of neighbours; nan where none of them is finite."""
    size = -(-len(losses) // width)
    groups = [losses[place : place + size] for place in range(0, len(losses), size)]
    finite = [[loss for loss in group if math.isfinite(loss)] for group in groups]
    return [math.fsum(group) / len(group) if group else math.nan for group in finite]


def _bar(loss: float, low: float, high: float) -> str:
    if not math.isfinite(loss):
        return " "
    if high == low:
        return BARS[0]
    logarithmic = low > 0
    height, floor, top = (math.log(value) if logarithmic else value for value in (loss, low, high))
    return BARS[round((height - floor) / (top - floor) * (len(BARS) - 1))]
