"""What cannot be trained, stored or served is refused before anything is trained."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.schema import Schema
from pipelines.errors import UserError
from pipelines.learning import Examples
from pipelines.objective import objective
from pipelines.project import open_project
from pipelines.trial import refuse_unfit

NETWORKS = {
    "answers": "keras.Sequential([keras.Input((schema.width,)), keras.layers.Dense(3)])",
    "inputs": "keras.Sequential([keras.Input((schema.width + 2,)), keras.layers.Dense(1)])",
    "hidden": "hidden(schema)",
    "fine": "keras.Sequential([keras.Input((schema.width,)), keras.layers.Dense(1, activation='sigmoid')])",
}
MODULE = """
    import keras


    def hidden(schema):
        class Mine(keras.layers.Layer):
            def call(self, inputs):
                return inputs

        inputs = keras.Input((schema.width,))
        return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(Mine()(inputs)))


    def network(schema):
        return {network}


    def made(power):
        def inner(target, answer):
            return keras.ops.mean(keras.ops.abs(target - answer) ** power, axis=-1)

        return inner


    closure = made(1.5)
"""


def _tried(folder: Path, *, network: str = "fine", more: str) -> None:
    """As a training tries it."""
    frame = pd.DataFrame({"a": np.linspace(-1, 1, 400)}).assign(y=lambda rows: (rows.a > 0).astype(int))
    (folder / "mine.py").write_text(textwrap.dedent(MODULE).replace("{network}", NETWORKS[network]))
    (folder / "losswatch.toml").write_text(f'[data]\npath = "rows.csv"\ntarget = "y"\n[network]\n{more}\n')
    project, schema = open_project(folder), Schema.fit(frame, "y")
    times = np.arange(len(frame)).astype("datetime64[s]")
    rows = Examples.of(schema.inputs(frame), schema.targets(frame), times)
    refuse_unfit(project, objective(project, "binary"), schema, rows)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("answers", "answers a row with 3 numbers; the target 'y' (binary) needs 1"),
        ("inputs", "does not take rows of 1 inputs"),
        ("hidden", "the network, saved and loaded again: "),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path: Path, network: str, told: str) -> None:
    with pytest.raises(UserError) as refused:
        _tried(tmp_path, network=network, more='build = "mine:network"')
    assert told in str(refused.value)
    assert str(refused.value).startswith("the network cannot be trained:\n  ")
    assert str(refused.value).endswith("mend it, and try it with losswatch check")


def test_a_loss_that_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Could not locate function 'inner'"):
        _tried(tmp_path, more='loss = "mine:closure"')


def test_a_network_that_fits_is_let_through(tmp_path: Path) -> None:
    _tried(tmp_path, more='build = "mine:network"')


def test_what_comes_along_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_trial(*_: object) -> None:
        raise AssertionError("the network that comes along was tried")

    monkeypatch.setattr("pipelines.trial.try_network", no_trial)
    _tried(tmp_path, more="epochs = 3")
