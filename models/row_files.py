"""Prepared rows on disk: as many as the disk holds, trained from with a block of them in memory.

`models.fit.fit` takes the very steps that it takes with all rows in memory: the order of the rows follows from the
seed, and each call of the training picks its rows from the file. So the losses are the same, to the bit on one thread.
What stays in memory is a target and a place in the order for each row, some 30 bytes, and the rows of some hundred
steps; pages of the file that the system keeps it can take back at any time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from models.rows import Rows

_INPUTS, _META = "inputs.f32", "rows.json"
_TARGETS, _WEIGHTS = "targets.raw", "weights.f32"


def write_rows(folder: Path, batches: Iterable[Rows]) -> int:
    """Writes rows batch by batch into a new folder; returns how many. They can be opened when all are written.

    Raises ValueError where batches have different widths, or some have weights and some have none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _META).unlink(missing_ok=True)
    rows, width, dtype, weighed = 0, None, np.dtype(np.float32), None
    files = [(folder / name).open("wb") for name in (_INPUTS, _TARGETS, _WEIGHTS)]
    try:
        for batch in batches:
            shape = (batch.inputs.shape[1], batch.weights is not None)
            if width is not None and shape != (width, weighed):
                raise ValueError(
                    f"a batch has {shape[0]} inputs and {'weights' if shape[1] else 'no weights'}, those before it had "
                    f"{width} inputs and {'weights' if weighed else 'no weights'}; prepare all with one schema."
                )
            width, weighed = shape
            dtype, rows = batch.targets.dtype, rows + len(batch)
            columns = (batch.inputs.astype(np.float32, copy=False), batch.targets, batch.weights)
            for file, values in zip(files, columns, strict=True):
                file.write(b"" if values is None else np.ascontiguousarray(values).data)
    finally:
        for file in files:
            file.close()
    meta = {"rows": rows, "width": width or 0, "targets": dtype.str, "weights": bool(weighed)}
    unfinished = folder / f"{_META}.new"
    unfinished.write_text(json.dumps(meta), "utf-8")
    os.replace(unfinished, folder / _META)
    return rows


def open_rows(folder: Path) -> Rows:
    """The rows that `write_rows` wrote; their inputs stay on disk. Raises ValueError for any other folder."""
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
