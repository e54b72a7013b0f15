"""More rows than memory holds: read from Parquet or Delta batch by batch, prepared, and kept in files to train from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.row_files import open_rows, write_rows
from models.rows import Rows
from models.schema import Schema
from models.split import split_in_time
from pipelines.delta import dataset_of
from pipelines.errors import UserError
from pipelines.parts import VALIDATION
from pipelines.prepared import fit_schema
from pipelines.project import Project
from pipelines.sources import Table, batch_of, check_columns

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]

BATCH = 65_536  # rows in memory at once: of 100 columns some 50 MB as a frame
SAMPLE = 300_000  # training rows that a schema is learned from at most; a quantile is then known to 0.1 % of the rows
_TRAIN, _STOP, _TEST = range(3)


@dataclass(frozen=True, eq=False)
class PreparedFiles:
    """What `models.fit.fit` takes, its inputs in files. rows: of the data, those without a target too."""

    schema: Schema
    train: Rows
    validation: Rows
    rows: int


def prepare_in_batches(
    project: Project,
    folder: Path,
    *,
    batch: int = BATCH,
    sample: int = SAMPLE,
    progress: Say | None = None,
) -> PreparedFiles:
    """Prepares the rows of a project whose data.path is a Parquet file, a folder of them, or a Delta table.

    Cut by time, as a first training cuts them; the schema is learned from at most `sample` training rows, spread over
    all. In memory are a batch and 20 bytes for each row. folder: where the prepared rows go, 4 bytes an input.
    """
    say = progress or (lambda text: None)
    config = project.config.data
    if config.split != "time":
        raise UserError(f'[data] split = "{config.split}": rows in batches are cut by time only')
    source = _Source(project, batch)
    say("reading the times")
    times = source.times()
    part = _parts(times, config.test_share)
    say("learning what a row is")
    schema = _schema(project, source, part, times, sample)
    for name, number in (("train", _TRAIN), ("validation", _STOP)):
        say(f"preparing the {name} rows")
        write_rows(folder / name, _prepared(source, schema, part == number))
    return PreparedFiles(schema, open_rows(folder / "train"), open_rows(folder / "validation"), len(part))


class _Source:
    """The rows of a project's file, as often as they are asked for."""

    def __init__(self, project: Project, batch: int) -> None:
        self._config, self._batch = project.config.data, batch
        self._dataset = _dataset(project)
        check_columns(self._dataset.schema.empty_table().to_pandas(), self._config, str(self._config.path))

    def frames(self) -> Iterator[pd.DataFrame]:
        """Every column of the data, batch by batch, in the order of the files."""
        from pyarrow.dataset import ParquetFragmentScanOptions

        read = self._dataset.to_batches(
            batch_size=self._batch,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
            fragment_scan_options=ParquetFragmentScanOptions(
                pre_buffer=False
            ),  # else it keeps the file as it reads
        )
        yield from (found.to_pandas() for found in read if found.num_rows)

    def inputs(self) -> Iterator[pd.DataFrame]:
        """Target and inputs, batch by batch."""
        yield from (batch_of(frame, self._config)[0] for frame in self.frames())

    def times(self) -> npt.NDArray[np.int64]:
        """When each row happened, or, where no column says it, its place."""
        if not self._config.time:
            return np.arange(self._dataset.count_rows(), dtype=np.int64)
        found = [batch_of(frame, self._config)[1].astype(np.int64) for frame in self.frames()]
        return np.concatenate(found) if found else np.zeros(0, np.int64)


def _dataset(project: Project) -> Any:
    """The project's file or folder, opened and not read."""
    import pyarrow
    import pyarrow.dataset

    written = project.config.data.path
    if written is None:
        raise UserError("[data] load gives all rows at once; rows in batches need path = FILE or FOLDER")
    path = project.folder / written
    if not path.exists():
        raise UserError(f"data.path = {written!r}: {path} does not exist")
    try:
        if (path / "_delta_log").is_dir():
            return dataset_of(path)
        return pyarrow.dataset.dataset(path, format="parquet")
    except (pyarrow.ArrowInvalid, OSError) as problem:
        raise UserError(f"data.path = {written!r}: neither Parquet nor a Delta table: {problem}") from None


def _parts(times: npt.NDArray[np.int64], test: float) -> npt.NDArray[np.int8]:
    """The part of each row, as `split_in_time` cuts them once they are sorted; rows of one time keep their order."""
    part = np.full(len(times), _TEST, np.int8)
    by_time = np.argsort(times, kind="stable")
    try:
        split = split_in_time(len(times), validation=VALIDATION, test=test)
    except ValueError as problem:
        raise UserError(str(problem)) from None
    part[by_time[split.train]], part[by_time[split.validation]] = _TRAIN, _STOP
    return part


def _schema(
    project: Project, source: _Source, part: npt.NDArray[np.int8], times: npt.NDArray[np.int64], sample: int
) -> Schema:
    """Learned from training rows in the order of time: sums then end in the same digits, whatever the files' order."""
    import pandas as pd

    train = np.flatnonzero(part == _TRAIN)
    wanted = np.zeros(len(part), dtype=bool)
    wanted[train[np.linspace(0, len(train) - 1, min(len(train), sample)).astype(np.int64)]] = True
    frames, begin = [], 0
    for frame in source.inputs():
        frames.append(frame[wanted[begin : begin + len(frame)]])
        begin += len(frame)
    in_time = np.argsort(times[wanted], kind="stable")
    rows = pd.concat(frames, ignore_index=True).iloc[in_time].reset_index(drop=True)
    none = np.full(len(rows), np.datetime64("NaT"), "datetime64[ns]")
    return fit_schema(project, Table(rows, none, np.arange(len(rows)).astype(object)))


def _prepared(source: _Source, schema: Schema, wanted: npt.NDArray[np.bool_]) -> Iterator[Rows]:
    """The wanted rows that have a target, as arrays, batch by batch."""
    begin, target = 0, schema.target.name
    for frame in source.inputs():
        chosen = frame[wanted[begin : begin + len(frame)] & frame[target].notna().to_numpy()]
        begin += len(frame)
        if not len(chosen):
            continue
        try:
            yield Rows(schema.inputs(chosen), schema.targets(chosen))
        except ValueError as problem:
            raise UserError(f"rows {begin - len(frame):,} to {begin:,} of the data: {problem}") from None
