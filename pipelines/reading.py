"""Whether the rows of a project are read at once, as a frame, or in batches: a frame must fit into the memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.config import DataConfig
from pipelines.dataset import Dataset, is_dataset, open_dataset
from pipelines.errors import UserError
from pipelines.memory import in_words, usable_memory

# what a training at once takes at its peak, of the rows as a frame: 3.5 measured with benchmarks.larger for numbers;
# names take more, for each level is an input
TIMES_THE_FRAME = 5.0
SHARE = 0.6  # of the memory that may be used; the rest is for TensorFlow, the system and what else runs
TEXT_TIMES = 3.0  # what a CSV file takes while it is read, for each of its bytes


@dataclass(frozen=True, eq=False)
class InBatches:
    """Rows that are read in batches, and why."""

    dataset: Dataset
    reason: str


def in_batches(config: DataConfig, folder: Path, *, memory: int | None = None) -> InBatches | None:
    """How rows are read that are not read at once; None for those that are.

    memory: bytes that may be used; None asks the system.
    """
    if config.in_batches is False:
        return None
    path = None if config.path is None else Path(folder) / config.path
    if path is None or not path.exists() or not is_dataset(path):
        _check_other(config, path, usable_memory() if memory is None else memory)
        return None
    if config.in_batches:
        return InBatches(open_dataset(path), "[data] in_batches = true")
    allowed = SHARE * (usable_memory() if memory is None else memory)
    try:
        found = open_dataset(path)
    except UserError:
        if path.is_dir() or path.stat().st_size > allowed:
            raise
        return None  # the reader of a whole file says what is wrong with it
    needed = TIMES_THE_FRAME * found.frame_bytes
    if needed <= allowed:
        return None
    return InBatches(
        found,
        f"training on all {found.rows:,} rows at once would take about {in_words(needed)}, and this process may use "
        f"{in_words(allowed / SHARE)}",
    )


def refuse_in_batches(config: DataConfig, folder: Path) -> None:
    """Raises UserError where all rows are needed at once and are to be read in batches."""
    if (found := in_batches(config, folder)) is not None:
        raise UserError(
            f"{found.dataset.path}: {found.reason}. This needs all rows at once. Name a file with fewer rows, or set "
            "in_batches = false in [data] and bring the memory"
        )


def _check_other(config: DataConfig, path: Path | None, memory: int) -> None:
    """What is no Parquet file, folder of them or Delta table is read at once, or not at all."""
    if path is None:
        if config.in_batches:
            raise UserError(
                "[data] in_batches = true: load gives all rows at once; rows in batches need path = FILE or FOLDER"
            )
        return
    if not path.exists() or path.is_dir():  # the reader says it
        return
    if config.in_batches:
        raise UserError(
            f"[data] in_batches = true: {path} is neither a Parquet file, a folder of them nor a Delta table. Write "
            "the rows as Parquet, a file for each part of them"
        )
    size = path.stat().st_size
    if TEXT_TIMES * size > memory:
        raise UserError(
            f"{path} holds {in_words(size)} of text, which takes about {in_words(TEXT_TIMES * size)} to read, and this "
            f"process may use {in_words(memory)}. Write the rows as Parquet files into a folder, which are read in "
            "batches, or set in_batches = false in [data] to try it all the same"
        )
