"""What can be broken in a training, each way with the name that it has by its making.

A fault takes a table and a training that suits it, and gives the broken ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.runs import Fault, Table, Training, few

Array = NDArray[Any]
Rng = np.random.Generator


def beyond_stability(factor: float) -> Fault:
    """Plain gradient steps, so many times longer than a square error allows."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        steepest = float(np.linalg.norm(table.inputs, 2)) ** 2 / len(table.inputs)
        rate = factor * 2 / steepest
        return table, replace(training, optimizer="sgd", settings=(), rate=rate, sparing=None)

    return fault


def growing_rate(each: float) -> Fault:
    """The rate grows by this factor with every epoch."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        steps = len(table.targets) // training.batch
        return table, replace(
            training,
            optimizer="sgd",
            settings=(),
            rate=0.01,
            schedule=lambda step: each ** (step / steps),
            sparing=None,
        )

    return fault


def uphill(rate: float) -> Fault:
    """The optimiser steps the wrong way."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        return table, replace(training, optimizer="sgd", settings=(), rate=-rate, sparing=None)

    return fault


def unscaled(scale: float) -> Fault:
    """Inputs of another order than the rate was made for."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        wide = replace(
            table,
            inputs=(table.inputs * scale).astype(np.float32),
            held_inputs=(table.held_inputs * scale).astype(np.float32),
        )
        return wide, replace(training, optimizer="sgd", settings=(), rate=0.01, sparing=None)

    return fault


def hole(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
    """One row to learn from has a target that is not finite."""
    targets = table.targets.astype(np.float32)
    targets[rng.integers(len(targets))] = np.nan
    return replace(table, targets=targets), training


def broken_batches(share: float, scale: float) -> Fault:
    """Inputs of a batch come in another unit, now and then."""

    def broken(rng: Rng, inputs: Array, targets: Array) -> tuple[Array, Array]:
        return inputs * scale, targets

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        return table, replace(training, broken=broken, broken_share=share)

    return fault


def absurd_row(scale: float) -> Fault:
    """One row to learn from has a target far from all others."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        targets = table.targets.copy()
        targets[rng.integers(len(targets))] = scale
        return replace(table, targets=targets), training

    return fault


def wrong_targets(share: float) -> Fault:
    """A batch has the targets of other rows, in another unit (of classes: each has the next one), now and then."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        def broken(rng: Rng, inputs: Array, targets: Array) -> tuple[Array, Array]:
            if table.task == "multiclass":
                return inputs, (targets + 1) % table.outputs
            return inputs, 20 * rng.permutation(targets) if table.task == "regression" else 1 - targets

        return table, replace(training, broken=broken, broken_share=share)

    return fault


def code_for_missing(share: float) -> Fault:
    """One number of every row of a batch is -99, now and then."""

    def broken(rng: Rng, inputs: Array, targets: Array) -> tuple[Array, Array]:
        inputs = inputs.copy()
        inputs[:, rng.integers(inputs.shape[1])] = -99.0
        return inputs, targets

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        return table, replace(training, broken=broken, broken_share=share)

    return fault


def cosine(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
    """A rate that falls to nothing along a cosine over 60 epochs, as it may."""
    steps = 60 * (len(table.targets) // training.batch)
    slow = replace(training, epochs=60, sparing=60)  # to the end, and the best epoch is kept
    return table, replace(slow, schedule=lambda step: 0.5 + 0.5 * np.cos(np.pi * step / steps))


def nervous(batch: int, rate: float, epochs: int = 12, optimizer: str = "adam") -> Fault:
    """Batches of a few rows at a rate that is far too high for them."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        calm = replace(training, optimizer=optimizer, settings=(), rate=rate, batch=batch, dropout=0.0)
        return few(table, 600), replace(calm, epochs=epochs, sparing=None)

    return fault


