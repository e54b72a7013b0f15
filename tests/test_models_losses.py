"""Row losses equal Keras's without reduction, and numbers done by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from models.losses import KNOWN_LOSSES, canonical, check_loss, default_loss, row_losses

NUMBERS = ("mse", "mae", "mape", "msle", "huber", "log_cosh", "poisson")
PROBABILITIES = (
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "hinge",
    "squared_hinge",
    "mse",
    "kl_divergence",
)
ONE_COLUMN_A_CLASS = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "kl_divergence",
    "mse",
)


def keras_losses(name: str, target: Any, prediction: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.losses.get(name)(np.asarray(target), np.asarray(prediction, np.float32)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize(
    ("loss", "target", "prediction", "expected"),
    [
        ("mse", 3.0, 1.0, 4.0),
        ("mae", 3.0, 1.0, 2.0),
        ("mape", 4.0, 1.0, 75.0),
        ("msle", 0.0, math.e - 1, 1.0),
        ("huber", 0.5, 0.0, 0.125),
        ("huber", 3.0, 0.0, 2.5),
        ("log_cosh", 1.0, 0.0, math.log(math.cosh(1.0))),
        ("poisson", 2.0, 1.0, 1.0),
        ("binary_crossentropy", 1.0, 0.25, math.log(4.0)),
        ("binary_crossentropy", 0.0, 0.25, -math.log(0.75)),
        ("hinge", 0.0, 0.5, 1.5),
        ("squared_hinge", 1.0, 0.5, 0.25),
    ],
)
def test_a_single_row_by_hand(loss: str, target: float, prediction: float, expected: float) -> None:
    assert row_losses(loss, np.array([target]), np.array([[prediction]]))[0] == pytest.approx(
        expected, rel=1e-5
    )


def test_several_classes_by_hand() -> None:
    losses = row_losses(
        "sparse_categorical_crossentropy", np.array([1, 0]), np.array([[0.5, 0.25, 0.25]] * 2)
    )
    np.testing.assert_allclose(losses, [math.log(4), math.log(2)])


@pytest.mark.parametrize("loss", NUMBERS)
def test_losses_of_numbers_are_those_of_keras(loss: str, rng: np.random.Generator) -> None:
    target, prediction = rng.gamma(2, 3, 200), rng.gamma(2, 3, (200, 1)).astype(np.float32)
    prediction[:3] = [[0.0], [1e-9], [1e6]]
    expected = keras_losses(loss, target.reshape(-1, 1), prediction)
    np.testing.assert_allclose(row_losses(loss, target, prediction), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("loss", PROBABILITIES)
def test_losses_of_two_classes_are_those_of_keras(loss: str, rng: np.random.Generator) -> None:
    target, prediction = rng.integers(0, 2, 200).astype(float), rng.random((200, 1)).astype(np.float32)
    prediction[:4] = [[0.0], [1.0], [1e-8], [0.9999999]]
    target[:4] = [1, 0, 1, 0]
    expected = keras_losses(loss, target.reshape(-1, 1), prediction)
    np.testing.assert_allclose(row_losses(loss, target, prediction), expected, rtol=2e-5, atol=1e-6)


def test_losses_of_several_classes_are_those_of_keras(rng: np.random.Generator) -> None:
    target, prediction = rng.integers(0, 4, 200), rng.dirichlet([0.3] * 4, 200).astype(np.float32)
    prediction[0], target[0] = [1, 0, 0, 0], 2
    losses = row_losses("sparse_categorical_crossentropy", target, prediction)
    expected = keras_losses("sparse_categorical_crossentropy", target, prediction)
    np.testing.assert_allclose(losses, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ONE_COLUMN_A_CLASS)
def test_losses_of_one_column_a_class_are_those_of_keras(loss: str, rng: np.random.Generator) -> None:
    target, prediction = rng.integers(0, 4, 200), rng.dirichlet([1.0] * 4, 200).astype(np.float32)
    one_hot = np.eye(4)[target]
    expected = keras_losses(loss, one_hot, prediction)
    np.testing.assert_allclose(row_losses(loss, one_hot, prediction), expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(row_losses(loss, target, prediction), expected, rtol=2e-5, atol=1e-6)


def test_every_known_name_is_a_loss_of_keras() -> None:
    import keras

    assert all(callable(keras.losses.get(name)) for name in KNOWN_LOSSES)


def test_hinge_takes_targets_of_minus_one_as_they_are() -> None:
    target, prediction = np.array([-1.0, 1.0, np.nan]), np.array([[0.5], [0.5], [0.5]])
    np.testing.assert_allclose(row_losses("hinge", target, prediction), [1.5, 0.5, np.nan])


@pytest.mark.parametrize("loss", sorted({canonical(name) for name in KNOWN_LOSSES}))
def test_a_missing_target_has_no_loss_and_leaves_the_others_alone(loss: str) -> None:
    outputs = 3 if "categorical" in loss else 1
    prediction = np.full((3, outputs), 1 / 3)
    whole = row_losses(loss, np.array([1, 1, 0]), prediction)
    missing = np.array([1, -1, 0]) if outputs == 3 else np.array([1, np.nan, 0])
    np.testing.assert_array_equal(row_losses(loss, missing, prediction), [whole[0], np.nan, whole[2]])


def test_a_prediction_that_is_no_number_has_no_loss() -> None:
    assert np.isnan(row_losses("mse", np.array([1.0]), np.array([[np.nan]]))).all()


def test_flat_predictions_are_one_answer_a_row() -> None:
    np.testing.assert_array_equal(row_losses("mse", np.array([1.0, 2.0]), np.array([1.0, 0.0])), [0.0, 4.0])


def test_no_rows_have_no_losses() -> None:
    assert row_losses("bce", np.array([]), np.empty((0, 1))).shape == (0,)
    assert row_losses("sparse_categorical_crossentropy", np.array([], int), np.empty((0, 3))).shape == (0,)


def test_losses_are_precise_however_the_predictions_are_stored() -> None:
    losses = row_losses("mse", np.array([1e4], np.float32), np.array([[1e4 + 1]], np.float32))
    assert losses.dtype == np.float64
    assert losses[0] == 1.0


def test_rows_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="of the same rows"):
        row_losses("mse", np.zeros(3), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="class 3"):
        row_losses("sparse_categorical_crossentropy", np.array([3]), np.ones((1, 3)) / 3)


def test_an_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(
        ValueError, match="'mean_square_error' is not known; did you mean 'mean_squared_error'"
    ):
        canonical("mean_square_error")
    with pytest.raises(ValueError, match="expected one of"):
        canonical("zzz")


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_the_default_loss_fits_its_task(task: Any) -> None:
    assert check_loss(default_loss(task), task) is None


def test_a_loss_for_another_task_gets_advice() -> None:
    assert "does not fit a regression target" in str(check_loss("binary_crossentropy", "regression"))
    assert "sparse_categorical_crossentropy" in str(check_loss("categorical_crossentropy", "multiclass"))
    assert "did you mean 'huber'" in str(check_loss("hubr", "regression"))
    assert check_loss("MAE", "regression") is None
