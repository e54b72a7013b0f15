"""The memory that a process may use: of the machine, or of a control group around it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.memory import usable_memory


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: nothing)


def machine(root: Path, groups: str, **limits: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal:       16000 kB\nMemFree:        10 kB\n", "ascii")
    (root / "proc/self/cgroup").write_text(groups, "ascii")
    for place, limit in limits.items():
        file = root / "sys/fs/cgroup" / place.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit, "ascii")
    return root


def test_without_limits_it_is_the_machines(tmp_path: Path) -> None:
    assert usable_memory(machine(tmp_path, "0::/\n")) == 16_384_000


def test_a_group_around_the_own_limits_it(tmp_path: Path) -> None:
    limits = {"work__memory_dot_max": "9000000\n", "work__inner__memory_dot_max": "max\n"}
    assert usable_memory(machine(tmp_path, "0::/work/inner\n", **limits)) == 9_000_000


def test_groups_of_the_first_version_are_read(tmp_path: Path) -> None:
    limits = {"memory__docker__memory_dot_limit_in_bytes": "5000000\n"}
    assert usable_memory(machine(tmp_path, "7:cpu,memory:/docker\n3:pids:/other\n", **limits)) == 5_000_000


def test_ulimit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (7_000_000, 8_000_000))
    assert usable_memory(machine(tmp_path, "")) == 7_000_000


def test_a_system_that_says_nothing_limits_nothing(tmp_path: Path) -> None:
    assert usable_memory(tmp_path) > 1 << 60


def test_what_was_freed_is_kept_without_harm(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from pipelines.memory import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "keep_freed_memory()\n"
        "print(sum(float(np.ones(2**21).sum()) for _ in range(10)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(10.0 * 2**21)
