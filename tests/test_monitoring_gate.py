"""The gate: only what is better beyond chance, on rows nobody has seen, and forgets nothing."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.gate import Comparison, GateConfig, compare_losses, judge_challenger


def comparison(gain: float, *, margin: float = 0.01, rows: int = 500, champion: float = 1.0) -> Comparison:
    return Comparison(rows, champion, champion - gain, gain - margin, gain + margin)


def test_the_gain_is_the_loss_saved_a_row() -> None:
    found = compare_losses(np.array([3.0, 5.0, 4.0]), np.array([2.0, 3.0, 2.5]), confidence=0.95)
    assert (found.rows, found.champion, found.challenger, found.gain) == (3, 4.0, 2.5, 1.5)


def test_the_bounds_are_those_of_a_paired_t_test() -> None:
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    champion = rng.exponential(size=30)
    challenger = champion - 0.1 + 0.2 * rng.standard_normal(30)
    found = compare_losses(champion, challenger, confidence=0.95)
    interval = ttest_1samp(champion - challenger, 0).confidence_interval(0.90)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))


def test_the_same_losses_gain_nothing() -> None:
    losses = np.random.default_rng(1).exponential(size=1000)
    found = compare_losses(losses, losses, confidence=0.95)
    assert (found.gain, found.lower, found.upper) == (0.0, 0.0, 0.0)
    assert not judge_challenger(found, None, GateConfig()).promoted


def test_neighbouring_rows_are_not_independent_witnesses() -> None:
    rng = np.random.default_rng(2)
    hours = np.repeat(rng.standard_normal(40), 50)
    together = compare_losses(1.0 + hours, np.ones(2000), confidence=0.95)
    apart = compare_losses(1.0 + rng.permutation(hours), np.ones(2000), confidence=0.95)
    assert together.upper - together.lower > 3 * (apart.upper - apart.lower)


def test_many_challengers_have_to_show_more() -> None:
    rng = np.random.default_rng(3)
    champion, challenger = 1.1 + 0.1 * rng.standard_normal(400), 1.0 + 0.1 * rng.standard_normal(400)
    one = compare_losses(champion, challenger, confidence=0.95)
    four = compare_losses(champion, challenger, confidence=0.95, challengers=4)
    assert four.lower < one.lower < one.gain == four.gain


def test_by_chance_few_are_let_in() -> None:
    rng = np.random.default_rng(4)
    passed = 0
    for _ in range(400):
        difference = rng.standard_normal(200)
        found = compare_losses(1.0 + difference, np.ones(200), confidence=0.95)
        passed += judge_challenger(found, None, GateConfig()).promoted
    assert 5 <= passed <= 35  # 20 expected


def test_one_row_has_no_bounds_and_lets_nobody_in() -> None:
    found = compare_losses(np.array([2.0]), np.array([1.0]), confidence=0.95)
    assert np.isnan([found.lower, found.upper]).all()
    assert not judge_challenger(found, None, GateConfig(least_rows=10)).promoted


def test_a_challenger_that_is_better_is_let_in_with_the_figures() -> None:
    promotion = judge_challenger(comparison(0.25), None, GateConfig())
    assert promotion.promoted
    assert promotion.reasons == ("loss 1 → 0.75 on 500 unseen rows, gain 0.25 (at least 0.24)",)


def test_a_gain_within_chance_is_refused_with_the_figures() -> None:
    promotion = judge_challenger(comparison(0.05, margin=0.06), None, GateConfig())
    assert not promotion.promoted
    assert promotion.reasons == (
        "not better on 500 unseen rows: loss 1 → 0.95, gain 0.05 (at least -0.01, needed above 0)",
    )


def test_a_loss_that_is_no_number_is_refused() -> None:
    champion, challenger = np.ones(200), np.ones(200)
    challenger[7] = np.nan
    found = compare_losses(champion, challenger, confidence=0.95)
    assert not judge_challenger(found, None, GateConfig()).promoted
    assert not judge_challenger(comparison(0.2), found, GateConfig()).promoted


@pytest.mark.parametrize("new", [None, comparison(0.5, rows=49)])
def test_without_rows_to_judge_on_nobody_is_let_in(new: Comparison | None) -> None:
    promotion = judge_challenger(new, comparison(0.5), GateConfig())
    assert not promotion.promoted
    assert "unseen rows to judge on, 50 are needed" in promotion.reasons[0]


def test_forgetting_more_than_is_won_is_refused() -> None:
    promotion = judge_challenger(comparison(0.08), comparison(-0.10), GateConfig())
    assert promotion.reasons == ("forgets: loss on 500 older rows 1 → 1.1, allowed 1.08",)
    assert judge_challenger(comparison(0.2), comparison(-0.10), GateConfig()).promoted


def test_a_rise_below_the_tolerance_is_no_forgetting() -> None:
    assert judge_challenger(comparison(0.02), comparison(-0.04), GateConfig()).promoted
    refused = judge_challenger(comparison(0.02), comparison(-0.06), GateConfig())
    assert refused.reasons == ("forgets: loss on 500 older rows 1 → 1.06, allowed 1.05",)


def test_older_rows_that_tell_little_but_nothing_bad_refuse_nobody() -> None:
    unsure = comparison(0.1, margin=0.5)
    assert judge_challenger(comparison(0.02), unsure, GateConfig()).promoted


def test_only_where_nothing_is_better_the_loss_of_the_champion_is_settled() -> None:
    assert judge_challenger(comparison(0.05, margin=0.06), None, GateConfig()).settled
    assert not judge_challenger(comparison(0.08), comparison(-0.10), GateConfig()).settled
    assert not judge_challenger(comparison(-0.5, rows=49), None, GateConfig()).settled
    assert not judge_challenger(comparison(0.2), None, GateConfig()).settled


def test_after_a_change_of_concept_the_older_rows_do_not_count() -> None:
    assert judge_challenger(comparison(0.2), comparison(-0.5), GateConfig(), anchor_counts=False).promoted


def test_few_older_rows_do_not_count() -> None:
    assert judge_challenger(comparison(0.2), comparison(-0.5, rows=20), GateConfig()).promoted


def test_losses_below_zero_have_their_tolerance_too() -> None:
    worse = Comparison(500, -2.0, -1.95, -0.06, -0.04)
    assert judge_challenger(comparison(0.2), worse, GateConfig()).promoted
    assert not judge_challenger(comparison(0.03), worse, GateConfig(anchor_tolerance=0.01)).promoted
