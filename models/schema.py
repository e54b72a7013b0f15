"""What a row is: the columns and the target of a project, learned once on training rows.

The same schema turns rows into arrays for training, for the scoring server and for the monitor, so that all
three see the same numbers.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.column_values import as_array, codes_of, kind_of, levels_of, numbers_of, shown
from models.preparation import (
    OTHER_KINDS,
    CyclicColumn,
    DateColumn,
    HashedColumn,
    OtherColumn,
    PrepareConfig,
    QuantileColumn,
    Takes,
    other_column,
    replacement_of,
    robust_centre_and_scale,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

Task = Literal["regression", "binary", "multiclass"]
Columns: TypeAlias = "Mapping[str, Any] | pd.DataFrame"  # a frame, or a dictionary of one sequence a column

MOST_LEVELS = 64  # of a category; the rarer ones share an input, or the inputs would outgrow the rows
MOST_ROWS_OF_A_RARE_LEVEL = 10  # up to here its weight would be noise; in small data less, see _rare_below
MOST_DISTINCT_AS_CATEGORY = 32  # whole numbers: hours, weekdays and months are names, ages are numbers
MOST_CLASSES_OF_NUMBERS = 20  # a target of whole numbers with more different values is a quantity
MOST_CLASSES = 1000  # more are names or numbers written as text
LEAST_ROWS = 10  # below, no figure that is learned here means anything
CLIP = 8.0  # standard deviations; beyond, a single absurd value would rule a whole step of training
TAIL = 0.001  # share of rows on each side that the scale ignores, so that one absurd value cannot set it

_JSON_VERSION = 1


@dataclass(frozen=True)
class Fault:
    """What is wrong with one column.

    >>> str(Fault("age", "is missing"))
    "column 'age' is missing"
    """

    column: str
    problem: str

    def __str__(self) -> str:
        return f"column {self.column!r} {self.problem}"


class SchemaError(ValueError):
    """Rows that cannot be used, with all their faults at once."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)) + ".")


@dataclass(frozen=True)
class NumberColumn:
    """A number, in standard deviations from its mean.

    median: takes the place of a missing value. indicator: whether training rows had missing values; one more
    input then says so. scale: 0 where training rows were constant; the input is then 0. low, high: between which
    training rows lay; a value beyond counts as this, for a network knows nothing of where it has never been.
    """

    takes: ClassVar[Takes] = "number"

    name: str
    median: float
    mean: float
    scale: float
    indicator: bool
    low: float | None = None
    high: float | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """One name for each input of this column."""
        return (self.name, f"{self.name} is missing") if self.indicator else (self.name,)

    def check(self, values: Any) -> None:
        """Raises ValueError where values are not numbers."""
        numbers_of(values)

    def fill(self, inputs: NDArray[np.float32], values: Any) -> None:
        """Writes the inputs (n, 1 or 2) of these rows; raises ValueError where values are not numbers."""
        numbers = numbers_of(values)
        missing = np.isnan(numbers)
        if self.scale > 0:
            known = np.where(missing, self.median, numbers)
            if self.low is not None or self.high is not None:
                known = np.clip(known, self.low, self.high)
            with np.errstate(over="ignore"):
                standard = (known - self.mean) / self.scale
            inputs[:, 0] = np.clip(standard, -CLIP, CLIP)
        if self.indicator:
            inputs[:, 1] = missing


