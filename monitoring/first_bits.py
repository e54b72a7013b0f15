"""Numbers counted by their first bits: sign, exponent and eight bits of the mantissa, so in steps of 0.2 to 0.4 %.

One pass counts every number; how many of them lie below an edge that begins such a step is then a sum of counts. To
compare every number with every edge takes three times as long.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LATER = 44  # bits of a float64 behind the first ones
_OF_UPPER = LATER - 32  # the same of its upper half
_SIZES = (1 << 19) - 1  # all first bits but the sign
_NORMAL = 1 << 8  # the first bits of the smallest number that is not denormal
_MINUS_ZERO = -(1 << 19)
_UPPER = 1 if sys.byteorder == "little" else 0
# steps from the smallest number to the largest; more take longer to add up than numbers to count
_MOST = 1 << 16
_TINIEST = float(np.nextafter(0.0, 1.0))


class Space:
    """Memory for steps in between, for many columns of so many rows: the system clears what each would take anew."""

    def __init__(self, rows: int) -> None:
        self._bits, self._sizes = np.empty(rows, np.int32), np.empty(rows, np.int32)
        self._places = np.empty(rows, np.uint16)

    def of(self, rows: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Two arrays of so many rows."""
        return self._bits[:rows], self._sizes[:rows]

    def places(self, rows: int) -> NDArray[np.uint16]:
        """One of so many rows; smaller numbers are counted more quickly."""
        return self._places[:rows]


@dataclass(frozen=True, eq=False)
class FirstBits:
    """Numbers by their first bits. counts: of positive sizes from `lowest` on, then of negative; zeros: of both."""

    lowest: int
    counts: Whole
    zeros: int

    @property
    def width(self) -> int:
        """How many sizes are counted."""
        return len(self.counts) // 2

    def below(self, edges: tuple[float, ...]) -> tuple[Whole, NDArray[np.bool_]]:
        """How many of the numbers lie below each edge, and of which edges that is known: those that begin a step."""
        steps, width = _steps_of(edges), self.width
        before = np.zeros(2 * width + 1, np.int64)  # of how many counts the sum is, from none to all
        np.cumsum(self.counts, out=before[1:])
        places = np.minimum(np.maximum(steps.sizes - self.lowest, 0), width) + width * steps.negative
        negative = before[-1] - before[width]
        found = negative + steps.signs * before[places] + steps.behind * self.zeros
        return found + steps.negative * before[width], steps.known

    def sizes(self) -> Whole:
        """How many numbers have each size from `lowest` on, whatever their sign."""
        return self.counts[: self.width] + self.counts[self.width :]


def first_bits(numbers: Floats, space: Space) -> FirstBits | None:
    """Counts finite numbers, shape (n,), n > 0, each after the other in memory; None where they reach too far."""
    bits, sizes = space.of(len(numbers))
    np.right_shift(numbers.view(np.int32)[_UPPER::2], _OF_UPPER, out=bits)
    np.bitwise_and(bits, _SIZES, out=sizes)
    least, lowest, highest = int(bits.min()), int(sizes.min()), int(sizes.max())
    zeros = minus = 0
    if lowest < _NORMAL:
        zeros = len(numbers) - int(np.count_nonzero(numbers))
        if np.count_nonzero(sizes < _NORMAL) > zeros:  # denormal ones
            return None
        minus = int(np.count_nonzero(bits == _MINUS_ZERO)) if least == _MINUS_ZERO else 0
        lowest = int(np.min(sizes, where=sizes >= _NORMAL, initial=max(highest, _NORMAL)))
        np.maximum(sizes, lowest, out=sizes)
    width = max(highest, lowest) - lowest + 1
    if width > _MOST:
        return None
    places = space.places(len(numbers)) if 2 * width <= _MOST else sizes
    if least < 0:  # negative numbers come behind the others
        np.right_shift(bits, 31, out=bits)
        np.bitwise_and(bits, width, out=bits)
        np.subtract(bits, lowest, out=bits)
        np.add(sizes, bits, out=places, casting="unsafe")
    else:
        np.subtract(sizes, lowest, out=places, casting="unsafe")
    counts = np.bincount(places, minlength=2 * width)
    counts[0] -= zeros - minus
    counts[width] -= minus
    return FirstBits(lowest, counts, zeros)


@lru_cache(maxsize=8)
def octaves_of(steps: int, fewer: int) -> NDArray[np.int16]:
    """floor(steps log2 x) of the smallest number of every size, of whose mantissa so many bits fewer count."""
    sizes = np.arange(_NORMAL, _SIZES + 1) >> fewer << fewer
    values = np.asarray(sizes << LATER).view(np.float64)
    finite = np.where(np.isfinite(values), values, 1.0)
    found = np.zeros(_SIZES + 1, np.int16)
    found[_NORMAL:] = np.floor(np.log2(finite) * steps)
    return found


def begin_steps(edges: Floats, room: Floats) -> Floats:
    """Edges, ascending, moved to where a step begins, each by less than its room; one that has none stays.

    The first is only moved down and the last only up: what lies between them stays between them.

    >>> begin_steps(np.array([-1.0, 0.1, 1.5, 1.501]), np.array([0.0, 0.01, 0.01, 0.01]))
    array([-1.        ,  0.10009766,  1.5       ,  1.50390625])
    """
    bits = np.abs(edges).view(np.int64)
    half = np.full(len(edges), 1 << (LATER - 1))
    half[:1] = np.where(edges[:1] < 0, 1 << LATER, 0)
    half[-1:] = np.where(edges[-1:] < 0, 0, (1 << LATER) - 1)
    near = ((bits + half) >> LATER << LATER).view(np.float64)
    near = np.where(edges < 0, np.nextafter(-near, np.inf), near)
    fits = (np.abs(near - edges) < room) & (np.abs(edges) > 1e-300) & (np.abs(edges) < 1e150)
    return np.where(fits, near, edges)


@dataclass(frozen=True, eq=False)
class _Steps:
    """Of edges their signs and where their steps begin; negative, behind: masks of edges below and behind 0."""

    signs: Whole
    sizes: Whole
    negative: NDArray[np.bool_]
    behind: NDArray[np.bool_]
    known: NDArray[np.bool_]


@lru_cache(maxsize=4096)
def _steps_of(edges: tuple[float, ...]) -> _Steps:
    signs, sizes = np.array([_step_of(edge) for edge in edges], np.int64).reshape(-1, 2).T
    behind = (signs > 0) | ((signs == 0) & (sizes > 0))
    return _Steps(signs, sizes, signs < 0, behind, (signs != 0) | (sizes >= 0))


def _step_of(edge: float) -> tuple[int, int]:
    """Its sign, and the size at which its step begins. Sign 0: of 0, with 1 of what follows it, with -1 of no step."""
    if edge == 0:
        return 0, 0
    if edge == _TINIEST:
        return 0, 1
    # x < edge is |x| > size below 0: there a step begins behind its smallest size
    size = edge if edge > 0 else -float(np.nextafter(edge, -np.inf))
    bits = int(np.float64(size).view(np.int64))
    if bits & ((1 << LATER) - 1) or bits >> LATER < _NORMAL:
        return 0, -1
    return (1 if edge > 0 else -1), bits >> LATER
