"""Trust in the estimate: withdrawn soon after a change, seldom without one, given back when labels agree again."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.loss_trust import BATCH, NARROWEST, RETURN, Scored, trust

Array = npt.NDArray[np.float64]


def window(rng: np.random.Generator, labels: int, away: float = 0.0, doubt: float = 0.0) -> Scored:
    """Losses of squared normal noise, as shares of what was expected."""
    losses = (1 + away) * rng.standard_normal(labels) ** 2
    return Scored(losses - 1.0, np.full(labels, 2.0), doubt)


def test_before_any_label_it_is_trusted_and_says_so() -> None:
    found = trust([Scored(np.zeros(0), np.zeros(0), 0.0)], 1000)[0]
    assert found.trusted
    assert found.reason == "no label has come yet to score the estimate"


def test_labels_that_agree_are_counted() -> None:
    rng = np.random.default_rng(0)
    found = trust([window(rng, 200) for _ in range(10)], 1000)[-1]
    assert (found.trusted, found.labels, found.since, found.withdrawals) == (True, 2000, 0, 0)
    assert found.reason == "2,000 labels agree with it"


@pytest.mark.parametrize("away", [1.0, -0.6])
def test_it_is_withdrawn_within_500_labels_of_a_change(away: float) -> None:
    late = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        windows = [window(rng, 500) for _ in range(10)] + [window(rng, 50, away) for _ in range(10)]
        late.append(not trust(windows, 1000)[-1].trusted)
    assert np.mean(late) >= 0.98


def test_a_withdrawal_says_by_how_much_and_how_it_ends() -> None:
    rng = np.random.default_rng(1)
    found = trust([window(rng, 500) for _ in range(4)] + [window(rng, 500, 1.0)], 1000)[-1]
    assert not found.trusted
    assert found.away == pytest.approx(1.0, abs=0.3)
    assert "above the estimate" in found.reason
    assert "given back when 1,000 labels agree" in found.reason


def test_without_a_change_it_is_hardly_ever_withdrawn() -> None:
    withdrawn = sum(
        trust([window(np.random.default_rng([seed, one]), 500, away=0.03) for one in range(100)], 1000)[
            -1
        ].withdrawals
        for seed in range(20)
    )
    assert withdrawn <= 6  # 2 are expected of 2,000 windows, were it off by all that is allowed


def test_what_the_model_doubts_is_forgiven() -> None:
    rng = np.random.default_rng(2)
    windows = [window(rng, 500, away=0.3) for _ in range(10)]
    sure = trust(windows, 1000)[-1]
    unsure = trust([Scored(one.surprises, one.variances, 0.2) for one in windows], 1000)[-1]
    assert (sure.trusted, unsure.trusted) == (False, True)


def test_it_is_given_back_when_enough_labels_agree_again() -> None:
    rng = np.random.default_rng(3)
    windows = [window(rng, 500, 1.0) for _ in range(2)] + [window(rng, 500) for _ in range(12)]
    found = trust(windows, 1000)
    assert not found[1].trusted
    assert not found[2].trusted
    assert found[-1].trusted
    assert found[-1].needed == RETURN


def test_a_change_that_lasts_keeps_it_away() -> None:
    rng = np.random.default_rng(4)
    found = trust([window(rng, 500, 0.5) for _ in range(60)], 1000)
    assert not any(one.trusted for one in found[3:])


def test_after_a_second_withdrawal_twice_as_many_labels_must_agree() -> None:
    rng = np.random.default_rng(5)
    bad, good = [window(rng, 500, 1.5) for _ in range(2)], [window(rng, 500) for _ in range(12)]
    assert trust([*bad, *good, *bad], 1000)[-1].needed == 2 * RETURN


def test_few_labels_wait_until_they_are_a_batch() -> None:
    small = [Scored(np.ones(BATCH // 5), np.ones(BATCH // 5), 0.0) for _ in range(5)]
    assert trust(small[:4], 1000)[-1].evidence == 0.0
    assert trust(small, 1000)[-1].evidence > 0.0


def test_how_labels_fall_into_windows_changes_no_batch() -> None:
    rng = np.random.default_rng(6)
    values = rng.standard_normal(1000)
    whole = Scored(values, np.ones(1000), 0.0)
    parts = [Scored(part, np.ones(len(part)), 0.0) for part in np.split(values, [10, 333, 700])]
    assert trust(parts, 1000)[-1].evidence == pytest.approx(trust([whole], 1000)[-1].evidence)


def test_misses_widen_and_narrow_the_interval() -> None:
    nothing = np.zeros(0)

    def widened(miss: float) -> float:
        return trust([Scored(nothing, nothing, 0.0, miss) for _ in range(200)], 1000)[-1].widened

    assert widened(2.0) == pytest.approx(math.sqrt((20 + 800) / 220))
    assert widened(1.0) == pytest.approx(1.0)
    assert widened(0.0) == NARROWEST
    assert widened(math.nan) == 1.0
    assert widened(1e9) < 3.0


def test_labels_without_any_noise_speak_for_themselves() -> None:
    same = Scored(np.zeros(200), np.zeros(200), 0.0)
    other = Scored(np.full(400, 0.5), np.zeros(400), 0.0)
    assert [one.trusted for one in trust([same, other], 1000)] == [True, False]
