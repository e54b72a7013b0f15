"""When each row happened: one moment in UTC from the columns that say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Times = npt.NDArray[np.datetime64]
Numbers = npt.NDArray[np.float64]

# a plausible count since 1970 lies between 1973 and 2103, which keeps the units apart
_EPOCH_UNITS = tuple((10.0**power * 1e8, 10.0**power * 4.2e9, 10 ** (9 - power)) for power in (0, 3, 6, 9))
_PARTS = (("hour", 3_600e9, 24), ("minute", 60e9, 59), ("second", 1e9, 60))
_CALENDAR = (("year", 1678, 2261), ("month", 1, 12), ("day", 1, 31))


def row_times(frame: pd.DataFrame, columns: Sequence[str], time_format: str | None = None) -> Times:
    """The moment of every row, datetime64[ns] in UTC; a UserError names the first row that has none.

    One column: times, texts (ISO 8601 or one form throughout), or numbers (years, 20130131, or a count since
    1970). Several: a date and then hours, minutes, seconds as numbers; a date and a clock time as text; or
    year, month, day and so on as numbers. A format reads the texts of all columns, joined by a space.

    >>> import pandas as pd
    >>> row_times(pd.DataFrame({"day": ["31.12.2012"], "hr": [23]}), ["day", "hr"])
    array(['2012-12-31T23:00:00.000000000'], dtype='datetime64[ns]')
    """
    parts = [frame[column] for column in columns]
    if time_format is not None:
        return _by_format(_joined(parts), time_format, columns)
    if (numbers := _all_numbers(parts)) is not None and _are_years(numbers[0]):
        return _from_calendar(numbers, columns)
    times = _single(parts[0], columns[0]) if len(parts) == 1 or not _are_texts(parts[1:]) else None
    if times is None:
        return _from_texts(_joined(parts), columns)
    for column, part, place in zip(columns[1:], parts[1:], range(len(parts)), strict=False):
        times = times + _offset(part, column, place)
    return times


def is_number_part(values: pd.Series[Any]) -> bool:
    """Whether a time column holds numbers, written as numbers or as text."""
    return _numbers(values) is not None


# --- numbers ---


def _numbers(values: pd.Series[Any]) -> Numbers | None:
    """The values as numbers, nan where missing; None where one of them is something else."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return None
    first = values.dropna().head(1)
    if pd.to_numeric(first, errors="coerce").isna().all():
        return None  # most columns that are no numbers begin without one
    converted = pd.to_numeric(values, errors="coerce")
    if converted.notna().sum() < values.notna().sum():
        return None
    numbers: Numbers = converted.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _all_numbers(parts: Sequence[pd.Series[Any]]) -> list[Numbers] | None:
    found = [_numbers(part) for part in parts]
    return None if any(numbers is None for numbers in found) else [n for n in found if n is not None]


def _are_years(numbers: Numbers) -> bool:
    known = numbers[~np.isnan(numbers)]
    _, least, most = _CALENDAR[0]
    return bool(np.all((known >= least) & (known <= most) & (known % 1 == 0)))


def _from_calendar(numbers: list[Numbers], columns: Sequence[str]) -> Times:
    """Moments from year, month, day, hour, minute and second; what is not given is the first."""
    dates, clock = numbers[:3], numbers[3:]
    for part, column, (word, least, most) in zip(dates, columns, _CALENDAR, strict=False):
        _refuse_first(~((part >= least) & (part <= most) & (part % 1 == 0)), part, column, f"a {word}")
    year, month, day = (
        part.astype(np.int64) for part in (*dates, *[np.ones(len(dates[0]))] * (3 - len(dates)))
    )
    months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1)
    days = months.astype("datetime64[D]") + (day - 1)
    _refuse_first(days.astype("datetime64[M]") != months, day, columns[len(dates) - 1], "a day of its month")
    times: Times = days.astype("datetime64[ns]")
    for place, (part, column) in enumerate(zip(clock, columns[3:], strict=True)):
        times += _clock_part(part, column, place)
    return times


