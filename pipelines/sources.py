"""The user's data as a table of rows in time order: from a file or from the user's own function."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.config import DataConfig
from pipelines.data_file import DataFile, read_data_file
from pipelines.dataset import is_dataset, open_dataset
from pipelines.errors import UserError
from pipelines.nearest import did_you_mean
from pipelines.reading import refuse_in_batches
from pipelines.row_times import Times, is_number_part, row_times
from pipelines.userfile import load_function, own_error

if TYPE_CHECKING:
    import pandas as pd

Ids = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a project, oldest first.

    frame: the target and the inputs, without the columns left out. times: (n,) datetime64[ns] in UTC, NaT
    throughout where the project names no time. ids: (n,) texts, different for each row and the same whenever
    the data are read again. notices: what the reader of the data should know. groups: the value of data.group
    of each row, None where the project names none. weights: (n,) float32, what data.weight says that each row counts,
    brought to mean 1; None where the project names none. parts: (n,) which part each row is of, by its place in
    `models.split.Split`, where rows are a sample of more that were cut; else None.
    """

    frame: pd.DataFrame
    times: Times
    ids: Ids
    notices: tuple[str, ...] = ()
    groups: npt.NDArray[Any] | None = None
    weights: npt.NDArray[np.float32] | None = None
    parts: npt.NDArray[np.int8] | None = None

    @property
    def has_times(self) -> bool:
        return not bool(np.isnat(self.times).any())

    @property
    def identity(self) -> str:
        """16 hexadecimal digits of the content: names, values, times and ids."""
        import pandas as pd

        digest = hashlib.sha256("\0".join(map(str, self.frame.columns)).encode())
        digest.update(pd.util.hash_pandas_object(self.frame, index=False).to_numpy().tobytes())
        digest.update(self.times.astype(np.int64).tobytes())
        digest.update("\0".join(self.ids).encode())
        if self.groups is not None:
            digest.update("\0".join(map(str, self.groups)).encode())
        if self.weights is not None:
            digest.update(self.weights.tobytes())
        return digest.hexdigest()[:16]

    def rows(self, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Table:
        """Some of the rows, as a table of their own."""
        frame = self.frame.iloc[which].reset_index(drop=True)
        groups = None if self.groups is None else self.groups[which]
        weights = None if self.weights is None else self.weights[which]
        parts = None if self.parts is None else self.parts[which]
        return Table(frame, self.times[which], self.ids[which], self.notices, groups, weights, parts)


def read(config: DataConfig, folder: Path) -> Table:
    """The rows that [data] describes; a UserError says what is wrong with them.

    Rows that are not in time order are sorted, rows of equal time keep their order.
    """
    source = read_source(config, folder)
    where = _where(config, folder)
    check_columns(source.frame, config, where)
    _check_target(source.frame, config.target, where)
    times = _times(source.frame, config)
    ids = _ids(source.frame, config.key, where)
    order = np.argsort(times, kind="stable")
    frame = inputs_of(source.frame, config).iloc[order].reset_index(drop=True)
    notices = (*source.notices, *_notices(source.frame[config.target], times, order))
    groups = None if config.group is None else source.frame[config.group].to_numpy()[order]
    weights = None
    if config.weight is not None:
        weights = mean_one(numbers_of_weight(source.frame[config.weight], where), config.weight, where)[order]
    return Table(frame, times[order], ids[order], notices, groups, weights)


def read_frame(config: DataConfig, folder: Path) -> pd.DataFrame:
    """Every column of the user's data as it came, in the order in which it came."""
    return read_source(config, folder).frame


def read_source(config: DataConfig, folder: Path) -> DataFile:
    """`read_frame`, with what had to be said while reading."""
    if config.load is not None:
        return DataFile(_load(config.load, config.time, folder))
    if config.path is None:
        raise UserError('[data] names neither path = "FILE" nor load = "module:function"')
    refuse_in_batches(config, folder)
    path = Path(folder) / config.path
    if path.is_dir() and is_dataset(path):
        return DataFile(open_dataset(path).whole())
    return read_data_file(path, as_text=config.time)


def _where(config: DataConfig, folder: Path) -> str:
    return f"data.load = {config.load!r}" if config.path is None else str(Path(folder) / config.path)


def _load(reference: str, time: Sequence[str], folder: Path) -> pd.DataFrame:
    import pandas as pd

    function = load_function(reference, folder, key="data.load")
    try:
        frame = function()
    except UserError:
        raise
    except Exception as error:
        raise own_error(f"data.load = {reference!r}", error, folder) from error
    if not isinstance(frame, pd.DataFrame):
        raise UserError(
            f"data.load = {reference!r} returned {type(frame).__name__}, expected a pandas DataFrame"
        )
    if frame.index.name in time:
        frame = frame.reset_index()
    frame = frame.reset_index(drop=True)
    _check_names(frame, reference)
    if frame.empty:
        raise UserError(f"data.load = {reference!r} returned no rows")
    return frame


def _check_names(frame: pd.DataFrame, reference: str) -> None:
    for name in frame.columns:
        if not isinstance(name, str) or not name:
            raise UserError(f"data.load = {reference!r}: column name {name!r} is not a text")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"data.load = {reference!r} returned two columns called {twice!r}")


