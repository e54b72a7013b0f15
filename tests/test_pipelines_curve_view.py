"""What the pictures of a training show: places on the axis of epochs, smoothed lines, levels, spikes, limits."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from trainings import made_training as made

from models.history import EpochLoss
from pipelines.curve_view import CurveView
from pipelines.kept_curve import KeptCurve, StepTable, TrainingRecord


def by_hand(losses: list[list[float]], **more: Any) -> CurveView:
    """Epochs with these losses of their steps, one gradient each."""
    flat = np.array([loss for epoch in losses for loss in epoch])
    number = np.repeat(np.arange(len(losses)), [len(epoch) for epoch in losses]).astype(np.int32)
    epochs = tuple(
        EpochLoss(k, float(np.mean(epoch)), float(np.mean(epoch)) + 0.1, 1e-3, 0.1)
        for k, epoch in enumerate(losses)
    )
    given: dict[str, Any] = {"kept": len(losses) - 1, "baselines": {"constant": 3.0}} | more
    record = TrainingRecord("mse", epochs, **given)
    return CurveView(KeptCurve("x", "r", "fit", 1, "", record, StepTable(number, flat, flat / 10)))


def test_the_steps_of_an_epoch_end_at_its_number() -> None:
    view = by_hand([[4.0, 3.0], [2.0, 1.0]])
    assert view.steps is not None
    assert view.steps.x.tolist() == [-0.5, 0.0, 0.5, 1.0]
    assert view.steps.high.tolist() == view.steps.low.tolist() == [4.0, 3.0, 2.0, 1.0]
    assert view.epochs.tolist() == [0, 1]
    assert view.loss.training.tolist() == [3.5, 1.5]
    assert view.loss.validation.tolist() == [3.6, 1.6]


def test_an_epoch_that_was_broken_off_has_room_for_the_rest() -> None:
    view = by_hand([[4.0, 3.0, 2.0, 2.0], [30.0]])
    assert view.steps is not None
    assert view.steps.x.tolist() == [-0.75, -0.5, -0.25, 0.0, 0.25]


def test_gradients_stand_where_they_were_measured() -> None:
    view = CurveView(made(2, 32))
    assert view.gradients is not None
    assert view.gradients.x.tolist() == pytest.approx([-1 + 1 / 32, -1 + 17 / 32, 1 / 32, 17 / 32])
    assert CurveView(made(2, 0)).gradients is CurveView(made(2, 0)).steps is None


def test_what_was_learned_without_a_network_is_named() -> None:
    view = by_hand([[1.0]], baselines={"constant": 1.0, "trees": 0.5, "simple": math.nan, "mine": 0.2})
    assert view.levels == (("best constant", 1.0), ("boosted trees", 0.5), ("mine", 0.2))


def test_the_kept_epoch_is_told_with_what_judged_it() -> None:
    assert by_hand([[2.0], [1.0]], kept=0).best == (0, 2.1)
    assert by_hand([[2.0], [1.0]], kept=None).best is None
    assert by_hand([[2.0], [1.0]], kept=7).best is None


def test_starts_that_were_not_kept_are_shown_beside_the_kept_one() -> None:
    kept = made(3, 0, starts=4)
    view = CurveView(kept)
    assert kept.record.starts[0] == ()
    assert [one.tolist() for one in view.other_starts] == [list(start) for start in kept.record.starts[2:]]
    assert CurveView(made()).other_starts == ()


def test_spikes_are_marked_and_do_not_lift_the_smoothed_line() -> None:
    view = CurveView(made())
    assert [(spike.step, spike.value) for spike in view.spikes] == [(900, 9.0), (1600, 5.0)]
    assert view.spikes[0].x == pytest.approx(3 + 101 / 200)
    assert [spike.step for spike in view.gradient_spikes] == [896, 1600]
    assert view.steps is not None
    assert view.gradients is not None
    assert np.nanmax(view.steps.high) == 9.0
    assert np.nanmax(view.steps.smooth) < 1.0
    assert np.nanmax(view.gradients.smooth) < 1.0


def test_many_steps_share_a_place_and_none_is_lost() -> None:
    whole = CurveView(made()).steps
    few = CurveView(made(), 100).steps
    assert whole is not None
    assert few is not None
    assert (whole.size, few.size, len(few.x)) == (2, 24, 100)
    assert np.nanmax(few.high) == np.nanmax(whole.high)
    assert np.nanmin(few.low) == np.nanmin(whole.low)


def test_every_figure_of_the_network_has_a_line_and_what_it_costs_has_none() -> None:
    (auc,) = CurveView(made(3)).metrics
    assert auc.name == "auc"
    assert auc.training - auc.validation == pytest.approx([0.02] * 3)


def test_the_limits_hold_epochs_levels_and_the_smoothed_line() -> None:
    view = by_hand([[4.0, 3.0], [2.0, 1.0]], baselines={"constant": 9.0})
    assert view.limits == (1.0, 9.0)


def test_a_few_steps_far_below_do_not_stretch_the_limits() -> None:
    kept = made()
    loss = kept.steps.loss.copy()
    loss[500] = 1e-9
    low, _ = CurveView(dataclasses.replace(kept, steps=dataclasses.replace(kept.steps, loss=loss))).limits
    assert low > 0.3


def test_losses_below_zero_have_no_log_scale() -> None:
    assert CurveView(made()).logarithmic
    assert not CurveView(made(shift=-1.0)).logarithmic


def test_a_training_is_told_in_a_sentence() -> None:
    expected = "binary_crossentropy: 12 epochs, 2,400 steps, 48,000 rows learned from, judged on 12,000, epoch 7 kept"
    assert CurveView(made()).summary == expected
    nothing = KeptCurve("x", "r", "fit", None, "why", TrainingRecord("mse", ()))
    assert CurveView(nothing).summary == "mse: no epoch was finished"
    assert CurveView(nothing).limits == (0.0, 1.0)
    assert CurveView(dataclasses.replace(made(1, 0), version=None)).summary.startswith(
        "binary_crossentropy: 1 epoch,"
    )


def test_the_network_as_it_came_into_an_update_stands_before_the_first_epoch() -> None:
    epochs = (EpochLoss(-1, math.nan, 0.5, 1e-3, 0.0), EpochLoss(0, 0.4, 0.6, 1e-3, 0.1))
    view = CurveView(KeptCurve("x", "r", "update", 2, "", TrainingRecord("mse", epochs, -1)))
    assert view.epochs.tolist() == [-1, 0]
    assert view.best == (-1, 0.5)
    assert view.summary == "mse: 1 epoch, the network as it came kept"
