"""The project file, losswatch.toml: read whole, checked whole, turned into frozen records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from models.losses import ELSEWHERE, KNOWN_LOSSES
from models.preparation import PrepareConfig
from models.recipe import NetworkConfig
from models.slices import SliceWish, parse_slice
from models.split import SplitKind
from monitoring.decision import RetrainPolicy
from monitoring.gate import GateConfig
from monitoring.loss_alarm import AlarmConfig
from pipelines.errors import UserError
from pipelines.keeping import LogConfig
from pipelines.nearest import did_you_mean
from pipelines.receivers import AlertsConfig
from pipelines.section import (
    Fault,
    KeyDoc,
    describe_section,
    field_names,
    read_section,
    unknown_keys,
    write_value,
)

FILE_NAME = "losswatch.toml"
LARGEST_FILE = 1_000_000  # bytes; a project file has a few thousand, anything larger is another file

Record = TypeVar("Record")


class ConfigError(UserError):
    """Every fault of a project file, together."""

    def __init__(self, path: Path, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{path} has {count}:", *(f"  {fault}" for fault in faults)]))


@dataclass(frozen=True)
class NameConfig:
    """[project]"""

    name: str = field(
        default="",
        metadata={
            "doc": "name of the model in the registry, in reports and in alerts",
            "kind": "name",
            "example": '"flight-delays"',
            "default_doc": "the name of the folder",
        },
    )
    seed: int = field(
        default=0,
        metadata={
            "doc": "start of every random number: same data and seed, same result",
            "range": (0, 2**31 - 1),
        },
    )


@dataclass(frozen=True)
class DataConfig:
    """[data]"""

    target: str = field(
        metadata={"doc": "the column that the network learns to predict", "example": '"cnt"'},
    )
    path: str | None = field(
        default=None,
        metadata={
            "doc": "CSV or Parquet file, folder of Parquet files or Delta table, absolute or from this folder; instead "
            "of `load`",
            "example": '"rides.csv"',
        },
    )
    load: str | None = field(
        default=None,
        metadata={
            "doc": 'your function without arguments that returns a DataFrame, as "module:function" for '
            "a module in this folder; instead of `path`",
            "kind": "reference",
        },
    )
    time: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "the column, or the columns together, that say when a row happened; UTC without a zone"
        },
    )
    time_format: str | None = field(
        default=None,
        metadata={
            "doc": 'how `time` is written, e.g. "%d.%m.%Y %H:%M", where it cannot be told by itself',
            "example": "'%d.%m.%Y %H:%M'",
        },
    )
    start: datetime | None = field(
        default=None,
        metadata={"doc": "for data without a time column: the time of the first row; goes with `step`"},
    )
    step: timedelta | None = field(
        default=None,
        metadata={
            "doc": "for data without a time column: row k happened at start + k * step",
            "range": (timedelta(microseconds=1), timedelta(days=3660)),
        },
    )
    drop: tuple[str, ...] = field(
        default=(),
        metadata={"doc": "columns that the network never sees"},
    )
    label_delay: timedelta = field(
        default=timedelta(0),  # most files hold the truth beside the row
        metadata={
            "doc": "how long after a row its true target becomes known",
            "range": (timedelta(0), timedelta(days=3660)),
        },
    )
    key: str | None = field(
        default=None,
        metadata={
            "doc": "the column that identifies a row, by which labels may come; not an input of the network",
            "default_doc": "the number of the row",
        },
    )
    split: SplitKind = field(
        default="time",  # a model is used on what comes after what it learned
        metadata={
            "doc": "how the rows that stop a first training are chosen: the newest, or drawn at random, with the same "
            "share of every class, or in whole groups",
        },
    )
    test_share: float = field(
        default=0.0,  # newer rows come by themselves; who cannot wait for them holds some out
        metadata={
            "doc": "share of the rows, chosen as `split` says, that neither teach nor stop any version: "
            "`losswatch evaluate` judges on them",
            "range": (0.0, 0.5),
        },
    )
    weight: str | None = field(
        default=None,
        metadata={
            "doc": "the column that says how much a row counts in training and in stopping it, 0 or more; not an input "
            "of the network. Rows that come later count 1, and all are judged alike",
            "example": '"copies"',
        },
    )
    group: str | None = field(
        default=None,
        metadata={
            "doc": 'the column whose rows stay together with split = "group", such as the customer; not an input of '
            "the network",
        },
    )

    in_batches: bool | None = field(
        default=None,  # who has little data need not know the word, who has much is told
        metadata={
            "doc": "whether a Parquet file, a folder of them or a Delta table is read and prepared batch by batch, and "
            "trained from files",
            "default_doc": "where the memory would not hold it at once",
            "example": "true",
        },
    )

    @property
    def has_times(self) -> bool:
        """Whether it is known when rows happened, and not their order alone."""
        return bool(self.time) or self.start is not None

    def __post_init__(self) -> None:
        for role, name in (("group", self.group), ("weight", self.weight)):
            if self.target == name:
                raise ValueError(f"target {self.target!r} is also named in {role}. Take it out there")
        if self.target in (*self.time, *self.drop) or self.target == self.key:
            raise ValueError(f"target {self.target!r} is also named in time, drop or key. Take it out there")
        if len(set(self.time)) < len(self.time):
            raise ValueError(f"time names a column twice: {write_value(self.time)}")


@dataclass(frozen=True)
class CodeConfig:
    """What [network] takes from a user's own module."""

    build: str | None = field(
        default=None,
        metadata={
            "doc": 'your function that gets the schema and returns a Keras model, as "module:function"; '
            "then `family` and what it is made of (`hidden`, `dropout`, `activation`, `batch_norm`, `l1`, `l2`) "
            "say nothing",
            "kind": "reference",
        },
    )