def with_training(**changes: Any) -> Fault:
    """Another network, or another way to learn."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        return table, replace(training, **{"sparing": None, **changes})

    return fault


def collapsing_rate(epochs: int) -> Fault:
    """A slow start, and after so many epochs a rate of nothing."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        until = epochs * (len(table.targets) // training.batch)
        return table, replace(training, schedule=lambda step: 0.2 if step < until else 1e-7, sparing=None)

    return fault


def memorising(
    rows: int, *, width: int = 256, noise: float = 0.0, useless: int = 0, epochs: int = 250
) -> Fault:
    """A wide network and few rows; noise: share of the targets that belong to other rows."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        table = few(with_useless(table, useless, rng), rows)
        targets = table.targets.copy()
        wrong = rng.choice(len(targets), round(noise * len(targets)), replace=False)
        targets[wrong] = rng.permutation(targets[wrong])
        return replace(table, targets=targets), _by_heart(training, width, epochs)

    return fault


def _by_heart(training: Training, width: int, epochs: int) -> Training:
    """A training that ends with every row remembered."""
    large = replace(training, hidden=(width, width), dropout=0.0, line=False, batch_norm=False, batch=16)
    return replace(large, optimizer="adam", settings=(), rate=1e-3, epochs=epochs, sparing=None)


def with_useless(table: Table, columns: int, rng: Rng) -> Table:
    """Further inputs that say nothing."""
    more = [
        np.hstack([inputs, rng.standard_normal((len(inputs), columns)).astype(np.float32)])
        for inputs in (table.inputs, table.held_inputs)
    ]
    return replace(table, inputs=more[0], held_inputs=more[1])


def target_column(noise: float) -> Fault:
    """The target is among the inputs, as it is or with a little noise."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        parts = []
        for inputs, targets in ((table.inputs, table.targets), (table.held_inputs, table.held_targets)):
            column = np.eye(table.outputs)[targets] if table.task == "multiclass" else targets.reshape(-1, 1)
            column = (column - column.mean(axis=0)) / column.std(axis=0)
            column = column + noise * rng.standard_normal(column.shape)
            parts.append(np.hstack([inputs, column]).astype(np.float32))
        return replace(table, inputs=parts[0], held_inputs=parts[1]), training

    return fault


def copies(rows: int, times: int = 1) -> Fault:
    """Every held-out row is also learned from (so many times), by a network that remembers its rows."""

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        table, held = few(table, rows), slice(0, rows // 3)
        inputs, targets = table.held_inputs[held], table.held_targets[held]
        both = replace(
            table,
            inputs=np.concatenate([table.inputs, *[inputs] * times]),
            targets=np.concatenate([table.targets, *[targets] * times]),
            held_inputs=inputs,
            held_targets=targets,
        )
        return both, _by_heart(training, 256, 250)

    return fault


def held_back(strength: float, *, absolute: bool = False) -> Fault:
    """A penalty on the weights against which a weight is hardly worth its price.

    With two layers a slope of s costs 2 * strength * s of squared penalty, or 2 * strength * sqrt(s) and more of an
    absolute one; it wins at most 2 * s of squared error, and a quarter of that of cross-entropy. strength: for squared
    error; cross-entropy gets a quarter.
    """

    def fault(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
        scaled = strength if table.task == "regression" else strength / 4
        calm = replace(training, optimizer="adam", settings=(), rate=3e-3, line=False, sparing=None)
        return table, replace(calm, **{"penalty" if absolute else "squared_penalty": scaled})

    return fault


def shifted_column(table: Table, training: Training, rng: Rng) -> tuple[Table, Training]:
    """A column that was written after the target was known: a bent copy of it with a little noise."""
    parts = []
    for inputs, targets in ((table.inputs, table.targets), (table.held_inputs, table.held_targets)):
        column = np.exp(0.5 * targets).reshape(-1, 1) + 0.01 * rng.standard_normal((len(targets), 1))
        parts.append(np.hstack([inputs, column]).astype(np.float32))
    return replace(table, inputs=parts[0], held_inputs=parts[1]), training
