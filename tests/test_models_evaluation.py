"""Figures of an evaluation, checked by hand and against scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from models.evaluation import (
    Answers,
    Figure,
    Standing,
    as_chances,
    auc,
    calibration_limit,
    evaluate,
    plain_figures,
    reliability,
    score_models,
)
from models.intervals import Resampling
from models.losses import row_losses
from models.schema import Task

Array = Any


def test_two_classes_by_hand() -> None:
    target = np.array([0.0, 1.0, 1.0, np.nan])
    answers = np.array([[0.5], [0.25], [0.75], [0.9]])
    found = evaluate("binary_crossentropy", "binary", target, answers)
    assert found.rows == 3
    assert found.loss == pytest.approx(-(math.log(0.5) + math.log(0.25) + math.log(0.75)) / 3)
    assert found.metrics == {"accuracy": pytest.approx(1 / 3), "auc": 0.5}


def test_a_regression_by_hand() -> None:
    found = evaluate("mse", "regression", np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [4.0]]))
    assert found.rows == 3
    assert found.loss == pytest.approx(1 / 3)
    assert found.metrics == {"mae": pytest.approx(1 / 3), "r2": 0.5}


def test_more_classes_by_hand() -> None:
    answers = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    found = evaluate("sparse_categorical_crossentropy", "multiclass", np.array([0, 2, -1]), answers)
    assert found.rows == 2
    assert found.loss == pytest.approx(-(math.log(0.5) + math.log(0.25)) / 2)
    assert found.metrics == {"accuracy": 0.5}


def test_losses_that_were_computed_elsewhere_are_averaged() -> None:
    target, answers = np.array([1.0, np.nan, 0.0]), np.array([0.5, 0.5, 0.5])
    assert evaluate(np.array([3.0, np.nan, 5.0]), "binary", target, answers).loss == 4.0


def test_no_known_target_gives_an_undefined_loss() -> None:
    found = evaluate("mse", "regression", np.array([np.nan]), np.array([[1.0]]))
    assert (found.rows, found.metrics) == (0, {})
    assert math.isnan(found.loss)


def test_auc_with_ties_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    target, score = rng.integers(0, 2, 500), rng.integers(0, 20, 500) / 20
    assert auc(target, score) == pytest.approx(roc_auc_score(target, score))


def test_auc_of_one_class_is_undefined() -> None:
    assert math.isnan(auc(np.ones(5), np.arange(5.0)))


def test_r2_is_that_of_scikit_learn_and_undefined_for_a_constant() -> None:
    rng = np.random.default_rng(0)
    target, answers = rng.normal(size=50), rng.normal(size=(50, 1))
    found = evaluate("mae", "regression", target, answers)
    assert found.metrics["r2"] == pytest.approx(r2_score(target, answers[:, 0]))
    assert math.isnan(evaluate("mae", "regression", np.ones(3), np.ones((3, 1))).metrics["r2"])


# --- with intervals, and beside other models ---


def chances(rows: int, seed: int) -> tuple[Array, Array]:
    """Targets and their true chances, (rows, 1)."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(2, 3, rows)
    return (rng.random(rows) < truth).astype(np.float64), truth.reshape(-1, 1)


def costs(target: Array, answers: Array, loss: str = "binary_crossentropy") -> Answers:
    return Answers(answers, row_losses(loss, target, answers))


def standing(
    target: Array, models: dict[str, Array], task: Task = "binary", loss: str = "binary_crossentropy"
) -> Standing:
    plan = Resampling(len(target), resamples=200)
    return score_models(
        task, target, {name: costs(target, answers, loss) for name, answers in models.items()}, plan
    )


def test_figures_come_with_the_loss_first_and_intervals_that_hold_them() -> None:
    target, truth = chances(500, 0)
    found = standing(target, {"network": truth}).scores["network"]
    assert found.figures[0].name == "loss"
    assert found.loss.value == pytest.approx(found.figure("log_loss").value)
    assert all(figure.low <= figure.value <= figure.high for figure in found.figures)
    assert math.isnan(found.figure("nothing").value)


