"""Rows in batches: cut into parts, and a sample of them that stands for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.split import group_numbers
from pipelines import batches
from pipelines.batches import STOP, TEST, TRAIN, Source, _Codes, column_of, draw, rows_after, sampled, scan
from pipelines.config import DataConfig
from pipelines.errors import UserError
from pipelines.project import open_project
from pipelines.reading import InBatches, in_batches


def frame(rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "time": pd.date_range("2013-01-01", periods=rows, freq="h"),
            "key": np.arange(rows) + 10_000,
            "x": x,
            "y": pd.Series(np.where(x > 0, "late", "on time"), dtype=object).where(np.arange(rows) % 11 > 0),
        }
    )


def opened(folder: Path, rows: pd.DataFrame, more: str = "") -> tuple[DataConfig, InBatches]:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    parquet.write_table(table, folder / "rows.parquet", row_group_size=300)
    text = (
        f'[data]\npath = "rows.parquet"\ntarget = "y"\ntime = "time"\nkey = "key"\nin_batches = true\n{more}'
    )
    (folder / "losswatch.toml").write_text(text, "utf-8")
    project = open_project(folder)
    found = in_batches(project.config.data, folder)
    assert found is not None
    return project.config.data, found


def test_rows_out_of_order_are_cut_by_their_time(tmp_path: Path) -> None:
    rows = frame().sample(frac=1, random_state=1)
    source = Source(*opened(tmp_path, rows, "test_share = 0.1\n"))
    found = scan(source, 0)
    assert [int((found.part == part).sum()) for part in (TRAIN, STOP, TEST)] == [1500, 300, 200]
    times = rows["time"].to_numpy()
    assert (
        times[found.part == TRAIN].max() < times[found.part == STOP].min() < times[found.part == TEST].min()
    )
    assert (np.diff(found.times[found.numbers(TRAIN)]) > np.timedelta64(0)).all()
    assert len(found.numbers(STOP)) == int(rows["y"].notna().to_numpy()[found.part == STOP].sum())


def test_batches_hold_every_row_once(tmp_path: Path) -> None:
    source = Source(*opened(tmp_path, frame()), batch=170)
    found = list(source.batches(["key"]))
    assert max(len(batch.frame) for batch in found) <= 170
    assert pd.concat([batch.frame for batch in found])["key"].tolist() == frame()["key"].tolist()
    assert [batch.begin for batch in found][:3] == [0, 170, 300]


def test_many_columns_make_small_batches_and_small_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, found = opened(tmp_path, frame())
    usual = Source(config, found)
    assert (usual.batch, usual.sample) == (batches.BATCH, batches.SAMPLE)
    monkeypatch.setattr(batches, "BATCH_BYTES", 40_000)
    monkeypatch.setattr(batches, "SAMPLE_BYTES", 160_000)
    wide = Source(config, found)
    assert 300 < wide.batch < 500
    assert 1200 < wide.sample < 2000
    monkeypatch.setattr(batches, "SAMPLE_BYTES", 1)
    assert wide.sample == batches.LEAST_SAMPLE


def test_the_identity_is_of_the_content_and_of_what_says_what_it_means(tmp_path: Path) -> None:
    def identity(rows: pd.DataFrame, more: str = "") -> str:
        return Source(*opened(tmp_path, rows, more)).identity(1000, 0)

    whole = identity(frame())
    assert identity(frame()) == whole
    assert identity(frame(), 'label_delay = "1h"\n') == whole
    assert identity(frame().assign(x=1.5)) != whole
    assert identity(frame(), 'split = "random"\n') != whole


def test_a_sample_holds_every_part_in_its_share() -> None:
    part = np.repeat([TRAIN, STOP, TEST], [7000, 2000, 1000]).astype(np.int8)
    drawn = draw(part, 500, seed=3)
    assert np.bincount(part[drawn]).tolist() == [350, 100, 50]
    np.testing.assert_array_equal(drawn, draw(part, 500, seed=3))
    assert (drawn != draw(part, 500, seed=4)).any()
    assert draw(part, 10_000, seed=3).all()


def test_a_sampled_table_is_some_of_the_rows_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SAMPLE", 400)
    rows = frame()
    told: list[str] = []
    looked = sampled(*opened(tmp_path, rows.sample(frac=1, random_state=1)), progress=told.append)
    table = looked.table
    assert (len(table.times), len(looked.times), looked.labelled) == (400, 2000, int(rows["y"].notna().sum()))
    assert (np.diff(table.times) > np.timedelta64(0)).all()
    places = table.ids.astype(int) - 10_000
    np.testing.assert_array_equal(table.frame["x"], rows["x"].iloc[places])
    assert looked.notices == (
        "2,000 rows are read in batches: [data] in_batches = true; a sample of 400 of them, drawn with the seed, is "
        "looked at",
    )
    assert told == ["reading the times", "drawing a sample"]


def test_keys_that_differ_are_no_fault_where_their_numbers_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pd.util, "hash_array", lambda values, **_: np.zeros(len(values), np.uint64))
    scan(Source(*opened(tmp_path, frame())), 0)
    with pytest.raises(UserError, match="key 'key' is '10005' in row 8 and in a row before it"):
        scan(Source(*opened(tmp_path, frame().replace({"key": 10_007}, 10_005))), 0)


def test_rows_after_a_moment_are_the_newer_ones_with_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = frame()
    config, found = opened(tmp_path, rows.sample(frac=1, random_state=1))
    moment = rows["time"].to_numpy()[1899]
    table = rows_after(config, found, moment)
    assert table is not None
    known = rows.iloc[1900:].dropna(subset="y")
    assert table.ids.tolist() == known["key"].astype(str).tolist()
    assert table.parts is None
    assert rows_after(config, found, rows["time"].to_numpy()[-1]) is None
    monkeypatch.setattr(batches, "SAMPLE", 20)
    some = rows_after(config, found, moment)
    assert some is not None
    assert len(some.times) == 20
    assert set(some.ids) <= set(table.ids)


def test_a_column_is_found_for_rows_by_their_names(tmp_path: Path) -> None:
    rows = frame()
    config, found = opened(tmp_path, rows)
    ids = np.array(["10007", "10003"], dtype=object)
    assert column_of(config, found, "x", ids).tolist() == rows["x"].iloc[[7, 3]].tolist()
    numbered = replace(config, key=None)
    assert column_of(numbered, found, "key", np.array(["5"], dtype=object)).tolist() == [10_005]
    with pytest.raises(KeyError):
        column_of(config, found, "x", np.array(["5"], dtype=object))


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1))
def test_values_are_numbered_as_strata_in_memory_are(values: list[str | None]) -> None:
    codes = _Codes()
    for begin in range(0, len(values), 3):
        codes.add(pd.Series(values[begin : begin + 3], dtype=object))
    order = np.random.default_rng(len(values)).permutation(len(values))
    expected = group_numbers(np.array(values, dtype=object)[order], apart=False)
    np.testing.assert_array_equal(codes.in_order(order), expected)
