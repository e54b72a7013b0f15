"""Servers as child processes: watched while they start, and ended with all that they started."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from pipelines.child import Child, Server
from pipelines.errors import Failed

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def _child(folder: Path, code: str, healthy: Callable[[], bool] = lambda: False) -> Child:
    server = Server("toy server", [sys.executable, "-c", code], healthy)
    return Child(server, log=folder / "logs" / "toy.log", environment=os.environ)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_server_that_ends_while_it_starts_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = _child(tmp_path, "print('no disk left'); raise SystemExit(3)")
    with pytest.raises(Failed, match=r"toy server ended with code 3\. The end of .*toy\.log:\nno disk left"):
        child.wait_until_healthy(20, Event())


def test_a_server_that_stays_silent_is_told(tmp_path: Path) -> None:
    child = _child(tmp_path, "import time; print('thinking', flush=True); time.sleep(60)")
    try:
        with pytest.raises(Failed, match="did not answer within 1 s"):
            child.wait_until_healthy(1, Event())
    finally:
        child.end(0)


def test_waiting_ends_when_the_server_answers(tmp_path: Path) -> None:
    child = _child(
        tmp_path, "open('ready', 'w'); import time; time.sleep(60)", (tmp_path / "logs/ready").exists
    )
    child.wait_until_healthy(20, Event())
    child.check()
    child.end(0)


def test_waiting_ends_when_all_is_to_stop(tmp_path: Path) -> None:
    child = _child(tmp_path, "import time; time.sleep(60)")
    stopped = Event()
    stopped.set()
    child.wait_until_healthy(20, stopped)
    child.end(0)
    assert not _lives(child.pid)


def test_what_ignores_the_signal_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    child = _child(tmp_path, STUBBORN)
    log = tmp_path / "logs" / "toy.log"
    _wait(lambda: log.read_text().endswith("\n"))
    grandchild = int(log.read_text())
    assert _lives(grandchild)
    child.ask_to_end()
    child.end(0.3)
    _wait(lambda: not _lives(grandchild))
    assert not _lives(child.pid)
    assert not _lives(grandchild)


def test_an_ended_server_may_be_ended_again(tmp_path: Path) -> None:
    child = _child(tmp_path, "")
    child.end(20)
    child.ask_to_end()
    child.end(0)
