"""Rows labelled late that lose more are found, chance is not, and a window is corrected by what they will bring."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitoring.label_selection import LEAST_LATE, Selection, Stratum, corrected, selection
from monitoring.loss_alarm import LossLevel, loss_level


def strata(
    rng: np.random.Generator, *, windows: int = 4, rows: int = 500, more: float = 0.0, moving: float = 0.0
) -> list[Stratum]:
    """Losses that are exponential; three in ten late, these `more` times larger; their mean moves between windows."""
    made = []
    for window in range(windows):
        late = rng.random(rows) < 0.3
        losses = rng.exponential(1.0, rows) * (1 + more * late) * (1 + moving * window)
        made.append(Stratum(losses, late))
    return made


def test_what_is_measured_is_the_difference_within_windows() -> None:
    late = np.array([True] * 20 + [False] * 20)
    one = Stratum(np.where(late, 3.0, 1.0), late)
    two = Stratum(np.where(late, 13.0, 11.0), late)
    found = selection([one, two])
    assert found is not None
    assert (found.difference, found.error, found.in_time) == (2.0, 0.0, 6.0)
    assert (found.share, found.rows, found.shift) == (0.5, 40, 1.0)


def test_late_rows_that_lose_more_are_shown_and_told() -> None:
    found = selection(strata(np.random.default_rng(0), more=0.5))
    assert found is not None
    assert found.shown
    assert found.difference == pytest.approx(0.5, abs=0.2)
    assert str(found).startswith("rows labelled late (28% of the labels) lose 43%")
    assert "more than those in time, over " in str(found)


def test_chance_is_shown_as_rarely_as_a_normal_score_says() -> None:
    rng = np.random.default_rng(1)
    found = [selection(strata(rng, moving=0.5)) for _ in range(2000)]
    scores = np.array([one.difference / one.error for one in found if one is not None])
    assert len(scores) == 2000
    assert float(scores.std()) == pytest.approx(1.0, abs=0.06)
    assert (np.abs(scores) > 1.96).mean() == pytest.approx(0.05, abs=0.015)
    assert sum(one.shown for one in found if one is not None) <= 2


@pytest.mark.parametrize("late", [0, LEAST_LATE - 1, 500])
def test_of_few_late_rows_or_of_none_in_time_nothing_is_said(late: int) -> None:
    assert selection([Stratum(np.ones(500), np.arange(500) < late)]) is None


def test_without_a_window_before_nothing_is_said() -> None:
    assert selection([]) is None


def test_windows_of_a_single_late_row_give_no_spread_and_nothing_is_said() -> None:
    one = Stratum(np.arange(40.0), np.arange(40) < 1)
    assert selection([one] * 40) is None


def test_the_share_is_that_of_the_windows_of_which_most_labels_have_come() -> None:
    old = Stratum(np.ones(100), np.arange(100) < 40)
    new = Stratum(np.ones(100), np.arange(100) < 10)
    empty = Stratum(np.zeros(0), np.zeros(0, bool))
    found = selection([empty, old, new])
    assert found is not None
    assert found.share == 0.4


@pytest.mark.parametrize("logarithmic", [True, False])
def test_a_corrected_window_is_what_it_will_be_with_all_labels(logarithmic: bool) -> None:
    rng = np.random.default_rng(2)
    raw, mended = [], []
    for _ in range(200):
        *before, now = strata(rng, windows=5, rows=2000, more=0.8)
        found = selection(before)
        assert found is not None
        whole = loss_level(now.losses, np.inf, logarithmic)
        level = loss_level(now.losses[~now.late], np.inf, logarithmic)
        after = corrected(level, found, logarithmic=logarithmic)
        raw.append(level.level - whole.level)
        mended.append((after.level - whole.level) / math.sqrt(after.variance))
    assert abs(np.mean(raw)) > 0.15
    assert abs(float(np.mean(mended))) < 0.3
    assert 0.5 < float(np.std(mended)) < 1.5


def test_a_correction_does_not_take_a_loss_away() -> None:
    level = LossLevel(100, 1.0, 0.0, 0.01)
    found = corrected(level, Selection(-5.0, 0.1, 1.0, 0.5, 100), logarithmic=True)
    assert found.level == pytest.approx(math.log(0.1))
    assert found.loss == pytest.approx(0.1)


def test_a_difference_of_losses_that_may_be_negative_is_told_as_a_number() -> None:
    said = str(Selection(-0.25, 0.05, -1.0, 0.2, 100))
    assert "lose 0.25 less than those in time" in said
    assert "corrected by -0.05" in said
