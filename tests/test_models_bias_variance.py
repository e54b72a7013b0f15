"""The parts add up, are those of the papers, and name what is too simple and what is too flexible."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.bias_variance import BiasVariance, bias_variance, decompose, decompose_decisions
from models.intervals import Interval, Resampling
from models.losses import row_losses

Array = Any
squared = partial(row_losses, "mse")
surprise = partial(row_losses, "binary_crossentropy")


def mean_parts(parts: Any) -> tuple[float, float, float]:
    return tuple(float(np.mean(part)) for part in (parts.loss, parts.systematic, parts.variance))  # type: ignore[return-value]


# --- the decompositions ---


def test_squared_error_is_told_apart_without_bias_from_few_fits() -> None:
    rng = np.random.default_rng(0)
    truth, centre, spread = 2.0, 3.0, 0.5
    found = []
    for _ in range(4000):
        answers = rng.normal(centre, spread, (3, 1, 1))
        found.append(mean_parts(decompose("regression", "mse", np.array([truth]), answers, squared)))
    loss, systematic, variance = np.mean(found, axis=0)
    assert loss == pytest.approx((centre - truth) ** 2 + spread**2, rel=0.03)
    assert systematic == pytest.approx((centre - truth) ** 2, rel=0.03)
    assert variance == pytest.approx(spread**2, rel=0.05)


def test_the_variance_of_log_loss_is_the_mean_divergence_from_the_geometric_mean() -> None:
    answers = np.array([[[0.2]], [[0.6]], [[0.7]]])
    parts = decompose("binary", "bce", np.array([1.0]), answers, surprise)
    chances = np.concatenate([1 - answers, answers], axis=2)[:, 0]
    centre = np.exp(np.log(chances).mean(axis=0))
    centre /= centre.sum()
    divergence = np.mean([(centre * np.log(centre / one)).sum() for one in chances])
    assert parts.kind == "log loss"
    assert parts.variance[0] == pytest.approx(divergence * 3 / 2)
    assert parts.loss[0] - divergence == pytest.approx(-math.log(centre[1]))


@given(arrays(np.float64, (3, 4, 3), elements=st.floats(0.01, 1)), st.integers(0, 2))
def test_the_log_loss_of_several_classes_adds_up_and_varies_by_no_less_than_0(raw: Array, one: int) -> None:
    answers = raw / raw.sum(axis=2, keepdims=True)
    loss = "sparse_categorical_crossentropy"
    parts = decompose("multiclass", loss, np.full(4, one), answers, partial(row_losses, loss))
    np.testing.assert_allclose(parts.systematic + parts.variance, parts.loss)
    assert (parts.variance >= -1e-9).all()


def test_fits_that_agree_have_no_variance() -> None:
    answers = np.full((4, 5, 1), 0.3)
    for loss in ("bce", "mse", "hinge"):
        parts = decompose("binary", loss, np.ones(5), answers, partial(row_losses, loss))
        np.testing.assert_allclose(parts.variance, 0, atol=1e-9)


def test_any_other_loss_is_split_at_the_mean_answer() -> None:
    answers = np.array([[[0.0]], [[2.0]]])
    parts = decompose("regression", "mae", np.array([1.0]), answers, partial(row_losses, "mae"))
    assert (parts.kind, parts.loss.tolist(), parts.variance.tolist()) == ("effect of variance", [1.0], [1.0])


def test_scores_that_are_no_chances_are_not_taken_for_log_loss() -> None:
    answers = np.array([[[-1.0]], [[2.0]]])
    assert decompose("binary", "bce", np.array([1.0]), answers, surprise).kind == "effect of variance"


def test_a_users_own_loss_is_split_too() -> None:
    answers = np.array([[[0.0]], [[2.0]]])
    parts = decompose("regression", "mine:loss", np.array([1.0]), answers, lambda t, a: np.abs(t - a[:, 0]))
    assert parts.loss.tolist() == [1.0]


def test_one_fit_tells_nothing() -> None:
    with pytest.raises(ValueError, match="1 fits came; expected at least 2"):
        decompose("binary", "bce", np.array([1.0]), np.full((1, 1, 1), 0.5), surprise)


@given(arrays(np.int64, (5, 8), elements=st.integers(0, 2)), arrays(np.int64, 8, elements=st.integers(0, 2)))
def test_wrong_decisions_add_up(decisions: Array, target: Array) -> None:
    parts = decompose_decisions(target, decisions)
    assert parts.error == pytest.approx(np.mean(decisions != target))
    assert parts.error == pytest.approx(parts.bias + parts.variance_unbiased - parts.variance_biased)


# --- what they say ---


def polynomials(degree: int, fits: int = 6, rows: int = 40) -> BiasVariance:
    """Curves of a degree, each fitted to other rows of a sine with noise."""
    rng = np.random.default_rng(1)
    place = rng.uniform(-1, 1, 3000)
    target = np.sin(3 * place) + rng.normal(0, 0.3, 3000)
    answers, seen = [], []
    for _ in range(fits):
        learned = rng.uniform(-1, 1, rows)
        truth = np.sin(3 * learned) + rng.normal(0, 0.3, rows)
        curve = np.polynomial.Polynomial.fit(learned, truth, degree)
        answers.append(curve(place).reshape(-1, 1))
        seen.append(np.square(curve(learned) - truth).mean())
    parts = decompose("regression", "mse", target, np.clip(np.stack(answers), -3, 3), squared)
    best = float(np.square(target - np.sin(3 * place)).mean())
    return bias_variance(
        parts,
        Resampling(3000, resamples=200),
        fits=fits,
        rows=rows,
        seen=float(np.mean(seen)),
        least=best,
        least_name="the truth",
    )


def test_a_straight_line_through_a_sine_is_too_simple() -> None:
    found = polynomials(1)
    assert (found.too_simple, found.too_flexible) == (True, False)
    assert found.verdict.startswith("too simple: the best of all models, the truth, has 0.09")


def test_a_wild_curve_through_few_points_is_too_flexible() -> None:
    found = polynomials(14)
    assert (found.too_simple, found.too_flexible) == (False, True)
    assert found.verdict.startswith("too flexible for so many rows")
    assert found.seen < found.loss.value


def test_the_right_curve_on_enough_rows_is_neither() -> None:
    found = polynomials(5, rows=2000)
    assert not found.too_simple
    assert not found.too_flexible
    assert found.verdict.startswith("neither too simple nor too flexible")


def test_without_another_model_nothing_is_called_too_simple() -> None:
    found = BiasVariance(
        5, 100, "log loss", Interval(1.0), Interval(1, 0.9, 1.1), Interval(0.0, 0.0, 0.01), 1.0
    )
    assert not found.too_simple
    assert "best of all" not in found.verdict


def test_both_at_once_are_told_together() -> None:
    found = BiasVariance(
        5, 99, "log loss", Interval(1.0), Interval(0.8, 0.7, 0.9), Interval(0.2, 0.1, 0.3), 0.5, 0.4, "trees"
    )
    assert found.verdict.startswith(
        "too simple in one place and too flexible in another: the best of all models, trees, has 0.4"
    )


def test_rows_of_another_kind_are_neither_bias_nor_variance() -> None:
    parts = (Interval(1.0, 0.9, 1.1), Interval(0.98, 0.9, 1.1), Interval(0.02, 0.01, 0.03))
    assert "of another time or kind" in BiasVariance(5, 99, "log loss", *parts, 0.3).verdict
    assert "of another time or kind" not in BiasVariance(5, 99, "log loss", *parts, 0.9).verdict
