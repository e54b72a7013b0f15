"""`losswatch drift` of tables with very many columns: seconds and memory.

python -m benchmarks.wide [--quick] [--json FILE]

3,000,000 rows beside 300,000, of 1,000 columns: what took Evidently six hours for one of its users (evidently#1526).
Numbers have two decimals, as most that people write down, so that the files fit on a disk.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import options
from benchmarks.cpu import cost_of
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure

ROWS, COLUMNS = (3_000_000, 300_000), 1000
QUICK_ROWS, QUICK_COLUMNS = (60_000, 6_000), 100
PIECE = 50_000  # rows that are made and written at once
MOVED = 7  # the column that is another one in the second table
MINUTES, GIB = 30.0, 4.0


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    rows, columns = (QUICK_ROWS, QUICK_COLUMNS) if quick else (ROWS, COLUMNS)
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        before, after = (Path(folder) / f"{name}.parquet" for name in ("before", "after"))
        for seed, (file, count) in enumerate(zip((before, after), rows, strict=True)):
            say(f"{count:,} rows of {columns:,} columns")
            write(file, count, columns, seed)
        size = before.stat().st_size + after.stat().st_size
        say(f"{size / 1e9:.1f} GB; {shutil.disk_usage(folder).free / 1e9:.0f} GB are free")
        told = Path(folder) / "told.json"
        command = [sys.executable, "-m", "pipelines.cli", "drift", str(before), str(after)]
        found = cost_of([*command, "--json", str(told)])
        said = json.loads(told.read_text("utf-8"))
    moved = [column["name"] for column in said["columns"] if column["verdict"] != "no shift"]
    return [
        figure("rows", sum(rows), ""),
        figure("columns", columns, ""),
        at_most(MINUTES, "time", found.seconds / 60, "min", decided=not quick),
        figure("CPU", found.cpu, "s of CPU"),
        at_most(GIB, "peak", found.peak / 2**30, "GiB", decided=not quick),
        at_least(1, "the column that moved is found", float(f"column {MOVED}" in moved), ""),
        at_most(0, "others that are said to have moved", len(set(moved) - {f"column {MOVED}"}), ""),
    ]


def write(path: Path, rows: int, columns: int, seed: int) -> None:
    """A Parquet file of columns that are alike but for one, which in all tables but the first lies elsewhere."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rng, writer = np.random.default_rng(seed), None
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        names = [f"column {place}" for place in range(columns)]
        arrays = [np.round(rng.standard_normal(count, dtype=np.float32), 2).astype(np.float64) for _ in names]
        if seed:
            arrays[MOVED] += 0.3
        table = pa.table(dict(zip(names, arrays, strict=True)))
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
        if start % (10 * PIECE) == 0 and start:
            say(f"  {start:,} rows written")
    assert writer is not None
    writer.close()


if __name__ == "__main__":
    sys.exit(options.run("wide", measure))
