"""The last rate range test: kept, read for the same network, and not for another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.rate_range import RateRange
from pipelines.kept_rates import FILE, keep_rates, read_rates
from pipelines.project import Project, open_project

FOUND = RateRange(
    np.array([1e-3, 1e-2]), np.array([0.5, np.nan]), np.array([0.5, 0.4]), 0.7, 0.004, None, None, ("why",)
)


def project(folder: Path, network: str = "hidden = [8]") -> Project:
    text = f'[data]\npath = "rows.csv"\ntarget = "delay"\n[network]\n{network}\n'
    (folder / "losswatch.toml").write_text(text, "utf-8")
    return open_project(folder)


def keys(opened: Project) -> dict[str, Any]:
    return dataclasses.asdict(opened.config.network)


def test_a_test_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    opened = project(tmp_path)
    keep_rates(opened, FOUND, "bikes: mse by learning rate, adam")
    kept = read_rates(opened, keys(opened))
    assert kept is not None
    assert kept.title == "bikes: mse by learning rate, adam"
    assert repr(kept.found) == repr(FOUND)


@pytest.mark.parametrize("network", ["learning_rate = 0.01", "epochs = 3", 'schedule = "cosine"'])
def test_what_a_test_leaves_free_may_change(tmp_path: Path, network: str) -> None:
    keep_rates(project(tmp_path), FOUND, "x")
    assert read_rates(project(tmp_path), keys(project(tmp_path, f"hidden = [8]\n{network}"))) is not None


@pytest.mark.parametrize(
    "network", ["hidden = [9]", 'hidden = [8]\noptimizer = "sgd"', "hidden = [8]\nbatch_size = 64"]
)
def test_a_test_of_another_network_is_none(tmp_path: Path, network: str) -> None:
    keep_rates(project(tmp_path), FOUND, "x")
    assert read_rates(project(tmp_path), keys(project(tmp_path, network))) is None


def test_without_a_test_or_without_its_network_there_is_none(tmp_path: Path) -> None:
    opened = project(tmp_path)
    assert read_rates(opened, keys(opened)) is None
    keep_rates(opened, FOUND, "x")
    assert read_rates(opened, {}) is None


@pytest.mark.parametrize("content", ["{", "[]", '{"found": {}}'])
def test_a_damaged_test_is_none(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    opened = project(tmp_path)
    keep_rates(opened, FOUND, "x")
    (opened.state / FILE).write_text(content)
    assert read_rates(opened, keys(opened)) is None
    assert "rates.json cannot be read" in caplog.text
