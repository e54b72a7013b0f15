"""The columns of the report: how far each lay from its reference in every window, and its cells, bounded in size.

What a page can hold is bounded: 200 columns, 1,000 windows, 24 cells a column, and 3 million characters of cells. Of
more columns those that came nearest to their thresholds are shown, of more windows the newest; where the cells of all
would be too many, windows that stand out come first, then the newest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.bins import ColumnBins
from monitoring.shift import ShiftThresholds, jensen_shannon
from pipelines.report_windows import ReportWindow
from pipelines.window_counts import WindowCells, cells_of_column

if TYPE_CHECKING:
    from pipelines.reference import Reference

Floats = npt.NDArray[np.float64]

MOST_COLUMNS, MOST_WINDOWS = 200, 1000
MOST_CELLS = 24  # of a column, the cells for other, missing and invalid values included
MOST_SHARES = 3_000_000  # characters for the cells of all columns in all windows
LONGEST = 48  # characters of a cell's label
LARGEST = math.sqrt(math.log(2))  # Jensen-Shannon distance of what has nothing in common
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
EVERY = "all columns"  # the name under which a fault of the whole feed is told
_STEPS = 4095
_OTHERS = 3  # the cells that come last: other or the highest numbers' own, missing, invalid


@dataclass(frozen=True)
class Cells:
    """The cells of a column as they are shown. groups: which counted cells each of them joins."""

    labels: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]

    def shares(self, counts: Floats) -> Floats:
        """counts: shape (..., counted cells). Returns shares of the rows, (..., shown cells); nan without rows."""
        rows = counts.sum(-1, keepdims=True)
        joined = np.stack([counts[..., list(group)].sum(-1) for group in self.groups], axis=-1)
        return np.asarray(np.divide(joined, rows, out=np.full(joined.shape, np.nan), where=rows > 0))


@dataclass(frozen=True)
class ColumnPast:
    """One column against one version's reference, in the windows of that version.

    places: of these windows among those shown, shape (n,). distances, thresholds: shape (n,), `nan` without rows.
    shares: shape (n, cells). reference: shape (cells,).
    """

    name: str
    kind: str
    cells: Cells
    reference: Floats
    places: npt.NDArray[np.intp]
    distances: Floats
    thresholds: Floats
    shares: Floats

    @property
    def ratios(self) -> Floats:
        """Distance as a part of its threshold, shape (n,)."""
        return np.asarray(self.distances / self.thresholds)


@dataclass(frozen=True)
class ColumnTable:
    """All that the page shows of columns. windows: those shown; names: in the order of how far they ever went.

    pasts: by version, then by column. left_out: how many columns, and windows, are not shown.
    """

    windows: tuple[ReportWindow, ...]
    names: tuple[str, ...]
    pasts: Mapping[int, Mapping[str, ColumnPast]]
    left_out: tuple[int, int]


def column_table(
    windows: Sequence[ReportWindow], counted: Mapping[int, WindowCells], references: Mapping[int, Reference]
) -> ColumnTable:
    """counted: by number of the window; a window without counts is shown empty."""
    shown = tuple(windows[-MOST_WINDOWS:])
    pasts = {
        version: _pasts(version, shown, counted, reference)
        for version, reference in references.items()
        if any(window.version == version and window.number in counted for window in shown)
    }
    names = _furthest_first(pasts, shown)
    return ColumnTable(
        shown, names[:MOST_COLUMNS], pasts, (len(names[MOST_COLUMNS:]), len(windows) - len(shown))
    )


def _pasts(
    version: int, windows: Sequence[ReportWindow], counted: Mapping[int, WindowCells], reference: Reference
) -> dict[str, ColumnPast]:
    places = [k for k, one in enumerate(windows) if one.version == version and one.number in counted]
    cells = [counted[windows[k].number] for k in places]
    limits = _limits(reference.thresholds, [one.rows for one in cells])
    every, found, first = np.stack([one.counts for one in cells]), {}, 0
    for column in reference.profile.columns:
        counts = every[:, first : first + cells_of_column(column.bins)].astype(np.float64)
        first += counts.shape[1]
        before = np.array([*column.counts, column.invalid], dtype=np.float64)
        allowed = [limit.get(column.name, math.nan) for limit in limits]
        found[column.name] = _past(column.bins, before, counts, np.array(places), np.array(allowed))
    return found


def _limits(thresholds: ShiftThresholds, rows: Sequence[int]) -> list[dict[str, float]]:
    at = {number: thresholds.at(number) for number in set(rows)}
    return [at[number] for number in rows]


def _past(
    bins: ColumnBins, before: Floats, counts: Floats, places: npt.NDArray[np.intp], allowed: Floats
) -> ColumnPast:
    cells = shown_cells(bins, before)
    rows = counts.sum(-1, keepdims=True)
    shares = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    whole = before / before.sum() if before.sum() else np.full(len(before), np.nan)
    distances = np.where(rows[:, 0] > 0, jensen_shannon(whole, np.nan_to_num(shares)), np.nan)
    return ColumnPast(
        bins.name, bins.kind, cells, cells.shares(before), places, distances, allowed, cells.shares(counts)
    )


def shown_cells(bins: ColumnBins, counts: Floats) -> Cells:
    """At most 24 cells: neighbours of a number's are joined, of a category the rarest levels of the reference.

    >>> shown_cells(ColumnBins("a", "category", levels=("x", "y")), np.array([3.0, 1, 0, 0, 0])).labels
    ('x', 'y', 'other', 'missing', 'invalid')
    """
    labels = (*_point_labels(bins), "invalid")
    if len(labels) <= MOST_CELLS:
        return Cells(tuple(label[:LONGEST] for label in labels), tuple((k,) for k in range(len(labels))))
    return _joined_numbers(bins) if bins.kind == "number" else _joined_levels(labels, counts)


def _point_labels(bins: ColumnBins) -> tuple[str, ...]:
    """A cell that holds one value has its name."""
    if not bins.points or len(bins.points) != bins.cells - 2:
        return bins.labels
    inner = tuple(f"{point:.6g}" for point in bins.points)
    return (f"below {inner[0]}", *inner, f"above {inner[-1]}", "missing")


def _joined_numbers(bins: ColumnBins) -> Cells:
    inner, each = bins.cells - 2, math.ceil((bins.cells - 2) / (MOST_CELLS - 4))
    firsts = range(1, inner + 1, each)
    groups = [(0,), *(tuple(range(k, min(k + each, inner + 1))) for k in firsts), (inner + 1,)]
    edges = bins.edges
    labels = [f"{edges[group[0] - 1]:.6g} to {edges[group[-1]]:.6g}" for group in groups[1:-1]]
    whole = (bins.labels[0], *labels, bins.labels[inner + 1], "missing", "invalid")
    return Cells(whole, (*groups, (inner + 2,), (inner + 3,)))


def _joined_levels(labels: Sequence[str], counts: Floats) -> Cells:
    """The levels come in the order of how frequent they are, so that the last are the rarest."""
    kept = MOST_CELLS - _OTHERS - 1
    levels = len(labels) - _OTHERS
    rare = f"{levels - kept} rarer levels"
    shown = (*(label[:LONGEST] for label in labels[:kept]), rare, "other", "missing", "invalid")
    groups = (*((k,) for k in range(kept)), tuple(range(kept, levels)))
    return Cells(shown, (*groups, (levels,), (levels + 1,), (levels + 2,)))


def _furthest_first(
    pasts: Mapping[int, Mapping[str, ColumnPast]], windows: Sequence[ReportWindow]
) -> tuple[str, ...]:
    """Columns that a verdict named first, by how often; then by how near they came to their thresholds."""
    named: dict[str, int] = {}
    for window in windows:
        for name in {*window.shifted, *faulty(window)}:
            named[name] = named.get(name, 0) + 1
    nearest: dict[str, float] = {}
    for columns in pasts.values():
        for name, past in columns.items():
            known = past.ratios[np.isfinite(past.ratios)]
            nearest[name] = max(nearest.get(name, 0.0), float(known.max()) if len(known) else 0.0)
    return tuple(sorted(nearest, key=lambda name: (-named.get(name, 0), -nearest[name], name)))


def faulty(window: ReportWindow) -> dict[str, str]:
    """Columns whose feed was broken in a window, and what was wrong."""
    return {str(fault["column"]): str(fault["text"]) for fault in window.evidence.get("faults", ())}


# --- as text for the page ---


def packed(values: Floats, largest: float) -> str:
    """Numbers from 0 to `largest` as two characters each, to a part in 4095; `~~` for nan.

    >>> packed(np.array([0.0, 1.0, np.nan]), 1.0)
    'AA__~~'
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    known = np.isfinite(flat)
    steps = np.round(np.clip(np.where(known, flat, 0.0) / largest, 0, 1) * _STEPS).astype(np.int64)
    letters = np.frombuffer(ALPHABET.encode(), np.uint8)
    pairs = np.stack([letters[steps >> 6], letters[steps & 63]], axis=-1)
    pairs[~known] = ord("~")
    return pairs.tobytes().decode()


