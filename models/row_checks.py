"""Rows looked at before a training: small rules, each with a name and a severity, that say what is odd and where.

A fault makes a training worthless, a warning costs something, a note only tells. No rule needs Keras, and none
accuses what honest rows do by chance: every threshold stands beside its reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.column_values import as_array, kind_of, levels_of, moments_of, numbers_of
from models.leakage import leakage
from models.schema import CategoryColumn, Column, NumberColumn

if TYPE_CHECKING:
    from models.schema import Schema

Severity = Literal["fault", "warning", "note"]
Array = NDArray[Any]
Said = Iterator[tuple[Severity, str]]

COPIES = 0.01  # share of rows; fewer copies move no figure, and two sensors may well say the same once
# share of rows with a value of their own in one column: above, two equal rows are one row twice
TOLD_APART = 0.95
SURE_ERRORS = 0.05  # share of rows that no network can get right; less is lost in any spread of the loss
# warning, note: Peduzzi et al. 1996 found weights biased below 10 events a variable
ROWS_OF_AN_INPUT = (
    5,
    10,
)
ROWS_OF_A_CLASS = 20  # the shares of a class in fewer rows are known to no better than a tenth
LEAST_TO_STOP = 20  # rows with a target; on fewer, epochs are compared by chance
ONE_ANSWER = (0.99, 0.95)  # warning, note: a network that always says the same is right so often
HARDLY_KNOWN = 0.5  # share of missing targets; the known half may be another kind of row
MOSTLY_MISSING = 0.95  # of a column: what is left, a row in twenty, is less than a network's inputs need
LATER = 0.01  # share of rows whose time is later than the row's own: clocks that differ make up for fewer
LEAST_ROWS = 30  # below, nothing is told from chance
# share of rows with a value that the rows before did not have; a network knows nothing of it
NEW_VALUES = 0.05
DENSE = 2.0  # a counter leaves few numbers out: its range is below this many times its rows


@dataclass(frozen=True)
class Finding:
    """What one rule found. check: the rule's name."""

    check: str
    severity: Severity
    text: str


