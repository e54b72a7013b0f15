"""The whole project at once, in seconds: what a long training would find out at its end."""

from __future__ import annotations

import contextlib
import dataclasses
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.losses import check_loss
from models.row_checks import CHECKS, CheckedRows, checked
from models.schema import Schema, SchemaError, Task
from models.split import Split
from monitoring.loss_alarm import PRIOR_BLOCKS
from monitoring.window import cut, rows_by_window
from pipelines import drift_checks, log_checks
from pipelines.batches import Looked, look_at
from pipelines.errors import UserError
from pipelines.first_rows import examples
from pipelines.learning import LEAST_VALIDATION
from pipelines.log import Log
from pipelines.moments import moment_of
from pipelines.objective import Objective, objective
from pipelines.parts import VALIDATION, split_table
from pipelines.prepared import last_prepared, window_length
from pipelines.problem import Problem, Trouble, faults, trying
from pipelines.reachable import unreachable, unusable_place, unwritable
from pipelines.receivers import check_address
from pipelines.reference import whole_blocks
from pipelines.row_times import Times
from pipelines.sources import Table
from pipelines.table import Column, render
from pipelines.trial import TRIED, Trial, try_network
from pipelines.userfile import load_function

if TYPE_CHECKING:
    from models.rows import Rows
    from pipelines.project import Project

Say = Callable[[str], None]


SEVERITIES = ("fault", "warning", "note")
TABLE = (Column("check", "check"), Column("severity", "result"), Column("text", "what was found"))
_WIDEST = 96  # letters of what was found in a line of the table
_SHOWN = 6  # names in a line; there may be a thousand classes


@dataclass(frozen=True)
class DataFacts:
    """What the rows are. rows_of_window: the median; None, like the window, where the rows have no times."""

    rows: int
    labelled: int
    first: str | None
    last: str | None
    window: str | None
    windows: int
    rows_of_window: float | None

    def line(self) -> str:
        told = f"data: {self.rows:,} rows"
        if self.window is None:
            return told
        told += f" from {self.first} to {self.last}, {self.windows:,} windows of a {self.window}"
        return f"{told} with {self.rows_of_window:,.0f} rows in the middle one"


@dataclass(frozen=True)
class SchemaFacts:
    """What a row is."""

    target: str
    task: str
    classes: tuple[str, ...]
    columns: int
    inputs: int

    def line(self) -> str:
        classes = ", ".join(self.classes[:_SHOWN])
        more = f", ... {len(self.classes)} in all" if len(self.classes) > _SHOWN else ""
        of = f" of {classes}{more}" if self.classes else ""
        return f"target: {self.target!r}, {self.task}{of}; {self.columns} columns become {self.inputs} inputs"


@dataclass(frozen=True)
class CheckResult:
    """What was found, part by part as far as it could be tried, and every problem.

    checks: the rules that looked at the rows, by name; none where the rows could not be read that far.
    """

    name: str
    data: DataFacts | None
    schema: SchemaFacts | None
    network: Trial | None
    problems: tuple[Problem, ...]
    seconds: float
    checks: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return any(problem.severity == "fault" for problem in self.problems)

    def lines(self) -> list[str]:
        found = [part.line() for part in (self.data, self.schema, self.network) if part is not None]
        return [*found, *self._table(), self._verdict()]

    def _table(self) -> list[str]:
        """Every problem, the gravest first, then the rules that found none."""
        told = sorted(self.problems, key=lambda problem: SEVERITIES.index(problem.severity))
        rows = [row for problem in told for row in _table_rows(problem)]
        quiet = [name for name in self.checks if name not in {problem.check for problem in self.problems}]
        rows += [{"check": name, "severity": "in order", "text": ""} for name in quiet]
        return render(rows, TABLE) if rows else []

    def _verdict(self) -> str:
        wrong, odd = (
            sum(problem.severity == severity for problem in self.problems)
            for severity in ("fault", "warning")
        )
        warned = f", {_counted(odd, 'warning')}" if odd else ""
        if wrong:
            found = f"{_counted(wrong, 'fault')}{warned}"
            return f"{self.name}: {found} in {self.seconds:.0f} s. Mend the faults, then: losswatch check"
        return f"{self.name} is in order{warned}, checked in {self.seconds:.0f} s. next: losswatch train"


