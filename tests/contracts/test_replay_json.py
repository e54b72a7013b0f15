"""The JSON of `losswatch replay`: later checks and other people's scripts rely on these names and types."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import commands
import pytest
import streams

from monitoring.decision import Action
from monitoring.verdict import VerdictKind
from pipelines.replay_result import JSON_VERSION, ReplayResult, ReplaySummary, ReplayWindow

NUMBER, LOSS = (int, float), (int, float, type(None))

# a name that is removed or changes its meaning needs another JSON_VERSION; new ones may be added
WHOLE = {
    "losswatch_replay": int,
    "name": str,
    "loss_name": str,
    "window": str,
    "windows": list,
    "summary": dict,
    "page": str,
}
WINDOW = {
    "start": str,
    "end": str,
    "rows": int,
    "loss_never": LOSS,
    "loss": LOSS,
    "loss_constant": LOSS,
    "loss_simple": LOSS,
    "loss_schedule": LOSS,
    "version": int,
    "verdict": str,
    "action": str,
    "reasons": list,
    "challenger": (int, type(None)),
    "promoted": bool,
    "gate": list,
}
SUMMARY = {
    "rows": int,
    "loss_never": NUMBER,
    "loss": NUMBER,
    "loss_constant": NUMBER,
    "loss_simple": NUMBER,
    "loss_schedule": NUMBER,
    "retrainings": int,
    "promotions": int,
    "refusals": int,
    "alarms": int,
    "seconds": NUMBER,
    "cpu_training": NUMBER,
}
VERDICTS = {"quiet", "data fault", "benign shift", "harmful shift", "concept change", "not enough evidence"}
ACTIONS = {"keep", "update", "refit", "fix data"}


def test_the_names_are_those_of_the_contract() -> None:
    assert JSON_VERSION == 1
    assert set(WINDOW) <= {field.name for field in fields(ReplayWindow)}
    assert set(SUMMARY) <= {field.name for field in fields(ReplaySummary)}
    assert set(WHOLE) - {"losswatch_replay"} <= {field.name for field in fields(ReplayResult)}


def test_verdicts_and_actions_are_those_of_the_contract() -> None:
    assert set(get_args(VerdictKind)) <= VERDICTS
    assert set(get_args(Action)) <= ACTIONS


@pytest.mark.parametrize("record", [ReplayWindow, ReplaySummary])
def test_records_hold_numbers_names_and_times_alone(record: type) -> None:
    plain = {str, int, float, bool, tuple[str, ...], int | None}
    assert set(get_type_hints(record).values()) <= plain


def test_the_page_on_replays_names_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs" / "replay.md").read_text("utf-8")
    written = set(re.findall(r"`([a-z_]+)`", text))
    assert {*WHOLE, *WINDOW, *SUMMARY} <= written


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes for a tiny project with a change in it."""
    folder = tmp_path_factory.mktemp("tiny")
    streams.stream(20, 150, change_on=10).to_csv(folder / "rows.csv", index=False)
    (folder / "losswatch.toml").write_text(
        '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n[network]\nepochs = 5\nhidden = [8]\n'
        '[monitor]\nwindow = "day"\n'
    )
    commands.losswatch("replay", "--json", "out.json", folder=folder)
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


@pytest.mark.slow
def test_every_field_has_its_type(content: dict[str, Any]) -> None:
    parts: list[tuple[Any, dict[str, Any]]] = [(content, WHOLE), (content["summary"], SUMMARY)]
    parts += [(window, WINDOW) for window in content["windows"]]
    for part, contract in parts:
        for name, kind in contract.items():
            assert isinstance(part[name], kind), name
            assert isinstance(part[name], bool) == (kind is bool), name


@pytest.mark.slow
def test_windows_are_half_open_in_utc_and_without_gaps(content: dict[str, Any]) -> None:
    spans = [
        (datetime.fromisoformat(window["start"]), datetime.fromisoformat(window["end"]))
        for window in content["windows"]
    ]
    assert all(start.utcoffset() is not None and start < end for start, end in spans)
    assert all(end == following for (_, end), (following, _) in pairwise(spans))


@pytest.mark.slow
def test_the_summary_agrees_with_its_windows(content: dict[str, Any]) -> None:
    summary, windows = content["summary"], content["windows"]
    assert {window["verdict"] for window in windows} <= VERDICTS
    assert {window["action"] for window in windows} <= ACTIONS
    assert summary["rows"] == sum(window["rows"] for window in windows)
    assert summary["retrainings"] == summary["promotions"] + summary["refusals"]
    assert summary["retrainings"] == sum(window["challenger"] is not None for window in windows)
    assert summary["retrainings"] >= 1
    for name in ("loss", "loss_never"):
        total = sum(window["rows"] * window[name] for window in windows if window["rows"])
        assert summary[name] == pytest.approx(total / summary["rows"])


@pytest.mark.slow
def test_every_retraining_names_the_verdict_that_caused_it(content: dict[str, Any]) -> None:
    for window in content["windows"]:
        if window["challenger"] is not None:
            assert window["verdict"] in ("harmful shift", "concept change")
            assert window["reasons"]
            assert window["gate"]
