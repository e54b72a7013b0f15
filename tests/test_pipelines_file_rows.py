"""Rows that are prepared into files are those that a training in memory has, with the same reference."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pandas as pd
import projects
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import write_deltalake

from pipelines import batches, file_rows, steps
from pipelines.bundle import Bundle
from pipelines.errors import Failed, UserError
from pipelines.file_rows import FileRows, prepare_files
from pipelines.first_rows import FirstRows, first_rows
from pipelines.objective import objective
from pipelines.prepared import prepare_rows, read_prepared
from pipelines.project import Project, open_project
from pipelines.reading import in_batches
from pipelines.reference import write_reference
from pipelines.retraining import known_rows
from pipelines.service import bundle_of, needed_service
from pipelines.unseen import unseen_rows, with_column

ROWS = 3000


def frame(rows: int = ROWS, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, wet = rng.normal(size=rows), rng.random(rows) < 0.3
    y = 2 * x + wet + rng.normal(0, 0.3, rows)
    return pd.DataFrame(
        {
            "when": pd.date_range("2013-01-01", periods=rows, freq="20min"),
            "flight": [f"f{row}" for row in range(rows)],
            "x": np.where(np.arange(rows) % 9 == 0, np.nan, x),
            "carrier": rng.choice(["UA", "DL", "AA"], rows),
            "wet": pd.Series(wet, dtype=object).where(np.arange(rows) > 1000, None).astype("boolean"),
            "gate": rng.integers(1, 40, rows),
            "counts": rng.integers(1, 4, rows),
            "y": np.where(np.arange(rows) % 11 == 3, np.nan, y),
        }
    )


def write(folder: Path, rows: pd.DataFrame, *, kind: str = "file", group: int = 170) -> str:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    if kind == "file":
        parquet.write_table(table, folder / "rows.parquet", row_group_size=group)
        return "rows.parquet"
    (folder / "many").mkdir()
    for number in range(4):
        piece = table.slice(number * len(rows) // 4, len(rows) // 4)
        if kind == "delta":
            write_deltalake(folder / "many", piece, mode="append")
        else:
            parquet.write_table(piece, folder / "many" / f"{number}.parquet", row_group_size=group)
    return "many"


def project(folder: Path, path: str, more: str = "", after: str = "") -> Project:
    text = f'[data]\npath = "{path}"\ntarget = "y"\ntime = "when"\nkey = "flight"\n{more}{after}'
    (folder / "losswatch.toml").write_text(text, "utf-8")
    return open_project(folder)


def in_files(opened: Project, **more: Any) -> FileRows:
    opened = reading(opened, batches=True)
    found = in_batches(opened.config.data, opened.folder)
    assert found is not None
    return prepare_files(opened, found, **more)


def in_memory(opened: Project) -> FirstRows:
    opened = reading(opened, batches=False)
    return first_rows(opened, prepare_rows(opened))


def reading(opened: Project, *, batches: bool) -> Project:
    data = replace(opened.config.data, in_batches=batches)
    return replace(opened, config=replace(opened.config, data=data))


def same(ours: FirstRows, theirs: FirstRows) -> None:
    assert ours.schema == theirs.schema
    assert str(ours.window) == str(theirs.window)
    np.testing.assert_array_equal(ours.times, theirs.times)
    for one, other in ((ours.train, theirs.train), (ours.validation, theirs.validation)):
        np.testing.assert_array_equal(one.inputs, other.inputs)
        np.testing.assert_array_equal(one.targets, other.targets)
        np.testing.assert_array_equal(one.times, other.times)
        if other.weights is not None:
            np.testing.assert_array_equal(one.weights, other.weights)
    assert ours.ids([0, 7, 500]) == theirs.ids([0, 7, 500])


def assert_same_loss(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The reference of the loss, its blocks one by one."""
    (own, others) = ({**one} for one in (ours, theirs))
    for block, other in zip(own.pop("blocks"), others.pop("blocks"), strict=True):
        assert block == pytest.approx(other, rel=1e-9, abs=1e-9)
    assert own == pytest.approx(others, rel=1e-9)


