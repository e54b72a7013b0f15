"""The runs that the rules of the diagnosis were made with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.faults import (
    absurd_row,
    beyond_stability,
    broken_batches,
    code_for_missing,
    collapsing_rate,
    copies,
    cosine,
    growing_rate,
    held_back,
    hole,
    memorising,
    nervous,
    target_column,
    unscaled,
    uphill,
    with_training,
    wrong_targets,
)
from benchmarks.runs import Plan, Run, Table, Training, cut, numbered

Rng = np.random.Generator

# --- tables ---


def straight(rng: Rng, rows: int = 1000) -> Table:
    """A straight line of 8 of 12 numbers; a fifth of the target's variance is chance."""
    inputs = rng.standard_normal((rows, 12))
    signal = inputs[:, :8] @ rng.standard_normal(8)
    return cut("regression", inputs, signal + 0.5 * signal.std() * rng.standard_normal(rows), rng)


def friedman(rng: Rng, rows: int = 1000) -> Table:
    """Friedman's first function (1991) of 5 of 10 numbers; a sixth of the variance is chance."""
    x = rng.random((rows, 10))
    signal = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return cut("regression", x, signal + 0.45 * signal.std() * rng.standard_normal(rows), rng)


def waves(rng: Rng, rows: int = 1200) -> Table:
    """Sums of curves of 4 of 6 numbers, most of it no straight line; a tenth of the variance is chance."""
    x = rng.uniform(-2, 2, (rows, 6))
    signal = np.sin(2 * x[:, 0]) + x[:, 1] ** 2 - np.abs(x[:, 2]) * x[:, 3]
    return cut("regression", x, signal + 0.33 * signal.std() * rng.standard_normal(rows), rng)


def odds(rng: Rng, rows: int = 1000) -> Table:
    """Two classes whose log odds are a straight line."""
    x = rng.standard_normal((rows, 10))
    score = x[:, :5] @ np.array([2.0, -1.5, 1.0, 1.0, -0.5])
    return cut("binary", x, rng.random(rows) < 1 / (1 + np.exp(-score)), rng)


def ring(rng: Rng, rows: int = 1200) -> Table:
    """Two classes, one around the other, in 3 of 6 numbers; one row in twelve has the wrong class."""
    x = rng.standard_normal((rows, 6))
    inside = np.square(x[:, :3]).sum(axis=1) < 2.37
    return cut("binary", x, inside ^ (rng.random(rows) < 0.08), rng)


def clusters(rng: Rng, rows: int = 1200) -> Table:
    """Four classes of three overlapping clusters each, in 6 numbers."""
    centers = 2.0 * rng.standard_normal((12, 6))
    which = rng.integers(0, 12, rows)
    return cut("multiclass", centers[which] + 1.2 * rng.standard_normal((rows, 6)), which % 4, rng)


def digits(rng: Rng) -> Table:
    """Scikit-learn's digits: 8 x 8 pixels, 10 classes."""
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    return cut("multiclass", inputs, targets, rng)


def cancer(rng: Rng) -> Table:
    """Scikit-learn's breast cancer: 30 numbers, two classes."""
    from sklearn.datasets import load_breast_cancer

    inputs, targets = load_breast_cancer(return_X_y=True)
    return cut("binary", inputs, targets, rng)


def hills(rng: Rng, rows: int = 1100) -> Table:
    """Waves of 4 of 5 numbers that hardly have a slope; a ninth of the variance is chance."""
    x = rng.uniform(-2, 2, (rows, 5))
    signal = np.sin(1.5 * x[:, 0]) * x[:, 1] + np.cos(2 * x[:, 2]) + 0.3 * x[:, 3]
    return cut("regression", x, signal + 0.35 * signal.std() * rng.standard_normal(rows), rng)


def sums(rng: Rng, rows: int = 900) -> Table:
    """A straight line of 20 numbers, each less important than the one before; a third is chance with heavy tails."""
    x = rng.standard_normal((rows, 20))
    signal = x @ 0.7 ** np.arange(20)
    return cut("regression", x, signal + 0.7 * signal.std() * rng.standard_t(6, rows), rng)


