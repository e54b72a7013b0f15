"""The rows of a first training, wherever they are: what the training, its figures and its reference ask of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.losses import sign_fault
from models.split import Split
from monitoring.window import WindowLength, cut
from pipelines.errors import UserError
from pipelines.learning import Examples
from pipelines.moments import moment_of
from pipelines.objective import Objective
from pipelines.parts import VALIDATION, parts_of, unseen_by
from pipelines.prepared import Prepared, fit_schema
from pipelines.reference import Reference, make_loss_reference
from pipelines.row_times import Times
from pipelines.version_reference import AnsweredRows, version_reference
from pipelines.watched_columns import watched_columns

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt
    import pandas as pd

    from models.schema import Schema
    from pipelines.project import Project
    from pipelines.sources import Table

SIGNED = 5  # rows that show what a version takes


class FirstRows(Protocol):
    """Rows that teach and stop a first training, without those that are held out from all."""

    @property
    def identity(self) -> str: ...

    @property
    def window(self) -> WindowLength: ...

    @property
    def times(self) -> Times:
        """Of all rows, ascending."""
        ...

    @property
    def schema(self) -> Schema: ...

    @property
    def train(self) -> Examples: ...

    @property
    def validation(self) -> Examples: ...

    @property
    def oldest(self) -> pd.DataFrame:
        """The first SIGNED rows as a user would send them."""
        ...

    @property
    def newest(self) -> pd.DataFrame:
        """The last rows as a user would send them, newest last: they check the export."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be told of how they were read, a sentence each."""
        ...

    def ids(self, places: Sequence[int]) -> dict[int, str]:
        """The names of rows, by their places in `train`."""
        ...

    def reference(self, model: keras.Model, goal: Objective) -> Reference:
        """What a version is compared with, made of these rows."""
        ...


def first_rows(project: Project, prepared: Prepared | FirstRows) -> FirstRows:
    """The rows of a first training in two parts, with what a row is."""
    return FrameRows.of(project, prepared) if isinstance(prepared, Prepared) else prepared


@dataclass(frozen=True, eq=False)
class FrameRows:
    """Rows in memory. prepared: without those that are held out. split: by places in its table."""

    project: Project
    prepared: Prepared
    split: Split
    schema: Schema
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, project: Project, prepared: Prepared) -> FrameRows:
        """Cuts the rows as [data] says, and learns what a row is from those that teach."""
        seed = project.config.project.seed
        parts = parts_of(project.config.data, prepared.table, seed=seed, validation=VALIDATION)
        schema = fit_schema(project, parts.table.rows(parts.split.train))
        return cls(project, dataclasses.replace(prepared, table=parts.table), parts.split, schema)

    @property
    def identity(self) -> str:
        return self.prepared.identity

    @property
    def window(self) -> WindowLength:
        return self.prepared.window

    @property
    def times(self) -> Times:
        return self.prepared.table.times

    @cached_property
    def train(self) -> Examples:
        return examples(self.prepared.table.rows(self.split.train), self.schema)

    @cached_property
    def validation(self) -> Examples:
        return examples(self.prepared.table.rows(self.split.validation), self.schema)

    @property
    def oldest(self) -> pd.DataFrame:
        return self.newest.iloc[:SIGNED]

    @property
    def newest(self) -> pd.DataFrame:
        return self.prepared.table.frame[list(self.schema.column_names)]

    def ids(self, places: Sequence[int]) -> dict[int, str]:
        taught = self.prepared.table.rows(self.split.train)
        known = taught.frame[self.schema.target.name].notna().to_numpy()
        return {place: str(taught.ids[known][place]) for place in places}

    def reference(self, model: keras.Model, goal: Objective) -> Reference:
        from models.fit import predict

        table, schema = self.prepared.table, self.schema
        every = examples(table, schema)
        predictions = predict(model, every.inputs).astype(np.float64)
        targets = every.targets.astype(np.float64)
        losses = goal.row_losses(targets, predictions)
        check_signs(goal, losses)
        known = table.frame[schema.target.name].notna().to_numpy()
        unseen = unseen_by(self.project.config.data, self.split, table, known)
        windows = cut(table.times, moment_of(table.times[0]), self.window)
        loss = make_loss_reference(losses, unseen, every.times, windows)
        times = table.times if self.project.config.data.has_times else None
        columns = watched_columns(schema, table.frame, times)
        rows = AnsweredRows(columns, table.times, known, every.inputs, predictions, targets, losses, unseen)
        return version_reference(model, schema, goal, rows, windows, loss)


def check_signs(goal: Objective, losses: npt.NDArray[Any]) -> None:
    """Raises UserError where a loss that cannot be negative is."""
    if fault := sign_fault(goal.name, losses):
        raise UserError(f"[network] loss: {fault}")


def examples(table: Table, schema: Schema) -> Examples:
    """Rows with a target, as arrays."""
    known = table.frame[schema.target.name].notna().to_numpy()
    targets = schema.targets(table.frame)
    weights = None if table.weights is None else table.weights[known]
    return Examples.of(schema.inputs(table.frame)[known], targets[known], table.times[known], weights)
