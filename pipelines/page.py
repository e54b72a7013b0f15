"""The page: one file that shows the loss from the first epoch to the last window in service.

The page asks for nothing from outside: styles, script and numbers are inside it, and its content policy lets
nothing else run. Every text that comes from outside is escaped. The tables hold all that the chart shows, so
that it can be read without the script, on paper and by a screen reader.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from pipelines.document import asset, document, rounded, symbol, write_whole
from pipelines.figures import count, decimals_for, number

# the word in the records, and the short name of its mark in the page's symbols and styles
VERDICTS = {
    "quiet": "quiet",
    "not enough evidence": "thin",
    "benign shift": "benign",
    "harmful shift": "harmful",
    "concept change": "concept",
    "data fault": "fault",
}
# what became of a retraining, in words
OUTCOMES = {
    "promoted": "retrained, let in",
    "refused": "retrained, refused",
    "open": "retrained, not decided",
}
# key in a month, in the summary and in the script; heading; style of its line
SERIES = (
    ("loss", "losswatch", "served"),
    ("never", "never retrained", "never"),
    ("schedule", "fixed schedule", "schedule"),
    ("simple", "simple model", "simple"),
    ("constant", "base rate", "constant"),
)


@dataclass(frozen=True)
class VersionCurve:
    """The losses of one training: what `version` learned from, epoch by epoch.

    kind: "fit", "update", "refit"; at: ISO 8601; epochs: (epoch, training loss, validation loss), any of the
    losses `nan` where there is none.
    """

    version: int
    kind: str
    at: str
    epochs: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class PageWindow:
    """One window in service: its losses, what was judged, what was done.

    start, end: ISO 8601, half-open; a loss is None where no truth has arrived or nothing was compared.
    promoted: the version that this window's retraining let in; refused: its challenger was turned away.
    """

    start: str
    end: str
    rows: int
    loss: float | None
    loss_never: float | None
    loss_simple: float | None
    loss_constant: float | None
    loss_schedule: float | None
    version: int
    verdict: str
    action: str
    reasons: tuple[str, ...]
    promoted: int | None
    refused: bool

    def losses(self) -> dict[str, float | None]:
        """The window's losses by the keys of `SERIES`."""
        return {
            "loss": self.loss,
            "never": self.loss_never,
            "schedule": self.loss_schedule,
            "simple": self.loss_simple,
            "constant": self.loss_constant,
        }


@dataclass(frozen=True)
class Page:
    """All that the page shows.

    summary: loss, loss_never, retrainings, promotions, refusals, alarms, seconds, and loss_schedule,
    loss_simple, loss_constant where they are known. months: month ("2013-03" or any words), rows, loss,
    never, schedule, simple, constant, retrainings, alarms; what is None everywhere is not shown. links: text
    and address of what lies beside the page.
    """

    title: str
    subtitle: str
    loss_name: str
    windows: tuple[PageWindow, ...]
    curves: tuple[VersionCurve, ...]
    summary: Mapping[str, float | int | None]
    months: tuple[Mapping[str, object], ...]
    footer: str
    links: tuple[tuple[str, str], ...] = ()


def write_page(page: Page, path: Path) -> Path:
    """Write the page as one HTML file, whole or not at all."""
    return write_whole(render(page), path)


def render(page: Page) -> str:
    """The page as text; the same record gives the same text."""
    _check(page)
    decimals = decimals_for(loss for window in page.windows for loss in (window.loss, window.loss_never))
    means = period_means(page)
    sections = (
        _chart(page, means, decimals),
        _tiles(page, decimals),
        _months(page, means, decimals),
        _windows(page, decimals),
    )
    body = (
        asset("symbols.svg"),
        f"<header>\n<h1>{escape(page.title)}</h1>\n<p>{escape(page.subtitle)}</p>\n</header>\n<main>",
        *(section for section in sections if section),
        f"</main>\n<footer>{escape(page.footer)}{_links(page)}</footer>",
    )
    return document(
        page.title,
        "\n".join(body),
        style=asset("page.css"),
        script=asset("chart.js") + asset("page.js"),
        data=_data(page, means, decimals),
    )


def _check(page: Page) -> None:
    """A verdict without a mark would be drawn as if all were quiet."""
    for window in page.windows:
        if window.verdict not in VERDICTS:
            known = ", ".join(VERDICTS)
            raise ValueError(f'window {window.start}: verdict "{window.verdict}" is unknown; one of {known}')


