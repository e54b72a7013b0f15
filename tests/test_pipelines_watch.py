"""Watching: the same log gives the same judgements, whoever asks, whenever, and from wherever on."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import projects
import pytest
import streams

from monitoring.decision import RetrainDecision
from monitoring.window import WindowLength
from pipelines.course import Course
from pipelines.errors import UserError
from pipelines.log import Log
from pipelines.retraining import learn_again
from pipelines.service import Service, begin_service, bundle_of, needed_service
from pipelines.stores import Stores
from pipelines.watch import WindowJudgement, watch

DAYS, ROWS = 15, 100
CUT = datetime(2021, 1, 6, tzinfo=UTC)
SETTINGS = '[monitor]\nwindow = "day"\n[replay]\ntrain_until = 2021-01-06\n'
NO_DELAY = timedelta(0)


@pytest.fixture(scope="module")
def course(make_stores: Callable[..., Any]) -> tuple[Stores, Course]:
    """A first version, and ten days that it has lived through; nothing is judged yet. The fourth has no truth."""
    return lived(make_stores, SETTINGS)


def lived(make_stores: Callable[..., Any], settings: str) -> tuple[Stores, Course]:
    frame = streams.stream(DAYS, ROWS, change_on=10)
    frame = frame.assign(y=frame["y"].where(frame["when"].dt.day != 9))
    stores: Stores = make_stores(frame, settings)
    course = projects.live(stores, CUT)
    return stores, course


@pytest.fixture
def stores(course: tuple[Stores, Course]) -> Stores:
    """The same stores with nothing in memory, as another process would open them."""
    return dataclasses.replace(course[0], memo={})


def judged(stores: Stores, *, until: int = DAYS - 5, after: int = -1) -> list[WindowJudgement]:
    now = CUT + timedelta(days=until)
    return watch(stores, needed_service(stores, now), now, after=after)


def told(judgements: list[WindowJudgement]) -> list[str]:
    """Everything that they hold; a loss that is unknown is as unknown as any other."""
    return [repr(judgement) for judgement in judgements]


def test_every_window_that_is_due_is_judged(stores: Stores) -> None:
    found = judged(stores)
    assert [judgement.number for judgement in found] == list(range(DAYS - 5))
    assert [judgement.rows for judgement in found] == [ROWS] * (DAYS - 5)
    assert {judgement.version for judgement in found} == {1}


def test_the_change_is_found_where_it_began(stores: Stores) -> None:
    harmful = [judgement for judgement in judged(stores) if judgement.verdict.harmful]
    assert harmful[0].number in (5, 6, 7)
    assert harmful[0].harm_since is not None
    assert harmful[0].harm_since in (CUT + timedelta(days=4), CUT + timedelta(days=5))


def test_a_window_without_truth_is_not_judged_on_its_loss(stores: Stores) -> None:
    silent = judged(stores)[3]
    assert (silent.rows, silent.labelled) == (ROWS, 0)
    assert np.isnan(silent.loss)
    assert silent.verdict.kind == "not enough evidence"


def test_window_by_window_says_the_same_as_all_at_once(stores: Stores) -> None:
    at_once = judged(stores)
    fresh = dataclasses.replace(stores, memo={})
    one_by_one = [judged(fresh, until=day, after=day - 2)[0] for day in range(1, DAYS - 4)]
    assert told(one_by_one) == told(at_once)


def test_what_is_judged_already_is_left_out(stores: Stores) -> None:
    every = judged(stores)
    assert told(judged(dataclasses.replace(stores, memo={}), after=5)) == told(every[6:])
    assert judged(stores, after=99) == []


def test_truth_that_comes_later_changes_no_judgement(course: tuple[Stores, Course], stores: Stores) -> None:
    before = judged(stores)
    rows = course[1].future
    stores.log.append_labels(rows.ids[:200], np.ones(200), known_at=CUT + timedelta(days=300))
    assert told(judged(dataclasses.replace(stores, memo={}))) == told(before)


def test_labels_that_the_target_cannot_take_do_not_stop_the_monitor(
    course: tuple[Stores, Course], stores: Stores, tmp_path: Path
) -> None:
    before = judged(stores)
    shutil.copytree(stores.project.log_folder(), tmp_path / "log")
    other = dataclasses.replace(stores, log=Log(tmp_path / "log"), memo={})
    moments = np.full(3, np.datetime64("2400-01-01", "us"))
    ids, due = course[1].future.ids[:3], CUT + timedelta(days=1)
    other.log.append_labels(ids, ["lost", "lost", None], known_at=due, moments=moments)
    after = judged(other)
    assert after[0].labelled == before[0].labelled - 2
    assert after[1].loss == before[1].loss


def test_before_the_first_window_has_ended_there_is_nothing_to_say(stores: Stores) -> None:
    assert judged(stores, until=0) == []


def test_a_new_service_looks_at_its_own_rows_alone(course: tuple[Stores, Course], stores: Stores) -> None:
    service = needed_service(stores, CUT + timedelta(days=1))
    later = Service(2, CUT + timedelta(days=3), CUT, WindowLength(1, "day"), service.reference)
    versions = {**stores.memo, ("bundle", 2): bundle_of(stores, 1)}
    found = watch(dataclasses.replace(stores, memo=versions), later, CUT + timedelta(days=5))
    assert [judgement.number for judgement in found] == [3, 4]
    assert [(judgement.rows, judgement.labelled) for judgement in found] == [(0, 0), (0, 0)]
    assert np.isfinite(found[1].loss)  # of the rows that version 1 served; those of window 3 have no truth


def test_a_rolled_back_version_counts_its_new_rows_only(stores: Stores) -> None:
    service = needed_service(stores, CUT + timedelta(days=1))
    half = CUT + timedelta(days=3, hours=12)
    begin_service(
        dataclasses.replace(stores, memo={}),
        1,
        now=half,
        anchor=CUT,
        window=service.window,
        reference=service.reference,
        author="test",
        reason="rolled back",
    )
    found = judged(dataclasses.replace(stores, memo={}), until=5)
    assert [judgement.number for judgement in found] == [3, 4]
    assert 30 < found[0].rows < 70
    assert found[1].rows == ROWS


def test_a_window_of_many_rows_is_read_in_parts_and_judged_the_same(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, read_parts, sizes = judged(stores), Log.parts, []

    def in_small_parts(log: Log, *window: Any, **wishes: Any) -> Any:
        for part in read_parts(log, *window, **wishes, rows=17):
            sizes.append(len(part))
            yield part

    monkeypatch.setattr(Log, "parts", in_small_parts)
    found = judged(dataclasses.replace(stores, memo={}))
    assert max(sizes) < 20 < len(sizes)
    assert [one.verdict for one in found] == [one.verdict for one in at_once]
    assert [one.faults for one in found] == [one.faults for one in at_once]
    for mine, whole in zip(found, at_once, strict=True):
        assert mine.loss == pytest.approx(whole.loss, nan_ok=True, rel=1e-12)
        np.testing.assert_array_equal(
            [c.distance for c in mine.shift.columns], [c.distance for c in whole.shift.columns]
        )


# --- labels that come late ---


def late_labels(course: tuple[Stores, Course], folder: Path, *, easy_first: bool) -> Stores:
    """The same rows; half of the truth comes a day after its window is due: any half, or that of larger losses."""
    stores, log = course[0], Log(folder / "log")
    begun = stores.log.events(kind="service")[0]  # other tests let further services begin
    log.append_event(begun.kind, begun.payload, known_at=begun.known_at, author=begun.author)
    rng = np.random.default_rng(0)
    for day in range(DAYS - 5):
        start = CUT + timedelta(days=day)
        rows = stores.log.predictions(start, start + timedelta(days=1))
        log.append_predictions(
            rows.ids,
            rows.times,
            rows.columns,
            rows.predictions,
            version=1,
            known_at=start + timedelta(days=1),
        )
        rows = rows.take(rows.labelled)
        wrong = (
            np.abs(rows.labels.astype(float) - rows.predictions[:, 0])
            if easy_first
            else rng.random(len(rows))
        )
        late = wrong > np.median(wrong) if len(rows) else np.zeros(0, bool)
        for which, days in ((~late, 1), (late, 2)):
            known_at = start + timedelta(days=days)
            log.append_labels(rows.ids[which], rows.labels[which], known_at=known_at)
    return dataclasses.replace(stores, log=log, memo={})


def test_a_loss_of_easy_rows_alone_is_corrected_and_said_to_be(
    course: tuple[Stores, Course], stores: Stores, tmp_path: Path
) -> None:
    whole = judged(stores)[2]
    found = judged(late_labels(course, tmp_path, easy_first=True))
    assert found[2].labelled == pytest.approx(whole.labelled / 2, abs=2)
    assert found[2].loss < 0.6 * whole.loss
    assert "rows labelled late (50% of the labels)" in found[2].verdict.reasons[-1]
    assert "more than those in time" in found[2].verdict.reasons[-1]
    assert not found[2].verdict.harmful


def test_labels_that_are_late_by_chance_change_nothing_that_is_said(
    course: tuple[Stores, Course], tmp_path: Path
) -> None:
    found = judged(late_labels(course, tmp_path, easy_first=False))
    assert not [reason for one in found for reason in one.verdict.reasons if "labelled late" in reason]
    assert [one for one in found if one.verdict.harmful]


def test_late_labels_are_judged_window_by_window_as_all_at_once(
    course: tuple[Stores, Course], tmp_path: Path
) -> None:
    made = late_labels(course, tmp_path, easy_first=True)
    at_once, fresh = judged(made), dataclasses.replace(made, memo={})
    one_by_one = [judged(fresh, until=day, after=day - 2)[0] for day in range(1, DAYS - 4)]
    assert told(one_by_one) == told(at_once)


def test_hashed_categories_are_judged_as_they_were_and_dropped_columns_not_at_all(
    make_stores: Callable[..., Any],
) -> None:
    stores, _ = lived(make_stores, SETTINGS)
    kept, _ = lived(make_stores, SETTINGS + '[log]\ncolumns = {kind = "hash", size = "drop"}\n')
    rows = kept.log.predictions(CUT, CUT + timedelta(days=30))
    assert "size" not in rows.columns
    assert {value[:5] for value in rows.columns["kind"]} == {"hash:"}
    found, plain = judged(kept), judged(stores)
    for mine, whole in zip(found, plain, strict=True):
        there = {column.name: column.distance for column in whole.shift.columns}
        del there["size"]
        assert {column.name: column.distance for column in mine.shift.columns} == there
        assert mine.faults == ()
        assert mine.loss == pytest.approx(whole.loss, nan_ok=True)
    with pytest.raises(UserError, match='size = "drop": the network learns from it'):
        learn_again(
            kept,
            needed_service(kept, CUT + timedelta(days=9)),
            found[-1],
            RetrainDecision("update", ()),
            CUT + timedelta(days=9),
        )
