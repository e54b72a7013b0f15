"""What `losswatch evaluate` finds, as a record, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.bias_variance import BiasVariance
from models.evaluation import Contest, Figure, Scores
from models.importance import Importance
from models.learning_curve import LearningCurve, MoreRows
from models.slices import Search, Slice
from models.wording import in_words, written
from pipelines.table import Column, render
from pipelines.training_rows import TrainingRows

SHOWN_COLUMNS = 12  # of those that matter
SHOWN_SLICES = 8  # of each wish, the weakest; all of them are in the JSON
MAIN = ("accuracy", "auc", "f1_macro", "mae", "r2")  # beside the loss, where many models are shown


@dataclass(frozen=True)
class Model:
    """One model on the rows that are judged: its figures, the loss first."""

    name: str
    scores: Scores


@dataclass(frozen=True)
class DeclaredSlices:
    """The groups of one line of `slices`. skipped: why there are none, in words."""

    name: str
    slices: tuple[Slice, ...]
    skipped: str = ""


@dataclass(frozen=True)
class Attributions:
    """Integrated gradients: how far each column moved the answers. unexplained: see `models.importance`."""

    rows: int
    columns: tuple[Importance, ...]
    unexplained: float


@dataclass(frozen=True)
class Subject:
    """Which version is judged, and by which loss."""

    name: str
    version: int
    run_id: str
    task: str
    loss_name: str


@dataclass(frozen=True)
class JudgedRows:
    """The rows that it is judged on.

    source: what they are. tuned: whether they stopped or chose the version, for want of others. intervals: how the
    rows are drawn again, and why so.
    """

    rows: int
    first: str
    last: str
    source: str
    tuned: bool
    intervals: str
    confidence: float


@dataclass(frozen=True)
class Comparison:
    """The version and other models on the same rows.

    models: the version first. contests: the version against each of the others, in numbers; verdicts,
    disagreements: in words. calibration_limit: what a perfectly calibrated network would stay below in 95 of 100
    cases; nan where nothing says a chance.
    """

    models: tuple[Model, ...]
    contests: tuple[Contest, ...]
    verdicts: tuple[str, ...]
    disagreements: tuple[str, ...]
    calibration_limit: float

    @property
    def scores(self) -> Scores:
        """Those of the version."""
        return self.models[0].scores


@dataclass(frozen=True)
class Inputs:
    """Which columns matter: shuffled, on so many rows, and by integrated gradients."""

    shuffled_rows: int
    shuffled: tuple[Importance, ...]
    attributed: Attributions | None


@dataclass(frozen=True)
class Repeats:
    """What repeated trainings say: bias and variance, and learning curves of every figure. In words, too."""

    bias_variance: BiasVariance | None
    bias_variance_verdict: str
    curves: tuple[LearningCurve, ...]
    more_rows: tuple[MoreRows, ...]
    more_rows_verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation of a version found, on rows that did not teach it.

    declared, search: groups of rows that were asked for, and the weakest that were found. repeats, training_rows: None
    where they were not asked for. notices: what was left out or drawn from, and what to know.
    """

    subject: Subject
    judged: JudgedRows
    comparison: Comparison
    declared: tuple[DeclaredSlices, ...]
    search: Search
    inputs: Inputs
    repeats: Repeats | None
    training_rows: TrainingRows | None
    notices: tuple[str, ...]
    seconds: float
    drawn: str = field(default="", metadata={"json": False})  # where, or why not; of learning curves

    @property
    def over_budget(self) -> tuple[Slice, ...]:
        """The declared slices whose loss is above its limit, beyond chance."""
        return tuple(one for wish in self.declared for one in wish.slices if one.over_budget)

    @property
    def failed(self) -> bool:
        """Whether a declared limit is broken: the command then ends with 1."""
        return bool(self.over_budget)

    def figures(self) -> dict[str, float]:
        """What goes into the run of the version beside its training figures."""
        found = {
            f"evaluate_{one.name}": one.value for one in self.comparison.scores.figures if ":" not in one.name
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def lines(self) -> list[str]:
        parts: tuple[Iterable[str], ...] = (
            _head(self),
            _figures(self),
            _rivals(self),
            _classes(self),
            _calibration(self),
            _declared(self),
            _search(self),
            _importance(self),
            _gradients(self),
            _bias_variance(self),
            _curves(self),
            [self.drawn] if self.drawn else [],
            _training_rows(self),
            _ends(self),
        )
        told: list[str] = []
        for part in map(list, parts):
            told += ["", *part] if told and part else part
        return told


def _head(found: Evaluation) -> list[str]:
    judged, subject = found.judged, found.subject
    flatters = " (they flatter it a little, see below)" if judged.tuned else ""
    return [
        f"version {subject.version} of {subject.name} on {judged.rows:,} rows from {judged.first} to {judged.last}: "
        f"{judged.source}{flatters}",
        f"loss: {subject.loss_name}; intervals of {judged.confidence:.0%}: the rows are drawn again {judged.intervals}",
    ]


def _figures(found: Evaluation) -> list[str]:
    rows = [_row(in_words(one.name), one) for one in found.comparison.scores.figures]
    return render(
        rows,
        [Column("name", "figure"), Column("value", "value"), Column("low", "from"), Column("high", "to")],
    )


def _row(name: str, figure: Figure) -> dict[str, object]:
    """A row with decimals of its own: figures of one table are of different sizes."""
    return {
        "name": name,
        "value": _cell(figure.value),
        "low": _cell(figure.low),
        "high": _cell(figure.high),
    }


def _cell(value: float) -> str | None:
    return written(value) if math.isfinite(value) else None


def _rivals(found: Evaluation) -> list[str]:
    names = [name for name in MAIN if any(_has(model, name) for model in found.comparison.models)]
    contests = {contest.other: contest for contest in found.comparison.contests}
    rows = []
    for model in found.comparison.models:
        row: dict[str, object] = {"model": model.name, "loss": model.scores.loss.value}
        row |= {name: model.scores.figure(name).value for name in names}
        if model.name in contests:
            difference = contests[model.name].loss
            row |= {"more": -difference.value, "low": -difference.high, "high": -difference.low}
        rows.append(row)
    columns = [Column("model", "model"), Column("loss", "loss"), Column("more", "more than the version")]
    columns += [
        Column("low", "from"),
        Column("high", "to"),
        *(Column(name, in_words(name)) for name in names),
    ]
    table = render(rows, columns) if len(rows) > 1 else []
    return [*table, *found.comparison.verdicts, *found.comparison.disagreements]


def _has(model: Model, name: str) -> bool:
    return math.isfinite(model.scores.figure(name).value)


def _classes(found: Evaluation) -> list[str]:
    classes = found.comparison.scores.classes
    if not classes:
        return []
    rows = [
        {
            "name": one.name,
            "rows": one.rows,
            "p": one.precision.value,
            "r": one.recall.value,
            "f": one.f1.value,
        }
        for one in classes
    ]
    columns = (("name", "class"), ("rows", "rows"), ("p", "precision"), ("r", "recall"), ("f", "F1"))
    return render(rows, [Column(key, heading) for key, heading in columns])


def _calibration(found: Evaluation) -> list[str]:
    bins = found.comparison.scores.reliability
    if not bins:
        return []
    rows = [
        {"rows": one.rows, "said": one.said, "true": one.true, "low": one.low, "high": one.high}
        for one in bins
    ]
    columns = (("rows", "rows"), ("said", "said"), ("true", "true"), ("low", "from"), ("high", "to"))
    table = render(rows, [Column(key, heading) for key, heading in columns])
    error = found.comparison.scores.figure("calibration_error").value
    if not math.isfinite(error):
        return ["what was said and what was true, by about equal numbers of rows", *table]
    limit = found.comparison.calibration_limit
    right = "no worse than" if error <= limit else "more than"
    return [
        "calibration: what was said and what was true, by about equal numbers of rows",
        *table,
        f"calibration error {written(error)}: {right} the {written(limit)} that a calibrated network would show on so "
        "many rows",
    ]


_SLICE = (
    Column("name", "rows where"),
    Column("rows", "rows"),
    Column("loss", "loss"),
    Column("low", "from"),
    Column("high", "to"),
    Column("rest", "the rest"),
    Column("p", "p adjusted"),
)


def _slice_row(one: Slice) -> dict[str, object]:
    values: dict[str, object] = {
        key: getattr(one, key) for key in ("name", "rows", "loss", "low", "high", "rest")
    }
    shown = "below 0.0001" if one.p < 0.0001 else f"{one.p:.2g}"
    return {**values, "p": shown, "times": one.times, "budget": one.budget or None, "other": one.other}


def _slice_table(slices: Sequence[Slice]) -> list[str]:
    columns = list(_SLICE)
    if any(math.isfinite(one.other) for one in slices):
        columns.append(Column("other", "the linear model"))
    if any(one.at_most is not None for one in slices):
        columns += [Column("times", "times all", 2), Column("budget", "limit")]
    return render([_slice_row(one) for one in slices], columns)


def _declared(found: Evaluation) -> list[str]:
    told: list[str] = []
    for wish in found.declared:
        if wish.skipped:
            told.append(f"slices by {wish.name}: {wish.skipped}")
            continue
        shown = wish.slices[:SHOWN_SLICES]
        more = len(wish.slices) - len(shown)
        told.append(
            f"slices by {wish.name}" + (f", the weakest {len(shown)} of {len(wish.slices)}" if more else "")
        )
        told += _slice_table(shown)
    for one in found.over_budget:
        told.append(
            f"{one.name}: the loss is {one.times:.3g} times that of all rows ({one.times_low:.3g} to "
            f"{one.times_high:.3g}); at most {one.at_most:g} times is allowed"
        )
    return told


def _search(found: Evaluation) -> list[str]:
    search = found.search
    looked = f"{search.looked_at:,} groups of one and of two columns looked at on half of the rows"
    if not search.looked_at:
        return []
    if not search.weak:
        asked = f", {search.tried} of them asked about on the other half" if search.tried else ""
        return [f"weakest slices: none that is clearly worse than the rest ({looked}{asked})"]
    return [
        f"weakest slices: {looked}, {search.tried} asked about on the other half, {len(search.weak)} confirmed; "
        f"figures of the {search.rows:,} rows of that half",
        *_slice_table(search.weak),
        *(_sentence(one) for one in search.weak[:SHOWN_SLICES]),
    ]


def _sentence(one: Slice) -> str:
    beside = ""
    if math.isfinite(one.other):
        better = one.other < one.low
        beside = f"; the linear model has {written(one.other)} there" + (
            ", so it can be done better" if better else ""
        )
    higher = f"{written(one.excess, 2)} ({written(one.excess_low, 2)} to {written(one.excess_high, 2)})"
    return (
        f"rows where {one.name}: loss {written(one.loss)} against {written(one.rest)}, {one.rows:,} rows, higher by "
        f"{higher}, p {written(one.p, 1)} adjusted{beside}"
    )


def _importance(found: Evaluation) -> list[str]:
    if not found.inputs.shuffled:
        return []
    matters = [one for one in found.inputs.shuffled if one.matters]
    idle = len(found.inputs.shuffled) - len(matters)
    rest = (
        f"; {idle} of {len(found.inputs.shuffled)} columns make no difference that can be told"
        if idle
        else ""
    )
    judged = f"on {found.inputs.shuffled_rows:,} rows"
    return [
        f"what matters: by how much the loss rises when a column is shuffled, {judged}{rest}",
        *_ranked(matters[:SHOWN_COLUMNS], "loss rises by"),
    ]


def _gradients(found: Evaluation) -> list[str]:
    if found.inputs.attributed is None:
        return []
    return [
        f"what moved the answers: integrated gradients from the mean row, on {found.inputs.attributed.rows:,} rows "
        f"(at most {found.inputs.attributed.unexplained:.1%} of an answer is left unexplained)",
        *_ranked(found.inputs.attributed.columns[:SHOWN_COLUMNS], "answer moved by"),
    ]


def _ranked(columns: Sequence[Importance], heading: str) -> list[str]:
    rows: list[dict[str, object]] = [
        {"column": one.column, "value": one.value, "low": one.low, "high": one.high} for one in columns
    ]
    headings = (("column", "column"), ("value", heading), ("low", "from"), ("high", "to"))
    return render(rows, [Column(key, name) for key, name in headings]) if rows else []


def _bias_variance(found: Evaluation) -> list[str]:
    if found.repeats is None or found.repeats.bias_variance is None:
        return []
    return [f"bias and variance ({found.repeats.bias_variance.kind}): {found.repeats.bias_variance_verdict}"]


def _curves(found: Evaluation) -> list[str]:
    told: list[str] = []
    repeats = found.repeats or Repeats(None, "", (), (), ())
    for curve, verdict in zip(repeats.curves, repeats.more_rows_verdicts, strict=True):
        if curve.metric not in ("loss", *MAIN):
            continue
        rows: list[dict[str, object]] = [
            {"rows": one.rows, "seen": one.seen, "unseen": one.unseen, "low": one.lowest, "high": one.highest}
            for one in curve.points
        ]
        headings = (("rows", "rows"), ("seen", "learned rows"), ("unseen", "unseen rows"), ("low", "lowest"))
        columns = [*(Column(key, name) for key, name in headings), Column("high", "highest")]
        told += [
            f"learning curve: {in_words(curve.metric)} by the rows that are learned from",
            *render(rows, columns),
        ]
        told.append(verdict)
    return told


def _training_rows(found: Evaluation) -> list[str]:
    valued = found.training_rows
    if valued is None:
        return []
    rows: list[dict[str, object]] = [
        {"id": row.id, "time": row.time, "target": row.target, "value": row.value * valued.looked_at}
        for row in valued.worst[:SHOWN_SLICES]
        if row.value < 0
    ]
    columns = [*(Column(key, key) for key in ("id", "time", "target")), Column("value", "worth x rows")]
    table = render(rows, columns) if rows else []
    return ["what the rows that taught are worth", *table, *valued.verdicts]


def _ends(found: Evaluation) -> list[str]:
    notices = [f"note: {notice}" for notice in found.notices]
    stored = f"kept as evaluation.json in the run of version {found.subject.version}"
    state = "a limit is broken; " if found.failed else ""
    return [*notices, f"{state}evaluated in {found.seconds:.0f} s, {stored}"]


def as_dates(times: Any) -> tuple[str, str]:
    """First and last moment of rows in the order of time, to the minute."""
    first, last = (str(time.astype("datetime64[m]")).replace("T", " ") for time in (times[0], times[-1]))
    return first, last
