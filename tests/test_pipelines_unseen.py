"""A version is judged on rows that did not make it; where there are none, that is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streams

from pipelines.errors import UserError
from pipelines.moments import numpy_moment
from pipelines.prepared import prepare_rows
from pipelines.registry import ModelVersion
from pipelines.service import RETRAINING, bundle_of
from pipelines.sources import Table, read
from pipelines.stores import Stores
from pipelines.training import train_version
from pipelines.unseen import (
    known_before,
    stopping_rows,
    taught_rows,
    time_columns,
    unseen_rows,
    unseen_since,
    with_column,
)

ROWS = 600
NOW = datetime(2021, 3, 1, tzinfo=UTC)
Trained = tuple[Stores, ModelVersion]


@pytest.fixture
def trained(make_stores: Callable[..., Any]) -> Callable[..., Trained]:
    """A project over six days and its first version. more: lines of its file."""

    def train(more: str = "", frame: Any = None) -> Trained:
        stores = make_stores(streams.stream(6, 100) if frame is None else frame, more)
        version = train_version(stores, prepare_rows(stores.project)).version
        return dataclasses.replace(stores, memo={}), version

    return train


def with_rows(stores: Stores, frame: pd.DataFrame) -> None:
    """More rows at the end of the project's file."""
    path = stores.project.folder / "rows.csv"
    frame.to_csv(path, mode="a", header=False, index=False)


def logged(stores: Stores, frame: pd.DataFrame, *, labelled: int, known_at: datetime = NOW) -> None:
    """Rows that were served, of which the first have labels."""
    ids = [f"served {row}" for row in range(len(frame))]
    columns = {name: frame[name].to_numpy() for name in frame.columns if name not in ("when", "y")}
    stores.log.append_predictions(
        ids, frame["when"].to_numpy(), columns, np.full(len(frame), 0.5), version=1, known_at=known_at
    )
    stores.log.append_labels(ids[:labelled], frame["y"].to_numpy()[:labelled], known_at=known_at)


def later(rows: int) -> pd.DataFrame:
    """Rows of days after those of the project."""
    frame = streams.stream(12, 100, seed=1).iloc[700 : 700 + rows]
    return pd.DataFrame(frame.reset_index(drop=True))


# --- what made a version ---


