"""A new project from a look at a file: what was found is said, and a commented losswatch.toml is written."""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipelines.batches import Looked, look_at
from pipelines.config import FILE_NAME, DataConfig, describe, name_from
from pipelines.duration import parse_duration
from pipelines.errors import UserError
from pipelines.reading import in_batches
from pipelines.section import KeyDoc, write_value
from pipelines.sources import read_source
from pipelines.written_date import parse_moment

if TYPE_CHECKING:
    import pandas as pd

    from models.schema import Schema

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Wish:
    """What the user asked `losswatch init` for; start and step as they were written."""

    data: Path
    target: str
    time: tuple[str, ...] = ()
    time_format: str | None = None
    start: str | None = None
    step: str | None = None
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a look at the data says."""

    rows: int
    first: datetime
    last: datetime
    target: str
    task: str
    classes: tuple[str, ...]  # empty for regression
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    missing: Mapping[str, int]  # column -> rows without a value, where there are any
    window: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class InitResult:
    """A project file that was written, and why it says what it says."""

    path: Path
    found: Found

    def lines(self) -> list[str]:
        found = self.found
        return [
            f"{found.rows:,} rows from {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC",
            f"target {found.target!r}: {_task_in_words(found)}",
            f"inputs: {_counted(found.numbers, 'number', 'numbers')}, "
            f"{_counted(found.categories, 'category', 'categories')}",
            *_missing_in_words(found),
            f"window: {found.window} (the shortest with 500 rows in the median window)",
            *(f"warning: {warning}" for warning in found.warnings),
            f"wrote {self.path}",
            f"next: losswatch check --project {self.path.parent}",
        ]


def _task_in_words(found: Found) -> str:
    if not found.classes:
        return "a number (regression)"
    shown = ", ".join(found.classes[:6]) + (", ..." if len(found.classes) > 6 else "")
    return f"{len(found.classes)} classes ({shown})"


def _counted(names: tuple[str, ...], one: str, many: str) -> str:
    word = one if len(names) == 1 else many
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{len(names)} {word}" + (f" ({shown})" if names else "")


def _missing_in_words(found: Found) -> list[str]:
    if not found.missing:
        return ["no missing values"]
    parts = [f"{name} {count / found.rows:.1%}" for name, count in list(found.missing.items())[:8]]
    return [f"missing values in {len(found.missing)} columns: {', '.join(parts)}"]


def init(folder: Path, wish: Wish) -> InitResult:
    """Looks at the file and writes folder/losswatch.toml; nothing is left behind where that fails."""
    path = Path(folder) / FILE_NAME
    if path.exists():
        raise UserError(f"{path} exists already. Edit it, or name another folder")
    config = _data_config(wish)
    found = _look(look_at(config, Path.cwd()), config)
    _write_new(
        path, project_file(name_from(path.absolute().parent), found, _written_data(config, wish, path.parent))
    )
    return InitResult(path, found)


# --- what was asked ---


def _data_config(wish: Wish) -> DataConfig:
    """The [data] section that the options describe, with the path as seen from here."""
    if wish.time and (wish.start or wish.step):
        raise UserError(
            "--time and --start/--step were both given. A file with a time column needs --time only"
        )
    if not wish.time and not (wish.start and wish.step):
        raise UserError(f"when did the rows happen? Give --time COLUMN, or --start and --step{_advice(wish)}")
    if wish.time_format and not wish.time:
        raise UserError("--time-format says how --time is written, which is missing")
    try:
        return DataConfig(
            target=wish.target,
            path=str(wish.data),
            time=wish.time,
            time_format=wish.time_format,
            start=_option("--start", wish.start, parse_moment) if wish.start else None,
            step=_step(wish.step) if wish.step else None,
            drop=wish.drop,
        )
    except ValueError as error:
        raise UserError(str(error)) from None


def _option(option: str, text: str, parse: Callable[[str], Parsed]) -> Parsed:
    try:
        return parse(text)
    except ValueError as problem:
        raise UserError(f"{option} {text!r}: {problem}") from None


def _step(text: str) -> timedelta:
    step = _option("--step", text, parse_duration)
    if step <= timedelta(0):
        raise UserError(f'--step {text!r}: expected more than 0, e.g. "30 min"')
    return step


def _advice(wish: Wish) -> str:
    """Names columns that look like times, where the file can be read."""
    config = DataConfig(target=wish.target, path=str(wish.data))
    if in_batches(config, Path.cwd()) is not None:
        return ""  # a guess is not worth a pass over so many rows
    frame = read_source(config, Path.cwd()).frame
    likely = [name for name in frame.columns if _looks_like_time(frame[name])]
    return f"; {', '.join(map(repr, likely))} looks like a time" if likely else ""


def _looks_like_time(values: pd.Series[Any]) -> bool:
    import pandas as pd

    from pipelines.row_times import row_times

    if pd.api.types.is_numeric_dtype(values):
        return False  # too many numbers could be years
    try:
        row_times(values.to_frame(), [str(values.name)])
    except UserError:
        return False
    return True


# --- what was found ---


def _look(looked: Looked, config: DataConfig) -> Found:
    from models.schema import CategoryColumn, NumberColumn, Schema
    from monitoring.window import default_window

    table = looked.table
    try:
        schema = Schema.fit(table.frame, config.target)
    except ValueError as error:
        raise UserError(f"{config.path}: {error}") from None
    missing = {str(name): int(count) for name, count in table.frame.isna().sum().items() if count}
    return Found(
        rows=len(looked.times),
        first=_moment(looked.times[0]),
        last=_moment(looked.times[-1]),
        target=config.target,
        task=schema.target.task,
        classes=schema.target.classes,
        numbers=tuple(column.name for column in schema.columns if isinstance(column, NumberColumn)),
        categories=tuple(column.name for column in schema.columns if isinstance(column, CategoryColumn)),
        missing=missing,
        window=str(default_window(looked.times)),
        warnings=(*looked.notices, *table.notices, *_leaks(table.frame, schema)),
    )


def _leaks(frame: pd.DataFrame, schema: Schema) -> tuple[str, ...]:
    from models.leakage import leakage

    return tuple(str(leak) for leak in leakage(frame, schema.target.name, schema.target.task, ()))


def _moment(time: np.datetime64) -> datetime:
    return parse_moment(str(time.astype("datetime64[s]")))


# --- the file ---

_SECTION_WORDS = {
    "project": "what the project is called",
    "data": "the rows: where they are, what is predicted, when each happened",
    "prepare": "how columns become inputs, where it is not to be the usual way",
    "network": "the network and how it learns",
    "monitor": "what is judged at once",
    "alarm": "when a loss counts as harmed",
    "retrain": "when a retraining may start, and what it is made of",
    "gate": "what a new version must prove before it serves",
    "evaluate": "what `losswatch evaluate` looks at",
    "serve": "the scoring server",
    "log": "what the log keeps of a row, and how safely",
    "alerts": "who is told of what a person should know",
    "store": "where versions and rows are kept",
    "schedule": "what `losswatch up` runs by itself",
    "report": "what is made beside the page of what happened",
    "replay": "the part of the data that is lived through again",
}


def _written_data(config: DataConfig, wish: Wish, folder: Path) -> dict[str, object]:
    """The keys of [data] to write, the path as seen from the project's folder."""
    values: dict[str, object] = {
        "data.target": config.target,
        "data.path": _path_from(folder, wish.data),
        "data.time": config.time if len(config.time) != 1 else config.time[0],
        "data.time_format": config.time_format,
        "data.start": config.start,
        "data.step": config.step,
        "data.drop": config.drop,
    }
    return {key: value for key, value in values.items() if value not in (None, ())}


