"""The page of a training: its curve to move over and to zoom into, its other figures, and every number in a table."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.learning_curve import LearningCurve
from models.wording import in_words
from pipelines.curve_view import CurveView, EpochLine, Spike, StepLine
from pipelines.document import asset, document, rounded, write_whole
from pipelines.figures import count, decimals_for, number
from pipelines.kept_curve import KeptCurve

LEVELS = ("constant", "simple", "trees")  # styles of what was learned without a network, in this order


def write_curve_page(kept: KeptCurve, path: Path, *, rates: str | None = None) -> Path:
    """Writes the page as one HTML file, whole or not at all. rates: picture of a rate range, as SVG."""
    return write_whole(render(kept, rates=rates), path)


def render(kept: KeptCurve, *, rates: str | None = None) -> str:
    """The page as text; the same curve gives the same text."""
    view = CurveView(kept)
    decimals = decimals_for([*view.loss.training, *view.loss.validation])
    parts = (
        f"<header>\n<h1>{escape(kept.title)}</h1>\n<p>{escape(view.summary)}</p>\n</header>\n<main>",
        _diagnosis(kept),
        _chart(view, decimals),
        _tiles(view, decimals),
        _small_chart("metrics", "Other figures, by epochs", [line.name for line in view.metrics]),
        _by_rows(kept),
        _rates(rates),
        _table(view, decimals),
        f"</main>\n<footer>{escape(_footer(kept))}</footer>",
    )
    return document(
        kept.title,
        "\n".join(part for part in parts if part),
        style=asset("page.css") + asset("curve.css"),
        script=asset("chart.js") + asset("curve.js"),
        data=page_data(view, decimals),
    )


def page_data(view: CurveView, decimals: int) -> dict[str, Any]:
    """What the script draws: lists of one length for the epochs, and of another for the steps."""
    return {
        "decimals": decimals,
        "logarithmic": view.logarithmic,
        "epochs": view.epochs.tolist(),
        "training": _numbers(view.loss.training),
        "validation": _numbers(view.loss.validation),
        "rate": _numbers(view.learning_rate),
        "steps": _step_line(view.steps),
        "gradients": _step_line(view.gradients),
        "count": len(view.kept.steps),
        "spikes": [_spike(spike) for spike in view.spikes],
        "gradient_spikes": [_spike(spike) for spike in view.gradient_spikes],
        "levels": [
            {"name": name, "loss": rounded(loss), "style": style}
            for (name, loss), style in zip(view.levels, LEVELS * len(view.levels), strict=False)
        ],
        "best": {"epoch": view.best[0], "loss": rounded(view.best[1])} if view.best else None,
        "starts": [_numbers(losses) for losses in view.other_starts],
        "metrics": [_metric(line) for line in view.metrics],
        "curves": [_learning_curve(curve) for curve in view.kept.learning_curves],
    }


# --- what the script reads ---


def _numbers(values: NDArray[Any]) -> list[float | None]:
    return [rounded(value) for value in values.tolist()]


def _step_line(line: StepLine | None) -> dict[str, Any] | None:
    if line is None:
        return None
    found: dict[str, Any] = {name: _numbers(getattr(line, name)) for name in ("low", "high", "smooth")}
    return {"x": [round(place, 4) for place in line.x.tolist()], "size": line.size, **found}


def _spike(spike: Spike) -> dict[str, float | None]:
    return {
        "step": spike.step,
        "x": round(spike.x, 4),
        "value": rounded(spike.value),
        "around": rounded(spike.around),
    }


def _metric(line: EpochLine) -> dict[str, Any]:
    return {
        "name": line.name,
        "training": _numbers(line.training),
        "validation": _numbers(line.validation),
    }


def _learning_curve(curve: LearningCurve) -> dict[str, Any]:
    columns = ("rows", "seen", "unseen", "lowest", "highest")
    return {"name": in_words(curve.metric)} | {
        column: [rounded(getattr(point, column)) for point in curve.points] for column in columns
    }


# --- sections ---


def _diagnosis(kept: KeptCurve) -> str:
    """What the curve shows, in words; of a training that nothing came of, why."""
    found = kept.record.diagnosis
    kind = found.kind if found else "failed" if kept.failure else "not judged"
    style = {"healthy": "good", "not judged": "quiet"}.get(kind, "bad")
    findings = "".join(_finding(one) for one in found.findings) if found else ""
    return (
        '<section class="card diagnosis" aria-labelledby="diagnosis-title"><h2 id="diagnosis-title">Diagnosis '
        f'<span class="kind {style}">{escape(kind)}</span></h2>{_said(kept)}{findings}</section>'
    )


def _said(kept: KeptCurve) -> str:
    """What stands above the findings, or in their place."""
    found = kept.record.diagnosis
    lines = kept.failure.splitlines() if kept.failure else list(found.lines) if found else []
    if found and found.findings:
        remarks = [line for line in found.lines if line.startswith("  ")]
        lines = lines[:1] if kept.failure else []
        lines += [line for line in remarks if not line.startswith(("  likely:", "  try:"))]
    if not lines and not (found and found.findings):
        lines = ["Nothing was noted of what this curve shows; a retraining is judged by the gate."]
    return f"<p>{'<br>'.join(escape(line.strip()) for line in lines)}</p>" if lines else ""


def _finding(finding: Mapping[str, Any]) -> str:
    causes = "; or ".join(finding["causes"])
    remedies = "".join(f"<li>{escape(remedy)}</li>" for remedy in finding["remedies"])
    tried = f"<dt>try, one at a time</dt><dd><ol>{remedies}</ol></dd>" if remedies else ""
    return (
        f"<h3>{escape(finding['kind'])}</h3><dl><dt>evidence</dt><dd>{escape(finding['evidence'])}</dd>"
        f"<dt>likely</dt><dd>{escape(causes)}</dd>{tried}</dl>"
    )


def _chart(view: CurveView, decimals: int) -> str:
    if not len(view.epochs) and view.steps is None:
        return '<p class="card empty">No step of this training is known.</p>'
    first, last = (view.epochs[0], view.epochs[-1]) if len(view.epochs) else (0, 0)
    return f"""<section class="card chart" aria-labelledby="chart-title">
