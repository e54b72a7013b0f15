"""The benchmarks' one form: figures, what was asked, and the page; measuring itself is `make bench`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import __main__ as every
from benchmarks import cpu, environment, options, replay
from benchmarks.__main__ import LONG, SHORT, page
from benchmarks.result import Result, at_most, figure, lines, write_results

SOME = [
    at_most(0.505, "loss", 0.5, "nat"),
    at_most(11, "retrainings", 12, "", decided=False),
    figure("wall", 153.21, "s"),
]


def test_the_json_holds_figures_machine_and_versions(tmp_path: Path) -> None:
    write_results(tmp_path / "out.json", SOME, quick=True)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["results"] == [
        {"name": "loss", "value": 0.5, "unit": "nat", "asked": "at most 0.505", "met": True},
        {"name": "retrainings", "value": 12, "unit": "", "asked": "at most 11", "met": None},
        {"name": "wall", "value": 153.21, "unit": "s", "asked": None, "met": None},
    ]
    assert content["machine"]["cores"] >= 1
    assert {"python", "losswatch", "keras", "mlflow"} <= set(content["versions"])


def test_a_table_says_what_was_met() -> None:
    shown = lines([*SOME, at_most(60, "training", 61.0, "s of CPU")])
    for line, end in zip(
        shown,
        ("at most 0.505: met", "at most 11: not decided by a quick run", "153 s", "at most 60: MISSED"),
        strict=True,
    ):
        assert line.endswith(end)


@pytest.mark.parametrize(("value", "code"), [(0.1, 0), (0.2, 1)])
def test_what_is_missed_is_an_exit_code(
    value: float,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options, "quiet_environment", lambda environ, state: None)
    monkeypatch.setattr("benchmarks.options.logging.disable", lambda level: None)
    seen: list[bool] = []

    def measure(quick: bool) -> list[Result]:
        seen.append(quick)
        return [at_most(0.15, "help", value, "s of CPU")]

    assert options.run("toy", measure, ["--quick", "--json", str(tmp_path / "toy.json")]) == code
    assert seen == [True]
    assert json.loads((tmp_path / "toy.json").read_text())["quick"] is True
    assert capsys.readouterr().out.startswith("help ")


def test_a_place_that_is_none_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        options.run("toy", lambda quick: [], ["--json", str(tmp_path / "no" / "toy.json")])
    assert end.value.code == 2


def test_the_page_shows_every_benchmark(tmp_path: Path) -> None:
    write_results(tmp_path / "out.json", SOME, quick=False)
    content = json.loads((tmp_path / "out.json").read_text())
    shown = page({name: {**content, "taken": "2026-01-02"} for name in (*SHORT, *LONG)})
    assert shown.count("| loss | 0.5 | nat | at most 0.505: met |") == len(SHORT) + len(LONG)
    assert "| wall | 153 | s |  |" in shown
    assert "Taken on 2026-01-02" in shown


def test_one_benchmark_again_leaves_the_others_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(every, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(every, "RESULTS", tmp_path)

    def measure(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        write_results(Path(command[command.index("--json") + 1]), SOME, quick="--quick" in command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(every.subprocess, "run", measure)
    write_results(tmp_path / "kills.json", SOME, quick=False)
    assert every.main(["training"]) == 0
    assert [line for line in (tmp_path / "page.md").read_text().splitlines() if line.startswith("## ")] == [
        "## training",
        "## kills",
    ]
    before = (tmp_path / "page.md").read_bytes()
    assert every.main(["replay", "--quick"]) == 0
    assert (tmp_path / "page.md").read_bytes() == before


def test_the_cpu_of_a_command_is_measured() -> None:
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    assert 0.2 <= cpu.of_command([sys.executable, "-c", busy]) < 0.6
    before = cpu.so_far()
    cpu.of_command([sys.executable, "-c", busy])
    assert cpu.so_far() - before >= 0.2


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        cpu.of_command([sys.executable, "-c", "raise SystemExit(3)"])


def test_help_is_asked_to_be_quick() -> None:
    result = replay.help_cost()
    assert (result.asked, result.unit) == ("at most 0.15", "s of CPU")
    assert 0.005 < result.value < 0.5


def test_a_quick_run_replays_the_same_project_on_less(tmp_path: Path) -> None:
    quick = replay.flights(tmp_path / "quick", replay.QUICK).config
    year = replay.flights(tmp_path / "year", replay.YEAR).config
    assert (quick.data, quick.network, quick.monitor) == (year.data, year.network, year.monitor)
    assert year.replay.until == datetime(2014, 1, 1, tzinfo=UTC)
    assert quick.replay.until == datetime(2013, 1, 20, tzinfo=UTC)
    example = (replay.FLIGHTS / "losswatch.toml").read_text()
    assert (tmp_path / "year" / "losswatch.toml").read_text() == example


@pytest.mark.parametrize("decided", [True, False])
def test_what_is_asked_of_the_year_is_decided_on_the_year(decided: bool) -> None:
    summary = dict.fromkeys(
        ("loss", "loss_never", "loss_schedule", "loss_simple", "loss_constant", "cpu_training"), 0.51
    ) | {"retrainings": 10, "promotions": 9, "alarms": 12}
    done = SimpleNamespace(summary=SimpleNamespace(**summary))
    figures = replay.replay_figures(done, decided=decided)  # type: ignore[arg-type]
    met = {result.name: result.met for result in figures if result.asked}
    assert met == {
        "flights, losswatch": False if decided else None,
        "flights, retrainings": True if decided else None,
        "flights, training": True if decided else None,
    }


# --- the peers' environment ---


def test_the_peers_are_pinned_and_not_in_the_lock() -> None:
    pins = environment._pins(environment.PEERS)
    names = {re.split(r"[=;]", pin)[0] for pin in pins}
    assert all("==" in pin for pin in pins)
    assert set(environment.IMPORTS) <= names
    lock = (environment.ROOT / "requirements.lock").read_text()
    assert not re.search(r"^(river|nannyml)==", lock, re.MULTILINE)


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "peers.txt").write_text("# nothing to install\n")
    made = [environment.make(tmp_path / "env", tmp_path / "peers.txt", ["json"]) for _ in range(2)]
    assert made == [True, False]
    (tmp_path / "peers.txt").write_text("# another list\n")
    assert environment.make(tmp_path / "env", tmp_path / "peers.txt", ["json"])


def test_without_a_connection_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "peers.txt").write_text("river==0.26.1\n")
    with pytest.raises(environment.NoEnvironment, match="connection to the package index"):
        environment.make(tmp_path / "env", tmp_path / "peers.txt", [])
    assert not (tmp_path / "env").exists()