@dataclass(frozen=True)
class CategoryColumn:
    """A name, as one input of 0 or 1 for each level, one for any other level, and one for none.

    levels: most frequent first, at most MOST_LEVELS; rare ones of the training rows are not among them.
    """

    takes: ClassVar[Takes] = "category"

    name: str
    levels: tuple[str, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        """One name for each input of this column."""
        of_levels = (f"{self.name} = {level}" for level in self.levels)
        return (*of_levels, f"{self.name} is another", f"{self.name} is missing")

    def check(self, values: Any) -> None:
        """Anything may be a level."""

    def fill(self, inputs: NDArray[np.float32], values: Any) -> None:
        """Writes the inputs (n, levels + 2) of these rows, which hold zeros before."""
        count = len(self.levels)
        known = {level: position for position, level in enumerate(self.levels)}
        codes = codes_of(values, known, other=count, missing=count + 1)
        inputs[np.arange(len(codes)), codes] = 1.0


@dataclass(frozen=True)
class EmbeddedColumn(CategoryColumn):
    """A category of many levels; the network learns `size` numbers for each of them, one vector a level.

    Its inputs are those of a category. A dense layer without bias over inputs of which one is 1 and the others 0
    answers the row of its weights that belongs to this one: an embedding. What looks at the inputs alone, as linear
    models do, has a weight a level, as before. See `Schema.embedded` and `models.families.embedding`.
    """

    size: int


Column = NumberColumn | CategoryColumn | OtherColumn


@dataclass(frozen=True)
class Target:
    """What is predicted.

    classes: sorted; () for regression. mean, scale: of the training targets for regression, else 0 and 1.
    """

    name: str
    task: Task
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Schema:
    """The columns that go in and the target that comes out.

    Unknown columns of a frame are ignored, and their order is of no matter.

    >>> hours, winds = [7, 8, 9, 7, 8] * 4, [1.5, None, 2.5, 3.0, 2.0] * 4
    >>> frame = {"hour": hours, "wind": winds, "late": ["no", "yes"] * 10}
    >>> schema = Schema.fit(frame, "late")
    >>> schema.input_names[:3], schema.width, schema.target.classes
    (('hour = 7', 'hour = 8', 'hour = 9'), 7, ('no', 'yes'))
    >>> schema.inputs({"hour": [8], "wind": [None]})
    array([[0., 1., 0., 0., 0., 0., 1.]], dtype=float32)
    >>> schema.check({"hour": [8], "wind": ["strong"]})
    (Fault(column='wind', problem="is no number in 1 of 1 rows, first in row 0 (from 0), 'strong'; ..."),)
    """

    columns: tuple[Column, ...]
    target: Target

    @classmethod
    def fit(
        cls,
        frame: Columns,
        target: str,
        *,
        leave_out: Sequence[str] = (),
        task: Task | None = None,
        prepare: PrepareConfig | None = None,
    ) -> Schema:
        """Learns the schema from training rows; rows without a target are ignored.

        leave_out: columns that are neither inputs nor target, such as the time; they need not exist.
        task: found from the target's values where it is not given, see `infer_task`.
        prepare: how columns become inputs, where it is not the usual way.
        Raises SchemaError with the faults of all columns.
        """
        prepare = prepare or PrepareConfig()
        found, known = _fit_target(frame, target, task)
        names = [name for name in _names(frame) if name != target and name not in leave_out]
        columns: list[Column] = []
        faults = [_missing(name, frame) for name in prepare.named if name not in names]
        for name in names:
            try:
                columns.append(_fit_column(name, frame[name], known, prepare))
            except ValueError as problem:
                faults.append(Fault(name, str(problem)))
        if not names:
            faults.append(
                Fault(target, "stands alone; expected at least one other column to predict it from")
            )
        if faults:
            raise SchemaError(faults)
        return cls(tuple(columns), found)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that a row must have, without the target."""
        return tuple(column.name for column in self.columns)

    @property
    def watched_names(self) -> tuple[str, ...]:
        """The columns whose distribution can stay the same as they are: all but dates, which move on by nature."""
        return tuple(column.name for column in self.columns if column.takes != "date")

    @property
    def input_names(self) -> tuple[str, ...]:
        """A name for each of the `width` inputs."""
        return tuple(name for column in self.columns for name in column.input_names)

    @property
    def width(self) -> int:
        """How many inputs a row has."""
        return len(self.input_names)

    @property
    def embedded(self) -> tuple[tuple[EmbeddedColumn, slice], ...]:
        """The columns of which a network is to learn a vector a level, each with the place of its inputs."""
        found, start = [], 0
        for column in self.columns:
            end = start + len(column.input_names)
            if isinstance(column, EmbeddedColumn):
                found.append((column, slice(start, end)))
            start = end
        return tuple(found)

    @property
    def outputs(self) -> int:
        """How many numbers a network answers: one, or one for each of three or more classes."""
        return len(self.target.classes) if self.target.task == "multiclass" else 1

    @property
    def identity(self) -> str:
        """16 hex digits, the same for equal schemas only."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def check(self, frame: Columns, *, with_target: bool = False) -> tuple[Fault, ...]:
        """All faults of all columns: missing, text or dates for numbers, infinite values, unknown classes.

        Missing values are no fault, nor are levels that training rows did not have.
        with_target: whether the target must be there, too.
        """
        faults = _column_faults(self.columns, frame)
        if with_target:
            try:
                self.targets(frame)
            except SchemaError as error:
                faults.extend(error.faults)
        return tuple(faults)

    def inputs(self, frame: Columns) -> NDArray[np.float32]:
        """The rows as a network sees them: (n, width), numbers within +-CLIP, the rest 0 or 1.

        Raises SchemaError with the faults that `check` would list.
        """
        try:
            return self._inputs(frame)
        except (ValueError, KeyError, TypeError) as problem:
            if faults := self.check(frame):
                raise SchemaError(faults) from problem
            raise

    def targets(self, frame: Columns) -> NDArray[Any]:
        """The truth as a loss sees it, (n,).

        float32 for regression and for two classes (1 is the second class), nan where it is missing;
        int32 positions among the classes for more, -1 where it is missing.
        Raises SchemaError where the column is missing, holds no numbers, or a class that is not known.
        """
        name = self.target.name
        if name not in set(frame):
            raise SchemaError([_missing(name, frame)])
        try:
            return _encoded(frame[name], self.target)
        except ValueError as problem:
            raise SchemaError([Fault(name, str(problem))]) from problem

    def widened(self, frame: Columns) -> Schema:
        """The same schema with limits that hold these rows, too: inputs within the old limits keep their meaning.

        So a network that goes on learning may learn of values that its first rows did not have.
        """
        return replace(self, columns=tuple(_widened(column, frame) for column in self.columns))

    def to_json(self) -> str:
        """The whole schema as one line of JSON."""
        columns = [{"kind": _KINDS[type(column)], **asdict(column)} for column in self.columns]
        whole = {"version": _JSON_VERSION, "columns": columns, "target": asdict(self.target)}
        return json.dumps(whole, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema that `to_json` wrote; raises ValueError for anything else.

        >>> schema = Schema((CategoryColumn("carrier", ("UA", "DL")),), Target("delay", "regression"))
        >>> Schema.from_json(schema.to_json()) == schema
        True
        """
        try:
            whole = json.loads(text)
            if whole["version"] != _JSON_VERSION:
                raise ValueError(f"it is of version {whole['version']}, expected {_JSON_VERSION}")
            target = whole["target"] | {"classes": tuple(whole["target"]["classes"])}
            return cls(tuple(_column(record) for record in whole["columns"]), Target(**target))
        except (KeyError, TypeError, AttributeError, ValueError) as fault:
            raise ValueError(f"this is not a schema: {fault}. Prepare the data again.") from fault

    def _inputs(self, frame: Columns) -> NDArray[np.float32]:
        rows = len(frame[self.columns[0].name])
        inputs, start = np.zeros((rows, self.width), np.float32), 0
        for column in self.columns:
            values, end = frame[column.name], start + len(column.input_names)
            if len(values) != rows:
                raise ValueError("columns of different lengths")
            column.fill(inputs[:, start:end], values)
            start = end
        return inputs


def infer_task(values: Any) -> Task:
    """Whether these target values are two classes, more classes, or a quantity.

    Text, true and false, and pandas' categories are classes; so are whole numbers with at most
    MOST_CLASSES_OF_NUMBERS different values. Other numbers are a quantity. Missing values do not count.

    >>> infer_task(["a", "b", "c"]), infer_task([0, 1, 1]), infer_task([0.5, 1.0]), infer_task(range(100))
    ('multiclass', 'binary', 'regression', 'regression')
    """
    array = as_array(values)
    named = kind_of(array) == "text" or str(getattr(values, "dtype", "")) == "category"
    if not named:
        numbers = numbers_of(array)
        distinct = np.unique(numbers[~np.isnan(numbers)])
        if len(distinct) > MOST_CLASSES_OF_NUMBERS or not _all_whole(distinct):
            return "regression"
    return "binary" if len(_distinct_levels(array)) == 2 else "multiclass"


def _widened(column: Column, frame: Columns) -> Column:
    if isinstance(column, DateColumn):
        return column.widened(frame[column.name])
    if not isinstance(column, NumberColumn) or column.low is None or column.high is None:
        return column
    numbers = numbers_of(frame[column.name])
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        return column
    low, high = _limits(present)
    return replace(column, low=min(column.low, low), high=max(column.high, high))


def _column_faults(columns: Sequence[Column], frame: Columns) -> list[Fault]:
    present = set(frame)
    rows: int | None = None
    faults: list[Fault] = []
    for column in columns:
        if column.name not in present:
            faults.append(_missing(column.name, frame))
            continue
        try:
            values = as_array(frame[column.name])
            rows = len(values) if rows is None else rows
            if len(values) != rows:
                raise ValueError(f"has {len(values):,} rows where the columns before it have {rows:,}")
            column.check(values)
        except ValueError as problem:
            faults.append(Fault(column.name, str(problem)))
    return faults


def _names(frame: Columns) -> list[Any]:
    return list(frame)


def _missing(name: str, frame: Columns) -> Fault:
    names = [str(other) for other in _names(frame)]
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else f"; there are {shown(names)}"
    return Fault(name, f"is missing{advice}")


def _fit_target(frame: Columns, name: str, task: Task | None) -> tuple[Target, NDArray[np.bool_]]:
    """The target, and which rows have one; raises SchemaError with what stands in the way."""
    if name not in set(frame):
        raise SchemaError([_missing(name, frame)])
    try:
        values = as_array(frame[name])
        known = np.array([level is not None for level in levels_of(values)], dtype=bool)
        _check_known(known)
        if kind_of(values) == "date":
            raise ValueError("holds dates; expected numbers or classes. Turn it into a duration or a class")
        chosen = task or infer_task(frame[name])
        values = values[known]
        return (_fit_quantity if chosen == "regression" else _fit_classes)(name, chosen, values), known
    except ValueError as problem:
        raise SchemaError([Fault(name, str(problem))]) from problem


def _check_known(known: NDArray[np.bool_]) -> None:
    if not known.any():
        raise ValueError(f"is the target and has no value in any of {len(known):,} rows")
    if known.sum() < LEAST_ROWS:
        raise ValueError(
            f"is the target and has a value in {known.sum()} of {len(known):,} rows; "
            f"expected at least {LEAST_ROWS} such rows"
        )


def _fit_quantity(name: str, task: Task, values: NDArray[Any]) -> Target:
    numbers = numbers_of(values)
    if numbers.min() == numbers.max():
        raise ValueError(
            f"is the target and has the same value, {numbers[0]:g}, in all rows: nothing to predict"
        )
    mean, scale = _mean_and_scale(numbers)
    return Target(name, task, (), mean, scale)


def _fit_classes(name: str, task: Task, values: NDArray[Any]) -> Target:
    classes = _distinct_levels(values)
    if len(classes) == 1:
        raise ValueError(
            f"is the target and has one class only, {classes[0]!r}, in all rows: nothing to predict"
        )
    if task == "binary" and len(classes) != 2:
        raise ValueError(f"has {len(classes)} classes; expected 2 for the task 'binary'. Set 'multiclass'")
    if len(classes) > min(MOST_CLASSES, len(values) // 2):
        raise ValueError(
            f"is the target and has {len(classes):,} different values in {len(values):,} rows, such as "
            f"{shown(classes[0])}: too many for classes. Write a quantity as numbers"
        )
    return Target(name, task, classes)


def _distinct_levels(values: NDArray[Any]) -> tuple[str, ...]:
    """Sorted as numbers where all are numbers, else as text."""
    levels = {level for level in levels_of(values) if level is not None}
    in_order = sorted(levels)
    try:
        numbers = [float(level) for level in in_order]
    except ValueError:
        return tuple(in_order)
    return tuple(in_order[position] for position in np.argsort(numbers, kind="stable"))


def _encoded(values: Any, target: Target) -> NDArray[Any]:
    if target.task == "regression":
        return numbers_of(values).astype(np.float32)
    count = len(target.classes)
    known = {name: position for position, name in enumerate(target.classes)}
    codes = codes_of(values, known, other=count, missing=-1)
    strange = np.flatnonzero(codes == count)
    if len(strange):
        first = as_array(values)[strange[0]]
        raise ValueError(
            f"has {len(strange):,} values that are none of its classes, such as {shown(first)} in row "
            f"{strange[0]} (from 0); expected one of {shown(list(target.classes))}"
        )
    if target.task == "multiclass":
        return codes.astype(np.int32)
    return np.where(codes < 0, np.nan, codes).astype(np.float32)


def _fit_column(name: object, values: Any, known: NDArray[np.bool_], prepare: PrepareConfig) -> Column:
    """Learns one column on the rows where `known` holds; raises ValueError with what stands in the way."""
    if not isinstance(name, str):
        raise ValueError("has a name that is not text. Rename it")
    array = as_array(values)
    if len(array) != len(known):
        raise ValueError(f"has {len(array):,} rows where the target has {len(known):,}")
    array = array[known]
    if name in prepare.dates:
        return DateColumn.fit(name, array, indicator=prepare.missing_indicator)
    if name in prepare.cycles:
        missing = bool(np.isnan(numbers_of(array)).any())
        return CyclicColumn(name, float(prepare.cycles[name]), prepare.missing_indicator and missing)
    if name in prepare.categories:
        return _fit_category(name, array, prepare)
    kind = kind_of(array)
    if kind == "date":
        raise ValueError(
            "holds dates. Leave it out, turn it into numbers such as hour and weekday, or name it in dates of [prepare]"
        )
    if kind != "number":  # a column without any value has no level, and any value later is another one
        return _fit_category(name, array, prepare)
    numbers = numbers_of(array)
    distinct = np.unique(numbers[~np.isnan(numbers)])
    if 3 <= len(distinct) <= MOST_DISTINCT_AS_CATEGORY and _all_whole(distinct):
        return CategoryColumn(name, _frequent_levels(array))
    return _fit_number(name, numbers, prepare)


def _fit_category(name: str, values: NDArray[Any], prepare: PrepareConfig) -> Column:
    """One input a level; where there are more levels than that takes, they are hashed or embedded as asked for."""
    if prepare.encoding == "one_hot" or len({*levels_of(values)} - {None}) <= MOST_LEVELS:
        return CategoryColumn(name, _frequent_levels(values))
    if prepare.encoding == "hashing":
        return HashedColumn(name, prepare.hash_inputs)
    return EmbeddedColumn(name, _frequent_levels(values, prepare.embedding_levels), prepare.embedding_size)


def _fit_number(name: str, numbers: NDArray[np.float64], prepare: PrepareConfig) -> Column:
    present = numbers[~np.isnan(numbers)]
    mean, scale = _mean_and_scale(present)
    indicator = len(present) < len(numbers) and prepare.missing_indicator
    replacement = replacement_of(present, prepare)
    if prepare.scaling == "quantile" and scale > 0:
        return QuantileColumn.fit(name, present, replacement, indicator=indicator)
    if prepare.scaling == "robust" and scale > 0:
        centre, spread = robust_centre_and_scale(present)
        if spread > 0:  # half of the rows and more are one value: the rest would be endlessly far away
            mean, scale = centre, spread
    low, high = _limits(present)
    # else it would count as the nearest limit
    if prepare.missing == "constant" and len(present) < len(numbers):
        low, high = min(low, replacement), max(high, replacement)
    return NumberColumn(name, replacement, mean, scale, indicator, low, high)


def _limits(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """Between which values nearly all numbers lie; the outermost TAIL on each side may be absurd."""
    low, high = np.quantile(numbers, [TAIL, 1 - TAIL], method="nearest")
    if low == high:  # all but a few are the same: these few are what the column tells
        low, high = numbers.min(), numbers.max()
    return float(low), float(high)


def _mean_and_scale(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation, the outermost TAIL on each side drawn in where there is more than tails.

    Absurd values (1e308) neither set the scale nor overflow; a rare 1 among zeros keeps its own scale.
    """
    low, high = np.quantile(numbers, [TAIL, 1 - TAIL], method="nearest")
    inner = np.clip(numbers, low, high) if low < high else numbers
    largest = float(np.abs(inner).max())
    if inner.min() == inner.max():
        return float(inner[0]), 0.0
    return float((inner / largest).mean() * largest), float((inner / largest).std() * largest)


def _frequent_levels(values: NDArray[Any], most: int = MOST_LEVELS) -> tuple[str, ...]:
    counts = Counter(level for level in levels_of(values) if level is not None)
    rare = _rare_below(len(values))
    ordered = sorted((-count, level) for level, count in counts.items() if count >= rare)
    return tuple(level for _, level in ordered[:most])


def _rare_below(rows: int) -> int:
    """In how many rows a level must occur; below, it shares the input that unseen levels will have.

    So this input is learned, too. One in 200 rows and at least 2, at most MOST_ROWS_OF_A_RARE_LEVEL.
    """
    return max(2, min(MOST_ROWS_OF_A_RARE_LEVEL, rows // 200))


def _all_whole(numbers: NDArray[np.float64]) -> bool:
    return bool(np.all(np.floor(numbers) == numbers))


_KINDS: dict[type, str] = {
    NumberColumn: "number",
    CategoryColumn: "category",
    EmbeddedColumn: "embedded",
    **{kind: name for name, kind in OTHER_KINDS.items()},
}


def _column(record: dict[str, Any]) -> Column:
    kind = record.pop("kind")
    if kind == "number":
        return NumberColumn(**record)
    if kind == "category":
        return CategoryColumn(record["name"], tuple(record["levels"]))
    if kind == "embedded":
        return EmbeddedColumn(record["name"], tuple(record["levels"]), record["size"])
    if kind in OTHER_KINDS:
        return other_column(kind, record)
    raise ValueError(f"a column of kind {kind!r}")
