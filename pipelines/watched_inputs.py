"""What the sequential test of the inputs watches: the columns of the rows, the network's answers and its last layer.

Of the reference, answers count on rows that the version was not trained on: it answers those that it knows with more
certainty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy.typing as npt

from monitoring.activations import Projection, projection
from monitoring.bins import reference_bins
from monitoring.input_alarm import InputBlock, InputReference, InputWindow, input_reference
from monitoring.joint import PairBins, PairSums, merge_pairs, pair_bins, pair_sums
from monitoring.loss_slices import with_answers
from monitoring.profile import ColumnProfile, Profile, merge_all, profile
from monitoring.window import Window, locate

Array = npt.NDArray[Any]

MOST_PLACES = 5  # digits behind the point of what is stored of a block


@dataclass(frozen=True)
class Answers:
    """What a version makes of rows that it was not trained on, in time order.

    predictions: shape (n, outputs); activations: of its last layer, shape (n, units), None where it has none.
    """

    predictions: Array
    times: Array
    activations: Array | None = None


@dataclass(frozen=True)
class InputCounts:
    """Rows of a window, counted for the test."""

    profile: Profile
    pairs: PairSums | None


def make_inputs(
    columns: Mapping[str, Array],
    whole: Profile,
    blocks: Sequence[tuple[Window, Array, Profile]],
    answers: Answers | None,
    last_layer: Projection | None = None,
) -> InputReference:
    """What the inputs of a version are compared with. last_layer: of the activations in `answers`.

    whole: of all rows. blocks: windows of the reference, in the order of time, with the places of their rows and these
    counted.
    """
    pairs = pair_bins(columns, whole)
    answered = _answered(answers, last_layer, [window for window, _, _ in blocks])
    counted = [
        InputWindow(
            window,
            _beside(part, of_answers),
            pair_sums({name: values[rows] for name, values in columns.items()}, pairs),
        )
        for (window, rows, part), of_answers in zip(blocks, answered.blocks, strict=True)
    ]
    return input_reference(_beside(whole, answered.whole), counted, pairs)


def with_answered(
    reference: InputReference, answers: Answers, last_layer: Projection | None
) -> InputReference:
    """The reference of inputs alone, with what a version makes of them beside them."""
    windows = [block.window for block in reference.blocks]
    answered = _answered(answers, last_layer, windows)
    counted = [
        InputWindow(window, Profile(len(answers.times), columns))
        for window, columns in zip(windows, answered.blocks, strict=True)
    ]
    whole = Profile(len(answers.times), answered.whole)
    return reference.beside(input_reference(whole, counted, None)) if answered.whole else reference


def last_layer_of(answers: Answers | None) -> Projection | None:
    """The directions in which the last layer is watched; None where there is none, or too few rows."""
    if answers is None or answers.activations is None:
        return None
    return projection(answers.activations)


def count_inputs(
    reference: InputReference,
    columns: Mapping[str, Array],
    predictions: Array,
    last_layer: Mapping[str, Array] | None = None,
) -> InputCounts:
    """Rows of a window, or of a part of it.

    predictions: shape (n, outputs), of the version in service; last_layer: the columns of its activations.
    """
    known = {**with_answers(columns, predictions), **(last_layer or {})}
    pairs = pair_sums(columns, reference.pairs) if reference.pairs is not None else None
    return InputCounts(profile(known, reference.profile.bins), pairs)


def merge_counts(parts: Sequence[InputCounts]) -> InputCounts:
    """The rows of all parts; at least one is needed."""
    pairs = [part.pairs for part in parts if part.pairs is not None]
    return InputCounts(merge_all(part.profile for part in parts), merge_pairs(pairs) if pairs else None)


def write_inputs(reference: InputReference, profiled: Profile) -> dict[str, Any]:
    """As plain JSON values. profiled: the profile that is stored beside it, whose columns are not stored again."""
    of_answers = tuple(column for column in reference.profile.columns if column.name not in profiled.names)
    return {
        "answers": json.loads(Profile(profiled.rows, of_answers).to_json()),
        "pairs": json.loads(reference.pairs.to_json()) if reference.pairs is not None else None,
        "blocks": [
            [
                block.window.start.isoformat(),
                block.window.end.isoformat(),
                _plain(block.values),
                _runs(block.rows),
            ]
            for block in reference.blocks
        ],
    }


def read_inputs(stored: Mapping[str, Any], profiled: Profile) -> InputReference:
    """The opposite of `write_inputs`."""
    answers = Profile.from_json(json.dumps(stored["answers"]))
    pairs = (
        PairBins.from_json(json.dumps(stored["pairs"]), profiled.bins)
        if stored["pairs"] is not None
        else None
    )
    return InputReference(
        Profile(profiled.rows, (*profiled.columns, *answers.columns)),
        pairs,
        tuple(
            InputBlock(
                Window(datetime.fromisoformat(start), datetime.fromisoformat(end)),
                _numbers(values),
                _unrolled(rows),
            )
            for start, end, values, rows in stored["blocks"]
        ),
    )


def _plain(values: Sequence[float]) -> list[float | None]:
    """Numbers for JSON, which knows no nan."""
    return [None if value != value else round(value, MOST_PLACES) for value in values]


def _runs(rows: Sequence[float]) -> list[list[float]]:
    """Numbers of which many neighbours are the same: each with how often it comes."""
    return [[value, len(list(same))] for value, same in groupby(rows)]


def _unrolled(stored: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(float(value) for value, times in stored for _ in range(int(times)))


def _numbers(stored: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(float("nan") if value is None else float(value) for value in stored)


@dataclass(frozen=True)
class _Answered:
    whole: tuple[ColumnProfile, ...]
    blocks: list[tuple[ColumnProfile, ...]]


def _answered(answers: Answers | None, last_layer: Projection | None, windows: Sequence[Window]) -> _Answered:
    if answers is None or not len(answers.times):
        return _Answered((), [() for _ in windows])
    known = with_answers({}, answers.predictions)
    if last_layer is not None and answers.activations is not None:
        known |= last_layer.columns(answers.activations)
    bins = reference_bins(known)
    held = locate(answers.times, windows)
    parts = [
        profile({name: values[held == place] for name, values in known.items()}, bins).columns
        for place in range(len(windows))
    ]
    return _Answered(profile(known, bins).columns, parts)


def _beside(counted: Profile, others: tuple[ColumnProfile, ...]) -> Profile:
    return Profile(counted.rows, (*counted.columns, *others))
