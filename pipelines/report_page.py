"""The report: one page of what became of a project, from the first epoch to today, that asks for nothing from outside.

Everything is drawn from what is inside the file; the sentence, the tables and the verdicts are there without its
script, too. Every text that comes from outside is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from itertools import groupby
from typing import Any

from pipelines.alerts import Alert
from pipelines.document import asset, document, rounded, symbol
from pipelines.figures import count, decimals_for, number
from pipelines.page import VersionCurve, month_name
from pipelines.report_alerts import alerts_section
from pipelines.report_columns import ColumnTable, embedded_columns, faulty
from pipelines.report_labels import LabelDay
from pipelines.report_windows import ALARMS, Life, Pending, ReportWindow
from pipelines.standing import MARKS, Standing, counted, day, mark_of, slices_of, span

MOST_WINDOWS = 5000  # in the chart; the newest
MOST_TOLD = 300  # verdicts with their reasons; quiet windows in a row are one
MOST_DAYS = 1500  # of labels
OUTCOMES = {
    "promoted": "retrained, let in",
    "refused": "retrained, refused",
    "open": "retraining asked for",
}
TURNS = {
    "first": "the first version serves",
    "promoted": "let in by the gate",
    "refused": "refused by the gate",
    "rolled back": "rolled back by hand",
    "by hand": "let in by hand",
}
_MILLISECONDS = 1000


@dataclass(frozen=True)
class ReportPage:
    """All that the page shows. columns: None where no window could be counted. pages: by number of a window, the
    address of Evidently's report beside the page. links: text and address of further pages. alerts: see
    `report_alerts`.
    """

    name: str
    written: datetime
    standing: Standing
    loss_name: str
    life: Life
    curves: tuple[VersionCurve, ...]
    columns: ColumnTable | None = None
    days: tuple[LabelDay, ...] = ()
    pages: Mapping[int, str] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    replayed: bool = False
    alerts: tuple[Alert, ...] = ()

    @property
    def windows(self) -> tuple[ReportWindow, ...]:
        """Those that the chart shows."""
        return self.life.windows[-MOST_WINDOWS:]


def render_report(page: ReportPage) -> str:
    """The page as text; the same record gives the same text."""
    decimals = _decimals(page)
    alerts, stand = alerts_section(page.alerts), any(alert.open for alert in page.alerts)
    sections = (
        alerts if stand else "",
        _chart(page, decimals),
        _columns(page),
        _verdicts(page, decimals),
        _slices(page, decimals),
        _labels(page),
        "" if stand else alerts,
        _months(page, decimals),
    )
    body = (
        asset("symbols.svg"),
        _head(page),
        "<main>",
        _today(page.standing),
        _tiles(page, decimals),
        *(section for section in sections if section),
        f"</main>\n<footer>{_footer(page)}</footer>",
    )
    return document(
        f"{page.name}: report",
        "\n".join(body),
        style=asset("page.css") + asset("report.css"),
        script=asset("chart.js") + asset("report.js"),
        data=_data(page, decimals),
    )


def _decimals(page: ReportPage) -> int:
    losses = [window.loss for window in page.windows]
    return decimals_for(
        losses if any(losses) else [loss for curve in page.curves for _, _, loss in curve.epochs]
    )


# --- the head ---


def _head(page: ReportPage) -> str:
    judged = bool(page.windows)
    parts = [("alerts", "Alerts", bool(page.alerts)), ("chart", "Loss", judged or bool(page.curves))]
    parts += [("columns", "Inputs", page.columns is not None)]
    parts += [("verdicts", "Verdicts", judged), ("slices", "Slices", _sliced(page))]
    parts += [("labels", "Labels", bool(page.days)), ("months", "Months", judged)]
    links = "".join(f'<a href="#{name}">{text}</a>' for name, text, there in parts if there)
    return (
        f"<header>\n<div><h1>{escape(page.name)}</h1>\n<p>{_subtitle(page)}</p></div>\n"
        f'<nav aria-label="On this page">{links}</nav>\n</header>'
    )


def _subtitle(page: ReportPage) -> str:
    written = f"{day(page.written, hours=True)} UTC"
    if not page.life.services:
        return f"as of {written}"
    service = page.life.services[-1]
    how = "replayed; " if page.replayed else ""
    return f"{how}version {service.version} serves since {day(service.since)} · as of {written}"


def _today(standing: Standing) -> str:
    command = f" <code>{escape(standing.command)}</code>" if standing.command else ""
    findings = "".join(f"<li>{symbol(one.kind)}{escape(one.text)}</li>" for one in standing.findings)
    listed = f'<ul class="findings">{findings}</ul>' if findings else ""
    return (
        f'<section class="card today {standing.kind}-edge" aria-label="Where it stands">'
        f'<p class="headline">{symbol(standing.kind)}{escape(standing.headline)}</p>'
        f'<p class="advice"><b>Next</b> {escape(standing.advice)}{command}</p>{listed}</section>'
    )


def _tiles(page: ReportPage, decimals: int) -> str:
    """Six figures; none before there is a window."""
    windows = page.life.windows
    if not windows:
        return ""
    newest = windows[-1]
    labelled, rows = sum(one.labelled for one in windows), sum(one.rows for one in windows)
    outcomes = [one.outcome for one in windows]
    tiles = [
        ("newest loss", number(newest.loss, decimals), _against_reference(page, decimals)),
        ("mean loss, by rows", number(_mean(windows), decimals), f"{count(rows)} rows"),
        ("windows judged", count(len(windows)), counted(sum(one.alarmed for one in windows), "alarm")),
        ("retrainings", count(sum(bool(one) for one in outcomes)), f"{outcomes.count('promoted')} let in"),
        ("rows with a label", _percent(labelled, rows), f"{count(labelled)} when judged"),
        ("columns moved now", count(len(newest.shifted)), f"of {_column_count(page)}"),
    ]
    items = "".join(
        f"<div><dt>{label}</dt><dd>{value}<small>{escape(note)}</small></dd></div>"
        for label, value, note in tiles
    )
    return f'<dl class="tiles">{items}</dl>'


def _column_count(page: ReportPage) -> str:
    return (
        MISSING_COUNT if page.columns is None else count(len(page.columns.names) + page.columns.left_out[0])
    )


MISSING_COUNT = "those that are kept"


def _against_reference(page: ReportPage, decimals: int) -> str:
    newest = page.life.windows[-1]
    before = [service for service in page.life.services if service.since < newest.known_at]
    loss = before[-1].loss if before else None
    return "" if loss is None else f"reference {number(loss, decimals)}"


def _mean(windows: Sequence[ReportWindow]) -> float | None:
    """Mean loss by labelled rows; None where no window has a loss."""
    pairs = [(one.loss, one.labelled) for one in windows if one.loss is not None and math.isfinite(one.loss)]
    rows = sum(weight for _, weight in pairs)
    return math.fsum(loss * weight for loss, weight in pairs) / rows if rows else None


def _percent(part: float, whole: float) -> str:
    """
    >>> _percent(1, 3), _percent(999, 1000), _percent(1, 0)
    ('33 %', '99.9 %', '–')
    """
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.1f} %" if 99 < share < 100 else f"{share:.0f} %"


# --- the chart ---


def _chart(page: ReportPage, decimals: int) -> str:
    curves = [curve for curve in page.curves if curve.epochs]
    if not page.windows and not curves:
        return ""
    left_out = len(page.life.windows) - len(page.windows)
    note = f'<p class="note">{counted(left_out, "older window")} not drawn.</p>' if left_out else ""
    return f"""<section class="card chart" id="chart" aria-labelledby="chart-title">
