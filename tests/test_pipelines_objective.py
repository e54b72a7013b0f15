"""The project's own loss: by name, by the task, or the user's own function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.schema import Task
from monitoring.recovery import Link
from pipelines.errors import UserError
from pipelines.objective import objective
from pipelines.project import Project, open_project


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Project]:
    def of(network: str) -> Project:
        text = f'[data]\npath = "rows.csv"\ntarget = "y"\n[network]\n{network}\n'
        (tmp_path / "losswatch.toml").write_text(text)
        return open_project(tmp_path)

    return of


@pytest.mark.parametrize(
    ("task", "name", "link"),
    [
        ("regression", "mean_squared_error", "identity"),
        ("binary", "binary_crossentropy", "logit"),
        ("multiclass", "sparse_categorical_crossentropy", "softmax"),
    ],
)
def test_by_default_the_loss_fits_the_task(
    task: Task, name: str, link: Link, project: Callable[[str], Project]
) -> None:
    goal = objective(project(""), task)
    assert (goal.name, goal.link, goal.user_loss) == (name, link, None)


@pytest.mark.parametrize(
    ("name", "link"), [("mae", "identity"), ("huber", "identity"), ("poisson", None), ("hinge", None)]
)
def test_answers_are_corrected_only_where_a_way_is_known(
    name: str, link: Link | None, project: Callable[[str], Project]
) -> None:
    goal = objective(project(f'loss = "{name}"'), "regression")
    assert (goal.name, goal.link) == (name, link)


def test_the_loss_is_row_by_row(project: Callable[[str], Project]) -> None:
    goal = objective(project('loss = "mae"'), "regression")
    losses = goal.row_losses(np.array([1.0, 2.0, np.nan]), np.array([[0.0], [5.0], [1.0]]))
    np.testing.assert_array_equal(losses, [1.0, 3.0, np.nan])


def test_a_loss_of_ones_own_comes_from_its_module(project: Callable[[str], Project], tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(
        "def twice(target, prediction):\n    return 2 * (target - prediction)\n"
    )
    goal = objective(project('loss = "models:twice"'), "regression")
    assert goal.name == "models:twice"
    assert goal.link is None
    assert goal.user_loss(3.0, 1.0) == 4.0


def test_a_loss_that_is_not_there_is_named_with_its_key(
    project: Callable[[str], Project], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def careful(target, prediction):\n    return target\n")
    with pytest.raises(UserError, match=r"network\.loss = 'mine:carful'.*the nearest is 'careful'"):
        objective(project('loss = "mine:carful"'), "regression")
