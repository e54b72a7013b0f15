"""The estimate of the loss without labels: by hand, as properties, against NannyML's formula, and its coverage."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.loss_estimate import (
    LEAST_ROWS,
    EstimatedRows,
    ExpectedLosses,
    LossEstimate,
    LossEstimator,
    class_losses,
    estimate,
    estimated_rows,
    expected_losses,
    fit_estimator,
    read_estimator,
    scored,
    scores_of,
    sums_of,
    surprises,
    trusting,
    write_estimator,
)
from monitoring.loss_trust import trust

Array = npt.NDArray[np.float64]
Rows = tuple[Array, Array, Array]  # inputs, answers, targets


def log_losses(targets: Array, answers: Array) -> Array:
    chances = np.column_stack([1 - answers[:, 0], answers[:, 0]]) if answers.shape[1] == 1 else answers
    return np.asarray(-np.log(chances[np.arange(len(targets)), targets.astype(int)]))


def errors(targets: Array, answers: Array) -> Array:
    return np.asarray(((answers[:, 0] > 0.5) != targets).astype(float))


def squares(targets: Array, answers: Array) -> Array:
    return np.asarray((targets - answers[:, 0]) ** 2)


def two_classes(rng: np.random.Generator, rows: int, shift: float = 0.0, bold: float = 1.0) -> Rows:
    """Rows whose log-odds are their first column; the answer's are so many times as large."""
    inputs = rng.standard_normal((rows, 3)) + shift
    targets = (rng.random(rows) < 1 / (1 + np.exp(-inputs[:, 0]))).astype(float)
    return inputs, 1 / (1 + np.exp(-bold * inputs[:, :1])), targets


def numbers(rng: np.random.Generator, rows: int, shift: float = 0.0) -> Rows:
    """Rows whose noise grows with their first column."""
    inputs = rng.standard_normal((rows, 3)) + shift
    return inputs, inputs[:, 1:2], inputs[:, 1] + np.exp(0.4 * inputs[:, 0]) * rng.standard_normal(rows)


def made(
    inputs: Array,
    answers: Array,
    targets: Array,
    losses: Any = log_losses,
    classes: int = 2,
    windows: Sequence[npt.NDArray[np.intp]] = (),
) -> LossEstimator:
    found = fit_estimator(inputs, answers, targets, losses, classes=classes, windows=windows)
    assert found is not None
    return found


def of(estimator: LossEstimator, inputs: Array, answers: Array, losses: Any) -> LossEstimate:
    return estimate(estimator, sums_of(expected_losses(estimator, inputs, answers, losses)))


@pytest.fixture(scope="module")
def chances() -> LossEstimator:
    return made(*two_classes(np.random.default_rng(0), 3000))


@pytest.fixture(scope="module")
def squared() -> LossEstimator:
    return made(*numbers(np.random.default_rng(0), 3000), losses=squares, classes=0)


# --- by hand ---


def test_where_chances_are_right_the_expected_log_loss_is_their_entropy(chances: LossEstimator) -> None:
    right = replace(chances, weights=np.zeros_like(chances.weights))
    found = expected_losses(right, np.zeros((2, 3)), np.array([[0.5], [0.9]]), log_losses)
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert found.mean == pytest.approx([math.log(2), entropy])
    assert found.variance[0] == pytest.approx(0)


def test_where_chances_are_right_the_expected_error_is_nannymls(chances: LossEstimator) -> None:
    # CBPE: the expected share of hits is the mean of the larger chance
    right = replace(chances, weights=np.zeros_like(chances.weights))
    answers = np.array([[0.2], [0.7], [0.95]])
    assert expected_losses(right, np.zeros((3, 3)), answers, errors).mean == pytest.approx([0.2, 0.3, 0.05])


def test_the_loss_with_every_class_is_the_row_loss() -> None:
    found = class_losses(np.array([[0.25], [0.5]]), 2, log_losses)
    assert found == pytest.approx(-np.log([[0.75, 0.25], [0.5, 0.5]]))


def test_scores_are_log_odds() -> None:
    assert scores_of(np.array([[0.75]]), 2, True) == pytest.approx(np.array([[0, math.log(3)]]))
    assert scores_of(np.array([[1.5]]), 2, False) == pytest.approx(np.array([[0, 1.5]]))
    three = scores_of(np.array([[0.5, 0.25, 0.25]]), 3, True)
    assert three[0, 0] - three[0, 1] == pytest.approx(math.log(2))
    assert scores_of(np.array([[7.0]]), 0, False).tolist() == [[7.0]]