def moment(text: str) -> datetime:
    """The UTC time of an ISO 8601 text; without a zone it is taken as UTC."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def date(text: str, *, hours: bool = False) -> str:
    """A time as people write it.

    >>> date("2013-03-04T00:00:00+00:00"), date("2013-03-04T06:30:00+00:00", hours=True)
    ('4 Mar 2013', '4 Mar 2013, 06:30')
    """
    time = moment(text)
    return f"{time.day} {time:%b %Y}" + (f", {time:%H:%M}" if hours else "")


def month_name(month: object) -> str:
    """A month as people write it; other words stay as they are.

    >>> month_name("2013-03"), month_name("all")
    ('Mar 2013', 'all')
    """
    try:
        return f"{datetime.strptime(str(month), '%Y-%m'):%b %Y}"
    except ValueError:
        return str(month)


def period_means(page: Page) -> dict[str, float | None]:
    """Mean loss of every series: the summary's where it has it, else over the windows by their rows."""
    means: dict[str, float | None] = {}
    for key, _, _ in SERIES:
        stated = page.summary.get("loss" if key == "loss" else f"loss_{key}")
        means[key] = stated if stated is not None else _mean(page.windows, key)
    return means


def _mean(windows: Sequence[PageWindow], key: str) -> float | None:
    pairs = [(loss, window.rows) for window in windows if (loss := window.losses()[key]) is not None]
    rows = sum(weight for _, weight in pairs)
    return math.fsum(loss * weight for loss, weight in pairs) / rows if rows else None


def _shown(page: Page) -> list[tuple[str, str, str]]:
    """The series that have a value in any window; the served loss always."""
    return [
        (key, heading, style)
        for key, heading, style in SERIES
        if key == "loss" or any(window.losses()[key] is not None for window in page.windows)
    ]


def _curves(page: Page) -> list[VersionCurve]:
    return [curve for curve in page.curves if curve.epochs]


def _data(page: Page, means: Mapping[str, float | None], decimals: int) -> dict[str, object]:
    """What the script draws: one list per series, as long as the list of windows."""
    windows = page.windows
    losses = [window.losses() for window in windows]
    return {
        "decimals": decimals,
        "hours": _with_hours(windows),
        "start": [int(moment(window.start).timestamp() * 1000) for window in windows],
        "end": [int(moment(window.end).timestamp() * 1000) for window in windows],
        "version": [window.version for window in windows],
        "verdict": [VERDICTS[window.verdict] for window in windows],
        "outcome": [_outcome(window) for window in windows],
        "series": {
            style: {"mean": rounded(means[key]), "values": [rounded(row[key]) for row in losses]}
            for key, _, style in _shown(page)
        },
        "curves": [
            {
                "version": curve.version,
                "epoch": [epoch for epoch, _, _ in curve.epochs],
                "training": [rounded(loss) for _, loss, _ in curve.epochs],
                "validation": [rounded(loss) for _, _, loss in curve.epochs],
            }
            for curve in _curves(page)
        ],
    }


def _outcome(window: PageWindow) -> str:
    """What became of a retraining: promoted, refused, open, or none took place."""
    if window.promoted is not None:
        return "promoted"
    if window.refused:
        return "refused"
    return "open" if window.action in ("update", "refit") else ""


def _with_hours(windows: Sequence[PageWindow]) -> bool:
    return any(time.hour or time.minute for time in (moment(window.start) for window in windows))


def _chart(page: Page, means: Mapping[str, float | None], decimals: int) -> str:
    if not page.windows and not _curves(page):
        return '<p class="card empty">No version was trained and no window judged yet.</p>'
    legend = "".join(
        f'<button type="button" aria-pressed="true" data-series="{style}"><svg class="key {style}" '
        f'viewBox="0 0 22 8" aria-hidden="true"><path d="M0 4H22"/></svg>{heading} '
        f"<output>{number(means[key], decimals)}</output></button>"
        for key, heading, style in _shown(page)
    )
    return f"""<section class="card chart" aria-labelledby="chart-title">
<div class="bar"><h2 id="chart-title">Loss, from the first epoch to the last window\
<small>{escape(page.loss_name)}</small></h2>
<div class="controls">{_picker(page)}\
<button type="button" id="log" aria-pressed="false">Log scale</button></div></div>
<div class="legend" role="group" aria-label="Series: press to hide or show">\
<span id="when">mean</span>{legend}</div>
<p class="reader" id="summary-text">{escape(description(page, means, decimals))}
Arrow keys move between windows. The table of windows below holds every number.</p>
<div id="plot" {_role(page)} aria-describedby="summary-text">
<noscript><p class="empty">The chart needs its script; the tables hold every number.</p></noscript></div>
{_marks(page)}
<div id="readout"></div>
</section>"""


