"""A loss beside the best constant and a simple model, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.loss_scale import LossScale


def test_the_share_explained_is_r2_for_squared_errors() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=200)
    answer = target + random.normal(size=200) / 2
    loss, constant = float(np.mean((target - answer) ** 2)), float(np.var(target))
    scale = LossScale("mse", loss, constant, constant / 2)
    assert scale.explained == pytest.approx(
        1 - np.sum((target - answer) ** 2) / np.sum((target - target.mean()) ** 2)
    )
    assert scale.explained_simply == 0.5
    assert (scale.beats_constant, scale.beats_simple) == (True, True)


def test_a_direction_is_measured_from_its_lowest_value() -> None:
    assert LossScale("cosine_similarity", -0.5, 0.0, 0.0).explained == 0.5


@pytest.mark.parametrize("name", ["poisson", "own:loss"])
def test_without_a_lowest_value_no_share_is_explained(name: str) -> None:
    scale = LossScale(name, -3.0, -1.0, -2.0)
    assert math.isnan(scale.explained)
    assert scale.sentence() == "below the best constant (-1); the simple model has -2"


@pytest.mark.parametrize(
    ("name", "loss", "said"),
    [
        ("mean_squared_error", 9.0, "a typical error of 3;"),
        ("mae", 2.5, "an error of 2.5 on average;"),
        ("mape", 12.0, "an error of 12 % on average;"),
        ("binary_crossentropy", math.log(2), "the truth gets a chance of 50 % (geometric mean);"),
    ],
)
def test_a_loss_is_read_in_a_unit_that_can_be_pictured(name: str, loss: float, said: str) -> None:
    assert LossScale(name, loss, 100.0, 50.0).sentence().startswith(said)


def test_a_network_that_learned_nothing_is_told_so() -> None:
    scale = LossScale("huber", 2.0, 1.5, 1.0)
    assert not scale.beats_constant
    assert scale.explained < 0
    assert scale.sentence() == "no better than the best constant (1.5): nothing that helps was learned"


def test_a_constant_that_is_perfect_leaves_nothing_to_explain() -> None:
    assert math.isnan(LossScale("mse", 0.0, 0.0, 0.0).explained)
    assert LossScale("huber", math.nan, 1.0, 1.0).sentence() == "nothing to compare with"