def test_errors_add_up_in_squares_and_the_interval_of_a_loss_stays_above_0() -> None:
    found = LossEstimate(100, 0.1, 0.1, chance=0.3, model=0.4, windows=0.0)
    assert found.error == pytest.approx(0.5)
    assert 0 < found.low < 0.1 < found.high
    signed = replace(found, signed=True)
    assert (signed.low, signed.high) == pytest.approx((0.1 - 0.5 * 1.645, 0.1 + 0.5 * 1.645), abs=1e-3)


def test_it_tells_itself_in_a_line() -> None:
    found = LossEstimate(100, 0.31, 0.3, chance=0.012, model=0.0, windows=0.0)
    assert str(found) == "estimated loss 0.31 (0.2909 to 0.3304)"
    doubted = replace(found, trusted=False, reason="its labels disagree")
    assert str(doubted).endswith(", not to be trusted: its labels disagree")


# --- properties ---


@pytest.mark.parametrize("bold", [0.5, 1.0, 3.0])
def test_on_its_own_reference_the_estimate_is_the_mean_loss(bold: float) -> None:
    rows = two_classes(np.random.default_rng(1), 3000, bold=bold)
    found = made(*rows)
    assert of(found, *rows[:2], log_losses).loss == pytest.approx(found.loss, rel=1e-3)
    signed = numbers(np.random.default_rng(2), 3000)
    for losses in (squares, lambda target, answer: squares(target, answer) - 5.0):
        own = made(*signed, losses=losses, classes=0)
        assert of(own, *signed[:2], losses).loss == pytest.approx(own.loss)


def test_too_bold_chances_are_calibrated() -> None:
    rng = np.random.default_rng(3)
    found = made(*two_classes(rng, 3000, bold=3.0))
    inputs, answers, targets = two_classes(rng, 20_000, shift=0.8, bold=3.0)
    realised = log_losses(targets, answers).mean()
    assert of(found, inputs, answers, log_losses).loss == pytest.approx(realised, rel=0.05)
    taken_at_its_word = -(answers * np.log(answers) + (1 - answers) * np.log1p(-answers)).mean()
    assert taken_at_its_word < 0.5 * realised


def test_a_shift_to_noisier_rows_raises_the_estimate_as_it_raises_the_loss(squared: LossEstimator) -> None:
    inputs, answers, targets = numbers(np.random.default_rng(4), 20_000, shift=0.5)
    found = of(squared, inputs, answers, squares)
    assert found.loss > 1.3 * squared.loss
    assert found.loss == pytest.approx(squares(targets, answers).mean(), rel=0.15)


def test_far_from_its_reference_the_model_doubts_more(squared: LossEstimator) -> None:
    near, far = (
        of(squared, *numbers(np.random.default_rng(5), 1000, shift=shift)[:2], squares)
        for shift in (0.0, 3.0)
    )
    assert far.model / far.loss > 3 * near.model / near.loss


def test_sums_of_parts_add_up_to_the_whole(chances: LossEstimator) -> None:
    inputs, answers, _ = two_classes(np.random.default_rng(6), 500)
    parts = [
        sums_of(expected_losses(chances, inputs[rows], answers[rows], log_losses))
        for rows in (slice(0, 100), slice(100, 500))
    ]
    whole, added = of(chances, inputs, answers, log_losses), estimate(chances, parts[0] + parts[1])
    assert (added.rows, added.loss, added.error) == pytest.approx((500, whole.loss, whole.error))


def test_several_classes_are_calibrated_together() -> None:
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((6000, 3))
    odds = np.exp(inputs)
    right = odds / odds.sum(axis=1, keepdims=True)
    targets = (np.log(right) + rng.gumbel(size=right.shape)).argmax(axis=1).astype(float)
    bold = right**2 / (right**2).sum(axis=1, keepdims=True)
    found = made(inputs[:3000], bold[:3000], targets[:3000], classes=3)
    late = inputs[3000:], bold[3000:]
    assert of(found, *late, log_losses).loss == pytest.approx(
        log_losses(targets[3000:], late[1]).mean(), rel=0.05
    )


