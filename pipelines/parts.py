"""The parts of the rows of a first training: those that it learns from, those that stop it, and those kept aside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.schema import infer_task
from models.split import Split, split_rows, strata_of
from pipelines.config import DataConfig
from pipelines.errors import UserError
from pipelines.sources import Table


def split_table(
    config: DataConfig, table: Table, *, seed: int, validation: float, test: float = 0.0
) -> Split:
    """The parts that [data] asks for: the same rows and seed, the same parts; UserError where there are none."""
    strata = None
    if config.split == "stratified":
        target = table.frame[config.target]
        strata = strata_of(target.to_numpy(), quantity=infer_task(target) == "regression")
    try:
        return split_rows(
            config.split,
            len(table.times),
            seed=seed,
            strata=strata,
            groups=table.groups,
            validation=validation,
            test=test,
        )
    except ValueError as problem:
        raise UserError(f'[data] split = "{config.split}": {problem}') from None


def unseen_by(
    config: DataConfig, split: Split, table: Table, known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which of the known rows a first training did not learn from.

    known: mask of the rows with a target. By time these are all from the first validation row on, also those that
    share its moment.
    """
    if config.split == "time":
        return np.asarray(table.times[known] >= table.times[split.validation[0]], dtype=bool)
    unseen = np.ones(len(table.times), dtype=bool)
    unseen[split.train] = False
    return unseen[known]
