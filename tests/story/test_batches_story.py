"""`losswatch` on a folder of Parquet files that are read in batches: checked, trained, killed, judged, served."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import streams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

EPOCHS = 8
ROWS = 8000


def project(folder: Path, *, batches: bool) -> Path:
    """A project over four files of small groups of rows; a batch is never larger than one of them."""
    (folder / "rows").mkdir(parents=True)
    rows = pa.Table.from_pandas(streams.stream(20, ROWS // 20), preserve_index=False)
    for number in range(4):
        piece = rows.slice(number * ROWS // 4, ROWS // 4)
        parquet.write_table(piece, folder / "rows" / f"{number}.parquet", row_group_size=500)
    write_settings(folder, batches=batches)
    return folder


def write_settings(folder: Path, *, batches: bool, more: str = "") -> None:
    (folder / "losswatch.toml").write_text(
        '[project]\nname = "mine"\n[data]\npath = "rows"\ntarget = "y"\ntime = "when"\ntest_share = 0.1\n'
        f"in_batches = {str(batches).lower()}\n{more}"
        f"[network]\nepochs = {EPOCHS}\npatience = {EPOCHS}\nbatch_size = 16\nhidden = [128, 128]\n",
        "utf-8",
    )


def kill_when(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 600
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()


def some(folder: Path, pattern: str) -> Callable[[], bool]:
    return lambda: any((folder / ".losswatch").glob(pattern))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose command was killed while it prepared, and again while it trained."""
    folder = project(tmp_path_factory.mktemp("killed"), batches=True)
    kill_when(some(folder, "prepared/.files-*"), commands.start("train", folder=folder))
    kill_when(some(folder, "checkpoints/fit-*"), commands.start("train", folder=folder))
    return folder


@pytest.fixture(scope="module")
def resumed(killed: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(commands.losswatch("train", "--json", folder=killed))
    return found


def test_the_same_command_goes_on_and_comes_to_what_memory_comes_to(
    resumed: dict[str, Any], tmp_path: Path
) -> None:
    folder = project(tmp_path / "memory", batches=False)
    memory = json.loads(commands.losswatch("train", "--json", folder=folder))
    assert (resumed["resumed"], memory["resumed"]) == (True, False)
    for name in ("loss", "loss_constant", "loss_simple"):
        assert resumed[name] == pytest.approx(memory[name], rel=1e-4)
    assert (resumed["rows"], resumed["best_epoch"]) == (memory["rows"], memory["best_epoch"])
    assert resumed["notes"][0] == "8,000 rows are read in batches: [data] in_batches = true"
    assert not any("in batches" in note for note in memory["notes"])


@pytest.mark.usefixtures("resumed")
def test_nothing_is_left_of_the_kills_and_once_more_trains_nothing(killed: Path) -> None:
    assert not list((killed / ".losswatch" / "prepared").glob(".files-*"))
    assert not list((killed / ".losswatch" / "checkpoints").glob("*"))
    assert json.loads(commands.losswatch("train", "--json", folder=killed))["skipped"]


@pytest.mark.usefixtures("resumed")
def test_what_follows_a_training_works_on_it(killed: Path) -> None:
    prepared = json.loads(commands.losswatch("prepare", "--json", folder=killed))
    assert (prepared["rows"], prepared["fresh"]) == (ROWS, False)
    checked = json.loads(commands.losswatch("check", "--json", folder=killed))
    assert checked["data"]["rows"] == ROWS
    assert any("are read in batches" in problem["text"] for problem in checked["problems"])
    assert "version 1 serves" in commands.losswatch("promote", "1", "--first", folder=killed)
    judged = commands.losswatch("evaluate", folder=killed)
    assert "those that data.test_share held out from all training" in judged


def test_what_needs_all_rows_at_once_says_so(killed: Path, tmp_path: Path) -> None:
    process = commands.start("replay", folder=killed)
    assert "This needs all rows at once" in process.communicate()[1]
    assert process.returncode == 2
    (tmp_path / "losswatch.toml").write_text(
        '[data]\nload = "mine:load"\ntarget = "y"\ntime = "when"\nin_batches = true\n', "utf-8"
    )
    process = commands.start("train", folder=tmp_path)
    assert "load gives all rows at once" in process.communicate()[1]
    assert process.returncode == 2