<div class="bar"><h2 id="chart-title">Loss, from the first epoch to today<small>{escape(page.loss_name)}</small></h2>
<div class="controls">{_picker(curves)}{_zoom(page)}\
<button type="button" id="log" aria-pressed="false">Log scale</button></div></div>
{_legend(page)}
<p class="reader" id="chart-text">{escape(description(page, decimals))}</p>
<div id="plot" {_role(page)} aria-describedby="chart-text"><noscript><p class="empty">The chart needs its script; the \
tables hold its numbers.</p></noscript></div>
{_marks(page)}{note}
<div id="readout"></div>
</section>"""


def _picker(curves: Sequence[VersionCurve]) -> str:
    if len(curves) < 2:
        return ""
    options = "".join(
        f'<option value="{place}">v{curve.version} · {escape(curve.kind)}</option>'
        for place, curve in enumerate(curves)
    )
    return f'<label>Training of <select id="curve">{options}</select></label>'


def _zoom(page: ReportPage) -> str:
    if len(page.windows) < 3:
        return ""
    return (
        '<span class="zoom" role="group" aria-label="Time shown">'
        '<button type="button" data-zoom="earlier" aria-label="earlier">←</button>'
        '<button type="button" data-zoom="out" aria-label="a longer time">−</button>'
        '<button type="button" data-zoom="in" aria-label="a shorter time">+</button>'
        '<button type="button" data-zoom="later" aria-label="later">→</button>'
        '<button type="button" data-zoom="all">All</button></span>'
    )


def _legend(page: ReportPage) -> str:
    """The lines that occur, with the value at the chosen window."""
    if not page.windows:
        return ""
    lines = [("served", "realised loss"), ("reference", "reference")]
    if page.life.pending or any(one.estimate is not None for one in page.windows):
        lines.insert(1, ("estimate", "estimated without labels"))
    items = "".join(
        f'<li data-line="{style}"><svg class="key {style}" viewBox="0 0 22 8" aria-hidden="true">'
        f'<path d="M0 4H22"/></svg>{text} <output></output></li>'
        for style, text in lines
    )
    return f'<ul class="legend lines"><li id="when"></li>{items}</ul>'


def _role(page: ReportPage) -> str:
    if not page.windows:
        return 'role="img" aria-label="Training curves"'
    return (
        'tabindex="0" role="slider" aria-label="Windows in service" aria-valuemin="1" '
        f'aria-valuemax="{len(page.windows)}" aria-valuenow="1" aria-valuetext="no window chosen"'
    )


def _marks(page: ReportPage) -> str:
    """The key of the marks that occur."""
    outcomes = {window.outcome for window in page.windows}
    found = [(mark, verdict) for mark, verdict in _kinds(page.windows) if mark != "quiet"]
    found += [(outcome, text) for outcome, text in OUTCOMES.items() if outcome in outcomes]
    found += [("undone", "version changed by hand")] if _by_hand(page.life) else []
    items = "".join(f"<li>{symbol(kind)}{text}</li>" for kind, text in found)
    return f'<ul class="marks" aria-label="Marks in the chart">{items}</ul>' if items else ""


def _by_hand(life: Life) -> bool:
    return any(turn.kind in ("rolled back", "by hand") for turn in life.turns)


def description(page: ReportPage, decimals: int) -> str:
    """The chart in words, for those who do not see it."""
    if not page.windows:
        return f"Training curves of {counted(len(page.curves), 'version')}; no window in service yet."
    first, last = page.windows[0], page.windows[-1]
    parts = [f"Line chart of the mean {page.loss_name} of {counted(len(page.windows), 'window')}"]
    parts[0] += f" from {day(first.start)} to {day(last.end)}; the newest {number(last.loss, decimals)}."
    turns = [f"Version {turn.version} {TURNS[turn.kind]} on {day(turn.at)}." for turn in page.life.turns[-6:]]
    keys = "Left and right choose a window, plus and minus zoom, 0 shows all, Enter keeps the window and its inputs."
    return " ".join([*parts, *turns, keys])


# --- columns ---


def _columns(page: ReportPage) -> str:
    table = page.columns
    if table is None or not table.names:
        return ""
    return f"""<section class="card" id="columns" aria-labelledby="columns-title">
