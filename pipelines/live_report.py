"""The page of a live project: loss from the training epochs to the last judged window, and its inputs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.losses import default_loss
from monitoring.profile import merge_all, profile
from pipelines.addresses import absolute_uri, sqlite_file
from pipelines.bundle import BrokenBundle
from pipelines.page import Page, PageWindow, write_page
from pipelines.replay_page import version_curves
from pipelines.retraining import AUTHOR
from pipelines.service import RETRAINING, SERVICE, VERDICT, bundle_of, known_levels, reference_of
from pipelines.stores import Stores, open_stores

if TYPE_CHECKING:
    from pipelines.log import Event
    from pipelines.project import Project

logger = logging.getLogger(__name__)

PAGE = "report.html"
_ALARMS = ("harmful shift", "concept change")


@dataclass(frozen=True)
class ReportResult:
    """What was written. page: None where there is nothing to show; inputs: Evidently's page of the newest window.

    replay: page of a replay of the project, where there is one.
    """

    name: str
    page: str | None
    inputs: str | None
    versions: int
    windows: int
    replay: str | None

    @property
    def failed(self) -> bool:
        return self.page is None

    def lines(self) -> list[str]:
        replayed = [f"page of the replay: {self.replay}"] if self.replay and not self.windows else []
        if self.page is None:
            return [f"{self.name}: no version was trained, so there is nothing to report", *replayed, _FIRST]
        if not self.windows:
            waiting = f"{self.name}: no window was judged yet; the page shows the training of "
            return [f"{waiting}{_counted(self.versions, 'version')}", f"page: {self.page}", *replayed]
        told = [f"{self.name}: {_counted(self.windows, 'window')}, {_counted(self.versions, 'version')}"]
        told.append(f"page: {self.page}")
        return [*told, f"inputs of the newest window: {self.inputs}"] if self.inputs else told


_FIRST = "next: losswatch train, losswatch promote --first, and losswatch monitor once a window is complete"


def report(project: Project, path: Path | None = None) -> ReportResult:
    """Writes the page of what happened in service, and beside it the inputs of the newest window.

    path: of the page; report.html in the project's state by default.
    """
    replay = project.state / "replay" / "replay.html"
    replayed = str(replay) if replay.is_file() else None
    database = sqlite_file(absolute_uri(project.tracking(), project.folder))
    stores = open_stores(project)
    # a store that is not there yet is not made for a look at it
    versions = 0 if database is not None and not database.is_file() else len(stores.registry.versions())
    if not versions:
        return ReportResult(project.name, None, None, 0, 0, replayed)
    events = stores.log.events()
    verdicts = [event for event in events if event.kind == VERDICT]
    page = path if path is not None else project.state / PAGE
    inputs = _inputs(stores, events, verdicts[-1], page.parent) if verdicts else None
    write_page(_page(stores, events, inputs), page)
    shown = str(inputs) if inputs else None
    return ReportResult(project.name, str(page), shown, versions, len(verdicts), replayed)


# --- the page ---


def _page(stores: Stores, events: Sequence[Event], inputs: Path | None) -> Page:
    windows = live_windows(events)
    name, now = stores.project.name, stores.project.now()
    return Page(
        title=f"{name}: one axis of loss",
        subtitle=_subtitle(windows),
        loss_name=_loss_name(stores, events),
        windows=windows,
        curves=version_curves(stores),
        summary=_summary(windows),
        months=_months(windows),
        footer=f"Written by losswatch on {now:%Y-%m-%d %H:%M} UTC from the log of {name}. "
        "Losses are means over rows with a known target.",
        links=((f"Inputs of the newest window, by Evidently: {inputs.name}", inputs.name),) if inputs else (),
    )


def live_windows(events: Sequence[Event]) -> tuple[PageWindow, ...]:
    """The judged windows with what became of them, oldest first, from the events of a log."""
    retrained = {event.payload["window"]: event.payload for event in events if event.kind == RETRAINING}
    verdicts = sorted(
        (event.payload for event in events if event.kind == VERDICT), key=lambda payload: payload["number"]
    )
    by_hand = [event for event in events if event.kind == SERVICE and event.author != AUTHOR]
    return tuple(_window(verdict, retrained.get(verdict["number"]), by_hand) for verdict in verdicts)


def _window(
    verdict: Mapping[str, Any], retrained: Mapping[str, Any] | None, by_hand: Sequence[Event]
) -> PageWindow:
    start, end = (datetime.fromisoformat(verdict[key]) for key in ("start", "end"))
    begun = [event for event in by_hand if start <= event.known_at < end]
    let_in = bool(retrained and retrained["promoted"])
    return PageWindow(
        start=verdict["start"],
        end=verdict["end"],
        rows=verdict["rows"],
        loss=verdict["loss"],
        loss_never=None,
        loss_simple=None,
        loss_constant=None,
        loss_schedule=None,
        version=verdict["version"],
        verdict=verdict["verdict"],
        action=verdict["action"],
        reasons=(
            *verdict["reasons"],
            *(f"gate: {reason}" for reason in (retrained["reasons"] if retrained else ())),
            *(_begun(event) for event in begun),
        ),
        promoted=retrained["challenger"] if retrained and let_in else None,
        refused=retrained is not None and not let_in,
    )


def _begun(event: Event) -> str:
    payload = event.payload
    return (
        f"version {payload['version']} serves from {event.known_at:%Y-%m-%d %H:%M} on, let in by "
        f"{event.author}: {payload['reason']}"
    )


def _subtitle(windows: Sequence[PageWindow]) -> str:
    if not windows:
        return "in training; no window in service was judged yet"
    rows = sum(window.rows for window in windows)
    newest = windows[-1]
    return (
        f"{rows:,} rows in {_counted(len(windows), 'window')} from {windows[0].start[:10]} to "
        f"{newest.end[:10]}; version {newest.version} in the newest"
    )


def _loss_name(stores: Stores, events: Sequence[Event]) -> str:
    """As the version that serves, or the newest one, was judged by it."""
    serving = [event.payload["version"] for event in events if event.kind == SERVICE]
    number = serving[-1] if serving else stores.registry.versions()[-1].version
    try:
        return str(bundle_of(stores, number).settings["loss"])
    except (BrokenBundle, KeyError) as error:
        logger.warning("the loss of version %d cannot be read: %s", number, error)
    return stores.project.config.network.loss or default_loss("regression")


def _summary(windows: Sequence[PageWindow]) -> dict[str, float | int | None]:
    if not windows:
        return {}
    return {
        "loss": _mean(windows),
        "retrainings": sum(_retrained(window) for window in windows),
        "promotions": sum(window.promoted is not None for window in windows),
        "refusals": sum(window.refused for window in windows),
        "alarms": sum(window.verdict in _ALARMS for window in windows),
    }


def _months(windows: Sequence[PageWindow]) -> tuple[Mapping[str, object], ...]:
    """The windows by the month in which they begin."""
    groups: dict[str, list[PageWindow]] = {}
    for window in windows:
        groups.setdefault(window.start[:7], []).append(window)
    return tuple(
        {
            "month": month,
            "rows": sum(window.rows for window in group),
            "loss": _mean(group),
            "retrainings": sum(_retrained(window) for window in group),
            "alarms": sum(window.verdict in _ALARMS for window in group),
        }
        for month, group in groups.items()
    )


def _retrained(window: PageWindow) -> bool:
    return window.refused or window.promoted is not None


def _mean(windows: Sequence[PageWindow]) -> float | None:
    """Mean loss by rows over the windows that have one."""
    pairs = [(window.loss, window.rows) for window in windows if window.loss is not None and window.rows]
    rows = sum(weight for _, weight in pairs)
    return math.fsum(loss * weight for loss, weight in pairs) / rows if rows else None


# --- the inputs of the newest window ---


def _inputs(stores: Stores, events: Sequence[Event], verdict: Event, folder: Path) -> Path | None:
    """Evidently's page of the window, of the very rows that the verdict is about; None where there are none."""
    from monitoring.report import evidently_report

    start, end = (datetime.fromisoformat(verdict.payload[key]) for key in ("start", "end"))
    version = verdict.payload["version"]
    try:
        reference = reference_of(stores, version)
    except BrokenBundle as error:
        logger.warning("no page of the inputs: %s", error)
        return None
    known = end + stores.project.config.data.label_delay
    levels = known_levels(stores, version)
    since, counts = _since(events, verdict), []
    for rows in stores.log.parts(start, end, known_until=known, levels=levels):
        own = rows.take(np.flatnonzero((rows.versions == version) & (rows.times >= since)))
        counts.append(profile(own.columns, reference.profile.bins))
    current = merge_all(counts)
    if not current.rows:
        return None
    path = folder / f"window-{_written(start)}.html"
    title = f"{stores.project.name}: inputs from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    evidently_report(reference.profile, current, reference.thresholds, path, title=title)
    return path


def _since(events: Sequence[Event], verdict: Event) -> np.datetime64:
    """When the service began that the verdict is about; the one that it led to began at the same moment."""
    begun = [
        event.known_at for event in events if event.kind == SERVICE and event.known_at < verdict.known_at
    ]
    since = begun[-1] if begun else datetime(1970, 1, 1, tzinfo=UTC)
    return np.datetime64(since.astimezone(UTC).replace(tzinfo=None), "us")


def _written(start: datetime) -> str:
    """The start as a part of a file name: its date, and the time where it is not midnight."""
    return f"{start:%Y-%m-%d}" if (start.hour, start.minute) == (0, 0) else f"{start:%Y-%m-%d-%H%M}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
