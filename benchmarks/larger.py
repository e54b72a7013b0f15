"""Rows from a Parquet file, trained from files batch by batch, beside the same rows as one frame in memory.

python -m benchmarks.larger [--quick] [--json FILE]

Each in a process of its own, on one thread: the memory that a further row takes at the peak (of the process's own, for
pages of a file the system takes back), the losses, and the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

COLUMNS, EPOCHS = 20, 2
FEW, MANY = 400_000, 1_200_000  # in both the sample of the schema is full, and all blocks are
QUICK = (100_000, 400_000)
WRITTEN_AT_ONCE = 100_000
MOST_BYTES_A_ROW = 60.0  # an order of magnitude below what the inputs alone take as a frame: 20 * 8
SAME_LOSS = 1e-3  # of the loss; with one thread and files in the order of time it is the same to the bit
SETTINGS = '[data]\npath = "rows.parquet"\ntarget = "y"\ntime = "time"\n[network]\nepochs = 2\n'


@dataclass(frozen=True)
class Run:
    """One training. peak: bytes of the process's own memory beyond what it had before the data."""

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
    (folder / "losswatch.toml").write_text(SETTINGS, "utf-8")


class _Peak:
    """Looks at the process's own memory every 20 ms."""

    def __init__(self) -> None:
        self.most = self.start = _own_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, _own_bytes())


def _own_bytes() -> int:
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def train(folder: Path, *, in_files: bool) -> Run:
    """The training that is measured, in this process."""
    import keras  # noqa: F401  # what TensorFlow takes is no matter of the rows

    from models.fit import fit
    from models.recipe import FitConfig, NetworkConfig, recipe_from
    from pipelines.batches import prepare_in_batches
    from pipelines.project import open_project

    project = open_project(folder)
    recipe = recipe_from(NetworkConfig(hidden=(32,)), "regression")
    config = FitConfig(epochs=EPOCHS, batch_size=512)
    began = time.perf_counter()
    with _Peak() as peak:
        if in_files:
            files = prepare_in_batches(project, folder / "files")
            schema, learn, stop = files.schema, files.train, files.validation
        else:
            schema, learn, stop = _in_memory(project)
        history = fit(recipe, schema, learn, stop, config).history
    return Run(peak.most - peak.start, history.best_loss, time.perf_counter() - began)


def _in_memory(project: Any) -> Any:
    """Schema, training and validation rows as a first training makes them."""
    from models.split import split_in_time
    from pipelines.first_rows import examples
    from pipelines.parts import VALIDATION
    from pipelines.prepared import fit_schema
    from pipelines.sources import read

    table = read(project.config.data, project.folder)
    split = split_in_time(len(table.times), validation=VALIDATION)
    train, stop = table.rows(split.train), table.rows(split.validation)
    schema = fit_schema(project, train)
    return schema, examples(train, schema).rows, examples(stop, schema).rows


def _child(folder: Path, *, in_files: bool) -> Run:
    code = f"import benchmarks.larger as m; m.report({str(folder)!r}, {in_files})"
    threads = {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **threads, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def report(folder: str, in_files: bool) -> None:
    """What a child process measured, as JSON."""
    run = train(Path(folder), in_files=in_files)
    print(json.dumps({"peak": run.peak, "loss": run.loss, "seconds": run.seconds}))


def measure(quick: bool) -> Sequence[Result]:
    """Few and many rows, each from files and in memory."""
    sizes = QUICK if quick else (FEW, MANY)
    runs: dict[tuple[int, bool], Run] = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            say(f"writing {rows:,} rows")
            write(Path(folder), rows)
            for in_files in (True, False):
                say(f"training on {rows:,} rows, {'from files' if in_files else 'in memory'}")
                runs[rows, in_files] = _child(Path(folder), in_files=in_files)
    few, many = sizes
    each = {way: (runs[many, way].peak - runs[few, way].peak) / (many - few) for way in (True, False)}
    apart = abs(runs[many, True].loss / runs[many, False].loss - 1)
    return [
        at_most(
            MOST_BYTES_A_ROW, "memory a further row takes, from files", each[True], "bytes", decided=not quick
        ),
        figure("memory a further row takes, in memory", each[False], "bytes"),
        figure(f"peak for {many:,} rows, from files", runs[many, True].peak / 1e6, "MB"),
        figure(f"peak for {many:,} rows, in memory", runs[many, False].peak / 1e6, "MB"),
        at_most(SAME_LOSS, "difference of the losses, as a share", apart, ""),
        figure("time from files", runs[many, True].seconds, "s"),
        figure("time in memory", runs[many, False].seconds, "s"),
    ]


if __name__ == "__main__":
    sys.exit(options.run("larger", measure))
