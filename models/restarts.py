"""The same network trained from several seeds: the best on the validation rows is kept, and every curve.

A training may end in a poor place by chance of its first weights and the order of its rows; another start may not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.callbacks import Diverged
from models.fit import Fitted, OnEpoch, OnSteps, fit
from models.history import LossHistory

if TYPE_CHECKING:
    from models.recipe import FitConfig, Recipe
    from models.rows import Rows
    from models.schema import Schema


Follow = Callable[[int], tuple[OnEpoch, OnSteps]]  # from the number of a training: who is told of it


@dataclass(frozen=True)
class Start:
    """One of the trainings. history: None where it diverged."""

    seed: int
    history: LossHistory | None

    @property
    def loss(self) -> float:
        """Of its best epoch; infinite where it diverged or was not trained."""
        loss = float("inf") if self.history is None else self.history.best_loss
        return loss if loss == loss else float("inf")


@dataclass(frozen=True)
class Restarted:
    """The best of several trainings, and the losses of all of them in the order of their seeds."""

    fitted: Fitted
    starts: tuple[Start, ...]
    chosen: int


def fit_restarts(
    recipe: Recipe,
    schema: Schema,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    *,
    restarts: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    follow: Follow | None = None,
) -> Restarted:
    """Trains `restarts` times, each from a seed of its own, and keeps the training with the lowest validation loss.

    The first has the seed of the config: one restart is a plain `fit`. One that diverges is passed over.
    checkpoint: each training has one of its own beside this name, see `fit`, so that one that was killed goes on in the
    midst of its restarts; `remove_checkpoint` removes all of them. on_epoch: told of every epoch of every training.
    follow: gives who is told of the epochs and the steps of each, in the place of on_epoch.
    Raises Diverged where all of them diverge.
    """
    starts: list[Start] = []
    best: Fitted | None = None
    for number, seed in enumerate(seeds(config.seed, restarts)):
        try:
            place = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}-{number}")
            told, taken = (on_epoch, None) if follow is None else follow(number)
            fitted = fit(
                recipe,
                schema,
                train,
                validation,
                replace(config, seed=seed),
                checkpoint=place,
                on_epoch=told,
                on_steps=taken,
            )
        except Diverged:
            if best is None and number == restarts - 1:
                raise
            starts.append(Start(seed, None))
            continue
        starts.append(Start(seed, fitted.history))
        if best is None or starts[-1].loss < min(start.loss for start in starts[:-1]):
            best = fitted
    assert best is not None
    return Restarted(best, tuple(starts), int(np.argmin([start.loss for start in starts])))


def seeds(first: int, count: int) -> tuple[int, ...]:
    """The seeds of several trainings: the first as given, the others drawn from it.

    >>> seeds(7, 1)
    (7,)
    >>> len(set(seeds(7, 50)))
    50
    """
    drawn = np.random.SeedSequence(first).generate_state(max(count - 1, 0)) & 0x7FFFFFFF
    return (first, *(int(seed) for seed in drawn))