def assert_close(one: Any, other: Any) -> None:
    """Plain values that are the same but for the order in which sums were taken."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for part, like in zip(one, other, strict=True):
            assert_close(part, like)
    else:
        assert one == (pytest.approx(other, rel=1e-6) if isinstance(other, float) else other)


def same_references(opened: Project, *, batch: int) -> Any:
    """The reference of a training in batches, which is that of one in memory."""
    goal = objective(opened, "regression")
    ours, theirs = (
        write_reference(one.reference(object(), goal))
        for one in (in_files(opened, batch=batch), in_memory(opened))
    )  # type: ignore[arg-type]  # no network
    same_reference(ours, theirs)
    return ours


def same_reference(ours: Any, theirs: Any) -> None:
    assert_same_loss(ours["loss"], theirs["loss"])
    assert ours["thresholds"] == theirs["thresholds"]
    np.testing.assert_allclose(ours["correction"], theirs["correction"], rtol=1e-6)
    assert len(ours["blocks"]) == len(theirs["blocks"])
    assert ours["inputs"]["pairs"] == theirs["inputs"]["pairs"]
    for block, other in zip(ours["inputs"]["blocks"], theirs["inputs"]["blocks"], strict=True):
        assert block[:2] == other[:2]
        assert block[2] == pytest.approx(other[2], abs=1e-4)
        assert block[3] == other[3]
    assert ours["inputs"]["answers"]["columns"] == theirs["inputs"]["answers"]["columns"]
    assert ours["feed"] == theirs["feed"]
    assert_close(ours["slices"], theirs["slices"])
    assert ours["slices"] is not None
    for one, other in zip(
        [ours["profile"], *ours["blocks"]], [theirs["profile"], *theirs["blocks"]], strict=True
    ):
        for column, expected in zip(one["columns"], other["columns"], strict=True):
            totals = {name: column.pop(name) for name in ("total", "total_square")}
            assert totals == pytest.approx({name: expected.pop(name) for name in totals}, rel=1e-9, abs=1e-9)
            assert column == expected


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, linear_networks: Any) -> Any:
    """Networks that answer with the first input."""
    monkeypatch.setattr(sys.modules["models.fit"], "predict", lambda model, inputs: inputs[:, :1])


@pytest.mark.parametrize(
    "more",
    [
        "",
        "test_share = 0.1\n",
        'split = "random"\n',
        'split = "stratified"\ntest_share = 0.2\n',
        'split = "group"\ngroup = "gate"\n',
        'weight = "counts"\n',
    ],
)
@pytest.mark.parametrize("order", ["by time", "shuffled"])
def test_every_split_gives_the_rows_that_it_gives_in_memory(tmp_path: Path, more: str, order: str) -> None:
    rows = frame() if order == "by time" else frame().sample(frac=1, random_state=1)
    opened = project(tmp_path, write(tmp_path, rows), more)
    same(in_files(opened, batch=300), in_memory(opened))


def test_classes_in_strata_are_those_in_memory(tmp_path: Path) -> None:
    rows = frame().assign(y=lambda one: np.where(one["y"] > 1, "late", "on time"))
    rows.loc[rows.index % 13 == 0, "y"] = None
    opened = project(tmp_path, write(tmp_path, rows.sample(frac=1, random_state=2)), 'split = "stratified"\n')
    same(in_files(opened), in_memory(opened))


@pytest.mark.parametrize("kind", ["folder", "delta"])
def test_a_folder_and_a_delta_table_are_read_either_way(tmp_path: Path, kind: str) -> None:
    opened = project(tmp_path, write(tmp_path, frame(), kind=kind))
    same(in_files(opened), in_memory(opened))


def odd_columns(rows: int) -> pa.Table:
    """Columns of every type that a file may have, with gaps that not every batch has."""
    rng = np.random.default_rng(1)
    gap = np.arange(rows) > rows // 2
    whole = rng.integers(0, 200, rows)
    texts = rng.choice(["a", "b", "c", ""], rows)
    base = pa.Table.from_pandas(frame(rows)[["when", "flight", "y"]], preserve_index=False)
    zoned = base["when"].cast(pa.timestamp("ms")).combine_chunks().cast(pa.timestamp("ms", "UTC"))
    more = {
        "when": zoned,
        "gaps": pa.array(whole, mask=gap & (whole % 7 == 0)),
        "small": pa.array(whole.astype(np.uint8) % 200),
        "half": pa.array(rng.normal(size=rows).astype(np.float32)),
        "wild": pa.array(np.where(whole == 3, 1e300, rng.normal(size=rows))),
        "money": pa.array(
            [None if row % 50 == 0 else Decimal(row % 90) / 4 for row in range(rows)], pa.decimal128(8, 2)
        ),
        "truth": pa.array(whole % 2 == 0, mask=gap & (whole % 5 == 0)),
        "plain truth": pa.array(whole % 3 == 0),
        "names": pa.array(texts).dictionary_encode(),
        "long names": pa.array(texts, pa.large_string(), mask=gap),
        "clock": pa.array([time(row % 24) for row in range(rows)], pa.time64("us")),
        "never": pa.nulls(rows),
        "same": pa.array(np.full(rows, 7)),
    }
    for name, column in more.items():
        place = base.column_names.index(name) if name in base.column_names else -1
        base = base.set_column(place, name, column) if place >= 0 else base.append_column(name, column)
    return base


@pytest.mark.parametrize("target", ["y", "small", "truth", "names"])
def test_columns_of_every_type_are_those_in_memory(tmp_path: Path, target: str) -> None:
    parquet.write_table(odd_columns(ROWS), tmp_path / "rows.parquet", row_group_size=170)
    text = f'[data]\npath = "rows.parquet"\ntarget = "{target}"\ntime = "when"\nkey = "flight"\n'
    (tmp_path / "losswatch.toml").write_text(text, "utf-8")
    opened = open_project(tmp_path)
    same(in_files(opened, batch=170), in_memory(opened))


def test_rows_at_equal_steps_need_no_time(tmp_path: Path) -> None:
    path = write(tmp_path, frame().drop(columns="when"))
    text = f'[data]\npath = "{path}"\ntarget = "y"\nstart = 2013-01-01\nstep = "1h"\ndrop = "flight"\n'
    (tmp_path / "losswatch.toml").write_text(text, "utf-8")
    opened = open_project(tmp_path)
    same(in_files(opened), in_memory(opened))


@pytest.mark.parametrize("order", ["by time", "shuffled"])
def test_the_reference_is_that_of_a_training_in_memory(
    tmp_path: Path, answers: Any, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = frame() if order == "by time" else frame().sample(frac=1, random_state=1)
    opened = project(tmp_path, write(tmp_path, rows))
    same_references(opened, batch=200)


def test_dates_are_watched_as_in_memory(tmp_path: Path, answers: Any) -> None:
    rows = frame()
    days = np.random.default_rng(3).uniform(0, 9, len(rows))
    rows = rows.assign(booked=rows["when"] - pd.to_timedelta(days, unit="D").round("s"))
    opened = project(tmp_path, write(tmp_path, rows), after='[prepare]\ndates = ["booked"]\n')
    ours = same_references(opened, batch=200)
    names = [column["bins"]["name"] for column in ours["profile"]["columns"]]
    assert {"days since booked", "hour of booked", "weekday of booked"} <= set(names)


def test_the_reference_of_columns_of_every_type_is_that_in_memory(tmp_path: Path, answers: Any) -> None:
    parquet.write_table(
        odd_columns(ROWS).drop_columns("flight"), tmp_path / "rows.parquet", row_group_size=170
    )
    text = '[data]\npath = "rows.parquet"\ntarget = "y"\ntime = "when"\n'
    (tmp_path / "losswatch.toml").write_text(text, "utf-8")
    opened = open_project(tmp_path)
    same_references(opened, batch=170)


def test_a_sample_stands_for_the_rows_within_bounds(tmp_path: Path, answers: Any) -> None:
    opened = project(tmp_path, write(tmp_path, frame(20_000), group=4000), "test_share = 0.1\n")
    goal = objective(opened, "regression")
    ours, theirs = in_files(opened, sample=4000), in_memory(opened)
    assert (ours.rows, ours.sample) == (20_000, 4000)
    for one, other in zip(ours.schema.columns, theirs.schema.columns, strict=True):
        assert (one.name, set(one.input_names)) == (other.name, set(other.input_names))
    own = next(column for column in ours.schema.columns if column.name == "x")
    whole = next(column for column in theirs.schema.columns if column.name == "x")
    assert abs(own.mean - whole.mean) < 4 * whole.scale / np.sqrt(3000)  # type: ignore[union-attr]
    assert own.scale == pytest.approx(whole.scale, rel=0.05)  # type: ignore[union-attr]
    one, other = (rows.reference(object(), goal) for rows in (ours, theirs))  # type: ignore[arg-type]  # no network
    assert one.profile.rows == other.profile.rows == 18_000
    assert one.loss.rows == other.loss.rows
    assert "a sample of 4,000 of them, drawn with the seed" in ours.notes[0]


def test_of_many_windows_some_are_counted_apart_and_the_last_ones(
    tmp_path: Path, answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_rows, "MOST_WINDOWS", 30)
    opened = project(tmp_path, write(tmp_path, frame()), after='[monitor]\nwindow = "day"\n')
    goal = objective(opened, "regression")
    ours, theirs = (one.reference(object(), goal) for one in (in_files(opened), in_memory(opened)))  # type: ignore[arg-type]  # no network
    assert (theirs.thresholds.windows, ours.thresholds.windows) == (42, 30)
    assert [block.rows for block in ours.blocks] == [block.rows for block in theirs.blocks]
    assert ours.thresholds.at(72) == pytest.approx(theirs.thresholds.at(72), rel=0.25)
    assert ours.profile.rows == theirs.profile.rows


def test_the_sample_is_kept_in_the_parts_that_its_rows_are_of(tmp_path: Path) -> None:
    opened = project(tmp_path, write(tmp_path, frame()), 'split = "random"\ntest_share = 0.2\n')
    rows = in_files(opened, sample=600)
    kept = read_prepared(opened, rows.identity)
    assert kept.sample_of == ROWS
    assert str(kept.window) == str(rows.window)
    parts = kept.table.parts
    assert parts is not None
    assert np.bincount(parts).tolist() == [390, 90, 120]
    taught = set(rows.ids(range(len(rows.train))).values())
    known = kept.table.frame["y"].notna().to_numpy()
    assert set(kept.table.ids[(parts == 0) & known]) <= taught
    assert not taught & set(kept.table.ids[parts > 0])


def test_a_rare_class_is_in_every_sample(tmp_path: Path) -> None:
    rows = frame().assign(
        y=np.where(np.arange(ROWS) == 1234, "cancelled", np.where(np.arange(ROWS) % 2, "a", "b"))
    )
    ours = in_files(project(tmp_path, write(tmp_path, rows)), sample=100)
    assert ours.schema.target.classes == ("a", "b", "cancelled")
    assert (ours.train.targets == 2).sum() == 1


def test_prepared_files_are_found_again_and_others_go(tmp_path: Path) -> None:
    opened = project(tmp_path, write(tmp_path, frame()))
    first, again = in_files(opened), in_files(opened)
    assert (first.fresh, again.fresh, first.identity) == (True, False, again.identity)
    write(tmp_path, frame(seed=1))
    later = in_files(opened)
    assert later.identity != first.identity
    assert not first.folder.exists()
    assert read_prepared(opened, first.identity).table is not None


def test_a_preparation_that_was_killed_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = project(tmp_path, write(tmp_path, frame()))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    left = opened.state / "prepared" / ".files-0-999999999"
    left.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(file_rows, "keep_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            in_files(opened)
    assert not list((opened.state / "prepared").glob("*/files-*"))
    same(in_files(opened), in_memory(opened))
    assert not left.exists()


def test_of_two_preparations_at_once_the_quicker_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, keep = project(tmp_path, write(tmp_path, frame())), file_rows.keep_rows

    def other_is_quicker(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(file_rows, "keep_rows", keep)
        monkeypatch.setattr(os, "getpid", lambda: 999_999_998)
        in_files(opened)
        monkeypatch.undo()
        return keep(*arguments, **more)

    monkeypatch.setattr(file_rows, "keep_rows", other_is_quicker)
    same(in_files(opened), in_memory(opened))
    assert not list((opened.state / "prepared").glob(".files-*"))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(Failed, match=r"cannot be written: No space left on device; they take \d+ kB"):
        in_files(project(tmp_path, write(tmp_path, frame())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows.assign(flight=rows["flight"].replace("f7", "f3")),
            "key 'flight' is 'f3' in row 8 and in a",
        ),
        (
            lambda rows: rows.assign(flight=rows["flight"].where(rows.index != 9)),
            "key 'flight' is missing in row 10",
        ),
        (lambda rows: rows.assign(y=np.nan), "target 'y' is missing in all 3,000 rows"),
        (lambda rows: rows.assign(y=1.5), "target 'y' is 1.5 in every row"),
        (
            lambda rows: rows.assign(when=rows["when"].where(rows.index != 2000)),
            "rows 1,871 to 2,040 of the data",
        ),
        (lambda rows: rows.assign(when=rows["when"].dt.strftime("%d.%m.%Y %H:%M")), "data.time_format"),
        (
            lambda rows: rows.assign(y=["c" if row == 2900 else "ab"[row % 2] for row in range(ROWS)]),
            "rows 2,891 to 3,000 of the data: column 'y' has 1 values that are none of its classes",
        ),
        (lambda rows: rows.drop(columns="y"), "has no target column 'y'"),
    ],
)
def test_what_is_wrong_with_rows_is_told(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    opened = project(tmp_path, write(tmp_path, change(frame())))
    with pytest.raises(UserError, match=message):
        in_files(opened, batch=170)


def test_texts_of_one_known_form_are_times(tmp_path: Path) -> None:
    rows = frame().assign(when=lambda one: one["when"].dt.strftime("%d.%m.%Y %H:%M"))
    opened = project(tmp_path, write(tmp_path, rows), "time_format = '%d.%m.%Y %H:%M'\n")
    same(in_files(opened), in_memory(opened))


def test_a_weight_below_zero_is_told_by_its_row(tmp_path: Path) -> None:
    rows = frame().assign(counts=lambda one: one["counts"].where(one.index != 1500, -1))
    opened = project(tmp_path, write(tmp_path, rows), 'weight = "counts"\n')
    with pytest.raises(UserError, match="weight 'counts' is -1 in row 1501"):
        in_files(opened)


@pytest.fixture
def registries(linear_networks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Straight lines for networks, and registries in memory."""
    projects.install(monkeypatch, fakes)


