"""Learning: the first fit of a network, and the bake-off of a retraining. Arrays and networks, no stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from models.rows import Rows
from monitoring.decision import RetrainPolicy

if TYPE_CHECKING:
    import keras

    from models.history import EpochLoss, LossHistory
    from models.recipe import FitConfig, Recipe
    from models.schema import Schema

Array = npt.NDArray[Any]
OnEpoch = Callable[["EpochLoss"], None]

# an update learns from what is new; beyond this, more old rows cost time and no longer change the network
MOST_ROWS = 60_000
LEAST_VALIDATION = 20  # below this, epochs are compared by chance


@dataclass(frozen=True)
class Examples:
    """Prepared rows in time order: inputs (n, width) float32, targets (n,), times datetime64 (n,)."""

    inputs: npt.NDArray[np.float32]
    targets: Array
    times: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: npt.NDArray[Any]) -> Examples:
        return Examples(self.inputs[chosen], self.targets[chosen], self.times[chosen])

    @property
    def rows(self) -> Rows:
        return Rows(self.inputs, self.targets)


Name = Literal[
    "since the change, with rehearsal", "since the change", "recent, with rehearsal", "from scratch"
]


@dataclass(frozen=True)
class Candidate:
    """One way to retrain that was tried. loss: on the validation rows, newer than the change."""

    name: Name
    rows: int
    loss: float


@dataclass(frozen=True)
class Learned:
    """The best of the candidates: its network, its epochs, and what all of them reached."""

    model: keras.Model
    history: LossHistory
    best: Candidate
    tried: tuple[Candidate, ...]


@dataclass(frozen=True)
class Lesson:
    """Rows for one retraining, none of them held out.

    since: after the change. recent: of the last windows, which may begin before the change. old: everything
    before. validation: newest rows for stopping and choosing, in none of the others.
    """

    since: Examples
    recent: Examples
    old: Examples
    validation: Examples


def make_lesson(known: Examples, *, change: np.datetime64, recent: np.datetime64, validate: Array) -> Lesson:
    """Cuts the rows that may train. validate: mask of rows that may validate; they do so after the change."""
    after = known.times >= change
    chosen = validate & after
    rest = ~chosen
    late = (known.times >= min(recent, change)) & rest
    return Lesson(
        since=known.take(np.flatnonzero(after & rest)),
        recent=known.take(np.flatnonzero(late)),
        old=known.take(np.flatnonzero(~after & rest)),
        validation=known.take(np.flatnonzero(chosen)),
    )


def first_fit(
    recipe: Recipe,
    schema: Schema,
    train: Examples,
    validation: Examples,
    config: FitConfig,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Learned:
    """The network that a project starts with: fitted on the older rows, stopped on the newer ones."""
    from models.fit import fit

    fitted = fit(
        recipe, schema, train.rows, validation.rows, config, checkpoint=checkpoint, on_epoch=on_epoch
    )
    candidate = Candidate("from scratch", len(train), fitted.history.best_loss)
    return Learned(fitted.model, fitted.history, candidate, (candidate,))


def bake_off(
    champion: Path,
    lesson: Lesson,
    policy: RetrainPolicy,
    config: FitConfig,
    *,
    rng: np.random.Generator,
    on_epoch: Callable[[Name, EpochLoss], None] | None = None,
) -> Learned:
    """Updates the champion in the ways that the rows allow, and keeps the best on the validation rows.

    champion: its .keras file; every candidate starts from it, optimiser included. What is best after a sudden
    change (only the new rows), a slow one (new and old) or none is not known beforehand: it is tried.
    """
    from models.export import load_keras
    from models.fit import update

    config = replace(config, epochs=policy.epochs, patience=max(2, policy.epochs // 3))
    best: tuple[Any, LossHistory, Candidate] | None = None
    tried = []
    for name, rows in _candidates(lesson, policy, rng):
        told = (lambda epoch, name=name: on_epoch(name, epoch)) if on_epoch is not None else None
        validation = lesson.validation.rows if len(lesson.validation) >= LEAST_VALIDATION else rows
        fitted = update(load_keras(champion), rows, validation, config, on_epoch=told)
        candidate = Candidate(name, len(rows.targets), fitted.history.best_loss)
        tried.append(candidate)
        if best is None or candidate.loss < best[2].loss:
            best = (fitted.model, fitted.history, candidate)
    if best is None:
        raise ValueError("No rows to learn from came; expected at least one since the change.")
    return Learned(*best, tuple(tried))


def _candidates(
    lesson: Lesson, policy: RetrainPolicy, rng: np.random.Generator
) -> Sequence[tuple[Name, Rows]]:
    """The sets of rows worth trying; those that hold the same rows are tried once."""
    found: list[tuple[Name, Rows]] = []
    if len(lesson.since):
        since = _newest(lesson.since)
        if len(lesson.old) and policy.rehearsal:
            found.append(("since the change, with rehearsal", _rehearsed(since, lesson.old, policy, rng)))
        found.append(("since the change", since.rows))
    if len(lesson.recent) > 1.2 * len(lesson.since):
        recent = _newest(lesson.recent)
        older = lesson.old.take(np.flatnonzero(lesson.old.times < recent.times[0]))
        if len(older) and policy.rehearsal:
            found.append(("recent, with rehearsal", _rehearsed(recent, older, policy, rng)))
    return found


def _newest(examples: Examples) -> Examples:
    return examples.take(np.arange(max(0, len(examples) - MOST_ROWS), len(examples)))


def _rehearsed(new: Examples, old: Examples, policy: RetrainPolicy, rng: np.random.Generator) -> Rows:
    from models.fit import rehearse

    return rehearse(new.rows, old.rows, share=policy.rehearsal, rng=rng)