@dataclass(frozen=True)
class MonitorConfig:
    """[monitor]"""

    window: str | None = field(
        default=None,
        metadata={
            "doc": 'how much time is judged at once: "hour", "day", "week", "month" or a duration',
            "kind": "window",
            "example": '"week"',
            "default_doc": "the shortest of hour, day, week, month with 500 rows in the median window",
        },
    )


@dataclass(frozen=True)
class EvaluateConfig:
    """[evaluate]"""

    slices: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "groups of rows that are judged by themselves: columns, combinations, bins of numbers, as "
            '"carrier", "origin * weekday", "distance: 4 bins"; with their own limit as "carrier, at_most 1.3"',
            "kind": "slice",
            "example": '["carrier", "origin * weekday"]',
        },
    )
    at_most: float | None = field(
        default=None,
        metadata={
            "doc": "how many times the loss of all rows the loss of a slice may be; above it, beyond chance, "
            "`losswatch evaluate` ends with 1",
            "range": (0.01, 1000.0),
            "example": "1.3",
        },
    )
    metrics: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": 'your own figures as "module:function": called with targets and answers, each gives a number, '
            "or one a row",
            "kind": "reference",
            "example": '["figures:profit"]',
        },
    )
    baselines: tuple[str, ...] = field(
        default=("constant", "last", "linear", "trees", "svm"),  # a forest says little that trees do not
        metadata={
            "doc": "other models that a version is compared with",
            "choices": ("constant", "last", "linear", "trees", "forest", "svm"),
        },
    )
    confidence: float = field(default=0.95, metadata={"doc": "of every interval", "range": (0.5, 0.999)})
    resamples: int = field(
        default=500,  # the ends of a 95 % interval then move by about a tenth of its width from seed to seed
        metadata={"doc": "how often the rows are drawn again for the intervals", "range": (100, 10_000)},
    )
    least_rows: int = field(
        default=100,  # half of them find a weak slice and half confirm it
        metadata={"doc": "fewest rows of a slice", "range": (20, 10**6)},
    )
    most_rows: int = field(
        default=50_000,  # more of them narrow no interval that anybody reads, and each costs time
        metadata={
            "doc": "rows that are judged at most, drawn from all that there are",
            "range": (100, 10**7),
        },
    )

    def slice_wishes(self) -> tuple[SliceWish, ...]:
        """What `slices` asks for, each with its limit."""
        wishes = (parse_slice(text) for text in self.slices)
        return tuple(
            dataclasses.replace(wish, at_most=self.at_most) if wish.at_most is None else wish
            for wish in wishes
        )


@dataclass(frozen=True)
class ServeConfig:
    """[serve]"""

    host: str = field(
        default="127.0.0.1",  # nobody else's business until someone says so
        metadata={"doc": "address on which the scoring server listens"},
    )
    port: int = field(
        default=8000,
        metadata={"doc": "port of the scoring server", "range": (1, 65535)},
    )
    unlogged: bool = field(
        default=False,  # a row that nobody remembers is never judged and never learned from
        metadata={
            "doc": "whether rows are answered that the log cannot take, for instance because the disk is full; by "
            "default they are refused with 503",
        },
    )


@dataclass(frozen=True)
class StoreConfig:
    """[store]"""

    tracking: str | None = field(
        default=None,
        metadata={
            "doc": 'MLflow tracking address, e.g. "http://127.0.0.1:5000", or "env:NAME"',
            "kind": "store",
            "default_doc": "an SQLite file in .losswatch/",
        },
    )
    artifacts: str | None = field(
        default=None,
        metadata={
            "doc": 'where versions are kept: a folder or an address such as "s3://bucket/folder"',
            "kind": "store",
            "default_doc": ".losswatch/artifacts/",
        },
    )
    log: str | None = field(
        default=None,
        metadata={
            "doc": 'where predictions, labels and events are kept: a folder or an address such as "s3://bucket/folder"',
            "kind": "store",
            "default_doc": ".losswatch/log/",
        },
    )


