"""The drift report that people know, Evidently's, made to say what our verdict says.

Left to itself it picks a test by the size of the reference, and a column without values, an empty window or one
text among numbers loses the whole report. Here it gets what the verdict saw: each row's cell in each column.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitoring.bins import ColumnBins
from monitoring.profile import ColumnProfile, Profile
from monitoring.shift import ShiftThresholds, jensen_shannon

if TYPE_CHECKING:
    import pandas as pd

# Evidently writes a level into its script as it is
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "&": "＆"})


_MARGIN = 1e-6  # Evidently rounds a distance differently in its last digits


@dataclass(frozen=True)
class EvidentlyReport:
    """What Evidently's page says.

    shifted: the columns that it calls drifted. left_out: by column, why it is not on the page.
    """

    path: Path
    shifted: tuple[str, ...]
    left_out: Mapping[str, str]


def evidently_report(
    reference: Profile,
    current: Profile,
    thresholds: ShiftThresholds,
    path: Path,
    *,
    title: str = "Inputs against the reference",
    shifted: Collection[str] | None = None,
) -> EvidentlyReport:
    """Write Evidently's drift report of a window to `path`, one HTML file of about 4 MB without remote parts.

    Each column is shown by the cells it was counted into, with a cell for missing and one for invalid values; the
    method is the Jensen-Shannon distance and the threshold is ours at this number of rows, so that page and
    verdict agree. shifted: the columns that the verdict names, where it did not judge this window by itself: their
    thresholds are lowered to just below their distances, those of the others raised above them. A column that cannot
    be shown is left out, and the page says why.
    """
    if reference.bins != current.bins:
        raise ValueError("the profiles were counted into other bins; count both against one reference's")
    left_out = _left_out(reference, current, thresholds)
    shown = [bins for bins in current.bins if bins.name not in left_out]
    allowed = {name: limit for name, limit in thresholds.at(current.rows).items() if name not in left_out}
    if shifted is not None:
        allowed = _as_named(reference, current, allowed, shifted)
    page, distances = _render(reference, current, shown, allowed) if shown else (_EMPTY, {})
    path.write_text(_with_note(page, title, current, left_out), encoding="utf-8")
    shifted = tuple(name for name, distance in distances.items() if distance >= allowed[name])
    return EvidentlyReport(path, shifted, left_out)


def _as_named(
    reference: Profile, current: Profile, allowed: Mapping[str, float], shifted: Collection[str]
) -> dict[str, float]:
    """Thresholds by which just the columns in `shifted` lie beyond; where ours says so already, ours."""
    found = {}
    for name, limit in allowed.items():
        distance = float(jensen_shannon(reference.column(name).shares, current.column(name).shares))
        beyond = distance > limit
        if (name in shifted) == beyond:
            found[name] = limit
        else:
            found[name] = max(distance * (1 - _MARGIN), _MARGIN) if name in shifted else distance + _MARGIN
    return found


_EMPTY = "<!DOCTYPE html>\n<html lang='en'><head><meta charset='UTF-8'></head><body></body></html>"


def _left_out(reference: Profile, current: Profile, thresholds: ShiftThresholds) -> dict[str, str]:
    known = {column.name for column in thresholds.columns}
    reasons = {}
    for name in current.names:
        if not reference.rows:
            reasons[name] = "the reference has no rows"
        elif not current.rows:
            reasons[name] = "the window has no rows"
        elif name not in known:
            reasons[name] = "it has no threshold"
    return reasons


def _render(
    reference: Profile, current: Profile, shown: Sequence[ColumnBins], allowed: Mapping[str, float]
) -> tuple[str, dict[str, float]]:
    """The page, and by column the distance that it shows."""
    names = _harmless_names([bins.name for bins in shown])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently uses names that numpy and pandas are about to drop
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(categorical_columns=list(names.values()), numerical_columns=[])
        data = [
            Dataset.from_pandas(_cells(rows, names), data_definition=definition)
            for rows in (current, reference)
        ]
        preset = DataDriftPreset(
            columns=list(names.values()),
            drift_share=0.5 / len(names),  # one column is enough, as in the verdict
            per_column_method=dict.fromkeys(names.values(), "jensenshannon"),
            per_column_threshold={names[name]: limit for name, limit in allowed.items()},
        )
        snapshot = Report([preset], include_tests=True).run(*data)
        return snapshot.get_html_str(as_iframe=False), _distances(snapshot.dict(), names)


def _distances(snapshot: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    values = {
        metric["config"]["column"]: float(metric["value"])
        for metric in snapshot["metrics"]
        if metric["metric_name"].startswith("ValueDrift(")
    }
    return {name: values[harmless] for name, harmless in names.items()}


def _cells(rows: Profile, names: Mapping[str, str]) -> pd.DataFrame:
    """A frame with as many rows as were counted, whose values are the cells; the order of rows is lost."""
    import pandas as pd

    return pd.DataFrame({harmless: _column_cells(rows.column(name)) for name, harmless in names.items()})


def _column_cells(column: ColumnProfile) -> Any:
    labels = (*column.bins.labels, "invalid")
    digits = len(str(len(labels)))
    numbered = [f"{k + 1:0{digits}d} · {_harmless(label)}" for k, label in enumerate(labels)]
    return np.repeat(np.array(numbered, dtype=object), (*column.counts, column.invalid))


def _harmless(text: str) -> str:
    """The text without what a page or a script could take for markup."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.translate(_HARMLESS))


def _harmless_names(names: Sequence[str]) -> dict[str, str]:
    """By name, the name to be shown; different names stay different."""
    shown: dict[str, str] = {}
    for name in names:
        harmless = _harmless(name)
        taken = set(shown.values())
        while harmless in taken:
            harmless += " (another)"
        shown[name] = harmless
    return shown


def _with_note(page: str, title: str, current: Profile, left_out: Mapping[str, str]) -> str:
    lines = [f"<h1>{escape(title)}</h1>", f"<p>{current.rows:,} rows.</p>"]
    if left_out:
        items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in left_out.items())
        lines.append(f"<p>Not shown:</p><ul>{items}</ul>")
    note = "<div style='font-family: sans-serif; margin: 1em'>" + "".join(lines) + "</div>"
    start = page.index(">", page.index("<body")) + 1
    return page[:start] + note + page[start:]
