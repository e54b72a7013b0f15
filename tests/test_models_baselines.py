"""The constant is the best one, and the simple model generalises in little time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.baselines import (
    LAST,
    PENALTIES,
    LastValues,
    best_constant,
    fit_forest,
    fit_last_values,
    fit_simple,
    fit_svm,
    fit_trees,
)
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


def test_a_loss_with_parameters_or_of_the_users_own_may_say_what_it_costs(rng: np.random.Generator) -> None:
    targets = rng.gamma(2, 1, 2000)

    def high(target: Any, answer: Any) -> Any:
        return row_losses("quantile", target, answer, quantile=0.9)

    for name in ("quantile", "mine:high"):
        constant = best_constant("regression", name, targets, costs=high)
        assert constant.values[0] == pytest.approx(np.quantile(targets, 0.9), rel=0.02)


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


# --- the last known values ---


def hours(count: int) -> Any:
    return np.datetime64("2024-01-01T00", "h") + np.arange(count)


def test_the_last_value_is_the_one_that_was_known_by_then() -> None:
    times, targets = hours(6), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    last = LastValues("regression", 1, np.timedelta64(2, "h"), np.array([9.0]))
    answers = last.answer(times, times, targets)
    assert answers[:, 0].tolist() == [9.0, 9.0, 1.0, 2.0, 3.0, 4.0]


def test_no_row_knows_itself_or_its_neighbours_of_the_same_moment() -> None:
    times = np.repeat(hours(3), 2)
    last = LastValues("regression", 1, np.timedelta64(0, "h"), np.array([0.0]))
    answers = last.answer(times, times, np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    assert answers[:, 0].tolist() == [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]


def test_shares_of_the_last_classes_never_are_0() -> None:
    times = hours(4)
    last = LastValues("binary", 2, np.timedelta64(0, "h"), np.array([0.25]))
    answers = last.answer(times, times, np.array([0.0, 0.0, 1.0, 1.0]))
    assert answers[:, 0] == pytest.approx([0.25, 0.25 / 2, 0.25 / 3, 1.25 / 3])


def test_several_classes_add_up_to_1() -> None:
    times, targets = hours(50), np.arange(50) % 3
    loss = "sparse_categorical_crossentropy"
    last = fit_last_values("multiclass", loss, times, targets, delay=np.timedelta64(1, "h"), outputs=4)
    answers = last.answer(times, times, targets)
    assert answers.shape == (50, 4)
    np.testing.assert_allclose(answers.sum(axis=1), 1)


def test_a_slow_level_is_followed_closely_and_noise_is_averaged(rng: np.random.Generator) -> None:
    walk, noise = rng.normal(size=2000).cumsum(), rng.normal(size=2000)
    chosen = [
        fit_last_values("regression", "mse", hours(2000), level, delay=np.timedelta64(1, "h")).count
        for level in (walk, noise)
    ]
    assert chosen == [1, LAST[-1]]


def test_rows_without_a_target_are_no_last_values() -> None:
    targets = np.array([1.0, np.nan, 1.0, 1.0])
    found = fit_last_values("regression", "mae", hours(4), targets, delay=np.timedelta64(0, "h"))
    assert found.start == [1.0]
    with pytest.raises(ValueError, match="no target is known"):
        fit_last_values("regression", "mae", hours(2), np.full(2, np.nan), delay=np.timedelta64(0, "h"))


# --- trees and a kernel machine ---

FITS: dict[str, Any] = {"trees": fit_trees, "forest": fit_forest, "svm": fit_svm}


def ring(rows: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Rows inside and outside of a circle, which no straight line tells apart."""
    inputs = rng.normal(size=(rows, 2)).astype(np.float32)
    return inputs, (np.square(inputs).sum(axis=1) < 1.4).astype(np.float32)


@pytest.mark.parametrize("name", FITS)
def test_a_bend_is_found_that_a_line_cannot_have(name: str, rng: np.random.Generator) -> None:
    inputs, targets = ring(1500, rng)
    model = FITS[name]("binary", inputs[:1000], targets[:1000])
    linear = fit_simple("binary", inputs[:1000], targets[:1000])
    answers = model.predict(inputs[1000:])
    assert (answers.shape, answers.dtype) == ((500, 1), np.float32)
    assert 0 <= answers.min() <= answers.max() <= 1
    assert mean_loss("bce", targets[1000:], answers) < 0.4
    assert mean_loss("bce", targets[1000:], linear.predict(inputs[1000:])) > 0.6


@pytest.mark.parametrize("name", FITS)
def test_a_quantity_comes_in_its_own_unit(name: str, rng: np.random.Generator) -> None:
    inputs = rng.uniform(-2, 2, size=(1200, 2)).astype(np.float32)
    targets = (500 + 100 * np.sin(2 * inputs[:, 0])).astype(np.float32)
    answers = FITS[name]("regression", inputs[:900], targets[:900]).predict(inputs[900:])
    assert mean_loss("mae", targets[900:], answers) < 30


@pytest.mark.parametrize("name", FITS)
def test_several_classes_get_chances_also_those_that_never_occur(name: str, rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(900, 2)).astype(np.float32)
    targets = np.where(inputs[:, 0] > 0, 2, 0).astype(np.int32)
    targets[:9] = -1
    answers = FITS[name]("multiclass", inputs, targets, outputs=4).predict(inputs)
    assert answers.shape == (900, 4)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-4)
    assert answers.min() > 0
    assert np.mean(answers.argmax(axis=1)[9:] == targets[9:]) > 0.95


@pytest.mark.parametrize("name", FITS)
def test_one_class_alone_is_answered_without_complaint(name: str) -> None:
    inputs = np.arange(40, dtype=np.float32).reshape(20, 2)
    answers = FITS[name]("binary", inputs, np.ones(20)).predict(inputs)
    assert answers.shape == (20, 1)
    assert answers.min() > 0.8


@pytest.mark.parametrize("name", FITS)
def test_fewer_than_2_targets_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 targets are known; expected at least 2"):
        FITS[name]("binary", np.zeros((2, 1)), np.array([np.nan, 1.0]))


@pytest.mark.parametrize("name", FITS)
def test_the_same_seed_draws_the_same_rows_of_many(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MOST_TREE_ROWS", "MOST_ROWS", "MOST_KERNEL_ROWS"):
        monkeypatch.setattr(f"models.baselines.{limit}", 200)
    monkeypatch.setattr("models.baselines.MOST_TREES", 10)
    inputs, targets = ring(1000, rng)
    first, again, other = (
        FITS[name]("binary", inputs, targets, seed=seed).predict(inputs) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


@pytest.mark.parametrize("fit", [fit_trees, fit_svm])
def test_the_absolute_loss_is_learned_as_such(fit: Any, rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(1000, 1)).astype(np.float32)
    targets = np.where(rng.random(1000) < 0.2, 100.0, 1.0).astype(np.float32)
    squared, absolute = (fit("regression", inputs, targets, loss=loss) for loss in ("mse", "mae"))
    assert mean_loss("mae", targets, absolute.predict(inputs)) < mean_loss(
        "mae", targets, squared.predict(inputs)
    )
