"""What a command costs is its own, whatever the process holds that measures it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.cpu import cost_of, of_command

LARGE = 200_000_000

MEASURED = f"""
import sys
held = bytearray({LARGE})
held[:] = b"1" * {LARGE}
from benchmarks.cpu import cost_of
print(cost_of([sys.executable, "-c", "pass"]).peak, cost_of([sys.executable, "-c", "b'1' * {LARGE}"]).peak)
"""


def test_the_peak_is_that_of_the_command_alone() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    assert small < LARGE / 4
    assert LARGE < large < 1.5 * LARGE


def test_cpu_is_that_of_the_command_and_of_what_it_waited_for() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    waits = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    assert of_command([sys.executable, "-c", busy], times=2) >= 0.3
    assert cost_of([sys.executable, "-c", waits]).cpu >= 0.3
    assert cost_of([sys.executable, "-c", "import time; time.sleep(0.3)"]).cpu < 0.3


def test_a_command_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3:\nno luck"):
        cost_of([sys.executable, "-c", "import sys; sys.stderr.write('no luck'); sys.exit(3)"])