<div class="bar"><h2 id="chart-title">Loss<small>{escape(view.loss.name)}</small></h2>
<div class="controls"><button type="button" id="log" aria-pressed="false">Log scale</button>\
<button type="button" id="closer" aria-label="Zoom in" title="Zoom in (+)">+</button>\
<button type="button" id="wider" aria-label="Zoom out" title="Zoom out (−)">−</button>\
<button type="button" id="whole" title="The whole training (0)">Whole</button></div></div>
<div class="legend" role="group" aria-label="Lines: press to hide or show"><span id="when">kept</span>\
{"".join(_legend(view, decimals))}</div>
<p class="reader" id="summary-text">{escape(description(view, decimals))} Arrow keys move between epochs, with \
Shift between steps; plus and minus zoom. The table below holds the numbers of every epoch.</p>
<div id="plot" tabindex="0" role="slider" aria-label="Epochs" aria-valuemin="{first}" aria-valuemax="{last}" \
aria-valuenow="{last}" aria-valuetext="no epoch chosen" aria-describedby="summary-text">
<noscript><p class="empty">The chart needs its script; the table holds every number.</p></noscript></div>
<div id="readout"></div>
</section>"""


def _legend(view: CurveView, decimals: int) -> Iterable[str]:
    names = {"raw": "steps", "steps": "steps, smoothed"} if view.steps is not None else {}
    training = "training, by epoch" if view.steps is not None else "training"
    names |= {"training": training} if np.isfinite(view.loss.training).any() else {}
    names |= {"validation": "validation"} if np.isfinite(view.loss.validation).any() else {}
    names |= {"starts": "other starts"} if view.other_starts else {}
    for style, name in names.items():
        yield _legend_entry(style, style, name, "")
    for (name, loss), style in zip(view.levels, LEVELS * len(view.levels), strict=False):
        yield _legend_entry(f"level-{name}", f"level {style}", name, number(loss, decimals))


def _legend_entry(key: str, style: str, name: str, value: str) -> str:
    return (
        f'<button type="button" aria-pressed="true" data-line="{escape(key)}"><svg class="key {style}" '
        f'viewBox="0 0 22 8" aria-hidden="true"><path d="M0 4H22"/></svg>{escape(name)} '
        f"<output>{value}</output></button>"
    )


def description(view: CurveView, decimals: int) -> str:
    """The chart in words, for those who do not see it."""
    parts = [f"{view.kept.title}. {view.summary}."]
    for name, values in (("Training", view.loss.training), ("Validation", view.loss.validation)):
        known = values[np.isfinite(values)]
        if len(known):
            parts.append(f"{name} loss from {number(known[0], decimals)} to {number(known[-1], decimals)}.")
    if view.best is not None:
        parts.append(f"Kept is epoch {view.best[0]} with {number(view.best[1], decimals)}.")
    parts += [f"{name[0].upper()}{name[1:]}: {number(loss, decimals)}." for name, loss in view.levels]
    parts += [f"{len(view.spikes)} spikes."] if view.spikes else []
    return " ".join(parts)


def _tiles(view: CurveView, decimals: int) -> str:
    """The figures of the training as a whole."""
    tiles = [("loss of the kept epoch", number(view.best[1], decimals), "served")] if view.best else []
    tiles += [(name, number(loss, decimals), "") for name, loss in view.levels]
    trained = [epoch for epoch in view.kept.epochs if epoch.epoch >= 0]
    tiles += [("epochs", count(len(trained)), "")]
    tiles += [("steps", count(len(view.kept.steps)), "")] if len(view.kept.steps) else []
    seconds = math.fsum(epoch.seconds for epoch in trained if math.isfinite(epoch.seconds))
    tiles += [("time of the epochs", f"{seconds:,.1f} s" if seconds < 100 else f"{seconds:,.0f} s", "")]
    items = "".join(
        f'<div class="{style}"><dt>{escape(label)}</dt><dd>{value}</dd></div>'
        for label, value, style in tiles
    )
    return f'<dl class="tiles">{items}</dl>'


def _small_chart(name: str, title: str, lines: list[str], said: str = "") -> str:
    """A chart of one figure at a time, with a choice among them."""
    if not lines:
        return ""
    options = "".join(f'<option value="{place}">{escape(line)}</option>' for place, line in enumerate(lines))
    return f"""<section class="card" aria-labelledby="{name}-title">
