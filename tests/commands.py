"""The command line in a child process, as a user has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# -P: a file of the project folder must not hide a module of ours, as it cannot with the installed command
COMMAND = (sys.executable, "-P", "-m", "pipelines.cli")
ROOT = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """Ours, without what a developer may have set for servers of their own; the modules are found from anywhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "MLFLOW_TRACKING", "LOSSWATCH_"))
    }
    return kept | {"PYTHONPATH": str(ROOT)}


def start(*arguments: object, folder: Path, **settings: Any) -> subprocess.Popen[str]:
    """A command that runs in a folder."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **settings,
    )


def losswatch(*arguments: object, folder: Path, code: int = 0) -> str:
    """What a command prints; it must end with this exit code."""
    process = start(*arguments, folder=folder)
    out, err = process.communicate()
    assert process.returncode == code, (
        f"{' '.join(map(str, arguments))} ended with {process.returncode}:\n{err}"
    )
    return out