def _links(page: Page) -> str:
    return "".join(f'<br><a href="{escape(address)}">{escape(text)}</a>' for text, address in page.links)


def _role(page: Page) -> str:
    """The chart as a screen reader meets it: a slider over the windows, or a picture where there are none."""
    if not page.windows:
        return 'role="img" aria-label="Training curves"'
    return (
        'tabindex="0" role="slider" aria-label="Windows in service" aria-valuemin="1" '
        f'aria-valuemax="{len(page.windows)}" aria-valuenow="1" aria-valuetext="no window chosen"'
    )


def _picker(page: Page) -> str:
    """A choice of the training to show beside the windows, where there is more than one."""
    curves = _curves(page)
    if len(curves) < 2:
        return ""
    options = "".join(
        f'<option value="{place}">v{curve.version} · {escape(curve.kind)} · {date(curve.at)}</option>'
        for place, curve in enumerate(curves)
    )
    return f'<label>Training of <select id="curve">{options}</select></label>'


def _marks(page: Page) -> str:
    """The key of the marks that occur."""
    verdicts = {window.verdict for window in page.windows}
    outcomes = {_outcome(window) for window in page.windows}
    marks = [(name, verdict) for verdict, name in VERDICTS.items() if verdict in verdicts and name != "quiet"]
    marks += [(outcome, text) for outcome, text in OUTCOMES.items() if outcome in outcomes]
    if not marks:
        return ""
    items = "".join(f"<li>{symbol(name)}{text}</li>" for name, text in marks)
    return f'<ul class="marks" aria-label="Marks in the chart">{items}</ul>'


def description(page: Page, means: Mapping[str, float | None], decimals: int) -> str:
    """The chart in words, for those who do not see it."""
    if not page.windows:
        return f"Training curves, {len(_curves(page))} in all; no window in service yet."
    first, last = page.windows[0], page.windows[-1]
    parts = [
        f"Line chart of the mean {page.loss_name} in {len(page.windows)} windows "
        f"from {date(first.start)} to {date(last.end)}.",
        f"Mean served {number(means['loss'], decimals)}{_never(means, decimals)}.",
    ]
    known = [window for window in page.windows if window.loss is not None and math.isfinite(window.loss)]
    if known:
        worst = max(known, key=lambda window: window.loss or 0.0)
        parts.append(f"Highest served {number(worst.loss, decimals)} on {date(worst.start)}.")
    promoted = [window for window in page.windows if window.promoted is not None]
    parts += [f"Version {window.promoted} let in after {date(window.start)}." for window in promoted]
    return " ".join(parts)


def _never(means: Mapping[str, float | None], decimals: int) -> str:
    never = means["never"]
    return "" if never is None else f", never retrained {number(never, decimals)}"


def _tiles(page: Page, decimals: int) -> str:
    """The figures of the whole period."""
    served, never = page.summary.get("loss"), page.summary.get("loss_never")
    tiles = [("mean loss served", number(served, decimals), _against(served, never), "served")]
    if never is not None:
        tiles.append(("never retrained", number(never, decimals), "", ""))
    counted = {key: page.summary.get(key) for key in ("retrainings", "promotions", "refusals", "alarms")}
    tiles += [(key, count(value), "", "") for key, value in counted.items() if value is not None]
    seconds = page.summary.get("seconds")
    if seconds is not None:
        tiles.append(("time taken", _duration(float(seconds)), "", ""))
    items = "".join(
        f'<div class="{style}"><dt>{label}</dt><dd>{value}<small>{note}</small></dd></div>'
        for label, value, note, style in tiles
    )
    return f'<dl class="tiles">{items}</dl>'


