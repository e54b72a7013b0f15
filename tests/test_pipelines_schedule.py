"""A fixed schedule: so many retrainings at equal distances, on what was known by then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import streams

from models.losses import row_losses
from pipelines.course import Course, plan
from pipelines.first_rows import examples
from pipelines.learning import Examples
from pipelines.prepared import prepare_rows
from pipelines.schedule import scheduled_predictions
from pipelines.service import bundle_of
from pipelines.sources import read
from pipelines.stores import Stores
from pipelines.training import train_version

DAYS, ROWS, CHANGE = 25, 100, 9
LOSSES = partial(row_losses, "binary_crossentropy")
World = tuple[Stores, Course, Examples, Examples]


@pytest.fixture(scope="module")
def world(make_stores: Callable[..., Any]) -> World:
    """A first version of five days, and twenty more, on the fifth of which the concept changes."""
    settings = 'label_delay = "1 d"\n[monitor]\nwindow = "day"\n[replay]\ntrain_until = 2021-01-06\n'
    stores: Stores = make_stores(streams.stream(DAYS, ROWS, change_on=CHANGE), settings)
    course = plan(stores.project, read(stores.project.config.data, stores.project.folder))
    train_version(stores, prepare_rows(stores.project, course.past))
    schema = bundle_of(stores, 1).schema
    return stores, course, examples(course.future, schema), examples(course.past, schema)


def answers(world: World, retrainings: int) -> Any:
    stores, course, rows, learn = world
    first = bundle_of(stores, 1)
    return scheduled_predictions(stores, course, rows, learn, first, retrainings, LOSSES)


def begun_to_differ(world: World, found: Any) -> Any:
    """Times of the first row that was answered otherwise than by the first version."""
    differs = np.flatnonzero(np.abs(found - answers(world, 0)).max(axis=1) > 1e-6)
    return world[2].times[differs[0]]


def test_without_retrainings_the_first_version_answers_everything(
    world: World, linear_networks: ModuleType
) -> None:
    model = linear_networks.load_keras(bundle_of(world[0], 1).keras)
    np.testing.assert_allclose(answers(world, 0), linear_networks.predict(model, world[2].inputs), rtol=1e-5)


def test_every_row_gets_one_answer(world: World) -> None:
    for retrainings in (0, 1, 3):
        assert answers(world, retrainings).shape == (20 * ROWS, 1)


@pytest.mark.parametrize("retrainings", [1, 3])
def test_retrainings_are_as_many_as_asked(
    world: World, retrainings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    load = sys.modules["models.export"].load_keras

    def counted(path: Any, **more: Any) -> Any:
        loaded.append(path)
        return load(path, **more)

    monkeypatch.setattr(sys.modules["models.export"], "load_keras", counted)
    answers(world, retrainings)
    # each begins with the file of the one before, the first with version 1
    assert len(set(loaded)) == retrainings


def test_one_retraining_comes_in_the_middle_and_when_its_truth_is_known(world: World) -> None:
    changed = begun_to_differ(world, answers(world, 1))
    # ten days, and one of delay
    assert np.datetime64("2021-01-17") <= changed < np.datetime64("2021-01-17T04")


def test_retraining_after_the_change_wins_the_loss_back(world: World) -> None:
    rows = world[2]
    late = rows.times >= np.datetime64("2021-01-20")
    target = rows.targets.astype(float)[late]
    never = LOSSES(target, answers(world, 0)[late].astype(float)).mean()
    once = LOSSES(target, answers(world, 1)[late].astype(float)).mean()
    assert once < 0.7 * never


def test_the_same_rows_give_the_same_answers(world: World) -> None:
    np.testing.assert_array_equal(answers(world, 2), answers(world, 2))