<div class="bar"><h2 id="{name}-title">{title}</h2><div class="controls"><label>Figure \
<select id="{name}-choice">{options}</select></label></div></div>{said}
<div id="{name}-plot" class="small-plot" tabindex="0" role="slider" aria-label="{title}" aria-valuemin="1" \
aria-valuemax="1" aria-valuenow="1" aria-valuetext="nothing chosen"></div>
<p id="{name}-readout" class="hint"></p></section>"""


def _by_rows(kept: KeptCurve) -> str:
    curves = [in_words(curve.metric) for curve in kept.learning_curves]
    verdicts = "".join(f"<li>{escape(verdict)}</li>" for verdict in kept.verdicts)
    return _small_chart("rows", "By the rows that are learned from", curves, f"<ul>{verdicts}</ul>")


def _rates(picture: str | None) -> str:
    if picture is None:
        return ""
    source = base64.b64encode(picture.encode()).decode()
    return (
        '<section class="card" aria-labelledby="rates-title"><h2 id="rates-title">By learning rate</h2>'
        '<p class="hint">The range test of <code>losswatch rates</code>: one short training through all rates.</p>'
        f'<img class="wide" alt="Loss by learning rate" src="data:image/svg+xml;base64,{source}"></section>'
    )


def _table(view: CurveView, decimals: int) -> str:
    """Every epoch with all that is known of it; the script marks a row by its place."""
    if not len(view.epochs):
        return ""
    heads = ["training", "validation", "learning rate", "gradient", *_metric_heads(view), "seconds"]
    head = "".join(f'<th scope="col" class="n">{escape(name)}</th>' for name in heads)
    body = "\n".join(_row(view, place, decimals) for place in range(len(view.epochs)))
    return f"""<section class="card" aria-labelledby="epochs-title"><h2 id="epochs-title">By epoch</h2>
<div class="scroll tall" tabindex="0" role="region" aria-labelledby="epochs-title"><table id="epochs">
<thead><tr><th scope="col">epoch</th>{head}</tr></thead>
<tbody>
{body}
</tbody></table></div></section>"""


def _metric_heads(view: CurveView) -> list[str]:
    return [name for line in view.metrics for name in (line.name, f"{line.name}, validation")]


def _row(view: CurveView, place: int, decimals: int) -> str:
    epoch, kept = view.kept.epochs[place], view.best is not None and view.best[0] == view.epochs[place]
    norms = view.kept.steps.gradient_norm[view.kept.steps.epoch == epoch.epoch]
    norms = norms[np.isfinite(norms)]
    figures = [line for one in view.metrics for line in (one.training[place], one.validation[place])]
    cells = [
        number(epoch.loss, decimals),
        number(epoch.validation_loss, decimals),
        _short(epoch.learning_rate),
        _short(float(np.median(norms)) if len(norms) else math.nan),
        *(number(float(figure), 4) for figure in figures),
        number(epoch.seconds, 2),
    ]
    name = f"{epoch.epoch}, kept" if kept else str(epoch.epoch)
    return (
        f'<tr{" class=kept" if kept else ""}><th scope="row">{name}</th>'
        + "".join(f'<td class="n">{cell}</td>' for cell in cells)
        + "</tr>"
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _footer(kept: KeptCurve) -> str:
    return (
        f"Drawn by losswatch from run {kept.run_id}. The training loss of an epoch is the mean over its steps, while "
        "they were being learned; what is known after epoch 3 stands at 3, its steps between 2 and 3."
    )
