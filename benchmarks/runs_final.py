"""The runs that nothing was made with: other tables and networks, used for the final figure and for nothing else."""

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
    shifted_column,
    target_column,
    unscaled,
    uphill,
    with_training,
    wrong_targets,
)
from benchmarks.runs import Plan, Run, Table, Training, cut, numbered

Rng = np.random.Generator

# --- tables ---


def bumps(rng: Rng, rows: int = 1100) -> Table:
    """Four hills and hollows over 4 numbers; a seventh of the variance is chance."""
    x = rng.uniform(-2, 2, (rows, 4))
    centers = np.array([[1, 1, 0, 0], [-1, -1, 0, 0], [1, -1, 0, 0], [-1, 1, 0, 0]])
    near = np.exp(-0.8 * np.square(x[:, None, :2] - centers[None, :, :2]).sum(axis=2))
    signal = near @ np.array([2.0, 2.0, -2.0, -2.0]) + 0.3 * x[:, 2]
    return cut("regression", x, signal + 0.4 * signal.std() * rng.standard_normal(rows), rng)


def mixture(rng: Rng, rows: int = 1000) -> Table:
    """A slope, a product, a bend and a logarithm of 5 of 9 numbers; a sixth of the variance is chance."""
    x = rng.standard_normal((rows, 9))
    signal = 2 * x[:, 0] + x[:, 1] * x[:, 2] - 1.5 * np.log1p(x[:, 3] ** 2) + 0.5 * x[:, 4]
    return cut("regression", x, signal + 0.45 * signal.std() * rng.standard_normal(rows), rng)


def heavy(rng: Rng, rows: int = 1100) -> Table:
    """A slope that bends a little, of 6 numbers; chance with heavy tails is a quarter of the variance."""
    x = rng.standard_normal((rows, 6))
    signal = x @ np.array([1.5, -1.0, 0.8, 0.5, 0.0, 0.0]) + 0.5 * np.tanh(2 * x[:, 4])
    return cut("regression", x, signal + 0.45 * signal.std() * rng.standard_t(5, rows), rng)


def diabetes(rng: Rng) -> Table:
    """Scikit-learn's diabetes: 442 rows of 10 numbers."""
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True)
    return cut("regression", inputs, targets, rng)


def checker(rng: Rng, rows: int = 1300) -> Table:
    """Two classes as on a board of 2 x 2 fields, in 2 of 5 numbers; one row in fourteen has the wrong class."""
    x = rng.uniform(-1, 1, (rows, 5))
    return cut("binary", x, (x[:, 0] * x[:, 1] > 0) ^ (rng.random(rows) < 0.07), rng)


def rare(rng: Rng, rows: int = 1300) -> Table:
    """Two classes, one of them a fifth of the rows; their log odds are a slope of 8 numbers and a square."""
    x = rng.standard_normal((rows, 8))
    score = -3.2 + x @ np.array([1.5, 1.0, -1.0, 0.5, 0, 0, 0, 0]) + 0.8 * x[:, 4] ** 2
    return cut("binary", x, rng.random(rows) < 1 / (1 + np.exp(-score)), rng)


def five(rng: Rng, rows: int = 1400) -> Table:
    """Five classes whose log odds are straight lines of 12 numbers."""
    x = rng.standard_normal((rows, 12))
    score = 0.7 * x @ rng.standard_normal((12, 5))
    return cut("multiclass", x, (score + 0.8 * rng.gumbel(size=score.shape)).argmax(axis=1), rng)


def spokes(rng: Rng, rows: int = 1400) -> Table:
    """Three classes in six sectors of a disc, each in two that face each other; a twelfth has another class."""
    x = rng.standard_normal((rows, 5))
    sector = np.floor(3 * (np.arctan2(x[:, 1], x[:, 0]) % np.pi) / np.pi).astype(int)
    wrong = rng.random(rows) < 0.08
    return cut("multiclass", x, np.where(wrong, rng.integers(0, 3, rows), sector % 3), rng)


