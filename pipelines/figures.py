"""Figures as text: one way to write a loss or a count, in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "–"


def decimals_for(losses: Iterable[float | None]) -> int:
    """Decimals that show three digits of the middle loss, 0 to 6.

    >>> decimals_for([0.52, 0.49, None]), decimals_for([412.0]), decimals_for([])
    (3, 0, 3)
    """
    sizes = sorted(abs(loss) for loss in losses if loss is not None and math.isfinite(loss) and loss != 0)
    if not sizes:
        return 3
    return min(max(2 - math.floor(math.log10(sizes[len(sizes) // 2])), 0), 6)


def number(value: object, decimals: int) -> str:
    """A loss as text: fixed decimals, so that a column lines up; a dash where there is none.

    >>> number(0.5, 3), number(None, 3), number(float("nan"), 3), number(1234.5, 0), number(4e9, 3)
    ('0.500', '–', '–', '1,234', '4.0e+09')
    """
    if not isinstance(value, int | float) or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{abs(value):,.{decimals}f}" if abs(value) < 1e7 else f"{abs(value):.1e}"
    return f"−{text}" if value < 0 else text


def count(value: object) -> str:
    """A whole number as text.

    >>> count(327346), count(None)
    ('327,346', '–')
    """
    return f"{value:,.0f}" if isinstance(value, int | float) and math.isfinite(value) else MISSING