def check(project: Project, *, progress: Say | None = None) -> CheckResult:
    """Tries everything that a training, a server and a monitor will need, and collects all problems.

    Nothing is kept: neither prepared rows nor a network.
    """
    begin, say = time.monotonic(), progress or (lambda text: None)
    problems = [*_stores(project), *_receivers(project), *_code(project)]
    say("reading the data")
    looked, data, found = _data(project, say)
    problems += found
    table = None if looked is None else looked.table
    schema, trial = None, None
    checks: tuple[str, ...] = ()
    if looked is not None:
        say("learning what a row is")
        schema, checks, found = _schema(project, looked)
        problems += found
    if table is not None and schema is not None:
        goal, found = _goal(project, schema.target.task)
        trial, tried = try_network(_with_known_loss(project, goal), goal, schema, _batch(table, schema), say)
        problems += [*found, *tried]
    facts = _schema_facts(schema) if schema is not None else None
    unique = tuple(dict.fromkeys(problems))
    return CheckResult(project.name, data, facts, trial, unique, time.monotonic() - begin, checks)


# --- places and secrets ---


def _stores(project: Project) -> list[Problem]:
    """What stands in the way of keeping anything."""
    found = _place("project", lambda: unwritable(project.state))
    found += _place("store.tracking", lambda: unreachable(project.tracking()))
    found += _place("store.artifacts", lambda: unusable_place(project.artifacts()))
    return found + _place("store.log", lambda: _log(project))


def _place(about: str, look: Callable[[], str | None]) -> list[Problem]:
    """The problem of one place, once: a folder that holds all of them is not told four times."""
    try:
        why = look()
    except UserError as error:
        return faults(about, str(error))
    return [Problem("fault", about, why)] if why else []


def _log(project: Project) -> str | None:
    folder = project.log_folder()
    Log(folder)  # of another version of losswatch: it says so
    return unwritable(folder)


def _receivers(project: Project) -> list[Problem]:
    found: list[Problem] = []
    for receiver in project.config.alerts.known():
        try:
            check_address(receiver.address(project.folder), key=receiver.key)
        except UserError as error:
            found += faults(receiver.key, str(error))
    return found


def _code(project: Project) -> list[Problem]:
    """The user's own functions, looked up before any data are there to call them with."""
    found: list[Problem] = []
    written = {"network.build": project.config.code.build, "network.loss": project.config.network.loss}
    for key, reference in written.items():
        if reference and ":" in reference:
            try:
                load_function(reference, project.folder, key=key)
            except UserError as error:
                found.append(Problem("fault", key, str(error)))
    return found


# --- the data ---


def _data(project: Project, say: Say) -> tuple[Looked | None, DataFacts | None, list[Problem]]:
    try:
        with trying("data", "[data]", project.folder):
            looked = look_at(
                project.config.data, project.folder, seed=project.config.project.seed, progress=say
            )
    except Trouble as trouble:
        return None, None, faults("data", trouble.problem.text)
    table, labelled = looked.table, looked.labelled
    found = [Problem("note", "data", notice) for notice in (*looked.notices, *table.notices)]
    found += _few_rows(labelled)
    if not table.has_times:
        text = "[data] names no time: write time = COLUMN, or start and step for rows at equal steps"
        facts = DataFacts(len(table.times), labelled, None, None, None, 0, None)
        return looked, facts, [*found, Problem("fault", "data", text)]
    facts, odd = _windows(project, looked.times, labelled)
    return looked, facts, [*found, *odd]


def _few_rows(labelled: int) -> list[Problem]:
    held = int(VALIDATION * labelled)
    if held >= LEAST_VALIDATION:
        return []
    text = (
        f"{labelled} rows have a target, which leaves {held} to stop the training; with fewer than "
        f"{LEAST_VALIDATION} it is stopped by chance. Bring {round(LEAST_VALIDATION / VALIDATION)} rows or more"
    )
    return [Problem("warning", "data", text)]


def _windows(project: Project, times: Times, labelled: int) -> tuple[DataFacts, list[Problem]]:
    """The period and its windows, and whether they are enough to judge by."""
    length, first = window_length(project, times), moment_of(times[0])
    begins, ends = (str(time.astype("datetime64[s]")) for time in (times[0], times[-1]))
    try:
        blocks = rows_by_window(times, cut(times, first, length))
    except (ValueError, OverflowError) as error:
        facts = DataFacts(len(times), labelled, begins, ends, str(length), 0, 0.0)
        return facts, faults("monitor.window", f"monitor.window = {str(length)!r}: {error}")
    rows = float(np.median([len(block) for block in blocks]))
    facts = DataFacts(len(times), labelled, begins, ends, str(length), len(blocks), rows)
    return facts, _few_windows(project, len(whole_blocks(blocks)), rows * labelled / len(times))


def _few_windows(project: Project, whole: int, labelled: float) -> list[Problem]:
    found = []
    least = project.config.alarm.least_rows
    if whole < PRIOR_BLOCKS:
        found.append(
            f"the data fill {_counted(whole, 'window')}; below {PRIOR_BLOCKS} the spread of the loss from window to "
            "window is mostly guessed. Bring a longer time, or set a shorter [monitor] window"
        )
    if labelled < least:
        found.append(
            f"the middle window holds {labelled:.0f} rows with a target, and fewer than {least} are not judged. "
            "Set a longer [monitor] window, or a smaller least_rows in [alarm]"
        )
    return [Problem("warning", "monitor.window", text) for text in found]


