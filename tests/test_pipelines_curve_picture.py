"""The pictures of a training: what is drawn in them, by their lines and words."""

from __future__ import annotations

import dataclasses
import io
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from trainings import made_training as made

from models.history import EpochLoss
from pipelines.curve_picture import (
    gradient_figure,
    learning_curve_figure,
    loss_figure,
    metric_figure,
    padded,
    pictures,
    ticks,
    told,
)
from pipelines.curve_view import CurveView
from pipelines.kept_curve import NO_STEPS, KeptCurve, TrainingRecord


def lines(axes: Any) -> dict[str, Any]:
    """What is drawn, by the first word of its label."""
    return {line.get_label().partition(",")[0]: line for line in axes.get_lines()}


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_loss_stands_over_epochs_with_its_levels_and_what_is_kept() -> None:
    view = CurveView(made(), 100)
    top, bottom = loss_figure(view).axes
    drawn = lines(top)
    assert drawn["validation"].get_xdata().tolist() == list(range(12))
    assert drawn["validation"].get_ydata() == pytest.approx(view.loss.validation)
    assert len(drawn["steps"].get_xdata()) == 100
    assert set(legend(top)) == {
        "lowest to highest of 24 steps",
        "steps, smoothed",
        "validation",
        "best constant 0.69",
        "simple model 0.53",
        "boosted trees 0.5",
        "kept: epoch 7, 0.506",
        "2 spikes",
    }
    assert top.get_yscale() == "log"
    assert drawn["2 spikes"].get_xdata() == pytest.approx([3 + 101 / 200, 7 + 1 / 200])
    assert bottom.get_ylabel() == "learning rate"
    assert bottom.get_lines()[0].get_ydata() == pytest.approx(view.learning_rate)


def test_the_diagnosis_stands_above_the_loss_in_words() -> None:
    view = CurveView(made())
    figure = loss_figure(view)
    assert figure.get_suptitle() == "flights: training of version 3"
    words = figure.axes[0].get_title(loc="left").splitlines()
    assert words == told(view)
    assert words[0].endswith("epoch 7 kept")
    assert words[1].startswith("spikes: 2 of 2,400 steps cost far more")
    assert any(line.startswith("  try: [network] clip_norm = 1.0") for line in words)


def test_an_explosion_leaves_the_picture_at_the_top() -> None:
    top = loss_figure(CurveView(made())).axes[0]
    assert top.get_ylim()[1] < 1.0


def test_without_steps_the_training_loss_is_drawn_by_epochs() -> None:
    view = CurveView(made(5, 0))
    drawn = lines(loss_figure(view).axes[0])
    assert drawn["training"].get_ydata() == pytest.approx(view.loss.training)
    assert "steps" not in drawn


def test_starts_that_were_not_kept_are_drawn_palely() -> None:
    top = loss_figure(CurveView(made(5, 0, starts=4))).axes[0]
    pale = [line for line in top.get_lines() if line.get_alpha() == 0.4]
    assert len(pale) == 2
    assert "other starts" in legend(top)


def test_few_steps_are_drawn_one_by_one() -> None:
    drawn = lines(loss_figure(CurveView(made(4, 32))).axes[0])
    assert len(drawn["every step"].get_xdata()) == 128


def test_losses_below_zero_stand_on_a_plain_scale() -> None:
    top = loss_figure(CurveView(made(shift=-2.0))).axes[0]
    assert top.get_yscale() == "linear"
    assert top.get_ylim()[0] < -1.5


def test_gradients_are_drawn_with_their_spikes_and_those_of_the_loss() -> None:
    (axes,) = gradient_figure(CurveView(made())).axes
    assert axes.get_yscale() == "log"
    assert legend(axes) == [
        "every gradient",
        "gradients, smoothed",
        "2 spikes of the gradient",
        "2 spikes of the loss",
    ]
    with pytest.raises(ValueError, match="no gradient was measured"):
        gradient_figure(CurveView(made(3, 0)))


def test_other_figures_are_drawn_by_epochs() -> None:
    (axes,) = metric_figure(CurveView(made())).axes
    assert axes.get_ylabel() == "auc"
    drawn = lines(axes)
    assert drawn["training"].get_ydata() - drawn["validation"].get_ydata() == pytest.approx([0.02] * 12)


def test_figures_are_drawn_by_rows_with_the_spread_of_the_runs() -> None:
    figure = learning_curve_figure(CurveView(made()))
    loss, other = figure.axes
    assert (loss.get_ylabel(), other.get_ylabel()) == ("loss", "F1 macro")
    assert loss.get_xscale() == "log"
    drawn = lines(loss)
    assert drawn["on unseen rows"].get_xdata() == pytest.approx([3125, 6250, 12500])
    assert drawn["on unseen rows"].get_ydata() == pytest.approx([0.6, 0.575, 0.55])
    assert drawn["on learned rows"].get_ydata() == pytest.approx([0.4, 0.42, 0.44])
    assert "more rows would help" in figure.get_suptitle()


def test_every_picture_that_has_something_to_show_is_written() -> None:
    found = pictures(made())
    assert list(found) == ["loss.png", "gradients.png", "metrics.png", "learning_curve.png"]
    for content in found.values():
        height, width, _ = imread(io.BytesIO(content)).shape
        assert width == 1100
        assert height > 200
    bare = dataclasses.replace(made(3, 0), learning_curves=())
    assert list(pictures(bare)) == ["loss.png", "metrics.png"]


def test_a_training_that_never_ended_an_epoch_has_a_picture_of_its_steps() -> None:
    kept = made(1, 64)
    broken = dataclasses.replace(
        kept, version=None, failure="nothing was registered", record=TrainingRecord("mse", ())
    )
    view = CurveView(broken)
    (axes,) = loss_figure(view).axes  # no learning rate is known
    assert len(lines(axes)["every step"].get_xdata()) == 64
    assert axes.get_xlabel() == "epoch"
    assert told(view) == ["mse: no epoch was finished", "nothing was registered"]


@pytest.mark.parametrize("losses", [(), (0.5,), (math.nan,), (math.inf, math.nan), (0.0, 0.0), (1e30, 1e-30)])
def test_losses_of_any_kind_are_drawn(losses: tuple[float, ...]) -> None:
    epochs = tuple(EpochLoss(k, loss, loss, 0.0, math.nan) for k, loss in enumerate(losses))
    kept = KeptCurve("x", "r", "fit", 1, "", TrainingRecord("mse", epochs, 0), NO_STEPS)
    assert pictures(kept)["loss.png"].startswith(b"\x89PNG")


def test_the_ends_of_an_axis_leave_room() -> None:
    assert padded(1.0, 1.0, logarithmic=False) == pytest.approx((0.89, 1.11))
    assert padded(0.0, 0.0, logarithmic=False) == pytest.approx((-1.1, 1.1))
    low, high = padded(1.0, 1.0, logarithmic=True)
    assert 0.8 < low < 1.0 < high < 1.2


def test_an_axis_over_many_powers_of_ten_has_no_halves() -> None:
    assert ticks(1e-4, 1e3, logarithmic=True) == pytest.approx(np.logspace(-4, 3, 8))
    assert ticks(0.5, 1e30, logarithmic=True) == pytest.approx([10.0**power for power in range(0, 31, 4)])
