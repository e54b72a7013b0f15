"""`losswatch serve` as proofs start it: a process of its own, with a champion that a file tells.

python -m benchmarks.scoring_server FOLDER SETTINGS

Version numbers only grow, as in a registry; what a number stands for follows from it (`kind_of`), so that a champion
can change a thousand times.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks.clients import ask, get
from benchmarks.servers import free_port
from benchmarks.serving_kills import made_version

Kind = Literal["even", "odd", "wrong", "torn"]
SERVING: tuple[Kind, ...] = ("even", "odd")
START_SECONDS = 120.0
PROJECT = '[data]\npath = "rows.csv"\ntarget = "binary"\n\n[serve]\nport = {port}\n'


@dataclass(frozen=True)
class Settings:
    """What a proof changes of the server. every: seconds between two looks at the champion; limits: of
    `pipelines.http_server.Limits`; plant: a fault of `benchmarks.serving_faults`.
    """

    every: float = 0.02
    flush_every: float = 30.0
    limits: dict[str, float] = field(default_factory=dict)
    plant: str = ""


@dataclass(frozen=True)
class Running:
    """A server that answers. seconds: from its start until it was ready."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


def kind_of(version: int) -> Kind:
    """What a version is: two of different rows and weights that serve, and now and then one that must not.

    >>> [kind_of(version) for version in (1, 2, 9, 19)]
    ['odd', 'even', 'wrong', 'torn']
    """
    if version % 10 == 9:
        return "wrong" if version % 20 == 9 else "torn"
    return SERVING[version % 2]


def made_project(folder: Path) -> Path:
    """A project whose champion is version 1."""
    versions = folder / "versions"
    for place, kind in enumerate(SERVING):
        made_version(versions / kind, seed=place + 1, rows_seed=place)
    made_version(versions / "wrong", golden_shift=0.5)
    made_version(versions / "torn")
    (versions / "torn" / "model.onnx").write_bytes(b"torn")
    (folder / "losswatch.toml").write_text(PROJECT.format(port=free_port()), "utf-8")
    set_champion(folder, 1)
    return folder


def log_of(folder: Path) -> Path:
    """Where the log of the project lies."""
    return folder / ".losswatch" / "log"


def set_champion(folder: Path, version: int) -> None:
    """Moves the alias."""
    part = folder / "champion.part"
    part.write_text(str(version), "ascii")
    os.replace(part, folder / "champion")


@contextmanager
def started(folder: Path, settings: Settings | None = None) -> Iterator[Running]:
    """The server of a project, ready; killed after the block where it still runs."""
    from pipelines.project import open_project

    port = open_project(folder).config.serve.port
    begun = time.monotonic()
    with (folder / "server.log").open("ab") as said:
        given = json.dumps(asdict(settings or Settings()))
        command = [sys.executable, "-m", "benchmarks.scoring_server", str(folder), given]
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        while not ready(port):
            if process.poll() is not None or time.monotonic() - begun > START_SECONDS:
                raise RuntimeError(f"the server is not ready: {(folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.01)
        yield Running(process, port, time.monotonic() - begun)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(server: Running) -> None:
    """Ends the server as an operator does; RuntimeError where that is no clean end."""
    server.process.terminate()
    code = server.process.wait(START_SECONDS)
    if code:
        raise RuntimeError(f"the server ended with {code} after SIGTERM")


def ready(port: int) -> bool:
    """Whether the server says that it answers."""
    try:
        return ask(port, get("/readyz")).status == 200
    except OSError:
        return False


def memory(process: subprocess.Popen[bytes]) -> float:
    """MB that the server itself holds now (RSS), without the process that moves rows now and then."""
    pages = Path(f"/proc/{process.pid}/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- in the server's process ---


class Registry:
    """Versions as `Champion` asks for them."""

    @dataclass(frozen=True)
    class Named:
        version: int

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def alias(self, name: str) -> Named:
        return self.Named(int((self._folder / name).read_text("ascii")))

    def bundle(self, version: int) -> Path:
        return self._folder / "versions" / kind_of(version)


def main(folder: Path, settings: Settings) -> None:
    """Serves until it is ended, as `losswatch serve` does."""
    from benchmarks import serving_faults
    from pipelines import serving
    from pipelines.http_server import Limits
    from pipelines.project import open_project

    limits: Any = settings.limits
    changed: Any = serving
    changed._registry = lambda project, environ: Registry(folder)
    changed.Champion = partial(serving.Champion, every=settings.every)
    changed.ScoringServer = partial(
        serving.ScoringServer, flush_every=settings.flush_every, limits=Limits(**limits)
    )
    if settings.plant:
        getattr(serving_faults, settings.plant)()
    serving.serve(open_project(folder), environ={})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Settings(**json.loads(sys.argv[2])))
