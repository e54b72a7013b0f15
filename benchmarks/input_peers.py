"""NannyML on the streams of `benchmarks.input_detection`, in the peers' environment: its figures as JSON on stdout."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.input_streams import NAMES, TUNED, Stream, columns_of
from benchmarks.result import Result, figure

REFERENCE, LIVE, ROWS = 200, 300, 200
SEED = 1000  # the first one of the benchmark


def false_alarms(family: str) -> float:
    """Windows, of 1,000, in which any column is called shifted: Jensen-Shannon and its thresholds as they come."""
    import nannyml as nml  # type: ignore[import-not-found]  # it lives in an environment of its own
    import pandas as pd

    tables = iter(Stream(family, SEED, REFERENCE + LIVE))
    before, after = (
        pd.DataFrame(columns_of(np.concatenate(list(islice(tables, n))))) for n in (REFERENCE, LIVE)
    )
    calculator = nml.UnivariateDriftCalculator(
        column_names=list(NAMES),
        continuous_methods=["jensen_shannon"],
        categorical_methods=["jensen_shannon"],
        chunk_size=ROWS,
    )
    found: Any = calculator.fit(before).calculate(after).filter(period="analysis").to_df()
    alerts = found.xs("alert", axis=1, level=-1).to_numpy(dtype=bool)
    return 1000 * float(alerts.any(axis=1).mean())


def measure() -> list[Result]:
    """One figure a family."""
    return [figure(f"false alarms, {family}, NannyML", false_alarms(family), "of 1,000") for family in TUNED]


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        json.dump([asdict(result) for result in measure()], sys.stdout)
