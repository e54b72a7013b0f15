"""The loss by slice: which rows are looked at together, what they lost, and what their inputs let expect.

A slice is a cell of one column: a level, a range of numbers, missing; or a range of the network's own answers. The
cells are cut once, on the reference. What the loss is in each of them is an additive model of the loss on its unseen
rows, one effect for each cell, shrunk by ridge regression (its penalty by generalised cross-validation: Golub, Heath,
Wahba 1979). All that is kept of a window are sums by cell, so that parts of a window add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monitoring.row_values import holds_names, read_levels, read_numbers
from monitoring.values import LARGEST

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Columns = Mapping[str, Any]

ANSWER, CONFIDENCE = "the prediction", "the confidence"
# a twentieth at both ends apart: a loss is often highest where rows are rare
QUANTILES = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)
MOST_DISTINCT = 8  # a number with no more values has a cell for each
MOST_LEVELS, LEAST_SHARE = 32, 0.02  # of a category; the rest of what is known shares one cell
MOST_RARE = 1000  # more levels than that are names, and a new name is nothing new
MOST_COLUMNS = 30  # columns that are cut, those first between whose cells the loss differs most
MOST_SLICES = 128  # that are tested: each more asks more evidence of all
LEAST_ROWS = 30  # of the reference in a slice, that its loss is known well enough to be compared with
MOST_FITTED = 20_000  # rows that the model of the loss is fitted on
PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0, 1e4, 1e6)  # in rows; the last one leaves no effect


@dataclass(frozen=True)
class Cut:
    """One column cut into cells.

    A number falls into cell k when `edges[k-1] <= x < edges[k]`; below the first and from the last edge on lies what
    the reference never had. A category has a cell for each of `levels`, one for all of `rare`, one for what the
    reference never had. A cell for missing values comes last. open: new levels are nothing new, as with names.
    """

    name: str
    kind: Literal["number", "category"]
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    open: bool = False

    @property
    def cells(self) -> int:
        return len(self.edges) + 2 if self.kind == "number" else len(self.levels) + 3

    @property
    def labels(self) -> tuple[str, ...]:
        """The slices in words."""
        name = self.name
        if self.kind == "category":
            rest = (f"{name}: another", f"{name}: never seen before", f"{name} missing")
            return (*(f"{name} = {level}" for level in self.levels), *rest)
        if not self.edges:
            return (f"{name}: any number", f"{name} missing")
        inner = [f"{name} {low:.4g} to {high:.4g}" for low, high in pairwise(self.edges)]
        return (
            f"{name} below {self.edges[0]:.4g}",
            *inner,
            f"{name} above {self.edges[-1]:.4g}",
            f"{name} missing",
        )

    def codes(self, values: Any, rows: int) -> Codes:
        """The cell of each row; all are missing where the column is not there (None)."""
        if values is None:
            return np.full(rows, self.cells - 1, np.intp)
        return self._numbers(values) if self.kind == "number" else self._levels(values)

    def _numbers(self, values: Any) -> Codes:
        numbers = read_numbers(values)
        codes = np.searchsorted(np.array(self.edges), numbers, side="right").astype(np.intp)
        codes[np.isnan(numbers) | (np.abs(numbers) >= LARGEST)] = self.cells - 1
        return codes

    def _levels(self, values: Any) -> Codes:
        other = len(self.levels)
        known = {level: k for k, level in enumerate(self.levels)} | dict.fromkeys(self.rare, other)
        unknown = other if self.open else other + 1
        distinct, places = read_levels(values)
        cells = [self.cells - 1 if level is None else known.get(level, unknown) for level in distinct]
        return np.array(cells, dtype=np.intp)[places] if len(distinct) else np.zeros(0, np.intp)


@dataclass(frozen=True)
class SliceReference:
    """What the loss of the reference's unseen rows was, cell by cell; cells of all columns in one row.

    effects: of each cell on the loss, besides `mean`. rows, loss, square, expected: sums over the unseen rows, losses
    winsorised at `ceiling` and counted from `floor` on, which is 0 unless losses may be negative. tested: whether a
    cell is watched by itself. restless: of each column, how many times as much its slices differ from window to
    window as their rows explain, summed over `windows` windows; () where none is known.
    """

    cuts: tuple[Cut, ...]
    ceiling: float
    mean: float
    effects: tuple[float, ...]
    rows: tuple[int, ...]
    loss: tuple[float, ...]
    square: tuple[float, ...]
    expected: tuple[float, ...]
    tested: tuple[bool, ...]
    all_rows: int
    all_loss: float
    all_square: float
    floor: float = 0.0
    errors: tuple[float, ...] = ()
    error_square: float = 0.0
    restless: tuple[float, ...] = ()
    windows: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for cut in self.cuts for label in cut.labels)

    @property
    def columns(self) -> NDArray[np.intp]:
        """The number of the column of each cell."""
        return np.repeat(np.arange(len(self.cuts)), [cut.cells for cut in self.cuts])

    @property
    def starts(self) -> NDArray[np.intp]:
        """The first cell of each column."""
        return np.concatenate([[0], np.cumsum([cut.cells for cut in self.cuts])]).astype(np.intp)[:-1]

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Cells in which the reference had no row."""
        return np.asarray(np.array(self.rows) == 0, dtype=np.bool_)

    @property
    def sums(self) -> SliceSums:
        """The reference's unseen rows as if they were a window."""
        whole = float(sum(self.expected[: self.cuts[0].cells]))  # each column holds every row once
        rows, loss, square, expected = (
            np.array(one, float) for one in (self.rows, self.loss, self.square, self.expected)
        )
        nothing = np.zeros(len(self.cuts))
        errors = np.array(self.errors, float) if self.errors else np.zeros(len(self.rows))
        every = (float(self.all_rows), self.all_loss, self.all_square, whole)
        return SliceSums(rows, loss, square, expected, nothing, 0.0, *every, 0.0, errors, self.error_square)

    def counted(self, losses: Floats) -> Floats:
        """Losses as they are added up: winsorised, from the floor on."""
        return np.asarray(np.maximum(np.minimum(losses, self.ceiling) - self.floor, 0.0))

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> SliceReference:
        lists = ("edges", "levels", "rare")
        cuts = (Cut(**{**cut, **{name: tuple(cut[name]) for name in lists}}) for cut in plain["cuts"])
        rows = {name: tuple(value) for name, value in plain.items() if isinstance(value, list | tuple)}
        return cls(**{**plain, **rows, "cuts": tuple(cuts)})


