"""Models of a row's loss: by hand, against differences, and where there is nothing to learn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.loss_model import (
    ClassChances,
    Likelihood,
    LossRate,
    PlainLoss,
    fit,
    gradient_of,
    groups_of,
    log_chances,
)

ONE = np.ones((4, 1))


def test_without_weights_the_chances_are_those_of_the_scores() -> None:
    scores = np.log(np.array([[0.2, 0.3, 0.5]]))
    assert np.exp(log_chances(np.zeros(4), np.ones((1, 1)), scores)) == pytest.approx(
        np.array([[0.2, 0.3, 0.5]])
    )


def test_a_shift_of_one_class_of_two_is_a_shift_of_the_log_odds() -> None:
    scores = np.array([[0.0, 0.0]])
    found = np.exp(log_chances(np.array([np.log(3.0), 0.0]), np.ones((1, 1)), scores))
    assert found == pytest.approx(np.array([[0.25, 0.75]]))


def test_a_constant_alone_calibrates_to_the_share_of_hits() -> None:
    scores = np.zeros((400, 2))
    target = np.array([1.0] * 300 + [0.0] * 100)
    found = fit(ClassChances(np.ones((400, 1)), (1,), scores, target))
    chances = np.exp(log_chances(found.weights, np.ones((1, 1)), np.zeros((1, 2))))
    assert chances[0, 1] == pytest.approx(0.75, abs=1e-4)


def test_a_constant_alone_gives_the_mean_of_the_losses() -> None:
    losses = np.array([1.0, 2.0, 3.0, 6.0])
    rate = LossRate(ONE, (1,), losses, 1.5)
    found = fit(rate)
    assert np.exp(rate.base + found.weights[0]) == pytest.approx(3.0)
    plain = PlainLoss(ONE, (1,), losses - 10)
    assert plain.base + fit(plain).weights[0] == pytest.approx(-7.0)


@pytest.mark.parametrize("kind", ["two", "three", "rate", "gamma", "plain"])
def test_slopes_are_the_derivatives_of_the_value(kind: str) -> None:
    rng = np.random.default_rng(3)
    values = np.column_stack([np.ones(40), rng.standard_normal((40, 2))])
    made: dict[str, Likelihood] = {
        "two": ClassChances(
            values,
            (1, 2),
            np.column_stack([np.zeros(40), rng.normal(size=40)]),
            rng.integers(0, 2, 40).astype(float),
        ),
        "three": ClassChances(values, (1, 2), rng.normal(size=(40, 3)), rng.integers(0, 3, 40).astype(float)),
        "rate": LossRate(values, (1, 2), rng.exponential(size=40), 1.5),
        "gamma": LossRate(values, (1, 2), rng.exponential(size=40), 2.0),
        "plain": PlainLoss(values, (1, 2), rng.normal(size=40)),
    }
    likelihood = made[kind]
    weights = rng.normal(0, 0.3, likelihood.size)
    steps = 1e-5 * np.eye(likelihood.size)
    numeric = [(likelihood.value(weights + step) - likelihood.value(weights - step)) / 2e-5 for step in steps]
    assert likelihood.slopes(weights)[0] == pytest.approx(np.array(numeric), rel=1e-4, abs=1e-4)


def test_the_information_of_classes_is_the_derivative_of_the_gradient() -> None:
    rng = np.random.default_rng(4)
    values = np.column_stack([np.ones(30), rng.standard_normal(30)])
    likelihood = ClassChances(values, (1, 1), rng.normal(size=(30, 3)), rng.integers(0, 3, 30).astype(float))
    weights = rng.normal(0, 0.3, likelihood.size)
    steps = 1e-5 * np.eye(likelihood.size)
    numeric = [
        (likelihood.slopes(weights - step)[0] - likelihood.slopes(weights + step)[0]) / 2e-5 for step in steps
    ]
    assert likelihood.slopes(weights)[1] == pytest.approx(np.array(numeric), rel=1e-3, abs=1e-4)


def test_the_gradient_of_an_expected_loss_is_its_derivative() -> None:
    rng = np.random.default_rng(5)
    values, scores, losses = rng.normal(size=(20, 2)), rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    weights = rng.normal(0, 0.3, 8)

    def total(at: npt.NDArray[np.float64]) -> float:
        return float((np.exp(log_chances(at, values, scores)) * losses).sum())

    chances = np.exp(log_chances(weights, values, scores))
    slopes = chances * (losses - (chances * losses).sum(axis=1, keepdims=True))
    numeric = [(total(weights + step) - total(weights - step)) / 2e-5 for step in 1e-5 * np.eye(8)]
    assert gradient_of(slopes, values, scores) == pytest.approx(np.array(numeric), rel=1e-4, abs=1e-6)


def test_columns_that_say_nothing_are_left_at_nothing() -> None:
    rng = np.random.default_rng(6)
    values = np.column_stack([np.ones(4000), rng.standard_normal((4000, 30))])
    found = fit(LossRate(values, (1, 30), rng.exponential(size=4000), 1.5))
    assert np.abs(found.weights[1:]).max() < 0.02
    assert found.effective < 6


def test_a_column_that_says_something_is_found() -> None:
    rng = np.random.default_rng(7)
    column = rng.standard_normal(4000)
    found = fit(
        LossRate(
            np.column_stack([np.ones(4000), column]),
            (1, 1),
            np.exp(0.5 * column) * rng.exponential(size=4000),
            1.5,
        )
    )
    assert found.weights[1] == pytest.approx(0.5, abs=3 * np.sqrt(found.covariance[1, 1]))


def test_places_of_groups_leave_the_constant_out() -> None:
    assert [group.tolist() for group in groups_of((1, 2, 1), 4)] == [[5, 6], [7]]
