"""A project's rows are cut into parts as its file says, and what was not learned from is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.split import split_at_random, split_in_time, split_stratified
from pipelines.config import DataConfig
from pipelines.errors import UserError
from pipelines.parts import parts_again, parts_of, remembered_parts, split_table, unseen_by
from pipelines.prepared import prepare_rows, read_prepared
from pipelines.project import open_project
from pipelines.sources import Table, read

CONFIG = DataConfig(target="y", path="rows.csv", time=("time",))


def table(rows: int = 200, *, quantity: bool = False) -> Table:
    rng = np.random.default_rng(0)
    target = rng.normal(size=rows) if quantity else np.where(rng.random(rows) < 0.2, "yes", "no")
    frame = pd.DataFrame({"x": rng.normal(size=rows), "y": target})
    times = np.datetime64("2013-01-01", "ns") + np.arange(rows) // 2 * np.timedelta64(1, "h")
    customers = np.array([f"c{row % 40}" for row in range(rows)], dtype=object)
    return Table(frame, times, np.arange(rows).astype(str).astype(object), groups=customers)


def config(**changes: Any) -> DataConfig:
    return dataclasses.replace(CONFIG, **changes)


def test_without_a_word_the_newest_rows_validate() -> None:
    split, expected = split_table(CONFIG, table(), seed=3, validation=0.15), split_in_time(200)
    np.testing.assert_array_equal(split.train, expected.train)
    np.testing.assert_array_equal(split.validation, expected.validation)


def test_a_split_may_be_drawn_at_random() -> None:
    split = split_table(config(split="random"), table(), seed=3, validation=0.15)
    np.testing.assert_array_equal(split.validation, split_at_random(200, seed=3).validation)


@pytest.mark.parametrize("quantity", [True, False])
def test_a_split_may_have_the_same_share_of_every_class_or_tenth(quantity: bool) -> None:
    rows = table(quantity=quantity)
    split = split_table(config(split="stratified"), rows, seed=3, validation=0.2)
    target = rows.frame["y"].to_numpy()
    high = target > 0.5 if quantity else target == "yes"
    assert high[split.validation].mean() == pytest.approx(high.mean(), abs=0.03)
    if not quantity:
        np.testing.assert_array_equal(
            split.validation, split_stratified(target == "yes", seed=3, validation=0.2).validation
        )


def test_a_split_may_keep_groups_together_and_apart_from_others() -> None:
    rows = table()
    split = split_table(config(split="group", group="customer"), rows, seed=3, validation=0.2)
    assert rows.groups is not None
    assert not set(rows.groups[split.train]) & set(rows.groups[split.validation])
    assert len(split.validation) == 40


def test_one_group_cannot_be_split() -> None:
    rows = dataclasses.replace(table(), groups=np.full(200, "c"))
    with pytest.raises(UserError, match='split = "group": 1 groups cannot fill 2 parts'):
        split_table(config(split="group", group="customer"), rows, seed=3, validation=0.2)


def test_unseen_are_the_rows_that_taught_nothing() -> None:
    rows, known = table(), np.arange(200) != 0
    for kind in ("random", "stratified", "group"):
        chosen = config(split=kind, group="customer" if kind == "group" else None)
        split = split_table(chosen, rows, seed=3, validation=0.2)
        expected = np.isin(np.arange(200), split.validation)[known]
        np.testing.assert_array_equal(unseen_by(chosen, split, rows, known), expected)


def test_by_time_a_row_of_the_same_moment_counts_as_unseen() -> None:
    rows = table(199)
    split = split_table(CONFIG, rows, seed=3, validation=0.15)
    unseen = unseen_by(CONFIG, split, rows, np.ones(199, dtype=bool))
    assert (len(split.validation), int(unseen.sum())) == (29, 29 + int(rows.times[169] == rows.times[170]))


def test_the_group_of_each_row_is_read_kept_and_no_input(tmp_path: Path) -> None:
    times = pd.date_range("2013-01-01", periods=60, freq="h").astype(str)
    frame = pd.DataFrame(
        {"time": times[::-1], "customer": [f"c{row % 7}" for row in range(60)], "x": np.arange(60)}
    )
    frame.assign(y=np.arange(60) % 2).to_csv(tmp_path / "rows.csv", index=False)
    text = '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "time"\n[monitor]\nwindow = "day"\n'
    (tmp_path / "losswatch.toml").write_text(
        text.replace("[monitor]", 'split = "group"\ngroup = "customer"\n[monitor]')
    )
    project = open_project(tmp_path)
    rows = read(project.config.data, tmp_path)
    assert rows.groups is not None
    assert rows.groups.tolist() == [f"c{row % 7}" for row in range(60)][::-1]
    assert list(rows.frame.columns) == ["x", "y"]
    kept = read_prepared(project, prepare_rows(project).identity).table
    assert kept.groups is not None
    assert kept.groups.tolist() == rows.groups.tolist()
    assert kept.rows(slice(3)).groups is not None
    assert rows.identity != dataclasses.replace(rows, groups=None).identity


# --- rows that are held out ---


def test_rows_that_are_held_out_are_neither_taught_nor_stop() -> None:
    rows = table()
    parts = parts_of(config(test_share=0.2), rows, seed=3, validation=0.15)
    assert parts.test.ids.tolist() == rows.ids[-40:].tolist()
    assert parts.table.ids.tolist() == rows.ids[:160].tolist()
    np.testing.assert_array_equal(parts.split.validation, np.arange(130, 160))
    assert len(parts.split.train) == 130


@pytest.mark.parametrize("kind", ["random", "stratified", "group"])
def test_every_row_is_in_one_part_however_they_are_cut(kind: str) -> None:
    rows, group = table(), {"group": "customer"} if kind == "group" else {}
    parts = parts_of(config(split=kind, test_share=0.2, **group), rows, seed=3, validation=0.2)
    found = [*parts.table.ids[parts.split.train], *parts.table.ids[parts.split.validation], *parts.test.ids]
    assert sorted(found) == sorted(rows.ids)
    assert len(parts.test.times) == pytest.approx(40, abs=3)


def test_without_a_share_nothing_is_held_out() -> None:
    rows = table()
    parts = parts_of(CONFIG, rows, seed=3, validation=0.15)
    assert parts.table is rows
    assert len(parts.test.times) == 0


def test_the_parts_of_a_training_are_found_again_whatever_the_file_says_by_now() -> None:
    rows, then = table(), config(split="random", test_share=0.1)
    first = parts_of(then, rows, seed=3, validation=0.15)
    again = parts_again(CONFIG, remembered_parts(then, seed=3), rows, validation=0.15)
    assert again.test.ids.tolist() == first.test.ids.tolist()
    np.testing.assert_array_equal(again.split.train, first.split.train)
    old = parts_again(then, {}, rows, validation=0.15)
    np.testing.assert_array_equal(old.split.train, split_in_time(200).train)