@dataclass(frozen=True, eq=False)
class CheckedRows:
    """Rows before a training, in the order of time.

    columns: target and inputs, (n,) each. schema: learned on the training rows. train, validation: places of the
    two parts. times: datetime64 (n,), None where rows have none. expected: the schema of earlier rows of the same
    project, None for the first ones.
    """

    columns: Mapping[str, Array]
    schema: Schema
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    times: Array | None = None
    expected: Schema | None = None
    _kept: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    @property
    def target(self) -> str:
        return self.schema.target.name

    @property
    def inputs(self) -> dict[str, Array]:
        """The columns that a network sees."""
        return {name: self.columns[name] for name in self.schema.column_names}

    @property
    def levels(self) -> Array:
        """The target of each row as text, None where it is missing, (n,)."""
        return self._once("levels", lambda: np.array(levels_of(self.columns[self.target]), dtype=object))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether a row has a target, (n,)."""
        return self._once("known", lambda: np.array([level is not None for level in self.levels], dtype=bool))

    @property
    def situation(self) -> Array:
        """A number for inputs and time, the same for equal ones, uint64 (n,)."""
        timed = {} if self.times is None else {"": self.times}
        return self._once("situation", lambda: _fingerprints([*self.inputs.values(), *timed.values()]))

    @property
    def seen(self) -> Array:
        """A number for what a network sees, the same for equal inputs, uint64 (n,)."""
        return self._once("seen", lambda: _fingerprints([*self.inputs.values()]))

    def _once(self, name: str, make: Callable[[], Array]) -> Array:
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]


Rule = Callable[[CheckedRows], Said]


def checked(rows: CheckedRows) -> tuple[Finding, ...]:
    """Everything that the rules of CHECKS find in these rows, in their order; () where all is well."""
    return tuple(
        Finding(name, severity, text) for name, rule in CHECKS.items() for severity, text in rule(rows)
    )


# --- are these the columns that were expected? ---


def expected_columns(rows: CheckedRows) -> Said:
    """Against the schema of earlier rows: columns that went, came, or hold something else; classes; new values."""
    if rows.expected is None:
        return
    before, now = rows.expected, rows.schema
    kinds = {column.name: column.takes for column in before.columns}
    known = {column.name: column.takes for column in now.columns}
    for name in sorted(kinds.keys() - known.keys()):
        yield "warning", f"column {name!r} was there in the rows prepared before and is gone"
    for name in sorted(known.keys() - kinds.keys()):
        yield "note", f"column {name!r} was not there in the rows prepared before"
    for name in sorted(kinds.keys() & known.keys()):
        if kinds[name] != known[name]:
            yield (
                "warning",
                f"column {name!r} was a {kinds[name]} in the rows prepared before and is now a {known[name]}",
            )
    yield from _expected_target(before, now)
    yield from _new_values(rows, before)


def _expected_target(before: Schema, now: Schema) -> Said:
    was, is_now = before.target, now.target
    if was.name != is_now.name or was.task != is_now.task:
        yield (
            "warning",
            f"the target was {was.name!r} ({was.task}) before and is now {is_now.name!r} ({is_now.task})",
        )
        return
    gone, new = sorted({*was.classes} - {*is_now.classes}), sorted({*is_now.classes} - {*was.classes})
    if gone or new:
        changes = [f"without {', '.join(gone)}"] if gone else []
        changes += [f"with {', '.join(new)}"] if new else []
        yield (
            "warning",
            f"the target {now.target.name!r} has other classes than before: {' and '.join(changes)}",
        )


def _new_values(rows: CheckedRows, before: Schema) -> Said:
    for column in before.columns:
        if column.name not in rows.columns:
            continue
        with contextlib.suppress(ValueError):  # another kind, which was told
            share = _share_of_new(column, rows.columns[column.name])
            if share > NEW_VALUES:
                yield (
                    "warning",
                    f"column {column.name!r} has values in {share:.1%} of the rows that were not among those prepared "
                    "before",
                )


def _share_of_new(column: Column, values: Array) -> float:
    """Share of the rows with a value outside of what an earlier schema had seen; 0 where it cannot say."""
    if isinstance(column, CategoryColumn):
        levels = [level for level in levels_of(values) if level is not None]
        return (
            sum(level not in column.levels for level in levels) / max(1, len(levels))
            if column.levels
            else 0.0
        )
    if not isinstance(column, NumberColumn) or column.low is None or column.high is None:
        return 0.0
    numbers = numbers_of(values)
    beyond = (numbers < column.low) | (numbers > column.high)
    return float(beyond.mean()) if len(numbers) else 0.0


# --- is there enough to learn from? ---


def missing_target(rows: CheckedRows) -> Said:
    """Too few rows whose truth is known, over all or among those that stop the training."""
    share = 1 - float(rows.known.mean())
    if share > HARDLY_KNOWN:
        yield (
            "warning",
            f"the target {rows.target!r} is missing in {share:.0%} of the rows; those that have one may be of "
            "another kind than those that do not",
        )
    stops = int(rows.known[rows.validation].sum())
    enough = rows.known.sum() * len(rows.validation) / len(rows.known) >= LEAST_TO_STOP
    if enough and stops < LEAST_TO_STOP:
        yield (
            "warning",
            f"{stops} of the {len(rows.validation):,} validation rows have a target, and they stop the training; with "
            f"fewer than {LEAST_TO_STOP} it is stopped by chance. Leave out rows whose truth is not known yet",
        )


def missing_values(rows: CheckedRows) -> Said:
    """Columns that hardly ever have a value."""
    for column in rows.schema.columns:
        values = rows.columns[column.name][rows.train]
        if column.takes == "number":
            share = float(np.isnan(numbers_of(values)).mean())
        else:
            share = sum(level is None for level in levels_of(values)) / max(1, len(values))
        if MOSTLY_MISSING < share < 1:
            yield "note", f"column {column.name!r} is missing in {share:.1%} of the training rows"


def rows_for_inputs(rows: CheckedRows) -> Said:
    """Fewer training rows than the inputs need."""
    learn, width = int(rows.known[rows.train].sum()), rows.schema.width
    each, (bad, few) = learn / max(1, width), ROWS_OF_AN_INPUT
    if each < few:
        yield (
            "warning" if each < bad else "note",
            f"{learn:,} training rows for {width:,} inputs are {each:.1f} rows for each; below {few} a network tends "
            "to learn them by heart. Bring more rows, or drop columns of many levels",
        )


def rows_of_each_class(rows: CheckedRows) -> Said:
    """Classes too rare to be learned, or to be judged."""
    if rows.schema.target.task == "regression":
        return
    learn, judge = (_class_counts(rows, part) for part in (rows.train, rows.validation))
    classes = rows.schema.target.classes
    rare = [f"{name} ({learn.get(name, 0)})" for name in classes if learn.get(name, 0) < ROWS_OF_A_CLASS]
    if rare:
        yield (
            "warning",
            f"fewer than {ROWS_OF_A_CLASS} training rows of {_listed(rare)}: too few to learn a class from. "
            "Bring more, or join classes",
        )
    unseen = [name for name in classes if name not in judge and name in learn]
    if unseen and sum(judge.values()) >= LEAST_TO_STOP:
        yield "warning", f"no validation row of {_listed(unseen)}: nothing says how well this is learned"


def class_balance(rows: CheckedRows) -> Said:
    """One class in nearly all rows: accuracy then says nothing."""
    if rows.schema.target.task == "regression":
        return
    counts = _class_counts(rows, np.flatnonzero(rows.known))
    most = max(counts, key=lambda name: counts[name])
    share, (bad, odd) = counts[most] / sum(counts.values()), ONE_ANSWER
    if share >= odd:
        yield (
            "warning" if share >= bad else "note",
            f"{share:.1%} of the rows are of class {most!r}: who always says so is right as often. Judge by the loss, "
            'and see class_weights = "balanced" in [network]',
        )


# --- is a row there twice? ---


def identical_rows(rows: CheckedRows) -> Said:
    """Rows that are copies of another one, target and time included."""
    copies = _repeated(_fingerprints([rows.situation, rows.levels]))
    if not copies.any() or not _told_apart(rows, np.flatnonzero(~copies), timed=True):
        return
    share = float(copies.mean())
    yield (
        "warning" if share >= COPIES else "note",
        f"{int(copies.sum()):,} of {len(copies):,} rows ({share:.1%}) are copies of another row, time and target "
        f"included, first in row {int(np.argmax(copies)):,} (from 0): they count twice. Keep one of each",
    )


def copies_across_the_split(rows: CheckedRows) -> Said:
    """Validation rows that were learned by heart, for a training row is the same."""
    if not len(rows.validation):
        return
    whole = _fingerprints([rows.seen, rows.levels])
    learned = np.isin(whole[rows.validation], whole[rows.train])
    share = float(learned.mean())
    if share >= COPIES and _told_apart(rows, np.flatnonzero(~_repeated(whole)), timed=False):
        yield (
            "warning",
            f"{share:.1%} of the validation rows have inputs and target of a training row: what is learned by heart "
            'looks like skill. Keep one of each, or keep copies together with split = "group" in [data]',
        )


def contradictory_rows(rows: CheckedRows) -> Said:
    """The same inputs at the same time with different targets; and inputs that leave the class open."""
    known = np.flatnonzero(rows.known)
    situations, levels = rows.situation[known], rows.levels[known]
    torn = _torn(situations, levels)
    if torn.any() and _told_apart(rows, known[~_repeated(situations)], timed=True):
        share = float(torn.mean())
        yield (
            "warning" if share >= COPIES else "note",
            f"{int(torn.sum()):,} of {len(torn):,} rows ({share:.1%}) have the inputs and the time of another row and "
            f"a different target, first in row {int(known[np.argmax(torn)]):,} (from 0): at most one of them is right",
        )
    if rows.schema.target.task != "regression":
        yield from _sure_errors(rows.seen[known], levels)


def _told_apart(rows: CheckedRows, different: NDArray[np.int64], *, timed: bool) -> bool:
    """Whether rows that are different differ in one fine value already, so that copies are no chance.

    different: places of rows, each another one. timed: whether the time counts as a value. A table of few levels
    is made of copies, and nothing is wrong with it.
    """
    fine = [rows.columns[column.name] for column in rows.schema.columns if column.takes == "number"]
    fine += [rows.times] if timed and rows.times is not None else []
    return any(
        len(np.unique(column[different])) >= TOLD_APART * len(different) for column in map(_numeric, fine)
    )


def _sure_errors(seen: Array, levels: Array) -> Said:
    _, which = np.unique(seen, return_inverse=True)
    codes = _codes(levels)
    most = int(codes.max(initial=0)) + 1
    pairs, counts = np.unique(which * most + codes, return_counts=True)
    right = np.zeros(which.max(initial=0) + 1, np.int64)
    np.maximum.at(right, pairs // most, counts)
    share = 1 - float(right.sum()) / max(1, len(seen))
    if share >= SURE_ERRORS:
        yield (
            "note",
            f"rows with the same inputs have different classes: whoever sees these columns alone is wrong in at least "
            f"{share:.0%} of these rows",
        )


# --- columns that say nothing, or what nobody knows yet ---


def constant_columns(rows: CheckedRows) -> Said:
    """Columns that tell a network nothing."""
    for column in rows.schema.columns:
        if isinstance(column, NumberColumn) and column.scale == 0:
            why = "is the same in all older rows, so the network does not see it, even when it changes"
        elif isinstance(column, CategoryColumn) and not column.levels:
            why = "has hardly any value twice, so the network sees only whether there is one"
        else:
            continue
        yield "warning", f"column {column.name!r} {why}. Write it into drop in [data]"


def identity_columns(rows: CheckedRows) -> Said:
    """Whole numbers that count or name the rows: new ones lie beyond all that a network has seen."""
    different = ~_repeated(rows.situation)
    if different.sum() < LEAST_ROWS:
        return
    for column in rows.schema.columns:
        values = rows.columns[column.name][different]
        if column.takes == "number" and (how := _counts_rows(numbers_of(values))):
            yield (
                "warning",
                f"column {column.name!r} {how}: it names a row and tells nothing of it. Write it into drop in [data]",
            )


def _counts_rows(numbers: Array) -> str | None:
    if np.isnan(numbers).any() or (numbers != np.floor(numbers)).any():
        return None
    if len(np.unique(numbers)) < len(numbers):
        return None
    if (np.diff(numbers) > 0).all() or (np.diff(numbers) < 0).all():
        return "is a different whole number in each row and goes one way through time"
    reach = float(numbers.max() - numbers.min()) + 1
    return (
        "is a different whole number in each row with hardly one left out"
        if reach <= DENSE * len(numbers)
        else None
    )


def later_times(rows: CheckedRows) -> Said:
    """A time after the row's own, which nobody knows when the answer is asked for."""
    if rows.times is None or len(rows.known) < LEAST_ROWS:
        return
    own = rows.times.astype("datetime64[us]")
    for name, values in rows.columns.items():
        moments = None if name == rows.target else _moments(values, own)
        if moments is None:
            continue
        away = (moments - own).astype(np.float64) / 1e6
        away[np.isnat(moments)] = np.nan
        if _gives_away(rows, name, away):
            yield (
                "fault",
                f"column {name!r} gives the target {rows.target!r} away: its distance from the row's own time says it. "
                "Write it into drop in [data]",
            )
            continue
        later = away >= _grain(own)
        if (share := float(later.mean())) >= LATER:
            by = _duration(float(np.median(away[later])))
            yield (
                "warning",
                f"column {name!r} is a time after the row's own in {share:.0%} of the rows, by {by} in the middle. "
                "Where it was not planned but happened, write it into drop in [data]",
            )