@dataclass(frozen=True, eq=False)
class SliceSums:
    """What is left of the labelled rows of a window. rows, loss, square, expected: shape (cells,), losses winsorised.

    beyond: what rows in cells that the reference never had lost more than was to be expected, shape (columns,); a row
    in several such cells is shared between them. extreme: what winsorising cut off. errors: sums of target less
    answer by cell, whose sign tells a change where the loss says little; error_square: of all rows; 0 where unknown.
    """

    rows: Floats
    loss: Floats
    square: Floats
    expected: Floats
    beyond: Floats
    beyond_rows: float
    all_rows: float
    all_loss: float
    all_square: float
    all_expected: float
    extreme: float
    errors: Floats
    error_square: float


def with_answers(columns: Columns, predictions: Floats) -> dict[str, Any]:
    """The columns, and the network's answers as columns of their own. predictions: shape (n, outputs).

    >>> list(with_answers({"x": [1.0]}, np.array([[0.2, 0.8]])))
    ['x', 'the prediction', 'the confidence']
    """
    answers = predictions if predictions.ndim == 2 else predictions[:, None]
    if answers.shape[1] == 1:
        return {**columns, ANSWER: answers[:, 0]}
    names = np.array([f"class {k}" for k in range(answers.shape[1])], dtype=object)
    best = names[answers.argmax(axis=1)] if len(answers) else names[:0]
    return {**columns, ANSWER: best, CONFIDENCE: answers.max(axis=1) if len(answers) else np.zeros(0)}


# --- the reference ---


def slice_reference(
    columns: Columns,
    losses: Floats,
    *,
    known: Columns | None = None,
    ceiling: float,
    errors: Floats | None = None,
) -> SliceReference | None:
    """What the slices of the reference lose. None where there are too few rows or no columns.

    columns: of the unseen rows, with the answers. losses: shape (n,). known: the same columns of all rows of the
    reference, which say where rows have been seen.
    """
    if len(losses) < LEAST_ROWS or not columns:
        return None
    known = columns if known is None else known
    floor = min(float(losses.min()), 0.0)
    clipped = np.minimum(losses, ceiling) - floor
    cuts = [cut_column(name, known.get(name, columns[name])) for name in columns]
    coded = [cut.codes(columns[cut.name], len(losses)) for cut in cuts]
    order = _most_telling(cuts, coded, clipped)
    cuts, coded = [cuts[k] for k in order], [coded[k] for k in order]
    flat = _flat(cuts, coded)
    mean, effects = _effects(flat, clipped, sum(cut.cells for cut in cuts))
    made = _reference(tuple(cuts), flat, clipped, mean, effects)
    made = replace(made, ceiling=ceiling, floor=floor)
    if errors is None:
        return made
    by_cell = tuple(_by_cell(flat, errors, len(made.rows)).tolist())
    return replace(made, errors=by_cell, error_square=float((errors**2).sum()))