@dataclass(frozen=True)
class ScheduleConfig:
    """[schedule]"""

    monitor: str = field(
        default="5 * * * *",  # a window is judged within the hour in which its truth is complete
        metadata={"doc": "when `losswatch up` runs the monitor, as a cron line in UTC", "kind": "cron"},
    )


@dataclass(frozen=True)
class ReportConfig:
    """[report]"""

    evidently: Literal["never", "newest", "marked", "judged"] = field(
        default="newest",  # 4 MB and some seconds each, and most windows nobody looks at
        metadata={
            "doc": "of which windows Evidently's report is made: none but those asked for, the newest one with each "
            "`losswatch report`, by the scheduled monitor of each window that is not quiet, or of each that it judges",
        },
    )


@dataclass(frozen=True)
class ReplayConfig:
    """[replay]"""

    train_until: datetime | None = field(
        default=None,
        metadata={"doc": "rows before this date train the first version; instead of `train_share`"},
    )
    train_share: float = field(
        default=0.2,  # four fifths are left to be lived through
        metadata={
            "doc": "share of the rows, the oldest, that train the first version",
            "range": (0.01, 0.95),
        },
    )
    until: datetime | None = field(
        default=None,
        metadata={
            "doc": "the replay ends here",
            "example": "2014-01-01",
            "default_doc": "the end of the data",
        },
    )

    def __post_init__(self) -> None:
        if self.train_until and self.until and self.until <= self.train_until:
            raise ValueError("until must be later than train_until, or nothing is left to replay")


@dataclass(frozen=True)
class ProjectConfig:
    """A whole project file: only the records of others, put together."""

    project: NameConfig
    data: DataConfig
    prepare: PrepareConfig
    network: NetworkConfig
    code: CodeConfig
    monitor: MonitorConfig
    alarm: AlarmConfig
    retrain: RetrainPolicy
    gate: GateConfig
    evaluate: EvaluateConfig
    serve: ServeConfig
    log: LogConfig
    alerts: AlertsConfig
    store: StoreConfig
    schedule: ScheduleConfig
    report: ReportConfig
    replay: ReplayConfig


# field of ProjectConfig -> (section of the file, record); [network] is shared by two records
SECTIONS: Mapping[str, tuple[str, type[Any]]] = {
    "project": ("project", NameConfig),
    "data": ("data", DataConfig),
    "prepare": ("prepare", PrepareConfig),
    "network": ("network", NetworkConfig),
    "code": ("network", CodeConfig),
    "monitor": ("monitor", MonitorConfig),
    "alarm": ("alarm", AlarmConfig),
    "retrain": ("retrain", RetrainPolicy),
    "gate": ("gate", GateConfig),
    "evaluate": ("evaluate", EvaluateConfig),
    "serve": ("serve", ServeConfig),
    "log": ("log", LogConfig),
    "alerts": ("alerts", AlertsConfig),
    "store": ("store", StoreConfig),
    "schedule": ("schedule", ScheduleConfig),
    "report": ("report", ReportConfig),
    "replay": ("replay", ReplayConfig),
}
# these say where and when a project runs and what is told of it, not what it computes
NOT_IDENTITY = ("evaluate", "serve", "log", "alerts", "store", "schedule", "report")


def known_keys() -> dict[str, tuple[str, ...]]:
    """Section name -> its keys."""
    known: dict[str, tuple[str, ...]] = {}
    for section, record in SECTIONS.values():
        known[section] = known.get(section, ()) + field_names(record)
    return known


def load_project(folder: Path) -> ProjectConfig:
    """The project file of a folder; ConfigError with every fault where it has any."""
    path = Path(folder) / FILE_NAME
    tables = _parse(path, _read_text(path))
    return check_tables(tables, path)


def check_tables(tables: Mapping[str, Any], path: Path) -> ProjectConfig:
    """The records that parsed tables describe; `path` names the file in messages and its folder the project.

    >>> tables = {"data": {"target": "cnt", "path": "bikes.csv"}}
    >>> check_tables(tables, Path("bikes/losswatch.toml")).project.name
    'bikes'
    """
    known = known_keys()
    faults = list(_unknown_sections(tables, known))
    records: dict[str, Any] = {}
    for name, (section, record) in SECTIONS.items():
        table = tables.get(section, {})
        if not isinstance(table, dict):
            faults.append(
                Fault(section, None, f"is a section, not a value. Write [{section}] on a line of its own")
            )
            continue
        if name != "code":  # its section was looked through with "network"
            faults += unknown_keys(section, table, known)
        records[name], found = read_section(section, table, record)
        faults += found
    faults += [*_unknown_loss(tables), *_contradictions(tables)]
    if faults:
        raise ConfigError(path, tuple(dict.fromkeys(faults)))
    return _named(ProjectConfig(**records), path)


