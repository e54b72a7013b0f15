"""Row losses equal Keras's without reduction, and numbers done by hand."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.losses import (
    CATALOGUE,
    ELSEWHERE,
    KNOWN_LOSSES,
    canonical,
    check_loss,
    default_loss,
    loss_faults,
    row_losses,
    sign_fault,
    wanted,
)

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


def test_the_catalogue_is_all_of_keras_but_for_what_is_said_to_be_elsewhere() -> None:
    import keras

    classes = {
        name
        for name, value in vars(keras.losses).items()
        if isinstance(value, type) and issubclass(value, keras.losses.Loss) and name != "Loss"
    }
    ours = {loss.keras for loss in CATALOGUE.values() if loss.keras}
    assert classes - ours == {"CTC", "Circle"}
    assert {name.lower() for name in classes - ours} == set(ELSEWHERE)


def test_every_parameter_is_one_of_keras_with_its_default() -> None:
    import inspect

    import keras

    left_out = {"reduction", "name", "dtype", "axis"}
    for loss in CATALOGUE.values():
        signature = inspect.signature(getattr(keras.losses, loss.keras or "Loss"))
        theirs = {name: one.default for name, one in signature.parameters.items() if name not in left_out}
        ours = {name: one.default for name, one in loss.parameters.items() if name not in left_out}
        assert theirs == (ours if loss.keras else {}), loss.name


# --- every loss against Keras's own, with every parameter ---

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in sorted(CATALOGUE)),
    ("huber", {"delta": 0.3}),
    ("huber", {"delta": 5}),
    ("binary_crossentropy", {"from_logits": True}),
    ("binary_crossentropy", {"label_smoothing": 0.2}),
    ("binary_crossentropy", {"label_smoothing": 0.2, "from_logits": True}),
    ("binary_focal_crossentropy", {"gamma": 0.5}),
    ("binary_focal_crossentropy", {"apply_class_balancing": True, "alpha": 0.7, "gamma": 3.0}),
    ("binary_focal_crossentropy", {"from_logits": True, "label_smoothing": 0.1}),
    ("sparse_categorical_crossentropy", {"from_logits": True}),
    ("sparse_categorical_crossentropy", {"ignore_class": 2}),
    ("categorical_crossentropy", {"from_logits": True, "label_smoothing": 0.3}),
    ("categorical_crossentropy", {"label_smoothing": 0.3}),
    ("categorical_focal_crossentropy", {"alpha": 0.9, "gamma": 0.5, "label_smoothing": 0.1}),
    ("categorical_focal_crossentropy", {"from_logits": True}),
    ("categorical_generalized_cross_entropy", {"q": 0.9}),
    ("tversky", {"alpha": 0.2, "beta": 0.9}),
    ("quantile", {"quantile": 0.9}),
]


@functools.cache
def maker() -> Any:
    from models.keras_objects import keras_loss

    return keras_loss


def same_as_keras(name: str, parameters: dict[str, Any], target: Any, prediction: Any) -> None:
    """Our rows are Keras's rows without reduction, on targets in the shape that the loss wants."""
    import keras

    columns = prediction.shape[1] > 1 and CATALOGUE[name].labels == "columns"
    labels = np.eye(prediction.shape[1], dtype=np.float32)[target] if columns else target
    labels = labels.reshape(-1, 1) if prediction.shape[1] == 1 else labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        loss = maker()(name, parameters, reduction=None)
        expected = keras.ops.convert_to_numpy(loss(labels, prediction))
    ours = row_losses(name, target, prediction, **parameters)
    np.testing.assert_allclose(ours, expected, rtol=5e-5, atol=5e-6)


def answers(name: str, parameters: dict[str, Any], raw: np.ndarray) -> np.ndarray:
    """Raw scores turned into what the loss takes."""
    takes = wanted(name, parameters)
    if takes == "positive numbers":
        return np.exp(raw / 4)
    if takes == "a probability":
        return 1 / (1 + np.exp(-raw))
    if takes == "probabilities":
        return np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    return raw


@pytest.mark.parametrize(("name", "parameters"), SETTINGS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_loss_is_keras_own_row_by_row(name: str, parameters: dict[str, Any], data: Any) -> None:
    several = CATALOGUE[name].fits == ("multiclass",)
    rows, outputs = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 4)) if several else 1
    numbers = st.floats(-8, 8, width=32, allow_subnormal=False)
    raw = data.draw(arrays(np.float32, (rows, outputs), elements=numbers))
    if several:
        target = data.draw(arrays(np.int32, rows, elements=st.integers(0, outputs - 1)))
    elif CATALOGUE[name].fits == ("binary",):
        target = data.draw(arrays(np.float32, rows, elements=st.sampled_from([0.0, 1.0])))
    else:
        target = np.abs(data.draw(arrays(np.float32, rows, elements=numbers)))
    same_as_keras(name, parameters, target, answers(name, parameters, raw).astype(np.float32))