def test_windows_that_differ_more_than_rows_do_widen_the_interval() -> None:
    rng = np.random.default_rng(8)
    inputs, answers, targets = numbers(rng, 4000)
    windows = np.array_split(np.arange(4000), 20)
    targets = answers[:, 0] + (targets - answers[:, 0]) * np.repeat(np.exp(rng.normal(0, 0.2, 20)), 200)
    plain = made(inputs, answers, targets, losses=squares, classes=0)
    wide = made(inputs, answers, targets, losses=squares, classes=0, windows=windows)
    assert plain.spread == 0.0
    assert wide.spread == pytest.approx(0.4, abs=0.2)  # squares: twice the spread of the logarithms


def test_surprises_of_an_unchanged_world_are_about_0() -> None:
    rng = np.random.default_rng(9)
    for rows, losses, classes in ((two_classes, log_losses, 2), (numbers, squares, 0)):
        found = made(*rows(rng, 4000), losses, classes)
        inputs, answers, targets = rows(rng, 4000)
        expected = expected_losses(found, inputs, answers, losses)
        values, variances = surprises(found, expected, losses(targets, answers))
        assert values.mean() == pytest.approx(0, abs=0.06)
        assert values.var() == pytest.approx(variances.mean(), rel=0.15)


def test_surprises_of_a_loss_that_doubled_are_about_one(squared: LossEstimator) -> None:
    inputs, answers, targets = numbers(np.random.default_rng(10), 4000)
    expected = expected_losses(squared, inputs, answers, squares)
    values, _ = surprises(squared, expected, 2 * squares(targets, answers))
    assert values.mean() == pytest.approx(0.8, abs=0.2)  # a little is winsorised


# --- windows ---


def rows_of(estimator: LossEstimator, rows: Rows, labelled: int, losses: Any) -> EstimatedRows:
    inputs, answers, targets = rows
    realised = np.where(np.arange(len(targets)) < labelled, losses(targets, answers), np.nan)
    return estimated_rows(estimator, inputs, answers, realised, losses)


def test_rows_with_and_without_labels_count_for_what_they_are(chances: LossEstimator) -> None:
    rows = two_classes(np.random.default_rng(20), 300)
    found = rows_of(chances, rows, 100, log_losses)
    assert (found.all.rows, found.labelled.rows, len(found.surprises)) == (300, 100, 100)
    assert found.realised == pytest.approx(log_losses(rows[2][:100], rows[1][:100]).sum())
    assert found.unlabelled().all == found.all
    assert scored(chances, found.unlabelled()).surprises.size == 0


def test_a_window_in_parts_is_the_window(squared: LossEstimator) -> None:
    inputs, answers, targets = numbers(np.random.default_rng(21), 400)
    whole = rows_of(squared, (inputs, answers, targets), 400, squares)
    first, second = (
        rows_of(squared, (inputs[part], answers[part], targets[part]), 400, squares)
        for part in (slice(0, 150), slice(150, 400))
    )
    assert scored(squared, first + second).miss == pytest.approx(scored(squared, whole).miss)
    assert (first + second).surprises == pytest.approx(whole.surprises)


def test_a_row_without_an_answer_is_left_out(squared: LossEstimator) -> None:
    inputs, answers, targets = numbers(np.random.default_rng(22), 100)
    answers[3] = np.nan
    assert rows_of(squared, (inputs, answers, targets), 50, squares).all.rows == 99


def test_a_concept_change_takes_the_trust(squared: LossEstimator) -> None:
    rng = np.random.default_rng(23)
    windows = []
    for away in (1.0, 1.0, 1.0, 2.0, 2.0):
        inputs, answers, targets = numbers(rng, 300)
        moved = answers[:, 0] + away * (targets - answers[:, 0])
        windows.append(rows_of(squared, (inputs, answers, moved), 300, squares))
    states = trust([scored(squared, one) for one in windows], 1000)
    said = [trusting(estimate(squared, windows[0].all), state) for state in (None, *states)]
    assert [one.trusted for one in said] == [True, True, True, True, False, False]
    assert said[0].reason == "no label has come yet to score the estimate"
    assert "above the estimate" in said[-1].reason


def test_a_window_without_rows_is_left_with_nothing(squared: LossEstimator) -> None:
    empty = rows_of(squared, numbers(np.random.default_rng(24), 0), 0, squares)
    assert (empty.all.rows, empty.labelled.rows) == (0, 0)


