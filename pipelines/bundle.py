"""The folder that is a version: the network, what a row is, what the monitor compares with, known answers."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.schema import Schema

KERAS = "model.keras"  # the network with its optimiser state, from which an update goes on
ONNX = "model.onnx"  # what the scoring server reads; absent where the network cannot be exported
SCHEMA = "schema.json"
VERSION = "version.json"
REFERENCE = "reference.json"
GOLDEN = "golden.json"
_NEEDED = (KERAS, SCHEMA, VERSION, REFERENCE, GOLDEN)


class BrokenBundle(Exception):
    """A folder that is not a version, or no longer the one that was stored."""


@dataclass(frozen=True)
class Golden:
    """Rows as a user would send them, and what the network answered when the version was made.

    rows: one mapping of column to value each, None where a value is missing; predictions: one tuple of
    `outputs` numbers for each row.
    """

    rows: tuple[Mapping[str, Any], ...]
    predictions: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Bundle:
    """A version's folder, read.

    settings: the content of version.json (loss, task, network); reference: what the monitor compares with.
    """

    folder: Path
    schema: Schema
    settings: Mapping[str, Any]
    reference: Mapping[str, Any]
    golden: Golden

    @property
    def keras(self) -> Path:
        return self.folder / KERAS

    @property
    def onnx(self) -> Path | None:
        """The exported network; None where it could not be exported."""
        path = self.folder / ONNX
        return path if path.exists() else None


def write_bundle(
    folder: Path,
    *,
    schema: Schema,
    settings: Mapping[str, Any],
    reference: Mapping[str, Any],
    golden: Golden,
) -> Bundle:
    """Completes the folder in which the network lies as `model.keras`, and as `model.onnx` if it can be.

    Numbers of numpy become plain ones, nan becomes null; an infinite number is refused by its place.
    """
    if not (folder / KERAS).is_file():
        raise BrokenBundle(f"{folder}: no {KERAS}. Save the network there before the rest is written")
    if len(golden.rows) != len(golden.predictions):
        raise ValueError(f"golden: {len(golden.rows)} rows and {len(golden.predictions)} predictions")
    _write(folder / SCHEMA, schema.to_json())
    _write_json(folder / VERSION, settings)
    _write_json(folder / REFERENCE, reference)
    _write_json(folder / GOLDEN, {"rows": golden.rows, "predictions": golden.predictions})
    return read_bundle(folder)


def read_bundle(folder: Path) -> Bundle:
    """The folder's records; `BrokenBundle` names the files that are missing or cannot be read."""
    from models.schema import Schema

    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise BrokenBundle(f"{folder} is not a version: {', '.join(missing)} missing")
    golden = _read_json(folder / GOLDEN)
    try:
        return Bundle(
            folder,
            Schema.from_json((folder / SCHEMA).read_text("utf-8")),
            _read_json(folder / VERSION),
            _read_json(folder / REFERENCE),
            Golden(tuple(golden["rows"]), tuple(tuple(row) for row in golden["predictions"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenBundle(f"{folder}: {SCHEMA} or {GOLDEN} cannot be read ({error!r})") from error


def digest(folder: Path) -> str:
    """sha256 over names and contents of all files of a folder, in the order of their names; 64 hex digits.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.json").write_text("{}")
    ...     before = digest(Path(folder))
    ...     _ = (Path(folder) / "a.json").write_text("{ }")
    ...     before == digest(Path(folder))
    False
    """
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode()
        content = hashlib.sha256(path.read_bytes()).digest()
        total.update(len(name).to_bytes(4, "big") + name + content)
    return total.hexdigest()


def plain(value: Any, place: str = "") -> Any:
    """A value as JSON can hold it: lists, dicts, text, numbers; nan and other missing values are None.

    >>> import numpy as np
    >>> plain({"mean": np.float32(0.5), "counts": np.array([1, 2]), "rate": float("nan")})
    {'mean': 0.5, 'counts': [1, 2], 'rate': None}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{place}.{key}" if place else str(key)) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return _finite(float(value), place)
    if isinstance(value, date | datetime):
        return None if str(value) == "NaT" else value.isoformat()
    if hasattr(value, "tolist"):  # an array or a scalar of numpy
        return plain(value.tolist(), place)
    if isinstance(value, Sequence):
        return [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if str(value) in ("<NA>", "NaT"):  # pandas says so where a value is missing
        return None
    raise TypeError(f"{place}: {type(value).__name__} has no form in JSON")


def _finite(value: float, place: str) -> float | None:
    if math.isinf(value):
        raise ValueError(f"{place}: {value} has no form in JSON")
    return None if math.isnan(value) else value


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write(path, json.dumps(plain(content), ensure_ascii=False, allow_nan=False))


def _write(path: Path, text: str) -> None:
    half = path.with_name(path.name + ".part")
    half.write_text(text, "utf-8")
    os.replace(half, path)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BrokenBundle(f"{path} is not JSON ({error})") from error
