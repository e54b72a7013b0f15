"""Small requests have their turn beside large ones, and a server that reads these in its loop is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.malformed import ROW
from benchmarks.serving_large import bodies, waited


def test_bodies_are_as_large_as_asked_and_below_the_limit_of_rows() -> None:
    for sent in bodies(300_000):
        assert 200_000 < len(sent) < 301_000
    assert all(sent.count(b"UA") <= 99_000 for sent in bodies(20_000_000))
    assert ROW["carrier"] == "UA"


@pytest.mark.slow
def test_small_requests_get_their_turn_beside_large_ones(tmp_path: Path) -> None:
    found = waited(tmp_path / "project", 10.0)
    assert found.failed == 0
    assert len(found.large) > 0
    looped = waited(tmp_path / "other", 10.0, plant="read_in_the_loop")
    assert max(looped.beside) > max(found.beside)
