"""The parts of the rows of a first training: those that it learns from, those that stop it, and those kept aside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.schema import infer_task
from models.split import Split, split_rows, strata_of
from pipelines.config import DataConfig
from pipelines.errors import UserError
from pipelines.sources import Table

VALIDATION = 0.15  # the newest rows of the training: they stop it, and say what the loss is before it serves


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows that teach and stop a first training, cut by `split`, and those that do neither."""

    table: Table
    split: Split
    test: Table


def parts_of(config: DataConfig, table: Table, *, seed: int, validation: float) -> Parts:
    """The rows without those that [data] holds out as test_share, and these."""
    whole = split_table(config, table, seed=seed, validation=validation)
    if not len(whole.test):
        return Parts(table, whole, table.rows(whole.test))
    kept = np.sort(np.concatenate([whole.train, whole.validation]))
    train, stop = (np.searchsorted(kept, rows).astype(np.int64) for rows in (whole.train, whole.validation))
    return Parts(table.rows(kept), Split(train, stop, whole.test[:0]), table.rows(whole.test))


def remembered_parts(config: DataConfig, *, seed: int) -> dict[str, Any]:
    """What a version must remember to find the parts of its first training again."""
    return {"split": config.split, "group": config.group, "test_share": config.test_share, "seed": seed}


def parts_again(
    config: DataConfig, remembered: Mapping[str, Any], table: Table, *, validation: float
) -> Parts:
    """The parts of a version's first training, whatever [data] says by now.

    remembered: what `remembered_parts` gave; {} for a version from before there were parts to choose.
    """
    then = dataclasses.replace(
        config,
        split=remembered.get("split", "time"),
        group=remembered.get("group"),
        test_share=remembered.get("test_share", 0.0),
    )
    return parts_of(then, table, seed=remembered.get("seed", 0), validation=validation)


def split_table(config: DataConfig, table: Table, *, seed: int, validation: float) -> Split:
    """The parts that [data] asks for: the same rows and seed, the same parts; UserError where there are none.

    Rows of a sample are in the parts that they were in.
    """
    if table.parts is not None:
        return Split(*(np.flatnonzero(table.parts == part).astype(np.int64) for part in range(3)))
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
            test=config.test_share,
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
