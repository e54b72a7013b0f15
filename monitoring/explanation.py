"""Why the loss of some windows is what it is: where their rows lie, or what rows like them lose now.

The rise of the mean loss over its reference is taken apart as Kitagawa ("Components of a difference between two rates",
1955), Oaxaca and Blinder (1973) do, with the additive model of the reference's loss (`monitoring.loss_slices`) in the
place of their regression:

    loss - reference = sum over cells (share now - share then) * effect of the cell     by inputs, column by column
                     + excess of rows in cells that the reference never had             by inputs, column by column
                     + excess of all other rows over what their inputs let expect       within: a change of the concept

The parts add up to the rise. An effect is how much the loss depends on a cell, so a column's part is its shift
weighted by what the network is sensitive to: a column that moved and does not matter has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.loss_slices import ANSWER, CONFIDENCE, Cut, SliceReference, SliceSums, merge_sums

Floats = NDArray[np.float64]

BY_INPUTS = 0.5  # share of a rise from which the inputs explain it
CLEAR = 2.0  # standard errors from which a part is told
MANY_BEYOND = 0.1  # share of rows beyond the reference from which they are a shift by themselves
LEAST_BEYOND = 0.01  # share of rows beyond the reference from which they are told
SHOWN = 5  # columns and slices that are kept


@dataclass(frozen=True)
class ColumnPart:
    """What one column moved the loss by, with no change of what its rows mean. cell: that moved it most.

    share_before, share_now: of the rows in that cell.
    """

    name: str
    part: float
    cell: str
    share_before: float
    share_now: float

    def __str__(self) -> str:
        return f"{self.part:+.3g} by {self.cell} ({self.share_before:.1%} -> {self.share_now:.1%} of rows)"


@dataclass(frozen=True)
class SlicePart:
    """What the rows of a slice add to the loss beyond what their inputs let expect. rows: its share of them."""

    name: str
    column: str
    part: float
    rows: float

    def __str__(self) -> str:
        return f"{self.part:+.3g} in {self.name} ({self.rows:.1%} of rows)"


@dataclass(frozen=True)
class Explanation:
    """The rise of the loss of some windows taken apart; losses winsorised, the parts add up to `rise`.

    by_inputs: the sum of `columns` and of what is left out of them; within: rows like those of the reference; error:
    its standard error. beyond: share of the rows in cells that the reference never had. columns, slices: the largest
    first, of all columns and of the column that tells most.
    """

    rows: int
    loss: float
    reference_loss: float
    by_inputs: float
    within: float
    error: float
    beyond: float
    columns: tuple[ColumnPart, ...]
    slices: tuple[SlicePart, ...]

    @property
    def rise(self) -> float:
        return self.loss - self.reference_loss

    @property
    def explained(self) -> float:
        """The share of a rise that lies in where the rows are, 0 to 1; `nan` without a rise."""
        if self.rise <= 0:
            return float("nan")
        return min(max(self.by_inputs / self.rise, 0.0), 1.0)

    @property
    def in_inputs(self) -> bool:
        """Whether the rise is explained by where the rows lie."""
        return self.explained >= BY_INPUTS

    @property
    def outside(self) -> bool:
        """Whether many rows lie where the reference has none, so that nothing is known of their loss."""
        return self.beyond >= MANY_BEYOND

    @property
    def cause(self) -> ColumnPart | None:
        """The column that moved the loss most; what the network answers is a consequence."""
        return next((one for one in self.columns if one.name not in (ANSWER, CONFIDENCE)), None)

    @property
    def clear(self) -> bool:
        """Whether the part within like rows is more than chance."""
        return abs(self.within) > CLEAR * self.error

    def __str__(self) -> str:
        told = [f"where the rows lie {_share(self.by_inputs, self.reference_loss)} of the loss"]
        told += (
            [str(one) for one in self.columns[:2]]
            if abs(self.by_inputs) > 0.01 * abs(self.reference_loss)
            else []
        )
        text = f"{told[0]}{' (' + ', '.join(told[1:]) + ')' if told[1:] else ''}, "
        text += f"rows like those before {_share(self.within, self.reference_loss)}"
        if self.clear and self.slices:
            text += f" ({', '.join(str(one) for one in self.slices[:2])})"
        if self.beyond >= LEAST_BEYOND:
            text += f"; {self.beyond:.1%} of the rows lie where the reference has none"
        return text


def _share(part: float, whole: float) -> str:
    return f"{part / abs(whole):+.1%}" if whole else f"{part:+.3g}"


def explain(
    reference: SliceReference, windows: Sequence[SliceSums], before: Sequence[SliceSums] = ()
) -> Explanation | None:
    """The rise over these windows together; None without a labelled row.

    before: windows in service to compare with; the rows of the reference where there are none.
    """
    if not windows or not reference.all_rows:
        return None
    now, then = merge_sums(windows), merge_sums(before) if before else reference.sums
    if not now.all_rows or not then.all_rows:
        return None
    expected = now.all_expected / now.all_rows - then.all_expected / then.all_rows
    beyond = now.beyond / now.all_rows - then.beyond / then.all_rows
    by_inputs = expected + float(beyond.sum())
    loss, loss_before = now.all_loss / now.all_rows, then.all_loss / then.all_rows
    return Explanation(
        rows=int(now.all_rows),
        loss=loss + reference.floor,
        reference_loss=loss_before + reference.floor,
        by_inputs=by_inputs,
        within=loss - loss_before - by_inputs,
        error=_error(now, then),
        beyond=now.beyond_rows / now.all_rows,
        columns=_columns(reference, now, then, beyond),
        slices=_slices(reference, now, then),
    )


def _error(*sums: SliceSums) -> float:
    """Standard error of the difference of means, from their rows."""
    variances = (
        max(one.all_square / one.all_rows - (one.all_loss / one.all_rows) ** 2, 0.0) / one.all_rows
        for one in sums
    )
    return float(np.sqrt(sum(variances)))


def _columns(
    reference: SliceReference, now: SliceSums, then: SliceSums, beyond: Floats
) -> tuple[ColumnPart, ...]:
    """Kitagawa's composition part, column by column; what lies beyond the reference with the column that it lies in."""
    share, share_before = now.rows / now.all_rows, then.rows / then.all_rows
    parts = (share - share_before) * np.array(reference.effects)
    labels, found = reference.labels, []
    for k, (cut, start) in enumerate(zip(reference.cuts, reference.starts, strict=True)):
        cells = slice(int(start), int(start) + cut.cells)
        unknown = reference.unknown[cells] & (share[cells] > 0)
        most = int(start) + int(np.argmax(np.where(unknown, abs(beyond[k]), np.abs(parts[cells]))))
        part = float(parts[cells].sum() + beyond[k])
        found.append(ColumnPart(cut.name, part, labels[most], float(share_before[most]), float(share[most])))
    found.sort(key=lambda one: (-abs(one.part), one.name))
    return tuple(found[:SHOWN])


