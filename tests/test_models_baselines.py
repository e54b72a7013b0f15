"""The constant is the best one, and the simple model generalises in little time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.baselines import PENALTIES, best_constant, fit_simple
from models.losses import row_losses


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def mean_loss(loss: str, targets: Any, answers: Any) -> float:
    return float(row_losses(loss, targets, answers).mean())


@pytest.mark.parametrize(
    "loss", ["mse", "mae", "huber", "log_cosh", "poisson", "mape", "mean_squared_logarithmic_error"]
)
def test_no_other_constant_has_a_lower_loss(loss: str, rng: np.random.Generator) -> None:
    targets = rng.gamma(2, 1, 500)
    answer = best_constant("regression", loss, targets).predict(np.zeros((500, 3)))
    lowest = min(mean_loss(loss, targets, np.full((500, 1), value)) for value in np.linspace(0.05, 6, 400))
    assert mean_loss(loss, targets, answer) <= lowest + 1e-4


def test_the_constant_of_two_classes_is_the_share_of_the_second() -> None:
    answers = best_constant("binary", "bce", np.array([0, 1, 1, np.nan, 1])).predict(np.zeros((2, 7)))
    np.testing.assert_array_equal(answers, [[0.75], [0.75]])
    assert answers.dtype == np.float32


def test_the_constant_of_several_classes_is_their_shares() -> None:
    constant = best_constant(
        "multiclass", "sparse_categorical_crossentropy", np.array([0, 1, 1, -1, 0]), outputs=3
    )
    np.testing.assert_array_equal(constant.predict(np.zeros((1, 2))), [[0.5, 0.5, 0.0]])


def test_a_loss_of_the_users_own_gets_the_mean() -> None:
    assert best_constant("regression", "module:function", np.array([1.0, 2.0])).values == [1.5]


def test_targets_that_are_all_the_same_are_their_own_constant() -> None:
    assert best_constant("regression", "huber", np.array([2.0, 2.0])).values == [2.0]


def test_without_a_target_there_is_no_baseline() -> None:
    with pytest.raises(ValueError, match="no target is known"):
        best_constant("binary", "bce", np.array([np.nan]))
    with pytest.raises(ValueError, match="1 targets are known; expected at least 2"):
        fit_simple("binary", np.zeros((2, 1)), np.array([np.nan, 1.0]))


def test_two_classes_are_learned_on_rows_that_were_not_seen(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(4000, 6)).astype(np.float32)
    chances = 1 / (1 + np.exp(-2 * inputs[:, 0]))
    targets = (rng.random(4000) < chances).astype(np.float32)
    targets[:5] = np.nan
    answers = fit_simple("binary", inputs[:3000], targets[:3000]).predict(inputs[3000:])
    assert answers.shape == (1000, 1)
    best = mean_loss("bce", targets[3000:], chances[3000:])
    assert mean_loss("bce", targets[3000:], answers) < best + 0.01


def test_several_classes_get_probabilities_also_those_that_never_occurred(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(900, 2)).astype(np.float32)
    targets = np.where(inputs[:, 0] > 0, 2, 0).astype(np.int32)
    answers = fit_simple("multiclass", inputs, targets, outputs=4).predict(inputs)
    assert answers.shape == (900, 4)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    assert answers.min() > 0
    assert np.mean(answers.argmax(axis=1) == targets) > 0.95


def test_two_classes_with_an_output_each(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(300, 2)).astype(np.float32)
    targets = (inputs[:, 0] > 0).astype(np.int32)
    answers = fit_simple("multiclass", inputs, targets, outputs=2).predict(inputs)
    assert answers.shape == (300, 2)
    assert np.mean(answers.argmax(axis=1) == targets) > 0.95


def test_a_quantity_is_learned_in_its_own_unit(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(1000, 3)).astype(np.float32)
    targets = 1e4 + 500 * inputs[:, 1]
    model = fit_simple("regression", inputs, targets)
    np.testing.assert_allclose(model.predict(inputs)[:, 0], targets, rtol=1e-3)
    assert model.penalty == PENALTIES[-1]


def test_noise_is_answered_with_the_strongest_penalty(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(400, 100)).astype(np.float32)
    targets = rng.integers(0, 2, 400).astype(np.float32)
    model = fit_simple("binary", inputs, targets)
    assert model.penalty == PENALTIES[0]
    assert mean_loss("bce", rng.integers(0, 2, 400), model.predict(inputs)) < 0.75


def test_one_class_alone_has_nearly_all_of_the_probability() -> None:
    answers = fit_simple("binary", np.zeros((100, 2)), np.ones(100)).predict(np.zeros((1, 2)))
    assert 0.95 < answers[0, 0] < 1


def test_constant_inputs_leave_the_mean() -> None:
    answers = fit_simple("regression", np.zeros((50, 2)), np.arange(50.0)).predict(np.zeros((1, 2)))
    assert answers[0, 0] == pytest.approx(24.5)


def test_the_same_seed_gives_the_same_model_of_many_rows(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(60_000, 2)).astype(np.float32)
    targets = inputs[:, 0] + rng.normal(size=60_000)
    first, again, other = (fit_simple("regression", inputs, targets, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weights, again.weights)
    assert first.weights.tolist() != other.weights.tolist()
