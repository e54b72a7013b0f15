"""A server below and above its saturation has no errors and flat memory; one that grows is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving_soak import FLAT, Period, Saturation, Soak, Times, soaked


def test_goodput_is_the_share_of_saturation_that_is_answered() -> None:
    flood = Period(seconds=10.0, answered=[1.0] * 4500, cpu=5.0)
    saturated = (Saturation(400.0, 900.0, 1.0, 300.0), Saturation(600.0, 1100.0, 1.0, 600.0))
    found = Soak(Period(), flood, saturated, saturated, 0.1, ended=False)
    assert (found.goodput, found.beside, found.by_cpu) == (0.9, 1.0, 0.9)


def test_who_is_refused_below_saturation_is_an_error() -> None:
    assert Period(answered=[1.0], refused=[2.0, 3.0], failed=4, unsent=5).errors == 11


def test_growth_is_counted_from_when_the_server_is_warm() -> None:
    flat = Period(memory=[50.0, 80.0, *[100.0] * 8])
    assert flat.growth == 1.0
    assert Period(memory=[100.0 + 5 * look for look in range(20)]).growth > 1.3


@pytest.mark.slow
def test_nothing_fails_below_or_above_saturation(tmp_path: Path) -> None:
    found = soaked(tmp_path / "project", Times(6.0, 6.0, 2.0, 2.0, 1.0, 0.1))
    assert found.steady.failed == found.flood.failed == 0
    assert found.steady.answered
    assert found.flood.answered
    assert not found.ended
    assert found.recovery < 60


@pytest.mark.slow
def test_memory_that_grows_is_found(tmp_path: Path) -> None:
    assert (
        soaked(
            tmp_path / "project", Times(6.0, 1.0, 0.5, 0.5, 0.1, 0.1), plant="keep_every_body"
        ).steady.growth
        > FLAT
    )


@pytest.mark.slow
def test_a_refusal_that_does_not_say_when_to_come_again_is_found(tmp_path: Path) -> None:
    assert (
        soaked(
            tmp_path / "project", Times(1.0, 6.0, 1.0, 1.0, 0.1, 0.1), plant="forget_to_say_when"
        ).flood.failed
        > 0
    )