def test_far_from_its_reference_it_does_not_ask_to_be_trusted(squared: LossEstimator) -> None:
    far = rows_of(squared, numbers(np.random.default_rng(25), 300, shift=8.0), 0, squares)
    doubtful = replace(squared, draws=3 * squared.draws)
    found = trusting(estimate(doubtful, far.all), None)
    assert not found.trusted
    assert "where the reference has few rows" in found.reason


# --- what may come ---


def test_of_too_few_rows_nothing_is_learned() -> None:
    rows = two_classes(np.random.default_rng(11), LEAST_ROWS - 1)
    assert fit_estimator(*rows, row_losses=log_losses, classes=2) is None


def test_rows_without_a_loss_are_left_out() -> None:
    inputs, answers, targets = numbers(np.random.default_rng(12), 400)
    targets[:100] = np.nan
    assert made(inputs, answers, targets, losses=squares, classes=0).rows == 300


def test_a_reference_without_any_loss_expects_none() -> None:
    inputs, answers, _ = two_classes(np.random.default_rng(13), 400)
    found = fit_estimator(inputs, answers, (answers[:, 0] > 0.5).astype(float), errors, classes=2)
    assert found is not None
    assert 0 <= of(found, inputs, answers, errors).loss < 0.05


def test_numbers_that_are_answered_exactly_have_no_loss() -> None:
    inputs, answers, _ = numbers(np.random.default_rng(14), 400)
    found = made(inputs, answers, answers[:, 0], losses=squares, classes=0)
    said = of(found, inputs, answers, squares)
    assert said.loss == 0.0
    assert (said.low, said.high) == pytest.approx((0.0, 0.0), abs=1e-4)


def test_constant_and_missing_inputs_are_borne(squared: LossEstimator) -> None:
    rng = np.random.default_rng(15)
    answers = rng.standard_normal((400, 1))
    constant = made(
        np.ones((400, 2)), answers, answers[:, 0] + rng.standard_normal(400), losses=squares, classes=0
    )
    assert of(constant, np.full((5, 2), 7.0), answers[:5], squares).loss > 0
    missing = of(squared, np.full((5, 3), np.nan), answers[:5], squares)
    assert math.isfinite(missing.loss)


def test_the_same_rows_give_the_same_estimator_in_any_process(chances: LossEstimator) -> None:
    again = made(*two_classes(np.random.default_rng(0), 3000))
    assert json.dumps(write_estimator(again)) == json.dumps(write_estimator(chances))


@pytest.mark.parametrize("name", ["chances", "squared"])
def test_it_comes_back_from_json_as_it_was(name: str, request: pytest.FixtureRequest) -> None:
    estimator = request.getfixturevalue(name)
    losses = {"chances": log_losses, "squared": squares}[name]
    text = json.dumps(write_estimator(estimator), allow_nan=False)
    again = read_estimator(json.loads(text))
    rows = numbers(np.random.default_rng(16), 50)[0], np.full((50, 1), 0.3)
    assert of(again, *rows, losses).loss == pytest.approx(of(estimator, *rows, losses).loss, rel=1e-4)
    assert write_estimator(again) == write_estimator(estimator)
    assert len(text) < 300_000


def test_expected_losses_hold_what_they_are_told() -> None:
    found = sums_of(ExpectedLosses(np.array([1.0, 2.0]), np.array([0.5, 0.5]), np.array([3.0])))
    assert (found.rows, found.loss, found.variance, found.gradient.tolist()) == (2, 3.0, 1.0, [3.0])


# --- calibration ---


@pytest.mark.parametrize(("rows", "losses", "classes"), [(two_classes, log_losses, 2), (numbers, squares, 0)])
def test_intervals_hold_about_nine_realised_losses_in_ten(rows: Any, losses: Any, classes: int) -> None:
    held = []
    for seed in range(15):
        rng = np.random.default_rng([seed, 17])
        inputs, answers, targets = rows(rng, 1500)
        found = made(inputs, answers, targets, losses, classes)
        for shift in (-0.5, 0.0, 0.4, 0.8):
            inputs, answers, targets = rows(rng, 400, shift=shift)
            said = of(found, inputs, answers, losses)
            held.append(said.low <= losses(targets, answers).mean() <= said.high)
    assert 0.8 <= np.mean(held) <= 0.99
