"""Made rows that arrive day by day, with a known truth: stationary, or with a sudden change of concept."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

KINDS = ("shop", "web", "phone", "post", "partner")
START = np.datetime64("2021-01-01", "s")
EFFECTS = np.array([0.8, -0.6, 0.2, -0.1, 0.4])  # of the kinds


def stream(
    days: int,
    rows_a_day: int = 520,
    *,
    task: Literal["binary", "regression"] = "binary",
    change_on: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Rows in time order with seven inputs: five numbers, one of them with holes, a category and a flag.

    change_on: the day, from 0, on which what two of the numbers mean turns round. The inputs never change.
    """
    rng = np.random.default_rng(seed)
    rows = days * rows_a_day
    seconds = np.sort(rng.integers(0, 86_400, (days, rows_a_day)), axis=1) + 86_400 * np.arange(days)[:, None]
    day = np.repeat(np.arange(days), rows_a_day)
    numbers = rng.standard_normal((rows, 4))
    size = rng.lognormal(3.0, 0.5, rows)
    kind = rng.choice(len(KINDS), rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    flag = rng.random(rows) < 0.3
    turned = np.where(day >= change_on, -1.0, 1.0) if change_on is not None else np.ones(rows)
    score = turned * (1.3 * numbers[:, 0] - 1.1 * numbers[:, 1]) + 0.7 * numbers[:, 2] + EFFECTS[kind]
    score += 0.5 * np.log(size / 20) + 0.4 * flag
    if task == "binary":
        truth = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(int)
    else:
        truth = np.round(20 + 5 * score + 4 * rng.standard_normal(rows), 3)
    numbers[rng.random(rows) < 0.05, 2] = np.nan
    names = ("wind", "heat", "rain", "noise")
    return pd.DataFrame(
        {
            "when": (START + seconds.ravel()).astype("datetime64[s]"),
            **{name: np.round(numbers[:, place], 4) for place, name in enumerate(names)},
            "size": np.round(size, 2),
            "kind": np.array(KINDS, dtype=object)[kind],
            "flag": flag,
            "y": truth,
        }
    )