def cut_column(name: str, values: Any) -> Cut:
    """The cells of one column, from the rows of the reference."""
    if holds_names(values):
        return _cut_levels(name, values)
    numbers = read_numbers(values)
    numbers = numbers[np.abs(numbers) < LARGEST]
    distinct = np.unique(numbers)
    if not len(distinct):
        return Cut(name, "number")
    last = float(np.nextafter(distinct[-1], np.inf))
    if len(distinct) <= MOST_DISTINCT:
        middles = (distinct[:-1] + np.diff(distinct) / 2).tolist()
        reach = max(abs(last) * 1e-6, 1e-12)  # a value that went through float32 is still the same value
        return Cut(name, "number", edges=(float(distinct[0]) - reach, *middles, last + reach))
    inner = np.unique(np.quantile(numbers, QUANTILES, method="higher"))
    return Cut(name, "number", edges=tuple(np.unique([distinct[0], *inner, last]).tolist()))


def _cut_levels(name: str, values: Any) -> Cut:
    distinct, places = read_levels(values)
    counts = np.bincount(places, minlength=len(distinct))
    found = sorted(
        ((int(count), level) for count, level in zip(counts, distinct, strict=True) if level is not None),
        key=lambda one: (-one[0], one[1]),
    )
    rows = max(len(places), 1)
    levels = tuple(level for count, level in found[:MOST_LEVELS] if count >= LEAST_SHARE * rows)
    rare = tuple(sorted(level for _, level in found[len(levels) :]))
    # where most rare levels came once only, the next row will bring another
    once = sum(count == 1 for count, _ in found)
    if len(rare) > MOST_RARE or once > max(0.1 * len(found), 5):
        return Cut(name, "category", levels=levels, open=True)
    return Cut(name, "category", levels=levels, rare=rare)


def _most_telling(cuts: Sequence[Cut], coded: Sequence[Codes], losses: Floats) -> list[int]:
    """The columns to be kept, first those between whose cells the loss differs most; the answers always."""
    between = []
    for cut, codes in zip(cuts, coded, strict=True):
        rows = np.maximum(np.bincount(codes, minlength=cut.cells), 1)
        means = np.bincount(codes, losses, minlength=cut.cells) / rows
        between.append(float((rows * (means - losses.mean()) ** 2).sum()) / max(cut.cells - 1, 1))
    order = sorted(range(len(cuts)), key=lambda k: (cuts[k].name not in (ANSWER, CONFIDENCE), -between[k], k))
    return order[:MOST_COLUMNS]


def _flat(cuts: Sequence[Cut], coded: Sequence[Codes]) -> Codes:
    """Cells of all columns numbered through, shape (n, columns)."""
    starts = np.concatenate([[0], np.cumsum([cut.cells for cut in cuts])])[:-1]
    return np.column_stack([codes + start for codes, start in zip(coded, starts, strict=True)])


