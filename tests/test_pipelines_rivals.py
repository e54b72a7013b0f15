"""Rivals answer the same rows with what they learned from the rows that taught the version."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from models.losses import row_losses
from models.schema import Task
from pipelines.learning import Examples
from pipelines.objective import Objective
from pipelines.rivals import Match, losses_of_chances, rivals

HOUR = np.timedelta64(1, "h")


def rows(count: int, seed: int, task: Task = "binary", *, first: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, 3)).astype(np.float32)
    score = 2 * inputs[:, 0] + 0.3 * rng.normal(size=count)
    targets = score if task == "regression" else (score > 0).astype(np.float32)
    times = np.datetime64("2021-01-01", "us") + (first + np.arange(count)) * HOUR
    return Examples.of(inputs, targets.astype(np.float32), times)


def goal(name: str, **parameters: Any) -> Objective:
    return Objective(name, None, partial(row_losses, name, **parameters), parameters=parameters)


def match(objective: Objective, task: Task = "binary") -> Match:
    learn, judge = rows(400, 0, task), rows(150, 1, task, first=400)
    return Match(task, objective, 1, learn, judge, (learn.times, learn.targets), HOUR, 0)


ALL = ("constant", "last", "linear", "trees", "forest", "svm")


def test_every_rival_answers_every_row_and_says_what_it_is_called() -> None:
    told: list[str] = []
    found = rivals(ALL, match(goal("binary_crossentropy")), told.append)
    assert list(found.answers) == [
        "the best constant",
        "the mean of the last 100 known values",
        "the linear model",
        "the boosted trees",
        "the random forest",
        "the support vector machine",
    ]
    assert all(one.answers.shape == (150, 1) and one.losses.shape == (150,) for one in found.answers.values())
    assert told[2] == "fitting the linear model to 400 rows"
    means = {name: one.losses.mean() for name, one in found.answers.items()}
    assert min(means, key=lambda name: means[name]) == "the linear model"
    assert max(means.values()) < 0.8


def test_only_those_that_are_asked_for_answer() -> None:
    found = rivals(("linear",), match(goal("mse"), "regression"), lambda text: None)
    assert list(found.answers) == ["the linear model"]
    assert found.notices == ()


def test_the_last_value_also_knows_rows_that_did_not_teach() -> None:
    taught, stopped, judged = (
        rows(20, 0, "regression"),
        rows(5, 1, "regression", first=20),
        rows(5, 2, first=25),
    )
    before = (
        np.concatenate([taught.times, stopped.times]),
        np.concatenate([taught.targets, stopped.targets]),
    )
    only = Match("regression", goal("mse"), 1, taught, judged, before, 0 * HOUR, 0)
    (answers,) = rivals(("last",), only, lambda text: None).answers.values()
    steps = (1, 10)
    expected = [stopped.targets[-1], np.concatenate([taught.targets, stopped.targets])[-10:].mean()]
    assert any(answers.answers[0, 0] == pytest.approx(expected[place]) for place in range(len(steps)))


def test_fewer_rows_than_there_are_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("pipelines.rivals", fromlist=["_LIMITS"])._LIMITS, "svm", 300)
    found = rivals(("linear", "svm"), match(goal("binary_crossentropy")), lambda text: None)
    assert found.notices == (
        "of 400 rows that taught the version, the support vector machine from 300 drawn at random",
    )


def test_a_rival_that_cannot_be_had_is_left_out_aloud() -> None:
    few = rows(1, 0)
    only = Match("binary", goal("bce"), 1, few, rows(40, 1), (few.times, few.targets), HOUR, 0)
    found = rivals(("constant", "linear"), only, lambda text: None)
    assert list(found.answers) == ["the best constant"]
    assert found.notices[0].startswith("the linear model was left out: 1 targets are known")


def test_the_constant_is_the_best_for_the_parameters_of_the_loss() -> None:
    found = rivals(("constant",), match(goal("quantile", quantile=0.9), "regression"), lambda text: None)
    (answers,) = found.answers.values()
    learned = match(goal("mse"), "regression").learn.targets
    assert answers.answers[0, 0] == pytest.approx(np.quantile(learned, 0.9), abs=0.1)


def test_chances_are_judged_as_chances_where_the_network_answers_logits() -> None:
    logits = goal("binary_crossentropy", from_logits=True)
    losses = losses_of_chances(logits, "binary")(np.array([1.0]), np.array([[0.25]]))
    assert losses[0] == pytest.approx(-np.log(0.25))


def test_chances_become_scores_where_the_network_gives_such() -> None:
    rows = np.array([0.0, 1.0]), np.array([[0.5], [1.0]])
    assert losses_of_chances(goal("hinge"), "binary", scores=True)(*rows).tolist() == [1.0, 0.0]
    assert losses_of_chances(goal("hinge"), "binary")(*rows).tolist() == [1.5, 0.0]
    assert losses_of_chances(goal("mse"), "binary", scores=True)(*rows).tolist() == [0.25, 0.0]


def test_a_users_own_loss_is_asked_as_it_is() -> None:
    own = Objective("mine:loss", None, lambda target, answers: np.abs(target - answers[:, 0]), user_loss=abs)
    assert losses_of_chances(own, "binary")(np.array([1.0]), np.array([[0.25]])).tolist() == [0.75]
    found = rivals(("constant",), match(own, "regression"), lambda text: None)
    learned = match(own, "regression").learn.targets
    (answers,) = found.answers.values()
    assert answers.answers[0, 0] == pytest.approx(np.median(learned), abs=0.05)
