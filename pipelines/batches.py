"""More rows than memory holds: read from Parquet or Delta batch by batch, cut into parts, a sample drawn."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.schema import infer_task
from models.split import split_rows, strata_of
from pipelines.config import DataConfig
from pipelines.dataset import BATCH
from pipelines.errors import UserError
from pipelines.parts import VALIDATION
from pipelines.reading import InBatches, in_batches
from pipelines.row_times import Times, row_times
from pipelines.sources import (
    Table,
    check_columns,
    counted_times,
    input_names,
    inputs_of,
    mean_one,
    numbers_of_weight,
    read,
)

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]
Numbers = npt.NDArray[np.int64]

# rows that a schema is learned from and that are kept; a quantile is known to 0.1 % of the rows
SAMPLE = 300_000
BATCH_BYTES = 1 << 28  # of a batch as a frame: of a thousand columns it has fewer rows than BATCH
SAMPLE_BYTES = 1 << 30  # of a sample as a frame
LEAST_SAMPLE = 1000  # rows; of a hundred thousand columns a frame of them takes 800 MB
MOST_LEVELS = 1000  # of the target: more are a quantity, see models.schema.MOST_CLASSES
TRAIN, STOP, TEST = range(3)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows as a frame of every column asked for; begin: the number of the first of them."""

    begin: int
    frame: pd.DataFrame

    @property
    def rows(self) -> slice:
        return slice(self.begin, self.begin + len(self.frame))


