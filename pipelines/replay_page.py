"""The page of a replay: its windows, the epochs of its versions, and the months."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.page import Page, PageWindow, VersionCurve, write_page
from pipelines.replay_result import ReplayResult, ReplayWindow, months

if TYPE_CHECKING:
    from pipelines.stores import Stores

# the keys of a row of the month table, as the page calls them
_MONTH_KEYS = {"losswatch": "loss", "retrained": "retrainings"}


def write_replay_page(stores: Stores, result: ReplayResult, path: Path) -> Path:
    """One self-contained HTML file: loss over time, from the training epochs to the last window."""
    page = Page(
        title=f"{result.name}: one axis of loss",
        subtitle=_subtitle(result),
        loss_name=result.loss_name,
        windows=tuple(_window(window) for window in result.windows),
        curves=version_curves(stores),
        summary=_summary(result),
        months=tuple(_month(month) for month in months(result)[:-1]),
        footer="Replayed by losswatch from the first version's training rows on. Losses are means over rows.",
    )
    return write_page(page, path)


def version_curves(stores: Stores) -> tuple[VersionCurve, ...]:
    """The epochs of every version, from the tracking store."""
    return tuple(
        VersionCurve(
            version.version,
            version.kind,
            (version.trained_until or version.created).isoformat(),
            tuple(
                (epoch.epoch, epoch.loss, epoch.validation_loss)
                for epoch in stores.registry.curve(version.run_id)
            ),
        )
        for version in stores.registry.versions()
    )


def _subtitle(result: ReplayResult) -> str:
    first, last = result.windows[0].start[:10], result.windows[-1].end[:10]
    return f"{result.summary.rows:,} rows from {first} to {last}, judged by the {result.window}"


def _window(window: ReplayWindow) -> PageWindow:
    return PageWindow(
        start=window.start,
        end=window.end,
        rows=window.rows,
        loss=_known(window.loss),
        loss_never=_known(window.loss_never),
        loss_simple=_known(window.loss_simple),
        loss_constant=_known(window.loss_constant),
        loss_schedule=_known(window.loss_schedule),
        version=window.version,
        verdict=window.verdict,
        action=window.action,
        reasons=(*window.reasons, *(f"gate: {reason}" for reason in window.gate)),
        promoted=window.challenger if window.promoted else None,
        refused=window.challenger is not None and not window.promoted,
    )


def _summary(result: ReplayResult) -> dict[str, float | int | None]:
    summary = result.summary
    return {
        "loss": summary.loss,
        "loss_never": summary.loss_never,
        "loss_schedule": summary.loss_schedule,
        "loss_simple": summary.loss_simple,
        "loss_constant": summary.loss_constant,
        "retrainings": summary.retrainings,
        "promotions": summary.promotions,
        "refusals": summary.refusals,
        "alarms": summary.alarms,
        "seconds": summary.seconds,
    }


def _month(month: dict[str, Any]) -> dict[str, Any]:
    return {_MONTH_KEYS.get(key, key): value for key, value in month.items()}


def _known(loss: float) -> float | None:
    return None if math.isnan(loss) else loss
