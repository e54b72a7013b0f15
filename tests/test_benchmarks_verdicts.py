"""The benchmark of the verdicts: one stream of a kind, judged, and what is counted of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.verdict_streams import CHANGE, KEPT, TUNED, Judged, judged, scenarios
from benchmarks.verdicts import Outcome, outcome, results

WINDOWS = CHANGE + 3
NAMES = [scenario.name for scenario in scenarios("orders")]


def lived(name: str) -> Judged:
    return judged("demand", 77, NAMES.index(name), windows=WINDOWS, rows=300)


def test_what_settings_were_chosen_on_is_apart_from_what_is_reported() -> None:
    assert not set(TUNED) & set(KEPT)


def test_there_are_ten_kinds_of_things_that_happen() -> None:
    assert len(set(NAMES)) == 10
    assert {scenario.kind for scenario in scenarios("loans")} == {
        "quiet", "benign shift", "harmful shift", "concept change", "data fault",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["unit change", "duplicated feed", "null burst"])
def test_broken_data_are_found_at_once_and_called_for_what_they_are(name: str) -> None:
    found = outcome(lived(name))
    assert (found.delay, found.right, found.named, found.asked) == (0, True, True, 0)


def test_a_slice_that_alone_is_worse_is_named() -> None:
    found = outcome(lived("one slice only"))
    assert found.delay is not None
    assert found.right
    assert found.named


def test_a_stream_gives_the_same_outcome_again() -> None:
    assert outcome(lived("stationary")) == outcome(lived("stationary"))


def test_the_figures_are_shares_of_streams() -> None:
    good = Outcome("unit change", "data fault", 0, 12, 0, right=True, named=True, asked=0, after=20)
    bad = replace(good, delay=None, right=False, named=False, asked=2)
    calm = Outcome("stationary", "quiet", 1, 100, None, right=False, named=False, asked=0, after=0)
    found = {one.name: one for one in results([good, bad, calm, calm], decided=True)}
    assert found["unit change: found"].value == 50
    assert found["unit change: found"].met is False
    assert found["unit change: leads to a retraining"].value == 50
    assert found["unit change: the cause is named"].value == 100
    assert found["stationary: streams with a false alarm"].value == 100
    assert found["of them called harmful or broken, of 1,000"].value == pytest.approx(1000 * 2 / 224)