def trained(opened: Project, *, batches: bool) -> tuple[steps.TrainResult, Bundle]:
    opened = replace(reading(opened, batches=batches), state=opened.folder / f"state {batches}")
    found = steps.train(opened)
    return found, bundle_of(steps.open_stores(opened), found.version)


def test_a_version_from_batches_is_that_from_memory(tmp_path: Path, registries: None) -> None:
    opened = project(tmp_path, write(tmp_path, frame()), 'test_share = 0.1\nweight = "counts"\n')
    (ours, bundle), (theirs, expected) = (trained(opened, batches=way) for way in (True, False))
    for name in ("rows", "loss", "loss_constant", "loss_simple", "epochs", "best_epoch"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9)
    assert ours.notes[0] == "3,000 rows are read in batches: [data] in_batches = true"
    assert bundle.golden == expected.golden
    assert bundle.schema == expected.schema
    assert {**bundle.settings, "data": ""} == {**expected.settings, "data": ""}
    assert_same_loss(bundle.reference["loss"], expected.reference["loss"])


def test_rows_that_the_memory_would_not_hold_are_read_in_batches(
    tmp_path: Path, registries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.reading.usable_memory", lambda: 1_000_000)
    found = steps.train(project(tmp_path, write(tmp_path, frame())))
    assert found.lines()[2].startswith(
        "3,000 rows are read in batches: training on all 3,000 rows at once would take about "
    )
    assert found.lines()[2].endswith("and this process may use 1 MB")


def test_the_same_rows_are_trained_once(tmp_path: Path, registries: None) -> None:
    opened = project(tmp_path, write(tmp_path, frame()))
    first, again = (trained(opened, batches=True)[0] for _ in range(2))
    assert (first.skipped, again.skipped, again.version) == (False, True, first.version)
    assert again.loss_simple == first.loss_simple
    write(tmp_path, frame(seed=1))
    assert not trained(opened, batches=True)[0].skipped


def test_a_version_is_judged_on_the_sample_and_on_newer_rows(
    tmp_path: Path, registries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SAMPLE", 1000)
    opened = reading(
        project(tmp_path, write(tmp_path, frame(), kind="folder"), 'drop = "gate"\n'), batches=True
    )
    number = steps.train(opened).version
    stores = steps.open_stores(opened)
    version = stores.registry.version(number)
    now = datetime(2014, 1, 1, tzinfo=UTC)
    tuned = unseen_rows(stores, [version], now)
    assert "drawn at random" in tuned.notices[-1]
    assert tuned.notices[-1].startswith(
        "of the 3,000 rows of the first training, read in batches, 1,000 were kept"
    )
    assert 100 < len(tuned.table.times) <= 150
    column = with_column(stores, tuned.table, "gate")
    places = [int(name[1:]) for name in tuned.table.ids]
    np.testing.assert_array_equal(column, frame()["gate"].iloc[places])
    later = frame().assign(
        when=lambda rows: rows["when"] + pd.Timedelta(days=60), flight=lambda rows: rows["flight"] + "b"
    )
    later.to_parquet(tmp_path / "many" / "later.parquet", index=False)
    newer = unseen_rows(stores, [version], now)
    assert "those of the data after" in newer.source
    assert len(newer.table.times) == 1000


def test_a_sample_can_be_retrained_from(
    tmp_path: Path, registries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SAMPLE", 1000)
    opened = reading(project(tmp_path, write(tmp_path, frame())), batches=True)
    version = steps.train(opened).version
    steps.promote(opened, version, first=True)
    stores, now = steps.open_stores(opened), opened.now()
    service = needed_service(stores, now)
    known = known_rows(stores, service, bundle_of(stores, version), np.datetime64("2013-02-01"), now)
    assert 850 < len(known.times) < 950
    assert not known.held_out.any()


def test_a_preparation_says_what_it_found_and_what_it_does(tmp_path: Path) -> None:
    rows = frame().sample(frac=1, random_state=4)
    opened = reading(project(tmp_path, write(tmp_path, rows)), batches=True)
    told: list[str] = []
    found = steps.prepare(opened, progress=told.append)
    expected = steps.prepare(replace(reading(opened, batches=False), state=tmp_path / "other"))
    for name in ("rows", "first", "last", "columns", "inputs", "task", "window", "fresh"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.notices[0].startswith("3,000 rows are read in batches")
    assert found.notices[1:] == expected.notices
    assert told[0] == "reading the data: what they contain"
    assert told[-1] == "preparing row 3,000 of 3,000"
    assert steps.prepare(opened).fresh is False
