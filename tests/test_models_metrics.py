"""Every figure is scikit-learn's, of all rows and of rows drawn again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression, LogisticRegression

from models.intervals import Resampling
from models.metrics import (
    OWN_DRAWS,
    Metric,
    are_chances,
    calibration_error,
    equal_bins,
    metrics_for,
    own_metric,
)
from models.schema import Task

Array = Any
ROWS = 400


def values(metrics: list[Metric], rows: int = ROWS) -> dict[str, float]:
    """Every figure of all rows."""
    found: dict[str, float] = {}
    for metric in metrics:
        figures = metric.ready(Resampling(rows))(np.ones((1, rows), np.float32))[0]
        found |= dict(zip(metric.names, figures.tolist(), strict=True))
    return found


def drawn(metrics: list[Metric], plan: Resampling) -> dict[str, Array]:
    """Every figure in each draw."""
    found: dict[str, Array] = {}
    for metric in metrics:
        draw = metric.ready(plan)
        figures = np.vstack([draw(counts) for counts in plan.counts()])
        found |= dict(zip(metric.names, figures.T, strict=True))
    return found


@pytest.fixture
def two() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    score = rng.normal(size=ROWS)
    target = (rng.random(ROWS) < 1 / (1 + np.exp(-score))).astype(np.float64)
    return target, np.round(1 / (1 + np.exp(-1.3 * score - 0.2)), 2).reshape(-1, 1)


@pytest.fixture
def three() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    target = rng.integers(0, 3, ROWS)
    score = np.exp(rng.normal(size=(ROWS, 3)) + 1.2 * np.eye(3)[target])
    return target, score / score.sum(axis=1, keepdims=True)


@pytest.fixture
def quantity() -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    target = rng.gamma(3, 2, ROWS) + 0.5
    return target, (target * 0.8 + rng.normal(size=ROWS)).reshape(-1, 1)


# --- against scikit-learn ---


def test_two_classes(two: tuple[Array, Array]) -> None:
    target, answers = two
    found, score, chosen = values(metrics_for("binary", *two)), answers[:, 0], answers[:, 0] >= 0.5
    assert found == {
        "accuracy": pytest.approx(sk.accuracy_score(target, chosen)),
        "balanced_accuracy": pytest.approx(sk.balanced_accuracy_score(target, chosen)),
        "precision": pytest.approx(sk.precision_score(target, chosen)),
        "recall": pytest.approx(sk.recall_score(target, chosen)),
        "f1": pytest.approx(sk.f1_score(target, chosen)),
        "auc": pytest.approx(sk.roc_auc_score(target, score)),
        "average_precision": pytest.approx(sk.average_precision_score(target, score)),
        "log_loss": pytest.approx(sk.log_loss(target, score), rel=1e-6),
        "brier": pytest.approx(sk.brier_score_loss(target, score)),
        "calibration_error": found["calibration_error"],
        "calibration_slope": found["calibration_slope"],
        "calibration_intercept": found["calibration_intercept"],
    }


def test_three_classes(three: tuple[Array, Array]) -> None:
    target, answers = three
    found, chosen = values(metrics_for("multiclass", *three)), answers.argmax(axis=1)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(target, chosen)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(target, chosen))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(target, chosen))
    assert found["precision_macro"] == pytest.approx(precision.mean())
    assert found["recall_macro"] == pytest.approx(recall.mean())
    assert found["f1_macro"] == pytest.approx(f1.mean())
    assert found["f1_micro"] == pytest.approx(sk.f1_score(target, chosen, average="micro"))
    assert [found[f"precision[{one}]"] for one in range(3)] == pytest.approx(precision)
    assert [found[f"recall[{one}]"] for one in range(3)] == pytest.approx(recall)
    assert [found[f"f1[{one}]"] for one in range(3)] == pytest.approx(f1)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(target, answers, multi_class="ovr"))
    assert found["log_loss"] == pytest.approx(sk.log_loss(target, answers), rel=1e-6)
    brier = np.square(answers - np.eye(3)[target]).sum(axis=1).mean()
    assert found["brier"] == pytest.approx(brier)


def test_a_quantity(quantity: tuple[Array, Array]) -> None:
    target, answers = quantity
    found, said = values(metrics_for("regression", *quantity)), answers[:, 0]
    assert found["mse"] == pytest.approx(sk.mean_squared_error(target, said))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(target, said))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(target, said))
    assert found["mape"] == pytest.approx(sk.mean_absolute_percentage_error(target, said))
    assert found["r2"] == pytest.approx(sk.r2_score(target, said))
    assert found["bias"] == pytest.approx((said - target).mean())
    assert found["pinball_10"] == pytest.approx(sk.mean_pinball_loss(target, said, alpha=0.1))
    assert found["pinball_90"] == pytest.approx(sk.mean_pinball_loss(target, said, alpha=0.9))
    assert found["share_above"] == pytest.approx(np.mean(said >= target))


def test_the_line_of_a_calibration_of_chances(two: tuple[Array, Array]) -> None:
    target, answers = two
    found = values(metrics_for("binary", *two))
    logit = np.log(answers / (1 - answers))
    line = LogisticRegression(C=np.inf, tol=1e-10).fit(logit, target)
    assert found["calibration_slope"] == pytest.approx(line.coef_[0, 0], rel=1e-4)
    assert found["calibration_intercept"] == pytest.approx(line.intercept_[0], abs=1e-4)


def test_the_line_of_a_calibration_of_quantities(quantity: tuple[Array, Array]) -> None:
    target, answers = quantity
    found = values(metrics_for("regression", *quantity))
    line = LinearRegression().fit(answers, target)
    assert found["calibration_slope"] == pytest.approx(line.coef_[0])
    assert found["calibration_intercept"] == pytest.approx(line.intercept_)


# --- rows drawn again ---


@pytest.mark.parametrize("length", [1, 7])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_draw_gives_the_figures_of_the_drawn_rows(
    task: Task,
    length: int,
    two: tuple[Array, Array],
    three: tuple[Array, Array],
    quantity: tuple[Array, Array],
) -> None:
    target, answers = {"binary": two, "multiclass": three, "regression": quantity}[task]
    plan = Resampling(ROWS, length, resamples=3)
    found = drawn(metrics_for(task, target, answers), plan)
    for draw, counts in enumerate(np.vstack(list(plan.counts()))):
        chosen = np.repeat(np.arange(ROWS), counts[plan.block_of_row].astype(int))
        again = values(metrics_for(task, target[chosen], answers[chosen]), len(chosen))
        # the bins of a calibration stay those of all rows, and its line is one step from that of all rows
        same = [name for name in found if name != "calibration_error" and "calibration" not in name]
        assert [found[name][draw] for name in same] == pytest.approx([again[name] for name in same])
        if task == "regression":
            assert found["calibration_slope"][draw] == pytest.approx(again["calibration_slope"])


def test_one_step_of_a_calibration_is_nearly_all_of_the_way(two: tuple[Array, Array]) -> None:
    target, answers = two
    plan = Resampling(ROWS, resamples=20)
    found = drawn(metrics_for("binary", target, answers), plan)["calibration_slope"]
    refitted = []
    for counts in np.vstack(list(plan.counts())):
        chosen = np.repeat(np.arange(ROWS), counts.astype(int))
        refitted.append(
            values(metrics_for("binary", target[chosen], answers[chosen]), ROWS)["calibration_slope"]
        )
    assert np.abs(found - refitted).max() < 0.25 * np.std(refitted)


# --- by hand, and at the edges ---


def test_areas_of_answers_that_are_all_the_same() -> None:
    found = values(metrics_for("binary", np.array([0.0, 1.0, 1.0, 1.0]), np.full((4, 1), 0.75)), 4)
    assert found["auc"] == 0.5
    assert found["average_precision"] == 0.75
    assert found["calibration_error"] == 0.0
    assert math.isnan(found["calibration_slope"])


def test_one_class_alone_leaves_undefined_what_needs_both() -> None:
    found = values(metrics_for("binary", np.ones(5), np.linspace(0.1, 0.9, 5).reshape(-1, 1)), 5)
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {"auc", "calibration_slope", "calibration_intercept"}


def test_precision_without_a_positive_answer_is_undefined() -> None:
    found = values(metrics_for("binary", np.array([0.0, 1.0]), np.array([[0.1], [0.2]])), 2)
    assert math.isnan(found["precision"])
    assert (found["recall"], found["f1"]) == (0.0, 0.0)


def test_a_class_that_never_occurs_counts_in_no_mean() -> None:
    answers = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
    found = values(metrics_for("multiclass", np.array([0, 1]), answers), 2)
    assert found["f1_macro"] == 1.0
    assert math.isnan(found["f1[2]"])
    assert found["auc"] == 1.0


def test_classes_that_a_threshold_separates_have_no_slope() -> None:
    found = values(
        metrics_for("binary", np.array([0.0, 0.0, 1.0, 1.0]), np.array([[0.1], [0.2], [0.8], [0.9]])), 4
    )
    assert math.isnan(found["calibration_slope"])
    assert found["auc"] == 1.0


def test_scores_that_are_no_chances_are_cut_at_0_and_not_calibrated() -> None:
    found = values(metrics_for("binary", np.array([0.0, 1.0, 1.0]), np.array([[-2.0], [0.3], [-0.1]])), 3)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["auc"] == 1.0
    assert "log_loss" not in found


def test_logits_of_classes_give_decisions_and_areas_alone() -> None:
    answers = np.array([[3.0, -1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 2.0, 9.0]])
    found = values(metrics_for("multiclass", np.array([0, 1, 2]), answers), 3)
    assert found["accuracy"] == 1.0
    assert found["auc"] == pytest.approx((1 + 0.75 + 1) / 3)
    assert "brier" not in found


def test_a_target_of_0_has_no_percentage() -> None:
    found = values(metrics_for("regression", np.array([0.0, 1.0]), np.array([[1.0], [1.0]])), 2)
    assert math.isnan(found["mape"])


def test_r2_of_a_constant_is_undefined() -> None:
    assert math.isnan(values(metrics_for("regression", np.ones(3), np.ones((3, 1))), 3)["r2"])


def test_the_calibration_error_by_hand() -> None:
    truth, chances = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.3, 0.6, 0.6])
    (found,) = values([calibration_error(truth, chances, bins=2)], 4).values()
    assert found == pytest.approx((0.4 + 0.8) / 4)


@pytest.mark.parametrize("bins", [1, 3, 10])
def test_bins_hold_about_equal_numbers_of_rows(bins: int) -> None:
    sizes = np.bincount(equal_bins(np.random.default_rng(0).random(1000), bins))
    assert len(sizes) == bins
    assert sizes.min() >= 1000 / bins - 1


def test_equal_answers_are_in_one_bin_and_no_bin_is_empty() -> None:
    answers = np.r_[np.zeros(90), np.linspace(0.1, 1, 10)]
    places = equal_bins(answers)
    assert len(set(places[:90].tolist())) == 1
    assert np.bincount(places).min() > 0


def test_rows_that_do_not_add_up_are_no_chances() -> None:
    assert are_chances(np.array([[0.2, 0.8]]))
    assert not are_chances(np.array([[0.2, 0.2]]))


# --- a user's own ---


def test_an_own_figure_of_one_number_is_called_with_the_drawn_rows(two: tuple[Array, Array]) -> None:
    target, answers = two

    def positives(target: Array, answers: Array) -> float:
        assert answers.shape == (len(target), 1)
        return float(target.sum())

    plan = Resampling(ROWS, resamples=OWN_DRAWS + 50)
    metric = own_metric("mine:positives", positives, target, answers)
    draw = metric.ready(plan)
    assert draw(np.ones((1, ROWS), np.float32))[0, 0] == target.sum()
    found = np.vstack([draw(counts) for counts in plan.counts()])[:, 0]
    expected = plan.sums(target.reshape(-1, 1))[:, 0]
    np.testing.assert_allclose(found[:OWN_DRAWS], expected[:OWN_DRAWS])
    assert np.isnan(found[OWN_DRAWS:]).all()


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1)])
def test_an_own_figure_of_one_number_a_row_is_averaged(
    two: tuple[Array, Array], shape: tuple[int, ...]
) -> None:
    def gaps(target: Array, answers: Array) -> Array:
        return np.abs(target - answers[:, 0]).reshape(shape)

    found = values([own_metric("mine:gaps", gaps, *two)])
    assert found["mine:gaps"] == pytest.approx(sk.mean_absolute_error(two[0], two[1]))


@pytest.mark.parametrize("function", [lambda target, answers: np.ones(3), lambda target, answers: "high"])
def test_an_own_figure_that_is_no_number_is_refused(
    two: tuple[Array, Array], function: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=r"expected one number|could not convert"):
        own_metric("mine:odd", function, *two)
