"""What may be wrong with the data, the labels and the windows of a service: each has a state, and no report is lost.

The numbers are those of the list of faults that the monitor has to survive: data file 1 to 6, labels 36 to 38, monitor
39 to 44. What concerns files alone is in test_bad_input.py and test_pipelines_data_file.py, what concerns the log in
test_pipelines_log.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streams

from monitoring.verdict import VerdictKind
from pipelines.course import plan
from pipelines.judged_evidence import kept_evidence
from pipelines.log import Log
from pipelines.prepared import prepare_rows
from pipelines.service import bundle_of, needed_service
from pipelines.sources import read
from pipelines.steps import promote_first
from pipelines.stores import Stores
from pipelines.training import train_version
from pipelines.watch import WindowJudgement, watch

PAST, DAYS, ROWS = 9, 4, 150
CUT = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=PAST)
SETTINGS = f'[monitor]\nwindow = "day"\n[replay]\ntrain_until = {CUT:%Y-%m-%d}\n'
LAST = DAYS - 1  # the window that each case spoils
Columns = dict[str, Any]
Rng = np.random.Generator


@pytest.fixture(scope="module")
def stores(make_stores: Callable[..., Any]) -> Stores:
    made: Stores = make_stores(streams.stream(PAST + DAYS, ROWS), SETTINGS)
    course = plan(made.project, read(made.project.config.data, made.project.folder))
    trained = train_version(made, prepare_rows(made.project, course.past))
    promote_first(made, trained.version.version, now=CUT, anchor=CUT, window=course.window, author="test")
    return made


@pytest.fixture(scope="module")
def days() -> list[Columns]:
    """The rows of each day of the service, with their truth and times."""
    frame = streams.stream(PAST + DAYS, ROWS)
    start = np.datetime64(CUT.replace(tzinfo=None), "us")
    day = (frame["when"].to_numpy().astype("datetime64[us]") - start) // np.timedelta64(1, "D")
    return [{str(name): frame[name].to_numpy()[day == k] for name in frame.columns} for k in range(DAYS)]


class Feed:
    """A log to which the days of a service come, one of them spoiled."""

    def __init__(self, stores: Stores, days: list[Columns], folder: Path) -> None:
        log = Log(folder / "log")
        begun = stores.log.events(kind="service")[0]
        log.append_event(begun.kind, begun.payload, known_at=begun.known_at, author=begun.author)
        self.stores = dataclasses.replace(stores, log=log, memo={})
        self.days = days
        self._schema = bundle_of(stores, 1).schema
        self._folder = bundle_of(stores, 1).folder

    def judged(
        self,
        spoil: Callable[[Columns], Columns] = lambda columns: columns,
        labels: Callable[[Any], Any] = lambda labels: labels,
        *,
        keep: int = ROWS,
        predictions: Callable[[Any], Any] = lambda predictions: predictions,
    ) -> list[WindowJudgement]:
        """Every day's rows and labels; spoil: the columns of the last day, labels: its labels, keep: rows of it."""
        for day, rows in enumerate(self.days):
            last = day == LAST
            few = {name: values[:keep] for name, values in rows.items()} if last else dict(rows)
            columns = spoil(dict(few)) if last else few
            answered = self._answers(few)
            self._score(day, columns, few["when"], predictions(answered) if last else answered)
            self.label(day, labels(few["y"].astype(float)) if last else few["y"].astype(float))
        return self.watched()

    def _answers(self, columns: Columns) -> Any:
        from pipelines.scoring import Scorer

        if not len(columns["when"]):
            return np.zeros((0, 1))
        named = {name: columns[name] for name in self._schema.column_names}
        return Scorer.load(self._folder).predict(named).astype(float)

    def _score(self, day: int, columns: Columns, times: Any, predictions: Any) -> None:
        if not len(times):
            return
        sent = {name: values for name, values in columns.items() if name not in ("when", "y")}
        self.stores.log.append_predictions(
            ids(day, len(times)),
            times.astype("datetime64[us]"),
            sent,
            predictions,
            version=1,
            known_at=CUT + timedelta(days=day + 1),
        )

    def label(self, day: int, labels: Any, *, known: float | None = None) -> None:
        at = CUT + timedelta(days=day + 1 if known is None else known)
        if len(labels):
            self.stores.log.append_labels(ids(day, len(labels)), labels, known_at=at)

    def watched(self) -> list[WindowJudgement]:
        now = CUT + timedelta(days=DAYS)
        fresh = dataclasses.replace(self.stores, memo={})
        found = watch(fresh, needed_service(fresh, now), now)
        for judgement in found:
            kept_evidence(judgement)  # what the report draws can be written
        return found


