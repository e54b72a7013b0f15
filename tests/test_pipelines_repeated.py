"""Repeated trainings learn from rows drawn again, never from those that judge them."""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models.losses import row_losses
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target
from pipelines.objective import Objective
from pipelines.repeated import Bench, metric_names, repeated_fits, sized_fits

SCHEMA = Schema(tuple(NumberColumn(name, 0, 0, 1, False) for name in "ab"), Target("y", "regression"))


def rows(count: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, 2)).astype(np.float32)
    return Rows(inputs, (inputs[:, 0] + 0.5 * rng.normal(size=count)).astype(np.float32))


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch, linear_networks: ModuleType) -> list[Any]:
    """Every call of `fit`: rows, rows that stop, seed."""
    calls: list[Any] = []
    fit = linear_networks.fit

    def noted(recipe: Any, schema: Any, train: Rows, validation: Rows, config: Any, **more: Any) -> Any:
        calls.append((train, validation, config.seed))
        return fit(recipe, schema, train, validation, config, **more)

    monkeypatch.setattr(sys.modules["models.fit"], "fit", noted)
    return calls


def bench(learn: Rows, **changes: Any) -> Bench:
    goal = Objective("mse", None, partial(row_losses, "mse"))
    recipe = recipe_from(NetworkConfig(), "regression")
    settings: dict[str, Any] = {"own": {}, "seed": 7, "config": lambda seed: FitConfig(seed=seed)}
    return Bench(recipe, SCHEMA, goal, learn, rows(30, 1), rows(50, 2), **(settings | changes))


def test_each_fit_draws_as_many_rows_as_there_are_with_a_seed_of_its_own(learned: list[Any]) -> None:
    told: list[str] = []
    found = repeated_fits(bench(rows(200, 0)), 3, told.append)
    assert found.answers.shape == (3, 50, 1)
    assert [len(train) for train, _, _ in learned] == [200] * 3
    assert [seed for _, _, seed in learned] == [7, 8, 9]
    assert all(len(np.unique(train.targets)) < 160 for train, _, _ in learned)
    assert not np.array_equal(found.answers[0], found.answers[1])
    assert found.seen == pytest.approx(0.25, rel=0.3)
    assert told == [f"bias and variance: fit {number} of 3 on 200 rows" for number in (1, 2, 3)]


def test_no_fit_learns_from_more_rows_than_are_allowed_and_that_is_said(learned: list[Any]) -> None:
    few = bench(rows(200, 0), most=120)
    repeated_fits(few, 2, lambda text: None)
    assert {len(train) for train, _, _ in learned} == {120}
    assert few.notices == ("the repeated fits learn from 120 of 200 rows, drawn at random",)
    assert bench(rows(200, 0)).notices == ()


def test_a_learning_curve_learns_from_halves_of_halves(learned: list[Any]) -> None:
    runs = sized_fits(bench(rows(800, 0)), 2, lambda text: None)
    assert [(run.rows, run.seed) for run in runs] == [
        (size, repeat) for size in (100, 200, 400, 800) for repeat in (0, 1)
    ]
    sizes = [set(train.targets.tolist()) for train, _, seed in learned if seed == 7]
    assert all(fewer <= more for fewer, more in pairwise(sizes))
    assert {len(stop) for _, stop, _ in learned} == {30}


def test_runs_have_every_figure_of_learned_and_of_unseen_rows(learned: list[Any]) -> None:
    def gap(targets: Any, answers: Any) -> float:
        return float(np.abs(targets - answers[:, 0]).max())

    runs = sized_fits(bench(rows(150, 0), own={"mine:gap": gap}), 2, lambda text: None)
    assert metric_names(runs)[0] == "loss"
    assert {"mae", "r2", "mine:gap"} <= set(metric_names(runs))
    assert set(runs[0].seen) == set(runs[0].unseen)
    assert runs[0].unseen["loss"] == pytest.approx(runs[0].unseen["mse"])
    assert metric_names(()) == ()
