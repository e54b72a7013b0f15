"""Learning: the first fit of a network, and the bake-off of a retraining. Arrays and networks, no stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from models.rows import Rows, rehearsal
from monitoring.decision import RetrainPolicy
from monitoring.gate import compare_losses

if TYPE_CHECKING:
    import keras

    from models.history import EpochLoss, LossHistory
    from models.recipe import FitConfig, Recipe
    from models.restarts import Follow, Start
    from models.schema import Schema
    from models.steps import StepLosses

Array = npt.NDArray[Any]
Weights = npt.NDArray[np.float32] | None
OnEpoch = Callable[["EpochLoss"], None]
OnSteps = Callable[[int, int, "StepLosses"], None]
RowLosses = Callable[[Array, Array], Array]

# an update learns from what is new; beyond this, more old rows cost time and no longer change the network
MOST_ROWS = 20_000
CLEARLY = 0.99  # one-sided confidence at which less memory is preferred to more
LEAST_VALIDATION = 20  # below this, epochs are compared by chance


@dataclass(frozen=True)
class Examples:
    """Rows in time order: targets (n,), times datetime64 (n,), and inputs that are prepared when they are asked for.

    Of years of old rows a few are rehearsed, and the others cost nothing. numbers: which rows they are, int (n,).
    prepare: gives the inputs of rows by their numbers, float32 (n, width). weights: what each counts, float32 (n,);
    None where all count the same.
    """

    numbers: npt.NDArray[np.intp]
    targets: Array
    times: npt.NDArray[Any]
    prepare: Callable[[npt.NDArray[np.intp]], npt.NDArray[np.float32]]
    weights: Weights = None

    @classmethod
    def of(
        cls,
        inputs: npt.NDArray[np.float32],
        targets: Array,
        times: npt.NDArray[Any],
        weights: Weights = None,
    ) -> Examples:
        """Rows whose inputs are there."""
        return cls(np.arange(len(targets)), targets, times, inputs.__getitem__, weights)

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: npt.NDArray[Any]) -> Examples:
        weights = None if self.weights is None else self.weights[chosen]
        return Examples(self.numbers[chosen], self.targets[chosen], self.times[chosen], self.prepare, weights)

    def joined(self, later: Examples) -> Examples:
        """These rows and later ones of the same source."""
        return Examples(
            np.concatenate([self.numbers, later.numbers]),
            np.concatenate([self.targets, later.targets]),
            np.concatenate([self.times, later.times]),
            self.prepare,
            joined_weights((self.weights, len(self)), (later.weights, len(later))),
        )

    @property
    def inputs(self) -> npt.NDArray[np.float32]:
        return self.prepare(self.numbers)

    @property
    def rows(self) -> Rows:
        return Rows(self.inputs, self.targets, self.weights)


def joined_weights(*parts: tuple[Weights, int]) -> Weights:
    """The weights of rows one after the other, each part with its number of rows; those without any count 1.

    >>> joined_weights((None, 1), (np.array([3.0], np.float32), 1))
    array([1., 3.], dtype=float32)
    """
    if all(weights is None for weights, _ in parts):
        return None
    return np.concatenate(
        [np.ones(count, np.float32) if weights is None else weights for weights, count in parts]
    )


Name = Literal[
    "since the change, with rehearsal", "since the change", "recent, with rehearsal", "from scratch"
]


@dataclass(frozen=True)
class Candidate:
    """One way to retrain that was tried. loss: on the newest rows, which it had not seen."""

    name: Name
    rows: int
    loss: float


@dataclass(frozen=True)
class Learned:
    """The best of the candidates: its network, its epochs, and what all of them reached.

    starts: every training of several seeds, in their order; () where there was one. chosen: which of them was kept.
    """

    model: keras.Model
    history: LossHistory
    best: Candidate
    tried: tuple[Candidate, ...]
    starts: tuple[Start, ...] = ()
    chosen: int = 0


@dataclass(frozen=True)
class Lesson:
    """Rows for one retraining, no row in two parts but those of `since`, which are also recent.

    since: after the change. recent: of the last windows, which may begin before the change. old: everything
    before the change. validation: from among the rows after the change; they stop an update. newest: the last rows,
    newer than all others; they choose among the candidates, and the gate judges on them.
    """

    since: Examples
    recent: Examples
    old: Examples
    validation: Examples
    newest: Examples


def make_lesson(
    known: Examples, held_out: Array, *, change: np.datetime64, recent: np.datetime64, judge: np.datetime64
) -> Lesson:
    """Cuts the rows that are known. held_out: mask of the rows that never train. judge: where the newest begin."""
    newest, after = known.times >= judge, known.times >= change
    learn = ~newest & ~held_out
    late = known.times >= min(recent, change)
    return Lesson(
        since=known.take(np.flatnonzero(after & learn)),
        recent=known.take(np.flatnonzero(late & learn)),
        old=known.take(np.flatnonzero(~after & learn)),
        validation=known.take(np.flatnonzero(after & held_out & ~newest)),
        newest=known.take(np.flatnonzero(newest)),
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
    on_steps: OnSteps | None = None,
    restarts: int = 1,
    follow: Follow | None = None,
) -> Learned:
    """The network that a project starts with: fitted on the older rows, stopped on the newer ones.

    restarts: from so many seeds, of which the best on the newer rows is kept; follow gives who is told of each of
    several, in the place of on_epoch and on_steps.
    """
    from models.fit import fit

    if restarts > 1:
        return _best_start(recipe, schema, train, validation, config, restarts, checkpoint, on_epoch, follow)
    fitted = fit(
        recipe,
        schema,
        train.rows,
        validation.rows,
        config,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        on_steps=on_steps,
    )
    candidate = Candidate("from scratch", len(train), fitted.history.best_loss)
    return Learned(fitted.model, fitted.history, candidate, (candidate,))


def _best_start(
    recipe: Recipe,
    schema: Schema,
    train: Examples,
    validation: Examples,
    config: FitConfig,
    restarts: int,
    checkpoint: Path | None,
    on_epoch: OnEpoch | None,
    follow: Follow | None,
) -> Learned:
    from models.restarts import fit_restarts

    found = fit_restarts(
        recipe,
        schema,
        train.rows,
        validation.rows,
        config,
        restarts=restarts,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        follow=follow,
    )
    history = found.fitted.history
    candidate = Candidate("from scratch", len(train), history.best_loss)
    return Learned(found.fitted.model, history, candidate, (candidate,), found.starts, found.chosen)


def bake_off(
    champion: Path,
    lesson: Lesson,
    policy: RetrainPolicy,
    config: FitConfig,
    row_losses: RowLosses,
    *,
    rng: np.random.Generator,
    risen: bool,
    objects: Mapping[str, Any] | None = None,
) -> Learned:
    """Updates the champion in the ways that the rows allow, and keeps the best on the newest rows.

    champion: its .keras file; every candidate starts from it, optimiser included. What is best after a sudden
    change (only the new rows), a slow one (new and old) or none is not known beforehand: it is tried, and one that
    remembers less has to be clearly better than one that remembers more. The gate
    allows for the choice, see `monitoring.gate.compare_losses`. objects: a user's own layers and loss.
    risen: whether the loss itself has risen; only then is it tried to forget the old rows, for what makes them wrong
    shows in the loss. A calm time looks like a new concept, too, and a network that knows nothing else fails after it.
    """
    from models.callbacks import restore, state_of
    from models.export import load_keras
    from models.fit import predict, update

    config = replace(config, epochs=policy.epochs, patience=2)
    model = load_keras(champion, objects=objects)
    start, best, tried = state_of(model), None, []
    newest = lesson.newest.rows
    validation = lesson.validation.rows if len(lesson.validation) >= LEAST_VALIDATION else newest
    for name, chosen in _candidates(lesson, policy, rng, forget=risen):
        restore(model, start)
        fitted = update(model, chosen.rows, validation, config)
        losses = row_losses(newest.targets.astype(float), predict(model, newest.inputs).astype(float))
        candidate = Candidate(name, len(chosen), float(losses.mean()) if len(losses) else float("nan"))
        tried.append(candidate)
        if best is None or _clearly_better(losses, than=best[3]):
            best = (state_of(model), fitted.history, candidate, losses)
    if best is None:
        raise ValueError("No rows to learn from came; expected at least one since the change.")
    restore(model, best[0])
    return Learned(model, best[1], best[2], tuple(tried))


def _clearly_better(losses: Array, *, than: Array) -> bool:
    """Whether a candidate that remembers less is better beyond chance; else the one that remembers more stays.

    The newest rows are of one or two windows, and a window may be calm or wild by chance.
    """
    return len(losses) > 1 and compare_losses(than, losses, confidence=CLEARLY).lower > 0


def _candidates(
    lesson: Lesson, policy: RetrainPolicy, rng: np.random.Generator, *, forget: bool
) -> Sequence[tuple[Name, Examples]]:
    """The sets of rows worth trying, that which remembers most first; those that hold the same are tried once."""
    found: list[tuple[Name, Examples]] = []
    if len(lesson.recent) > 1.2 * len(lesson.since):
        recent = _newest(lesson.recent)
        older = lesson.old.take(np.flatnonzero(lesson.old.times < recent.times[0]))
        if len(older) and policy.rehearsal:
            found.append(("recent, with rehearsal", _rehearsed(recent, older, policy, rng)))
    if len(lesson.since):
        since = _newest(lesson.since)
        if len(lesson.old) and policy.rehearsal:
            found.append(("since the change, with rehearsal", _rehearsed(since, lesson.old, policy, rng)))
        if forget or not found:
            found.append(("since the change", since))
    return found


def _newest(examples: Examples) -> Examples:
    return examples.take(np.arange(max(0, len(examples) - MOST_ROWS), len(examples)))


def _rehearsed(new: Examples, old: Examples, policy: RetrainPolicy, rng: np.random.Generator) -> Examples:
    return old.take(rehearsal(len(new), len(old), share=policy.rehearsal, rng=rng)).joined(new)
