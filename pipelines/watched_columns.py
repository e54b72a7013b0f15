"""The columns whose distribution is watched: those of the rows, and of a date what does not move on by nature.

A date lies later in every window, and that says nothing. What says something is how long before its row it lies, at
which hour, on which weekday, and whether it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from models.schema import Schema

Array = npt.NDArray[Any]

# 1970 began on the first
_WEEKDAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")
_DAY = np.timedelta64(1, "D")


def watched_columns(
    schema: Schema, columns: Mapping[str, Any] | pd.DataFrame, times: Array | None
) -> dict[str, Array]:
    """The columns of n rows that are watched. times: of the rows, None where they have none."""
    found = {name: np.asarray(columns[name]) for name in schema.watched_names if name in columns}
    for name in date_names(schema):
        if name in columns:
            found |= of_date(name, columns[name], times)
    return found


def date_names(schema: Schema) -> tuple[str, ...]:
    """The columns of dates."""
    return tuple(column.name for column in schema.columns if column.takes == "date")


def names_of_date(name: str) -> tuple[str, str, str]:
    """What a column of dates is watched as."""
    return f"days since {name}", f"hour of {name}", f"weekday of {name}"


def with_names_of_dates(names: Iterable[str]) -> list[str]:
    """Names, and those that they would be watched as if they were dates."""
    return [part for name in names for part in (name, *names_of_date(name))]


def of_date(name: str, values: Any, times: Array | None) -> dict[str, Array]:
    """A column of dates as it is watched; what is no time is missing. times: of the rows, None where they have none.

    >>> rows = of_date("booked", ["2024-05-01T18:00", None], np.array(["2024-05-02T06:00"] * 2, "datetime64[us]"))
    >>> {name: values.tolist() for name, values in rows.items()}
    {'days since booked': [0.5, nan], 'hour of booked': [18.0, nan], 'weekday of booked': ['Wednesday', None]}
    """
    moments = _moments(values)
    since, hour, weekday = names_of_date(name)
    days = moments.astype("datetime64[D]")
    known = ~np.isnat(moments)
    weekdays = np.full(len(moments), None, dtype=object)
    weekdays[known] = np.array(_WEEKDAYS, dtype=object)[days[known].astype(np.int64) % 7]
    found: dict[str, Array] = {hour: (moments - days) / np.timedelta64(1, "h"), weekday: weekdays}
    return found if times is None else {since: (times - moments) / _DAY, **found}


def _moments(values: Any) -> npt.NDArray[np.datetime64]:
    from models.column_values import moments_of

    try:
        return moments_of(values)
    except ValueError:
        return np.array([_moment(value) for value in values], dtype="datetime64[us]")


def _moment(value: Any) -> np.datetime64:
    from models.column_values import moments_of

    try:
        return np.datetime64(moments_of([value])[0], "us")
    except ValueError:
        return np.datetime64("NaT", "us")