@pytest.fixture
def feed(stores: Stores, days: list[Columns], tmp_path: Path) -> Feed:
    return Feed(stores, days, tmp_path)


def ids(day: int, count: int) -> list[str]:
    return [f"{day}-{place}" for place in range(count)]


def told(judgement: WindowJudgement) -> tuple[VerdictKind, list[tuple[str, str]]]:
    return judgement.verdict.kind, [(fault.column, fault.kind) for fault in judgement.faults]


# --- A. data ---


def without(name: str) -> Callable[[Columns], Columns]:
    return lambda columns: {other: values for other, values in columns.items() if other != name}


def with_values(name: str, make: Callable[[Any], Any]) -> Callable[[Columns], Columns]:
    return lambda columns: {**columns, name: make(columns[name])}


def some(count: int, value: Any) -> Callable[[Any], Any]:
    """The first of the values are another."""

    def change(values: Any) -> Any:
        changed = values.astype(object)
        changed[:count] = value
        return changed

    return change


BROKEN: list[Any] = [
    pytest.param("A2", without("wind"), ("wind", "all missing"), id="A2-a column is missing"),
    pytest.param(
        "A2",
        lambda columns: {**without("wind")(columns), "Wind": columns["wind"]},
        ("wind", "all missing"),
        id="A2-a column is renamed",
    ),
    pytest.param(
        "A2",
        with_values("wind", lambda values: np.array([f"{value} m/s" for value in values], dtype=object)),
        ("wind", "invalid values"),
        id="A2-numbers become text",
    ),
    pytest.param(
        "A3", with_values("wind", some(ROWS, None)), ("wind", "all missing"), id="A3-nothing but missing"
    ),
    pytest.param(
        "A3", with_values("kind", some(ROWS, None)), ("kind", "all missing"), id="A3-no name at all"
    ),
    pytest.param("A3", with_values("wind", some(60, np.inf)), ("wind", "invalid values"), id="A3-infinite"),
    pytest.param("A3", with_values("wind", some(60, 1e308)), ("wind", "invalid values"), id="A3-1e308"),
    pytest.param(
        "A3",
        with_values("wind", lambda values: np.zeros(len(values))),
        ("wind", "constant"),
        id="A3-constant",
    ),
    pytest.param(
        "A3",
        with_values("kind", lambda values: np.array([f"k{k}" for k in range(len(values))], dtype=object)),
        ("kind", "unknown levels"),
        id="A3-as many categories as rows",
    ),
    pytest.param(
        "A3",
        with_values("wind", lambda values: np.array([1, "x", None] * (ROWS // 3), dtype=object)),
        ("wind", "many missing"),
        id="A3-mixed types",
    ),
    pytest.param(
        "I44",
        with_values("size", lambda values: values * 1000),
        ("size", "another unit"),
        id="I44-another unit",
    ),
    pytest.param(
        "I44",
        with_values("size", lambda values: np.where(np.arange(len(values)) % 5 == 0, -999.0, values)),
        ("size", "impossible values"),
        id="I44-a mark for unknown",
    ),
    pytest.param(
        "I44",
        with_values("kind", lambda values: np.where(values == "shop", "store", values)),
        ("kind", "level renamed"),
        id="I44-a category renamed",
    ),
]


@pytest.mark.parametrize(("row", "spoil", "fault"), BROKEN)
def test_what_is_broken_has_its_state_and_the_other_columns_are_judged(
    row: str, spoil: Callable[[Columns], Columns], fault: tuple[str, str], feed: Feed
) -> None:
    last = feed.judged(spoil)[-1]
    assert told(last) == ("data fault", [fault]), row
    assert {column.name for column in last.shift.columns} >= {"wind", "heat", "rain", "noise", "size", "kind"}
    assert last.labelled == ROWS


HARMLESS: list[Any] = [
    pytest.param(lambda columns: {**columns, "more": columns["wind"]}, id="A2-a column more"),
    pytest.param(lambda columns: dict(reversed(columns.items())), id="A2-another order"),
    pytest.param(with_values("wind", some(1, np.inf)), id="A3-one infinite value"),
    pytest.param(with_values("wind", some(1, 1e308)), id="A3-one value near the largest"),
    pytest.param(with_values("kind", some(1, "")), id="A3-an empty name"),
    pytest.param(with_values("kind", some(2, "new")), id="A3-a new category"),
    pytest.param(
        with_values("size", lambda values: values.astype(str).astype(object)), id="A2-numbers as text"
    ),
]


@pytest.mark.parametrize("spoil", HARMLESS)
def test_what_is_harmless_changes_no_verdict(
    spoil: Callable[[Columns], Columns], feed: Feed, stores: Stores, days: list[Columns], tmp_path: Path
) -> None:
    plain = Feed(stores, days, tmp_path / "plain").judged()
    assert [told(one) for one in feed.judged(spoil)] == [told(one) for one in plain]
    assert plain[-1].faults == ()


def test_rows_of_the_day_before_are_known_again(feed: Feed) -> None:  # A5
    before = feed.days[LAST - 1]
    spoiled = {name: values for name, values in before.items() if name not in ("when", "y")}
    last = feed.judged(lambda columns: {**columns, **spoiled})[-1]
    assert told(last) == ("data fault", [("all columns", "rows repeated")])


# --- H. labels ---


@pytest.mark.parametrize("value", [np.nan, "lost", None])
def test_labels_that_are_none_count_as_none(value: Any, feed: Feed) -> None:  # H36
    last = feed.judged(labels=some(ROWS // 2, value))[-1]
    assert last.labelled == ROWS - ROWS // 2
    assert np.isfinite(last.loss)


def test_labels_thrice_in_any_order_count_once(feed: Feed) -> None:  # H36
    first = feed.judged()
    for day in (2, 0, 3, 1, 0, 3):
        feed.label(day, feed.days[day]["y"].astype(float))
    assert [repr(one) for one in feed.watched()] == [repr(one) for one in first]


def test_labels_of_no_row_are_left_aside(feed: Feed) -> None:  # H36
    first = feed.judged()
    feed.stores.log.append_labels(["nobody", "nothing"], [1.0, 0.0], known_at=CUT + timedelta(days=1))
    assert [repr(one) for one in feed.watched()] == [repr(one) for one in first]


def test_without_labels_there_is_not_enough_evidence(feed: Feed) -> None:  # H37
    last = feed.judged(labels=lambda labels: labels[:0])[-1]
    assert told(last) == ("not enough evidence", [])
    assert (last.rows, last.labelled) == (ROWS, 0)
    assert last.verdict.reasons == ("only 0 labelled rows",)


def test_labels_that_come_after_the_verdict_do_not_change_it(feed: Feed) -> None:  # H38
    first = feed.judged(labels=lambda labels: labels[:0])
    feed.label(LAST, 1 - feed.days[LAST]["y"].astype(float), known=DAYS + 30)
    assert [repr(one) for one in feed.watched()] == [repr(one) for one in first]


# --- I. windows ---


def test_an_empty_window_is_a_fault_and_no_all_clear(feed: Feed) -> None:  # I39
    last = feed.judged(keep=0)[-1]
    assert last.verdict.kind in ("data fault", "not enough evidence")
    assert not last.verdict.harmful
    assert last.rows == 0


@pytest.mark.parametrize("rows", [1, 2, 29])
def test_a_window_of_few_rows_is_not_enough_evidence(rows: int, feed: Feed) -> None:  # I39
    last = feed.judged(keep=rows)[-1]
    assert last.verdict.kind in ("data fault", "not enough evidence")
    assert not last.verdict.harmful
    assert last.rows == rows
    assert str(last.power)


def test_a_window_of_one_class_is_judged(feed: Feed) -> None:  # I39
    last = feed.judged(labels=np.zeros_like)[-1]
    assert last.labelled == ROWS
    assert np.isfinite(last.loss)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_loses_its_row_alone(value: float, feed: Feed) -> None:  # I42
    def spoil(predictions: Any) -> Any:
        predictions = predictions.copy()
        predictions[:3] = value
        return predictions

    last = feed.judged(predictions=spoil)[-1]
    assert np.isfinite(last.loss)
    assert last.labelled >= ROWS - 3
    assert not last.verdict.harmful


def test_broken_data_start_no_retraining(feed: Feed, stores: Stores) -> None:  # I44
    from monitoring.decision import decide

    last = feed.judged(with_values("size", lambda values: values * 1000))[-1]
    decision = decide(last.verdict, window=9, past=(), blind=last.blind, policy=stores.project.config.retrain)
    assert decision.action == "fix data"
    assert not last.risen