def _gives_away(rows: CheckedRows, name: str, away: Array) -> bool:
    columns = {name: away, rows.target: rows.columns[rows.target]}
    return bool(leakage(columns, rows.target, rows.schema.target.task))


def _moments(values: Array, own: Array) -> Array | None:
    """The column as times, datetime64[us]; None where it holds none, or numbers far from the rows' times."""
    kind = kind_of(values)
    try:
        if kind == "number":
            return _counted_moments(numbers_of(values), own)
        if kind == "date" or (kind == "text" and moments_of(_first_known(values)) is not None):
            return moments_of(values)
    except ValueError:
        return None
    return None


def _first_known(values: Array) -> Array:
    """The first few values: most columns of names are told from times by the first one."""
    return values[: min(10, len(values))]


def _counted_moments(numbers: Array, own: Array) -> Array | None:
    """Numbers that count seconds, milli-, micro- or nanoseconds since 1970 and lie near the rows' times."""
    year = 366 * 86400e6
    first, last = float(own.min().astype(np.int64)) - year, float(own.max().astype(np.int64)) + year
    present = numbers[~np.isnan(numbers)]
    for in_microseconds in (1e6, 1e3, 1.0, 1e-3):
        moments = present * in_microseconds
        if len(present) and ((moments >= first) & (moments <= last)).mean() > 0.99:
            whole = np.where(np.isnan(numbers), np.nan, numbers * in_microseconds)
            return np.where(
                np.isnan(whole),
                np.datetime64("NaT"),
                np.nan_to_num(whole).astype(np.int64).astype("datetime64[us]"),
            )
    return None


