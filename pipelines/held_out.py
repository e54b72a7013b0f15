"""Rows that never train any version: the same ones whenever and wherever they are asked for.

Whether a row is held out follows from its time (or its id) and the seed alone. So a challenger and all its
ancestors are judged on rows that none of them has seen, with no bookkeeping that could go wrong.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from monitoring.window import WindowLength

Mask = npt.NDArray[np.bool_]
By = Literal["time", "row"]

PIECES = 20  # neighbours in time go together: a twentieth of a window is held out or trained on as a whole


def held_out_by(times: npt.NDArray[Any], length: WindowLength) -> By:
    """Pieces of time, or single rows where a window has too few moments for that.

    times: sorted, of the first training.
    """
    if not len(times):
        return "row"
    windows = max(float((times[-1] - times[0]) / piece_length(length)) / PIECES, 1.0)
    return "time" if len(np.unique(times)) / windows >= 2 * PIECES else "row"


def held_out(
    times: npt.NDArray[Any],
    ids: npt.NDArray[Any],
    *,
    by: By,
    length: WindowLength,
    share: float,
    seed: int,
) -> Mask:
    """Which rows are held out, shape (n,).

    times: datetime64 (n,). ids: text (n,). share: of all rows in the long run.
    """
    if by == "time":
        pieces = (times - np.datetime64(0, "s")) // piece_length(length)
        keys = pieces.astype(np.int64)
    else:
        keys = np.array([zlib.crc32(str(row).encode()) for row in ids], dtype=np.int64)
    return _uniform(keys, seed) < share


def piece_length(length: WindowLength) -> np.timedelta64:
    """A twentieth of a window."""
    from datetime import UTC, datetime

    start = datetime(2001, 1, 1, tzinfo=UTC)
    seconds = (length.after(start, 1) - start).total_seconds()
    return np.timedelta64(max(int(seconds * 1e6 / PIECES), 1), "us")


def _uniform(keys: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) that look random but follow from key and seed (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        state = keys.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return np.asarray((state >> np.uint64(11)) / float(2**53))
