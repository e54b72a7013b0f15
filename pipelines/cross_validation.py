"""Cross-validation of a project: its network on rows of its data that it did not see, several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.cross_validation import (
    CrossValidation,
    Fold,
    FoldLoss,
    Judge,
    Kind,
    cross_validate,
    forward_folds,
    group_folds,
    plain_folds,
    stratified_folds,
)
from models.schema import Schema, infer_task
from models.split import strata_of
from pipelines.batches import look_at
from pipelines.errors import UserError
from pipelines.figures import count, decimals_for, number
from pipelines.network import fit_config_of, recipe_of
from pipelines.objective import objective
from pipelines.parts import VALIDATION, parts_of
from pipelines.project import Project
from pipelines.sources import Table
from pipelines.table import Column, render

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]

FOLDS = 5  # Kohavi 1995: 5 to 10; fewer leave too little to learn from, more cost trainings
_OF_SPLIT: dict[str, Kind] = {
    "time": "forward",
    "random": "plain",
    "stratified": "stratified",
    "group": "group",
}


@dataclass(frozen=True)
class CrossValidated:
    """The losses of all folds, on rows that neither taught nor stopped their network.

    standard_error: of the mean, from the spread between folds. gain: by how much the network's loss is lower than the
    simple model's, on the same rows. notices: of which rows, where these are not all.
    """

    name: str
    kind: Kind
    rows: int
    loss_name: str
    folds: tuple[FoldLoss, ...]
    mean: float
    standard_error: float
    gain: float
    gain_error: float
    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        rows = [
            {
                "fold": place + 1,
                "learned": fold.trained_on,
                "judged": fold.judged_on,
                "epochs": fold.epochs,
                "loss": fold.loss,
                "constant": fold.loss_constant,
                "simple": fold.loss_simple,
            }
            for place, fold in enumerate(self.folds)
        ]
        return [*self.notices, *render(rows, _COLUMNS), self._mean_line(), self._gain_line()]

    def _mean_line(self) -> str:
        decimals = decimals_for([self.mean])
        return (
            f"{self.loss_name} {number(self.mean, decimals)} ± {number(self.standard_error, decimals)} (mean and "
            f"standard error of {len(self.folds)} {self.kind} folds of {count(self.rows)} rows)"
        )

    def _gain_line(self) -> str:
        decimals = decimals_for([self.gain_error])
        gain = f"{number(self.gain, decimals)} ± {number(self.gain_error, decimals)}"
        if self.gain > 2 * self.gain_error:
            return f"the network beats the simple model by {gain}"
        if self.gain < -2 * self.gain_error:
            return f"the network does worse than the simple model ({gain}): see docs/your-own-network.md"
        return (
            f"the network is not clearly better than the simple model ({gain}): see docs/your-own-network.md"
        )


_COLUMNS = (
    Column("fold", "fold"),
    Column("learned", "rows learned"),
    Column("judged", "rows judged"),
    Column("epochs", "epochs"),
    Column("loss", "network"),
    Column("constant", "best constant"),
    Column("simple", "simple model"),
)


def cross_validate_project(
    project: Project, *, folds: int = FOLDS, kind: Kind | None = None, progress: Say | None = None
) -> CrossValidated:
    """Trains the project's network on each fold of its data, and keeps nothing; held-out rows stay aside.

    kind: of the folds; None for that which [data] split asks for, forward chaining by time.
    """
    say = progress or (lambda text: None)
    say("reading the data")
    config, seed = project.config, project.config.project.seed
    looked = look_at(config.data, project.folder, seed=seed, progress=progress)
    table = parts_of(config.data, looked.table, seed=seed, validation=VALIDATION).table
    chosen = kind or _OF_SPLIT[config.data.split]
    task = infer_task(table.frame[config.data.target])
    parts = _folds(project, table, chosen, folds)
    goal = objective(project, task)

    def told(place: int, fold: FoldLoss) -> None:
        say(f"fold {place + 1} of {folds}: loss {fold.loss:.4g}")

    def learn(rows: pd.DataFrame) -> Schema:
        return Schema.fit(rows, config.data.target, task=task, prepare=config.prepare)

    say(f"fold 1 of {folds}")
    try:
        found = cross_validate(
            recipe_of(project, goal, task),
            table.frame,
            learn,
            parts,
            lambda schema: fit_config_of(project, schema, seed=seed),
            Judge(goal.name, goal.row_losses, goal.row_losses_of_chances, bool(goal.parameters)),
            on_fold=told,
        )
    except ValueError as problem:
        raise UserError(f"the data cannot be cross-validated: {problem}") from None
    return _result(project, chosen, table, goal.name, found, looked.notices)


def _result(
    project: Project, kind: Kind, table: Table, loss: str, found: CrossValidation, notices: tuple[str, ...]
) -> CrossValidated:
    return CrossValidated(
        project.name,
        kind,
        len(table.times),
        loss,
        found.folds,
        found.mean,
        found.standard_error,
        found.gain,
        found.gain_error,
        notices,
    )


def _folds(project: Project, table: Table, kind: Kind, count: int) -> tuple[Fold, ...]:
    """The folds of rows with a target, by their places in the table."""
    config, seed = project.config.data, project.config.project.seed
    target = table.frame[config.target]
    known = np.flatnonzero(target.notna().to_numpy())
    try:
        if kind == "forward":
            folds = _forward(project, table, known, count)
        elif kind == "group":
            if table.groups is None:
                raise UserError('folds by group need [data] split = "group" and group = COLUMN')
            folds = group_folds(table.groups[known], count, seed=seed)
        elif kind == "stratified":
            quantity = infer_task(target) == "regression"
            folds = stratified_folds(strata_of(target.to_numpy()[known], quantity=quantity), count, seed=seed)
        else:
            folds = plain_folds(len(known), count, seed=seed)
    except ValueError as problem:
        raise UserError(f"the data cannot be cut into folds: {problem}") from None
    return tuple(Fold(known[fold.train], known[fold.stop], known[fold.validation]) for fold in folds)


def _forward(project: Project, table: Table, known: npt.NDArray[np.intp], count: int) -> tuple[Fold, ...]:
    """What would have been known: rows from less than label_delay before the first that judges teach nothing."""
    if not table.has_times:
        raise UserError(
            "forward folds need times: [data] names none. Write time = COLUMN, or take --kind plain or stratified"
        )
    delay = np.timedelta64(project.config.data.label_delay, "us")
    return forward_folds(len(known), count, times=table.times[known], delay=delay)
