"""Sequential evidence: quiet for as long as it promises, loud soon after a change."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.evidence import CLIP, RATES, Detector, normal_score, threshold_for


def run_length(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Windows until the evidence of each stream (a row) reaches the threshold; the length if it never does."""
    evidence = np.zeros((len(scores), len(RATES)))
    lengths = np.full(len(scores), scores.shape[1])
    for window in range(scores.shape[1]):
        score = np.minimum(scores[:, window], CLIP)[:, None]
        evidence = (evidence + 1) * np.exp(RATES * score - RATES**2 / 2)
        reached = (evidence.mean(axis=1) >= threshold) & (lengths == scores.shape[1])
        lengths[reached] = window + 1
    return lengths


def test_average_run_length_without_a_change_is_the_one_asked_for() -> None:
    scores = np.random.default_rng(1).standard_normal((1500, 1600))
    assert run_length(scores, threshold_for(200)).mean() == pytest.approx(200, rel=0.1)


def test_a_detector_follows_the_same_evidence_as_the_formula() -> None:
    scores = np.random.default_rng(2).standard_normal(300)
    threshold = threshold_for(50)
    detector = Detector()
    first = next((n for n, score in enumerate(scores) if detector.update(min(score, CLIP)) >= threshold), 299)
    assert first + 1 == run_length(scores[None, :], threshold)[0]


@pytest.mark.parametrize(("shift", "windows"), [(3.0, 3), (2.0, 5), (1.0, 16)])
def test_a_rise_is_found_within_so_many_windows(shift: float, windows: int) -> None:
    scores = np.random.default_rng(3).standard_normal((400, 120)) + shift
    assert np.median(run_length(scores, threshold_for(1000))) <= windows


def test_one_window_is_never_enough() -> None:
    assert Detector().update(CLIP) < threshold_for(1000)


def test_the_start_of_the_change_is_found() -> None:
    scores = np.concatenate([np.random.default_rng(4).standard_normal(40), np.full(4, 3.0)])
    detector = Detector()
    for score in scores:
        detector.update(score)
    assert detector.start == pytest.approx(40, abs=1)


def test_without_a_rise_there_is_no_start() -> None:
    detector = Detector()
    for _ in range(5):
        detector.update(-1.0)
    assert detector.start == 5


def test_a_statistic_with_few_degrees_of_freedom_counts_less() -> None:
    assert normal_score(3.0, 3) < normal_score(3.0, 30) < 3.0


def test_scores_are_bounded_above_and_not_below() -> None:
    assert normal_score(1e9, 5) == CLIP
    assert normal_score(-1e3, 1e6) <= -39