def _effects(flat: Codes, losses: Floats, cells: int) -> tuple[float, Floats]:
    """Mean loss, and the effect of each cell by ridge regression; the effects of a column sum to 0 over the rows."""
    every = max(-(-len(losses) // MOST_FITTED), 1)
    flat, losses = flat[::every], losses[::every]
    design = np.zeros((len(losses), cells))
    design[np.arange(len(losses))[:, None], flat] = 1.0
    shares = design.mean(axis=0)
    design -= shares
    mean = float(losses.mean())
    away = losses - mean
    sizes, axes = np.linalg.eigh(design.T @ design)
    sizes = np.maximum(sizes, 0.0)
    slope = axes.T @ (design.T @ away)
    penalty = min(PENALTIES, key=lambda one: _validation(one, sizes, slope, float(away @ away), len(losses)))
    effects = axes @ (slope / (sizes + penalty))
    for codes in flat.T:  # each column's own mean belongs to the mean of all
        own = np.unique(codes)
        effects[own] -= shares[own] @ effects[own]
    return mean, np.asarray(effects)


def _validation(penalty: float, sizes: Floats, slope: Floats, total: float, rows: int) -> float:
    """Generalised cross-validation of a ridge regression."""
    shrunk = slope / (sizes + penalty)
    rest = total - 2 * float(shrunk @ slope) + float(shrunk**2 @ sizes)
    free = 1 - float((sizes / (sizes + penalty)).sum() + 1) / rows
    return rest / free**2 if free > 0.5 else np.inf


def _reference(
    cuts: tuple[Cut, ...],
    flat: Codes,
    losses: Floats,
    mean: float,
    effects: Floats,
) -> SliceReference:
    cells = sum(cut.cells for cut in cuts)
    expected = mean + effects[flat].sum(axis=1)
    rows = np.bincount(flat.ravel(), minlength=cells)
    effects = np.where(rows > 0, effects, 0.0)
    return SliceReference(
        cuts=cuts,
        ceiling=np.inf,
        mean=mean,
        effects=tuple(effects.tolist()),
        rows=tuple(rows.tolist()),
        loss=tuple(_by_cell(flat, losses, cells).tolist()),
        square=tuple(_by_cell(flat, losses**2, cells).tolist()),
        expected=tuple(_by_cell(flat, expected, cells).tolist()),
        tested=_tested(rows, len(losses)),
        all_rows=len(losses),
        all_loss=float(losses.sum()),
        all_square=float((losses**2).sum()),
    )


def _tested(rows: NDArray[np.int64], every: int) -> tuple[bool, ...]:
    """Slices with rows enough, and not nearly all of them; the first columns first."""
    fit = (rows >= max(LEAST_ROWS, LEAST_SHARE * every)) & (rows <= 0.9 * every)
    return tuple((fit & (np.cumsum(fit) <= MOST_SLICES)).tolist())


def _by_cell(flat: Codes, values: Floats, cells: int) -> Floats:
    """Sums of a value of each row over the cells, shape (cells,)."""
    weights = np.repeat(values, flat.shape[1])
    return np.bincount(flat.ravel(), weights, minlength=cells).astype(np.float64)


# --- a window ---


def signed_errors(target: Floats, prediction: Floats) -> Floats | None:
    """Target less answer, shape (n,), 0 where the answer is no number; None where one is more than one number."""
    if prediction.shape[1] != 1:
        return None
    answers = np.where(np.isfinite(prediction[:, 0]), prediction[:, 0], target)
    return np.asarray(target - answers, np.float64)


def slice_sums(
    reference: SliceReference, columns: Columns, losses: Floats, errors: Floats | None = None
) -> SliceSums:
    """Sums over labelled rows by the reference's cells.

    columns: with the answers; losses, errors: shape (n,), finite; the latter None where they are not known.
    """
    errors = np.zeros(len(losses)) if errors is None else errors
    coded = [cut.codes(columns.get(cut.name), len(losses)) for cut in reference.cuts]
    flat, cells = _flat(reference.cuts, coded), len(reference.rows)
    clipped = reference.counted(losses)
    expected = reference.mean + np.array(reference.effects)[flat].sum(axis=1)
    unknown = reference.unknown[flat]
    many = unknown.sum(axis=1)
    beyond = (unknown * ((clipped - expected) / np.maximum(many, 1))[:, None]).sum(axis=0)
    return SliceSums(
        rows=np.bincount(flat.ravel(), minlength=cells).astype(np.float64),
        loss=_by_cell(flat, clipped, cells),
        square=_by_cell(flat, clipped**2, cells),
        expected=_by_cell(flat, expected, cells),
        beyond=beyond,
        beyond_rows=float((many > 0).sum()),
        all_rows=float(len(losses)),
        all_loss=float(clipped.sum()),
        all_square=float((clipped**2).sum()),
        all_expected=float(expected.sum()),
        extreme=float((losses - np.minimum(losses, reference.ceiling)).sum()),
        errors=_by_cell(flat, errors, cells),
        error_square=float((errors**2).sum()),
    )


def merge_sums(parts: Sequence[SliceSums]) -> SliceSums:
    """The sums over the rows of all parts; at least one."""
    names = [field.name for field in fields(SliceSums)]
    return SliceSums(**{name: sum(getattr(part, name) for part in parts) for name in names})
