"""The profile of a Delta table counted by Spark, partition by partition, beside our own reading: equal counts.

python -m benchmarks.spark [--quick] [--json FILE]

Spark runs in local mode, in an environment of its own (.spark-env/, made where it is missing; Java 17 or later has to
be there), and reads the Parquet files that the table names now. Each task counts its rows by `monitoring.profile`,
which needs numpy alone; the parts are added up.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import options
from benchmarks.cpu import so_far
from benchmarks.environment import ROOT, NoEnvironment, make
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure
from monitoring.bins import ColumnBins, reference_bins
from monitoring.profile import ColumnProfile, Profile, merge_all, profile

ENVIRONMENT = ROOT / ".spark-env"
ROWS, QUICK_ROWS, FILES = 1_000_000, 20_000, 8
PARTITION = 4 * 2**20  # bytes: more tasks than files
NEAR = 1e-9  # of sums of floats, which depend on the order


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    rows = QUICK_ROWS if quick else ROWS
    make(ENVIRONMENT, Path(__file__).with_name("spark.txt"), ("pyspark",))
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
        files, bins = _table(Path(folder) / "rows", rows)
        began = so_far()
        ours = _counted(Path(folder) / "rows", bins)
        middle = so_far()
        say("by Spark")
        theirs, tasks = _by_spark(files, bins, Path(folder))
        ended = so_far()
    return [
        figure("rows", ours.rows, ""),
        figure("columns", len(ours.columns), ""),
        figure("Spark's tasks", tasks, ""),
        figure("losswatch, CPU", middle - began, "s of CPU"),
        figure("Spark with its start, CPU", ended - middle, "s of CPU"),
        at_most(0, "columns with another count", len(differing(ours, theirs)), ""),
    ]


def differing(one: Profile, other: Profile) -> list[str]:
    """Names of columns that were not counted alike; sums of floats may differ by their order."""
    if one.rows != other.rows or one.bins != other.bins:
        return list(one.names)
    pairs = zip(one.columns, other.columns, strict=True)
    return [a.name for a, b in pairs if _exact(a) != _exact(b) or not _near(a, b)]


def _exact(column: ColumnProfile) -> tuple[Any, ...]:
    return (
        column.counts,
        column.invalid,
        column.absent,
        column.minimum,
        column.maximum,
        column.magnitudes,
        column.unseen,
    )


def _near(one: ColumnProfile, other: ColumnProfile) -> bool:
    sums = [(one.total, other.total), (one.total_square, other.total_square)]
    size = max(abs(one.total_square), 1.0)
    return all(abs(a - b) <= NEAR * size for a, b in sums)


def _table(folder: Path, rows: int) -> tuple[tuple[str, ...], tuple[ColumnBins, ...]]:
    """A Delta table of several files, and cells that were learned on other rows."""
    from pipelines.delta import Table

    say(f"a table of {rows:,} rows")
    first = _rows(rows // FILES, 0)
    table = Table(folder, first.schema)
    for seed in range(FILES):
        part = _rows(rows // FILES, seed)
        table.append(partial(_as_it_is, part))
    learned = _rows(20_000, 99)
    return table.files(), reference_bins(_columns(learned))


def _as_it_is(rows: Any, schema: Any, number: int) -> Any:
    return rows


def _rows(rows: int, seed: int) -> Any:
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"number {k}": rng.normal(size=rows) for k in range(12)}
    columns["heavy"] = rng.standard_t(2, rows)
    columns["odd"] = np.where(rng.random(rows) < 0.001, np.inf, rng.normal(size=rows))
    columns |= {f"count {k}": rng.poisson(3, rows) for k in range(3)}
    columns |= {f"text {k}": [f"level {n}" for n in rng.geometric(0.05 * (k + 1), rows)] for k in range(3)}
    gone = rng.random(rows) < 0.1
    columns["number 0"] = pa.array(columns["number 0"], mask=gone)
    columns["text 0"] = pa.array(columns["text 0"], mask=gone)
    return pa.table(columns)


def _columns(table: Any) -> dict[str, Any]:
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.schema.names}


def _counted(folder: Path, bins: Sequence[ColumnBins]) -> Profile:
    from pipelines import drift

    opened = drift.open_table(folder)
    return drift.counted(opened, bins, lambda text: None)


def _by_spark(files: Sequence[str], bins: Sequence[ColumnBins], folder: Path) -> tuple[Profile, int]:
    """The profile, and from how many tasks it was added up. RuntimeError with Spark's own words where it fails."""
    if shutil.which("java") is None:
        raise NoEnvironment("no java is on the path; Spark needs Java 17 or later")
    given = folder / "bins.json"
    given.write_text(profile({}, bins).to_json(), "utf-8")
    python = str(ENVIRONMENT / "bin" / "python")
    command = [python, "-m", "benchmarks.spark", "--count", str(given), *files]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": python, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"Spark ended with {done.returncode}: {done.stderr[-2000:]}")
    parts = [Profile.from_json(text) for text in json.loads(done.stdout)]
    return merge_all(parts), len(parts)


# --- in the environment of Spark ---


def count(bins: Sequence[ColumnBins], files: Sequence[str]) -> list[str]:
    """The profiles of all tasks, as JSON."""
    from pyspark.sql import SparkSession  # type: ignore[import-not-found]

    def counted(batches: Iterable[Any]) -> Iterable[Any]:
        import pyarrow as pa

        for batch in batches:
            yield pa.RecordBatch.from_pydict({"profile": [profile(_columns(batch), bins).to_json()]})

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.files.maxPartitionBytes", str(PARTITION)).getOrCreate()
    try:
        rows = spark.read.parquet(*files).mapInArrow(counted, "profile string").collect()
    finally:
        spark.stop()
    return [row["profile"] for row in rows]


def main(arguments: Sequence[str]) -> int:
    """What a user calls, or, with --count, what runs beside Spark."""
    if arguments[:1] == ["--count"]:
        given = Profile.from_json(Path(arguments[1]).read_text("utf-8"))
        json.dump(count(given.bins, arguments[2:]), sys.stdout)
        return 0
    return options.run("spark", measure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
