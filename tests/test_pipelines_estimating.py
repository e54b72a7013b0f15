"""The estimate in the loop: learned with a version, stored with it, and known when a window ends."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import streams

from models.losses import row_losses
from models.schema import Target
from monitoring.loss_estimate import LossEstimator
from monitoring.window import Window, cut
from pipelines.bundle import plain
from pipelines.course import plan
from pipelines.estimating import (
    ESTIMATE,
    EndedWindow,
    Estimates,
    PendingEstimate,
    make_estimator,
    rows_for_estimate,
)
from pipelines.objective import Objective
from pipelines.prepared import prepare_rows
from pipelines.reference import make_loss_reference, make_reference, read_reference, write_reference
from pipelines.replay import score_rows
from pipelines.service import needed_service
from pipelines.sources import read
from pipelines.steps import StatusResult, monitor, promote_first
from pipelines.stores import Stores
from pipelines.training import train_version
from pipelines.watch import pending, watch

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
    whole = write_reference(dataclasses.replace(made, estimator=estimator))
    again = read_reference(json.loads(json.dumps(plain(whole))))
    assert again.estimator is not None
    assert again.estimator.loss == estimator.loss
    assert again.without(()).estimator is not None
    assert again.without(("x",)).estimator is None


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


# --- in the loop ---

CUT, SERVED = datetime(2021, 1, 6, tzinfo=UTC), 5
SETTINGS = 'label_delay = "2d"\n[monitor]\nwindow = "day"\n[replay]\ntrain_until = 2021-01-06\n'
NOW = CUT + timedelta(days=SERVED)


@pytest.fixture(scope="module")
def lived(make_stores: Callable[..., Any]) -> Stores:
    """A version that has served for five days; labels come two days late."""
    stores: Stores = make_stores(streams.stream(10, 400), SETTINGS)
    course = plan(stores.project, read(stores.project.config.data, stores.project.folder))
    trained = train_version(stores, prepare_rows(stores.project, course.past))
    promote_first(stores, trained.version.version, now=CUT, anchor=CUT, window=course.window, author="test")
    before = CUT
    for day in range(1, SERVED + 1):
        score_rows(stores, course, before, CUT + timedelta(days=day), timedelta(days=2))
        before = CUT + timedelta(days=day)
    return stores


@pytest.fixture
def stores(lived: Stores) -> Stores:
    return dataclasses.replace(lived, memo={})


def test_every_judgement_tells_what_was_estimated_when_its_window_ended(stores: Stores) -> None:
    found = watch(stores, needed_service(stores, NOW), NOW)
    assert len(found) == 3
    for one in found:
        assert one.estimate is not None
        assert one.estimate.rows == 400
        assert one.loss == pytest.approx(one.estimate.loss, rel=0.15)


def test_estimates_are_the_same_from_wherever_on(stores: Stores) -> None:
    every = [one.estimate for one in watch(stores, needed_service(stores, NOW), NOW)]
    fresh = dataclasses.replace(stores, memo={})
    later = []
    for day in (3, 4, 5):
        now = CUT + timedelta(days=day)
        later.append(watch(fresh, needed_service(fresh, now), now, after=day - 4)[0].estimate)
    assert later == every


def test_windows_whose_labels_are_not_due_are_estimated(stores: Stores) -> None:
    found = pending(stores, needed_service(stores, NOW), NOW)
    assert [one.start for one in found] == [(CUT + timedelta(days=day)).isoformat() for day in (3, 4)]
    assert [one.due for one in found] == [(CUT + timedelta(days=day)).isoformat() for day in (6, 7)]
    assert all(one.trusted and one.low < one.loss < one.high for one in found)


def test_the_monitor_tells_them_and_writes_them_down_once(stores: Stores) -> None:
    first = monitor(stores.project, NOW)
    again = monitor(stores.project, NOW)
    assert first.pending == again.pending
    assert "labels due on 2021-01-12T00:00" in first.lines()[-2]
    written = stores.log.events(kind=ESTIMATE)
    assert [PendingEstimate(**event.payload) for event in written] == list(first.pending)


def test_the_status_tells_the_newest_of_them(stores: Stores) -> None:
    newest = pending(stores, needed_service(stores, NOW), NOW)[-1]
    told = StatusResult("demo", 1, CUT.isoformat(), 1, 10, 1, 0, 0, None, pending=newest)
    assert told.lines()[-1] == newest.line()


def test_a_version_made_before_has_no_estimates(stores: Stores) -> None:
    service = needed_service(stores, NOW)
    reference = ("reference", service.version)
    watch(stores, service, NOW)
    old = dataclasses.replace(stores.memo[reference], estimator=None)
    older = dataclasses.replace(stores, memo={reference: old})
    assert [one.estimate for one in watch(older, service, NOW)] == [None] * 3
    assert pending(older, service, NOW) == ()