def _slices(reference: SliceReference, now: SliceSums, then: SliceSums) -> tuple[SlicePart, ...]:
    """The excess over the expected loss in the cells of the column that tells most."""
    known = ~reference.unknown & (now.rows > 0) & (then.rows > 0)
    usual = np.where(known, (then.loss - then.expected) / np.maximum(then.rows, 1.0), 0.0)
    excess = np.where(known, now.loss - now.expected - now.rows * usual, 0.0)
    groups = list(zip(reference.cuts, reference.starts.tolist(), strict=True))
    cut, start = groups[_most_telling(groups, known, excess, now, then)]
    part, share = excess / now.all_rows, now.rows / now.all_rows
    parts = [
        SlicePart(label, cut.name, float(part[start + k]), float(share[start + k]))
        for k, label in enumerate(cut.labels)
        if known[start + k]
    ]
    parts.sort(key=lambda one: (-abs(one.part), one.name))
    return tuple(parts[:SHOWN])


def _most_telling(
    groups: Sequence[tuple[Cut, int]],
    known: NDArray[np.bool_],
    excess: Floats,
    now: SliceSums,
    then: SliceSums,
) -> int:
    """The column between whose cells losses and errors differ most from what they were, as two chi-squared statistics.

    The loss of a row says how wrong an answer was, the sign of its error in which direction: where a column has come to
    mean another thing, errors of one cell are too high and those of another too low. What the network answers is left
    out while a column of the rows is there to be named.
    """
    spread = then.all_square / then.all_rows - (then.all_loss / then.all_rows) ** 2
    usual = np.where(known, then.errors / np.maximum(then.rows, 1.0), 0.0)
    told = []
    for cut, start in groups:
        cells = slice(start, start + cut.cells)
        by_loss = _apart(excess[cells], now.rows[cells], known[cells], spread)
        moved = now.errors[cells] - now.rows[cells] * usual[cells]
        by_error = _apart(moved, now.rows[cells], known[cells], now.error_square / now.all_rows)
        free = max(int(known[cells].sum()) - 1, 1)
        answers = cut.name in (ANSWER, CONFIDENCE) and len(groups) > 2
        told.append(-np.inf if answers else (by_loss + by_error - 2 * free) / np.sqrt(4 * free))
    return int(np.argmax(told))


def _apart(sums: Floats, rows: Floats, known: NDArray[np.bool_], variance: float) -> float:
    """How far the means of cells lie apart, about chi-squared by chance; 0 where nothing varies."""
    if variance <= 0 or not known.any():
        return 0.0
    sums, rows = sums[known], rows[known]
    mean = sums.sum() / rows.sum()
    return float(((sums - rows * mean) ** 2 / rows).sum() / variance)
