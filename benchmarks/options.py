"""The one form of every benchmark: `python -m benchmarks.NAME [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.result import Result, lines, write_results
from pipelines.environment import quiet_environment

Measure = Callable[[bool], Sequence[Result]]


def run(name: str, measure: Measure, arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; measure: told whether to be quick. Returns 1 where something asked was missed."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="the same code on less, in under 60 s")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE as JSON")
    options = parser.parse_args(arguments)
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"the folder of {options.json} does not exist")
    quiet_environment(os.environ, None)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # alerts of made rows, and TensorFlow on small ones
    try:
        results = measure(options.quick)
    finally:
        logging.disable(disabled)
    print(*lines(results), sep="\n")
    if options.json is not None:
        write_results(options.json, results, quick=options.quick)
    return 1 if any(result.met is False for result in results) else 0


def say(text: str) -> None:
    """What is being measured, on stderr."""
    print(text, file=sys.stderr, flush=True)
