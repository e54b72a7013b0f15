"""The rates of a project: read, tried, told, drawn, and kept for the pictures of a training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.answer import to_json
from pipelines.errors import UserError
from pipelines.project import Project, open_project
from pipelines.rates import RatesResult, chart, rates


def write(folder: Path, network: str = "") -> Project:
    rng = np.random.default_rng(0)
    wind = rng.normal(10, 3, 800).round(2)
    frame = pd.DataFrame(
        {
            "time": pd.date_range("2013-01-01", periods=800, freq="h").astype(str),
            "wind": wind,
            "delay": (wind * 3 + rng.normal(0, 2, 800)).round(1),
        }
    )
    frame.to_csv(folder / "rows.csv", index=False)
    text = f'[data]\npath = "rows.csv"\ntarget = "delay"\ntime = "time"\n[network]\n{network}\n'
    (folder / "losswatch.toml").write_text(text, "utf-8")
    return open_project(folder)


def test_a_rate_is_suggested_with_its_reasons_and_no_network_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    result = rates(write(tmp_path, "hidden = [8]"), steps=60, progress=said.append)
    assert result.suggested is not None
    assert result.lines()[-1].startswith(
        ("next: write learning_rate =", "learning_rate = 0.001 of [network]")
    )
    assert said[0] == "reading the data"
    assert said[-1].startswith("rate ")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".losswatch", "losswatch.toml", "rows.csv"]
    assert [path.name for path in (tmp_path / ".losswatch").iterdir()] == ["rates.json"]
    told = json.loads(to_json(result))
    assert (told["loss_name"], told["learning_rate"]) == ("mean_squared_error", 0.001)
    assert 40 < len(told["rates"]) == len(told["losses"]) <= 60


def test_the_picture_is_written_where_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "rates.svg"
    result = rates(write(tmp_path, "hidden = []"), steps=20, picture=target)
    assert target.read_text("utf-8").startswith("<svg")
    assert f"wrote {target}" in result.lines()


def test_a_picture_of_another_form_is_refused_before_anything_is_tried(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rates\.pdf: a picture is written as"):
        rates(write(tmp_path), picture=tmp_path / "rates.pdf")


def test_mistaken_rates_are_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected 0 < lowest < highest"):
        rates(write(tmp_path, "hidden = []"), lowest=1.0, highest=0.5)


def result(suggested: float | None) -> RatesResult:
    numbers = (1.0, 0.5, 2.0)
    return RatesResult(
        "bikes", "adam", "mse", 0.001, suggested, None, None, 1.0, ("why",), numbers, numbers, numbers, None
    )


@pytest.mark.parametrize(
    ("suggested", "said"),
    [
        (0.02, "next: write learning_rate = 0.02 into [network], and losswatch train"),
        (0.002, "learning_rate = 0.001 of [network] is about as good"),
        (None, "no rate is suggested: see that the data and the loss are in order, losswatch check"),
    ],
)
def test_the_last_line_says_what_to_do(suggested: float | None, said: str) -> None:
    assert result(suggested).lines()[-1] == said


def test_the_chart_shows_the_losses_in_one_line() -> None:
    bars, scale = chart((0.1, 1.0, 10.0), (1.0, 0.0, float("nan")), 1.0)
    assert bars == "█▁█"
    assert scale.split() == ["0.1", "10"]
    assert chart((0.1, 1.0), (float("nan"), 1.0), 1.0) == []
