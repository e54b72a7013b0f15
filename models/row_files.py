"""Prepared rows on disk: as many as the disk holds, trained from with a block of them in memory.

`models.fit.fit` takes the very steps that it takes with all rows in memory: the order of the rows follows from the
seed, and each call of the training picks its rows from the file. So the losses are the same, to the bit on one thread.
What stays in memory is a target and a place in the order for each row, some 30 bytes, and the rows of some hundred
steps; pages of the file that the system keeps it can take back at any time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.rows import Rows

_INPUTS, _META = "inputs.f32", "rows.json"
_TARGETS, _WEIGHTS = "targets.raw", "weights.f32"

# bytes; of a smaller file the system keeps all that was read, of a larger one it may not
READ_AT_RANDOM = 1 << 32
READ_TOGETHER = 1 << 14  # bytes: a disk reads no less at once, and a batch is still of many places
# rows; of 100 inputs some 400 MB of the file, which the system keeps as long as it can
MIXED_AT_ONCE = 1 << 20


def shuffled(rows: int, rng: np.random.Generator, *, run: int = 1) -> NDArray[np.int64]:
    """The numbers of all rows in a random order, in which runs of neighbours are read at about the same time.

    run: rows; 1 is a plain permutation. Else the runs are in a random order, and of every MIXED_AT_ONCE rows the order
    is random again: a batch holds rows of thousands of runs, and each part of the file is read once.

    >>> sorted(shuffled(10, np.random.default_rng(0), run=4)) == list(range(10))
    True
    """
    if run <= 1:
        return rng.permutation(rows)
    order = rng.permutation(-(-rows // run))
    numbers = (order[:, None] * run + np.arange(run)).ravel()
    numbers = numbers[numbers < rows]
    for begin in range(0, rows, MIXED_AT_ONCE):
        rng.shuffle(numbers[begin : begin + MIXED_AT_ONCE])
    return numbers


def run_of(inputs: NDArray[np.float32]) -> int:
    """How many neighbours are worth reading together: 1 for rows in memory, or in a file that fits into it."""
    if not isinstance(inputs, np.memmap) or inputs.nbytes <= READ_AT_RANDOM:
        return 1
    return max(1, READ_TOGETHER * len(inputs) // inputs.nbytes)


class RowWriter:
    """Writes so many rows into a new folder, each at its place, in any order; they can be opened after `close`.

    targets: the type of the targets. weighed: whether rows have weights. Room on the disk is taken at once: OSError
    where there is none. Raises ValueError for rows that are of another width or weighed otherwise.
    """

    def __init__(self, folder: Path, rows: int, width: int, targets: DTypeLike, *, weighed: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _META).unlink(missing_ok=True)
        self._folder, self._shape = folder, (rows, width)
        self._targets = np.zeros(rows, targets)
        self._weights = np.zeros(rows, np.float32) if weighed else None
        self._inputs = _new_file(folder / _INPUTS, rows, width)

    def put(self, places: NDArray[np.integer[Any]], rows: Rows) -> None:
        """Rows at their places among all, from 0."""
        shape = (rows.inputs.shape[1], rows.weights is not None)
        if shape != (self._shape[1], self._weights is not None):
            raise ValueError(
                f"rows with {shape[0]} inputs and {'weights' if shape[1] else 'no weights'} came, expected "
                f"{self._shape[1]} inputs and {'no weights' if self._weights is None else 'weights'}; prepare all "
                "with one schema."
            )
        if len(rows):
            self._inputs[_slice(places)] = rows.inputs
        self._targets[places] = rows.targets
        if self._weights is not None and rows.weights is not None:
            self._weights[places] = rows.weights

    def close(self) -> None:
        """The folder is whole."""
        if isinstance(self._inputs, np.memmap):
            self._inputs.flush()
        self._targets.tofile(self._folder / _TARGETS)
        (np.zeros(0, np.float32) if self._weights is None else self._weights).tofile(self._folder / _WEIGHTS)
        meta = {"rows": self._shape[0], "width": self._shape[1], "targets": self._targets.dtype.str}
        unfinished = self._folder / f"{_META}.new"
        unfinished.write_text(json.dumps({**meta, "weights": self._weights is not None}), "utf-8")
        os.replace(unfinished, self._folder / _META)


def _new_file(path: Path, rows: int, width: int) -> NDArray[np.float32]:
    """A file of zeros for so many rows, as an array."""
    with path.open("wb") as file:
        if rows and width:
            os.posix_fallocate(file.fileno(), 0, 4 * rows * width)
    return (
        np.memmap(path, np.float32, "r+", shape=(rows, width))
        if rows and width
        else np.zeros((rows, width), "f4")
    )


def _slice(places: NDArray[np.integer[Any]]) -> Any:
    """Neighbours as a slice, which is written at once."""
    first, last = int(places[0]), int(places[-1])
    return (
        slice(first, last + 1) if last - first == len(places) - 1 and (np.diff(places) == 1).all() else places
    )


def open_rows(folder: Path) -> Rows:
    """The rows that a `RowWriter` wrote; their inputs stay on disk. Raises ValueError for any other folder."""
    try:
        meta = json.loads((folder / _META).read_text("utf-8"))
        rows, width, dtype = int(meta["rows"]), int(meta["width"]), np.dtype(meta["targets"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ValueError(
            f"{folder} holds no rows that were written whole: {problem}. Write them again."
        ) from None
    targets = np.fromfile(folder / _TARGETS, dtype)
    weights = np.fromfile(folder / _WEIGHTS, np.float32) if meta["weights"] else None
    size = (folder / _INPUTS).stat().st_size
    if size != 4 * rows * width or len(targets) != rows:
        raise ValueError(
            f"{folder} holds {size} bytes of inputs; expected {4 * rows * width}. Write the rows again."
        )
    if not rows:
        return Rows(np.zeros((0, width), np.float32), targets, weights)
    return Rows(np.memmap(folder / _INPUTS, np.float32, "r", shape=(rows, width)), targets, weights)