def check_columns(frame: pd.DataFrame, config: DataConfig, where: str) -> None:
    """Every column that [data] names is there; all that are not are told together."""
    named = [("target", config.target), *(("time", name) for name in config.time)]
    named += [("key", config.key)] if config.key else []
    named += [("group", config.group)] if config.group else []
    named += [("weight", config.weight)] if config.weight else []
    named += [("drop", name) for name in config.drop]
    missing = [
        f"{where} has no {role} column {name!r}{did_you_mean(name, frame.columns)}"
        for role, name in named
        if name not in frame.columns
    ]
    if missing:
        raise UserError("\n".join(missing))
    if not [name for name in input_names(frame, config) if name != config.target]:
        raise UserError(
            f"{where} has no column left to learn from beside the target, the time and what is dropped"
        )


def _check_target(frame: pd.DataFrame, target: str, where: str) -> None:
    known = frame[target].dropna()
    if known.empty:
        raise UserError(f"{where}: target {target!r} is missing in all {len(frame):,} rows")
    if known.nunique() == 1:
        only = known.iloc[:1].tolist()[0]  # 1, not numpy's "np.int64(1)"
        raise UserError(f"{where}: target {target!r} is {only!r} in every row; there is nothing to learn")


def _times(frame: pd.DataFrame, config: DataConfig) -> Times:
    if config.time:
        return row_times(frame, config.time, config.time_format)
    return counted_times(len(frame), config)


def counted_times(rows: int, config: DataConfig) -> Times:
    """The times of rows that come at equal steps; NaT where [data] does not say so."""
    if config.start is None or config.step is None:
        return np.full(rows, np.datetime64("NaT"), dtype="datetime64[ns]")
    first = np.datetime64(config.start.replace(tzinfo=None), "us")
    step = np.timedelta64(config.step, "us")
    if config.start.replace(tzinfo=None).year + config.step.days * rows / 365.25 > 2261:
        raise UserError(f"data.start + {rows:,} rows * data.step ends after the year 2261. Shorten the step")
    times: Times = (first + np.arange(rows) * step).astype("datetime64[ns]")
    return times


def _ids(frame: pd.DataFrame, key: str | None, where: str) -> Ids:
    """The key of each row as text, or the number of the row, from 0, in the data as they came."""
    if key is None:
        return np.array([str(row) for row in range(len(frame))], dtype=object)
    values = frame[key]
    if values.isna().any():
        row = int(np.argmax(values.isna().to_numpy()))
        raise UserError(f"{where}: key {key!r} is missing in row {row + 1}; it must identify every row")
    ids = values.astype(str)
    if not ids.is_unique:
        row = int(np.argmax(ids.duplicated().to_numpy()))
        raise UserError(f"{where}: key {key!r} is {ids.iloc[row]!r} in row {row + 1} and in a row before it")
    return ids.to_numpy(dtype=object)


def numbers_of_weight(column: pd.Series[Any], where: str, *, first: int = 0) -> npt.NDArray[np.float64]:
    """What each row counts, 0 or more. first: the number of the first of these rows, from 0, for the message."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(wrong):
        came, row = column.iloc[wrong[:1]].tolist()[0], first + wrong[0] + 1
        raise UserError(
            f"{where}: weight {column.name!r} is {came!r} in row {row}; expected a number of 0 or more"
        )
    return np.asarray(numbers, np.float64)


def mean_one(numbers: npt.NDArray[np.float64], name: str, where: str) -> npt.NDArray[np.float32]:
    """Weights brought to mean 1, so that the loss keeps its unit."""
    if not numbers.sum() > 0:
        raise UserError(f"{where}: weight {name!r} is 0 in every row; there is nothing to learn")
    return np.asarray(numbers / numbers.mean(), np.float32)


def input_names(frame: pd.DataFrame, config: DataConfig) -> list[str]:
    """The columns that stay: of the time, all but the first where they hold numbers, such as the hour."""
    left_out = {*config.drop, *config.time[:1], *([config.key] if config.key else [])}
    left_out |= {name for name in (config.group, config.weight) if name}
    left_out |= {
        name for name in config.time[1:] if name in frame.columns and not is_number_part(frame[name])
    }
    return [name for name in frame.columns if name not in left_out]


def inputs_of(frame: pd.DataFrame, config: DataConfig, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Target and inputs of these rows. names: the columns, where more rows than these have said which."""
    import pandas as pd

    kept = frame[list(input_names(frame, config) if names is None else names)]
    parts = {name: pd.to_numeric(kept[name]) for name in config.time if name in kept.columns}
    return kept.assign(**parts)  # CSV files keep the parts of the time as they were written


def _notices(target: pd.Series[Any], times: Times, order: npt.NDArray[np.intp]) -> list[str]:
    notices = []
    if np.any(np.diff(order) < 0):
        row = int(np.argmax(np.diff(times) < np.timedelta64(0))) + 2
        notices.append(
            f"the rows are not in time order (row {row} is the first that is earlier); they were sorted"
        )
    if unknown := int(target.isna().sum()):
        notices.append(f"the target {target.name!r} is missing in {unknown:,} of {len(target):,} rows")
    return notices