def wine(rng: Rng) -> Table:
    """Scikit-learn's wine: 178 rows of 13 numbers, 3 classes."""
    from sklearn.datasets import load_wine

    inputs, targets = load_wine(return_X_y=True)
    return cut("multiclass", inputs, targets, rng)


def iris(rng: Rng) -> Table:
    """Scikit-learn's iris: 150 rows of 4 numbers, 3 classes."""
    from sklearn.datasets import load_iris

    inputs, targets = load_iris(return_X_y=True)
    return cut("multiclass", inputs, targets, rng)


MADE = (bumps, mixture, heavy, checker, rare, five, spokes)
TABLES = (*MADE, diabetes, wine, iris)
NUMBERS = (bumps, mixture, heavy, diabetes)
LARGER = (mixture, heavy, rare, five, spokes, checker, bumps)
SLOPED = (heavy, five, mixture, rare, wine, diabetes)  # a straight line learns something of them
CURVED = (checker, spokes, bumps)  # and not half of these

# --- networks that suit them ---

NETWORKS = (
    Training(
        hidden=(40, 20), activation="elu", optimizer="adamw", settings=(("weight_decay", 0.01),), dropout=0.15
    ),
    Training(hidden=(64,), activation="gelu", optimizer="nadam", dropout=0.15),
    Training(hidden=(80, 40), line=True, dropout=0.3, optimizer="adamw", settings=(("weight_decay", 0.1),)),
    Training(hidden=(48,), batch_norm=True, dropout=0.1),
    Training(
        hidden=(32, 32),
        activation="silu",
        optimizer="sgd",
        settings=(("momentum", 0.9), ("nesterov", True)),
        rate=0.03,
        dropout=0.15,
    ),
)
# without bounds: what is absurd stays so
PLAIN = Training(hidden=(56, 28), activation="leaky_relu", rate=2e-3)
GOOD: dict[str, Any] = {"epochs": 150, "sparing": 15}
ADAMAX: dict[str, Any] = {"optimizer": "adamax", "settings": ()}


def _healthy() -> Iterator[Plan]:
    every = range(len(NETWORKS))
    yield "healthy", "nothing", TABLES, None, every, {}
    yield "healthy", "small batches", TABLES, None, (2, 3, 0, 1), {"batch": 16}
    yield "healthy", "falling rate", LARGER, cosine, (1, 2, 0), {}


def _wild() -> Iterator[Plan]:
    """The faults that show in single steps."""
    every, plain = range(len(NETWORKS)), (len(NETWORKS),)
    yield "divergence", "rate beyond stability", NUMBERS, beyond_stability(8), plain, {}
    yield "divergence", "rate far beyond stability", NUMBERS, beyond_stability(30), plain, {}
    yield "divergence", "growing rate", NUMBERS, growing_rate(3.0), plain, {"epochs": 25}
    yield "divergence", "uphill", MADE, uphill(0.02), plain, {"epochs": 25}
    yield "divergence", "inputs not scaled", NUMBERS[:2], unscaled(200), plain, {}
    yield "divergence", "a target that is no number", (heavy, checker, diabetes), hole, every, {}

    yield "spikes", "broken batches", (*MADE, diabetes, wine), broken_batches(0.02, 50), plain, {}
    yield "spikes", "absurd row", NUMBERS, absurd_row(-45), plain, {}
    yield "spikes", "wrong targets", (*NUMBERS, five), wrong_targets(0.025), every, {}
    yield "spikes", "a column of -99", (heavy, rare, five, spokes, bumps), code_for_missing(0.015), plain, {}

    noisy: dict[str, Any] = {"activation": "softsign", "line": False, "batch_norm": False}
    yield "too noisy", "batches of 3", MADE, nervous(3, 0.03, 12, "nadam"), (0, 4), noisy
    yield "too noisy", "batches of one", MADE, nervous(1, 0.02, 6, "adam"), (4, 0), noisy
    yield "too noisy", "batches of 6", MADE, nervous(6, 0.1, 12, "adam"), (0,), noisy