def _against(served: float | None, never: float | None) -> str:
    """How far the served loss lies from the one never retrained.

    >>> _against(0.502, 0.596), _against(0.502, 0.5), _against(0.5, None)
    ('16 % below never', '0.4 % above never', '')
    """
    if served is None or never is None or not never > 0 or not math.isfinite(served / never):
        return ""
    change = 100 * (served / never - 1)
    return f"{abs(change):.{0 if abs(change) >= 1 else 1}f} % {'below' if change < 0 else 'above'} never"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"


def _months(page: Page, means: Mapping[str, float | None], decimals: int) -> str:
    """The table by month; columns without any value are left out."""
    if not page.months:
        return ""
    columns = [("rows", "rows"), *((key, heading) for key, heading, _ in SERIES)]
    columns += [("retrainings", "retrainings"), ("alarms", "alarms")]
    columns = [column for column in columns if any(month.get(column[0]) is not None for month in page.months)]
    head = "".join(f'<th scope="col" class="n">{heading}</th>' for _, heading in columns)
    keys = [key for key, _ in columns]
    rows = sum(window.rows for window in page.windows)
    whole = {**page.summary, **means, "rows": rows, "month": "whole period"}
    return f"""<section class="card" aria-labelledby="months-title"><h2 id="months-title">By month</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="months-title"><table id="months">
<thead><tr><th scope="col">month</th>{head}</tr></thead>
<tbody>
{"".join(_month(month, keys, decimals) for month in page.months)}</tbody>
<tfoot>{_month(whole, keys, decimals)}</tfoot></table></div></section>"""


def _month(month: Mapping[str, object], keys: Iterable[str], decimals: int) -> str:
    losses = {key for key, _, _ in SERIES}
    cells = (
        f'<td class="n{" served" if key == "loss" else ""}">'
        f"{number(month.get(key), decimals) if key in losses else count(month.get(key))}</td>"
        for key in keys
    )
    return f'<tr><th scope="row">{escape(month_name(month.get("month")))}</th>{"".join(cells)}</tr>\n'


def _windows(page: Page, decimals: int) -> str:
    """The table of windows; the script finds a window's row by its place."""
    if not page.windows:
        return ""
    hours = _with_hours(page.windows)
    never = any(window.loss_never is not None for window in page.windows)
    body = "\n".join(_window(window, decimals, hours=hours, never=never) for window in page.windows)
    return f"""<section class="card" aria-labelledby="windows-title">
<div class="bar"><h2 id="windows-title">By window</h2><div class="controls">\
<button type="button" id="marked" aria-pressed="false">Only what stands out</button></div></div>
<div class="scroll tall" tabindex="0" role="region" aria-labelledby="windows-title"><table id="windows">
<thead><tr><th scope="col">start</th><th scope="col" class="n">rows</th>\
<th scope="col" class="n">losswatch</th>{'<th scope="col" class="n">never</th>' if never else ""}\
<th scope="col">version</th><th scope="col">verdict</th><th scope="col">action</th>\
<th scope="col">reasons</th></tr></thead>
<tbody>
{body}
</tbody></table></div></section>"""


def _window(window: PageWindow, decimals: int, *, hours: bool, never: bool) -> str:
    name = VERDICTS[window.verdict]
    cells = [
        f'<th scope="row">{date(window.start, hours=hours)}</th>',
        f'<td class="n">{count(window.rows)}</td>',
        f'<td class="n served">{number(window.loss, decimals)}</td>',
        f'<td class="n">{number(window.loss_never, decimals)}</td>' if never else "",
        f"<td>v{window.version}</td>",
        f"<td>{symbol(name) if name != 'quiet' else ''}{escape(window.verdict)}</td>",
        f"<td>{_action(window)}</td>",
        f"<td>{'<br>'.join(escape(reason) for reason in window.reasons)}</td>",
    ]
    return f"<tr{' class=q' if name == 'quiet' and not _outcome(window) else ''}>{''.join(cells)}</tr>"


def _action(window: PageWindow) -> str:
    """What was done, and what came of it."""
    outcome = _outcome(window)
    if outcome == "promoted":
        return f"{symbol(outcome)}{escape(window.action)} → v{window.promoted}"
    if outcome == "refused":
        return f"{symbol(outcome)}{escape(window.action)}, refused"
    return f"{symbol(outcome) if outcome else ''}{escape(window.action)}"
