"""Made lives of a project, for tests of what shows them: windows, verdicts with evidence, services, columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from monitoring.bins import reference_bins
from monitoring.profile import profile
from monitoring.shift import calibrate
from pipelines.alerts import Alert
from pipelines.page import VersionCurve
from pipelines.reference import Reference
from pipelines.report_columns import column_table
from pipelines.report_labels import LabelDay
from pipelines.report_page import ReportPage
from pipelines.report_windows import Life, ReportWindow, Stretch, Turn
from pipelines.standing import Circumstances, standing
from pipelines.window_counts import WindowCells, cells_of

START = datetime(2013, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)


def alert(number: int = 45, **more: Any) -> Alert:
    """An alert that stands since the window of a number."""
    since = START + number * DAY
    whole: dict[str, Any] = {
        "id": f"{number:010x}", "stage": 1, "kind": "harmful shift", "severity": "warning", "cause": "loss",
        "title": "bikes: harmful shift", "body": "loss 0.5 → 0.62", "next": "Wait for the gate",
        "links": {}, "since": since, "raised": since + DAY, "known_at": since + DAY, "weight": 0,
        "subjects": frozenset(), "receivers": (),
    }  # fmt: skip
    return Alert(**{**whole, **more})


def window(number: int, verdict: str = "quiet", **more: Any) -> ReportWindow:
    """A day of 500 rows, all labelled, with a loss of 0.5."""
    start = START + number * DAY
    whole: dict[str, Any] = {
        "number": number, "start": start, "end": start + DAY, "known_at": start + DAY, "rows": 500, "labelled": 500,
        "loss": 0.5, "version": 1, "verdict": verdict, "action": "keep", "reasons": (), "evidence": {},
    }  # fmt: skip
    return ReportWindow(**{**whole, **more})


def life(*windows: ReportWindow, **more: Any) -> Life:
    """A life in which version 1 serves from the start, against a loss of 0.5."""
    service = Stretch(1, START, None, 0.5)
    first = Turn(START, "first", 1, "ann", "the first version")
    return replace(Life(windows, (first,), (service,)), **more)


def moved(*names: str) -> dict[str, Any]:
    """Evidence that names columns as shifted."""
    return {"shifted": [{"name": name, "distance": 0.4, "threshold": 0.2} for name in names]}


def explained() -> dict[str, Any]:
    """Evidence of a harmful window with everything that a judgement may tell."""
    slices = [
        {"name": f"carrier = {name}", "column": "carrier", "rows": 100 + k, "loss": 0.5 + 0.1 * k,
         "reference_loss": 0.5, "evidence": 3.0, "named": k == 2, "raised": k == 2}
        for k, name in enumerate(("AA", "UA", "DL"))
    ]  # fmt: skip
    columns = [
        {
            "name": "wind",
            "part": 0.06,
            "cell": "above 9 of a name that goes on and on",
            "share_before": 0.05,
            "share_now": 0.4,
        }
    ]
    within = {"name": "carrier = DL", "column": "carrier", "part": 0.02, "rows": 0.2}
    told = {
        "reference_loss": 0.5,
        "rise": 0.1,
        "within": 0.03,
        "by_inputs": 0.07,
        "columns": columns,
        "slices": [within],
    }
    return moved("wind") | {
        "slices": {"slices": slices, "evidence": 900.0, "threshold": 500.0, "raised": True},
        "explanation": told,
        "estimate": {"loss": 0.58, "low": 0.52, "high": 0.64, "trusted": True, "reason": ""},
    }


def rows(rng: np.random.Generator, columns: int, count: int, shift: float = 0.0) -> dict[str, Any]:
    """Numbers named n0, n1, ... and one column of carriers; the first is moved by `shift` deviations."""
    made: dict[str, Any] = {
        f"n{k}": rng.normal(shift if k == 0 else 0.0, 1.0, count) for k in range(columns - 1)
    }
    return made | {"carrier": rng.choice(["AA", "UA", "DL"], count).astype(object)}


def reference(rng: np.random.Generator, columns: int) -> Reference:
    blocks = [rows(rng, columns, 500) for _ in range(20)]
    whole = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    bins = reference_bins(whole)
    return Reference(None, profile(whole, bins), calibrate([profile(block, bins) for block in blocks]))  # type: ignore[arg-type]


def made_page(windows: int = 60, columns: int = 6, seed: int = 0, **more: Any) -> ReportPage:
    """A project as it usually goes: quiet for long, a broken feed, a harmless shift, harm and a retraining."""
    rng = np.random.default_rng(seed)
    base = reference(rng, columns)
    names = [one.name for one in base.profile.bins]
    constant = f"{names[1]}: constant: 3 in all rows"
    faults = {"faults": [{"column": names[1], "text": constant}]}
    harmful = window(
        3 * windows // 4,
        "harmful shift",
        loss=0.62,
        action="update",
        challenger=2,
        promoted=True,
        reasons=("loss 0.5 → 0.62 (+24 %) over 500 labelled rows",),
        gate=("loss 0.62 → 0.51 on 400 rows",),
        evidence=explained() | moved("n0"),
    )
    fault, shift = windows // 4, windows // 2
    events: Mapping[int, ReportWindow] = {
        fault: window(fault, "data fault", action="fix data", reasons=(constant,), evidence=faults),
        shift: window(shift, "benign shift", reasons=("n0: distance 0.4 > 0.2",), evidence=moved("n0")),
        harmful.number: harmful,
    }
    made: list[ReportWindow] = []
    counts: dict[int, WindowCells] = {}
    for k in range(windows):
        loss = 0.5 + float(rng.normal(0, 0.02))
        made.append(events.get(k, window(k, loss=loss, labelled=500 - (k % 7) * 10, evidence=moved())))
        shifted = 2.0 if "n0" in made[-1].shifted else 0.0
        if k < 20 or shifted:
            counts[k] = cells_of(profile(rows(rng, columns, 500, shifted), base.profile.bins))
        else:  # alike, for the time that it would take
            counts[k] = counts[k % 9]
    changed = START + (3 * windows // 4 + 1) * DAY
    lived = Life(
        tuple(made),
        (
            Turn(START, "first", 1, "ann", "the first version"),
            Turn(changed, "promoted", 2, "losswatch", "better"),
        ),
        (Stretch(1, START, changed, 0.5), Stretch(2, changed, None, 0.51)),
    )
    curve = tuple((k, 0.7 - 0.02 * k, 0.69 - 0.015 * k) for k in range(10))
    days = tuple(LabelDay(str((START + k * DAY).date()), 500, 500 - (k % 7) * 20) for k in range(windows))
    page = ReportPage(
        name="rides",
        written=START + windows * DAY,
        standing=standing(Circumstances(lived, versions=2)),
        loss_name="binary_crossentropy",
        life=lived,
        curves=(
            VersionCurve(1, "fit", START.isoformat(), curve),
            VersionCurve(2, "update", changed.isoformat(), curve),
        ),
        columns=column_table(lived.windows, counts, {1: base}) if windows else None,
        days=days,
    )
    return replace(page, **more)
