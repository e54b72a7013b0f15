"""The Evidently report: it says what the verdict says, whatever the columns hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from monitoring.bins import ColumnBins, reference_bins
from monitoring.profile import Profile, merge_all, profile
from monitoring.report import evidently_report
from monitoring.shift import ShiftThresholds, calibrate, compare, population_stability

Frame = dict[str, NDArray[Any]]


def rows(seed: int, count: int = 200) -> Frame:
    rng = np.random.default_rng(seed)
    return {
        "amount": rng.lognormal(size=count),
        "level": rng.choice(np.array(["a", "b", "<script>alert(1)</script>"], dtype=object), count),
        "constant": np.full(count, 1.0),
        "gone": np.full(count, np.nan),
        "score": rng.normal(size=count),
        "a < b": rng.normal(size=count),
        "a > b": rng.normal(size=count),
    }


WINDOWS = [rows(k) for k in range(12)]
BINS = reference_bins({name: np.concatenate([w[name] for w in WINDOWS]) for name in WINDOWS[0]})
BLOCKS = [profile(window, BINS) for window in WINDOWS]
REFERENCE = merge_all(BLOCKS)
THRESHOLDS = calibrate(BLOCKS)

slow = pytest.mark.slow  # Evidently takes 6 seconds to be imported


def broken() -> Frame:
    """A window in which every column has something that breaks Evidently when it is left to itself."""
    current = rows(50)
    current["amount"] = np.where(np.arange(200) < 20, np.inf, current["amount"])
    current["score"] = np.where(np.arange(200) < 60, "oops", current["score"].astype(object))
    current["level"] = np.full(200, None, dtype=object)
    current["constant"] = np.full(200, 1e308)
    del current["a > b"]
    return current


@slow
@pytest.mark.parametrize(
    "current", [rows(50), broken(), rows(50, 5), rows(50) | {"score": rows(51)["score"] + 2}]
)
def test_page_and_verdict_name_the_same_columns(current: Frame, tmp_path: Path) -> None:
    window = profile(current, BINS)
    report = evidently_report(REFERENCE, window, THRESHOLDS, tmp_path / "report.html")
    assert sorted(report.shifted) == sorted(compare(REFERENCE, window, THRESHOLDS).names)
    assert report.left_out == {}


@slow
def test_evidently_measures_our_distance(tmp_path: Path) -> None:
    import monitoring.report as module

    window = profile(broken(), BINS)
    _, distances = module._render(REFERENCE, window, BINS, THRESHOLDS.at(window.rows))
    ours = {column.name: column.distance for column in compare(REFERENCE, window, THRESHOLDS).columns}
    assert distances == pytest.approx(ours, abs=1e-9)


@slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_population_stability_equals_evidentlys(seed: int) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    rng = np.random.default_rng(seed)
    one, two = (pd.Series(rng.choice(list("abcd"), 300, p=rng.dirichlet(np.full(4, 5.0)))) for _ in range(2))
    definition = DataDefinition(categorical_columns=["x"], numerical_columns=[])
    data = [Dataset.from_pandas(pd.DataFrame({"x": s}), data_definition=definition) for s in (two, one)]
    theirs = Report([ValueDrift(column="x", method="psi")]).run(*data).dict()["metrics"][0]["value"]
    shares = [np.array([(series == level).mean() for level in "abcd"]) for series in (one, two)]
    ours = population_stability(shares[0], shares[1])
    assert ours == pytest.approx(theirs, rel=1e-9)


@slow
def test_nothing_in_the_data_becomes_markup_or_script(tmp_path: Path) -> None:
    page = evidently_report(REFERENCE, BLOCKS[0], THRESHOLDS, tmp_path / "r.html", title="<b>June</b>").path
    text = page.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "‹script›alert(1)" in text or "\\u2039script\\u203aalert(1)" in text
    assert "&lt;b&gt;June&lt;/b&gt;" in text


@slow
def test_the_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = evidently_report(REFERENCE, BLOCKS[0], THRESHOLDS, tmp_path / "r.html").path.read_text(
        encoding="utf-8"
    )
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(?:https?:)?//[^>]*>", page) == []


@pytest.mark.parametrize(
    ("reference", "current", "reason"),
    [
        (REFERENCE, profile(rows(50, 0), BINS), "the window has no rows"),
        (profile(rows(50, 0), BINS), REFERENCE, "the reference has no rows"),
    ],
)
def test_without_rows_there_is_a_page_that_says_so(
    reference: Profile, current: Profile, reason: str, tmp_path: Path
) -> None:
    report = evidently_report(reference, current, THRESHOLDS, tmp_path / "report.html")
    assert set(report.left_out.values()) == {reason}
    assert f"<li>a &lt; b: {reason}</li>" in report.path.read_text(encoding="utf-8")
    assert report.shifted == ()


def test_a_column_without_threshold_is_left_out(tmp_path: Path) -> None:
    none = ShiftThresholds(0.001, 12, ())
    report = evidently_report(REFERENCE, BLOCKS[0], none, tmp_path / "report.html")
    assert report.left_out == dict.fromkeys(REFERENCE.names, "it has no threshold")


def test_profiles_of_other_bins_are_refused(tmp_path: Path) -> None:
    other = profile({"x": np.zeros(3)}, [ColumnBins("x", "number")])
    with pytest.raises(ValueError, match="other bins"):
        evidently_report(REFERENCE, other, THRESHOLDS, tmp_path / "report.html")


@slow
def test_evidence_over_windows_names_columns_that_this_window_alone_would_not(tmp_path: Path) -> None:
    moved = profile(rows(50) | {"score": rows(51)["score"] + 2}, BINS)
    report = evidently_report(
        REFERENCE, moved, THRESHOLDS, tmp_path / "report.html", shifted=("amount", "level")
    )
    assert sorted(report.shifted) == ["amount", "level"]


def test_thresholds_are_moved_only_where_the_verdict_says_something_else() -> None:
    import monitoring.report as module

    window = profile(rows(50) | {"score": rows(51)["score"] + 2}, BINS)
    allowed = THRESHOLDS.at(window.rows)
    moved = module._as_named(REFERENCE, window, allowed, compare(REFERENCE, window, THRESHOLDS).names)
    assert moved == allowed
    named = module._as_named(REFERENCE, window, allowed, ("amount",))
    distances = {one.name: one.distance for one in compare(REFERENCE, window, THRESHOLDS).columns}
    assert [name for name, limit in named.items() if distances[name] >= limit] == ["amount"]