@dataclass(frozen=True, eq=False)
class Scan:
    """What is kept of every row, in the order of the files: some 20 bytes.

    times: (n,). known: (n,), whether there is a target. part: (n,), TRAIN, STOP or TEST. order: (n,), the numbers
    of the rows by time. weights: (n,) of mean 1, or None.
    """

    times: Times
    known: npt.NDArray[np.bool_]
    part: npt.NDArray[np.int8]
    order: Numbers
    weights: npt.NDArray[np.float32] | None

    def numbers(self, part: int) -> Numbers:
        """The rows of a part that have a target, by time."""
        chosen: Numbers = self.order[(self.part[self.order] == part) & self.known[self.order]]
        return chosen

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which rows teach or stop the training, with a target or without."""
        return np.asarray(self.part != TEST)


class Source:
    """The rows of a project's data, as often as they are asked for."""

    def __init__(self, config: DataConfig, found: InBatches, *, batch: int | None = None) -> None:
        self.config, self.dataset = config, found.dataset
        self.batch = batch or min(BATCH, max(1, BATCH_BYTES // self._row_bytes))
        self.reason, self.where = found.reason, str(found.dataset.path)
        check_columns(found.dataset.empty(), self.config, self.where)
        self._names: list[str] | None = None

    @property
    def rows(self) -> int:
        return self.dataset.rows

    @property
    def sample(self) -> int:
        """How many rows stand for all, at most."""
        return min(SAMPLE, max(LEAST_SAMPLE, SAMPLE_BYTES // self._row_bytes))

    @property
    def _row_bytes(self) -> int:
        return max(1, self.dataset.frame_bytes // self.rows)

    def identity(self, sample: int, seed: int, progress: Say | None = None) -> str:
        """16 hexadecimal digits of the content of the files, and of all that says what their rows are."""
        config = {**dataclasses.asdict(self.config), "path": None, "in_batches": None, "label_delay": None}
        said = json.dumps([self.dataset.digest(progress), config, seed, sample], sort_keys=True, default=str)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Every row, in the order of the files."""
        begin = 0
        for table in self.dataset.tables(columns, batch=self.batch):
            frame = self.dataset.frame(table)
            yield Batch(begin, frame)
            begin += len(frame)

    def inputs(self, batch: Batch) -> pd.DataFrame:
        """Target and inputs of the rows of a batch of all columns."""
        if self._names is None:
            self._names = input_names(batch.frame, self.config)
        with told_rows(batch):
            return inputs_of(batch.frame, self.config, self._names)

    def sampled(
        self, wanted: npt.NDArray[np.bool_], part: npt.NDArray[np.int8]
    ) -> tuple[pd.DataFrame, Numbers]:
        """Every column of the wanted rows, and their numbers.

        Of a class that only rows of the training show that are not wanted, the first of these comes along: no class
        may be unknown later.
        """
        import pyarrow as pa

        tables, numbers, begin = [], [], 0
        levels = _Levels(self.config.target)
        for table in self.dataset.tables(batch=self.batch):
            rows = slice(begin, begin + table.num_rows)
            begin = rows.stop
            chosen = wanted[rows] | levels.new(table, wanted[rows], part[rows] == TRAIN)
            if chosen.any():
                tables.append(table.filter(pa.array(chosen)))
                numbers.append(rows.start + np.flatnonzero(chosen))
        return self.dataset.frame(pa.concat_tables(tables)), np.concatenate(numbers)


class _Levels:
    """The values of a target of few values that the wanted rows of the training have shown so far."""

    def __init__(self, target: str) -> None:
        self._target, self._seen, self._few = target, set[object](), True

    def new(
        self, table: Any, wanted: npt.NDArray[np.bool_], train: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Which rows of the training, none of them wanted, are the first of their value."""
        found = np.zeros(len(wanted), bool)
        if not self._few:
            return found
        values = table.column(self._target).to_pandas()
        if values.notna().any() and infer_task(values) == "regression":
            self._few = False
            return found
        self._seen |= set(values[wanted & train].dropna().unique())
        self._few = len(self._seen) <= MOST_LEVELS
        others = values[train & ~wanted & values.notna().to_numpy()].drop_duplicates()
        others = others[~others.isin(self._seen)]
        if self._few and len(self._seen) + len(others) <= MOST_LEVELS:
            found[others.index.to_numpy()] = True
            self._seen |= set(others)
        return found


@contextmanager
def told_rows(batch: Batch) -> Iterator[None]:
    """Errors of a batch name its rows."""
    try:
        yield
    except (UserError, ValueError) as problem:
        first, last = batch.begin + 1, batch.begin + len(batch.frame)
        raise UserError(f"rows {first:,} to {last:,} of the data: {problem}") from None


# --- one pass for what every row says ---


def scan(source: Source, seed: int) -> Scan:
    """Times, targets, weights, keys and parts of all rows, with no other column read."""
    config = source.config
    columns = dict.fromkeys(
        [config.target, *config.time, *filter(None, (config.key, config.group, config.weight))]
    )
    times, known, weights, targets, groups = [], [], [], _Target(config), _Codes()
    keys = _Keys(source)
    for batch in source.batches(list(columns)):
        times.append(_times(batch, config))
        known.append(batch.frame[config.target].notna().to_numpy())
        targets.add(batch)
        keys.add(batch)
        if config.group is not None and config.split == "group":
            groups.add(batch.frame[config.group])
        if config.weight is not None:
            weights.append(numbers_of_weight(batch.frame[config.weight], source.where, first=batch.begin))
    targets.check(source)
    keys.check()
    moments = np.concatenate(times) if config.time else counted_times(source.rows, config)
    if np.isnat(moments).any():
        raise UserError(
            "[data] names no time: write time = COLUMN, or start and step for rows that come at equal steps"
        )
    order = np.argsort(moments, kind="stable")
    scaled = mean_one(np.concatenate(weights), config.weight, source.where) if config.weight else None
    part = _parts(config, order, targets, groups, seed)
    return Scan(moments, np.concatenate(known), part, order, scaled)


def _times(batch: Batch, config: DataConfig) -> Times:
    """Of the rows of a batch. Texts must be written one way, known before: a batch alone could be read in two."""
    if not config.time:
        return np.zeros(0, "datetime64[ns]")
    form = config.time_format
    if form is None and any(batch.frame[name].dtype == object for name in config.time):
        if len(config.time) > 1:
            raise UserError(
                f"time {' + '.join(config.time)!r} is written as text in several columns: rows read in batches "
                "need data.time_format, e.g. '%Y-%m-%d %H:%M'"
            )
        form = "ISO8601"
    with told_rows(batch):
        return row_times(batch.frame, config.time, form)


def _parts(
    config: DataConfig, order: Numbers, targets: _Target, groups: _Codes, seed: int
) -> npt.NDArray[np.int8]:
    """The part of each row, cut as rows in memory are, once they are sorted."""
    strata = targets.strata(order) if config.split == "stratified" else None
    try:
        split = split_rows(
            config.split,
            len(order),
            seed=seed,
            strata=strata,
            groups=groups.floats(order) if config.split == "group" and config.group else None,
            validation=VALIDATION,
            test=config.test_share,
        )
    except ValueError as problem:
        raise UserError(f'[data] split = "{config.split}": {problem}') from None
    part = np.full(len(order), TEST, np.int8)
    part[order[split.train]], part[order[split.validation]] = TRAIN, STOP
    return part


class _Codes:
    """Values as numbers, in the order in which they come; -1 for missing ones."""

    def __init__(self) -> None:
        self._known: dict[object, int] = {}
        self._found: list[npt.NDArray[np.int32]] = []

    def add(self, values: pd.Series[Any]) -> None:
        import pandas as pd

        codes, levels = pd.factorize(values)
        own = np.array([self._known.setdefault(level, len(self._known)) for level in levels], np.int32)
        self._found.append(np.where(codes < 0, -1, np.append(own, -1)[codes]).astype(np.int32))

    def floats(self, order: Numbers) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
        """One number for each value, nan for missing ones."""
        codes = np.concatenate(self._found)[order]
        return np.where(codes < 0, np.nan, codes)

    def in_order(self, order: Numbers) -> Numbers:
        """Numbers from 0 as the values come in this order; missing ones have the last."""
        codes = np.concatenate(self._found)[order]
        known, first = np.unique(codes[codes >= 0], return_index=True)
        renamed = np.full(len(self._known) + 1, len(known), np.int64)
        renamed[known[np.argsort(first)]] = np.arange(len(known))
        return renamed[codes]


class _Target:
    """What is asked of all targets: whether they differ, and the strata of a split."""

    def __init__(self, config: DataConfig) -> None:
        self._name, self._kept = config.target, config.split == "stratified"
        self._codes, self._seen = _Codes(), set[object]()
        self._numbers: list[npt.NDArray[np.float64]] = []
        self._quantity = False

    def add(self, batch: Batch) -> None:
        values = batch.frame[self._name]
        if len(self._seen) < 2:
            self._seen |= set(values.dropna().unique()[:2].tolist())
        if not self._kept:
            return
        if not batch.begin:
            self._quantity = infer_task(values) == "regression"
        if self._quantity:
            self._numbers.append(values.to_numpy(np.float64))
        else:
            self._codes.add(values)

    def check(self, source: Source) -> None:
        """Raises UserError where there is nothing to learn."""
        if not self._seen:
            raise UserError(f"{source.where}: target {self._name!r} is missing in all {source.rows:,} rows")
        if len(self._seen) == 1:
            only = next(iter(self._seen))
            raise UserError(
                f"{source.where}: target {self._name!r} is {only!r} in every row; there is nothing to learn"
            )

    def strata(self, order: Numbers) -> Numbers:
        if self._quantity:
            return strata_of(np.concatenate(self._numbers)[order], quantity=True)
        return self._codes.in_order(order)


class _Keys:
    """The keys of all rows as numbers of 64 bits; where two are the same the keys themselves are compared."""

    def __init__(self, source: Source) -> None:
        self._source, self._key = source, source.config.key
        self._hashes: list[npt.NDArray[np.uint64]] = []

    def add(self, batch: Batch) -> None:
        import pandas as pd

        if self._key is None:
            return
        values = batch.frame[self._key]
        if values.isna().any():
            row = batch.begin + int(np.argmax(values.isna().to_numpy()))
            raise UserError(
                f"{self._source.where}: key {self._key!r} is missing in row {row + 1}; it must identify every row"
            )
        self._hashes.append(pd.util.hash_array(values.astype(str).to_numpy(object), categorize=False))

    def check(self) -> None:
        if self._key is None:
            return
        hashes = np.concatenate(self._hashes)
        ordered = np.sort(hashes)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if len(twice):
            self._compare(np.isin(hashes, twice))

    def _compare(self, suspects: npt.NDArray[np.bool_]) -> None:
        seen: set[str] = set()
        for batch in self._source.batches([str(self._key)]):
            rows = np.flatnonzero(suspects[batch.rows])
            for row, text in zip(rows, batch.frame[self._key].astype(str).iloc[rows], strict=True):
                if text in seen:
                    raise UserError(
                        f"{self._source.where}: key {self._key!r} is {text!r} in row {batch.begin + int(row) + 1} "
                        "and in a row before it"
                    )
                seen.add(text)


# --- a sample that stands for all ---


def draw(part: npt.NDArray[np.int8], most: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows are in the sample: at most about so many, of every part in its share, drawn with the seed."""
    if len(part) <= most:
        return np.ones(len(part), bool)
    wanted, rng = np.zeros(len(part), bool), np.random.default_rng((seed, most))
    for number in (TRAIN, STOP, TEST):
        rows = np.flatnonzero(part == number)
        count = min(len(rows), -(-len(rows) * most // len(part)))
        wanted[rng.choice(rows, count, replace=False, shuffle=False)] = True
    return wanted


def table_of(source: Source, found: Scan, frame: pd.DataFrame, numbers: Numbers) -> Table:
    """Rows by their numbers as the table that a smaller file would give, oldest first. frame: of every column."""
    config = source.config
    order = np.argsort(found.times[numbers], kind="stable")
    rows, frame = numbers[order], frame.iloc[order].reset_index(drop=True)
    keys = rows.astype(str) if config.key is None else frame[config.key].astype(str)
    groups = None if config.group is None else frame[config.group].to_numpy()
    weights = None if found.weights is None else found.weights[rows]
    return Table(
        source.inputs(Batch(0, frame)),
        found.times[rows],
        np.asarray(keys, object),
        groups=groups,
        weights=weights,
        parts=found.part[rows],
    )


@dataclass(frozen=True, eq=False)
class Looked:
    """Rows to look at: all, or a sample of those that are read in batches.

    table: the rows. times: of all rows, ascending. labelled: how many of all have a target. notices: that they are
    a sample.
    """

    table: Table
    times: Times
    labelled: int
    notices: tuple[str, ...] = ()


def look_at(config: DataConfig, folder: Path, *, seed: int = 0, progress: Say | None = None) -> Looked:
    """The rows that [data] describes for what looks at them, and trains nothing that is kept."""
    if (found := in_batches(config, folder)) is not None:
        return sampled(config, found, seed=seed, progress=progress)
    table = read(config, folder)
    return Looked(table, table.times, int(table.frame[config.target].notna().sum()))


def sampled(config: DataConfig, found: InBatches, *, seed: int = 0, progress: Say | None = None) -> Looked:
    """A sample of the rows, of every part in its share."""
    say = progress or (lambda text: None)
    source = Source(config, found)
    say("reading the times")
    scanned = scan(source, seed)
    say("drawing a sample")
    frame, numbers = source.sampled(draw(scanned.part, source.sample, seed), scanned.part)
    table = table_of(source, scanned, frame, numbers)
    notice = sentence(source, len(numbers), "looked at")
    return Looked(table, scanned.times[scanned.order], int(scanned.known.sum()), (notice,))


def rows_after(config: DataConfig, found: InBatches, moment: np.datetime64, *, seed: int = 0) -> Table | None:
    """The rows with a target that came after a moment, a sample where they are many; None where there is none."""
    source = Source(config, found)
    scanned = scan(source, seed)
    newer = np.flatnonzero(scanned.known & (scanned.times > moment))
    if not len(newer):
        return None
    if len(newer) > source.sample:
        rng = np.random.default_rng((seed, source.sample))
        newer = rng.choice(newer, source.sample, replace=False, shuffle=False)
    wanted = np.zeros(source.rows, bool)
    wanted[newer] = True
    frame, numbers = source.sampled(wanted, np.full(source.rows, TEST, np.int8))
    return dataclasses.replace(table_of(source, scanned, frame, numbers), parts=None)


def column_of(
    config: DataConfig, found: InBatches, name: str, ids: npt.NDArray[np.object_]
) -> npt.NDArray[Any]:
    """The values of a column in the rows of these names. Raises KeyError where one of them is not of the data."""
    import pandas as pd

    wanted, found_values = set(ids.tolist()), dict[str, Any]()
    for batch in Source(config, found).batches(list(dict.fromkeys(filter(None, (config.key, name))))):
        pairs = zip(names_of(batch, config.key), batch.frame[name], strict=True)
        found_values |= {text: value for text, value in pairs if text in wanted}
    return pd.Series([found_values[text] for text in ids]).to_numpy()


def names_of(batch: Batch, key: str | None) -> list[str]:
    """The names of the rows of a batch: their keys, or their numbers in the data."""
    if key is None:
        return [str(row) for row in range(batch.rows.start, batch.rows.stop)]
    names: list[str] = batch.frame[key].astype(str).tolist()
    return names


def sentence(source: Source, sample: int, what: str) -> str:
    """That rows are a sample, why, and how many."""
    if sample == source.rows:
        return f"{source.rows:,} rows are read in batches: {source.reason}"
    return (
        f"{source.rows:,} rows are read in batches: {source.reason}; a sample of {sample:,} of them, drawn with the "
        f"seed, is {what}"
    )
