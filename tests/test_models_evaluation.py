"""Figures of an evaluation, checked by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from models.evaluation import auc, evaluate


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
