"""A version trained again: the same where nothing has changed, else what has changed is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import streams

from pipelines.errors import UserError
from pipelines.prepared import prepare_rows
from pipelines.project import open_project
from pipelines.replay import replay
from pipelines.reproduce import reproduce
from pipelines.stores import Stores
from pipelines.training import train_version

DAYS = '[monitor]\nwindow = "day"\n'
MOMENT = datetime(2021, 1, 5, tzinfo=UTC)


@pytest.fixture
def trained(make_stores: Callable[..., Any]) -> Stores:
    stores: Stores = make_stores(streams.stream(4, 100), DAYS)
    train_version(stores, prepare_rows(stores.project))
    return stores


def test_a_training_is_repeated_to_the_bit_and_leaves_nothing(trained: Stores) -> None:
    before = {path for path in trained.project.state.rglob("*") if path.is_file()}
    found = reproduce(trained.project)
    assert (found.same, found.failed, found.differing, found.largest) == (True, False, 0, 0.0)
    assert found.loss == found.loss_again
    assert found.data == found.data_again
    assert found.changed == ()
    assert found.lines() == [f"version 1 trained again: all {found.weights} weights are the same to the bit"]
    assert {path for path in trained.project.state.rglob("*") if path.is_file()} == before
    assert len(trained.registry.versions()) == 1


def test_other_rows_are_named(trained: Stores) -> None:
    path = trained.project.folder / "rows.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-7]) + "\n")
    found = reproduce(trained.project, 1)
    assert found.failed
    assert 0 < found.differing <= found.weights
    assert 0 < found.largest < 1
    told = found.lines()
    assert told[0].startswith(
        f"version 1 trained again: {found.differing} of {found.weights} weights differ, by "
    )
    assert told[1] == f"the rows are others: {found.data} then, {found.data_again} now"
    assert told[-1] == "next: go back to what has changed, and run losswatch reproduce again"


def test_a_changed_project_file_is_named(trained: Stores) -> None:
    path = trained.project.folder / "losswatch.toml"
    path.write_text(path.read_text() + "[network]\nepochs = 9\n")
    found = reproduce(open_project(trained.project.folder))
    assert found.changed == ("losswatch.toml has changed since: +[network]; +epochs = 9",)


def test_a_network_of_another_form_is_refused(trained: Stores) -> None:
    path = trained.project.folder / "losswatch.toml"
    path.write_text(path.read_text().replace('target = "y"', 'target = "y"\ndrop = ["heat"]'))
    with pytest.raises(UserError, match="the network has another form now"):
        reproduce(open_project(trained.project.folder))


def test_without_a_version_there_is_nothing_to_repeat(make_stores: Callable[..., Any]) -> None:
    stores: Stores = make_stores(streams.stream(4, 100), DAYS)
    with pytest.raises(UserError, match="no version to train again"):
        reproduce(stores.project)


@pytest.fixture(scope="module")
def lived(make_stores: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """A replay in which the concept changes, so that some version was retrained."""
    from pipelines import stores as module

    stores: Stores = make_stores(streams.stream(60, 200, change_on=40), DAYS)
    replay(stores.project)
    return module.open_stores(stores.project.for_replay())


def test_a_retraining_is_repeated_from_what_the_log_knew_then(lived: Stores) -> None:
    retrained = [version.version for version in lived.registry.versions() if version.kind != "fit"]
    assert retrained
    for number in retrained:
        found = reproduce(lived.project, number)
        assert found.same, found.lines()
        assert found.kind in ("update", "refit")


def test_a_version_whose_retraining_the_log_has_lost_is_refused(lived: Stores, tmp_path: Path) -> None:
    import shutil

    number = max(version.version for version in lived.registry.versions())
    events = lived.project.log_folder() / "events"
    shutil.move(events, tmp_path / "events")
    try:
        with pytest.raises(UserError, match=f"version {number}: the log holds no retraining that made it"):
            reproduce(lived.project, number)
    finally:
        shutil.move(tmp_path / "events", events)
