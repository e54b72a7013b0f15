"""The picture: the page's chart as one still SVG file, for a README or a slide.

It carries its own colours for light and dark, no script, and no text beyond the labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TypeGuard

from pipelines.document import write_whole
from pipelines.page import VERDICTS, Page, PageWindow, date, description, moment, period_means

WIDTH, HEIGHT = 960, 400
LEFT, SERVICE, RIGHT, TOP, BOTTOM = 52, 228, 846, 20, 308  # edges of the two panels
STYLE = """
svg{--text:#1d2126;--quiet:#5d646d;--grid:#e6e6e1;--band:#eeeeea;--odd:#e0e1dd;--served:#0a5ca8;--never:#6d747d;
--harmful:#c2410c;--concept:#a3217e;--fault:#8a6400;--benign:#14776b;--thin:#6d747d;--card:#fff;
font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
@media(prefers-color-scheme:dark){svg{--text:#e7e9ec;--quiet:#a2a9b2;--grid:#2b3139;--band:#262c34;--odd:#333b45;
--served:#6fb3f5;--never:#98a0aa;--harmful:#f8925a;--concept:#ee8fd0;--fault:#e0b64a;--benign:#5cc9b9;
--thin:#98a0aa;--card:#1a1e24}}
text{fill:var(--quiet)}.strong{fill:var(--text)}.ground{fill:var(--card)}.grid{stroke:var(--grid)}
path{fill:none;stroke-linejoin:round}.served{stroke:var(--served);stroke-width:2.4}
.never{stroke:var(--never);stroke-width:1.5}.validation{stroke:var(--served);stroke-width:1.5}
.training{stroke:var(--served);stroke-width:1.5;stroke-opacity:.55;stroke-dasharray:2 2.5}
.level{stroke:var(--never);stroke-dasharray:2 4}.saved{fill:var(--served);fill-opacity:.1}
.change{stroke:var(--quiet);stroke-opacity:.45;stroke-dasharray:1 3}
.band{fill:var(--band)}.odd{fill:var(--odd)}
.mark{stroke:var(--card)}.harmful{fill:var(--harmful)}.concept{fill:var(--concept)}.fault{fill:var(--fault)}
.benign{fill:var(--card);stroke:var(--benign);stroke-width:2}.promoted{fill:var(--served)}
.refused{stroke:var(--text);stroke-width:2}
"""
# the shapes of the page's symbols, around 0 0
SHAPES = {
    "harmful": "M0-6 6.5 5h-13z",
    "concept": "M0-6.5 6.5 0 0 6.5-6.5 0z",
    "fault": "M-5-5h10v10h-10z",
    "benign": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "promoted": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "refused": "M-4-4 4 4M-4 4 4-4",
}


@dataclass(frozen=True)
class Scale:
    """Where a loss lies on the picture, linear or, where it spans more than 30 times, logarithmic."""

    low: float
    high: float
    logarithmic: bool

    def __call__(self, loss: float) -> float:
        to: Callable[[float], float] = math.log if self.logarithmic else float
        share = (to(min(max(loss, self.low), self.high)) - to(self.low)) / (to(self.high) - to(self.low))
        return BOTTOM - share * (BOTTOM - TOP)


def write_picture(page: Page, path: Path) -> Path:
    """Write the picture as one SVG file, whole or not at all."""
    return write_whole(draw(page), path)


def draw(page: Page) -> str:
    """The picture as text; it needs at least one window with a loss."""
    windows = [window for window in page.windows if known(window.loss)]
    if not windows:
        raise ValueError("a picture needs at least one window with a loss; the page can show training alone")
    scale = fitted_scale(page)
    words = escape(description(page, period_means(page), 3))
    parts = (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{words}">',
        f'<style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
        _grid(scale),
        _training(page, scale),
        _levels(page, scale),
        _service(page.windows, scale),
        _names(page, scale),
        _bands(page.windows),
        _retrainings(page.windows),
        _key(page),
        "</svg>\n",
    )
    return "\n".join(parts)


def known(loss: float | None) -> TypeGuard[float]:
    return loss is not None and math.isfinite(loss)


def fitted_scale(page: Page) -> Scale:
    """A scale that holds every window; a steep first epoch may stretch it by half."""
    service = [loss for window in page.windows for loss in (window.loss, window.loss_never) if known(loss)]
    low, high = min(service), max(service)
    if low > 0 and high / low > 30:
        return Scale(low * 0.9, high * 1.1, True)
    span = (high - low) or abs(high) or 1.0
    training = [loss for epoch in _epochs(page) for loss in epoch[1:] if known(loss)]
    low = max(min([low, *training]), low - span / 2)
    high = min(max([high, *training]), high + span / 2)
    return Scale(low - 0.05 * span, high + 0.05 * span, False)


def round_steps(low: float, high: float, *, parts: int = 5) -> list[float]:
    """Round numbers between two others.

    >>> round_steps(0.43, 0.82)
    [0.5, 0.6, 0.7, 0.8]
    """
    raw = (high - low) / parts
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{place * step:.10g}") for place in range(first, last + 1)]


def _epochs(page: Page) -> tuple[tuple[int, float, float], ...]:
    return page.curves[0].epochs if page.curves else ()


def _path(style: str, points: Iterable[tuple[float, float] | None]) -> str:
    """A line through the points; a gap where there is none."""
    text, pen = "", "M"
    for point in points:
        text += f"{pen}{point[0]:.1f} {point[1]:.1f}" if point else ""
        pen = "L" if point else "M"
    return f'<path class="{style}" d="{text}"/>'


def _text(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _mark(name: str, x: float, y: float) -> str:
    return f'<path class="mark {name}" transform="translate({x:.1f} {y:.1f})" d="{SHAPES[name]}"/>'


def _grid(scale: Scale) -> str:
    if scale.logarithmic:
        powers = range(math.ceil(math.log10(scale.low)), math.floor(math.log10(scale.high)) + 1)
        steps = [10.0**power for power in powers]
    else:
        steps = round_steps(scale.low, scale.high)
    return "".join(
        f'<path class="grid" d="M{LEFT} {scale(step):.1f}H{RIGHT}"/>'
        + _text(LEFT - 8, scale(step) + 4, f"{step:g}", "end")
        for step in steps
    )


def _training(page: Page, scale: Scale) -> str:
    """The first version's epochs, and the one that was kept."""
    epochs = _epochs(page)
    if not epochs:
        return ""
    first, last = epochs[0][0], epochs[-1][0]
    room = SERVICE - 24 - LEFT - 10

    def point(epoch: int, loss: float) -> tuple[float, float] | None:
        x = LEFT + 8 + room * (epoch - first) / max(last - first, 1)
        return (x, scale(loss)) if known(loss) else None

    lines = [_path("training", (point(epoch, loss) for epoch, loss, _ in epochs))]
    lines.append(_path("validation", (point(epoch, held_out) for epoch, _, held_out in epochs)))
    judged = [(held_out, epoch) for epoch, _, held_out in epochs if known(held_out)]
    if judged and (kept := point(min(judged)[1], min(judged)[0])):
        lines.append(_mark("promoted", *kept))
    lines.append(_text((LEFT + SERVICE - 24) / 2, BOTTOM + 18, f"epochs {first} to {last}", "middle"))
    return "".join(lines)


def _times(windows: Sequence[PageWindow]) -> Callable[[str], float]:
    """Where a moment lies on the picture."""
    first, last = moment(windows[0].start).timestamp(), moment(windows[-1].end).timestamp()
    return lambda text: (
        SERVICE + (RIGHT - SERVICE) * (moment(text).timestamp() - first) / ((last - first) or 1)
    )


def _service(windows: Sequence[PageWindow], scale: Scale) -> str:
    """Both losses over the windows, the space between them, and the verdicts."""
    place = _times(windows)
    middles = [(place(window.start) + place(window.end)) / 2 for window in windows]

    def points(losses: Iterable[float | None]) -> list[tuple[float, float] | None]:
        return [(x, scale(loss)) if known(loss) else None for x, loss in zip(middles, losses, strict=True)]

    served = points(window.loss for window in windows)
    never = points(window.loss_never for window in windows)
    marks = [
        _mark(name, *point)
        for window, point in zip(windows, served, strict=True)
        if point and (name := VERDICTS[window.verdict]) in SHAPES
    ]
    both = [pair for pair in zip(served, never, strict=True) if pair[0] and pair[1]]
    around = [pair[0] for pair in both] + [pair[1] for pair in reversed(both)]
    lines = [_path("saved", around), _path("never", never), _path("served", served)]
    return "".join(lines + marks)


def _known_levels(page: Page) -> list[tuple[str, float]]:
    means = period_means(page)
    names = (("constant", "base rate"), ("simple", "simple model"))
    return [(name, mean) for key, name in names if known(mean := means[key])]


def _levels(page: Page, scale: Scale) -> str:
    """The base rate and the simple model as levels."""
    return "".join(
        f'<path class="level" d="M{SERVICE} {scale(mean):.1f}H{RIGHT}"/>' for _, mean in _known_levels(page)
    )


def _names(page: Page, scale: Scale) -> str:
    """The names of the lines at their right ends, moved apart where they would meet."""
    ends = _known_levels(page)
    for name, losses in (
        ("losswatch", [window.loss for window in page.windows]),
        ("never retrained", [window.loss_never for window in page.windows]),
    ):
        ends += [(name, loss) for loss in reversed(losses) if known(loss)][:1]
    lines, free = [], float(TOP)
    for name, loss in sorted(ends, key=lambda end: -end[1]):
        free = max(scale(loss), free)
        lines.append(_text(RIGHT + 8, free + 4, name, style="strong" if name == "losswatch" else ""))
        free += 15
    return "".join(lines)


def _bands(windows: Sequence[PageWindow]) -> str:
    """The versions as bands under the axis, and a thin line where one takes over."""
    place = _times(windows)
    parts = []
    runs = [list(run) for _, run in groupby(windows, key=lambda window: window.version)]
    for turn, run in enumerate(runs):
        x0, x1 = place(run[0].start), place(run[-1].end)
        style = "band odd" if turn % 2 else "band"
        size = f'width="{max(x1 - x0 - 1, 0.5):.1f}" height="18"'
        parts.append(f'<rect class="{style}" x="{x0:.1f}" y="{BOTTOM + 44}" {size} rx="3"/>')
        if turn:
            parts.append(f'<path class="change" d="M{x0:.1f} {TOP}V{BOTTOM}"/>')
        if x1 - x0 > 24:
            parts.append(_text((x0 + x1) / 2, BOTTOM + 57, f"v{run[0].version}", "middle", "strong"))
    return "".join(parts)


def _retrainings(windows: Sequence[PageWindow]) -> str:
    """What became of each retraining, between the axis and the bands, and the ends of the period."""
    place = _times(windows)
    parts = [
        _text(SERVICE, BOTTOM + 18, date(windows[0].start)),
        _text(RIGHT, BOTTOM + 18, date(windows[-1].end), "end"),
        _text(SERVICE - 10, BOTTOM + 38, "retrainings", "end"),
        _text(SERVICE - 10, BOTTOM + 57, "version", "end"),
    ]
    for window in windows:
        if window.promoted is not None or window.refused:
            name = "refused" if window.promoted is None else "promoted"
            parts.append(_mark(name, place(window.end), BOTTOM + 34))
    return "".join(parts)


def _key(page: Page) -> str:
    """The marks that occur, in words."""
    seen = {VERDICTS[window.verdict]: window.verdict for window in page.windows}
    entries = [(name, verdict) for verdict, name in VERDICTS.items() if name in seen and name in SHAPES]
    entries += [("promoted", "retrained, let in")] * any(
        window.promoted is not None for window in page.windows
    )
    entries += [("refused", "retrained, refused")] * any(window.refused for window in page.windows)
    parts, x = [], LEFT + 6.0
    for name, words in entries:
        parts.append(_mark(name, x, HEIGHT - 14) + _text(x + 12, HEIGHT - 10, words))
        x += 32 + 6.8 * len(words)
    return "".join(parts)