def moons(rng: Rng, rows: int = 1000) -> Table:
    """Two half circles in each other, in 2 of 5 numbers."""
    angle, which = np.pi * rng.random(rows), rng.random(rows) < 0.5
    x = rng.standard_normal((rows, 5))
    x[:, 0] = np.where(which, 1 - np.cos(angle), np.cos(angle)) + 0.3 * x[:, 0]
    x[:, 1] = np.where(which, 0.5 - np.sin(angle), np.sin(angle)) + 0.3 * x[:, 1]
    return cut("binary", x, which, rng)


def bent(rng: Rng, rows: int = 1200) -> Table:
    """Two classes whose log odds have a slope, a bend and a product."""
    x = rng.standard_normal((rows, 8))
    score = 1.5 * x[:, 0] + 1.5 * np.abs(x[:, 1]) - 1.2 + x[:, 2] * x[:, 3]
    return cut("binary", x, rng.random(rows) < 1 / (1 + np.exp(-1.5 * score)), rng)


def six(rng: Rng, rows: int = 1500) -> Table:
    """Six classes whose log odds are straight lines of 10 numbers."""
    x = rng.standard_normal((rows, 10))
    score = 0.8 * x @ rng.standard_normal((10, 6))
    return cut("multiclass", x, (score + 0.7 * rng.gumbel(size=score.shape)).argmax(axis=1), rng)


NUMBERS = (straight, friedman, waves, hills, sums)
SLOPED = (straight, friedman, odds, digits, sums, six, bent)  # a straight line learns something of them
CURVED = (waves, ring, clusters, hills)  # and not half of these
TABLES = (straight, friedman, waves, odds, ring, clusters, digits, cancer, hills, sums, moons, bent, six)
CLASSES = tuple(table for table in TABLES if table not in NUMBERS)

# --- networks that suit them ---

NETWORKS = (
    Training(hidden=(64,), rate=3e-3, dropout=0.1),
    Training(hidden=(48, 24), activation="tanh", rate=2e-3, dropout=0.1),
    Training(hidden=(64, 32), dropout=0.2, rate=3e-3),
    Training(
        hidden=(48, 24),
        optimizer="sgd",
        settings=(("momentum", 0.9), ("clipnorm", 1.0)),
        rate=0.02,
        dropout=0.1,
    ),
    Training(hidden=(96,), optimizer="rmsprop", rate=2e-3, dropout=0.2),
    Training(hidden=(32, 32), activation="selu", rate=1e-3, squared_penalty=1e-4, dropout=0.15),
)
RELU = (0, 2, 4)
GOOD: dict[str, Any] = {"epochs": 150, "sparing": 15}


