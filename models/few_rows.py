"""A few rows prepared in a few calls of numpy, for a server that is asked row by row.

`Schema.inputs` takes a dozen calls a column, which is nothing for a table and everything for a single row. What is
computed here is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.column_values import level_of, whole_levels
from models.schema import CLIP, CategoryColumn, Column, NumberColumn, Schema

Row = NDArray[np.float64]


@dataclass(frozen=True)
class _Names:
    """A category: where its inputs begin, and the code of each value that is looked up at once."""

    place: int
    start: int
    known: Mapping[Hashable, int]
    levels: Mapping[str, int]

    def code(self, value: Any) -> int:
        """The code of a value that `known` lacks: 1.5, true or a level that training rows did not have."""
        level = level_of(value)
        count = len(self.levels)
        return count + 1 if level is None else self.levels.get(level, count)


class FewRows:
    """The preparation of one schema, laid out for few rows.

    >>> from models.schema import Target
    >>> wind = NumberColumn("wind", median=2.0, mean=2.0, scale=0.5, indicator=True)
    >>> few = FewRows(Schema((CategoryColumn("hour", ("7", "8")), wind), Target("late", "binary")))
    >>> few.inputs([[8], [None]])
    array([[0., 1., 0., 0., 0., 1.]], dtype=float32)
    """

    def __init__(self, schema: Schema) -> None:
        self._width = schema.width
        self._names: list[_Names] = []
        self._others: list[tuple[int, int, int, Column]] = []
        numbers: list[tuple[int, int, NumberColumn]] = []
        start = 0
        for place, column in enumerate(schema.columns):
            if isinstance(column, NumberColumn):
                numbers.append((place, start, column))
            elif isinstance(column, CategoryColumn):
                self._names.append(_names(place, start, column))
            else:
                self._others.append((place, start, start + len(column.input_names), column))
            start += len(column.input_names)
        self._scaled = _Scaled([one for one in numbers if one[2].scale > 0])
        self._single = [
            (place, start, column.median, column.mean, column.scale, *_limits(column))
            for place, start, column in numbers
            if column.scale > 0
        ]
        self._indicators = [(place, start + 1) for place, start, column in numbers if column.indicator]

    def inputs(self, columns: Sequence[Sequence[Any]]) -> NDArray[np.float32]:
        """The rows as a network sees them, (n, width).

        columns: in the order of the schema, n checked values each: numbers, bools, texts, None where missing.
        """
        rows = len(columns[0])
        if rows == 1 and not self._others:
            return self._row([values[0] for values in columns])
        inputs = np.zeros((rows, self._width), np.float32)
        if self._scaled.places:
            self._scaled.fill(inputs, columns)
        for place, at in self._indicators:
            inputs[:, at] = [value is None or value != value for value in columns[place]]
        if self._names:
            self._fill_names(inputs, columns)
        for place, start, end, column in self._others:
            column.fill(inputs[:, start:end], columns[place])
        return inputs

    def _row(self, values: Sequence[Any]) -> NDArray[np.float32]:
        """A single row, in Python's own numbers: numpy would take longer to be called."""
        inputs = [0.0] * self._width
        for place, start, median, mean, scale, low, high in self._single:
            value = values[place]
            known = median if value is None or value != value else float(value)
            known = low if known < low else high if known > high else known
            known = (known - mean) / scale
            inputs[start] = -CLIP if known < -CLIP else CLIP if known > CLIP else known
        for place, at in self._indicators:
            value = values[place]
            inputs[at] = 1.0 if value is None or value != value else 0.0
        for names in self._names:
            value = values[names.place]
            code = names.known.get(value, -1)
            inputs[names.start + (code if code >= 0 else names.code(value))] = 1.0
        return np.array([inputs], np.float32)

    def _fill_names(self, inputs: NDArray[np.float32], columns: Sequence[Sequence[Any]]) -> None:
        flat, rows = inputs.reshape(-1), np.arange(0, inputs.size, self._width)
        for names in self._names:
            values = columns[names.place]
            codes = list(map(names.known.get, values))
            if None in codes:
                pairs = zip(codes, values, strict=True)
                codes = [names.code(value) if code is None else code for code, value in pairs]
            flat[rows + (np.array(codes) + names.start)] = 1.0


class _Scaled:
    """The numbers that have a scale, as one matrix of a row each."""

    def __init__(self, numbers: Sequence[tuple[int, int, NumberColumn]]) -> None:
        self.places = [place for place, _, _ in numbers]
        columns = [column for _, _, column in numbers]
        self._starts = np.array([start for _, start, _ in numbers], dtype=np.intp)
        self._median = _row([column.median for column in columns])
        self._mean = _row([column.mean for column in columns])
        self._scale = _row([column.scale for column in columns])
        self._low = _row([_limits(column)[0] for column in columns])
        self._high = _row([_limits(column)[1] for column in columns])

    def fill(self, inputs: NDArray[np.float32], columns: Sequence[Sequence[Any]]) -> None:
        given = np.array([columns[place] for place in self.places], dtype=np.float64)
        known = np.where(given == given, given, self._median)  # nan is unlike itself
        np.maximum(known, self._low, out=known)
        np.minimum(known, self._high, out=known)
        with np.errstate(over="ignore"):
            known -= self._mean
            known /= self._scale
        np.maximum(known, -CLIP, out=known)
        np.minimum(known, CLIP, out=known)
        inputs[:, self._starts] = known.T


def _limits(column: NumberColumn) -> tuple[float, float]:
    low = -math.inf if column.low is None else column.low
    return low, math.inf if column.high is None else column.high


def _row(values: Sequence[float]) -> Row:
    return np.array(values, dtype=np.float64).reshape(-1, 1)


def _names(place: int, start: int, column: CategoryColumn) -> _Names:
    levels = {level: code for code, level in enumerate(column.levels)}
    known: dict[Hashable, int] = {None: len(levels) + 1}
    known.update(whole_levels(levels))
    known.update(levels)
    return _Names(place, start, known, levels)
