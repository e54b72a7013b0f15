"""The benchmark of the estimate: what it compares with is what it says, and its problems shift inputs alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.estimate import Compared, changed, compare, until_withdrawn, withdrawals
from benchmarks.estimate_problems import (
    JUDGED,
    TUNED,
    Made,
    Problem,
    Rows,
    digits,
    grouped_inputs,
    mixing,
    normal_inputs,
    row_losses,
    tilting,
    uneven_number,
    uniform_inputs,
)
from monitoring.loss_estimate import fit_estimator
from monitoring.loss_trust import Scored

Array = npt.NDArray[np.float64]


class Line:
    """Answers the first column, so that nothing has to be taught."""

    def fit(self, inputs: Array, targets: Array) -> Line:
        return self

    def predict(self, inputs: Array) -> Array:
        return np.asarray(inputs[:, 0])


@pytest.fixture(scope="module")
def problem() -> Problem:
    made = Made(grouped_inputs, mixing, uneven_number, Line, ("squared",))
    return Problem("a line", 0, ("squared",), made)


def test_losses_of_rows_are_those_of_their_names() -> None:
    targets = np.array([1.0, 0.0])
    assert row_losses("squared", targets, np.array([[3.0], [1.0]])).tolist() == [4.0, 1.0]
    assert row_losses("absolute", targets, np.array([[3.0], [1.0]])).tolist() == [2.0, 1.0]
    assert row_losses("log", targets, np.array([[0.5], [0.75]])) == pytest.approx(-np.log([0.5, 0.25]))
    assert row_losses("error", targets, np.array([[0.1, 0.9, 0.0], [0.2, 0.3, 0.5]])).tolist() == [0.0, 1.0]


def test_what_was_chosen_on_is_not_what_is_judged() -> None:
    assert {one.name for one in TUNED}.isdisjoint(one.name for one in JUDGED)
    targets = [{one.run.target for one in group if isinstance(one.run, Made)} for group in (TUNED, JUDGED)]
    assert targets[0].isdisjoint(targets[1])


def test_a_tilt_moves_its_columns_and_no_other() -> None:
    rng = np.random.default_rng(0)
    tilt = tilting(rng)
    moved = uniform_inputs(rng, 20_000, tilt).mean(axis=0) - 0.5
    assert (np.abs(moved[tilt != 0]) > 0.02).all()
    assert (np.abs(moved[tilt == 0]) < 0.01).all()
    assert normal_inputs(rng, 5, None).shape == (5, 8)


def test_windows_have_the_loss_that_their_truth_says(problem: Problem) -> None:
    run = problem.run(np.random.default_rng(1))
    shown = [row_losses("squared", one.targets, one.answers).mean() for one in run.windows]
    assert run.truth["squared"] == pytest.approx(np.array(shown), rel=0.25)


def test_estimates_are_compared_window_by_window(problem: Problem) -> None:
    run = problem.run(np.random.default_rng(2))
    rows = run.reference
    estimator = fit_estimator(
        rows.inputs, rows.answers, rows.targets, lambda t, a: row_losses("squared", t, a), classes=0
    )
    assert estimator is not None
    found = compare([run], [estimator], "squared", [{"loss": [1.0] * len(run.windows)}])
    assert len(found.ours) == len(run.windows)
    assert found.error < 0.3
    assert np.isnan(found.their_errors).all()
    seen = withdrawals(problem, [run], [estimator], "squared")
    assert (seen.windows, len(seen.labels)) == (len(run.windows), 2)


def test_errors_are_shares_and_multiples() -> None:
    ones = np.ones(2)
    found = Compared(ones, 2 * ones, 1.1 * ones, ones > 0, 0.8 * ones, ones, ones)
    assert (found.error, found.error_of_truth, found.beside) == pytest.approx((0.1, 0.45, 0.5))


def test_labels_are_counted_from_the_change() -> None:
    loud = Scored(np.ones(1000), np.ones(1000), 0.0)
    quiet = Scored(np.zeros(1000), np.ones(1000), 0.0)
    assert until_withdrawn([quiet], loud) <= 200
    assert until_withdrawn([quiet], quiet) == float("inf")


@pytest.mark.parametrize("kind", [0, 1])
def test_a_concept_change_changes_targets_and_nothing_else(kind: int, problem: Problem) -> None:
    rng = np.random.default_rng(3)
    rows = Rows(np.zeros((500, 1)), np.zeros((500, 1)), rng.standard_normal(500))
    assert np.mean(changed(rng, problem, rows, kind) ** 2) > 1.5
    classes = dataclasses.replace(problem, classes=3)
    same = changed(rng, classes, Rows(rows.inputs, rows.answers, np.ones(500)), kind) == 1.0
    assert 0.6 < same.mean() < 0.9


def test_digits_are_real_rows() -> None:
    inputs, targets = digits()
    assert inputs.shape == (1797, 64)
    assert set(targets) == set(range(10))
