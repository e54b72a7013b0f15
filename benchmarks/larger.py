"""`losswatch train` on a Parquet file read in batches, beside the same rows read at once.

python -m benchmarks.larger [--quick] [--json FILE]

The command itself, each time in a process of its own, on one thread, on few rows and on four times as many: the memory
that a further row takes at the peak (of the process's own, for pages of a file the system takes back), the losses, and
the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

COLUMNS = 20
FEW, MANY = 400_000, 1_600_000  # in both the sample of the schema is full
QUICK = (40_000, 160_000)
WRITTEN_AT_ONCE = 100_000
MOST_BYTES_A_ROW = 60.0  # a third of what the numbers of a row take as a frame: 22 * 8
# of the loss: the schema is learned from a sample; up to 300,000 rows it is the same to the bit
SAME_LOSS = 0.02
SETTINGS = """[data]
path = "rows.parquet"
target = "y"
time = "time"
in_batches = {}
[network]
hidden = [32]
batch_size = 512
epochs = 2
"""


@dataclass(frozen=True)
class Run:
    """One training. peak: bytes of the process's own memory."""

    peak: float
    loss: float
    seconds: float


def write(folder: Path, rows: int) -> None:
    """A project over so many rows, written piece by piece."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(0)
    names = [f"x{place}" for place in range(COLUMNS)]
    schema = pa.schema(
        [("time", pa.timestamp("us")), *((name, pa.float64()) for name in names), ("y", pa.float64())]
    )
    with parquet.ParquetWriter(folder / "rows.parquet", schema) as writer:
        for begin in range(0, rows, WRITTEN_AT_ONCE):
            count = min(WRITTEN_AT_ONCE, rows - begin)
            inputs = rng.normal(size=(count, COLUMNS))
            target = np.sin(inputs[:, 0]) + inputs[:, 1] * inputs[:, 2] + rng.normal(0, 0.3, count)
            times = np.datetime64("2013-01-01", "us") + (begin + np.arange(count)) * np.timedelta64(1, "s")
            writer.write_table(pa.table([times, *inputs.T, target], schema=schema))


def train(folder: Path, *, in_batches: bool) -> Run:
    """The command, watched from outside every 20 ms."""
    (folder / "losswatch.toml").write_text(SETTINGS.format(str(in_batches).lower()), "utf-8")
    threads = {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}
    began, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "pipelines.cli", "train", "--project", str(folder), "--json"]
    with (folder / "told.json").open("w+b") as told:
        child = subprocess.Popen(
            command, env={**os.environ, **threads, "OPENBLAS_NUM_THREADS": "1"}, stdout=told
        )
        while child.poll() is None:
            peak = max(peak, _own_bytes(child.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        told.seek(0)
        if child.returncode:
            raise SystemExit(f"losswatch train ended with {child.returncode}")
        loss = json.loads(told.read())["loss"]
    return Run(peak, loss, seconds)


def _own_bytes(pid: int) -> int:
    """Of a process; 0 where it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    return next(
        (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0
    )


def measure(quick: bool) -> Sequence[Result]:
    """Few and many rows, each in batches and at once."""
    sizes = QUICK if quick else (FEW, MANY)
    runs: dict[tuple[int, bool], Run] = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            say(f"writing {rows:,} rows")
            write(Path(folder), rows)
            for way in (True, False):
                say(f"training on {rows:,} rows, {'in batches' if way else 'at once'}")
                with tempfile.TemporaryDirectory() as project:
                    (Path(project) / "rows.parquet").symlink_to(Path(folder) / "rows.parquet")
                    runs[rows, way] = train(Path(project), in_batches=way)
    few, many = sizes
    each = {way: (runs[many, way].peak - runs[few, way].peak) / (many - few) for way in (True, False)}
    apart = abs(runs[many, True].loss / runs[many, False].loss - 1)
    return [
        at_most(
            MOST_BYTES_A_ROW, "memory a further row takes, in batches", each[True], "bytes", decided=not quick
        ),
        figure("memory a further row takes, at once", each[False], "bytes"),
        figure(f"peak for {few:,} rows, in batches", runs[few, True].peak / 1e6, "MB"),
        figure(f"peak for {few:,} rows, at once", runs[few, False].peak / 1e6, "MB"),
        figure(f"peak for {many:,} rows, in batches", runs[many, True].peak / 1e6, "MB"),
        figure(f"peak for {many:,} rows, at once", runs[many, False].peak / 1e6, "MB"),
        at_most(SAME_LOSS, "difference of the losses, as a share", apart, ""),
        figure("loss in batches", runs[many, True].loss, ""),
        figure("loss at once", runs[many, False].loss, ""),
        figure("time in batches", runs[many, True].seconds, "s"),
        figure("time at once", runs[many, False].seconds, "s"),
    ]


if __name__ == "__main__":
    sys.exit(options.run("larger", measure))
