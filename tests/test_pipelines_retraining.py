"""A retraining: which rows teach and which judge, what is written down, and what a stop in the middle leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import streams

from models.preparation import DateColumn
from models.schema import CategoryColumn
from monitoring.decision import RetrainDecision
from monitoring.window import WindowLength
from pipelines import learning
from pipelines import retraining as module
from pipelines.course import Course, plan
from pipelines.prepared import prepare_rows
from pipelines.replay import score_rows
from pipelines.retraining import (
    KnownRows,
    Retraining,
    judge_from,
    known_rows,
    retrain_version,
    together,
)
from pipelines.service import PROMOTION, RETRAINING, SERVICE, Service, bundle_of, needed_service
from pipelines.sources import read
from pipelines.steps import monitor_stores, promote_first
from pipelines.stores import Stores
from pipelines.training import train_version
from pipelines.watch import WindowJudgement, watch

DAY = WindowLength(1, "day")
CUT = datetime(2021, 1, 8, tzinfo=UTC)
CHANGE, DAYS, ROWS = 12, 16, 120  # the change is on 13 January, the sixth day in service
NOW = datetime(2021, 1, 15, tzinfo=UTC)


def begin(make_stores: Callable[..., Any], frame: Any) -> Stores:
    """A first version that has lived through the days before NOW, none of them judged yet."""
    settings = '[monitor]\nwindow = "day"\n[replay]\ntrain_until = 2021-01-08\n'
    stores: Stores = make_stores(frame, settings)
    course = plan(stores.project, read(stores.project.config.data, stores.project.folder))
    live(stores, course)
    return dataclasses.replace(stores, memo={})


def live(stores: Stores, course: Course) -> None:
    train_version(stores, prepare_rows(stores.project, course.past))
    promote_first(stores, 1, now=CUT, anchor=CUT, window=course.window, author="test")
    before = CUT
    for now, _ in course.nows(timedelta(0)):
        if now <= NOW:
            score_rows(stores, course, before, now, timedelta(0))
            before = now


@pytest.fixture
def stores(make_stores: Callable[..., Any]) -> Stores:
    return begin(make_stores, streams.stream(DAYS, ROWS, change_on=CHANGE))


def asked(stores: Stores) -> tuple[Service, WindowJudgement, RetrainDecision]:
    """The service, the judgement on the last window, and the decision that follows from harm."""
    service = needed_service(stores, NOW)
    judgement = watch(stores, service, NOW)[-1]
    return service, judgement, RetrainDecision("update", judgement.verdict.reasons)


def retrained(stores: Stores) -> Retraining:
    service, judgement, decision = asked(stores)
    return retrain_version(stores, service, judgement, decision, NOW)


# --- which rows judge ---

TIMES = np.datetime64("2021-01-01", "us") + np.arange(1000) * np.timedelta64(864, "s")  # ten days


@pytest.mark.parametrize(
    ("change", "share", "begin"),
    [
        ("2021-01-09", 0.25, "2021-01-10T12"),  # a quarter of two days
        ("2021-01-09", 0.5, "2021-01-10"),
        ("2021-01-01", 0.9, "2021-01-08T23"),  # two windows at most
        ("2021-01-10T23", 0.25, "2021-01-10T23"),
    ],
)
def test_the_newest_rows_judge(change: str, share: float, begin: str) -> None:
    found = judge_from(TIMES, np.datetime64(change, "us"), DAY, share)
    assert abs(found - np.datetime64(begin, "us")) <= np.timedelta64(50, "m")


def test_without_rows_since_the_change_nothing_judges_before_it() -> None:
    later = np.datetime64("2022-01-01", "us")
    assert judge_from(TIMES, later, DAY, 0.25) == later


def test_the_anchor_is_older_and_never_taught(stores: Stores) -> None:
    known = _known(stores)
    assert (known.times[known.anchor] < known.change).all()
    assert known.held_out[known.anchor].all()
    assert (known.times[known.newest] >= known.judge).all()
    assert not set(known.anchor) & set(known.newest)


def _known(stores: Stores) -> KnownRows:
    change = np.datetime64("2021-01-13", "us")
    return known_rows(stores, needed_service(stores, NOW), bundle_of(stores, 1), change, NOW)


def test_all_rows_with_a_label_are_known_once(stores: Stores) -> None:
    known = _known(stores)
    assert len(known.times) == 14 * ROWS
    assert (np.diff(known.times) >= np.timedelta64(0)).all()
    assert np.isfinite(known.targets).all()
    assert set(known.columns) == {"wind", "heat", "rain", "noise", "size", "kind", "flag"}


def test_rows_of_the_first_training_are_never_held_out(stores: Stores) -> None:
    known = _known(stores)
    before = known.times < np.datetime64("2021-01-08")
    assert not known.held_out[before].any()
    assert known.held_out[~before].mean() == pytest.approx(0.1, abs=0.08)


def test_what_is_known_later_is_not_known_yet(stores: Stores) -> None:
    service, champion = needed_service(stores, NOW), bundle_of(stores, 1)
    change = np.datetime64("2021-01-13", "us")
    assert len(known_rows(stores, service, champion, change, NOW - timedelta(days=1)).times) == 13 * ROWS


# --- what comes of it ---


def test_after_a_change_the_challenger_serves(stores: Stores) -> None:
    found = retrained(stores)
    assert found.promoted
    assert (found.champion, found.challenger) == (1, 2)
    assert (found.cause, found.action, found.window) == ("concept change", "update", 6)
    champion = stores.registry.alias("champion")
    previous = stores.registry.alias("previous")
    assert champion is not None
    assert previous is not None
    assert (champion.version, previous.version) == (2, 1)
    assert (champion.kind, champion.parent) == ("update", 1)


def test_everything_is_written_down_once(stores: Stores) -> None:
    found = retrained(stores)
    [promotion] = [event for event in stores.log.events(kind=PROMOTION) if event.payload["from"]]
    assert (promotion.payload["from"], promotion.payload["to"]) == (1, 2)
    [retraining] = stores.log.events(kind=RETRAINING)
    assert retraining.payload["promoted"] is True
    assert retraining.payload["chosen"] == found.chosen
    services = stores.log.events(kind=SERVICE)
    assert [event.payload["version"] for event in services] == [1, 2]
    assert needed_service(stores, NOW).since == NOW
    assert len(stores.registry.versions()) == 2


def test_the_winner_is_compared_with_its_own_reference(stores: Stores) -> None:
    before = needed_service(stores, NOW).reference
    retrained(stores)
    after = needed_service(stores, NOW).reference
    assert after != before
    assert after.loss == pytest.approx(bundle_of(stores, 2).reference["loss"]["loss"])


def test_no_row_that_judges_has_taught(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    make_lesson = learning.make_lesson

    def spied(known: Any, apart: Any, **moments: Any) -> Any:
        seen["lesson"] = make_lesson(known, apart, **moments)
        return seen["lesson"]

    monkeypatch.setattr(module, "make_lesson", spied)
    retrained(stores)
    lesson, known = seen["lesson"], _known(stores)
    taught = np.concatenate([lesson.since.times, lesson.old.times, lesson.recent.times])
    judging = known.times[np.concatenate([known.newest, known.anchor])]
    assert len(judging) > 50
    assert not np.isin(judging, taught).any()


def test_rows_of_a_concept_that_is_over_train_no_more(stores: Stores) -> None:
    found = retrained(stores)
    assert found.chosen == "since the change"
    service, champion = needed_service(stores, NOW), bundle_of(stores, 2)
    later = np.datetime64("2021-01-14", "us")
    known = known_rows(stores, service, champion, later, NOW)
    assert champion.settings["true_since"] == "2021-01-13T00:00:00.000000"
    assert known.times.min().astype("datetime64[D]") == np.datetime64("2021-01-13")
    earlier = np.datetime64("2021-01-10", "us")  # a change that reaches further back is believed
    known = known_rows(stores, service, champion, earlier, NOW)
    assert known.times.min().astype("datetime64[D]") == np.datetime64("2021-01-10")


def test_where_nothing_is_better_the_champion_stays(make_stores: Callable[..., Any]) -> None:
    stores = begin(make_stores, streams.stream(DAYS, 300, seed=5))
    found = retrained(stores)
    assert not found.promoted
    assert "not better" in found.promotion.reasons[0] or "forgets" in found.promotion.reasons[0]
    champion, challenger = (stores.registry.alias(name) for name in ("champion", "challenger"))
    assert champion is not None
    assert challenger is not None
    assert (champion.version, challenger.version) == (1, 2)
    assert [event.payload["to"] for event in stores.log.events(kind=PROMOTION)] == [1]
    service = needed_service(stores, NOW)
    assert (service.version, service.since) == (1, NOW)


def test_a_refit_learns_its_preparation_anew(make_stores: Callable[..., Any]) -> None:
    frame = streams.stream(DAYS, ROWS)
    rng = np.random.default_rng(0)
    late = (frame["when"] >= "2021-01-13").to_numpy()
    fuel = np.where(late, rng.standard_normal(len(frame)), 0.0)
    truth = np.where(late, rng.random(len(frame)) < 1 / (1 + np.exp(-3 * fuel)), frame["y"]).astype(int)
    stores = begin(make_stores, frame.assign(fuel=fuel.round(4), y=truth))
    service, judgement, _ = asked(stores)
    assert judgement.blind == ("fuel",)
    found = retrain_version(stores, service, judgement, RetrainDecision("refit", ("blind",)), NOW)
    scales = [
        {column.name: getattr(column, "scale", 0.0) for column in bundle_of(stores, version).schema.columns}
        for version in (1, 2)
    ]
    assert scales[0]["fuel"] == 0
    assert scales[1]["fuel"] > 0
    assert found.promoted


# --- a stop in the middle ---


class Stopped(BaseException):
    """The end of the process, as far as anybody inside can tell."""


@contextmanager
def stopping_at(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def stop(*_: Any, **__: Any) -> Any:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stop)
        with pytest.raises(Stopped):
            yield


@pytest.mark.parametrize("place", ["_learn", "_register", "_gate", "_conclude", "begin_service"])
def test_stopped_anywhere_and_started_again_it_ends_as_it_would_have(
    stores: Stores, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopping_at(place, monkeypatch):
        retrained(stores)
    again = dataclasses.replace(stores, memo={})  # another process
    found = retrained(again)
    assert found.promoted
    assert [version.version for version in again.registry.versions()] == [1, 2]
    champion = again.registry.alias("champion")
    assert champion is not None
    assert champion.version == 2
    assert [event.payload["version"] for event in again.log.events(kind=SERVICE)] == [1, 2]
    assert len(again.log.events(kind=RETRAINING)) == 1
    assert needed_service(again, NOW).version == 2


def test_after_it_the_monitor_asks_for_nothing_more(stores: Stores) -> None:
    assert monitor_stores(stores, NOW).harmful
    retrained(stores)
    assert not monitor_stores(stores, NOW).harmful


def test_dates_of_the_data_and_of_requests_are_the_same_dates() -> None:
    column = DateColumn("booked", (), 0.0, 1.0, 0.0, 1.0, False)
    first = np.array(["2021-01-05T06:00"], dtype="datetime64[ns]")
    later = np.array(["2021-01-06T07:00", None], dtype=object)
    assert together(column, first, later).astype("datetime64[h]").astype(str).tolist() == [
        "2021-01-05T06",
        "2021-01-06T07",
        "NaT",
    ]
    names = np.array(["a"], dtype=object)
    assert together(CategoryColumn("carrier", ("a",)), names, names).tolist() == ["a", "a"]
