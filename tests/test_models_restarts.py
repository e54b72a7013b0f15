"""Several seeds: the best is kept, every curve is there, and a kill loses none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.callbacks import Diverged
from models.checkpoint import remove_checkpoint
from models.fit import fit, predict
from models.history import EpochLoss
from models.losses import row_losses
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.restarts import Restarted, fit_restarts, seeds
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target

WIDTH = 3
CONFIG = FitConfig(epochs=3, batch_size=32, seed=5)
RECIPE = recipe_from(NetworkConfig(hidden=(4,)), "binary")


def schema() -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH))
    return Schema(columns, Target("y", "binary", ("v", "w"), 0.0, 1.0))


def rows(count: int, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, WIDTH)).astype(np.float32)
    return Rows(inputs, (np.prod(inputs[:, :2], axis=1) > 0).astype(np.float32))


TRAIN, VALIDATION = rows(300), rows(100, 1)


@pytest.fixture(scope="module")
def found() -> Restarted:
    return fit_restarts(RECIPE, schema(), TRAIN, VALIDATION, CONFIG, restarts=3)


def test_the_best_on_the_validation_rows_is_kept_and_every_curve_is_there(found: Restarted) -> None:
    losses = [start.loss for start in found.starts]
    assert len(set(losses)) == 3
    assert found.chosen == int(np.argmin(losses))
    kept = row_losses("bce", VALIDATION.targets, predict(found.fitted.model, VALIDATION.inputs)).mean()
    assert kept == pytest.approx(min(losses), abs=1e-6)
    assert [start.seed for start in found.starts] == list(seeds(5, 3))


def test_the_first_start_is_a_plain_fit(found: Restarted) -> None:
    plain = fit(RECIPE, schema(), TRAIN, VALIDATION, CONFIG)
    assert found.starts[0].history is not None
    assert found.starts[0].history.best_loss == plain.history.best_loss


def test_every_training_is_followed_by_its_own(found: Restarted) -> None:
    epochs: dict[int, list[float]] = {}
    steps: dict[int, int] = {}

    def follow(number: int) -> Any:
        epochs[number], steps[number] = [], 0

        def taken(epoch: int, first: int, losses: Any) -> None:
            steps[number] += len(losses.losses)

        return (lambda epoch: epochs[number].append(epoch.judged)), taken

    again = fit_restarts(RECIPE, schema(), TRAIN, VALIDATION, CONFIG, restarts=3, follow=follow)
    assert again.chosen == found.chosen
    curves = [[epoch.judged for epoch in start.history.epochs] for start in found.starts if start.history]
    assert list(epochs.values()) == [pytest.approx(curve) for curve in curves]
    assert steps == dict.fromkeys(range(3), 3 * 10)


class Killed(Exception):
    pass


def test_a_kill_in_the_midst_loses_no_start(found: Restarted, tmp_path: Path) -> None:
    told: list[int] = []

    def kill(epoch: EpochLoss) -> None:
        told.append(epoch.epoch)
        if len(told) == 5:  # the second epoch of the second start
            raise Killed

    def start(on_epoch: Any = None) -> Restarted:
        place = tmp_path / "checkpoint"
        return fit_restarts(
            RECIPE, schema(), TRAIN, VALIDATION, CONFIG, restarts=3, checkpoint=place, on_epoch=on_epoch
        )

    with pytest.raises(Killed):
        start(kill)
    later: list[int] = []
    resumed = start(lambda epoch: later.append(epoch.epoch))
    assert later == [1, 2, 0, 1, 2]
    assert [one.loss for one in resumed.starts] == [one.loss for one in found.starts]
    for ours, theirs in zip(resumed.fitted.model.weights, found.fitted.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    remove_checkpoint(tmp_path / "checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_starts_that_diverge_are_passed_over_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import models.restarts

    trains = models.restarts.fit

    def unlucky(*arguments: Any, **more: Any) -> Any:
        if arguments[4].seed == seeds(5, 3)[0]:
            raise Diverged(0, 1)
        return trains(*arguments, **more)

    monkeypatch.setattr("models.restarts.fit", unlucky)
    found = fit_restarts(RECIPE, schema(), TRAIN, VALIDATION, CONFIG, restarts=2)
    assert (found.starts[0].history, found.chosen) == (None, 1)


def test_where_all_diverge_the_training_does() -> None:
    def explodes(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.log(y_pred - 2.0)

    recipe = recipe_from(NetworkConfig(hidden=()), "binary", loss=explodes)
    with pytest.raises(Diverged):
        fit_restarts(recipe, schema(), TRAIN, VALIDATION, CONFIG, restarts=2)