def test_the_rows_that_taught_and_those_that_stopped_a_first_version(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    taught, stopped = taught_rows(stores, version), stopping_rows(stores, version)
    assert (len(taught.times), len(stopped.times)) == (510, 90)
    assert taught.times[-1] <= stopped.times[0]


def test_rows_without_a_target_taught_nothing(trained: Callable[..., Trained]) -> None:
    frame = streams.stream(6, 100)
    frame["y"] = frame["y"].astype(float).mask(np.arange(ROWS) % 10 == 0)
    stores, version = trained(frame=frame)
    assert len(taught_rows(stores, version).times) == 510 * 9 // 10


def test_a_retrained_version_was_taught_by_the_log_too(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    frame = later(300)
    logged(stores, frame, labelled=300)
    until = frame["when"].iloc[100].to_pydatetime().replace(tzinfo=UTC)
    update = dataclasses.replace(version, kind="update", trained_until=until)
    taught = taught_rows(stores, update)
    assert len(taught.times) == ROWS + 100
    assert taught.times[-1] < numpy_moment(until)


def test_rows_of_a_concept_that_is_over_are_left_out(
    trained: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores, version = trained()
    bundle = bundle_of(stores, version.version)
    changed = dataclasses.replace(bundle, settings={**bundle.settings, "true_since": "2021-01-04T00:00:00"})
    monkeypatch.setattr("pipelines.unseen.bundle_of", lambda stores, number: changed)
    update = dataclasses.replace(version, kind="update")
    assert taught_rows(stores, update).times[0] >= np.datetime64("2021-01-04")


def test_what_was_known_before_a_moment_is_of_the_data_and_of_the_log(
    trained: Callable[..., Trained],
) -> None:
    stores, version = trained()
    frame = later(200)
    logged(stores, frame, labelled=200)
    moment = frame["when"].to_numpy()[50].astype("datetime64[us]")
    assert len(known_before(stores, version, moment).times) == ROWS + 50
    early = known_before(stores, version, np.datetime64("2021-01-03"))
    assert len(early.times) == 200


def test_nothing_after_a_retraining_can_have_chosen_its_version(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    assert version.trained_until is not None
    assert unseen_since(stores, version) == numpy_moment(version.trained_until)
    stores.log.append_event(RETRAINING, {"challenger": 1}, known_at=NOW, author="test")
    assert unseen_since(stores, version) == numpy_moment(NOW)
    assert unseen_since(stores, dataclasses.replace(version, version=2)) < numpy_moment(NOW)
    assert unseen_since(stores, dataclasses.replace(version, version=2, trained_until=None)) == np.datetime64(
        0, "s"
    )


# --- what judges it ---


def test_held_out_rows_judge_and_nothing_flatters(trained: Callable[..., Trained]) -> None:
    stores, version = trained("test_share = 0.2\n")
    found = unseen_rows(stores, (version,), NOW)
    assert (len(found.table.times), found.tuned, found.notices) == (120, False, ())
    assert "data.test_share held out" in found.source
    assert found.table.times[0] >= stopping_rows(stores, version).times[-1]
    everything = read(stores.project.config.data, stores.project.folder)
    assert found.table.ids.tolist() == everything.ids[-120:].tolist()


def test_newer_rows_of_the_data_judge(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    with_rows(stores, later(150))
    found = unseen_rows(stores, (version,), NOW)
    assert len(found.table.times) == 150
    assert found.source.startswith("those of the data after 2021-01-06 23:")
    assert not found.tuned


def test_what_was_served_judges_before_a_file(trained: Callable[..., Trained]) -> None:
    stores, version = trained("test_share = 0.2\n")
    with_rows(stores, later(150))
    logged(stores, later(400), labelled=250)
    found = unseen_rows(stores, (version,), NOW)
    assert len(found.table.times) == 250
    assert found.source.startswith("those of the log with a label since")
    assert set(found.table.frame.columns) >= {"wind", "kind", "flag", "y"}


def test_what_is_known_only_later_does_not_judge_yet(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    logged(stores, later(250), labelled=250, known_at=NOW)
    assert unseen_rows(stores, (version,), datetime(2021, 1, 7, tzinfo=UTC)).tuned


def test_a_few_logged_rows_judge_where_there_is_nothing_else(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    logged(stores, later(60), labelled=60)
    assert len(unseen_rows(stores, (version,), NOW).table.times) == 60


def test_for_want_of_others_the_rows_that_stopped_it_judge_which_is_said(
    trained: Callable[..., Trained],
) -> None:
    stores, version = trained()
    found = unseen_rows(stores, (version,), NOW)
    assert found.tuned
    assert found.table.ids.tolist() == stopping_rows(stores, version).ids.tolist()
    assert "stopped its training" in found.notices[0]
    assert "Set test_share in [data]" in found.notices[0]


def test_for_want_of_others_the_rows_of_the_gate_judge_a_retrained_version(
    trained: Callable[..., Trained],
) -> None:
    stores, version = trained()
    frame = later(300)
    logged(stores, frame, labelled=300)
    until = frame["when"].iloc[200].to_pydatetime().replace(tzinfo=UTC)
    update = dataclasses.replace(version, kind="update", trained_until=until)
    after = frame["when"].iloc[-1].to_pydatetime().replace(tzinfo=UTC) + timedelta(hours=1)
    stores.log.append_event(RETRAINING, {"challenger": 1}, known_at=after, author="test")
    found = unseen_rows(stores, (update,), NOW)
    assert (found.tuned, len(found.table.times)) == (True, 100)
    assert "chosen on them" in found.notices[0]


def test_data_that_are_gone_by_now_stop_nobody(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    (stores.project.folder / "rows.csv").unlink()
    assert unseen_rows(stores, (version,), NOW).tuned


def test_where_nothing_judges_that_is_an_error(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    with pytest.raises(UserError, match="0 rows with a target are left to judge version 1 on"):
        unseen_rows(stores, (dataclasses.replace(version, kind="update", trained_until=NOW),), NOW)


def test_two_versions_are_judged_on_what_neither_has_seen(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    frame = later(400)
    logged(stores, frame, labelled=400)
    until = frame["when"].iloc[99].to_pydatetime().replace(tzinfo=UTC)
    other = dataclasses.replace(version, version=1, kind="update", trained_until=until)
    assert len(unseen_rows(stores, (version, other), NOW).table.times) == 300


# --- a file ---


def test_rows_of_a_file_that_taught_the_version_are_left_out(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    path = stores.project.folder / "spring.csv"
    pd.concat([streams.stream(6, 100).iloc[500:], later(80)]).to_csv(path, index=False)
    found = unseen_rows(stores, (version,), NOW, file=path)
    assert len(found.table.times) == 80
    assert found.notices == ("100 rows of spring.csv taught the version and were left out",)


def test_new_rows_of_an_old_time_are_told(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    path = stores.project.folder / "other.csv"
    streams.stream(6, 100, seed=5).to_csv(path, index=False)
    found = unseen_rows(stores, (version,), NOW, file=path)
    assert len(found.table.times) == ROWS
    assert "are of the time in which the version learned" in found.notices[0]


def test_a_file_of_nothing_new_is_refused(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    with pytest.raises(UserError, match="0 rows with a target that the version has not learned from"):
        unseen_rows(stores, (version,), NOW, file=stores.project.folder / "rows.csv")


# --- columns for slices ---


def test_a_column_that_the_network_never_sees_is_known_of_rows_of_the_data(
    trained: Callable[..., Trained],
) -> None:
    stores, version = trained('drop = ["kind"]\n')
    table = unseen_rows(stores, (version,), NOW).table
    everything = pd.read_csv(stores.project.folder / "rows.csv")
    assert with_column(stores, table, "kind").tolist() == everything["kind"].tolist()[-90:]


def test_a_column_that_does_not_exist_is_answered_with_those_that_do(trained: Callable[..., Trained]) -> None:
    stores, version = trained()
    table = unseen_rows(stores, (version,), NOW).table
    with pytest.raises(UserError, match=r"there is no column 'knd'; known are .*'kind'.*'hour of day'"):
        with_column(stores, table, "knd")


def test_a_left_out_column_is_not_known_of_other_rows(trained: Callable[..., Trained]) -> None:
    stores, _ = trained('drop = ["kind"]\n')
    strange = Table(
        pd.DataFrame({"wind": [1.0]}), np.array(["2021-01-01"], "M8[ns]"), np.array(["x"], object)
    )
    with pytest.raises(UserError, match="not of the data"):
        with_column(stores, strange, "kind")


def test_hour_weekday_and_month_follow_from_the_time() -> None:
    times = pd.date_range("2020-12-30T05:00", periods=200, freq="7h")
    found = time_columns(times.to_numpy())
    assert found["hour of day"].tolist() == times.hour.tolist()
    assert found["weekday"].tolist() == times.day_name().tolist()
    assert found["month"].tolist() == times.month.tolist()
