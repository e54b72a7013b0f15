"""A file scored by the champion, a part at a time, into the log and into another file."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.schema import Schema
from pipelines.data_file import read_data_file
from pipelines.dataset import Dataset, is_dataset, open_dataset
from pipelines.errors import UserError
from pipelines.memory import in_words, usable_memory
from pipelines.reading import TEXT_TIMES
from pipelines.row_times import row_times
from pipelines.scoring import Scorer
from pipelines.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

_PART = 20_000  # rows in memory at once
_HASHED_AT_ONCE = 2**20


@dataclass(frozen=True)
class FileScored:
    """What came of it. logged: rows that were added to the log; the others were there from an earlier time."""

    file: str
    rows: int
    logged: int
    version: int
    out: str | None

    def lines(self) -> list[str]:
        known = self.rows - self.logged
        said = [
            f"{self.file}: {self.rows:,} rows scored by version {self.version}, {self.logged:,} added to the log"
        ]
        if known:
            said.append(f"{known:,} rows were in the log from an earlier time, and are there once")
        return [*said, f"predictions: {self.out}"] if self.out else said


def score_file(
    stores: Stores, path: Path, *, out: Path | None = None, progress: Callable[[str], None] | None = None
) -> FileScored:
    """Scores the rows of a file with the champion.

    A Parquet file, a folder of them or a Delta table is read in parts; a CSV file as a whole. Rows have the ids of
    data.key, or ids made of the file's content and their place, so that the same file is in the log once however
    often it is scored. out: a CSV file of ids and predictions, there when it is whole. `UserError` where no version
    serves, or rows are not as the version expects; what was added before stays, and the next time goes on.
    """
    champion = stores.registry.alias("champion")
    if champion is None:
        raise UserError(
            f"{stores.project.name}: no version serves yet. Name the first: losswatch promote --first"
        )
    scorer = Scorer.load(stores.registry.bundle(champion.version))
    if not path.exists():
        raise UserError(f"{path} does not exist")
    source = open_dataset(path) if is_dataset(path) else None
    identity = source.digest() if source is not None else digest_of(path)
    rows = logged = 0
    with ExitStack() as stack:
        write = stack.enter_context(_Predictions(out, scorer.schema)).write if out else None
        for frame in _parts(stores, path, source):
            known_at = stores.project.now()
            ids, keys = _ids(frame, stores.project.config.data.key, identity, rows)
            columns = _columns(frame, scorer.schema, path, rows)
            predictions = scorer.predict(columns)
            added = stores.log.append_predictions(
                ids,
                _times(frame, stores, known_at),
                columns,
                predictions,
                version=champion.version,
                known_at=known_at,
                caller="losswatch score",
                keys=keys,
                batch=f"score:{identity}:{champion.version}:{rows}",
            )
            if write is not None:
                write(ids, predictions)
            rows, logged = rows + len(frame), logged + len(frame) * added
            if progress is not None:
                progress(f"{rows:,} rows scored")
    return FileScored(str(path), rows, logged, champion.version, str(out) if out else None)


def _parts(stores: Stores, path: Path, source: Dataset | None) -> Iterator[pd.DataFrame]:
    if source is not None:
        for table in source.tables(source.names, batch=_PART):
            yield source.frame(table)
        return
    size, memory = path.stat().st_size, usable_memory()
    if TEXT_TIMES * size > memory:
        raise UserError(
            f"{path} holds {in_words(size)} of text, more than this process can read at once. Write it as Parquet, "
            "which is read in parts"
        )
    frame = read_data_file(path, as_text=stores.project.config.data.time).frame
    for start in range(0, len(frame), _PART):
        yield frame.iloc[start : start + _PART].reset_index(drop=True)


def digest_of(path: Path) -> str:
    """64 hexadecimal digits of the content of a file, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(_HASHED_AT_ONCE):
            digest.update(content)
    return digest.hexdigest()


def _ids(
    frame: pd.DataFrame, key: str | None, identity: str, before: int
) -> tuple[list[str], list[str] | None]:
    """Ids of the rows, and the user's own keys, which are the ids where there are any."""
    if key is not None and key in frame:
        keys = [str(value) for value in frame[key].tolist()]
        return keys, keys
    return [f"{identity[:16]}-{before + row:09d}" for row in range(len(frame))], None


def _times(frame: pd.DataFrame, stores: Stores, known_at: Any) -> Any:
    """The times of the rows where the file has them; else this moment."""
    config = stores.project.config.data
    if config.time and set(config.time) <= set(frame):
        return row_times(frame, config.time, config.time_format)
    return np.full(len(frame), np.datetime64(known_at.replace(tzinfo=None), "us"))


def _columns(frame: pd.DataFrame, schema: Schema, path: Path, before: int) -> dict[str, Any]:
    faults = schema.check(frame)
    if faults:
        where = f" (rows from {before:,} on)" if before else ""
        raise UserError("\n".join(f"{path}{where}: {fault}" for fault in faults))
    return {name: frame[name] for name in schema.column_names}


class _Predictions:
    """A CSV file that has its name when it is whole."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path, self._half = path, path.with_name(f".{path.name}.{os.getpid()}")
        several = schema.target.task == "multiclass"
        names = [f"probability of {one}" for one in schema.target.classes] if several else ["prediction"]
        self._names = ["id", *names]

    def __enter__(self) -> _Predictions:
        self._file = self._half.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(self._names)
        return self

    def write(self, ids: Sequence[str], predictions: Any) -> None:
        """Adds rows. predictions: (n, outputs)."""
        self._writer.writerows([id, *row] for id, row in zip(ids, predictions.tolist(), strict=True))

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None:
            os.replace(self._half, self._path)
        else:
            self._half.unlink()
