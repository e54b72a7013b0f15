"""The columns of the report: distances as the verdict has them, cells that add up, a page that stays small."""

from __future__ import annotations

from dataclasses import replace

import lives
import numpy as np
import pytest

from monitoring.bins import ColumnBins, reference_bins
from monitoring.profile import profile
from monitoring.shift import compare
from pipelines.report_columns import (
    ALPHABET,
    LARGEST,
    MOST_CELLS,
    MOST_COLUMNS,
    MOST_WINDOWS,
    column_table,
    embedded_columns,
    packed,
    shown_cells,
)
from pipelines.window_counts import cells_of


def unpacked(text: str, largest: float) -> list[float]:
    pairs = [text[k : k + 2] for k in range(0, len(text), 2)]
    return [
        float("nan")
        if pair == "~~"
        else (64 * ALPHABET.index(pair[0]) + ALPHABET.index(pair[1])) / 4095 * largest
        for pair in pairs
    ]


def test_a_number_comes_back_to_a_part_in_four_thousand() -> None:
    numbers = np.random.default_rng(0).uniform(0, LARGEST, 500)
    assert (
        np.abs(np.array(unpacked(packed(numbers, LARGEST), LARGEST)) - numbers).max()
        <= LARGEST / 4095 / 2 + 1e-12
    )


def test_distances_and_thresholds_are_those_of_the_verdict() -> None:
    rng = np.random.default_rng(1)
    base = lives.reference(rng, 4)
    current = profile(lives.rows(rng, 4, 300, shift=1.0), base.profile.bins)
    ours = {one.name: one for one in compare(base.profile, current, base.thresholds).columns}
    table = column_table([lives.window(0)], {0: cells_of(current)}, {1: base})
    found = {name: (past.distances[0], past.thresholds[0]) for name, past in table.pasts[1].items()}
    assert found == {
        name: (pytest.approx(one.distance), pytest.approx(one.threshold)) for name, one in ours.items()
    }
    assert table.names[0] == "n0"


def test_a_window_without_rows_or_counts_has_no_distance() -> None:
    rng = np.random.default_rng(2)
    base = lives.reference(rng, 3)
    empty = profile({name: [] for name in base.profile.names}, base.profile.bins)
    told = embedded_columns(column_table([lives.window(0), lives.window(1)], {1: cells_of(empty)}, {1: base}))
    assert told["distance"] == ["~~~~"] * 3
    assert told["kept"] == ["01"] * 3


def test_the_shares_of_a_window_are_found_by_its_place() -> None:
    page = lives.made_page(20, 4)
    told = embedded_columns(page.columns)
    name = told["names"][0]
    past = page.columns.pasts[1][name]
    wide = 2 * len(past.cells.labels)
    assert unpacked(told["shares"][0][7 * wide : 8 * wide], 1.0) == pytest.approx(
        past.shares[7].tolist(), abs=2e-4
    )
    assert told["references"]["1"][name][0] == list(past.cells.labels)


def test_flags_follow_the_verdict_and_not_the_threshold() -> None:
    page = lives.made_page(20, 4)
    told = embedded_columns(page.columns)
    moved, broken = told["names"].index("n0"), told["names"].index("n1")
    assert [k for k, flag in enumerate(told["flag"][moved]) if flag == "S"] == [10, 15]
    assert [k for k, flag in enumerate(told["flag"][broken]) if flag == "F"] == [5]
    assert told["faults"] == [[broken, 5, "n1: constant: 3 in all rows"]]


def test_an_older_log_flags_what_lies_beyond_its_threshold() -> None:
    rng = np.random.default_rng(3)
    base = lives.reference(rng, 3)
    current = profile(lives.rows(rng, 3, 500, shift=3.0), base.profile.bins)
    told = embedded_columns(column_table([lives.window(0)], {0: cells_of(current)}, {1: base}))
    assert dict(zip(told["names"], told["flag"], strict=True)) == {"n0": "S", "n1": ".", "carrier": "."}


def test_full_pages_keep_what_stands_out_and_then_the_newest() -> None:
    page = lives.made_page(20, 3)
    told = embedded_columns(page.columns, most=400)
    moved = told["names"].index("n0")
    assert sum(map(len, told["shares"])) <= 400
    assert told["kept"][moved][10] == told["kept"][moved][15] == "1"
    assert {kept.rfind("1") for kept in told["kept"]} & {19}
    assert told["thin"] > 0


def test_of_many_columns_and_windows_the_page_says_how_many_are_left_out() -> None:
    rng = np.random.default_rng(4)
    columns = {f"c{k}": rng.normal(size=40) for k in range(MOST_COLUMNS + 5)}
    bins = reference_bins(columns)
    whole = profile(columns, bins)
    base = replace(lives.reference(rng, 2), profile=whole)
    windows = [lives.window(k) for k in range(MOST_WINDOWS + 7)]
    table = column_table(windows, {MOST_WINDOWS + 6: cells_of(whole)}, {1: base})
    assert (len(table.names), len(table.windows), table.left_out) == (MOST_COLUMNS, MOST_WINDOWS, (5, 7))


def test_neighbouring_cells_of_a_number_are_joined() -> None:
    bins = ColumnBins("x", "number", edges=tuple(float(k) for k in range(41)))
    cells = shown_cells(bins, np.ones(43))
    assert len(cells.labels) <= MOST_CELLS
    assert (cells.labels[0], cells.labels[1], cells.labels[-3:]) == (
        "below 0",
        "0 to 2",
        ("40 and above", "missing", "invalid"),
    )
    assert sorted(k for group in cells.groups for k in group) == list(range(44))


def test_the_rarest_levels_are_joined() -> None:
    bins = ColumnBins("x", "category", levels=tuple(f"level {k:02}" for k in range(64)))
    cells = shown_cells(bins, np.ones(67))
    assert len(cells.labels) == MOST_CELLS
    assert cells.labels[-4:] == ("44 rarer levels", "other", "missing", "invalid")
    assert sorted(k for group in cells.groups for k in group) == list(range(67))


def test_a_cell_of_one_value_has_its_name() -> None:
    bins = reference_bins({"x": [1.0, 2.0, 2.0, 4.0]})[0]
    assert shown_cells(bins, np.ones(7)).labels == ("below 1", "1", "2", "4", "above 4", "missing", "invalid")


def test_shares_of_shown_cells_add_up_to_one() -> None:
    bins = ColumnBins("x", "category", levels=tuple(f"level {k:02}" for k in range(64)))
    counts = np.random.default_rng(5).integers(0, 9, (3, 67)).astype(float)
    assert shown_cells(bins, counts[0]).shares(counts).sum(-1) == pytest.approx([1, 1, 1])


def test_a_fault_of_the_whole_feed_is_one_of_every_column() -> None:
    kept = {"faults": [{"column": "all columns", "text": "all columns: no row came"}]}
    rng = np.random.default_rng(6)
    base = lives.reference(rng, 3)
    current = profile(lives.rows(rng, 3, 500), base.profile.bins)
    told = embedded_columns(column_table([lives.window(0, evidence=kept)], {0: cells_of(current)}, {1: base}))
    assert told["flag"] == ["F"] * 3
    assert told["faults"] == [[-1, 0, "all columns: no row came"]]
