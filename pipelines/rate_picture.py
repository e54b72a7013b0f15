"""The picture of a rate range test: the loss against the learning rate, as SVG, PNG or a page."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from models.rate_range import RateRange
from pipelines.document import write_whole
from pipelines.errors import UserError
from pipelines.picture import round_steps

WIDTH, HEIGHT = 820, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 796, 40, 344  # edges of the plot
STYLE = """
svg{--text:#1d2126;--quiet:#5d646d;--grid:#e6e6e1;--line:#0a5ca8;--raw:#9db9d6;--good:#14776b;--bad:#c2410c;--card:#fff;
font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
@media(prefers-color-scheme:dark){svg{--text:#e7e9ec;--quiet:#a2a9b2;--grid:#2b3139;--line:#6fb3f5;--raw:#3c5f82;
--good:#5cc9b9;--bad:#f8925a;--card:#1a1e24}}
text{fill:var(--quiet)}.strong{fill:var(--text)}.ground{fill:var(--card)}path{fill:none;stroke-linejoin:round}
.grid{stroke:var(--grid)}.raw{stroke:var(--raw)}.line{stroke:var(--line);stroke-width:2.2}
.good{stroke:var(--good);stroke-width:1.6}.bad{stroke:var(--bad);stroke-dasharray:3 3}
.before{stroke:var(--quiet);stroke-dasharray:2 4}
"""
WRITERS = (".svg", ".png", ".html")


def write_picture(found: RateRange, title: str, path: Path) -> Path:
    """Writes the picture in the form that the name of the file asks for, whole or not at all.

    Raises UserError for any other ending.
    """
    kind = path.suffix.lower()
    if kind not in WRITERS:
        raise UserError(f"{path}: a picture is written as {', '.join(WRITERS)}. Name such a file")
    if kind == ".png":
        path.write_bytes(png(found, title))
        return path
    return write_whole(draw(found, title) if kind == ".svg" else page(found, title), path)


def page(found: RateRange, title: str) -> str:
    """The picture and its reasons as one page that needs nothing else."""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in found.reasons)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>body{{max-width:860px;'
        "margin:2rem auto;padding:0 1rem;font:15px/1.5 system-ui,sans-serif;color-scheme:light dark}"
        "svg{width:100%;height:auto}</style>"
        f"<h1>{escape(title)}</h1>{draw(found, '')}<ul>{reasons}</ul></html>\n"
    )


def draw(found: RateRange, title: str) -> str:
    """The picture as SVG; it needs two rates or more with a finite loss."""
    place, height = _axes(found)
    words = escape("; ".join([*([title] if title else []), *found.reasons]))
    points = list(zip(found.rates, found.losses, found.smoothed, strict=True))
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{words}">',
        f'<style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
        _text(LEFT, 22, title, style="strong"),
        _rates(found, place),
        _losses(found, height),
        _path("raw", [(place(rate), height(loss)) for rate, loss, _ in points if math.isfinite(loss)]),
        _path("line", [(place(rate), height(mean)) for rate, _, mean in points if math.isfinite(mean)]),
        _marks(found, place),
        _text((LEFT + RIGHT) / 2, HEIGHT - 8, "learning rate", "middle"),
        "</svg>\n",
    )
    return "\n".join(part for part in parts if part)


def png(found: RateRange, title: str) -> bytes:
    """The picture as PNG."""
    from matplotlib.figure import Figure

    low, high = _limits(found)
    figure = Figure(figsize=(8.2, 4.0), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(found.rates, np.clip(found.losses, low, high), color="#9db9d6", linewidth=1, label="loss")
    axes.plot(found.rates, np.clip(found.smoothed, low, high), color="#0a5ca8", linewidth=2, label="smoothed")
    axes.axhline(found.before, color="#5d646d", linestyle=":", linewidth=1, label="untrained")
    for words, rate, color in _named(found):
        axes.axvline(rate, color=color, linewidth=1.5, label=f"{words} {rate:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title=title, ylim=(low, high))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _named(found: RateRange) -> list[tuple[str, float, str]]:
    marks = (
        ("suggested", found.suggested, "#14776b"),
        ("worse than untrained", found.diverged_at, "#c2410c"),
    )
    return [(words, rate, color) for words, rate, color in marks if rate is not None]


def _limits(found: RateRange) -> tuple[float, float]:
    """The losses that the picture shows: an explosion leaves it at the top."""
    finite = found.losses[np.isfinite(found.losses)]
    low = float(min(finite.min(), found.before)) if len(finite) else found.before
    high = max(found.before, low) + max(found.before - low, abs(found.before) * 0.05, 1e-12) * 0.6
    return low - 0.05 * (high - low), high


def _axes(found: RateRange) -> tuple[Callable[[float], float], Callable[[float], float]]:
    first, last = math.log(found.rates[0]), math.log(max(found.rates[-1], found.rates[0] * 1.001))
    low, high = _limits(found)

    def place(rate: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log(rate) - first) / (last - first)

    def height(loss: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (min(max(loss, low), high) - low) / (high - low)

    return place, height


def _rates(found: RateRange, place: Callable[[float], float]) -> str:
    """A line for every power of ten."""
    first, last = math.ceil(math.log10(found.rates[0]) - 1e-9), math.floor(math.log10(found.rates[-1]) + 1e-9)
    parts = []
    for power in range(first, last + 1):
        x = place(10.0**power)
        parts.append(
            f'<path class="grid" d="M{x:.1f} {TOP}V{BOTTOM}"/>'
            + _text(x, BOTTOM + 18, f"{10.0**power:g}", "middle")
        )
    return "".join(parts)


def _losses(found: RateRange, height: Callable[[float], float]) -> str:
    """Round losses, and the one of the untrained network."""
    steps: Sequence[float] = round_steps(*_limits(found))
    grid = "".join(
        f'<path class="grid" d="M{LEFT} {height(step):.1f}H{RIGHT}"/>'
        + _text(LEFT - 8, height(step) + 4, f"{step:g}", "end")
        for step in steps
    )
    y = height(found.before)
    return grid + f'<path class="before" d="M{LEFT} {y:.1f}H{RIGHT}"/>' + _text(LEFT + 6, y - 6, "untrained")


def _marks(found: RateRange, place: Callable[[float], float]) -> str:
    parts = []
    for (words, rate, _), style in zip(_named(found), ("good", "bad"), strict=False):
        style = "good" if words == "suggested" else style
        side = "end" if place(rate) > (LEFT + RIGHT) / 2 else "start"
        parts.append(f'<path class="{style}" d="M{place(rate):.1f} {TOP}V{BOTTOM}"/>')
        x = place(rate) + (-6 if side == "end" else 6)
        parts.append(
            _text(x, TOP + (12 if words == "suggested" else 28), f"{words} {rate:.2g}", side, "strong")
        )
    return "".join(parts)


def _path(style: str, points: Iterable[tuple[float, float]]) -> str:
    return f'<path class="{style}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def _text(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
