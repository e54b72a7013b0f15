"""Fewer labels than before are seen, although labels come; weekends, batches and slow labels are not taken for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.label_coverage import LOOKED, coverages, fallen_since

Array = npt.NDArray[np.float64]
DAYS = 160


def rows(seed: int = 0, each: int = 60) -> tuple[Array, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, DAYS, each * DAYS)), rng


def labels(scored: Array, rng: np.random.Generator, kind: str) -> Array:
    """When rows are labelled, nine in ten of them."""
    nights = np.arange(DAYS + 30) + 0.9
    batches = {
        "by night": nights,
        "on weekdays": nights[np.arange(len(nights)) % 7 < 5],
        "by the week": nights[::7],
    }
    ready = scored + rng.exponential(2.0, len(scored))
    came = ready if kind == "one by one" else batches[kind][np.searchsorted(batches[kind], scored + 0.5)]
    return np.where(rng.random(len(scored)) < 0.9, came, np.nan)


def seen(scored: Array, labelled: Array, now: float) -> bool:
    known = scored <= now
    found = coverages(scored[known], np.where(labelled <= now, labelled, np.nan)[known], now)
    return fallen_since(found) is not None


KINDS = ("one by one", "by night", "on weekdays", "by the week")


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_come_as_they_always_did_are_not_missed(kind: str) -> None:
    scored, rng = rows()
    labelled = labels(scored, rng, kind)
    assert not any(seen(scored, labelled, now) for now in range(60, DAYS, 4))


@pytest.mark.parametrize(
    ("kind", "left", "days"),
    [("one by one", 0.5, 12), ("by night", 0.5, 12), ("on weekdays", 0.5, 12), ("by the week", 0.2, 20)],
)
def test_labels_that_are_gone_are_seen_and_go_on_being_missed(kind: str, left: float, days: int) -> None:
    scored, rng = rows()
    labelled = np.where((scored > 110) & (rng.random(len(scored)) > left), np.nan, labels(scored, rng, kind))
    assert not seen(scored, labelled, 110)
    assert [seen(scored, labelled, 110 + after) for after in (days, days + 5, days + 10)] == [True] * 3


def test_a_tenth_of_the_labels_gone_is_left_to_the_correction() -> None:
    scored, rng = rows()
    labelled = np.where(
        (scored > 120) & (rng.random(len(scored)) < 0.1), np.nan, labels(scored, rng, "by night")
    )
    assert not seen(scored, labelled, 150)


def test_each_day_is_looked_at_by_what_was_known_then() -> None:
    scored, rng = rows()
    labelled = np.where(
        (scored > 130) & (rng.random(len(scored)) < 0.7), np.nan, labels(scored, rng, "by night")
    )

    def found(now: float) -> dict[int, tuple[float, int]]:
        known = scored <= now
        told = coverages(scored[known], np.where(labelled <= now, labelled, np.nan)[known], now)
        return {one.day: (one.due, one.came) for one in told}

    early, late = found(140.3), found(150.9)
    assert {day: early[day] for day in early.keys() & late.keys()} == {
        day: late[day] for day in early.keys() & late.keys()
    }
    assert len(early.keys() & late.keys()) == LOOKED - 10


def test_the_beginning_of_a_fall_stays_where_it_was() -> None:
    scored, rng = rows()
    labelled = np.where(
        (scored > 130) & (rng.random(len(scored)) < 0.8), np.nan, labels(scored, rng, "by night")
    )
    starts = set()
    for now in (140, 143, 146):
        low = fallen_since(coverages(scored[scored <= now], labelled[scored <= now], now))
        assert low is not None
        starts.add(low.day)
    assert len(starts) == 1


def test_little_or_nothing_says_nothing() -> None:
    assert coverages(np.zeros(0), np.zeros(0), 5.0) == ()
    few = np.arange(0.0, 160.0, 20.0)
    assert fallen_since(coverages(few, np.full(len(few), np.nan), 160.0)) is None
    scored, _ = rows(each=2)
    assert fallen_since(coverages(scored, np.full(len(scored), np.nan), 160.0)) is None


def test_what_is_found_is_said_in_numbers() -> None:
    scored, rng = rows()
    labelled = np.where(
        (scored > 120) & (rng.random(len(scored)) < 0.5), np.nan, labels(scored, rng, "by night")
    )
    low = coverages(scored, labelled, 150.0)[-1]
    assert low.missing == pytest.approx(0.5, abs=0.1)
    assert f"labels came of the rows of {low.days} days, while about" in str(low)
