"""A command's result for machines: strict JSON of its record."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import PurePath
from typing import Any


def to_json(result: object) -> str:
    """One JSON object; what is undefined (nan, infinite) is null, a duration its seconds, a time ISO 8601.

    A field whose metadata say `json: False` is for the terminal alone.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Result:
    ...     loss: float
    ...     window: timedelta
    >>> print(to_json(Result(math.nan, timedelta(hours=1))))
    {
      "loss": null,
      "window": 3600.0
    }
    """
    return json.dumps(_plain(result), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field for field in dataclasses.fields(value) if field.metadata.get("json", True)]
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, PurePath):
        return str(value)
    return _plain(value.tolist()) if hasattr(value, "tolist") else value  # numpy's scalars and arrays
