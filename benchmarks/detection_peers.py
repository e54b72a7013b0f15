"""River's detectors and NannyML on the streams of `benchmarks.detection`, in the peers' environment: JSON on stdout.

River's ADWIN and Page-Hinkley read row by row and go on after an alarm; a window counts once. NannyML judges the mean
squared error of every window by its default threshold, learned on the windows of the reference.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.detection_streams import FAMILIES, LISTED, abrupt, stream
from benchmarks.result import Result, figure

Array = npt.NDArray[np.float64]

ROWS, QUIET, WARM, AFTER = 200, 200, 50, 100
DELAYED = ("chi2", "season")


def losses(name: str, seed: int, windows: int, rises: Array) -> list[Array]:
    """Losses of the rows of the windows of the reference and of those after it, which rise so many times."""
    family = FAMILIES[name]
    rows, factors = stream(name, seed, family.blocks + windows, ROWS)
    every = factors * np.concatenate([np.ones(family.blocks), rises])
    return [family.losses(one, factor) for one, factor in zip(rows, every.tolist(), strict=True)]


def by_row(make: Callable[[], Any], windows: list[Array], blocks: int) -> list[bool]:
    """Whether a detector of river's alarms in each window after the reference."""
    detector, found = make(), []
    for window in windows:
        alarmed = False
        for loss in window.tolist():
            detector.update(loss)
            alarmed = alarmed or bool(detector.drift_detected)
        found.append(alarmed)
    return found[blocks:]


def nannyml(windows: list[Array], blocks: int) -> list[bool]:
    """Whether NannyML alerts for each window after the reference: its squared errors are the losses."""
    import nannyml as nml  # type: ignore[import-not-found]  # it lives in an environment of its own
    import pandas as pd

    def table(parts: list[Array]) -> pd.DataFrame:
        every = np.concatenate(parts)
        return pd.DataFrame({"y_pred": np.zeros(len(every)), "y_true": np.sqrt(every)})

    calculator = nml.PerformanceCalculator(
        metrics=["mse"], y_true="y_true", y_pred="y_pred", problem_type="regression", chunk_size=ROWS
    )
    found = calculator.fit(table(windows[:blocks])).calculate(table(windows[blocks:]))
    analysis: Any = found.filter(period="analysis").to_df()
    return [bool(alert) for alert in analysis["mse", "alert"]]


def detectors() -> dict[str, Callable[[list[Array], int], list[bool]]]:
    """By name: from windows and the number of those of the reference to an alarm for each of the others."""
    from river.drift import ADWIN, PageHinkley  # type: ignore[import-not-found]  # as nannyml

    return {
        "river ADWIN": lambda windows, blocks: by_row(ADWIN, windows, blocks),
        "river Page-Hinkley": lambda windows, blocks: by_row(PageHinkley, windows, blocks),
        "NannyML": nannyml,
    }


def measure(seeds: int) -> list[Result]:
    """False alarms in the listed families, and the delay at a rise of 10 % in some."""
    results = []
    for name in LISTED:
        blocks = FAMILIES[name].blocks
        still = [losses(name, seed, QUIET, np.ones(QUIET)) for seed in range(seeds)]
        for peer, alarms in detectors().items():
            rate = 1000 * float(np.mean([alarms(windows, blocks) for windows in still]))
            results.append(figure(f"false alarms, {name}, {peer}", rate, "in 1,000 windows"))
    for name in DELAYED:
        blocks, rises = FAMILIES[name].blocks, np.concatenate([np.ones(WARM), abrupt(0.1, AFTER)])
        risen = [losses(name, seed, WARM + AFTER, rises) for seed in range(seeds)]
        for peer, alarms in detectors().items():
            delays = [_delay(alarms(windows, blocks)[WARM:]) for windows in risen]
            told = f"delay, +10%, {name}, {ROWS} rows, {peer}"
            results.append(figure(told, float(np.median(delays)), "windows"))
    return results


def _delay(alarms: list[bool]) -> float:
    """Windows until the first alarm, 999 for none."""
    return alarms.index(True) + 1.0 if True in alarms else 999.0


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        json.dump([asdict(result) for result in measure(int(sys.argv[1]))], sys.stdout)
