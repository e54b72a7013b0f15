"""The numbers that are read from a curve, by hand and by their properties."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.curve import Curve, Reading, jumps, learns_disturbed, running_median
from models.history import EpochLoss, LossHistory

EPOCH = {"learning_rate": 1e-3, "seconds": 0.1}


def test_parts_of_a_curve_are_of_the_same_epochs() -> None:
    with pytest.raises(ValueError, match="validation is of 1 epochs and training of 2"):
        Curve((1.0, 0.5), (0.9,))


def test_the_epoch_that_is_kept_is_one_of_the_curve() -> None:
    with pytest.raises(ValueError, match=r"kept = 2: expected an epoch from 0 to 1"):
        Curve((1.0, 0.5), kept=2)


def test_a_history_gives_its_losses_rates_and_best_epoch() -> None:
    history = LossHistory((EpochLoss(0, 0.9, 0.8, **EPOCH), EpochLoss(1, 0.7, 0.85, **EPOCH)))
    curve = Curve.of(history, rows=100)
    assert (curve.training, curve.validation) == ((0.9, 0.7), (0.8, 0.85))
    assert (curve.learning_rates, curve.kept, curve.rows) == ((1e-3, 1e-3), 0, 100)


def test_a_history_without_validation_rows_gives_none() -> None:
    assert Curve.of(LossHistory((EpochLoss(0, 0.9, math.nan, **EPOCH),))).validation == ()


def test_the_model_as_it_came_is_no_epoch_of_the_curve() -> None:
    history = LossHistory((EpochLoss(-1, math.nan, 0.5, **EPOCH), EpochLoss(0, 0.9, 0.8, **EPOCH)))
    curve = Curve.of(history)
    assert (len(curve.training), curve.kept) == (1, None)


def test_penalties_do_not_count_in_the_training_loss() -> None:
    history = LossHistory((EpochLoss(0, 0.9, 0.8, metrics={"penalty": 0.4}, **EPOCH),))
    reading = Reading(Curve.of(history))
    assert reading.training == pytest.approx([0.5])
    assert reading.penalised
    assert reading.paid == pytest.approx(0.4 / 0.9)


def test_the_level_of_an_epoch_is_the_median_of_its_steps() -> None:
    reading = Reading(Curve((40.75,), steps=((1.0, 1.0, 160.0, 1.0),)))
    assert reading.level == pytest.approx([1.0])
    assert reading.training == pytest.approx([40.75])


def test_without_validation_rows_the_training_loss_is_judged() -> None:
    reading = Reading(Curve((3.0, 2.0, 1.0)))
    assert (reading.what, reading.best, reading.gap) == ("training loss", 2, 0.0)


def test_what_there_is_to_learn_goes_down_to_the_best_that_is_known() -> None:
    curve = Curve((2.0, 1.0), (2.0, 1.5), baselines={"constant": 3.0, "simple": 1.0, "trees": 0.5})
    reading = Reading(curve)
    assert reading.rival == ("trees", 0.5)
    assert reading.unit == 2.5


def test_where_nothing_can_be_learned_differences_stay_small() -> None:
    reading = Reading(Curve((2.0, 2.0), baselines={"constant": 2.0, "simple": 2.0}))
    assert reading.unit == pytest.approx(0.4)


def test_the_scale_of_a_loss_that_may_be_negative_is_what_was_gained() -> None:
    reading = Reading(Curve((-0.1, -0.5, -0.9), baselines={"constant": 0.0}, may_be_negative=True))
    assert reading.scale == pytest.approx(0.9)


def test_a_straight_fall_has_no_noise() -> None:
    assert Reading(Curve(tuple(np.linspace(2, 1, 12)))).noise == pytest.approx(0.0, abs=1e-12)


def test_noise_is_the_standard_deviation_around_the_trend() -> None:
    rng = np.random.default_rng(0)
    losses = np.linspace(20, 10, 4000) + 0.3 * rng.standard_normal(4000)
    assert Reading(Curve(tuple(losses))).noise == pytest.approx(0.3, rel=0.05)


def test_the_noise_of_a_few_epochs_is_not_known() -> None:
    assert math.isnan(Reading(Curve((3.0, 2.0, 1.0))).noise)


def test_a_curve_with_an_infinite_step_is_not_finite() -> None:
    assert not Reading(Curve((1.0,), steps=((1.0, math.inf),))).finite
    assert Reading(Curve((1.0,), (2.0,), steps=((1.0, 1.0),))).finite


# --- jumps ---


def test_a_level_that_rises_and_stays_is_no_jump() -> None:
    losses = np.concatenate([np.full(40, 1.0), np.full(40, 9.0)])
    assert jumps(losses, scale=2.0) == ()


def test_ordinary_noise_has_no_jumps() -> None:
    rng = np.random.default_rng(1)
    assert jumps(np.exp(0.5 * rng.standard_normal(3000)), scale=1.0) == ()


def test_the_fall_from_the_first_steps_is_no_jump() -> None:
    assert jumps(np.array([90.0, *np.full(60, 1.0)]), scale=1.0) == ()


def test_a_multiple_of_next_to_nothing_is_no_jump() -> None:
    losses = np.full(100, 1e-4)
    losses[50] = 1e-2
    assert jumps(losses, scale=1.0) == ()


def test_each_broken_batch_is_found() -> None:
    rng = np.random.default_rng(2)
    losses = np.exp(0.2 * rng.standard_normal(400))
    broken = [37, 111, 250, 399]
    losses[broken] = 30.0
    assert [jump.step for jump in jumps(losses, scale=1.5)] == broken


def test_too_few_steps_have_no_jumps() -> None:
    assert jumps(np.array([1.0, 50.0, 1.0]), scale=1.0) == ()


@given(st.lists(st.floats(0.1, 10), min_size=10, max_size=60), st.integers(-20, 20))
def test_jumps_do_not_depend_on_the_unit_of_the_loss(losses: list[float], power: int) -> None:
    steps = np.array(losses)
    places = [jump.step for jump in jumps(steps, scale=1.0)]
    scaled = [jump.step for jump in jumps(steps * 2.0**power, scale=2.0**power)]
    assert places == scaled


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.sampled_from([1, 3, 9, 25]))
def test_a_running_median_lies_within_the_losses(losses: list[float], window: int) -> None:
    medians = running_median(np.array(losses), window)
    assert len(medians) == len(losses)
    assert min(losses) <= medians.min() <= medians.max() <= max(losses)


# --- networks ---


def test_dropout_that_leaves_something_out_disturbs_learning() -> None:
    class Dropout:
        rate = 0.3

    class Dense:
        rate = 9

    assert learns_disturbed(SimpleNamespace(layers=[Dense(), SimpleNamespace(layers=[Dropout()])]))
    assert not learns_disturbed(SimpleNamespace(layers=[Dense()]))


def test_dropout_of_nothing_disturbs_nothing() -> None:
    class GaussianDropout:
        rate = 0.0

    assert not learns_disturbed(SimpleNamespace(layers=[GaussianDropout()]))