def _clock_part(numbers: Numbers, column: str, place: int) -> npt.NDArray[np.timedelta64]:
    if place >= len(_PARTS):
        raise UserError(f"time column {column!r} is one too many: after seconds nothing is expected")
    word, nanoseconds, most = _PARTS[place]
    _refuse_first(~((numbers >= 0) & (numbers <= most)), numbers, column, f"{word}s from 0 to {most}")
    return np.round(numbers * nanoseconds).astype(np.int64).astype("timedelta64[ns]")


def _offset(values: pd.Series[Any], column: str, place: int) -> npt.NDArray[np.timedelta64]:
    numbers = _numbers(values)
    if numbers is None:
        raise UserError(f"time column {column!r} is neither numbers nor texts. Name columns that say a time")
    return _clock_part(numbers, column, place)


def _from_number(numbers: Numbers, column: str) -> Times:
    known = numbers[~np.isnan(numbers)]
    _refuse_first(np.isnan(numbers), numbers, column, "a time")
    if np.all((known >= 19000101) & (known <= 22611231) & (known % 1 == 0)):
        days = known.astype(np.int64)
        parts = (days // 10000, days // 100 % 100, days % 100)
        return _from_calendar([part.astype(np.float64) for part in parts], [column] * 3)
    for least, most, nanoseconds in _EPOCH_UNITS:
        if np.all((known >= least) & (known <= most)):
            times: Times = np.round(known * nanoseconds).astype(np.int64).astype("datetime64[ns]")
            return times
    raise UserError(
        f"time column {column!r} holds numbers from {known.min():g} to {known.max():g}, which are no "
        "plausible seconds or milliseconds since 1970, no years, no dates such as 20130131. Where no column "
        "says the time, give the start and the step of the rows"
    )


# --- times and texts ---


def _are_texts(parts: Sequence[pd.Series[Any]]) -> bool:
    import pandas as pd

    return any(
        _numbers(part) is None and not pd.api.types.is_datetime64_any_dtype(part) and part.notna().any()
        for part in parts
    )


def _single(values: pd.Series[Any], column: str) -> Times:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        return _to_utc(values, values, [column])
    numbers = _numbers(values)
    if numbers is None:
        return _from_texts(_joined([values]), [column])
    return _from_calendar([numbers], [column]) if _are_years(numbers) else _from_number(numbers, column)


def _joined(parts: Sequence[pd.Series[Any]]) -> pd.Series[Any]:
    """The texts of all columns of a row with a space between; missing where one is missing."""
    import pandas as pd

    texts = [_text(part) for part in parts]
    joined = texts[0]
    for text in texts[1:]:
        joined = joined + " " + text
    return pd.Series(joined.to_numpy(), dtype="object")


def _text(values: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    if pd.api.types.is_float_dtype(values) and bool((values.dropna() % 1 == 0).all()):
        values = values.astype("Int64")  # 5.0 is how pandas keeps a 5 beside a missing value
    if pd.api.types.is_datetime64_any_dtype(values) and bool(
        (values.dropna().dt.normalize() == values.dropna()).all()
    ):
        values = values.dt.strftime("%Y-%m-%d")
    texts = [
        None if missing else str(value).strip() for value, missing in zip(values, values.isna(), strict=True)
    ]
    return pd.Series(texts, dtype="object")


def _to_utc(parsed: pd.Series[Any], written: pd.Series[Any], columns: Sequence[str]) -> Times:
    import pandas as pd

    bad = parsed.isna().to_numpy()
    _refuse_first(bad, written.to_numpy(), " + ".join(columns), "a time")
    aware = pd.to_datetime(parsed, utc=True)
    times: Times = aware.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    return times


def _by_format(texts: pd.Series[Any], time_format: str, columns: Sequence[str]) -> Times:
    import pandas as pd

    try:
        parsed = pd.to_datetime(texts, format=time_format, errors="coerce", utc=True)
    except ValueError as error:
        raise UserError(
            f"time_format {time_format!r} is not a format: {error}. Write e.g. '%d.%m.%Y %H:%M'"
        ) from None
    _refuse_first(
        parsed.isna().to_numpy(), texts.to_numpy(), " + ".join(columns), f"a time of the form {time_format!r}"
    )
    return _to_utc(parsed, texts, columns)


def _from_texts(texts: pd.Series[Any], columns: Sequence[str]) -> Times:
    """Texts by the form that reads the most of them; an error where it does not read all."""
    import pandas as pd

    codes, distinct = pd.factorize(texts, use_na_sentinel=False)
    words = pd.Series(distinct, dtype="object")
    forms = _promising(["ISO8601", *_forms(words)], words.dropna().head(1000))
    read = [pd.to_datetime(words, format=form, errors="coerce", utc=True) for form in forms]
    failures = [int(times.isna().sum()) for times in read]
    whole = [
        times.iloc[codes].reset_index(drop=True)
        for times, failed in zip(read, failures, strict=True)
        if not failed
    ]
    if not whole:
        return _to_utc(read[int(np.argmin(failures))].iloc[codes].reset_index(drop=True), texts, columns)
    return _to_utc(_unambiguous(whole, words, columns), texts, columns)


def _promising(forms: list[str], words: pd.Series[Any]) -> list[str]:
    """The forms that read the first texts; all where none does. Reading a million by a wrong form takes seconds."""
    import pandas as pd

    reads = [
        bool(pd.to_datetime(words, format=form, errors="coerce", utc=True).notna().all()) for form in forms
    ]
    return [form for form, right in zip(forms, reads, strict=True) if right] or forms


def _unambiguous(
    whole: list[pd.Series[Any]], words: pd.Series[Any], columns: Sequence[str]
) -> pd.Series[Any]:
    """The only reading, or of two (day or month first) the one in which the rows are in order."""
    differing = [times for times in whole[1:] if not times.equals(whole[0])]
    if not differing:
        return whole[0]
    ordered = [times for times in (whole[0], *differing) if times.is_monotonic_increasing]
    if len(ordered) == 1:
        return ordered[0]
    raise UserError(
        f"time {' + '.join(columns)!r} can be read with the day or the month first, e.g. {words.iloc[0]!r}. "
        "Set data.time_format (--time-format), e.g. '%d/%m/%Y' or '%m/%d/%Y'"
    )


def _forms(words: pd.Series[Any]) -> list[str]:
    """Formats that the first text may be written in."""
    from pandas.tseries.api import guess_datetime_format  # type: ignore[attr-defined]  # pandas has it

    known = words.dropna()
    if known.empty:
        return []
    first = str(known.iloc[0])
    match = re.fullmatch(r"(\d{1,2})([/. -])(\d{1,2})\2(\d{4}|\d{2})(?:(T|,? +)(\d.*))?", first)
    if match is None:
        guessed = guess_datetime_format(first)
        return [guessed] if guessed else []
    mark, year, gap, clock = match[2], "%Y" if len(match[4]) == 4 else "%y", match[5] or "", match[6] or ""
    tail = gap + _clock_form(clock)
    return [f"%m{mark}%d{mark}{year}{tail}", f"%d{mark}%m{mark}{year}{tail}"]


def _clock_form(clock: str) -> str:
    """The format of a clock time.

    >>> _clock_form("9:05"), _clock_form("11:05:30 PM"), _clock_form("")
    ('%H:%M', '%I:%M:%S %p', '')
    """
    match = re.fullmatch(r"\d{1,2}(:\d{2})?(:\d{2})?(\.\d+)?( ?)([AaPp]\.?[Mm]\.?)?", clock)
    if match is None:
        return clock and "%H:%M"
    hour = "%I" if match[5] else "%H"
    parts = (hour, ":%M" * bool(match[1]), ":%S" * bool(match[2]), ".%f" * bool(match[3]))
    return "".join(parts) + (f"{match[4]}%p" if match[5] else "")


def _refuse_first(bad: npt.NDArray[np.bool_], values: Any, column: str, expected: str) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    value = values[row]
    missing = value is None or value != value
    shown = "is missing" if missing else f"is {_shown(value)}"
    raise UserError(
        f"time {column!r} {shown} in row {row + 1} of {len(bad):,}: expected {expected}. "
        "Mend the row, or say how times are written with data.time_format (--time-format)"
    )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else repr(str(value)[:60])
