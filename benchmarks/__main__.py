"""All benchmarks, one after the other, and the page docs/benchmarks.md from what they measured.

python -m benchmarks [--quick]     a quick run shows its figures and writes no page
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.options import say
from benchmarks.result import Result, judgement, written

NAMES = ("replay", "training")
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where a benchmark failed or something asked was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="the same code on less; writes no page")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    codes = []
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            file = Path(folder) / f"{name}.json"
            codes.append(_run(name, file, quick=options.quick))
            if file.is_file():
                found[name] = json.loads(file.read_text("utf-8"))
    if len(found) == len(NAMES) and not options.quick:
        PAGE.write_text(page(found, datetime.now(UTC)), "utf-8")
        say(f"written: {PAGE}")
    return max(codes, default=0)


def _run(name: str, file: Path, *, quick: bool) -> int:
    say(f"--- {name}")
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file)]
    return subprocess.run([*command, *(["--quick"] if quick else [])]).returncode


def page(found: Mapping[str, Mapping[str, Any]], now: datetime) -> str:
    """The page, from the JSON of every benchmark by its name."""
    text = [
        "# Benchmarks",
        "",
        "Written by `make bench`; `python -m benchmarks.NAME --quick` takes under a minute. A figure beside which",
        "nothing is asked is for orientation. Seconds of CPU hardly depend on what else the machine does, seconds",
        "of the clock do.",
    ]
    for name, content in found.items():
        text += ["", f"## {name}", "", *_table(content["results"]), "", _taken_on(content, now)]
    return "\n".join(text) + "\n"


def _table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [Result(**result) for result in results]
    return [
        "| figure | value | unit | asked |",
        "|---|---:|---|---|",
        *(f"| {row.name} | {written(row.value)} | {row.unit} | {judgement(row)} |" for row in rows),
    ]


def _taken_on(content: Mapping[str, Any], now: datetime) -> str:
    machine, versions = content["machine"], content["versions"]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Taken on {now:%Y-%m-%d}: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"load {machine['load']}; {libraries}."
    )


if __name__ == "__main__":
    sys.exit(main())
