"""Row values are Shapley's, and rows that mislead have low ones."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from models.intervals import Resampling
from models.metrics import metrics_for
from models.schema import Task
from models.valuation import row_values, squared_distances, strange_rows

Array = Any


def by_definition(
    task: Task, inputs: Array, targets: Array, others: Array, wanted: Array, k: int
) -> list[float]:
    """Every row's mean worth over all sets of the other rows."""
    centre, scale = (targets.mean(), targets.std()) if task == "regression" else (0.0, 1.0)
    truth, judging = (targets - centre) / scale, (wanted - centre) / scale
    count = len(truth)

    def utility(rows: list[int]) -> float:
        total = 0.0
        for row, target in zip(others, judging, strict=True):
            near = sorted(rows, key=lambda one: float(np.square(inputs[one] - row).sum()))[:k]
            if task == "regression":
                total -= (sum(truth[one] for one in near) / k - target) ** 2
            else:
                total += sum(truth[one] == target for one in near) / k
        return total / len(judging)

    values = []
    for row in range(count):
        rest = [other for other in range(count) if other != row]
        value = 0.0
        for size in range(count):
            share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for chosen in itertools.combinations(rest, size):
                value += share * (utility([*chosen, row]) - utility([*chosen]))
        values.append(value)
    return values


@pytest.mark.parametrize("neighbours", [1, 2, 3, 6])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_values_are_those_of_the_definition(task: Task, neighbours: int) -> None:
    rng = np.random.default_rng(neighbours)
    classes = {"binary": 2, "multiclass": 3}.get(task)
    inputs, others = rng.normal(size=(6, 2)), rng.normal(size=(3, 2))
    targets = rng.normal(size=6) if classes is None else rng.integers(0, classes, 6)
    wanted = rng.normal(size=3) if classes is None else rng.integers(0, classes, 3)
    found = row_values(task, inputs, targets, others, wanted, neighbours=neighbours)
    expected = by_definition(task, inputs, targets, others, wanted, neighbours)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_all_rows_share_what_they_are_worth_together(task: Task) -> None:
    rng = np.random.default_rng(0)
    inputs, others = rng.normal(size=(300, 4)), rng.normal(size=(500, 4))
    targets, wanted = (
        (rows[:, 0] + rng.normal(size=len(rows)) > 0).astype(float) if task == "binary" else rows[:, 0] ** 2
        for rows in (inputs, others)
    )
    found = row_values(task, inputs, targets, others, wanted)
    assert found.values.sum() == pytest.approx(found.together - found.alone)
    assert found.together > found.alone


def test_one_row_alone_is_worth_all_of_it() -> None:
    for task in ("binary", "regression"):
        found = row_values(task, np.zeros((1, 1)), np.array([1.0]), np.zeros((2, 1)), np.array([1.0, 0.0]))
        assert found.values.sum() == pytest.approx(found.together - found.alone)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_wrong_targets_have_the_lowest_values(task: Task) -> None:
    rng = np.random.default_rng(1)
    inputs, others = rng.normal(size=(1000, 3)), rng.normal(size=(400, 3))

    def truth(rows: Array) -> Array:
        if task == "regression":
            return 3 * rows[:, 0]
        return np.digitize(rows[:, 0], [0.0] if task == "binary" else [-0.6, 0.6])

    targets, wrong = truth(inputs), rng.random(1000) < 0.1
    spoiled = np.where(
        wrong, rng.permutation(targets) if task == "regression" else (targets + 1) % 2, targets
    )
    changed = spoiled != targets
    values = row_values(task, inputs, spoiled, others, truth(others)).values
    (decisions, areas) = metrics_for("binary", changed.astype(float), -values.reshape(-1, 1))
    area = areas.ready(Resampling(1000))(np.ones((1, 1000), np.float32))[0, 0]
    assert decisions.names[0] == "accuracy"
    assert area > 0.85


def test_many_judging_rows_are_taken_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(50, 2)), rng.integers(0, 2, 50), rng.normal(size=(35, 2)), rng.integers(0, 2, 35)
    whole = row_values("binary", *rows)
    strange = strange_rows(rows[0], rows[2])
    monkeypatch.setattr("models.valuation._TOGETHER", 10)
    np.testing.assert_allclose(row_values("binary", *rows).values, whole.values)
    np.testing.assert_array_equal(strange_rows(rows[0], rows[2]), strange)


def test_distances_are_those_of_scipy() -> None:
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(3)
    one, other = rng.normal(size=(20, 5)), rng.normal(size=(30, 5))
    np.testing.assert_allclose(squared_distances(one, other), cdist(one, other, "sqeuclidean"), atol=1e-9)


def test_rows_of_the_same_kind_are_rarely_strange_and_those_of_another_nearly_always() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(2000, 3))
    assert strange_rows(rows, rng.normal(size=(1000, 3))).mean() < 0.03
    assert strange_rows(rows, rng.normal(size=(1000, 3)) + 6).mean() > 0.95


def test_copies_of_taught_rows_are_not_strange() -> None:
    rows = np.repeat(np.eye(3), 10, axis=0)
    assert not strange_rows(rows, np.eye(3)).any()
