"""When labels come, and when their silence is an alarm: by hand, against a reference, and over made years."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.label_delay import HISTORY, Silence, delay_curve, longest_pause, silence, substantial

Array = npt.NDArray[np.float64]
YEAR = 365


def test_the_curve_of_complete_rows_is_the_share_that_has_a_label() -> None:
    curve = delay_curve(np.array([1.0, 1.0, 3.0, np.nan]), np.full(4, 10.0))
    assert curve.within(np.array([0.0, 1.0, 2.9, 3.0, 9.0])).tolist() == [0, 0.5, 0.5, 0.75, 0.75]
    assert (curve.coverage, curve.quantile(0.5), curve.quantile(0.9)) == (0.75, 1.0, 3.0)


def test_a_row_that_waits_counts_for_as_long_as_it_has_waited() -> None:
    curve = delay_curve(np.array([1.0, 2.0, np.nan]), np.array([9.0, 9.0, 1.5]))
    assert curve.within(np.array([1.0, 2.0])) == pytest.approx([1 / 3, 1.0])


def test_what_is_still_expected_is_what_the_curve_has_left() -> None:
    curve = delay_curve(np.array([1.0, 3.0, np.nan, np.nan]), np.full(4, 10.0))
    assert curve.still_expected(np.array([0.0, 1.0, 5.0])) == pytest.approx([0.5, 1 / 3, 0.0])


def test_without_rows_nothing_is_known() -> None:
    curve = delay_curve(np.zeros(0), np.zeros(0))
    assert np.isnan([curve.coverage, curve.quantile(0.5), *curve.still_expected(np.array([1.0]))]).all()


def test_without_a_label_nothing_is_expected() -> None:
    curve = delay_curve(np.full(3, np.nan), np.ones(3))
    assert (curve.coverage, curve.still_expected(np.ones(1)).tolist()) == (0.0, [0.0])


def test_early_labels_have_no_delay() -> None:
    curve = delay_curve(np.array([0.0, 0.0, 2.0]), np.full(3, 5.0))
    assert curve.within(np.array([-1.0, 0.0, 2.0])) == pytest.approx([0, 2 / 3, 1])


@pytest.mark.parametrize("seed", range(20))
def test_the_curve_is_scipys_kaplan_meier(seed: int) -> None:
    from scipy.stats import CensoredData, ecdf

    rng = np.random.default_rng(seed)
    delays, ages = rng.integers(1, 8, 30).astype(float), rng.integers(1, 9, 30).astype(float)
    known = delays <= ages
    curve = delay_curve(np.where(known, delays, np.nan), ages)
    reference = ecdf(CensoredData(delays[known], right=ages[~known])).cdf
    assert curve.within(np.arange(9.0)) == pytest.approx(reference.evaluate(np.arange(9.0)))


def test_what_is_expected_by_now_is_what_comes() -> None:
    rng = np.random.default_rng(3)
    scored = np.sort(rng.uniform(-60, 0, 20_000))
    delays = np.where(rng.random(20_000) < 0.8, rng.exponential(5.0, 20_000), np.inf)
    known = scored + delays <= 0
    curve = delay_curve(np.where(known, delays, np.nan), -scored)
    expected = curve.still_expected(-scored[~known]).sum()
    coming = np.isfinite(delays[~known]).sum()
    assert expected == pytest.approx(coming, rel=0.1)
    assert curve.coverage == pytest.approx(0.8, abs=0.02)


# --- silence ---


def test_without_a_label_there_is_no_silence_to_judge() -> None:
    assert silence(np.arange(5.0), np.full(5, np.nan), 9.0) is None


def test_a_silence_says_since_when_and_what_was_due() -> None:
    scored = np.arange(0.0, 40.0, 0.01)
    labelled = np.where(scored + 0.5 <= 36.0, scored + 0.5, np.nan)
    found = silence(scored, labelled, 40.0)
    assert found is not None
    assert (found.stopped, found.since) == (True, pytest.approx(36.0, abs=0.02))
    assert found.due == pytest.approx(401, abs=1)
    assert str(found) == (
        "only 1 label for 4.0 days, while about 401 were due; the longest pause before was 0 hours"
    )


def test_where_no_rows_are_scored_no_labels_are_missed() -> None:
    scored = np.arange(0.0, 36.0, 0.01)
    found = silence(scored, scored + 0.1, 60.0)
    assert found is not None
    assert not found.stopped
    assert found.due < 2


@pytest.mark.parametrize(
    ("days", "due", "came", "longest", "history", "label_days", "stopped"),
    [
        (7.0, 100.0, 0, 3.0, 30.0, 20, True),
        (7.0, 100.0, 10, 3.0, 30.0, 20, True),
        (7.0, 100.0, 11, 3.0, 30.0, 20, False),  # that is no silence
        (6.0, 100.0, 0, 3.0, 30.0, 20, False),  # not more than twice as long as before
        (7.0, 13.0, 0, 3.0, 30.0, 20, False),  # few were due
        (7.0, 17.0, 1, 3.0, 30.0, 20, False),
        (7.0, 100.0, 0, 3.0, HISTORY - 1, 20, False),  # no two weekends are known
        (7.0, 100.0, 0, 3.0, 30.0, 4, False),
        (0.25, 100.0, 0, 0.01, 30.0, 20, False),  # a server that starts again
    ],
)
def test_labels_have_stopped_where_all_holds(
    days: float, due: float, came: int, longest: float, history: float, label_days: int, stopped: bool
) -> None:
    assert Silence(0.0, days, due, came, longest, history, label_days).stopped is stopped


def test_a_trickle_is_a_silence() -> None:
    scored = np.arange(0.0, 40.0, 0.01)
    labelled = np.where(scored + 0.5 <= 36.0, scored + 0.5, np.nan)
    labelled[[3600, 3700]] = 38.5, 39.2
    found = silence(scored, labelled, 40.0)
    assert found is not None
    assert (found.stopped, found.came) == (True, 3)
    assert str(found).startswith("only 3 labels for 4.0 days, while about 401 were due")


def test_a_trickle_at_weekends_ends_no_weekend() -> None:
    rng = np.random.default_rng(4)
    scored = np.arange(0.0, 60.0, 0.01)
    labelled = _next(scored, np.arange(0.9, 60)[np.arange(60) % 7 < 5])
    trickle = rng.integers(0, len(scored), 12)
    labelled[trickle] = np.floor(scored[trickle] / 7) * 7 + 5.0 + 2 * rng.random(12)
    sunday = 55.8  # of the eighth week
    found = silence(
        scored[scored < sunday], np.where(labelled < sunday, labelled, np.nan)[scored < sunday], sunday
    )
    assert found is not None
    assert found.longest == pytest.approx(3.0, abs=0.1)
    assert not found.stopped


def test_few_labels_are_no_trickle() -> None:
    assert len(substantial(np.arange(0.0, 50.0, 0.5))) == 100


def test_an_outage_is_no_pause_that_the_next_is_measured_by() -> None:
    daily = np.arange(30.0)
    assert longest_pause(np.concatenate([daily, 40 + daily])) == 1.0
    assert longest_pause(np.concatenate([daily, 40 + daily, 80 + daily])) == 1.0


def test_a_new_rhythm_is_learned() -> None:
    assert longest_pause(np.concatenate([np.arange(30.0), 29 + 7 * np.arange(1.0, 6.0)])) == 7.0


# --- made years ---


def made(rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    """Years of rows, 40 a day, and their labels, of ordinary kinds: name, scored, labelled."""
    scored = np.sort(rng.uniform(0, YEAR, 40 * YEAR))
    yield "one by one", scored, scored + rng.exponential(2.0, len(scored))
    nights = np.arange(1, YEAR) + 0.9 + rng.normal(0, 0.05, YEAR - 1)
    yield "nightly", scored, _next(scored + 0.5, nights)
    weekdays = nights[np.arange(1, YEAR) % 7 < 5]
    yield "weekdays", scored, _next(scored + rng.exponential(1.0, len(scored)), weekdays)
    worked = weekdays[rng.random(len(weekdays)) > 0.04]
    yield "weekdays without holidays", scored, _next(scored, worked)
    yield "weekly", scored, _next(scored + 2, np.arange(3, YEAR, 7) + rng.normal(0, 0.3, 52))
    fewer = scored[rng.random(len(scored)) < np.where(scored > 200, 0.1, 1.0)]
    yield "fewer rows from day 200 on", fewer, fewer + rng.exponential(2.0, len(fewer))


def _next(ready: Array, batches: Array) -> Array:
    place = np.searchsorted(batches, ready)
    return np.append(batches, np.nan)[np.minimum(place, len(batches))]


def alarms(scored: Array, labelled: Array) -> int:
    """How many pauses of a year are taken for an outage by one who looks just before they end."""
    came = np.unique(labelled[labelled <= YEAR])
    found = 0
    for before, after in pairwise(came.tolist()):
        if after - before < 0.2:
            continue
        now = after - 1e-9
        seen = (scored > now - 90) & (scored <= now)
        known = np.where(labelled[seen] <= now, labelled[seen], np.nan)
        judged = silence(scored[seen], known, now)
        found += judged is not None and judged.stopped
    return found


def test_no_ordinary_year_gives_a_false_alarm() -> None:
    rng = np.random.default_rng(0)
    found = {}
    for name, scored, labelled in made(rng):
        found[name] = alarms(scored, np.where(rng.random(len(scored)) < 0.9, labelled, np.nan))
    assert len(found) == 6
    assert set(found.values()) == {0}


def test_an_outage_of_every_kind_is_found() -> None:
    rng = np.random.default_rng(1)
    for name, scored, labelled in made(rng):
        seen = (scored > 240) & (scored <= 318)
        known = np.where(labelled[seen] <= 300, labelled[seen], np.nan)
        judged = silence(scored[seen], known, 318.0)
        assert judged is not None
        assert judged.stopped, name
