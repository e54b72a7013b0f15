"""Benchmarks one after the other, and the page docs/benchmarks.md from what all of them measured last.

python -m benchmarks [NAME ...] [--quick]     without a name those that take minutes; a quick run writes nothing
python -m benchmarks --long                   the proofs that take an hour
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.options import say
from benchmarks.result import Result, judgement, written

SHORT = ("replay", "training", "larger", "serving", "log", "drift")
LONG = (
    "diagnosis",
    "kills",
    "serving_kills",
    "serving_switches",
    "serving_stops",
    "serving_malformed",
    "serving_large",
    "serving_restart",
    "serving_soak",
    "labels",
    "late_labels",
    "verdicts",
    "detection",
    "estimate",
    "input_detection",
    "log_kills",
    "spark",
    "wide",
    "alert_kills",
    "loop",
)
DOCS = Path(__file__).parent.parent / "docs"
PAGE, RESULTS = DOCS / "benchmarks.md", DOCS / "benchmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where a benchmark failed or something asked was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", allow_abbrev=False)
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[*SHORT, *LONG, []], help="which of them")
    parser.add_argument("--long", action="store_true", help="the proofs that take an hour")
    parser.add_argument("--quick", action="store_true", help="the same code on less; writes nothing")
    options = parser.parse_args(arguments)
    codes = [_run(name, quick=options.quick) for name in options.names or (LONG if options.long else SHORT)]
    if not options.quick:
        write_page()
    return max(codes)


def _run(name: str, *, quick: bool) -> int:
    """Measures in a process of its own; what it found takes the place of what was found before."""
    say(f"--- {name}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file)]
        code = subprocess.run([*command, *(["--quick"] if quick else [])]).returncode
        if file.is_file() and not quick:
            RESULTS.mkdir(exist_ok=True)
            shutil.copyfile(file, RESULTS / file.name)
    return code


def write_page() -> None:
    """Writes docs/benchmarks.md from the JSON files beside it."""
    kept = [RESULTS / f"{name}.json" for name in (*SHORT, *LONG)]
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in kept if path.is_file()}
    PAGE.write_text(page(found), "utf-8")
    say(f"written: {PAGE}")


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, from the JSON of every benchmark by its name."""
    text = [
        "# Benchmarks",
        "",
        "Written by `make bench` and `make prove`; `python -m benchmarks NAME` measures one of them again, and",
        "`python -m benchmarks.NAME --quick` takes under a minute. A figure beside which nothing is asked is for",
        "orientation. Seconds of CPU hardly depend on what else the machine does, seconds of the clock do.",
    ]
    for name, content in found.items():
        text += ["", f"## {name}", "", *_table(content["results"]), "", _taken_on(content)]
    return "\n".join(text) + "\n"


def _table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [Result(**result) for result in results]
    return [
        "| figure | value | unit | asked |",
        "|---|---:|---|---|",
        *(f"| {row.name} | {written(row.value)} | {row.unit} | {judgement(row)} |" for row in rows),
    ]


def _taken_on(content: Mapping[str, Any]) -> str:
    machine, versions = content["machine"], content["versions"]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Taken on {content['taken']}: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"load {machine['load']}; {libraries}."
    )


if __name__ == "__main__":
    sys.exit(main())
