"""`losswatch drift` beside Evidently's population stability index on the same two files, imports included.

python -m benchmarks.drift [--quick] [--json FILE]

20 columns: 15 numbers, 3 of text, 2 of counts; neither table has moved. Every run is a process of its own, in turn.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import options
from benchmarks.cpu import Cost, cost_of
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure

ROWS, MANY, ROUNDS, SCANS = 1_000_000, 10_000_000, 3, 7
QUICK_ROWS = 100_000
PIECE = 250_000  # rows that are made and written at once

EVIDENTLY = """
import sys
import warnings
warnings.simplefilter("ignore")
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
frames = [pd.read_parquet(path) for path in sys.argv[1:]]
text = [name for name in frames[0] if frames[0][name].dtype == object]
numbers = [name for name in frames[0] if name not in text]
definition = DataDefinition(numerical_columns=numbers, categorical_columns=text)
before, after = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
Report([ValueDrift(column=name, method="psi") for name in frames[0]]).run(after, before).dict()
"""


def write(path: Path, rows: int, seed: int) -> Path:
    """A Parquet file of rows that are drawn from one source."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rng, writer = np.random.default_rng(seed), None
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        columns = {f"number {place}": rng.normal(size=count) for place in range(15)}
        columns |= {f"count {place}": rng.poisson(3, count) for place in range(2)}
        columns |= {
            f"text {place}": rng.choice([f"level {k}" for k in range(10)], count) for place in range(3)
        }
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    rows = QUICK_ROWS if quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        say(f"two tables of {rows:,} rows")
        files = [
            write(Path(folder) / f"{name}.parquet", rows, seed)
            for seed, name in enumerate(("before", "after"))
        ]
        results = [*_beside_evidently(files, decided=not quick), *_beside_the_scan(files, decided=not quick)]
        if not quick:
            results += _many(Path(folder))
    return results


def _beside_evidently(files: Sequence[Path], *, decided: bool) -> list[Result]:
    named = [str(file) for file in files]
    commands = {
        "losswatch drift": [sys.executable, "-m", "pipelines.cli", "drift", *named],
        "Evidently's PSI": [sys.executable, "-c", EVIDENTLY, *named],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(ROUNDS if decided else 1):
        for name, command in commands.items():
            say(f"{name}, {turn + 1}")
            costs[name].append(cost_of(command))
    ours, theirs = (min(found, key=lambda cost: cost.cpu) for found in costs.values())
    return [
        figure("losswatch drift, CPU", ours.cpu, "s of CPU"),
        figure("Evidently's PSI, CPU", theirs.cpu, "s of CPU"),
        at_least(20, "Evidently's CPU, of losswatch's", theirs.cpu / ours.cpu, "times", decided=decided),
        figure("losswatch drift, peak", ours.peak / 1e6, "MB"),
        figure("Evidently's PSI, peak", theirs.peak / 1e6, "MB"),
        at_least(4, "Evidently's peak, of losswatch's", theirs.peak / ours.peak, "times", decided=decided),
    ]


def _beside_the_scan(files: Sequence[Path], *, decided: bool) -> list[Result]:
    """The current rows against a profile that is there, beside reading the file and doing nothing."""
    from monitoring.bins import reference_bins
    from pipelines import drift

    before, after = (drift.open_table(file) for file in files)
    bins = reference_bins(drift.sample(before, before.names))

    def scan() -> None:
        for table in after.tables(after.names, drift.BATCH):
            assert table.num_rows

    def count() -> None:
        drift.counted(after, bins, lambda text: None)

    times = _least((scan, count))
    return [
        figure("Parquet scan", times[0], "s of CPU"),
        figure("scan and profile", times[1], "s of CPU"),
        at_most(2, "scan and profile, of the scan", times[1] / times[0], "times", decided=decided),
    ]


def _least(works: Sequence[Callable[[], None]]) -> list[float]:
    """Seconds of CPU that each takes at least, of some rounds in turn."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(SCANS):
        for taken, work in zip(found, works, strict=True):
            began = time.process_time()
            work()
            taken.append(time.process_time() - began)
    return list(map(min, found))


def _many(folder: Path) -> list[Result]:
    say(f"two tables of {MANY:,} rows")
    named = [str(write(folder / f"many {seed}.parquet", MANY, seed)) for seed in range(2)]
    found = cost_of([sys.executable, "-m", "pipelines.cli", "drift", *named])
    return [
        at_most(400, f"{MANY:,} rows, peak", found.peak / 1e6, "MB"),
        figure(f"{MANY:,} rows, CPU", found.cpu, "s of CPU"),
        figure(f"{MANY:,} rows", found.seconds, "s"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    return options.run("drift", measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
