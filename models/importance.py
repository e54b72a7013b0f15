"""Which inputs matter: by shuffling a column, and by integrating the network's slope from the mean row to a row.

The two ask different things. Shuffling asks what the loss would lose without the column; a column that another one
could stand in for then looks needless. Gradients ask what moved the answers, right or wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.intervals import Interval, Resampling, mean_intervals

if TYPE_CHECKING:
    import keras

    from models.schema import Schema

Array = NDArray[Any]
Inputs = NDArray[np.float32]

REPEATS = 5  # shufflings of a column; their spread is then well below that of the rows
STEPS = 64  # of Gauss and Legendre on the way from the mean row; leaves about 1 % where a network has kinks
_TOGETHER = 4096  # rows of one call of the network


@dataclass(frozen=True)
class Span:
    """The prepared inputs of one column of the user's: [first, end)."""

    column: str
    first: int
    end: int


@dataclass(frozen=True)
class Importance:
    """How much a column matters, in units of the loss or of the answer, with its interval."""

    column: str
    value: float
    low: float
    high: float

    @property
    def matters(self) -> bool:
        """Whether it is above 0 beyond chance."""
        return self.low > 0


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each input added to the answers, and what is left unexplained.

    values: (n, width); a row's add up to its answer minus that of the mean row, but for `gap`: the largest
    difference, as a share of the spread of the answers. answers: (n,), of the output that was explained.
    """

    values: NDArray[np.float64]
    answers: NDArray[np.float64]
    gap: float


def column_spans(schema: Schema) -> tuple[Span, ...]:
    """Which prepared inputs belong to which column.

    >>> from models.schema import CategoryColumn, NumberColumn, Schema, Target
    >>> columns = (NumberColumn("wind", 0, 0, 1, True), CategoryColumn("sky", ("clear",)))
    >>> column_spans(Schema(columns, Target("late", "binary", ("no", "yes"))))
    (Span(column='wind', first=0, end=2), Span(column='sky', first=2, end=5))
    """
    found, first = [], 0
    for column in schema.columns:
        end = first + len(column.input_names)
        found.append(Span(column.name, first, end))
        first = end
    return tuple(found)


def permutation_importance(
    predict: Callable[[Inputs], Array],
    row_losses: Callable[[Array, Array], Array],
    inputs: Inputs,
    targets: Array,
    spans: Sequence[Span],
    plan: Resampling,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> tuple[Importance, ...]:
    """How much the loss rises when the rows swap the values of a column: the column that matters most first.

    predict: inputs (n, width) to answers (n, outputs). row_losses: (targets (n,), answers) to (n,). All inputs of
    a column move together. The interval is that of the mean over the rows, each with the mean of its `repeats`
    swaps. Breiman, Random Forests, 2001; Fisher, Rudin and Dominici, All Models Are Wrong, but Many Are Useful,
    2019. say: told of every column.

    >>> inputs = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    >>> spans = (Span("used", 0, 1), Span("idle", 1, 2))
    >>> squared = lambda targets, answers: (targets - answers[:, 0]) ** 2
    >>> found = permutation_importance(
    ...     lambda rows: rows[:, :1], squared, inputs, inputs[:, 0], spans, Resampling(200))
    >>> [(one.column, one.matters) for one in found]
    [('used', True), ('idle', False)]
    """
    rng = np.random.default_rng(seed)
    before = row_losses(targets, predict(inputs))
    rises = np.zeros((len(targets), len(spans)))
    for place, span in enumerate(spans):
        if say is not None:
            say(f"how much does {span.column!r} matter: {place + 1} of {len(spans)} columns")
        for _ in range(repeats):
            swapped = inputs.copy()
            swapped[:, span.first : span.end] = inputs[rng.permutation(len(inputs)), span.first : span.end]
            rises[:, place] += (row_losses(targets, predict(swapped)) - before) / repeats
    return _ranked(spans, mean_intervals(rises, plan))


def integrated_gradients(
    model: keras.Model,
    inputs: Inputs,
    *,
    baseline: Array | None = None,
    output: int | None = None,
    steps: int = STEPS,
) -> Attribution:
    """What each input added to the answer, on the straight way from a baseline to the row.

    inputs: (n, width). baseline: (width,), by default the mean row. output: which answer is explained; by default
    the only one, or of several classes the one that is highest for the row. The integral is taken at `steps`
    points of Gauss and Legendre. Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, 2017.
    """
    start = np.asarray(inputs.mean(axis=0) if baseline is None else baseline, np.float32)
    parts = [
        _integrated(model, inputs[first : first + _TOGETHER], start, output, steps)
        for first in range(0, len(inputs), _TOGETHER)
    ]
    values, answers, begins = (np.concatenate(column) for column in zip(*parts, strict=True))
    unexplained = np.abs(values.sum(axis=1) - (answers - begins))
    spread = float(np.abs(answers - begins).max(initial=0.0))
    return Attribution(values, answers, float(unexplained.max()) / spread if spread > 0 else 0.0)


def attributed_importance(
    attribution: Attribution, spans: Sequence[Span], plan: Resampling
) -> tuple[Importance, ...]:
    """By how much each column moved the answers, up or down, on average over the rows: the largest first.

    What the inputs of one column add to a row is summed before its size is taken.
    """
    moved = [np.abs(attribution.values[:, span.first : span.end].sum(axis=1)) for span in spans]
    return _ranked(spans, mean_intervals(np.column_stack(moved), plan)) if moved else ()


def _ranked(spans: Sequence[Span], intervals: Sequence[Interval]) -> tuple[Importance, ...]:
    found = [
        Importance(span.column, one.value, one.low, one.high)
        for span, one in zip(spans, intervals, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: -one.value if math.isfinite(one.value) else math.inf))


def _integrated(
    model: keras.Model, rows: Inputs, start: Inputs, output: int | None, steps: int
) -> tuple[Array, Array, Array]:
    """Attributions (n, width), and the answers of the rows and of the start, (n,) each."""
    import tensorflow as tf

    answers = np.asarray(model(rows, training=False))
    chosen = answers.argmax(axis=1) if output is None else np.full(len(rows), output)
    picked = np.eye(answers.shape[1], dtype=np.float32)[chosen]
    begin = np.asarray(model(start[None], training=False))[0]

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def slopes(points: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(points)
            wanted = tf.reduce_sum(model(points, training=False) * picked)
        return tape.gradient(wanted, points, unconnected_gradients="zero")

    places, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros(rows.shape, np.float64)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        points = tf.constant(start + np.float32(place) * (rows - start), tf.float32)
        total += weight * np.asarray(slopes(points), np.float64)
    whole = total * (rows.astype(np.float64) - start)
    return whole, answers[np.arange(len(rows)), chosen].astype(np.float64), begin[chosen].astype(np.float64)