<div class="bar"><h2 id="columns-title">Inputs, column by window<small>distance from the reference against what is \
allowed</small></h2><div class="controls"><label>Order <select id="order"><option value="far">furthest first</option>\
<option value="name">by name</option></select></label>\
<button type="button" id="more-columns" hidden></button></div></div>
<p class="reader" id="heat-text">A grid of {count(len(table.names))} columns by {count(len(table.windows))} windows. \
Arrow keys move in it, Enter shows the column's values in that window beside those of the reference.</p>
<div id="heat" tabindex="0" role="application" aria-roledescription="grid" aria-label="Columns by windows" \
aria-describedby="heat-text"></div>
<div id="heat-told" class="told" aria-live="polite"></div>
<div class="scale" aria-hidden="true"><span>at the reference</span><i class="ramp"></i><span>threshold</span>\
<i class="ramp over"></i><span>twice</span><i class="swatch fault"></i><span>broken feed</span></div>
<div id="detail" role="region" aria-label="Reference against window">
<div class="bar"><h3 id="detail-title">Reference against window</h3><div class="controls">
<label>Column <select id="column">{_options(table.names)}</select></label>
<span class="zoom" role="group" aria-label="Window shown">\
<button type="button" id="window-before" aria-label="the window before">←</button>\
<button type="button" id="window-after" aria-label="the next window">→</button></span></div></div>
<div id="shares"></div></div>
{_left_out(table)}<noscript><p class="empty">The map needs its script.</p></noscript>
</section>"""


def _options(names: Sequence[str]) -> str:
    return "".join(f'<option value="{k}">{escape(name[:60])}</option>' for k, name in enumerate(names))


def _left_out(table: ColumnTable) -> str:
    columns, windows = table.left_out
    parts = []
    if columns:
        parts.append(f"{counted(columns, 'further column')} that stayed nearer to the reference")
    if windows:
        parts.append(counted(windows, "older window"))
    return f'<p class="note">Not shown: {" and ".join(parts)}.</p>' if parts else ""


# --- verdicts ---


def _verdicts(page: ReportPage, decimals: int) -> str:
    if not page.life.windows:
        return ""
    newest_first = list(reversed(page.life.windows))
    groups = [list(group) for _, group in groupby(newest_first, key=_run)]
    told, left = groups[:MOST_TOLD], sum(len(group) for group in groups[MOST_TOLD:])
    items = "\n".join(
        _quiet_run(group, decimals) if _is_quiet(group[0]) else _verdict(group[0], page, decimals)
        for group in told
    )
    note = (
        f'<p class="note">{counted(left, "older window")} not listed; <code>losswatch report --json</code> \
lists all.</p>'
        if left
        else ""
    )
    return f"""<section class="card" id="verdicts" aria-labelledby="verdicts-title">
