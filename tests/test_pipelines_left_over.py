"""What a killed `losswatch up` left behind: known again by number, start and folder, and ended; nothing else is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from pipelines.child import Child, Server
from pipelines.errors import Failed
from pipelines.left_over import end_left_over, forget, note

STAYS = "import time; time.sleep(300)"
WITH_ANOTHER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STAYS!r}])"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('set', flush=True); {STAYS}"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for child in children:
        child.end(0)


def _start(children: list[Child], folder: Path, program: str = STAYS, name: str = "toy server") -> Child:
    server = Server(name, [sys.executable, "-c", program], lambda: True)
    children.append(Child(server, log=folder / f"{name}.log", environment=os.environ))
    note(folder, children)
    return children[-1]


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _change(folder: Path, name: str, value: float) -> None:
    path = folder / "processes.json"
    noted = json.loads(path.read_text())
    path.write_text(json.dumps([{**one, name: value} for one in noted]))


def test_what_was_left_is_named_and_ended(
    tmp_path: Path, started: list[Child], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = _start(started, tmp_path), _start(started, tmp_path, name="other server")
    left = end_left_over(tmp_path, seconds=20)
    assert [one.pid for one in left] == [second.pid, first.pid]
    assert not _runs(first.pid)
    assert not _runs(second.pid)
    assert f"ending the toy server, process {first.pid}, which a killed losswatch up left" in caplog.text
    assert end_left_over(tmp_path, seconds=20) == ()


def test_what_it_started_is_ended_with_it(tmp_path: Path, started: list[Child]) -> None:
    leader = _start(started, tmp_path, WITH_ANOTHER)
    inner = _inner(leader.pid)
    end_left_over(tmp_path, seconds=20)
    assert not _runs(inner)


def test_what_it_started_is_ended_also_where_it_has_ended_itself(
    tmp_path: Path, started: list[Child]
) -> None:
    leader = _start(started, tmp_path, WITH_ANOTHER)
    inner = _inner(leader.pid)
    os.kill(leader.pid, signal.SIGKILL)
    assert [one.pid for one in end_left_over(tmp_path, seconds=20)] == [leader.pid]
    assert not _runs(inner)


def _inner(pid: int) -> int:
    found: list[psutil.Process] = []
    while not found:
        found = psutil.Process(pid).children()
    return int(found[0].pid)


def test_what_does_not_end_when_asked_is_killed(tmp_path: Path, started: list[Child]) -> None:
    child = _start(started, tmp_path, STUBBORN)
    while "set" not in child.log.read_text():
        child.check()
    end_left_over(tmp_path, seconds=0.3)
    with pytest.raises(Failed, match="ended with code -9"):
        _check_often(child)


def _check_often(child: Child) -> None:
    while True:
        child.check()


def test_a_process_that_has_the_number_by_now_is_left_alone(tmp_path: Path, started: list[Child]) -> None:
    child = _start(started, tmp_path)
    _change(tmp_path, "began", 1_000_000_000.0)
    assert end_left_over(tmp_path, seconds=20) == ()
    assert _runs(child.pid)


def test_a_process_of_another_folder_is_left_alone(tmp_path: Path, started: list[Child]) -> None:
    child = _start(started, tmp_path / "other")
    (tmp_path / "processes.json").write_text((tmp_path / "other" / "processes.json").read_text())
    assert end_left_over(tmp_path, seconds=20) == ()
    assert _runs(child.pid)


def test_our_own_group_is_left_alone(tmp_path: Path, started: list[Child]) -> None:
    _start(started, tmp_path)
    _change(tmp_path, "pid", os.getpgid(0))
    assert end_left_over(tmp_path, seconds=20) == ()


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"pid": 1}]', "[1]"])
def test_a_note_that_cannot_be_read_ends_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "processes.json").write_text(text)
    assert end_left_over(tmp_path, seconds=20) == ()


def test_what_has_ended_meanwhile_is_not_noted(tmp_path: Path, started: list[Child]) -> None:
    child = _start(started, tmp_path)
    child.end(0)
    note(tmp_path, started)
    assert json.loads((tmp_path / "processes.json").read_text()) == []


def test_after_an_orderly_end_nothing_is_known(tmp_path: Path, started: list[Child]) -> None:
    child = _start(started, tmp_path)
    forget(tmp_path)
    assert end_left_over(tmp_path, seconds=20) == ()
    assert _runs(child.pid)


# --- as a whole ---

# losswatch up with a server that is no server, so that it is up at once
TOY_UP = """
import sys
from pathlib import Path
import pipelines.up as up
from pipelines.child import Server
from pipelines.project import open_project

up._make_store = lambda project: None
up._workers = lambda project, plan: []
up._stores_and_flows = lambda project, plan: [
    Server("toy server", [sys.executable, "-c", "import time; time.sleep(300)"], lambda: True)
]
up.up(open_project(Path(sys.argv[1])))
"""


def _up(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", TOY_UP, str(folder)], stderr=subprocess.PIPE, text=True)


def _processes(folder: Path, up: subprocess.Popen[str]) -> int:
    """The toy server of this `losswatch up`, as soon as it is up."""
    path = folder / ".losswatch" / "up.json"
    while up.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(path.read_text())
            if found["pid"] == up.pid:
                return int(found["processes"]["toy server"])
    raise AssertionError(up.communicate()[1])


@pytest.mark.slow
def test_an_up_after_one_that_was_killed_ends_what_that_left_and_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = f'[data]\npath = "rows.csv"\ntarget = "y"\n[serve]\nport = {port}\n'
    (tmp_path / "losswatch.toml").write_text(text)
    killed = _up(tmp_path)
    left = _processes(tmp_path, killed)
    killed.kill()
    killed.communicate(timeout=60)
    assert _runs(left)
    second = _up(tmp_path)
    new = _processes(tmp_path, second)
    assert not _runs(left)
    assert _runs(new)
    second.terminate()
    said = second.communicate(timeout=60)[1]
    assert f"ending the toy server, process {left}, which a killed losswatch up left behind" in said
    assert not _runs(new)
    assert not (tmp_path / ".losswatch" / "up" / "processes.json").exists()