def _grain(times: Array) -> float:
    """Seconds to which the rows' times are known: a day where all are midnights, else hours, minutes, seconds."""
    ticks = times.astype("datetime64[us]").astype(np.int64)
    return next(
        (seconds for seconds in (86400.0, 3600.0, 60.0) if not (ticks % int(seconds * 1e6)).any()), 1.0
    )


def given_away(rows: CheckedRows) -> Said:
    """Columns that say the target itself, see `models.leakage`."""
    for fault in leakage(dict(rows.columns), rows.target, rows.schema.target.task):
        yield "fault", f"{fault}. Write it into drop in [data]"


CHECKS: Mapping[str, Rule] = {
    "expected columns": expected_columns,
    "missing target": missing_target,
    "missing values": missing_values,
    "rows for inputs": rows_for_inputs,
    "rows of each class": rows_of_each_class,
    "class balance": class_balance,
    "identical rows": identical_rows,
    "copies across the split": copies_across_the_split,
    "contradictory rows": contradictory_rows,
    "constant columns": constant_columns,
    "identity columns": identity_columns,
    "later times": later_times,
    "target given away": given_away,
}

# --- tools ---


def _fingerprints(columns: list[Array]) -> NDArray[np.uint64]:
    """A number for each row, the same for equal rows; two different rows share one in 1 of 2^64 cases."""
    import pandas as pd

    frame = pd.DataFrame({str(place): _plain(column) for place, column in enumerate(columns)})
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), np.uint64)


