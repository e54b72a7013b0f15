"""A replay lives through the rows in order of time, decides as a live project would, and is told in full."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streams

from pipelines.course import Course, plan
from pipelines.errors import UserError
from pipelines.prepared import prepare_rows
from pipelines.project import Project
from pipelines.replay import replay
from pipelines.replay_result import ReplayResult, month_table, months, write_json

DAYS, ROWS, CHANGE = 30, 120, 18
SETTINGS = '[monitor]\nwindow = "day"\n'


@pytest.fixture(scope="module")
def project(make_stores: Callable[..., Any]) -> Project:
    found: Project = make_stores(streams.stream(DAYS, ROWS, change_on=CHANGE), SETTINGS).project
    return found


@pytest.fixture(scope="module")
def result(project: Project) -> ReplayResult:
    return replay(project)


def test_windows_follow_each_other_from_the_cut_to_the_end(result: ReplayResult) -> None:
    assert [window.start[:10] for window in result.windows] == [
        str(np.datetime64("2021-01-08") + day) for day in range(DAYS - 7)
    ]
    assert all(a.end == b.start for a, b in zip(result.windows, result.windows[1:], strict=False))
    assert {window.rows for window in result.windows} == {ROWS}
    assert result.summary.rows == ROWS * (DAYS - 7)


def test_until_the_first_promotion_the_first_version_is_what_serves(result: ReplayResult) -> None:
    for window in result.windows:
        if window.version == 1:
            assert window.loss == pytest.approx(window.loss_never)
    assert result.windows[0].version == 1


def test_the_change_is_found_and_the_loss_is_won_back(result: ReplayResult) -> None:
    harmful = [w for w in result.windows if w.verdict in ("harmful shift", "concept change")]
    assert "2021-01-19" <= harmful[0].start[:10] <= "2021-01-21"
    assert harmful[0].promoted
    end = result.windows[-4:]
    assert np.mean([w.loss for w in end]) < 0.6 * np.mean([w.loss_never for w in end])


def test_a_version_serves_from_the_window_after_its_promotion(result: ReplayResult) -> None:
    for window, following in zip(result.windows, result.windows[1:], strict=False):
        expected = window.challenger if window.promoted else window.version
        assert following.version == expected


def test_every_retraining_names_its_cause_and_what_the_gate_said(result: ReplayResult) -> None:
    retrained = [window for window in result.windows if window.challenger is not None]
    assert retrained
    for window in retrained:
        assert window.reasons
        assert window.gate
        assert window.action in ("update", "refit")


def test_the_summary_is_the_sum_of_its_windows(result: ReplayResult) -> None:
    summary, windows = result.summary, result.windows
    for name in ("loss", "loss_never", "loss_constant", "loss_simple", "loss_schedule"):
        assert getattr(summary, name) == pytest.approx(np.mean([getattr(window, name) for window in windows]))
    assert summary.retrainings == sum(window.challenger is not None for window in windows)
    assert summary.promotions == sum(window.promoted for window in windows)
    assert summary.refusals == summary.retrainings - summary.promotions
    assert summary.alarms == sum(w.verdict in ("harmful shift", "concept change") for w in windows)
    assert summary.cpu_training > 0
    assert summary.seconds > 0


def test_the_baselines_are_on_the_same_rows(result: ReplayResult) -> None:
    before = [window for window in result.windows if window.start < "2021-01-19"]
    assert np.mean([w.loss_constant for w in before]) == pytest.approx(0.69, abs=0.03)
    assert np.mean([w.loss_simple for w in before]) < 0.55


def test_the_months_weigh_their_windows_by_rows(result: ReplayResult) -> None:
    *parts, whole = months(result)
    assert [part["month"] for part in parts] == ["2021-01"]
    assert whole["losswatch"] == pytest.approx(result.summary.loss)
    assert whole["rows"] == result.summary.rows
    assert any(line.startswith("all") for line in month_table(result))


def test_the_answer_shows_the_table_and_where_to_look(result: ReplayResult) -> None:
    shown = "\n".join(result.lines())
    assert "never retrained" in shown
    assert result.page in shown
    assert Path(result.page).is_file()


def test_a_replay_leaves_the_live_stores_alone(result: ReplayResult, project: Project) -> None:
    assert {path.name for path in project.state.iterdir()} == {"replay"}


def test_the_same_rows_and_seed_give_the_same_decisions(result: ReplayResult, project: Project) -> None:
    again = replay(project)

    def decided(found: ReplayResult) -> Any:
        return found.windows, replace(found.summary, seconds=0.0, cpu_training=0.0)

    assert decided(again) == decided(result)


def test_nothing_changes_nothing_is_done(make_stores: Callable[..., Any]) -> None:
    found = replay(make_stores(streams.stream(25, 100, task="regression", seed=1), SETTINGS).project)
    assert found.loss_name == "mean_squared_error"
    assert (found.summary.alarms, found.summary.retrainings) == (0, 0)
    assert found.summary.loss == found.summary.loss_never
    assert found.summary.loss == pytest.approx(found.summary.loss_schedule, rel=1e-6)


def test_truth_that_comes_late_is_judged_late(make_stores: Callable[..., Any]) -> None:
    frame = streams.stream(14, 100)
    told: list[str] = []

    def run(name: str, step: Callable[[], Any]) -> Any:
        told.append(name)
        return step()

    more = 'label_delay = "2 d"\n[monitor]\nwindow = "day"\n[replay]\ntrain_until = 2021-01-06\n'
    found = replay(make_stores(frame, more).project, run=run)
    assert [window.rows for window in found.windows] == [100] * 9
    assert all(window.verdict != "not enough evidence" for window in found.windows)
    assert told[:4] == ["read", "prepare", "train", "promote the first version"]
    assert told[4:6] == ["score 2021-01-06", "monitor 2021-01-06"]


def test_a_window_whose_version_was_replaced_before_its_truth_came_is_told_as_not_judged(
    make_stores: Callable[..., Any],
) -> None:
    more = 'label_delay = "3 d"\n' + SETTINGS
    found = replay(make_stores(streams.stream(DAYS, ROWS, change_on=CHANGE), more).project)
    assert found.summary.promotions > 0
    gone = [window for window in found.windows if any("was replaced" in reason for reason in window.reasons)]
    assert gone
    assert {(window.verdict, window.action) for window in gone} == {("not enough evidence", "keep")}
    assert all(window.rows == ROWS for window in gone)


def test_rows_without_truth_are_scored_and_not_judged(make_stores: Callable[..., Any]) -> None:
    frame = streams.stream(12, 100)
    unknown = frame["when"].dt.day == 10
    found = replay(make_stores(frame.assign(y=frame["y"].where(~unknown)), SETTINGS).project)
    silent = next(window for window in found.windows if window.start.startswith("2021-01-10"))
    assert silent.rows == 0
    assert np.isnan(silent.loss)
    assert silent.verdict == "not enough evidence"
    assert np.isfinite(found.summary.loss)


# --- where a replay begins ---


def course(project: Project, more: str) -> Course:
    from pipelines.project import open_project

    file = project.folder / "losswatch.toml"
    before = file.read_text()
    file.write_text(before + more)
    try:
        opened = open_project(project.folder)
    finally:
        file.write_text(before)
    return plan(opened, prepare_rows(opened).table)


def test_a_share_of_the_rows_trains_the_first_version(project: Project) -> None:
    found = course(project, "[replay]\ntrain_share = 0.5\n")
    assert found.cut == datetime(2021, 1, 17, tzinfo=UTC)
    assert len(found.past.times) == 16 * ROWS
    assert found.past.times[-1] < np.datetime64("2021-01-17") <= found.future.times[0]


def test_a_date_cuts_where_it_says(project: Project) -> None:
    found = course(project, "[replay]\ntrain_until = 2021-01-09\nuntil = 2021-01-12T12:00:00\n")
    assert found.cut == datetime(2021, 1, 9, tzinfo=UTC)
    assert found.future.times[-1] < np.datetime64("2021-01-12T12:00")
    assert [window.start.day for window in found.windows] == [9, 10, 11, 12]


def test_a_date_with_a_zone_is_that_moment(project: Project) -> None:
    found = course(project, "[replay]\ntrain_until = 2021-01-09T02:00:00+02:00\n")
    assert found.cut == datetime(2021, 1, 9, tzinfo=UTC)


def test_each_window_is_judged_when_its_truth_is_known(project: Project) -> None:
    found = course(project, "[replay]\ntrain_until = 2021-01-29\n")
    nows = [now for now, _ in found.nows(timedelta(days=1))]
    assert nows == [datetime(2021, 1, 31, tzinfo=UTC), datetime(2021, 2, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("date", "side"), [("2020-12-01", "before"), ("2021-03-01", "from")], ids=["too early", "too late"]
)
def test_a_cut_without_rows_on_both_sides_is_refused(project: Project, date: str, side: str) -> None:
    with pytest.raises(UserError, match=rf"\[replay\] no row lies {side} {date}.*2021-01-01.*2021-01-30"):
        course(project, f"[replay]\ntrain_until = {date}\n")


def test_rows_without_times_cannot_be_replayed(make_stores: Callable[..., Any]) -> None:
    stores = make_stores(streams.stream(2, 100).drop(columns="when"))
    with pytest.raises(UserError, match=r"\[data\] names no time"):
        replay(stores.project)
    assert not stores.project.state.exists()


# --- the file ---


def test_the_file_is_whole_or_not_there(result: ReplayResult, tmp_path: Path) -> None:
    write_json(result, tmp_path / "replay.json")
    assert [path.name for path in tmp_path.iterdir()] == ["replay.json"]
    content = json.loads((tmp_path / "replay.json").read_text())
    assert content["losswatch_replay"] == 1
    assert len(content["windows"]) == len(result.windows)


def test_a_loss_that_is_unknown_is_null_in_the_file(result: ReplayResult, tmp_path: Path) -> None:
    unknown = replace(result.windows[0], loss=float("nan"))
    write_json(replace(result, windows=(unknown,)), tmp_path / "replay.json")
    assert json.loads((tmp_path / "replay.json").read_text())["windows"][0]["loss"] is None
