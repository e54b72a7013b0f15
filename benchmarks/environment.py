"""The peers that benchmarks compare with, in an environment of their own: their pins conflict with ours.

`make bench-env`, or python -m benchmarks.environment; .bench-env/ then holds what benchmarks/peers.txt names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".bench-env"
PEERS = Path(__file__).with_name("peers.txt")
IMPORTS = ("river", "nannyml")
STAMP = "peers.sha256"


class NoEnvironment(Exception):
    """It could not be made; the text says why and what to do."""


def peer_environ() -> dict[str, str]:
    """The environment of a process of peers: NannyML would tell its makers of every use."""
    return {**os.environ, "NML_DISABLE_USAGE_LOGGING": "true"}


def make(folder: Path = FOLDER, peers: Path = PEERS, imports: Sequence[str] = IMPORTS) -> bool:
    """Makes the environment; False where it is there already, of this very list. Whole, or not at all."""
    wanted = hashlib.sha256(peers.read_bytes()).hexdigest()
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _step(
            f"making {folder.name}",
            [sys.executable, "-m", "venv", *_without_pip(), str(folder)],
            f"Is there room in {folder.parent}?",
        )
        _step(
            f"installing {len(_pins(peers))} packages",
            _install(folder, peers),
            "Is there a connection to the package index?",
        )
        for name in imports:
            _step(
                f"importing {name}",
                [str(folder / "bin" / "python"), "-c", f"import {name}"],
                f"Mend the pins of {peers.name}.",
            )
        stamp.write_text(wanted, "utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return True


def _pins(peers: Path) -> list[str]:
    return [line for line in peers.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def _uv() -> Path | None:
    """The installer of our own environment, which is quick; pip does where there is none."""
    found = Path(sys.executable).with_name("uv")
    return found if found.exists() else None


def _without_pip() -> list[str]:
    return ["--without-pip"] if _uv() else []


def _install(folder: Path, peers: Path) -> list[str]:
    python, uv = str(folder / "bin" / "python"), _uv()
    if uv:
        return [str(uv), "pip", "install", "--link-mode=copy", "--python", python, "-r", str(peers)]
    return [python, "-m", "pip", "install", "-r", str(peers)]


def _step(what: str, command: Sequence[str], advice: str) -> None:
    """Runs a command and shows what it says; the last of it becomes the error."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=peer_environ(),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  {line.rstrip()}", file=sys.stderr, flush=True)
            said = [*said, line.strip()][-3:]
    if process.returncode:
        raise NoEnvironment(
            f"{what} did not succeed. {advice} Nothing is left behind; then try make bench-env again. "
            f"It said: {' '.join(said)[-500:]}"
        )


def main() -> int:
    try:
        new = make()
    except NoEnvironment as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(f"{'ready' if new else 'already there'}: {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