def test_dice_and_tversky_are_losses_of_a_row_along_its_classes_and_never_of_all_rows() -> None:
    import keras

    target, prediction = np.array([1, 0]), np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
    expected = keras.losses.Dice(axis=-1, reduction=None)(np.eye(2)[target], prediction)
    np.testing.assert_allclose(row_losses("dice", target, prediction), np.asarray(expected), rtol=1e-5)
    with pytest.raises(ValueError, match="axis = None: expected -1"):
        row_losses("dice", target, prediction, axis=None)


def test_quantile_by_hand_and_minimised_by_the_quantile() -> None:
    losses = row_losses("quantile", np.array([10.0, 10.0]), np.array([8.0, 12.0]), quantile=0.9)
    np.testing.assert_allclose(losses, [1.8, 0.2])
    rows = np.random.default_rng(0).normal(size=999)
    means = [
        row_losses("quantile", rows, np.full(999, value), quantile=0.9).mean() for value in np.sort(rows)
    ]
    assert np.sort(rows)[int(np.argmin(means))] == pytest.approx(np.quantile(rows, 0.9), abs=0.02)


@pytest.mark.parametrize("name", ["ctc", "CTC", "circle", "Circle"])
def test_a_loss_of_keras_that_has_no_place_in_a_table_says_why(name: str) -> None:
    with pytest.raises(ValueError, match="is Keras's, but not for rows of a table: it compares"):
        canonical(name)


def test_mistaken_parameters_are_told_all_at_once() -> None:
    assert loss_faults("huber", {"delta": -1, "dleta": 2}) == (
        "delta = -1: expected a number above 0",
        "huber has no parameter 'dleta'; did you mean 'delta'?",
    )
    assert loss_faults("mse", {"delta": 1}) == (
        "mean_squared_error has no parameter 'delta'; it takes none.",
    )
    assert "a loss is one number a row" in loss_faults("huber", {"reduction": "sum"})[0]
    assert loss_faults("bce", {"from_logits": 1}) == ("from_logits = 1: expected true or false",)
    assert "did you mean 'huber'" in loss_faults("hubber", {})[0]
    with pytest.raises(ValueError, match="loss 'huber': delta = 0: expected a number above 0"):
        row_losses("huber", np.zeros(1), np.zeros(1), delta=0)


# --- the sign ---


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - {"poisson"}))
@settings(max_examples=25)
@given(data=st.data())
def test_no_loss_is_below_its_lowest_value_where_it_gets_what_it_takes(name: str, data: Any) -> None:
    outputs = 3 if "multiclass" in CATALOGUE[name].fits and "regression" not in CATALOGUE[name].fits else 1
    raw = data.draw(arrays(np.float32, (4, outputs), elements=st.floats(-9, 9, width=32)))
    target = data.draw(arrays(np.int32, 4, elements=st.integers(0, max(outputs - 1, 1))))
    losses = row_losses(name, target, answers(name, {}, raw))
    assert sign_fault(name, losses) is None


def test_a_negative_cross_entropy_is_an_error_of_targets_or_answers() -> None:
    losses = row_losses("binary_crossentropy", np.array([2.0]), np.array([[0.9]]))
    assert losses[0] < 0
    assert "look for targets other than 0 and 1" in str(sign_fault("bce", losses))
    assert "can never be below 0: its formula" in str(sign_fault("mse", np.array([-1.0])))


def test_likelihoods_and_directions_may_be_negative_and_an_own_loss_anything() -> None:
    assert sign_fault("poisson", row_losses("poisson", np.array([9.0]), np.array([9.0]))) is None
    assert sign_fault("cosine_similarity", np.array([-1.0])) is None
    assert "below -1" in str(sign_fault("cosine_similarity", np.array([-1.1])))
    assert sign_fault("own:loss", np.array([-5.0])) is None
    assert sign_fault("mse", np.array([np.nan])) is None


def test_hinge_takes_targets_of_minus_one_as_they_are() -> None:
    target, prediction = np.array([-1.0, 1.0, np.nan]), np.array([[0.5], [0.5], [0.5]])
    np.testing.assert_allclose(row_losses("hinge", target, prediction), [1.5, 0.5, np.nan])


@pytest.mark.parametrize("loss", sorted({canonical(name) for name in KNOWN_LOSSES}))
def test_a_missing_target_has_no_loss_and_leaves_the_others_alone(loss: str) -> None:
    outputs = 1 if "regression" in CATALOGUE[loss].fits or "binary" in CATALOGUE[loss].fits else 3
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
    assert check_loss("categorical_crossentropy", "multiclass") is None
    assert "sparse_categorical_crossentropy" in str(check_loss("poisson", "multiclass"))
    assert check_loss("huber", "regression", {"delta": 0}) == "delta = 0: expected a number above 0"
    assert "did you mean 'huber'" in str(check_loss("hubr", "regression"))
    assert check_loss("MAE", "regression") is None
