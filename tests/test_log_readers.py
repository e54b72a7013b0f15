"""The examples of docs/log.md, run on a log."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.log import Log

ROOT = Path(__file__).resolve().parent.parent
START = datetime(2024, 1, 1, 8, tzinfo=UTC)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "log.md").read_text("utf-8"), re.M | re.S)
IMPORTED = re.compile(r"^(?:from|import) (\w+)", re.M)
RUNNABLE = [block for block in BLOCKS if all(map(importlib.util.find_spec, IMPORTED.findall(block)))]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which some rows and labels were logged, in two files with another column each."""
    log = Log(tmp_path / ".losswatch" / "log")
    for number, columns in enumerate(
        ({"temperature": [21.5, 19.0]}, {"temperature": [3.0, None], "hour": [8, 9]})
    ):
        ids = [f"ride-{number}-{place}" for place in range(2)]
        log.append_predictions(ids, [START] * 2, columns, [0.5, 0.75], version=number + 1, known_at=START)
        log.append_labels(ids[:1], [1.0], known_at=START)
    return tmp_path


def test_there_is_an_example_for_each_reader() -> None:
    found = {name for block in BLOCKS for name in IMPORTED.findall(block)}
    assert {"pipelines", "duckdb", "polars", "pyspark"} <= found
    assert len(RUNNABLE) >= 1


@pytest.mark.parametrize("block", RUNNABLE)
def test_an_example_runs_and_says_something(block: str, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", block],
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) > 2
