"""What a stranger expects of `losswatch replay` on a file of their own: real networks, no Python written."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pandas as pd
import pytest
import streams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

HARMFUL = ("harmful shift", "concept change")


def replayed(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """The JSON of the two commands that a user types: init, and replay."""
    folder.mkdir(exist_ok=True)
    frame.to_csv(folder / "rows.csv", index=False)
    commands.losswatch("init", "mine", "--data", "rows.csv", "--target", "y", "--time", "when", folder=folder)
    return again(folder)


def again(folder: Path) -> dict[str, Any]:
    commands.losswatch("replay", "--project", "mine", "--json", "replay.json", "--quiet", folder=folder)
    content: dict[str, Any] = json.loads((folder / "replay.json").read_text())
    return content


def decisions(content: dict[str, Any]) -> dict[str, Any]:
    """Everything but what a clock measured."""
    summary = {
        name: value for name, value in content["summary"].items() if name not in ("seconds", "cpu_training")
    }
    return {**content, "summary": summary}


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_where_nothing_changes_next_to_nothing_is_done(task: str, tmp_path: Path) -> None:
    content = replayed(streams.stream(255, task=task), tmp_path / task)
    assert content["window"] == "day"
    assert len(content["windows"]) >= 200
    harmful = [window["start"] for window in content["windows"] if window["verdict"] in HARMFUL]
    assert len(harmful) <= 2  # a false alarm every 1000 windows is what is promised
    assert content["summary"]["retrainings"] <= 2
    assert content["summary"]["loss"] <= 1.01 * content["summary"]["loss_never"]
    assert not any(window["verdict"] == "data fault" for window in content["windows"])


@pytest.fixture(scope="module", params=["binary", "regression"])
def changed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any]]:
    """A replay of 60 days; on the 41st what two of the columns mean turns round."""
    folder = tmp_path_factory.mktemp(request.param)
    return folder, replayed(streams.stream(60, task=request.param, change_on=40), folder)


CHANGED = "2021-02-10"


def test_a_sudden_change_of_concept_is_called_harmful_within_three_windows(
    changed: tuple[Path, dict[str, Any]],
) -> None:
    windows = changed[1]["windows"]
    first = next(place for place, window in enumerate(windows) if window["start"].startswith(CHANGED))
    assert any(window["verdict"] in HARMFUL for window in windows[first : first + 3])
    assert not any(window["verdict"] in HARMFUL for window in windows[:first])


def test_most_of_the_lost_loss_is_won_back(changed: tuple[Path, dict[str, Any]]) -> None:
    windows = changed[1]["windows"]
    before = np.mean([window["loss_never"] for window in windows if window["start"] < CHANGED])
    never = np.mean([window["loss_never"] for window in windows[-5:]])
    served = np.mean([window["loss"] for window in windows[-5:]])
    assert never > 1.3 * before  # it did hurt
    assert (never - served) / (never - before) > 0.5


def test_every_retraining_names_its_cause(changed: tuple[Path, dict[str, Any]]) -> None:
    retrained = [window for window in changed[1]["windows"] if window["challenger"] is not None]
    assert retrained
    assert all(window["verdict"] in HARMFUL and window["reasons"] and window["gate"] for window in retrained)


def test_the_same_input_gives_the_same_decisions(changed: tuple[Path, dict[str, Any]]) -> None:
    folder, content = changed
    assert decisions(again(folder)) == decisions(content)


def test_a_project_may_bring_its_own_code_in_a_module_called_models(tmp_path: Path) -> None:
    streams.stream(36, 300, task="regression", change_on=20).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "models.py").write_text(
        textwrap.dedent('''
            """My data, my network, my loss."""
            from pathlib import Path

            import keras
            import pandas as pd


            def rows():
                frame = pd.read_csv(Path(__file__).with_name("rows.csv"))
                return frame.assign(when=pd.to_datetime(frame["when"]), warm=frame["heat"] > 0)


            def network(schema):
                inputs = keras.Input((schema.width,))
                hidden = keras.layers.Dense(16, activation="gelu")(inputs)
                answer = keras.layers.Dense(schema.outputs)(hidden)
                own_units = keras.layers.Rescaling(schema.target.scale, schema.target.mean)
                return keras.Model(inputs, own_units(answer))


            def careful(target, prediction):
                return keras.ops.mean(keras.ops.sqrt(1.0 + (target - prediction) ** 2) - 1.0, axis=-1)
        ''')
    )
    (tmp_path / "losswatch.toml").write_text(
        textwrap.dedent("""
            [data]
            load = "models:rows"
            target = "y"
            time = "when"
            [network]
            build = "models:network"
            loss = "models:careful"
            epochs = 15
            [monitor]
            window = "day"
        """)
    )
    commands.losswatch("check", folder=tmp_path)
    commands.losswatch("replay", "--json", "replay.json", folder=tmp_path)
    content = json.loads((tmp_path / "replay.json").read_text())
    assert content["loss_name"] == "models:careful"
    changed_on = next(
        place for place, window in enumerate(content["windows"]) if window["start"].startswith("2021-01-21")
    )
    assert any(window["verdict"] in HARMFUL for window in content["windows"][changed_on : changed_on + 3])
    assert content["summary"]["promotions"] >= 1
    assert content["summary"]["loss"] < content["summary"]["loss_never"]
