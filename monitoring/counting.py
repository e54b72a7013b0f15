"""The numbers of one column, counted batch after batch: what is the same for all batches is done once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.first_bits import MOST, FirstBits, Space, first_bits, known_below
from monitoring.values import LARGEST, Floats, as_numbers

Whole = NDArray[np.int64]

STEPS_AN_OCTAVE = 8  # of the histogram of magnitudes: one step is 9 %
COMPARED = 48  # edges up to which it is quicker to compare every number with each than to sort the numbers
FEWEST_COUNTED = 1000  # numbers; of fewer it takes no longer to compare each with every edge
AT_ONCE = 65_536  # numbers: what lies between the steps stays in the processor's cache
MULTIPLIED = 8192  # numbers; OpenBLAS takes a second thread from 10,000 on
_FEWER, _CUT = 1, 45  # magnitudes are of numbers of whose mantissa 7 bits are left


class BatchSpace:
    """Memory for steps in between, for all columns and batches: the system clears what each would take anew."""

    def __init__(self) -> None:
        self.bits = Space(AT_ONCE)
        self._numbers, self._read = np.empty(AT_ONCE), np.empty(AT_ONCE)
        self._flags = np.empty(AT_ONCE, np.bool_)

    def numbers(self, count: int) -> Floats:
        return self._numbers[:count]

    def flags(self, count: int) -> NDArray[np.bool_]:
        return self._flags[:count]

    def read(self, values: NDArray[Any]) -> Floats:
        """Values as float64, one after the other in memory; nan where they are missing, infinite where no number."""
        if values.dtype.kind not in "biuf":
            return as_numbers(values)
        if values.dtype == np.float64:
            return np.ascontiguousarray(values)
        numbers = self._read[: len(values)]
        with np.errstate(over="ignore"):
            np.copyto(numbers, values, casting="unsafe")
        return numbers


class NumberCounts:
    """The numbers so far. rows: with one that can be squared; missing, invalid: rows without one.

    least, most: of the numbers; total, total_square: sums of `x - centre` and of its square.
    """

    def __init__(self, edges: tuple[float, ...], centre: float) -> None:
        self._edges, self._centre = edges, centre
        self._others = np.flatnonzero(~known_below(edges))
        self._below = np.zeros(len(edges), np.int64)
        self._magnitudes: Counter[int] = Counter()
        self._bits: FirstBits | None = None
        self.rows = self.missing = self.invalid = 0
        self.least, self.most = math.inf, -math.inf
        self.total = self.total_square = 0.0

    def add(self, values: NDArray[Any], space: BatchSpace) -> None:
        """Counts a batch, shape (n,)."""
        for start in range(0, len(values), AT_ONCE):
            self._add(values[start : start + AT_ONCE], space)

    def _add(self, values: NDArray[Any], space: BatchSpace) -> None:
        numbers = space.read(values)
        ends = float(numbers.min()), float(numbers.max())
        if not (ends[0] > -LARGEST and ends[1] < LARGEST):  # or one is nan
            numbers, missing = _usable(numbers, space)
            self.missing += missing
            self.invalid += len(values) - len(numbers) - missing
            if not len(numbers):
                return
            ends = float(numbers.min()), float(numbers.max())
        self.rows += len(numbers)
        self.least, self.most = min(self.least, ends[0]), max(self.most, ends[1])
        self._count(numbers, ends, space)
        away = np.subtract(numbers, self._centre, out=space.numbers(len(numbers)))
        self.total += float(away.sum())
        self.total_square += sum(float(part @ part) for part in _in_parts(away))

    def _count(self, numbers: Floats, ends: tuple[float, float], space: BatchSpace) -> None:
        counted = first_bits(numbers, ends, space.bits) if len(numbers) >= FEWEST_COUNTED else None
        if counted is None:
            self._below += _below_each(numbers, self._edges, space)
            self._magnitudes.update(_magnitudes(numbers, space))
            return
        if len(self._others):
            edges = [self._edges[place] for place in self._others.tolist()]
            self._below[self._others] += _below_each(numbers, edges, space)
        self._bits = counted if self._bits is None else self._bits.joined(counted)
        if self._bits.width > MOST:
            self._below, self._magnitudes, self._bits = self.below(), Counter(dict(self.magnitudes())), None

    def below(self) -> Whole:
        """How many numbers lie below each edge."""
        found = self._below.copy()
        if self._bits is not None:
            below, known = self._bits.below(self._edges)
            found[known] += below[known]
        return found

    def magnitudes(self) -> tuple[tuple[int, int], ...]:
        """Pairs (floor(8 log2 |x|), rows) of the numbers that are not 0, ascending."""
        if self._bits is None:
            return tuple(sorted(self._magnitudes.items()))
        steps, rows = self._bits.by_octaves(STEPS_AN_OCTAVE, _FEWER)
        kept = np.flatnonzero(rows)
        counted = zip(steps[kept].tolist(), rows[kept].tolist(), strict=True)
        return tuple(
            sorted((self._magnitudes + Counter(dict(counted))).items()) if self._magnitudes else counted
        )


def _in_parts(numbers: Floats) -> Iterator[Floats]:
    """So few that BLAS multiplies them in this thread: others that it wakes wait for more of it on the CPU."""
    return (numbers[start : start + MULTIPLIED] for start in range(0, len(numbers), MULTIPLIED))


def _usable(numbers: Floats, space: BatchSpace) -> tuple[Floats, int]:
    """The numbers that can be squared, and how many are missing."""
    sizes, flags = space.numbers(len(numbers)), space.flags(len(numbers))
    missing = int(np.count_nonzero(np.isnan(numbers, out=flags)))
    # false for nan and for infinite numbers
    return numbers[np.less(np.abs(numbers, out=sizes), LARGEST, out=flags)], missing


def _below_each(numbers: Floats, edges: Sequence[float], space: BatchSpace) -> Whole:
    if len(edges) > COMPARED:
        return np.searchsorted(np.sort(numbers), np.array(edges), side="left").astype(np.int64)
    flags = space.flags(len(numbers))
    return np.array([np.count_nonzero(np.less(numbers, edge, out=flags)) for edge in edges], dtype=np.int64)


def _magnitudes(numbers: Floats, space: BatchSpace) -> dict[int, int]:
    """Counted by the first bits of the numbers themselves: a logarithm of every one would cost most of a profile."""
    away = np.abs(numbers, out=space.numbers(len(numbers)))
    bits, counts = np.unique(away.view(np.int64) >> _CUT << _CUT, return_counts=True)
    counts = counts[bits > 0]
    steps = np.floor(np.log2(bits[bits > 0].view(np.float64)) * STEPS_AN_OCTAVE).astype(np.int64)
    found: Counter[int] = Counter()
    for step, rows in zip(steps.tolist(), counts.tolist(), strict=True):
        found[step] += rows
    return found
