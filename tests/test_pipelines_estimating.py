"""The estimate in the loop: learned with a version, stored with it, and known when a window ends."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.losses import row_losses
from models.schema import Target
from monitoring.loss_estimate import LossEstimator
from monitoring.window import Window, cut
from pipelines.bundle import plain
from pipelines.estimating import (
    EndedWindow,
    Estimates,
    PendingEstimate,
    make_estimator,
    rows_for_estimate,
)
from pipelines.objective import Objective
from pipelines.reference import make_loss_reference, make_reference, read_reference, write_reference

Array = npt.NDArray[Any]
BEGIN = datetime(2021, 1, 1, tzinfo=UTC)
DAYS, ROWS = 10, 100
TIMES = np.datetime64("2021-01-01", "us") + np.arange(DAYS * ROWS) * np.timedelta64(864, "s")
SQUARED = Objective("mse", "identity", partial(row_losses, "mse"))
LOG = Objective("binary_crossentropy", "logit", partial(row_losses, "binary_crossentropy"))
NUMBER, FLAG = Target("y", "regression"), Target("y", "binary", ("no", "yes"))


def rows(seed: int, count: int = DAYS * ROWS) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, 2)).astype(np.float32)
    return inputs, inputs[:, :1].astype(float), inputs[:, 0] + rng.standard_normal(count)


@pytest.fixture(scope="module")
def estimator() -> LossEstimator:
    found = make_estimator(*rows(0), TIMES, cut(TIMES, BEGIN, "day"), target=NUMBER, goal=SQUARED)
    assert found is not None
    return found


def ended(estimator: LossEstimator, day: int, *, away: float = 1.0, labelled: bool = True) -> EndedWindow:
    inputs, answers, targets = rows(day + 1, 400)
    losses = SQUARED.row_losses(answers[:, 0] + away * (targets - answers[:, 0]), answers)
    window = Window(BEGIN + timedelta(days=day), BEGIN + timedelta(days=day + 1))
    known = losses if labelled else np.full(400, np.nan)
    found = rows_for_estimate(estimator, inputs, answers, known, SQUARED)
    assert found is not None
    return EndedWindow(window, found)


def test_it_is_stored_with_the_reference_and_comes_back(estimator: LossEstimator) -> None:
    every = np.ones(DAYS * ROWS, bool)
    windows = cut(TIMES, BEGIN, "day")
    loss = make_loss_reference(np.ones(DAYS * ROWS), every, TIMES, windows)
    made = make_reference({"x": rows(0)[1][:, 0]}, TIMES, windows, loss=loss)
    assert read_reference(json.loads(json.dumps(plain(write_reference(made))))).estimator is None
    whole = write_reference(_with(made, estimator))
    again = read_reference(json.loads(json.dumps(plain(whole))))
    assert again.estimator is not None
    assert again.estimator.loss == estimator.loss
    assert again.without(()).estimator is not None
    assert again.without(("x",)).estimator is None


def _with(reference: Any, estimator: LossEstimator) -> Any:
    from dataclasses import replace

    return replace(reference, estimator=estimator)


def test_of_few_rows_or_none_there_is_no_estimator() -> None:
    inputs, answers, targets = rows(0, 50)
    windows = cut(TIMES, BEGIN, "day")
    assert make_estimator(inputs, answers, targets, TIMES[:50], windows, target=NUMBER, goal=SQUARED) is None
    assert (
        make_estimator(inputs[:0], answers[:0], targets[:0], TIMES[:0], [], target=NUMBER, goal=SQUARED)
        is None
    )


def test_chances_and_scores_of_two_classes_are_told_apart() -> None:
    inputs, scores, _ = rows(3)
    targets = (np.random.default_rng(4).random(DAYS * ROWS) < 1 / (1 + np.exp(-scores[:, 0]))).astype(float)
    logits = Objective(
        LOG.name, None, partial(row_losses, LOG.name, from_logits=True), parameters={"from_logits": True}
    )
    chances = 1 / (1 + np.exp(-scores))
    windows = cut(TIMES, BEGIN, "day")
    one = make_estimator(inputs, chances, targets, TIMES, windows, target=FLAG, goal=LOG)
    other = make_estimator(inputs, scores, targets, TIMES, windows, target=FLAG, goal=logits)
    assert one is not None
    assert other is not None
    assert (one.classes, one.chances, other.chances) == (2, True, False)
    assert one.loss == pytest.approx(other.loss)


def through(estimator: LossEstimator, windows: list[EndedWindow], delay: timedelta) -> list[bool]:
    """Whether each of them was trusted when it ended."""
    estimates = Estimates(estimator, delay, 1000)
    for one in windows:
        estimates.score(one)
    return [said is not None and said.trusted for said in map(estimates.of, windows)]


def test_a_window_is_estimated_before_its_labels(estimator: LossEstimator) -> None:
    found = Estimates(estimator, timedelta(days=7), 1000).of(ended(estimator, 0, labelled=False))
    assert found is not None
    assert found.low < 1.0 < found.high
    assert found.trusted


def test_labels_score_it_from_the_moment_they_are_due(estimator: LossEstimator) -> None:
    windows = [ended(estimator, day, away=3.0 if day >= 2 else 1.0) for day in range(6)]
    # the labels of day 2 are complete when day 3 has ended, so day 3 is the first that knows
    assert through(estimator, windows, timedelta(days=1)) == [True, True, True, False, False, False]
    assert through(estimator, windows, timedelta(days=9)) == [True] * 6


def test_broken_data_do_not_speak_against_the_estimate(estimator: LossEstimator) -> None:
    windows = [ended(estimator, day, away=3.0) for day in range(6)]
    broken = [EndedWindow(one.window, one.rows, sound=False) for one in windows]
    assert through(estimator, broken, timedelta(days=1)) == [True] * 6
    assert not all(through(estimator, windows, timedelta(days=1)))


def test_a_window_without_rows_has_no_estimate(estimator: LossEstimator) -> None:
    nothing = rows_for_estimate(estimator, *rows(0, 0)[:2], np.zeros(0), SQUARED)
    assert nothing is not None
    window = EndedWindow(Window(BEGIN, BEGIN + timedelta(days=1)), nothing)
    assert Estimates(estimator, timedelta(0), 1000).of(window) is None


def test_a_version_without_an_estimator_keeps_nothing_of_rows() -> None:
    assert rows_for_estimate(None, *rows(0, 5), SQUARED) is None


def test_a_pending_estimate_is_told_in_a_line(estimator: LossEstimator) -> None:
    one = ended(estimator, 0)
    found = Estimates(estimator, timedelta(0), 1000).of(one)
    assert found is not None
    told = PendingEstimate.of(one.window, datetime(2021, 1, 9, tzinfo=UTC), found)
    assert told.line().startswith("2021-01-01T00:00: estimated loss ")
    assert told.line().endswith(" of 400 rows, labels due on 2021-01-09T00:00")