def _plan() -> Iterator[Plan]:
    """Kind, what was done, tables, fault, networks, changes of the training."""
    every, short = range(len(NETWORKS)), {"epochs": 30}
    yield "healthy", "nothing", TABLES, None, every, {}
    yield "healthy", "small batches", TABLES, None, (1, 2, 0, 5, 4), {"batch": 16}
    yield "healthy", "falling rate", TABLES, cosine, (3, 0, 4, 2), {}

    yield "divergence", "rate beyond stability", NUMBERS, beyond_stability(5), every, {}
    yield "divergence", "rate far beyond stability", NUMBERS, beyond_stability(50), every, {}
    yield "divergence", "growing rate", NUMBERS, growing_rate(2.5), every, short
    yield "divergence", "uphill", TABLES[:7], uphill(0.01), every, short
    yield "divergence", "inputs not scaled", NUMBERS[:3], unscaled(100), RELU, {}
    yield "divergence", "a target that is no number", (straight, ring), hole, every, {}

    yield "spikes", "broken batches", TABLES[:10], broken_batches(0.015, 30), RELU, {}
    yield "spikes", "absurd row", NUMBERS[:4], absurd_row(60), RELU, {}
    yield "spikes", "wrong targets", (*NUMBERS, digits), wrong_targets(0.02), every, {}
    yield (
        "spikes",
        "a column of -99",
        (straight, clusters, cancer, digits, six),
        code_for_missing(0.02),
        RELU,
        {},
    )

    yield "too noisy", "tiny batches, high rate", TABLES[:6], nervous(2, 0.03), (1, 5), {}
    yield "too noisy", "tiny batches, very high rate", TABLES[1:13:2], nervous(4, 0.1), (1,), {}
    yield "too noisy", "batches of one", (straight, odds, clusters, six), nervous(1, 0.02, 6), (1, 5), {}
    yield "too noisy", "small batches, high rate", TABLES[:8], nervous(8, 0.1), (1,), {}

    yield (
        "plateau",
        "nothing learns",
        (straight, ring, digits),
        with_training(optimizer="sgd", settings=(), rate=0.0),
        every,
        short,
    )
    yield "plateau", "a rate of nothing", (waves, odds, clusters), with_training(rate=1e-8), every, short
    yield (
        "plateau",
        "a rate far too small",
        (friedman, moons, digits),
        with_training(optimizer="adam", settings=(), rate=3e-6),
        every,
        short,
    )
    yield (
        "plateau",
        "dead units",
        SLOPED[:5],
        with_training(bias=-60.0, optimizer="adam", settings=()),
        RELU,
        short,
    )
    yield "plateau", "no symmetry broken", SLOPED[2:6], with_training(spread=0.0), RELU, short
    yield "plateau", "vanishing gradients", (straight, odds, six), DEEP, (0,), short
    yield "plateau", "collapsing rate", (friedman, waves, ring, digits), collapsing_rate(2), (0, 1), short

    yield "overfitting", "few rows, wide network", TABLES[:9], memorising(80), (0, 1, 5), {}
    yield "overfitting", "shuffled labels", TABLES[:7], memorising(200, noise=1.0), (0, 1), {}
    yield "overfitting", "noisy labels", TABLES[6:12], memorising(150, noise=0.4), (0, 1, 5), {}
    yield "overfitting", "useless inputs", (odds, ring, straight), memorising(120, useless=100), (0, 1), {}

    quick = with_training(epochs=3, optimizer="adam", settings=(), rate=1e-3)
    yield "underfitting", "too few epochs", (friedman, hills, ring, digits, clusters, six), quick, every, {}
    yield "underfitting", "straight line only", CURVED, with_training(hidden=()), (0, 1), {"epochs": 40}
    yield "underfitting", "one unit", CURVED, with_training(hidden=(1,)), (0, 1), {"epochs": 40}
    yield (
        "underfitting",
        "squared penalty",
        (friedman, ring, digits, odds, sums),
        held_back(0.7),
        every,
        {"epochs": 40},
    )
    yield (
        "underfitting",
        "penalty",
        (waves, straight, clusters),
        held_back(0.5, absolute=True),
        every,
        {"epochs": 40},
    )
    yield (
        "underfitting",
        "dropout",
        (hills, ring, digits),
        with_training(hidden=(16,), dropout=0.85),
        (0, 2),
        {"epochs": 40},
    )

    yield "leak suspected", "target among the inputs", TABLES[:10], target_column(0.0), every, {}
    yield "leak suspected", "target with noise", NUMBERS[:3], target_column(0.03), every, {}
    yield "leak suspected", "copies of the held-out rows", TABLES[:7], copies(150), (0, 1, 5), {}
    yield "leak suspected", "many copies", (straight, friedman, ring, clusters), copies(200, 5), (0, 1), {}


DEEP = with_training(
    hidden=(16,) * 10, activation="sigmoid", spread=0.05, optimizer="sgd", settings=(), rate=0.01
)


def runs() -> list[Run]:
    """Every run, with a seed of its own."""
    return numbered(_plan(), [replace(network, **GOOD) for network in NETWORKS], seed=1000)
