"""The made inputs are what they are said to be, and are counted as the monitor counts."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from benchmarks.input_detection import KS, PSI, Counter, SimplePeers, calm, found
from benchmarks.input_streams import COLUMNS, KEPT, NAMES, TUNED, Change, Stream, columns_of
from monitoring.joint import pair_sums
from monitoring.profile import profile


def tables(stream: Stream) -> list[np.ndarray]:
    return list(islice(iter(stream), stream.windows))


@pytest.mark.parametrize("family", ["iid", "mixed"])
def test_the_quick_counter_counts_what_the_monitor_counts(family: str) -> None:
    made = tables(Stream(family, 0, 6))
    counter = Counter(np.concatenate(made[:5]))
    quick = counter.window(made[5], 5)
    columns = columns_of(made[5])
    slow = profile(columns, counter.bins)
    assert [one.counts for one in quick.profile.columns] == [one.counts for one in slow.columns]
    assert quick.pairs == pair_sums(columns, counter.pairs)


@pytest.mark.parametrize("family", [*TUNED, *KEPT])
def test_every_family_has_its_columns_and_the_same_seed_the_same_rows(family: str) -> None:
    first, again = (tables(Stream(family, 3, 30)) for _ in range(2))
    assert all(table.shape[1] == COLUMNS == len(NAMES) for table in first)
    assert np.array_equal(np.concatenate(first), np.concatenate(again), equal_nan=True)


@pytest.mark.parametrize("change", ["mean", "spread", "missing", "level", "correlation"])
def test_a_change_begins_where_it_is_said_and_moves_what_it_names(change: Change) -> None:
    stream = Stream("iid", 0, 40, rows=500, change=change, size=0.5, at=20)
    made = tables(stream)
    before, after = np.concatenate(made[:20]), np.concatenate(made[20:])
    moved = [NAMES.index(name) for name in stream.moved]

    def facts(table: np.ndarray) -> np.ndarray:
        known = table[:, moved]
        joint = [np.corrcoef(known.T)[0, 1]] if len(moved) == 2 else []
        return np.array([*np.nanmean(known, 0), *np.nanstd(known, 0), np.isnan(known).mean(), *joint])

    assert np.abs(facts(after) - facts(before)).max() > 0.15
    others = [place for place in range(8) if place not in moved]
    assert np.nanmean(after[:, others], 0) == pytest.approx(np.nanmean(before[:, others], 0), abs=0.06)


def test_the_simple_peers_see_a_gross_shift() -> None:
    made = tables(Stream("iid", 0, 21))
    peers = SimplePeers(np.concatenate(made[:20]))
    assert not peers.shifted(np.concatenate(made[10:20]))[PSI]
    moved = made[20].copy()
    moved[:, 3] += 2.0
    assert peers.shifted(moved) == {KS: True, PSI: True}


@pytest.mark.slow
def test_independent_windows_raise_nothing_and_a_shift_is_named_in_three() -> None:
    assert calm("iid", 0, live=100).alarms == 0
    assert found(0, "iid", "mean", 1.0).right
    assert (found(0, "iid", "mean", 1.0).delay or 99) <= 3
