"""What the log keeps of a row, for how long, and against which mishaps: the section [log] of the project file."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from models.column_values import level_of
from pipelines.errors import UserError
from pipelines.log_folder import sync
from pipelines.nearest import did_you_mean
from pipelines.plain_columns import Array, objects_of

if TYPE_CHECKING:
    from pipelines.arrival import Arrival

Durability = Literal["process", "power"]
Rule = Literal["keep", "hash", "drop"]
RULES: tuple[str, ...] = get_args(Rule)

KEY = "hash.key"  # in the folder of the log
HASHED = "hash:"  # how a hashed value begins
_BYTES = 16  # of a hash: two of a million values are alike once in 10**26 logs


@dataclass(frozen=True)
class LogConfig:
    """[log]"""

    durability: Durability = field(
        default="process",  # one fsync for each commit costs more than all the rest of a request
        metadata={
            "doc": 'what a row that was answered survives: the end of the process, `kill -9` too, or with "power" also '
            "that of the machine, by an fsync for each commit",
        },
    )
    keep: timedelta | None = field(
        default=None,  # what is gone cannot be learned from; nobody else can know how long is long enough
        metadata={
            "doc": "how long predictions and their labels are kept, by the time of the row; rows that the monitor "
            "still judges by stay",
            "range": (timedelta(days=1), timedelta(days=36600)),
            "default_doc": "for good",
            "example": '"400d"',
        },
    )
    columns: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": 'what is kept of an input: "keep", "hash" (of a category) or "drop"; e.g. {customer = "hash"}',
            "example": '{customer = "hash"}',
        },
    )

    def __post_init__(self) -> None:
        for name, rule in self.columns.items():
            if rule not in RULES:
                near = did_you_mean(rule, RULES) if isinstance(rule, str) else ""
                raise ValueError(
                    f'columns: {name} = {rule!r}: not known. Write "keep", "hash" or "drop"{near}'
                )

    def columns_with(self, rule: Rule) -> tuple[str, ...]:
        """The columns of which this is written."""
        return tuple(name for name, written in self.columns.items() if written == rule)


class ColumnRules:
    """What becomes of the inputs of a row on its way into the log."""

    def __init__(self, folder: Path, config: LogConfig) -> None:
        """folder: of the log, where the key of the hashes is kept and made; `UserError` where others may read it."""
        self._dropped, self._hashed = config.columns_with("drop"), config.columns_with("hash")
        self._key = kept_key(folder) if self._hashed else b""

    def __bool__(self) -> bool:
        return bool(self._dropped or self._hashed)

    def applied(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Columns as they are kept; those of which nothing is written as they are."""
        kept = {name: values for name, values in columns.items() if name not in self._dropped}
        for name in self._hashed:
            if name in kept:
                values = kept[name].tolist() if hasattr(kept[name], "tolist") else kept[name]
                kept[name] = hashes(values, self._key)
        return kept

    def kept_of(self, arrivals: Sequence[Arrival]) -> Sequence[Arrival]:
        """Requests as they are kept."""
        if not self:
            return arrivals
        return [arrival._replace(columns=self.applied(arrival.columns)) for arrival in arrivals]


def hashes(values: Iterable[Any], key: bytes) -> list[str | None]:
    """A keyed hash for each value, None where it is missing; 1, 1.0 and true have one.

    >>> first, second, third = hashes(["AA", "AA", None], b"key")
    >>> first == second, first, third
    (True, 'hash:7843fa37853e4aaf23fb4af6746e891b', None)
    """
    known: dict[str | None, str | None] = {None: None}
    levels = [level_of(value) for value in values]
    for level in levels:
        if level is not None and level not in known:
            digest = hashlib.blake2b(level.encode("utf-8", "replace"), key=key, digest_size=_BYTES)
            known[level] = HASHED + digest.hexdigest()
    return [known[level] for level in levels]


def named_again(values: Array, levels: Sequence[str], key: bytes) -> Array:
    """Hashed values of which one knows what they may be, as they were; all others as they are.

    >>> named_again(objects_of([*hashes(["UA"], b"key"), "hash:0", None]), ["AA", "UA"], b"key")
    array(['UA', 'hash:0', None], dtype=object)
    """
    names = dict(zip(hashes(levels, key), levels, strict=True))
    return objects_of([names.get(value, value) if isinstance(value, str) else value for value in values])


def known_key(folder: Path) -> bytes | None:
    """The key of a log's hashes, None where nothing was ever hashed; `UserError` where others may read it."""
    path = folder / KEY
    try:
        if path.stat().st_mode & 0o077:
            raise UserError(f"{path}: others may read it, and so guess what was hashed. Do: chmod 600 {path}")
        return path.read_bytes()
    except FileNotFoundError:
        return None


def kept_key(folder: Path) -> bytes:
    """The key of a log's hashes, which the first call makes; of two at once one makes it."""
    while (key := known_key(folder)) is None:
        folder.mkdir(parents=True, exist_ok=True)
        whole = folder / f".{KEY}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(32))
            os.fsync(descriptor)
            os.link(whole, folder / KEY)  # fails where another was faster
            sync(folder)
        except FileExistsError:
            pass
        finally:
            os.close(descriptor)
            whole.unlink()
    return key