def _named(config: ProjectConfig, path: Path) -> ProjectConfig:
    """The config with the folder's name where the file gives none."""
    if config.project.name:
        return config
    name = name_from(path.absolute().parent)
    return dataclasses.replace(config, project=dataclasses.replace(config.project, name=name))


def name_from(folder: Path) -> str:
    """The name of a project that gives itself none.

    >>> name_from(Path("/home/my rides!"))
    'my-rides'
    """
    return re.sub(r"[^\w.-]+", "-", folder.name, flags=re.ASCII).strip("-._")[:100] or "project"


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise UserError(
            f"{path} does not exist. Name the project's folder with --project, or begin with losswatch init"
        )
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path} is larger than {LARGEST_FILE:,} bytes: not a project file")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # the message names line and column
        raise UserError(f"{path} is not TOML: {error}") from None


def _unknown_sections(tables: Mapping[str, Any], known: Mapping[str, tuple[str, ...]]) -> list[Fault]:
    faults = []
    for name, table in tables.items():
        if name in known:
            continue
        homes = [section for section, keys in known.items() if name in keys]
        if isinstance(table, dict) or not homes:
            faults.append(Fault(name, None, f"unknown section{did_you_mean(name, known)}"))
        else:
            faults.append(Fault(name, None, f"stands outside of its section. Write it below [{homes[0]}]"))
    return faults


def _unknown_loss(tables: Mapping[str, Any]) -> list[Fault]:
    """A loss that is neither a name of Keras's catalogue nor a function of the user's own."""
    table = tables.get("network", {})
    loss = table.get("loss") if isinstance(table, dict) else None
    if not isinstance(loss, str) or ":" in loss or loss in KNOWN_LOSSES:
        return []
    if why := ELSEWHERE.get(loss.lower()):
        return [Fault("network.loss", write_value(loss), f"not for rows of a table: {why}")]
    problem = f'not known. Write a loss of Keras, or your own as "module:function"{did_you_mean(loss, KNOWN_LOSSES)}'
    return [Fault("network.loss", write_value(loss), problem)]


def _contradictions(tables: Mapping[str, Any]) -> list[Fault]:
    """Keys that exclude or need each other, by what was written, right or wrong."""

    def written(section: str) -> set[str]:
        table = tables.get(section, {})
        return set(table) if isinstance(table, dict) else set()

    data, replay = written("data"), written("replay")
    kind = tables["data"].get("split") if data else None
    rules = (
        ({"path", "load"} <= data, "data.load", "path and load are both written. Keep one of them"),
        (
            not {"path", "load"} & data,
            "data.path",
            'missing. Write path = "FILE" or load = "module:function"',
        ),
        ({"time", "start"} <= data, "data.start", "time and start are both written. Keep one of them"),
        (
            "start" in data and "step" not in data,
            "data.step",
            'missing beside start. Write e.g. step = "30 min"',
        ),
        (
            "step" in data and "start" not in data,
            "data.start",
            "missing beside step. Write e.g. start = 2013-01-01",
        ),
        (
            "time_format" in data and "time" not in data,
            "data.time_format",
            "says how `time` is written, which is missing",
        ),
        (
            kind == "group" and "group" not in data,
            "data.group",
            'missing beside split = "group". Name the column whose rows stay together',
        ),
        (
            "group" in data and kind != "group",
            "data.group",
            'goes with split = "group". Write it, or leave group out',
        ),
        (
            {"train_until", "train_share"} <= replay,
            "replay.train_share",
            "train_until and train_share are both written. Keep one of them",
        ),
    )
    return [Fault(key, None, problem) for broken, key, problem in rules if broken]


def describe() -> list[KeyDoc]:
    """Every key of the project file, in the order of SECTIONS."""
    docs = (doc for section, record in SECTIONS.values() for doc in describe_section(section, record))
    return sorted(docs, key=lambda doc: list(known_keys()).index(doc.key.partition(".")[0]))


def config_identity(config: ProjectConfig) -> str:
    """16 hexadecimal digits that change when anything changes that a run computes from.

    Where and when the project runs, and what it keeps, does not count ([serve], [log], [alerts], [store], [schedule]);
    nor what is told of its versions ([evaluate]).
    """
    sections = {
        name: dataclasses.asdict(getattr(config, name)) for name in SECTIONS if name not in NOT_IDENTITY
    }
    text = json.dumps(sections, sort_keys=True, default=write_value)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
