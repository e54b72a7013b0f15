"""Labels in any order are those of an independent reckoning, and a log that gets them wrong is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.labels import (
    Compared,
    Delivery,
    Label,
    Row,
    again_is_news,
    between_orders,
    compared,
    delivered,
    made_labels,
    made_rows,
    reckoned,
    the_last_holds,
    ties_by_chance,
)


def sent(folder: Path, count: int, *, seed: int = 0) -> Compared:
    rng = np.random.default_rng(5)
    rows = made_rows(count, rng)
    return compared(folder, rows, made_labels(rows, count, rng), seed=seed)


def test_the_reckoning_does_what_the_rule_says() -> None:
    rows = [Row("a", "x", 0), Row("b", "x", 0), Row("c", "y", 5)]
    told = [
        Delivery(Label((False, "a"), 1.0, 1, 3), 1),
        Delivery(Label((False, "a"), 2.0, 2, 3), 2),
        Delivery(Label((True, "x"), 9.0, 3, 2), 3),
        Delivery(Label((True, "x"), 8.0, 4, None), 4),
        Delivery(Label((True, "x"), 7.0, 5, None), 5),
        Delivery(Label((True, "x"), 8.0, 4, None), 6),
    ]
    assert reckoned(rows, told, 1) == {"a": 1.0, "b": None}
    assert reckoned(rows, told, 3) == {"a": 2.0, "b": 9.0}
    assert reckoned(rows, told, 9) == {"a": 7.0, "b": 7.0, "c": None}


def test_labels_are_made_in_the_shares_that_are_named() -> None:
    rng = np.random.default_rng(0)
    rows = made_rows(10_000, rng)
    labels = made_labels(rows, 10_000, rng)
    assert len(labels) == 10_000
    assert len(delivered(labels, rng)) == 30_000
    assert sum(label.day == -1 for label in labels) == pytest.approx(200, rel=0.3)
    assert sum(label.name[1].startswith("nothing") for label in labels) == pytest.approx(100, abs=2)


def test_rows_with_labels_without_a_moment_may_differ_between_orders() -> None:
    rows = [Row("a", "x", 0), Row("b", "y", 0)]
    labels = [Label((False, "a"), 1.0, 1, None), Label((True, "y"), 1.0, 1, 0)]
    assert between_orders(rows, labels, [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}]) == 1


@pytest.mark.slow
def test_labels_in_any_order_are_those_of_the_reckoning(tmp_path: Path) -> None:
    first, second = (sent(tmp_path / str(seed), 3000, seed=seed) for seed in (0, 1))
    assert (first.differences, second.differences) == (0, 0)
    assert first.compared == 3 * first.rows > 7000


@pytest.mark.slow
@pytest.mark.parametrize("plant", [the_last_holds, again_is_news, ties_by_chance])
def test_a_log_that_gets_it_wrong_is_found(plant: Callable[[], Callable[[], None]], tmp_path: Path) -> None:
    take_back = plant()
    try:
        assert sent(tmp_path / "log", 3000).differences > 0
    finally:
        take_back()
