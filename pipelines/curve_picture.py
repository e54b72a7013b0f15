"""The pictures of a training as PNG files, by matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.learning_curve import LearningCurve
from models.wording import in_words
from pipelines.curve_view import CurveView, EpochLine, Spike, StepLine
from pipelines.kept_curve import KeptCurve
from pipelines.picture import round_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, RAW, VALIDATION, QUIET, TEXT, BAD = "#0a5ca8", "#9db9d6", "#b4530a", "#5d646d", "#1d2126", "#a3217e"
LEVELS = ((0, (1.5, 2)), (0, (5, 3)), (0, (6, 2, 1.5, 2)))  # dashes of constant, simple model, trees
WIDTH, DPI = 10.0, 110  # inches and dots: 1100 pixels fit a notebook, a merge request and MLflow's page
POINTS = 700  # of a line, somewhat fewer than its dots
MOST_METRICS = 6  # of one picture
MOST_TICKS = 8  # of powers of ten
WRAPPED = 118  # letters of a line of words


def pictures(kept: KeptCurve) -> dict[str, bytes]:
    """Every picture that this training has something to show in, by the name of its file."""
    view = CurveView(kept, POINTS)
    found = {"loss.png": loss_figure(view)}
    if view.gradients is not None:
        found["gradients.png"] = gradient_figure(view)
    if view.metrics:
        found["metrics.png"] = metric_figure(view)
    if kept.learning_curves:
        found["learning_curve.png"] = learning_curve_figure(view)
    return {name: _png(figure) for name, figure in found.items()}


def loss_figure(view: CurveView) -> Figure:
    """The loss by steps and epochs, what it is compared with, the diagnosis; below it the learning rate."""
    words = told(view)
    rated = bool(np.isfinite(view.learning_rate).any())
    figure = _figure(3.8 + rated + 0.16 * len(words))
    top, *below = figure.subplots(1 + rated, sharex=True, squeeze=False, height_ratios=[4.2, 1][: 1 + rated])[
        :, 0
    ]
    figure.suptitle(view.kept.title, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=TEXT)
    top.set_title("\n".join(words), loc="left", fontsize=8.8, color=TEXT, linespacing=1.4)
    low, high = padded(*view.limits, logarithmic=view.logarithmic)
    _scale(top, low, high, logarithmic=view.logarithmic)
    if view.steps is not None:
        _steps(top, view.steps, high, "step", TRAINING, RAW)
    for number, losses in enumerate(view.other_starts):
        label = "other starts" if number == 0 else None
        top.plot(np.arange(len(losses)), losses, color=VALIDATION, linewidth=0.9, alpha=0.4, label=label)
    _epochs(top, view.loss, view, every_epoch=view.steps is None)
    for (name, loss), dashes in zip(view.levels, LEVELS * 3, strict=False):
        top.axhline(loss, color=QUIET, linewidth=1.1, linestyle=dashes, label=f"{name} {loss:.4g}")
    _best(top, view)
    _spikes(top, view.spikes, high, "spike", "spikes")
    top.set_ylabel(view.loss.name)
    _legend(top, beside=True)
    for axes in below:
        _rate(axes, view)
    figure.axes[-1].set_xlabel("epoch")
    return figure


def gradient_figure(view: CurveView) -> Figure:
    """The length of the gradient by steps, with its spikes and those of the loss."""
    line = view.gradients
    if line is None:
        raise ValueError("no gradient was measured in this training; expected at least one.")
    figure = _figure(3.6)
    axes = figure.subplots()
    _title(axes, view, "length of the gradient")
    known = np.concatenate([line.low, line.high])
    low, high = padded(float(np.nanmin(known)), float(np.nanmax(known)), logarithmic=True)
    _scale(axes, low, high, logarithmic=True)
    _steps(axes, line, high, "gradient", TRAINING, RAW)
    _spikes(axes, view.gradient_spikes, high, "spike of the gradient", "spikes of the gradient")
    if view.spikes:
        label = _counted(len(view.spikes), "spike of the loss", "spikes of the loss")
        places = [spike.x for spike in view.spikes]
        axes.vlines(places, low, high, color=BAD, linewidth=0.8, alpha=0.5, label=label)
    axes.set(xlabel="epoch", ylabel="gradient norm")
    _legend(axes, beside=True)
    return figure


def metric_figure(view: CurveView) -> Figure:
    """Every other figure of the network by epochs."""
    shown = view.metrics[:MOST_METRICS]
    figure, every = _small_ones(len(shown))
    for axes, line in zip(every, shown, strict=True):
        _epochs(axes, line, view, every_epoch=True)
        if view.best is not None:
            axes.axvline(view.best[0], color=QUIET, linewidth=0.9, linestyle=":")
        axes.set(xlabel="epoch", ylabel=line.name)
        _whole_numbers(axes)
        axes.grid(alpha=0.3)
    _legend(every[0])
    figure.suptitle(f"{view.kept.title}, by epochs", x=0.01, ha="left", fontsize=11, color=TEXT)
    return figure


def learning_curve_figure(view: CurveView) -> Figure:
    """Figures by the rows that were learned from, on learned and on unseen rows."""
    shown = view.kept.learning_curves[:MOST_METRICS]
    figure, every = _small_ones(len(shown))
    for axes, curve in zip(every, shown, strict=True):
        _by_rows(axes, curve)
    _legend(every[0])
    title = "\n".join([f"{view.kept.title}, by rows", *view.kept.verdicts[:1]])
    figure.suptitle(_wrapped(title), x=0.01, ha="left", fontsize=10, color=TEXT)
    return figure


def told(view: CurveView) -> list[str]:
    """The summary and the diagnosis, in lines that fit under a title."""
    diagnosis = view.kept.record.diagnosis
    lines = diagnosis.lines if diagnosis else tuple(view.kept.failure.splitlines())
    wrapped = (textwrap.wrap(line, WRAPPED, subsequent_indent="  ", initial_indent="") for line in lines)
    return [view.summary, *(piece for one in wrapped for piece in one)]


def padded(low: float, high: float, *, logarithmic: bool) -> tuple[float, float]:
    """The limits of an axis that shows these values, with a little room on both sides.

    >>> padded(0.0, 10.0, logarithmic=False)
    (-0.5, 10.5)
    """
    if not high > low:
        spread = abs(high) * 0.1 or 1.0
        low, high = (low / 1.1, high * 1.1) if logarithmic else (low - spread, high + spread)
    if logarithmic:
        room = (high / low) ** 0.05
        return low / room, high * room
    room = 0.05 * (high - low)
    return low - room, high + room


def ticks(low: float, high: float, *, logarithmic: bool) -> list[float]:
    """Round values for an axis: powers of ten, with halves and fifths where there is room.

    >>> ticks(0.02, 3.0, logarithmic=True), ticks(0.45, 0.71, logarithmic=True)
    ([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0], [0.45, 0.5, 0.55, 0.6, 0.65, 0.7])
    """
    if not logarithmic or high / low < 8:
        return round_steps(low, high, parts=7)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1.0,) if len(powers) > 6 else (1.0, 2.0, 5.0)
    found = [float(f"{factor * 10.0**power:.6g}") for power in powers for factor in factors]
    shown = [value for value in found if low <= value <= high]
    return shown[:: math.ceil(len(shown) / MOST_TICKS)] if len(factors) == 1 else shown


# --- parts ---


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")


def _small_ones(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    figure = _figure(0.6 + 2.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes[:count]


def _title(axes: Axes, view: CurveView, what: str) -> None:
    axes.set_title(f"{view.kept.title}, {what}", loc="left", fontsize=11, color=TEXT)


def _scale(axes: Axes, low: float, high: float, *, logarithmic: bool) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    if logarithmic:
        axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(ticks(low, high, logarithmic=logarithmic)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.grid(alpha=0.3)
    _whole_numbers(axes)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda epoch, _: "start" if epoch == -1 else f"{epoch:g}"))


def _steps(axes: Axes, line: StepLine, high: float, what: str, strong: str, pale: str) -> None:
    """The values as they are, as a band where many share a place, and smoothed."""
    top = np.minimum(line.high, high * 10 if high > 0 else high)
    if line.size > 1:
        label = f"lowest to highest of {line.size} {what}s"
        axes.fill_between(line.x, line.low, top, color=pale, alpha=0.55, linewidth=0, label=label)
    else:
        axes.plot(line.x, top, color=pale, linewidth=0.8, label=f"every {what}")
    axes.plot(line.x, line.smooth, color=strong, linewidth=1.8, label=f"{what}s, smoothed")


def _epochs(axes: Axes, line: EpochLine, view: CurveView, *, every_epoch: bool) -> None:
    marker = "o" if len(view.epochs) < 40 else ""
    if every_epoch and np.isfinite(line.training).any():
        style: dict[str, Any] = {"color": TRAINING, "linewidth": 1.6, "marker": marker, "markersize": 3}
        axes.plot(view.epochs, line.training, label="training", **style)
    if np.isfinite(line.validation).any():
        style = {"color": VALIDATION, "linewidth": 1.8, "marker": marker, "markersize": 3.5}
        axes.plot(view.epochs, line.validation, label="validation", **style)


def _best(axes: Axes, view: CurveView) -> None:
    if view.best is None:
        return
    epoch, loss = view.best
    axes.axvline(epoch, color=VALIDATION, linewidth=0.9, linestyle=":")
    label = f"kept: epoch {epoch}, {loss:.4g}"
    axes.plot([epoch], [loss], "o", markersize=9, markerfacecolor="none", color=VALIDATION, label=label)


def _spikes(axes: Axes, spikes: Sequence[Spike], high: float, one: str, many: str) -> None:
    if spikes:
        x, y = [spike.x for spike in spikes], [min(spike.value, high) for spike in spikes]
        label = _counted(len(spikes), one, many)
        axes.plot(x, y, "v", color=BAD, markersize=6, label=label, clip_on=False, zorder=5)


def _rate(axes: Axes, view: CurveView) -> None:
    rates = view.learning_rate
    known = rates[np.isfinite(rates) & (rates > 0)]
    axes.plot(view.epochs, rates, color=QUIET, linewidth=1.5, drawstyle="steps-mid")
    axes.set_ylabel("learning rate")
    if len(known):
        low, high = padded(float(known.min()), float(known.max()), logarithmic=True)
        _scale(axes, low, high, logarithmic=True)
        axes.set_yticks(_few_ticks(float(known.min()), float(known.max())))
    axes.yaxis.label.set_fontsize(8)
    axes.tick_params(axis="y", labelsize=8)


def _few_ticks(low: float, high: float) -> list[float]:
    """The ends of a small axis; one where they are the same, or next to it."""
    return [low, high] if high > 1.5 * low else [high]


def _by_rows(axes: Axes, curve: LearningCurve) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    rows = [point.rows for point in curve.points]
    seen, unseen = ([getattr(point, name) for point in curve.points] for name in ("seen", "unseen"))
    lowest, highest = ([getattr(point, name) for point in curve.points] for name in ("lowest", "highest"))
    axes.fill_between(rows, lowest, highest, color=VALIDATION, alpha=0.18, linewidth=0)
    axes.plot(rows, seen, color=TRAINING, marker="o", markersize=3.5, label="on learned rows")
    axes.plot(rows, unseen, color=VALIDATION, marker="o", markersize=3.5, label="on unseen rows")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(rows))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.tick_params(axis="x", labelsize=8)
    axes.set(xlabel="rows learned from", ylabel=in_words(curve.metric))
    axes.grid(alpha=0.3)


def _short(rows: float) -> str:
    """A number of rows as an axis has room for it.

    >>> _short(950), _short(12_500), _short(3_000_000)
    ('950', '12.5k', '3M')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if rows >= size:
            return f"{rows / size:.3g}{letter}"
    return f"{rows:g}"


def _legend(axes: Axes, *, beside: bool = False) -> None:
    """The names of the lines: beside the plot where lines fill it, else where it is empty."""
    if not axes.get_legend_handles_labels()[1]:
        return
    if beside:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        axes.legend(fontsize=8, framealpha=0.85)


def _wrapped(text: str) -> str:
    return "\n".join("\n".join(textwrap.wrap(line, WRAPPED)) for line in text.splitlines())


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