def embedded_columns(table: ColumnTable, *, most: int = MOST_SHARES) -> dict[str, Any]:
    """The table as the script reads it.

    "references": by version, for each column its cells and the reference's shares. "distance", "threshold": a text for
    each column with two characters for each window. "flag": a character for each, S where the verdict names the column,
    F where its feed was broken. "shares": a text for each column, of the windows in "kept" (a bit for each window) one
    after the other.
    """
    room = _Room(table, most)
    columns = [_embedded_column(table, name, room) for name in table.names]
    return {
        "names": list(table.names),
        "kinds": [_any_past(table, name).kind for name in table.names],
        "references": {
            str(version): {
                name: _embedded_reference(past) for name, past in pasts.items() if name in room.names
            }
            for version, pasts in table.pasts.items()
        },
        "distance": [column[0] for column in columns],
        "threshold": [column[1] for column in columns],
        "flag": [column[2] for column in columns],
        "kept": [column[3] for column in columns],
        "shares": [column[4] for column in columns],
        "first": table.windows[0].number if table.windows else 0,
        "count": len(table.windows),
        "largest": round(LARGEST, 6),
        "faults": _faults(table),
        "thin": room.left_out,
    }


def _any_past(table: ColumnTable, name: str) -> ColumnPast:
    return next(pasts[name] for pasts in table.pasts.values() if name in pasts)


