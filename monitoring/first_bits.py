"""Numbers counted by their first bits: sign, exponent and eight bits of the mantissa, so in steps of 0.2 to 0.4 %.

One pass counts every number; how many of them lie below an edge that begins such a step is then a sum of counts. To
compare every number with every edge takes three times as long.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LATER = 44  # bits of a float64 behind the first ones
_OF_UPPER = LATER - 32  # the same of its upper half
_SIZES = (1 << 19) - 1  # all first bits but the sign
_MANTISSA, _BIAS = 8, 1023  # bits of the mantissa among the first ones; the exponent of 1
_OF_MANTISSA = (1 << _MANTISSA) - 1
_NORMAL = 1 << _MANTISSA  # the first bits of the smallest number that is not denormal
_MINUS_ZERO = -(1 << 19)
_UPPER = 1 if sys.byteorder == "little" else 0
# steps from the smallest number to the largest; more take longer to add up than numbers to count
MOST = 1 << 16
_TINIEST = float(np.nextafter(0.0, 1.0))


class Space:
    """Memory for steps in between, for many columns of so many rows: the system clears what each would take anew."""

    def __init__(self, rows: int) -> None:
        self._bits, self._sizes = np.empty(rows, np.int32), np.empty(rows, np.int32)
        self._places = np.empty(rows, np.intp)

    def of(self, rows: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Two arrays of so many rows."""
        return self._bits[:rows], self._sizes[:rows]

    def places(self, rows: int) -> NDArray[np.intp]:
        """One of so many rows, of the type that `bincount` would make a copy of all others in."""
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

    def by_octaves(self, steps: int, fewer: int) -> tuple[Whole, Whole]:
        """floor(steps log2 |x|) of the numbers but 0, ascending, and how many have it, some of them none.

        fewer: bits of the mantissa that do not count.
        """
        changes, values = _within_octave(steps, fewer)
        last = self.lowest + self.width - 1
        octaves = np.arange(self.lowest >> _MANTISSA, (last >> _MANTISSA) + 1)
        begins = np.add.outer((octaves << _MANTISSA) - self.lowest, changes).ravel()
        found = np.add.outer(steps * (octaves - _BIAS), values).ravel()
        begun = bisect_right(changes, self.lowest & _OF_MANTISSA) - 1
        kept = slice(begun, len(begins) - len(changes) + bisect_right(changes, last & _OF_MANTISSA))
        begins[begun] = 0
        sizes = self.counts[: self.width] + self.counts[self.width :]
        return found[kept], np.add.reduceat(sizes, begins[kept])

    def joined(self, other: FirstBits) -> FirstBits:
        """The numbers of both. Where its memory is enough this one becomes it, and is not to be used any more."""
        lowest = min(self.lowest, other.lowest)
        width = max(self.lowest + self.width, other.lowest + other.width) - lowest
        counts = self.counts.reshape(2, -1)
        if (lowest, width) != (self.lowest, self.width):
            counts = np.zeros((2, width), np.int64)
            counts[:, self.lowest - lowest :][:, : self.width] = self.counts.reshape(2, -1)
        counts[:, other.lowest - lowest :][:, : other.width] += other.counts.reshape(2, -1)
        return FirstBits(lowest, counts.ravel(), self.zeros + other.zeros)


def first_bits(numbers: Floats, ends: tuple[float, float], space: Space) -> FirstBits | None:
    """Counts finite numbers, shape (n,), n > 0, each after the other in memory; None where they reach too far.

    ends: the smallest and the largest of them.
    """
    bits, sizes = space.of(len(numbers))
    places = space.places(len(numbers))
    np.copyto(bits, numbers.view(np.int32)[_UPPER::2])  # to shift them on the way takes twice as long
    np.right_shift(bits, _OF_UPPER, out=bits)
    highest = _size_of(max(-ends[0], ends[1]))
    if ends[0] > 0:  # their first bits are their sizes
        lowest = _size_of(ends[0])
        if lowest < _NORMAL or highest - lowest >= MOST:
            return None
        np.subtract(bits, lowest, out=places)
        return FirstBits(lowest, np.bincount(places, minlength=2 * (highest - lowest + 1)), 0)
    np.bitwise_and(bits, _SIZES, out=sizes)
    lowest, zeros, minus = int(sizes.min()), 0, 0
    if lowest < _NORMAL:
        zeros = len(numbers) - int(np.count_nonzero(numbers))
        if np.count_nonzero(sizes < _NORMAL) > zeros:  # denormal ones
            return None
        minus = int(np.count_nonzero(bits == _MINUS_ZERO))
        lowest = int(np.min(sizes, where=sizes >= _NORMAL, initial=max(highest, _NORMAL)))
        np.maximum(sizes, lowest, out=sizes)
    width = max(highest, lowest) - lowest + 1
    if width > MOST:
        return None
    if ends[0] < 0 or minus:  # negative numbers come behind the others
        np.right_shift(bits, 31, out=bits)
        np.bitwise_and(bits, width, out=bits)
        np.subtract(bits, lowest, out=bits)
        np.add(sizes, bits, out=places)
    else:
        np.subtract(sizes, lowest, out=places)
    counts = np.bincount(places, minlength=2 * width)
    counts[0] -= zeros - minus
    counts[width] -= minus
    return FirstBits(lowest, counts, zeros)


def _size_of(number: float) -> int:
    """The first bits of a number that is not negative."""
    return int(np.float64(number).view(np.int64)) >> LATER


@lru_cache(maxsize=8)
def _within_octave(steps: int, fewer: int) -> tuple[list[int], list[int]]:
    """floor(steps log2 x) for x from 1 to 2: at which sizes it changes, and to what."""
    mantissas = np.arange(1 << _MANTISSA) >> fewer << fewer
    values = np.floor(np.log2(1 + mantissas / (1 << _MANTISSA)) * steps).astype(np.int64)
    changes = np.flatnonzero(np.diff(values, prepend=-1))
    return changes.tolist(), values[changes].tolist()


def known_below(edges: tuple[float, ...]) -> NDArray[np.bool_]:
    """Of which edges first bits tell how many numbers lie below them: those that begin a step."""
    return _steps_of(edges).known


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
