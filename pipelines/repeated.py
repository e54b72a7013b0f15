"""The training of a project, repeated on rows drawn again: for bias and variance, and for the learning curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.evaluation import Answers, as_chances, plain_figures
from models.learning_curve import SizedRun, sizes
from models.rows import Rows

if TYPE_CHECKING:
    from models.metrics import Function
    from models.recipe import FitConfig, Recipe
    from models.schema import Schema
    from pipelines.objective import Objective

Array = npt.NDArray[Any]
Say = Callable[[str], None]

MOST_ROWS = 50_000  # that a fit learns from; a quarter of an hour of fits should be enough to judge a network
_SEEN_ROWS = 20_000  # of those learned from, on which a fit is judged, too


@dataclass(frozen=True, eq=False)
class Bench:
    """What every fit has in common. learn: rows to draw from; stop: that end each training; judge: that none sees.

    own: further figures. most: rows that a fit learns from.
    """

    recipe: Recipe
    schema: Schema
    goal: Objective
    learn: Rows
    stop: Rows
    judge: Rows
    own: Mapping[str, Function]
    seed: int
    config: Callable[[int], FitConfig]  # from a seed
    most: int = MOST_ROWS

    @property
    def rows(self) -> int:
        """How many rows a fit learns from at most."""
        return min(len(self.learn), self.most)

    @property
    def notices(self) -> tuple[str, ...]:
        if self.rows == len(self.learn):
            return ()
        return (f"the repeated fits learn from {self.rows:,} of {len(self.learn):,} rows, drawn at random",)


@dataclass(frozen=True, eq=False)
class Repeated:
    """Fits on rows drawn again. answers: (fits, n, outputs), chances for classes, of the rows that are judged.

    seen: mean loss of rows that were learned from.
    """

    rows: int
    answers: Array
    seen: float


def repeated_fits(bench: Bench, fits: int, say: Say) -> Repeated:
    """Trains `fits` times, each on as many rows as there are, drawn with replacement, and with a seed of its own."""
    found = []
    for number in range(fits):
        say(f"bias and variance: fit {number + 1} of {fits} on {bench.rows:,} rows")
        rng = np.random.default_rng((bench.seed, number))
        rows = bench.learn.take(np.sort(rng.choice(len(bench.learn), bench.rows, replace=True)))
        found.append(_fit(bench, rows, bench.seed + number))
    answers = np.stack([fit.judged.answers for fit in found]).astype(np.float64)
    return Repeated(bench.rows, answers, float(np.mean([fit.seen.losses.mean() for fit in found])))


def sized_fits(bench: Bench, repeats: int, say: Say) -> tuple[SizedRun, ...]:
    """Trains on fewer and fewer rows, `repeats` times each: all, a half, a quarter, and so on."""
    plan = [(rows, repeat) for rows in sizes(bench.rows) for repeat in range(repeats)]
    runs = []
    for number, (rows, repeat) in enumerate(plan):
        say(f"learning curve: {rows:,} rows, fit {number + 1} of {len(plan)}")
        order = np.random.default_rng((bench.seed, repeat)).permutation(len(bench.learn))
        chosen = bench.learn.take(np.sort(order[:rows]))  # of one repeat, the fewer rows are among the more
        fit = _fit(bench, chosen, bench.seed + repeat)
        seen = _figures(bench, fit.seen_targets, fit.seen)
        runs.append(SizedRun(rows, repeat, seen, _figures(bench, bench.judge.targets, fit.judged)))
    return tuple(runs)


@dataclass(frozen=True, eq=False)
class _Fit:
    """What a fresh network says of the rows that are judged, and of some that it learned from."""

    judged: Answers
    seen: Answers
    seen_targets: Array


def _fit(bench: Bench, rows: Rows, seed: int) -> _Fit:
    from models.fit import fit, predict

    model = fit(bench.recipe, bench.schema, rows, bench.stop, bench.config(seed)).model

    def answers(of: Rows) -> Answers:
        said = predict(model, of.inputs)
        losses = bench.goal.row_losses(of.targets.astype(np.float64), said.astype(np.float64))
        logits = bool(bench.goal.parameters.get("from_logits"))
        return Answers(as_chances(bench.schema.target.task, said, logits=logits), losses)

    few = rows.take(np.linspace(0, len(rows) - 1, min(len(rows), _SEEN_ROWS)).astype(np.intp))
    return _Fit(answers(bench.judge), answers(few), few.targets)


def _figures(bench: Bench, targets: Array, answers: Answers) -> dict[str, float]:
    return plain_figures(bench.schema.target.task, targets, answers, own=bench.own)


def metric_names(runs: Sequence[SizedRun]) -> tuple[str, ...]:
    """Every figure that the runs have on unseen rows, the loss first."""
    return tuple(runs[0].unseen) if runs else ()