<div class="bar"><h2 id="verdicts-title">Verdicts, the newest first</h2></div>
<div class="filters" role="group" aria-label="Which verdicts">{_filters(newest_first)}</div>
<p class="reader" id="filtered" aria-live="polite"></p>
<ol class="verdicts">
{items}
</ol><p><button type="button" id="more-verdicts" class="more" hidden></button></p>{note}</section>"""


def _is_quiet(window: ReportWindow) -> bool:
    return window.verdict == "quiet" and not window.outcome


def _run(window: ReportWindow) -> int:
    """Quiet windows in a row are told together, all others each by itself."""
    return -1 if _is_quiet(window) else window.number


def _kinds(windows: Sequence[ReportWindow]) -> list[tuple[str, str]]:
    """The marks and words of the verdicts that occur."""
    there = {window.verdict for window in windows}
    known: list[tuple[str, str]] = [(mark, verdict) for verdict, mark in MARKS.items() if verdict in there]
    return known + [(mark_of(verdict), verdict) for verdict in sorted(there - set(MARKS))]


def _filters(windows: Sequence[ReportWindow]) -> str:
    kinds = _kinds(windows)
    counts = {verdict: sum(one.verdict == verdict for one in windows) for _, verdict in kinds}
    buttons = [
        f'<button type="button" aria-pressed="true" data-kind="all">All {count(len(windows))}</button>'
    ]
    buttons += [
        f'<button type="button" aria-pressed="false" data-kind="{escape(verdict)}">'
        f"{symbol(mark) if mark != 'quiet' else ''}{escape(verdict)} {count(counts[verdict])}</button>"
        for mark, verdict in kinds
    ]
    retrained = sum(bool(one.outcome) for one in windows)
    if retrained:
        buttons.append(
            f'<button type="button" aria-pressed="false" data-kind="retrained">retrained {count(retrained)}</button>'
        )
    return "".join(buttons)


def _quiet_run(group: Sequence[ReportWindow], decimals: int) -> str:
    losses = [one.loss for one in group if one.loss is not None]
    when = span(replace(group[0], start=group[-1].start))
    low, high = (number(fold(losses), decimals) for fold in (min, max)) if losses else ("", "")
    loss = f" · loss {low}" + (f" to {high}" if high != low else "") if losses else ""
    return (
        f'<li class="calm" data-kind="quiet" data-from="{group[-1].number}" data-to="{group[0].number}">'
        f"<time>{when}</time> {counted(len(group), 'quiet window')}{loss}</li>"
    )


def _verdict(window: ReportWindow, page: ReportPage, decimals: int) -> str:
    mark = mark_of(window.verdict)
    loss = "" if window.loss is None else f" · loss {number(window.loss, decimals)}"
    labelled = (
        "" if window.labelled >= window.rows else f", {_percent(window.labelled, window.rows)} labelled"
    )
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in window.reasons)
    reasons += "".join(f'<li class="gate">gate: {escape(reason)}</li>' for reason in window.gate)
    return (
        f'<li id="w{window.number}" data-kind="{escape(window.verdict)}"{" data-retrained" if window.outcome else ""} '
        f'data-from="{window.number}" data-to="{window.number}">'
        f"<h3>{symbol(mark)}<span>{escape(window.verdict)}</span> <time>{span(window)}</time></h3>"
        f"<p>window {window.number} · {count(window.rows)} rows{labelled}{loss} · v{window.version} · "
        f"{_done(window)}</p>"
        f"{f'<ul>{reasons}</ul>' if reasons else ''}{_explained(window)}{_evidence(window, page)}</li>"
    )


def _done(window: ReportWindow) -> str:
    if window.outcome == "promoted":
        return f"{symbol('promoted')}{escape(window.action)} → v{window.challenger}"
    if window.outcome == "refused":
        return f"{symbol('refused')}{escape(window.action)}, v{window.challenger} refused"
    return f"{symbol('open') if window.outcome else ''}{escape(window.action)}"


def _explained(window: ReportWindow) -> str:
    """What moved the loss, by column and by slice, as shares of the reference loss."""
    told = window.evidence.get("explanation") or {}
    reference = told.get("reference_loss")
    if not reference or not window.alarmed:
        return ""
    parts = [(one["name"], one["part"], _moved(one)) for one in told.get("columns", ())]
    parts.append(("rows like those before", told["within"], "a change of what the inputs mean"))
    within = told.get("slices", ()) if told.get("clear", True) else ()
    parts += [(f"in {one['name']}", one["part"], f"{100 * one['rows']:.0f} % of rows") for one in within[:3]]
    shares = [(str(name), part / abs(reference), note) for name, part, note in parts if part is not None]
    most = max((abs(share) for _, share, _ in shares), default=0.0)
    rows = "".join(_explaining(*one, most) for one in shares if abs(one[1]) >= 0.005)
    rise = f"{100 * (told['rise'] or 0) / abs(reference):+.0f} %".replace("-", "−")
    return (
        f'<table class="explained"><caption>What moved the loss by {rise}</caption>{rows}</table>'
        if rows
        else ""
    )


def _moved(one: Mapping[str, Any]) -> str:
    before, now = (100 * one[name] for name in ("share_before", "share_now"))
    return f"{one['cell']}: {before:.1f} % → {now:.1f} % of rows"


def _explaining(name: str, share: float, note: str, most: float) -> str:
    shape = f'<rect width="{100 * abs(share) / most:.1f}" height="8"/>'
    bar = f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{shape}</svg>'
    side, told = "less" if share < 0 else "more", f"{100 * share:+.0f} %".replace("-", "−")
    return (
        f'<tr><th scope="row">{escape(name[:60])}</th><td class="bar-cell {side}">{bar}</td><td class="n">{told}</td>'
        f"<td>{escape(note[:120])}</td></tr>"
    )


def _evidence(window: ReportWindow, page: ReportPage) -> str:
    """Ways on: to the columns that moved, and to Evidently's report."""
    names = list(dict.fromkeys((*faulty(window), *window.shifted)))
    shown = set(page.columns.names) if page.columns else set()
    links = "".join(
        f'<button type="button" class="go" data-column="{escape(name)}" data-window="{window.number}">'
        f"{escape(name[:40])}</button>"
        for name in names[:12]
        if name in shown
    )
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    ways = (f"<span>{links}{more}</span>" if links else "") + _evidently(window, page)
    return f'<p class="ways">{ways}</p>' if ways else ""