# --- the schema ---


def _schema(project: Project, looked: Looked) -> tuple[Schema | None, tuple[str, ...], list[Problem]]:
    """What a training will learn from the older rows, and whether all rows are fit for it."""
    target, table = project.config.data.target, looked.table
    try:
        split = split_table(
            project.config.data, table, seed=project.config.project.seed, validation=VALIDATION
        )
    except UserError as error:
        return None, (), faults("data.split", str(error))
    older, newer = table.rows(split.train), table.rows(split.validation)
    try:
        schema = Schema.fit(older.frame, target, prepare=project.config.prepare)
    except SchemaError as error:
        return None, (), [Problem("fault", "data", str(fault)) for fault in error.faults]
    late = schema.check(newer.frame, with_target=True)
    by_time = project.config.data.split == "time"
    newest = f"among the {'newest' if by_time else 'validation'} {VALIDATION:.0%} of the rows"
    found = [Problem("fault", "data", f"{newest}, {fault}") for fault in late]
    checks, odd = _rows(project, looked, schema, split)
    return None if late else schema, checks, [*found, *odd]


def _rows(
    project: Project, looked: Looked, schema: Schema, split: Split
) -> tuple[tuple[str, ...], list[Problem]]:
    """The names of the rules that looked at the rows, and what they found."""
    table = looked.table
    columns = {str(name): table.frame[name].to_numpy() for name in table.frame.columns}
    times = table.times if table.has_times else None
    rows = CheckedRows(columns, schema, split.train, split.validation, times, _expected(project, table))
    found = [*checked(rows), *drift_checks.split_drift(rows)]
    log, config = project.log_folder(), project.config.log
    if table.has_times:
        window, kept = window_length(project, looked.times), config.columns_with("keep")
        without = tuple(name for name in config.columns if name not in kept)
        with contextlib.suppress(UserError, OverflowError, ValueError):  # of log and window, told before
            found += drift_checks.production_drift(rows, log, window, without=without)
    problems = [Problem(one.severity, "data", one.text, one.check) for one in found]
    problems += log_checks.kept_columns(config, schema)
    with contextlib.suppress(UserError):
        problems += log_checks.changed_types(log, schema, table)
    return (*CHECKS, *drift_checks.CHECKS), problems


def _expected(project: Project, table: Table) -> Schema | None:
    """What a row was when rows of this project were prepared last; None where these rows are those, or the first."""
    before = last_prepared(project)
    if before is None or before.identity == table.identity:
        return None
    try:
        return Schema.fit(before.table.frame, project.config.data.target, prepare=project.config.prepare)
    except SchemaError:
        return None


def _schema_facts(schema: Schema) -> SchemaFacts:
    target = schema.target
    return SchemaFacts(target.name, target.task, target.classes, len(schema.columns), schema.width)


# --- what is tried ---


def _goal(project: Project, task: Task) -> tuple[Objective, list[Problem]]:
    """The loss by which all is judged; the one that fits the target where the written one cannot be had."""
    network = project.config.network
    written, fitting = network.loss, _with_loss(project, None, {})
    if written and ":" not in written and (advice := check_loss(written, task, network.loss_parameters)):
        text = f"[network] {advice.rstrip('.')}"
        return objective(fitting, task), faults("network.loss", text)
    try:
        return objective(project, task), []
    except UserError as error:
        return objective(fitting, task), [Problem("fault", "network.loss", str(error))]


def _with_known_loss(project: Project, goal: Objective) -> Project:
    """The project with the loss of the trial, so that a mistaken one hides nothing else."""
    return project if goal.user_loss is not None else _with_loss(project, goal.name, goal.parameters)


def _with_loss(project: Project, loss: str | None, parameters: Mapping[str, Any]) -> Project:
    network = dataclasses.replace(project.config.network, loss=loss, loss_parameters=parameters)
    return dataclasses.replace(project, config=dataclasses.replace(project.config, network=network))


def _batch(table: Table, schema: Schema) -> Rows:
    """Rows with a target, spread evenly over all."""
    known = np.flatnonzero(table.frame[schema.target.name].notna().to_numpy())
    places = np.linspace(0, len(known) - 1, min(TRIED, len(known))).astype(np.int64)
    return examples(table.rows(known[places]), schema).rows


def _table_rows(problem: Problem) -> list[dict[str, str]]:
    """A problem in as many lines of the table as its text takes."""
    first, *others = textwrap.wrap(problem.text, _WIDEST) or [""]
    rows = [{"check": problem.check or problem.about, "severity": problem.severity, "text": first}]
    return rows + [{"check": "", "severity": "", "text": line} for line in others]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