def _path_from(folder: Path, data: Path) -> str:
    """The path of the data seen from a folder, absolute where the two share nothing but the root."""
    data, folder = data.resolve(), folder.resolve()
    try:
        common = os.path.commonpath([data, folder])
    except ValueError:  # two drives
        return str(data)
    return str(data) if common == os.path.sep else Path(os.path.relpath(data, folder)).as_posix()


def project_file(name: str, found: Found, values: Mapping[str, object]) -> str:
    """The text of a project file: every key with its sentence, what is not set as a comment with its default.

    name: of the project. values: key, e.g. "data.path", to what is set.
    """
    hints = {"monitor.window": write_value(found.window), "project.name": write_value(name)}
    inputs = len(found.numbers) + len(found.categories)
    lines = [
        f"# {inputs} inputs, {found.rows:,} rows, target: {_task_in_words(found)}.",
        "# A line that begins with # is a key at its default: take the # away to change it.",
    ]
    section = ""
    for doc in describe():
        if doc.key.partition(".")[0] != section:
            section = doc.key.partition(".")[0]
            lines += ["", "", f"[{section}]  # {_SECTION_WORDS[section]}"]
        lines += ["", *_key_lines(doc, values, hints)]
    return "\n".join(lines) + "\n"


def _key_lines(doc: KeyDoc, values: Mapping[str, object], hints: Mapping[str, str]) -> list[str]:
    name = doc.key.partition(".")[2]
    default = "" if doc.default in (None, "none", doc.example) else f"; default: {doc.default}"
    words = textwrap.wrap(f"{doc.doc} ({doc.type}{default})", width=98, break_long_words=False)
    comment = [f"# {line}" for line in words]
    if doc.key in values:
        return [*comment, f"{name} = {write_value(values[doc.key])}"]
    return [*comment, f"# {name} = {hints.get(doc.key, doc.example)}"]


def _write_new(path: Path, text: str) -> None:
    """Writes a file that does not exist yet, whole or not at all, and the folders that it needs."""
    made = _missing_folders(path.parent)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.link(unfinished, path)  # unlike a rename, fails where somebody was quicker
    except OSError as error:
        with contextlib.suppress(OSError):  # what is not there needs no clearing
            unfinished.unlink()
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    unfinished.unlink()


def _missing_folders(folder: Path) -> list[Path]:
    """The folders that would have to be made, the innermost first."""
    return [part for part in (folder, *folder.parents) if not part.exists()]