def _plain(column: Array) -> Array:
    """Objects as their levels: a list of mixed values cannot be hashed as it is."""
    array = as_array(column)
    return (
        np.array([level or "" for level in levels_of(array)], dtype=object)
        if array.dtype.kind == "O"
        else array
    )


def _numeric(column: Array) -> Array:
    return column if column.dtype.kind == "M" else numbers_of(column)


def _repeated(keys: Array) -> NDArray[np.bool_]:
    """Whether an earlier row has the same key."""
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, return_index=True)[1]] = False
    return repeated


def _torn(keys: Array, levels: Array) -> NDArray[np.bool_]:
    """Whether the rows that share a row's key have different levels."""
    _, which = np.unique(keys, return_inverse=True)
    codes = _codes(levels)
    lowest = np.full(which.max(initial=0) + 1, np.iinfo(np.int64).max)
    highest = np.full(which.max(initial=0) + 1, -1)
    np.minimum.at(lowest, which, codes)
    np.maximum.at(highest, which, codes)
    return np.asarray(lowest[which] != highest[which], dtype=bool)


def _codes(levels: Array) -> NDArray[np.int64]:
    names = {level: code for code, level in enumerate(dict.fromkeys(levels.tolist()))}
    return np.array([names[level] for level in levels.tolist()], np.int64)


def _class_counts(rows: CheckedRows, part: NDArray[np.int64]) -> dict[str, int]:
    names, counts = np.unique(
        [str(level) for level in rows.levels[part] if level is not None], return_counts=True
    )
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f", ... {len(names)} in all" if len(names) > 6 else "")


def _duration(seconds: float) -> str:
    """A time span in words: `2.5 hours`."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
