"""What a benchmark says: figures, what was asked of them, and the machine and versions that gave them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("losswatch", "keras", "tensorflow-cpu", "mlflow", "prefect", "numpy", "pandas", "onnxruntime")


@dataclass(frozen=True)
class Result:
    """One figure.

    asked: in words, e.g. "at most 0.505"; None for a figure for orientation. met: None where nothing was asked,
    or where a quick run cannot decide.
    """

    name: str
    value: float
    unit: str
    asked: str | None = None
    met: bool | None = None


def figure(name: str, value: float, unit: str) -> Result:
    """A figure for orientation."""
    return Result(name, value, unit)


def at_most(limit: float, name: str, value: float, unit: str, *, decided: bool = True) -> Result:
    """A figure that is asked to stay at or below a limit; decided: whether this run can tell.

    >>> at_most(0.15, "help", 0.06, "s of CPU").met
    True
    >>> at_most(0.505, "loss", 0.53, "nat", decided=False)
    Result(name='loss', value=0.53, unit='nat', asked='at most 0.505', met=None)
    """
    return Result(name, value, unit, f"at most {limit:g}", value <= limit if decided else None)


def at_least(limit: float, name: str, value: float, unit: str, *, decided: bool = True) -> Result:
    """A figure that is asked to reach a limit; decided: whether this run can tell.

    >>> at_least(0.9, "macro-F1", 0.95, "").met
    True
    """
    return Result(name, value, unit, f"at least {limit:g}", value >= limit if decided else None)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 1),  # above the number of cores, seconds of the clock mean little
        "system": f"{platform.system()} {platform.release()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Python's version and those of the libraries that cost the time."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_results(path: Path, results: Sequence[Result], *, quick: bool) -> None:
    """The JSON of a benchmark: `results`, and beside them `machine`, `versions`, `quick` and the day, `taken`."""
    content = {
        "results": [asdict(result) for result in results],
        "quick": quick,
        "taken": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "versions": versions(),
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def lines(results: Sequence[Result]) -> list[str]:
    """The figures as a table for the terminal."""
    width = max(len(result.name) for result in results)
    return [
        f"{result.name:<{width}}  {written(result.value):>10} {result.unit:<9}  {judgement(result)}".rstrip()
        for result in results
    ]


def written(value: float) -> str:
    """A number with three or four digits that count.

    >>> written(11.0), written(0.50312), written(153.21)
    ('11', '0.5031', '153')
    """
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def judgement(result: Result) -> str:
    """What was asked and whether it was met, in words; empty for a figure for orientation."""
    if result.asked is None:
        return ""
    state = {True: "met", False: "MISSED", None: "not decided by a quick run"}[result.met]
    return f"{result.asked}: {state}"