def _evidently(window: ReportWindow, page: ReportPage) -> str:
    if window.number in page.pages:
        return f'<a href="{escape(page.pages[window.number])}">Evidently’s report of this window</a>'
    return ""


# --- slices, labels, months ---


def _sliced(page: ReportPage) -> bool:
    return any(one.get("rows") for window in page.windows for one in slices_of(window))


def _slices(page: ReportPage, decimals: int) -> str:
    """The newest window that tells of slices, with the loss of each in the windows before."""
    told = [window for window in page.windows if any(one.get("rows") for one in slices_of(window))]
    if not told:
        return ""
    rows = "".join(_slice(one, told, decimals) for one in slices_of(told[-1]))
    return f"""<section class="card" id="slices" aria-labelledby="slices-title">
<h2 id="slices-title">Slices<small>{span(told[-1])}</small></h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="slices-title"><table>
<thead><tr><th scope="col">slice</th><th scope="col" class="n">rows</th><th scope="col" class="n">loss</th>\
<th scope="col" class="n">reference</th><th scope="col">so far</th><th scope="col"></th></tr></thead>
<tbody>{rows}</tbody></table></div></section>"""


def _slice(one: Mapping[str, Any], told: Sequence[ReportWindow], decimals: int) -> str:
    name = str(one.get("name"))
    past = [
        next((other.get("loss") for other in slices_of(window) if other.get("name") == name), None)
        for window in told[-60:]
    ]
    known = [float(loss) if isinstance(loss, int | float) else None for loss in past]
    raised = f"{symbol('harmful')}raised" if one.get("raised") else ""
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="n">{count(one.get("rows"))}</td>'
        f'<td class="n">{number(one.get("loss"), decimals)}</td>'
        f'<td class="n">{number(one.get("reference_loss"), decimals)}</td>'
        f"<td>{_spark(known)}</td><td>{raised}</td></tr>"
    )


