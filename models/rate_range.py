"""The learning-rate range test: one short training through all rates, and the rate that it suggests.

The rate grows by the same factor with every step, and the loss is watched: flat where steps are too small, falling
where the network learns, rising where it overshoots.
Smith 2017, "Cyclical Learning Rates for Training Neural Networks".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.optimizers import rate_scale
from models.schedules import Schedule

if TYPE_CHECKING:
    from models.recipe import FitConfig, Recipe
    from models.rows import Rows
    from models.schema import Schema

Series = NDArray[np.float64]

LOWEST, HIGHEST = 1e-6, 10.0  # seven powers of ten around every rate that anybody uses
STEPS = 210  # thirty for each power of ten
JUDGED_ROWS = 2048  # the loss is measured on the same rows after every step, so that steps can be compared
# a factor of the rate, over which losses are averaged to both sides: some 6 of the 210 steps
SMOOTHED_OVER = 1.6
DIVERGED = 2.0  # times the loss of the untrained network, above the lowest loss: it no longer learns
LEARNED = 0.02  # share of the first loss that has to go for a rate to be suggested
# the suggested rate lies so many times below the one of the lowest loss. Of 2 to 12, 3 to 8 did equally well on twelve
# trainings (seven optimisers, three tasks): 16 % above the best loss of a grid of rates in the geometric mean
SAFETY = 4.0


@dataclass(frozen=True, eq=False)
class RateRange:
    """What every rate did to the loss, in the order in which they were tried.

    rates, losses, smoothed: (n,), of the same steps; losses over the same rows after each step. before: the loss of
    the untrained network. steepest: the rate at which the smoothed loss fell fastest; diverged_at: the first rate that
    made things worse than untrained; suggested: the rate to take. None where there is none. reasons: why, in words.
    """

    rates: Series
    losses: Series
    smoothed: Series
    before: float
    suggested: float | None
    steepest: float | None
    diverged_at: float | None
    reasons: tuple[str, ...]


def rate_range(
    recipe: Recipe,
    schema: Schema,
    rows: Rows,
    config: FitConfig,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    on_step: Callable[[int, int], None] | None = None,
) -> RateRange:
    """Trains a fresh network of the recipe for `steps` steps at growing rates, and reads the losses.

    The network is made here and thrown away: none of the caller's is changed. The schedule of the recipe is left out.
    rows: of the training; the batch size is the config's. on_step: told (done, of) now and then.
    Raises ValueError for rates or steps out of order, and for a network that was compiled with a schedule of its own.
    """
    if not 0 < lowest < highest or steps < 20:
        raise ValueError(
            f"lowest = {lowest:g}, highest = {highest:g}, steps = {steps}: expected 0 < lowest < highest and 20 steps "
            "or more."
        )
    rates = np.geomspace(lowest, highest, steps)
    before, losses = _tried(recipe, schema, rows, config, rates, on_step)
    return read_losses(rates[: len(losses)], losses, before)


def _tried(
    recipe: Recipe,
    schema: Schema,
    rows: Rows,
    config: FitConfig,
    rates: Series,
    on_step: Callable[[int, int], None] | None,
) -> tuple[float, Series]:
    """The loss before the first step and after each; it ends with the first that is far beyond all others."""
    from models.fit import batches, tensors
    from models.keras_objects import set_rate
    from models.rows import weighed
    from models.steps import stepper_of

    rows = weighed(rows, config.class_weights)
    # from nothing: where training begins with the simple model, little is left that a rate could show itself in
    model = replace(recipe, schedule=Schedule(), linear_start=False).compiled(schema, seed=config.seed)
    stepper, columns = stepper_of(model), tensors(model, rows)
    judged = tensors(model, rows.take(_spread(len(rows), JUDGED_ROWS)))
    order = batches(len(rows), config, len(rates))
    unit = rate_scale(recipe.optimizer, recipe.unit(schema))
    before, losses = stepper.judge(judged)["loss"], []
    for step, rate in enumerate(rates):
        set_rate(model.optimizer, float(rate) * unit)
        stepper.train(columns, order[step : step + 1])
        losses.append(stepper.judge(judged)["loss"])
        if on_step is not None and step % 10 == 0:
            on_step(step, len(rates))
        if not losses[-1] - min(losses) <= 10 * max(before - min(losses), abs(before) * LEARNED):
            break
    return before, np.array(losses)


def _spread(rows: int, most: int) -> NDArray[np.intp]:
    return np.linspace(0, rows - 1, min(rows, most)).astype(np.intp)


def read_losses(rates: Series, losses: Series, before: float) -> RateRange:
    """Reads the losses of growing rates: how they were made does not matter.

    rates, losses: (n,). before: the loss untrained.

    >>> rates = np.geomspace(1e-4, 1.0, 41)
    >>> found = read_losses(rates, np.where(rates < 0.1, 1 / (1 + 100 * rates), 50 * rates), before=1.0)
    >>> round(found.suggested, 3), round(found.diverged_at, 2)
    (0.008, 0.1)
    """
    finite = np.isfinite(losses)
    low = float(losses[finite].min()) if finite.any() else before
    # one explosion hides no fall before it
    smoothed = _smoothed(rates, np.minimum(losses, 2 * before - min(low, before)))
    best = int(np.argmin(np.where(finite, smoothed, np.inf))) if finite.any() else 0
    lowest = float(smoothed[best]) if finite.any() else math.nan
    won = before - lowest
    limit = before + (DIVERGED - 1.0) * max(won, abs(before) * LEARNED)
    worse = np.flatnonzero(~finite | (losses > limit))
    diverged_at = float(rates[worse[0]]) if len(worse) else None
    if not won > LEARNED * abs(before):
        why = f"no rate from {rates[0]:.2g} to {rates[-1]:.2g} lowered the loss by {LEARNED:.0%} within its few steps"
        return RateRange(rates, losses, smoothed, before, None, None, diverged_at, (why,))
    steepest = _steepest(rates, smoothed, best)
    suggested = float(f"{max(rates[best] / SAFETY, rates[0]):.1e}")  # more digits would promise too much
    reasons = _reasons(rates, smoothed, best, before, steepest, suggested, diverged_at)
    return RateRange(rates, losses, smoothed, before, suggested, steepest, diverged_at, reasons)


def _smoothed(rates: Series, losses: Series) -> Series:
    """Means in both directions, so that nothing moves to higher rates; what is not finite counts for nothing."""
    apart = math.log(rates[-1] / rates[0]) / max(len(rates) - 1, 1)
    kept = math.exp(-apart / math.log(SMOOTHED_OVER))
    forth = _running(losses, kept)
    back = _running(losses[::-1], kept)[::-1]
    return np.where(np.isfinite(losses), (forth + back) / 2, losses)


def _running(losses: Series, kept: float) -> Series:
    means, mean, weight = [], 0.0, 0.0
    for loss in losses:
        if math.isfinite(loss):
            mean, weight = kept * mean + (1 - kept) * loss, kept * weight + (1 - kept)
        means.append(mean / weight if weight else math.nan)
    return np.array(means)


def _steepest(rates: Series, smoothed: Series, best: int) -> float:
    """Where the loss falls fastest over the logarithm of the rate, before its lowest place."""
    if best < 1:
        return float(rates[0])
    slopes = np.gradient(smoothed[: best + 1], np.log(rates[: best + 1]))
    return float(rates[int(np.argmin(slopes))])


def _reasons(
    rates: Series,
    smoothed: Series,
    best: int,
    before: float,
    steepest: float,
    suggested: float,
    diverged_at: float | None,
) -> tuple[str, ...]:
    told = [
        f"the loss falls from {before:.4g} to {smoothed[best]:.4g} at rate {rates[best]:.2g}, "
        f"fastest at {steepest:.2g}",
        f"{suggested:.2g} lies safely below, for a training meets steeper places than its first steps",
    ]
    if diverged_at is not None:
        told.append(f"from {diverged_at:.2g} on the network is worse than untrained")
    if best == len(rates) - 1:
        told.append("the loss still falls at the highest rate tried: try higher ones")
    return tuple(told)