def _embedded_reference(past: ColumnPast) -> list[Any]:
    return [list(past.cells.labels), packed(past.reference, 1.0)]


def _faults(table: ColumnTable) -> list[list[Any]]:
    """Column, window and text of what was broken; -1 for all columns."""
    place = {EVERY: -1, **{name: k for k, name in enumerate(table.names)}}
    return [
        [place[name], k, text[:300]]
        for k, window in enumerate(table.windows)
        for name, text in faulty(window).items()
        if name in place
    ]


class _Room:
    """Of which column and window the cells are embedded: those that stand out, then the newest, until it is full."""

    def __init__(self, table: ColumnTable, most: int) -> None:
        self.names = frozenset(table.names)
        self.kept: dict[str, set[int]] = {name: set() for name in table.names}
        wishes = sorted(_wishes(table), key=lambda wish: (wish[0], wish[1]), reverse=True)
        used, self.left_out = 0, 0
        for _, place, name, cells in wishes:
            if used + 2 * cells > most:
                self.left_out += 1
            else:
                used += 2 * cells
                self.kept[name].add(place)


def _wishes(table: ColumnTable) -> list[tuple[bool, int, str, int]]:
    found = []
    for pasts in table.pasts.values():
        for name in table.names:
            if (past := pasts.get(name)) is None:
                continue
            cells = len(past.cells.labels)
            for place, ratio in zip(past.places.tolist(), past.ratios.tolist(), strict=True):
                stands_out = ratio > 1 or name in table.windows[place].shifted
                found.append((bool(stands_out), place, name, cells))
    return found


def _embedded_column(table: ColumnTable, name: str, room: _Room) -> tuple[str, str, str, str, str]:
    size = len(table.windows)
    distances, thresholds = np.full(size, np.nan), np.full(size, np.nan)
    shares: dict[int, str] = {}
    for pasts in table.pasts.values():
        if (past := pasts.get(name)) is None:
            continue
        distances[past.places], thresholds[past.places] = past.distances, past.thresholds
        text, wide = packed(past.shares, 1.0), 2 * len(past.cells.labels)
        chosen = [(k, place) for k, place in enumerate(past.places.tolist()) if place in room.kept[name]]
        shares |= {place: text[k * wide : (k + 1) * wide] for k, place in chosen}
    return (
        packed(distances, LARGEST),
        packed(thresholds, 1.0),
        "".join(
            _flag(one, name, bool(far))
            for one, far in zip(table.windows, distances > thresholds, strict=True)
        ),
        "".join("1" if place in shares else "0" for place in range(size)),
        "".join(shares[place] for place in sorted(shares)),
    )


def _flag(window: ReportWindow, name: str, beyond: bool) -> str:
    """beyond: whether its distance is above its threshold, which counts where an older log names no columns."""
    broken = faulty(window)
    if name in broken or EVERY in broken:
        return "F"
    if window.names_columns:
        return "S" if name in window.shifted else "."
    return "S" if beyond else "."
