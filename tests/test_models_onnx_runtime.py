"""ONNX Runtime reports to its maker, and keeps an id of the machine, unless it is told not to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import versions

SCORES = """
import sys, versions
from pathlib import Path
from pipelines.scoring import Scorer
scorer = Scorer.load(Path(sys.argv[1]))
rows = versions.frame(40)
print(len(scorer.predict({name: rows[name] for name in scorer.schema.column_names})))
"""


def test_a_version_that_answers_tells_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    version = versions.write_version(tmp_path / "version")
    home = tmp_path / "home"
    home.mkdir()
    # none of what would keep the library quiet by itself: not CI, not our own settings
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", SCORES, str(version)]
    done = subprocess.run(
        command,
        env=environment,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "40", done.stderr
    assert [str(path) for path in home.rglob("*")] == []
