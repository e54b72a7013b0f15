"""Held-out rows: always the same ones, spread over all times, a share of all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.window import WindowLength
from pipelines.held_out import PIECES, By, held_out, held_out_by, piece_length

WEEK = WindowLength(1, "week")
TIMES = np.arange("2013-03-01", "2013-07-01", 600, dtype="datetime64[s]").astype("datetime64[us]")
IDS = np.arange(len(TIMES)).astype(str)


def chosen(
    by: By = "time", *, seed: int = 0, share: float = 0.1, rows: slice = slice(None)
) -> npt.NDArray[np.bool_]:
    return held_out(TIMES[rows], IDS[rows], by=by, length=WEEK, share=share, seed=seed)


@pytest.mark.parametrize("by", ["time", "row"])
def test_the_share_is_kept_in_the_long_run(by: By) -> None:
    assert chosen(by).mean() == pytest.approx(0.1, abs=0.03)
    assert chosen(by, share=0.4).mean() == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("by", ["time", "row"])
def test_a_row_is_held_out_whoever_asks_and_whenever(by: By) -> None:
    part = slice(3000, 4000)
    assert (chosen(by)[part] == chosen(by, rows=part)).all()


@pytest.mark.parametrize("by", ["time", "row"])
def test_a_larger_share_holds_the_smaller(by: By) -> None:
    assert not (chosen(by) & ~chosen(by, share=0.3)).any()


@pytest.mark.parametrize("by", ["time", "row"])
def test_another_seed_holds_out_others(by: By) -> None:
    both = chosen(by) & chosen(by, seed=1)
    assert both.mean() < 0.05


def test_neighbours_in_time_go_together() -> None:
    pieces = (TIMES - np.datetime64(0, "s")) // piece_length(WEEK)
    mask = chosen()
    assert all(len(set(mask[pieces == piece])) == 1 for piece in np.unique(pieces))


def test_the_unit_of_the_times_changes_nothing() -> None:
    fine = held_out(TIMES.astype("datetime64[ns]"), IDS, by="time", length=WEEK, share=0.1, seed=0)
    assert (fine == chosen()).all()


def test_a_piece_is_a_twentieth_of_a_window() -> None:
    assert PIECES * piece_length(WindowLength(1, "day")) == np.timedelta64(1, "D")


def test_single_rows_where_a_window_has_few_moments() -> None:
    days = np.repeat(np.arange("2013-03-01", "2013-07-01", dtype="datetime64[D]"), 500).astype(
        "datetime64[us]"
    )
    assert held_out_by(days, WindowLength(1, "day")) == "row"
    assert held_out_by(days, WEEK) == "row"
    assert held_out_by(TIMES, WEEK) == "time"
    assert held_out_by(TIMES[:0], WEEK) == "row"