def test_a_model_that_knows_more_beats_one_that_knows_less() -> None:
    target, truth = chances(800, 1)
    (contest,) = standing(target, {"network": truth, "the mean": np.full((800, 1), 0.4)}).contests
    assert contest.loss.better
    assert contest.verdict.startswith("network beats the mean: loss 0.")
    (turned,) = standing(target, {"the mean": np.full((800, 1), 0.4), "network": truth}).contests
    assert turned.loss.worse
    assert turned.verdict.startswith("the mean does not beat network: loss 0.")
    assert turned.loss.low == pytest.approx(-contest.loss.high)


def test_a_difference_that_may_be_chance_is_no_victory() -> None:
    rng = np.random.default_rng(3)
    target = (rng.random(200) < 0.5).astype(np.float64)
    one, other = (0.5 + rng.uniform(-0.05, 0.05, (200, 1)) for _ in range(2))
    (contest,) = standing(target, {"network": one, "linear": other}).contests
    assert "does not beat linear" in contest.verdict
    assert "may be chance" in contest.verdict


def test_too_few_rows_tell_nothing() -> None:
    target, truth = chances(1, 4)
    (contest,) = standing(target, {"network": truth, "linear": truth / 2}).contests
    assert "on too few rows to tell" in contest.verdict


def test_accuracy_that_rises_with_the_loss_is_told() -> None:
    target, truth = chances(2000, 5)
    sure = np.where(truth > 0.5, 0.999, 0.001)  # on the right side as often, and far too sure of it
    muddled = truth + 0.12  # a fair chance, cut in the wrong place
    (contest,) = standing(target, {"version 2": sure, "version 1": muddled}).contests
    told = str(contest.disagreement)
    assert told.startswith("version 2 against version 1: worse by its loss (")
    assert "), better by accuracy (" in told
    assert "how sure it is" in told


def test_figures_that_agree_with_the_loss_are_not_told() -> None:
    target, truth = chances(2000, 6)
    (contest,) = standing(target, {"network": truth, "noise": 1 - truth}).contests
    assert contest.disagreement is None


def test_a_few_large_errors_set_squared_and_absolute_loss_against_each_other() -> None:
    rng = np.random.default_rng(7)
    target = rng.normal(size=(3000, 1))
    rarely_wild = target + np.where(rng.random((3000, 1)) < 0.05, 9.0, 0.1)
    always_off = target + rng.normal(0, 1.0, (3000, 1))
    models = {"median": rarely_wild, "mean": always_off}
    (contest,) = standing(target[:, 0], models, "regression", "mse").contests
    told = str(contest.disagreement)
    assert "better by MAE (" in told
    assert told.endswith("large errors weigh differently, so a few rows may decide one of the two")


def test_classes_are_told_one_by_one() -> None:
    rng = np.random.default_rng(8)
    target = rng.integers(0, 2, 300)
    answers = np.eye(3)[target] * 0.6 + 0.2 / 1.5
    losses = row_losses("sparse_categorical_crossentropy", target, answers)
    plan = Resampling(300, resamples=100)
    models = {"network": Answers(answers / answers.sum(axis=1, keepdims=True), losses)}
    found = score_models("multiclass", target, models, plan, classes=("a", "b", "c")).scores["network"]
    assert [one.name for one in found.classes] == ["a", "b", "c"]
    assert [one.rows for one in found.classes] == [*np.bincount(target).tolist(), 0]
    assert found.classes[0].recall == Figure("recall", 1.0, 1.0, 1.0)
    assert math.isnan(found.classes[2].f1.value)
    assert {figure.name for figure in found.figures}.isdisjoint({"precision[0]"})


