"""What the next level is expected to be: scores that are standard normal whatever the windows are like."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.evidence import CLIP
from monitoring.expected_level import MOST_LESSON, ExpectedLevel
from monitoring.seasons import Seasons

Array = np.ndarray
NO_TERMS = np.zeros(0)


def disturbed(rng: np.random.Generator, phi: float, size: float, shape: tuple[int, int]) -> Array:
    """Levels with a disturbance of this size and the chance of rows, of size 0.1; shape (streams, windows)."""
    noise = rng.standard_normal(shape)
    shared = noise[:, 0]
    levels = []
    for window in range(shape[1]):
        shared = phi * shared + np.sqrt(1 - phi**2) * noise[:, window] if window else shared
        levels.append(size * shared + 0.1 * rng.standard_normal(shape[0]))
    return np.array(levels).T


def scores(levels: Array, terms: Array | None = None) -> Array:
    streams, windows = levels.shape
    terms = np.zeros((windows, 0)) if terms is None else terms
    expected = ExpectedLevel(np.full(streams, 0.1), np.ones(streams), terms.shape[1])
    variance = np.full(streams, 0.01)
    return np.array([expected.update(levels[:, k], variance, terms[k]) for k in range(windows)]).T


@pytest.mark.parametrize(("phi", "size"), [(0.0, 0.0), (0.0, 0.2), (0.5, 0.1), (0.9, 0.1), (0.9, 0.3)])
def test_scores_are_standard_normal_and_independent_whatever_windows_share(phi: float, size: float) -> None:
    found = scores(disturbed(np.random.default_rng(1), phi, size, (60, 300)))[:, 100:]
    assert found.mean() == pytest.approx(0, abs=0.03)
    assert found.std() == pytest.approx(1, abs=0.08)
    assert np.mean(found[:, 1:] * found[:, :-1]) == pytest.approx(0, abs=0.13)


def test_without_disturbances_the_forecast_is_the_mean_of_the_windows_so_far() -> None:
    levels = 0.1 * np.random.default_rng(2).standard_normal((1, 200))
    found = scores(np.concatenate([levels, [[0.3]]], axis=1))[0, -1]
    exact = (0.3 - levels.mean()) / (0.1 * np.sqrt(1 + 1 / 200))
    assert found == pytest.approx(exact, abs=0.15)


def test_one_stream_among_many_is_scored_as_if_it_were_alone() -> None:
    levels = disturbed(np.random.default_rng(3), 0.7, 0.1, (5, 60))
    together = scores(levels)
    for stream in range(5):
        np.testing.assert_allclose(scores(levels[[stream]])[0], together[stream], rtol=1e-9)


def test_a_stream_has_no_shape_of_its_own() -> None:
    levels = disturbed(np.random.default_rng(4), 0.7, 0.1, (1, 20))
    expected = ExpectedLevel(np.asarray(0.1), np.asarray(1.0))
    alone = [float(expected.update(np.asarray(one), np.asarray(0.01), NO_TERMS)) for one in levels[0]]
    np.testing.assert_allclose(alone, scores(levels)[0])


def test_a_week_of_hours_is_learned_where_it_was_seen_twice() -> None:
    hours = np.arange(28 * 24) / 24
    terms = Seasons(daily=3, weekly=True).terms_at(hours)
    season = 0.3 * np.sin(2 * np.pi * hours) - 0.15 * (hours % 7 >= 5)
    noise = 0.1 * np.random.default_rng(5).standard_normal((4, len(hours)))
    found = scores(noise + season, terms)[:, 21 * 24 :]
    assert found.std() == pytest.approx(1, abs=0.1)
    assert np.mean(found[:, 1:] * found[:, :-1]) == pytest.approx(0, abs=0.1)


def test_a_fixed_level_learns_nothing_of_it() -> None:
    expected = ExpectedLevel(np.asarray(0.1), np.asarray(1.0))
    for level in 0.1 * np.random.default_rng(6).standard_normal(50):
        expected.update(np.asarray(level), np.asarray(0.01), NO_TERMS)
    fixed = expected.at(0.0)
    first = float(fixed.update(np.asarray(0.3), np.asarray(0.01), NO_TERMS, False))
    for _ in range(100):
        fixed.update(np.asarray(0.3), np.asarray(0.01), NO_TERMS, False)
        expected.update(np.asarray(0.3), np.asarray(0.01), NO_TERMS)
    assert float(fixed.update(np.asarray(0.3), np.asarray(0.01), NO_TERMS, False)) > 0.6 * first
    assert float(expected.update(np.asarray(0.3), np.asarray(0.01), NO_TERMS)) < 0.6 * first


def test_a_single_window_is_bounded_in_what_it_says_and_in_what_it_teaches() -> None:
    levels = np.zeros((2, 40))
    levels[:, 30] = [0.1 * MOST_LESSON * 2, 20.0]
    found = scores(levels)
    assert found[1, 30] == CLIP
    np.testing.assert_allclose(found[0, 31:], found[1, 31:], atol=0.05)


def test_other_rows_have_a_level_of_their_own() -> None:
    expected = ExpectedLevel(np.asarray(0.1), np.asarray(1.0))
    for level in 0.1 * np.random.default_rng(7).standard_normal(50):
        expected.update(np.asarray(level), np.asarray(0.01), NO_TERMS)
    known = float(expected.error)
    expected.forget_level()
    assert known < 0.05 < float(expected.error)
    assert abs(float(expected.update(np.asarray(0.8), np.asarray(0.01), NO_TERMS))) < 1


def test_disturbances_fade_over_windows_that_say_nothing() -> None:
    expected = ExpectedLevel(np.asarray(0.1), np.asarray(1.0))
    for level in disturbed(np.random.default_rng(8), 0.95, 0.3, (1, 200))[0]:
        expected.update(np.asarray(level), np.asarray(0.01), NO_TERMS)
    expected.update(np.asarray(0.9), np.asarray(0.01), NO_TERMS)
    later = expected.at(0.0)
    for _ in range(200):
        later.skip()
    expected.update(np.asarray(0.9), np.asarray(0.01), NO_TERMS)
    now = float(expected.update(np.asarray(0.9), np.asarray(0.01), NO_TERMS))
    assert now < 1.5 < float(later.update(np.asarray(0.9), np.asarray(0.01), NO_TERMS))