def _still() -> Iterator[Plan]:
    """The faults that keep a network from learning."""
    every, plain, short = range(len(NETWORKS)), (len(NETWORKS),), {"epochs": 25}
    yield (
        "plateau",
        "a rate of nothing",
        (bumps, rare, five, wine, checker),
        with_training(rate=1e-9),
        every,
        short,
    )
    small = with_training(optimizer="adamax", settings=(), rate=2e-6)
    yield "plateau", "a rate far too small", (mixture, spokes, iris, heavy), small, plain, short
    relu: dict[str, Any] = {"activation": "relu", "line": False, "batch_norm": False, **short}
    yield "plateau", "dead units", SLOPED, with_training(bias=-80.0), (0, 1), relu
    yield "plateau", "no symmetry broken", SLOPED[:4], with_training(spread=0.0), (1, 0), relu
    deep: dict[str, Any] = {
        "hidden": (12,) * 12,
        "activation": "sigmoid",
        "spread": 0.05,
        "rate": 0.02,
        "batch_norm": False,
    }
    steps: dict[str, Any] = {"optimizer": "sgd", "settings": (), "line": False, "dropout": 0.0, **short}
    yield "plateau", "vanishing gradients", (heavy, five, mixture), with_training(**deep), (0,), steps
    yield "plateau", "collapsing rate", (mixture, spokes, five), collapsing_rate(1), (1, 0), {"epochs": 30}

    less: dict[str, Any] = {"activation": "elu"}
    yield "underfitting", "too few epochs", MADE, with_training(epochs=2, rate=1e-3, **ADAMAX), (0, 1), {}
    yield "underfitting", "straight line only", CURVED, with_training(hidden=()), (1, 0), {"epochs": 50}
    yield "underfitting", "one unit", CURVED, with_training(hidden=(1,), dropout=0.0), (1, 0), {"epochs": 50}
    yield (
        "underfitting",
        "squared penalty",
        (bumps, five, spokes, rare),
        held_back(0.8),
        (0, 1),
        {"epochs": 50},
    )
    held = held_back(0.6, absolute=True)
    yield "underfitting", "penalty", (heavy, checker, five, mixture), held, (1, 0), {"epochs": 50}
    wide = with_training(hidden=(10,), dropout=0.88)
    yield "underfitting", "dropout", (bumps, spokes, five), wide, (0,), less | {"epochs": 50}


def _knowing() -> Iterator[Plan]:
    """The faults of knowing too much: rows by heart, and the answer itself."""
    yield "overfitting", "few rows, wide network", TABLES[:8], memorising(70, width=224), (0, 4), {}
    yield "overfitting", "shuffled labels", MADE, memorising(180, width=224, noise=1.0), (4, 0), {}
    yield "overfitting", "noisy labels", MADE, memorising(140, width=224, noise=0.45), (0, 4), {}
    useless = memorising(110, width=224, useless=80)
    yield "overfitting", "useless inputs", (checker, rare, heavy), useless, (4, 0), {}

    every = range(len(NETWORKS))
    yield "leak suspected", "target among the inputs", TABLES, target_column(0.0), every, {}
    yield "leak suspected", "written afterwards", NUMBERS[:3], shifted_column, (0, 1, 4), {}
    yield "leak suspected", "copies of the held-out rows", MADE, copies(140), (0, 4), {}
    yield "leak suspected", "many copies", (heavy, mixture, rare, five), copies(180, 4), (4, 0), {}


def runs() -> list[Run]:
    """Every run, with a seed of its own."""
    plan = [*_healthy(), *_wild(), *_still(), *_knowing()]
    return numbered(plan, [replace(network, **GOOD) for network in (*NETWORKS, PLAIN)], seed=50_000)
