"""Recoverable loss: silent about noise, loud about what a retraining could win back."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.recovery import (
    Correction,
    Gain,
    LabelledWindow,
    Link,
    Recovery,
    fit_corrections,
    recoveries,
    standing_correction,
    window_gains,
    with_correction,
)

ROWS, WIDTH = 500, 8
Array = np.ndarray


def log_loss(target: Array, prediction: Array) -> Array:
    hit = np.clip(prediction[:, 0], 1e-7, 1 - 1e-7)
    return np.asarray(-(target * np.log(hit) + (1 - target) * np.log(1 - hit)))


def squared_error(target: Array, prediction: Array) -> Array:
    return np.asarray((target - prediction[:, 0]) ** 2)


def multiclass_loss(target: Array, prediction: Array) -> Array:
    return np.asarray(-np.log(np.clip(prediction[np.arange(len(target)), target.astype(int)], 1e-7, 1)))


def sigmoid(score: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-score)))


def window(
    rng: np.random.Generator, link: Link, truth: Array, learned: Array, noise: float
) -> LabelledWindow:
    """Rows whose target follows `truth` while the network still answers with `learned`."""
    inputs = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    if link == "identity":
        target = inputs @ truth + noise * rng.standard_normal(ROWS)
        prediction = (inputs @ learned)[:, None].astype(float)
        return LabelledWindow(inputs, prediction, target, squared_error(target, prediction))
    if link == "logit":
        target = (rng.random(ROWS) < sigmoid(inputs @ truth)).astype(float)
        prediction = sigmoid(inputs @ learned)[:, None]
        return LabelledWindow(inputs, prediction, target, log_loss(target, prediction))
    scores, answers = inputs @ truth, inputs @ learned
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    target = (rng.random((ROWS, 1)) > chance.cumsum(axis=1)).sum(axis=1).astype(float)
    prediction = np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True)
    return LabelledWindow(inputs, prediction, target, multiclass_loss(target, prediction))


LOSSES = {"identity": squared_error, "logit": log_loss, "softmax": multiclass_loss}


def watched(windows: list[LabelledWindow], link: Link) -> tuple[Recovery, ...]:
    gains: list[tuple[Gain, ...]] = []
    fitted: list[tuple[Correction, ...]] = []
    for place, one in enumerate(windows):
        gains.append(window_gains(fitted, one, link, LOSSES[link], horizon=7))
        fitted.append(fit_corrections(windows[max(0, place - 15) : place + 1], link))
    return recoveries(gains, worth=0.01, run_length=1000)


def stream(
    link: Link, seed: int, *, change: int | None, windows: int = 24, noise: float = 1.0
) -> list[LabelledWindow]:
    rng = np.random.default_rng(seed)
    shape = (WIDTH, 3) if link == "softmax" else (WIDTH,)
    learned, other = rng.standard_normal(shape) * 0.7, rng.standard_normal(shape) * 0.7
    return [
        window(rng, link, other if change is not None and k >= change else learned, learned, noise)
        for k in range(windows)
    ]


@pytest.mark.parametrize("link", ["identity", "logit", "softmax"])
def test_nothing_is_recoverable_where_nothing_changed(link: Link) -> None:
    for seed in range(4):
        found = watched(stream(link, seed, change=None), link)
        assert not any(one.shown for one in found)
        assert max(one.share for one in found) < 0.02


@pytest.mark.parametrize("link", ["identity", "logit", "softmax"])
def test_a_change_of_concept_is_shown_within_three_windows(link: Link) -> None:
    found = watched(stream(link, 20, change=10), link)
    first = next(number for number, one in enumerate(found) if one.shown)
    assert 10 < first <= 13
    assert found[first + 3].share > 0.1
    assert abs(found[first].start - 10) <= 1


def test_more_noise_alone_is_not_recoverable() -> None:
    rng = np.random.default_rng(21)
    learned = rng.standard_normal(WIDTH)
    calm = [window(rng, "identity", learned, learned, 1.0) for _ in range(8)]
    noisy = [window(rng, "identity", learned, learned, 2.0) for _ in range(16)]
    found = watched(calm + noisy, "identity")
    assert not any(one.shown for one in found)
    assert np.mean([one.losses.mean() for one in noisy]) > 3


def test_a_day_of_the_week_that_differs_a_little_is_no_reason_to_retrain() -> None:
    rng = np.random.default_rng(22)
    learned = rng.standard_normal(WIDTH)
    days = []
    for day in range(42):
        one = window(rng, "identity", learned, learned, 1.0)
        target = one.target + (0.6 if day % 7 == 6 else -0.1)
        days.append(LabelledWindow(one.inputs, one.prediction, target, squared_error(target, one.prediction)))
    assert not any(one.shown for one in watched(days, "identity"))


def test_a_flipped_concept_is_corrected_without_overshooting() -> None:
    rng = np.random.default_rng(23)
    learned = rng.standard_normal(WIDTH) * 2
    flipped = [window(rng, "logit", -learned, learned, 0) for _ in range(6)]
    found = watched(flipped, "logit")
    assert found[-1].share > 0.5


def test_the_first_window_and_an_empty_one_say_nothing() -> None:
    one = stream("identity", 24, change=None, windows=1)[0]
    empty = LabelledWindow(one.inputs[:0], one.prediction[:0], one.target[:0], one.losses[:0])
    assert window_gains([], one, "identity", squared_error, horizon=7) == ()
    assert (
        window_gains([fit_corrections([one], "identity")], empty, "identity", squared_error, horizon=7) == ()
    )
    found = recoveries([(), ()], worth=0.01, run_length=1000)
    assert [one.share for one in found] == [0.0, 0.0]


# --- the standing correction ---


@pytest.mark.parametrize("link", ["identity", "logit", "softmax"])
def test_what_could_be_corrected_from_the_start_is_no_change(link: Link) -> None:
    rng = np.random.default_rng(25)
    shape = (WIDTH, 3) if link == "softmax" else (WIDTH,)
    truth = rng.standard_normal(shape)
    days = [window(rng, link, truth, 0.7 * truth, 1.0) for _ in range(28)]  # too timid from the start
    assert watched(days[8:], link)[-1].shown

    standing = standing_correction(joined(days[:8]), link)
    found = watched([with_correction(day, standing, link, LOSSES[link]) for day in days[8:]], link)
    assert not any(one.shown for one in found)


@pytest.mark.parametrize("link", ["identity", "logit", "softmax"])
def test_a_change_shows_behind_a_standing_correction(link: Link) -> None:
    before, after = stream(link, 26, change=None, windows=4), stream(link, 26, change=0, windows=8)
    standing = standing_correction(joined(before), link)
    found = watched([with_correction(one, standing, link, LOSSES[link]) for one in after], link)
    assert found[3].shown


def test_a_correction_of_nothing_leaves_predictions_and_losses() -> None:
    one = stream("logit", 27, change=None, windows=1)[0]
    same = with_correction(one, np.zeros((2 + WIDTH, 1)), "logit", log_loss)
    np.testing.assert_allclose(same.prediction, one.prediction, rtol=1e-6)
    np.testing.assert_allclose(same.losses, one.losses, rtol=1e-6)


def test_a_standing_correction_takes_a_shift_away() -> None:
    one = stream("identity", 28, change=None, windows=1, noise=0.1)[0]
    shifted = LabelledWindow(one.inputs, one.prediction, one.target + 5, one.losses)
    standing = standing_correction(shifted, "identity")
    assert with_correction(shifted, standing, "identity", squared_error).losses.mean() < 1 < 25


def joined(windows: list[LabelledWindow]) -> LabelledWindow:
    return LabelledWindow(
        np.concatenate([one.inputs for one in windows]),
        np.concatenate([one.prediction for one in windows]),
        np.concatenate([one.target for one in windows]),
        np.concatenate([one.losses for one in windows]),
    )
