"""Versions that change under load are never mixed, and a server that mixes them is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scoring_server import kind_of
from benchmarks.serving_switches import percentile, switched


def test_one_version_in_ten_must_not_serve() -> None:
    kinds = [kind_of(version) for version in range(1, 41)]
    assert [kinds.count(kind) for kind in ("odd", "even", "wrong", "torn")] == [16, 20, 2, 2]


def test_a_percentile_of_nothing_is_undefined() -> None:
    assert percentile([], 0.99) != percentile([], 0.99)
    assert percentile(list(map(float, range(100))), 0.99) == 99.0


@pytest.mark.slow
def test_no_answer_fails_or_is_of_two_versions(tmp_path: Path) -> None:
    found = switched(tmp_path / "project", 60, calm=1.0)
    assert found.faultless
    assert found.switches == 60
    assert found.answers > 500


@pytest.mark.slow
def test_the_preparation_of_another_version_is_found(tmp_path: Path) -> None:
    assert switched(tmp_path / "project", 8, calm=0.2, plant="keep_the_preparation").mixed > 0


@pytest.mark.slow
def test_a_version_that_serves_untried_is_found(tmp_path: Path) -> None:
    assert switched(tmp_path / "project", 10, calm=0.2, plant="serve_untried").broken > 0