def _spark(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return ""
    low, span_ = min(known), (max(known) - min(known)) or 1.0
    step = 100 / (len(values) - 1)
    points = " ".join(
        f"{k * step:.1f},{18 - 16 * (value - low) / span_:.1f}"
        for k, value in enumerate(values)
        if value is not None and math.isfinite(value)
    )
    return f'<svg class="spark" viewBox="0 0 100 20" aria-hidden="true"><polyline points="{points}"/></svg>'


def _labels(page: ReportPage) -> str:
    days = page.days
    if not days:
        return ""
    rows, labelled = sum(one.rows for one in days), sum(one.labelled for one in days)
    body = "".join(
        f'<tr><th scope="row">{escape(one.day)}</th><td class="n">{count(one.rows)}</td><td class="n">'
        f'{count(one.labelled)}</td><td class="n">{_percent(one.labelled, one.rows)}</td></tr>'
        for one in reversed(days[-60:])
    )
    return f"""<section class="card" id="labels" aria-labelledby="labels-title">
<h2 id="labels-title">Labels by day<small>{count(labelled)} of {count(rows)} rows have one today: \
{_percent(labelled, rows)}</small></h2>
<div id="coverage" role="img" aria-label="Rows scored and rows with a label, by day"></div>
<ul class="legend lines"><li><i class="swatch labelled"></i>with a label</li>\
<li><i class="swatch waiting"></i>without</li></ul>
<details><summary>The newest {min(len(days), 60)} days as a table</summary>
<div class="scroll tall" tabindex="0" role="region" aria-label="Labels by day"><table>
<thead><tr><th scope="col">day</th>\
<th scope="col" class="n">rows</th><th scope="col" class="n">labelled</th>\
<th scope="col" class="n">share</th></tr></thead>
<tbody>{body}</tbody></table></div></details></section>"""


def _months(page: ReportPage, decimals: int) -> str:
    """The windows by the month in which they begin."""
    groups: dict[str, list[ReportWindow]] = {}
    for window in page.life.windows:
        groups.setdefault(f"{window.start:%Y-%m}", []).append(window)
    if not groups:
        return ""
    rows = "".join(_month(month_name(month), group, decimals) for month, group in groups.items())
    return f"""<section class="card" id="months" aria-labelledby="months-title"><h2 id="months-title">By month</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="months-title"><table>
<thead><tr><th scope="col">month</th><th scope="col" class="n">rows</th><th scope="col" class="n">labelled</th>\
<th scope="col" class="n">mean loss</th><th scope="col" class="n">alarms</th><th scope="col" class="n">data faults</th>\
<th scope="col" class="n">retrainings</th></tr></thead>
<tbody>{rows}</tbody><tfoot>{_month("whole time", page.life.windows, decimals)}</tfoot></table></div></section>"""


def _month(name: str, group: Sequence[ReportWindow], decimals: int) -> str:
    rows, labelled = sum(one.rows for one in group), sum(one.labelled for one in group)
    cells = (
        count(rows),
        _percent(labelled, rows),
        number(_mean(group), decimals),
        count(sum(one.verdict in ALARMS for one in group)),
        count(sum(one.verdict == "data fault" for one in group)),
        count(sum(bool(one.outcome) for one in group)),
    )
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td class=n>{cell}</td>" for cell in cells)}</tr>\n'


def _footer(page: ReportPage) -> str:
    links = "".join(f'<br><a href="{escape(address)}">{escape(text)}</a>' for text, address in page.links)
    return (
        f"Written by losswatch on {page.written:%Y-%m-%d %H:%M} UTC from the log of {escape(page.name)}. Losses are "
        f"means over rows with a known target; times are UTC.{links}"
    )


# --- what the script draws ---


def _data(page: ReportPage, decimals: int) -> dict[str, object]:
    windows = page.windows
    return {
        "decimals": decimals,
        "hours": any(one.start.hour or one.start.minute for one in windows),
        "number": [one.number for one in windows],
        "start": [_time(one.start) for one in windows],
        "end": [_time(one.end) for one in windows],
        "rows": [one.rows for one in windows],
        "labelled": [one.labelled for one in windows],
        "loss": [rounded(one.loss) for one in windows],
        "version": [one.version for one in windows],
        "verdict": [mark_of(one.verdict) for one in windows],
        "words": (words := sorted({one.verdict for one in windows})),
        "word": [words.index(one.verdict) for one in windows],
        "action": [one.action for one in windows],
        "outcome": [one.outcome for one in windows],
        "challenger": [one.challenger for one in windows],
        "why": {
            str(one.number): one.reasons[0][:300] for one in windows if one.reasons and one.verdict != "quiet"
        },
        "estimate": _estimates(windows),
        "pending": [_pending(one) for one in page.life.pending] if windows else [],
        "services": [
            [one.version, _time(one.since), _time(one.until) if one.until else None, rounded(one.loss)]
            for one in page.life.services
        ],
        "turns": [[_time(one.at), one.kind, one.version, TURNS[one.kind]] for one in page.life.turns],
        "curves": [_curve(curve) for curve in page.curves if curve.epochs],
        "columns": embedded_columns(page.columns) if page.columns and page.columns.names else None,
        "days": [[one.day, one.rows, one.labelled] for one in page.days[-MOST_DAYS:]],
        "pages": {str(number): address for number, address in page.pages.items()},
        "command": f"losswatch report {'--replay ' if page.replayed else ''}--window ",
    }


def _time(moment: datetime) -> int:
    return round(moment.timestamp() * _MILLISECONDS)


def _curve(curve: VersionCurve) -> dict[str, object]:
    return {
        "version": curve.version,
        "kind": curve.kind,
        "epoch": [epoch for epoch, _, _ in curve.epochs],
        "training": [rounded(loss) for _, loss, _ in curve.epochs],
        "validation": [rounded(loss) for _, _, loss in curve.epochs],
    }


def _pending(one: Pending) -> list[object]:
    estimate = one.estimate
    figures = [rounded(value) for value in (estimate.loss, estimate.low, estimate.high)]
    return [_time(one.start), _time(one.end), *figures, estimate.trusted]


def _estimates(windows: Iterable[ReportWindow]) -> dict[str, list[Any]] | None:
    found = [window.estimate for window in windows]
    if not any(found):
        return None
    return {
        "loss": [one and rounded(one.loss) for one in found],
        "low": [one and rounded(one.low) for one in found],
        "high": [one and rounded(one.high) for one in found],
        "trusted": [bool(one and one.trusted) for one in found],
    }