def test_true_chances_are_calibrated_within_luck() -> None:
    target, truth = chances(4000, 9)
    found = standing(target, {"network": truth}).scores["network"]
    limit = calibration_limit("binary", target, truth, Resampling(4000, resamples=200))
    assert found.figure("calibration_error").value < limit
    slope = found.figure("calibration_slope")
    assert slope.low < 1 < slope.high
    too_sure = standing(target, {"network": np.clip(1.6 * truth - 0.3, 0.01, 0.99)}).scores["network"]
    assert too_sure.figure("calibration_error").low > limit
    assert too_sure.figure("calibration_slope").high < 1


@pytest.mark.parametrize("together", [1, 10])
def test_luck_alone_stays_below_the_limit_as_often_as_it_says(together: int) -> None:
    below = 0
    for seed in range(100):
        target, truth = chances(600, seed)
        target, truth = np.repeat(target, together), np.repeat(truth, together, axis=0)
        plan = Resampling(len(target), together, resamples=200, seed=seed)
        error = plain_figures("binary", target, costs(target, truth))["calibration_error"]
        below += error < calibration_limit("binary", target, truth, plan)
    assert 0.88 <= below / 100 <= 1.0


def test_what_says_no_chance_has_no_limit() -> None:
    plan = Resampling(3, resamples=50)
    assert math.isnan(calibration_limit("regression", np.ones(3), np.ones((3, 1)), plan))
    assert math.isnan(calibration_limit("binary", np.ones(3), np.full((3, 1), 7.0), plan))


def test_the_table_of_a_calibration_says_what_was_said_and_what_was_true() -> None:
    target, truth = chances(3000, 10)
    table = reliability("binary", target, truth, Resampling(3000, resamples=200))
    assert sum(one.rows for one in table) == 3000
    assert [one.said for one in table] == sorted(one.said for one in table)
    assert sum(one.low <= one.said <= one.high for one in table) >= 8


def test_several_classes_are_calibrated_by_how_sure_they_are_and_quantities_by_their_means() -> None:
    plan = Resampling(4, resamples=50)
    answers = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    table = reliability("multiclass", np.array([0, 0, 0, 1]), answers, plan, bins=2)
    assert [(one.said, one.true) for one in table] == [(0.6, 0.5), (0.9, 1.0)]
    numbers = reliability(
        "regression", np.array([1.0, 3.0, 8.0, 8.0]), np.array([[2.0], [2.0], [9.0], [9.0]]), plan, bins=2
    )
    assert [(one.said, one.true) for one in numbers] == [(2.0, 2.0), (9.0, 8.0)]
    assert reliability("binary", np.zeros(4), np.full((4, 1), -3.0), plan) == ()


def test_a_users_own_figure_takes_part_and_says_which_way_is_better() -> None:
    target, truth = chances(300, 11)

    def profit(target: Array, answers: Array) -> Array:
        return np.where(answers[:, 0] > 0.3, target - 0.3, 0.0)

    profit.higher_is_better = True  # type: ignore[attr-defined]
    models = {"network": costs(target, truth), "never": costs(target, np.zeros((300, 1)))}
    found = score_models(
        "binary", target, models, Resampling(300, resamples=100), own={"shop:profit": profit}
    )
    own = next(one for one in found.contests[0].differences if one.name == "shop:profit")
    assert own.better
    assert found.scores["never"].figure("shop:profit").value == 0.0


def test_logits_become_the_chances_that_keras_makes_of_them() -> None:
    import keras

    logits = np.random.default_rng(12).normal(size=(20, 3)) * 5
    softmax = np.asarray(keras.ops.softmax(logits))
    np.testing.assert_allclose(as_chances("multiclass", logits, logits=True), softmax, rtol=1e-6)
    sigmoid = np.asarray(keras.ops.sigmoid(logits[:, :1]))
    np.testing.assert_allclose(as_chances("binary", logits[:, :1], logits=True), sigmoid, rtol=1e-6)
    for task, is_logit in (("regression", True), ("multiclass", False)):
        np.testing.assert_array_equal(as_chances(task, logits, logits=is_logit), logits)  # type: ignore[arg-type]
