"""Made years of rows with a known truth, for the whole loop: what stays, what moves, what changes and comes back.

The coefficients are drawn anew for every seed. The first third is for the first training: nothing happens in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]

DAYS, ROWS_A_DAY, INPUTS = 365, 150, 8
START = np.datetime64("2022-01-01", "s")
CHANGE = 215.5  # the day, in the middle of a window of days or weeks
BACK = 300.5  # the day on which a change that does not last is over
RAMP = 120  # days of a slow change


@dataclass
class Year:
    """The rows of a year before their target is drawn. day: since the start, (n,); inputs: (n, INPUTS); score: what the
    target follows; noise: deviation of a number, or what a probability's score is divided by.
    """

    rng: np.random.Generator
    day: Array
    inputs: Array
    score: Array
    noise: Array

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        return self.day >= CHANGE

    @property
    def ramp(self) -> Array:
        """From 0 before the change to 1 at the end of a slow one."""
        return np.clip((self.day - CHANGE) / RAMP, 0.0, 1.0)


Happens = Callable[[Year], None]


@dataclass(frozen=True)
class Family:
    """A kind of year. moves: what the inputs do, before the truth is asked; changes: what the truth does.

    harm: whether something happens that a retraining could win back.
    """

    name: str
    classes: bool
    harm: bool
    moves: Happens | None = None
    changes: Happens | None = None


def made(family: Family, seed: int, *, days: int = DAYS, rows_a_day: int = ROWS_A_DAY) -> pd.DataFrame:
    """The rows of a year in time order: a time, inputs x0 to x7 and the target y."""
    rng = np.random.default_rng((seed, *family.name.encode()))
    seconds = np.sort(rng.integers(0, 86_400, (days, rows_a_day)), axis=1) + 86_400 * np.arange(days)[:, None]
    day = seconds.ravel() / 86_400
    inputs = rng.standard_normal((len(day), INPUTS))
    year = Year(rng, day, inputs, np.zeros(len(day)), np.ones(len(day)))
    if family.moves is not None:
        family.moves(year)
    year.score = _truth(year.inputs, rng)
    if family.changes is not None:
        family.changes(year)
    named = {f"x{number}": np.round(year.inputs[:, number], 4) for number in range(INPUTS)}
    when = (START + seconds.ravel()).astype("datetime64[s]")
    return pd.DataFrame({"time": when, **named, "y": _target(family, year)})


def _truth(inputs: Array, rng: np.random.Generator) -> Array:
    """Lines, a bend, a product and a wave, of which the inputs near 0 show little of the bend."""
    lines = inputs[:, :4] @ rng.uniform(0.5, 1.2, 4) * rng.choice([-1.0, 1.0])
    bend = 1.5 * np.maximum(inputs[:, 4] - 1.5, 0.0) * rng.choice([-1.0, 1.0])
    return np.asarray(lines + bend + 0.5 * inputs[:, 5] * inputs[:, 6] + 0.5 * np.sin(2 * inputs[:, 1]))


def _target(family: Family, year: Year) -> Array:
    if family.classes:
        chance = 1.0 / (1.0 + np.exp(-2.0 * year.score / year.noise))
        return (year.rng.random(len(chance)) < chance).astype(np.int64)
    return np.round(10.0 + 3.0 * year.score + 2.0 * year.noise * year.rng.standard_normal(len(year.day)), 3)


# --- what may happen in a year ---


def _weeks(year: Year) -> None:
    year.score += 1.5 * np.sin(2 * np.pi * year.day / 7)


def _inputs_move(year: Year) -> None:
    year.inputs[year.changed, 7] += 2.0  # the truth does not look at it


def _inputs_move_into_the_bend(year: Year) -> None:
    year.inputs[year.changed, 4] += 2.5


def _turn(share: Array, year: Year) -> None:
    """Another truth for a share of each row's score."""
    year.score = (1.0 - share) * year.score + share * _truth(year.inputs, year.rng)


def _sudden(year: Year) -> None:
    _turn(year.changed.astype(np.float64), year)


def _slow(year: Year) -> None:
    _turn(year.ramp, year)


def _comes_back(year: Year) -> None:
    _turn((year.changed & (year.day < BACK)).astype(np.float64), year)


def _moves_and_comes_back(year: Year) -> None:
    year.inputs[year.changed & (year.day < BACK), 4] += 2.5


def _noise(year: Year) -> None:
    year.noise[year.changed] = 1.8


def _grows(year: Year) -> None:
    """Demand that grows by the same share every day, three times in a year, and noise with it."""
    growth = 3.0 ** (year.day / DAYS)
    year.score = growth * (year.score + 4.0)
    year.noise = growth


def _wanders(year: Year) -> None:
    """A level that goes a step every day, and back to its mean over some weeks."""
    steps = year.rng.standard_normal(int(year.day[-1]) + 1) * 0.25
    level = np.zeros(len(steps))
    for number in range(1, len(steps)):
        level[number] = 0.97 * level[number - 1] + steps[number]
    year.score += level[year.day.astype(int)]


FAMILIES = (
    Family("nothing changes, classes", True, False),
    Family("nothing changes, numbers", False, False),
    Family("a season of a week", True, False, changes=_weeks),
    Family("inputs move, the truth stays", True, False, moves=_inputs_move),
    Family("more noise", True, False, changes=_noise),
    Family("inputs move where the truth bends", False, True, moves=_inputs_move_into_the_bend),
    Family("inputs move and come back", False, True, moves=_moves_and_comes_back),
    Family("sudden change of concept", True, True, changes=_sudden),
    Family("sudden change of concept, numbers", False, True, changes=_sudden),
    Family("slow change of concept", True, True, changes=_slow),
    Family("a concept that comes back", False, True, changes=_comes_back),
    Family("demand that grows", False, True, changes=_grows),
    Family("a level that wanders", False, True, changes=_wanders),
)
