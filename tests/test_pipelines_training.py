"""A first training follows its project file: parts, preparation, and what a version remembers of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streams

from models.preparation import CyclicColumn, DateColumn, HashedColumn, QuantileColumn
from pipelines.errors import UserError
from pipelines.first_rows import examples
from pipelines.prepared import fit_schema, prepare_rows, read_prepared
from pipelines.reference import read_reference
from pipelines.scoring import Scorer
from pipelines.service import bundle_of
from pipelines.stores import Stores
from pipelines.training import train_version, training_identity

PREPARE = """[monitor]
window = "day"
[prepare]
scaling = "quantile"
encoding = "hashing"
hash_inputs = 16
dates = "booked"
cycles = {size = 50}
"""


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """A stream with a time that was known before, and a name of very many levels."""
    frame: pd.DataFrame = streams.stream(4, 150)
    numbers = np.arange(len(frame))
    booked = pd.to_datetime(frame["when"]) - pd.to_timedelta(numbers % 50, unit="h")
    return frame.assign(
        booked=booked.dt.strftime("%Y-%m-%dT%H:%M:%S"), customer=[f"c{k % 90}" for k in numbers]
    )


@pytest.fixture
def stores(make_stores: Callable[..., Any], rows: pd.DataFrame) -> Stores:
    opened: Stores = make_stores(rows, PREPARE)
    return opened


def test_a_project_is_prepared_as_its_file_says_and_served_so(stores: Stores, rows: pd.DataFrame) -> None:
    version = train_version(stores, prepare_rows(stores.project)).version
    bundle = bundle_of(stores, version.version)
    kinds = {column.name: type(column) for column in bundle.schema.columns}
    assert (kinds["booked"], kinds["customer"], kinds["size"]) == (DateColumn, HashedColumn, CyclicColumn)
    assert QuantileColumn in kinds.values()
    known = {name: rows[name].tolist()[:3] for name in bundle.schema.column_names}
    answers = Scorer.load(bundle.folder).predict(known)
    assert np.isfinite(answers).all()
    assert len(np.unique(answers)) == 3


def test_dates_are_no_part_of_what_is_compared(stores: Stores) -> None:
    version = train_version(stores, prepare_rows(stores.project)).version
    names = read_reference(bundle_of(stores, version.version).reference).profile.names
    assert "booked" not in names
    assert "size" in names


def test_another_preparation_or_split_is_another_training(
    make_stores: Callable[..., Any], rows: pd.DataFrame
) -> None:
    identities = {
        training_identity(make_stores(rows.drop(columns="booked"), more).project, "data")
        for more in (
            "",
            "[prepare]\nscaling = 'robust'\n",
            'split = "random"\n',
            'split = "group"\ngroup = "customer"\n',
        )
    }
    again = training_identity(
        make_stores(rows.drop(columns="booked"), "[prepare]\nscaling = 'standard'\n").project, "data"
    )
    assert len(identities) == 4
    assert again in identities


def test_another_target_of_the_same_rows_is_another_training(
    make_stores: Callable[..., Any], rows: pd.DataFrame
) -> None:
    project = make_stores(rows).project
    data = dataclasses.replace(project.config.data, target="size")
    other = dataclasses.replace(project, config=dataclasses.replace(project.config, data=data))
    assert training_identity(project, "data") != training_identity(other, "data")


@pytest.mark.parametrize(
    "more", ['split = "stratified"\n', 'split = "group"\ngroup = "customer"\n', 'split = "random"\n']
)
def test_a_version_is_trained_on_any_split(
    make_stores: Callable[..., Any], rows: pd.DataFrame, more: str
) -> None:
    opened = make_stores(rows.drop(columns="booked"), more + '[monitor]\nwindow = "day"\n')
    trained = train_version(opened, prepare_rows(opened.project))
    assert trained.rows == len(rows)
    assert np.isfinite(read_reference(bundle_of(opened, trained.version.version).reference).loss.loss)


def test_rows_count_what_their_column_says(make_stores: Callable[..., Any]) -> None:
    x, wrong = np.random.default_rng(0).normal(size=600).round(3), np.arange(600) % 2 == 1
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=600, freq="h"), "x": x, "y": 2 * x})
    frame["counts"] = np.where(wrong, 0, 5)
    stores = make_stores(frame, '[monitor]\nwindow = "day"\n')
    project = dataclasses.replace(
        stores.project,
        config=dataclasses.replace(
            stores.project.config, data=dataclasses.replace(stores.project.config.data, weight="counts")
        ),
    )
    prepared = prepare_rows(project)
    again = read_prepared(project, prepared.identity).table
    np.testing.assert_array_equal(again.weights, np.where(wrong, 0, 2))
    rows = examples(again, fit_schema(project, again)).rows
    np.testing.assert_array_equal(rows.weights, np.where(wrong, 0, 2))


def test_a_loss_that_cannot_be_negative_and_is_registers_nothing(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import training

    whole = training.objective

    def wrong(*arguments: Any) -> Any:
        goal = whole(*arguments)
        return dataclasses.replace(goal, row_losses=lambda *rows: goal.row_losses(*rows) - 9.0)

    monkeypatch.setattr("pipelines.training.objective", wrong)
    with pytest.raises(UserError, match="can never be below 0: look for targets other than 0 and 1"):
        train_version(stores, prepare_rows(stores.project))
    assert stores.registry.versions() == []
