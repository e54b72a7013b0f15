"""A long curve for the eye: smoothed, and thinned to as many points as a screen has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LEAST_WINDOW = 9  # values: fewer leave the noise of single batches
SHARE = 40  # the window is a fortieth of the curve: narrow beside any turn that a reader looks for


@dataclass(frozen=True, eq=False)
class Thinned:
    """Neighbours drawn together. places: the middle of each group, as a number from 0, float64 (k,).

    low, high: the smallest and the largest finite value of each, float64 (k,); nan where it has none. size: how many
    values a group has; the last may have fewer.
    """

    places: Values
    low: Values
    high: Values
    size: int


def window_for(count: int) -> int:
    """Over how many of so many values a curve is smoothed; odd.

    >>> window_for(5), window_for(100), window_for(4000)
    (1, 9, 101)
    """
    return min(max(LEAST_WINDOW, count // SHARE), count // 3) // 2 * 2 + 1


def smoothed(values: NDArray[Any], window: int) -> Values:
    """The mean of so many values around each, float64 (n,): of their logarithms where all finite ones are above 0.

    What is not finite counts for nothing; nan where nothing else is around. At the beginning, where a loss falls
    steeply, the window shrinks on both sides alike; at the end it is cut off.

    >>> smoothed(np.array([8.0, 2.0, 2.0, 2.0]), 3)
    array([8.       , 3.1748021, 2.       , 2.       ])
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    logarithmic = bool((values[known] > 0).all())
    heights = np.log(values, where=known, out=np.zeros(len(values))) if logarithmic else values
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, heights, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    place = np.arange(len(values))
    half = np.minimum(window // 2, place)
    first, last = place - half, np.minimum(place + half + 1, len(values))
    count = counts[last] - counts[first]
    means = np.where(count > 0, (sums[last] - sums[first]) / np.maximum(count, 1), np.nan)
    return np.asarray(np.exp(means) if logarithmic else means)


def thinned(values: NDArray[Any], most: int) -> Thinned:
    """At most so many groups of neighbours, each with its lowest and highest value: no spike is lost.

    >>> found = thinned(np.array([1.0, 9.0, 2.0, np.nan]), 2)
    >>> found.places, found.low, found.high
    (array([0.5, 2.5]), array([1., 2.]), array([9., 2.]))
    """
    values = np.asarray(values, np.float64)
    size = max(1, -(-len(values) // most))
    starts = np.arange(0, len(values), size)
    known = np.isfinite(values)
    low = np.minimum.reduceat(np.where(known, values, np.inf), starts) if len(values) else values
    high = np.maximum.reduceat(np.where(known, values, -np.inf), starts) if len(values) else values
    ends = np.minimum(starts + size, len(values))
    return Thinned(
        (starts + ends - 1) / 2,
        np.where(np.isfinite(low), low, np.nan),
        np.where(np.isfinite(high), high, np.nan),
        size,
    )
