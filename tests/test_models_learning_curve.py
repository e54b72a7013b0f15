"""A curve by rows says truly whether more rows would help."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.learning_curve import SizedRun, learning_curve, more_rows, sizes


def runs_of_law(
    floor: float, slope: float, exponent: float, *, noise: float = 0.0, repeats: int = 3, seed: int = 0
) -> list[SizedRun]:
    rng = np.random.default_rng(seed)
    return [
        SizedRun(
            rows,
            repeat,
            {"loss": floor - 0.1},
            {"loss": floor + slope * rows**-exponent + noise * rng.normal()},
        )
        for rows in sizes(16_000)
        for repeat in range(repeats)
    ]


def test_numbers_of_rows_are_halves_of_halves() -> None:
    assert sizes(1600, steps=3) == (400, 800, 1600)
    assert sizes(150) == (150,)


def test_a_curve_holds_means_and_extremes_of_the_runs() -> None:
    runs = [
        SizedRun(100, 0, {"auc": 0.9}, {"auc": 0.6}),
        SizedRun(100, 1, {"auc": 1.0}, {"auc": 0.8}),
        SizedRun(200, 0, {"auc": 0.9}, {"auc": 0.85}),
        SizedRun(200, 1, {}, {"auc": math.nan}),
        SizedRun(400, 0, {}, {}),
    ]
    curve = learning_curve(runs, "auc", 1)
    first, second = curve.points
    assert (first.rows, first.runs, first.lowest, first.highest) == (100, 2, 0.6, 0.8)
    assert first.unseen == pytest.approx(0.7)
    assert first.seen == pytest.approx(0.95)
    assert (second.rows, second.runs, second.unseen) == (200, 1, 0.85)
    assert curve.gap == pytest.approx(0.05)


def test_a_law_without_noise_is_found_again() -> None:
    found = more_rows(runs_of_law(0.4, 3.0, 0.5), "loss", -1)
    assert found.rows == 16_000
    assert found.expected == pytest.approx(0.4 + 3.0 * 32_000**-0.5, rel=1e-3)
    assert found.floor == pytest.approx(0.4, rel=0.02)
    assert found.low == pytest.approx(found.high, rel=1e-6)
    assert found.helps is True
    assert found.verdict.startswith(
        "more rows would help: twice as many rows as now (16,000) would move loss from 0.42"
    )


def test_a_curve_that_has_arrived_is_not_helped() -> None:
    found = more_rows(runs_of_law(0.4, 5.0, 1.2, noise=1e-4), "loss", -1)
    assert found.helps is False
    assert found.verdict.startswith("more rows would hardly help")


def test_a_figure_that_grows_is_better_when_it_grows() -> None:
    runs = [
        SizedRun(run.rows, run.seed, {}, {"auc": 1 - run.unseen["loss"]})
        for run in runs_of_law(0.1, 3.0, 0.4)
    ]
    found = more_rows(runs, "auc", 1, factor=4)
    assert found.gain > 0
    assert found.expected > found.value
    assert "4 times as many rows" in found.verdict


def test_a_curve_that_gets_worse_promises_nothing() -> None:
    found = more_rows(runs_of_law(0.4, -1.0, 0.5), "loss", -1)
    assert found.gain == 0
    assert found.helps is False


def test_wild_runs_cannot_tell() -> None:
    found = more_rows(runs_of_law(0.4, 0.5, 0.5, noise=0.05), "loss", -1)
    assert found.helps is None
    assert found.verdict.startswith("these runs cannot tell")


@pytest.mark.parametrize(
    "runs", [[], [SizedRun(100, 0, {}, {"loss": 0.5}), SizedRun(200, 0, {}, {"loss": 0.4})]]
)
def test_too_few_numbers_of_rows_make_no_law(runs: list[SizedRun]) -> None:
    found = more_rows(runs, "loss", -1)
    assert math.isnan(found.gain)
    assert found.helps is None
    assert "too few numbers of rows" in found.verdict


def test_the_interval_holds_the_true_gain_as_often_as_noise_allows() -> None:
    true = 3.0 * (16_000**-0.5 - 32_000**-0.5)
    hits = 0
    for seed in range(60):
        found = more_rows(
            runs_of_law(0.4, 3.0, 0.5, noise=0.002, repeats=5, seed=seed), "loss", -1, seed=seed
        )
        hits += found.low <= true <= found.high
    assert hits >= 50
