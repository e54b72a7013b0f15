"""What has been in service: which version, since when, compared with which reference. Read from the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from monitoring.decision import PastRetraining
from monitoring.loss_alarm import LossReference
from monitoring.window import Window, WindowLength
from pipelines.bundle import Bundle, read_bundle
from pipelines.errors import UserError
from pipelines.reference import Reference, read_reference
from pipelines.watched_columns import date_names, with_names_of_dates

if TYPE_CHECKING:
    from pipelines.stores import Stores

SERVICE, RETRAINING, VERDICT, PROMOTION = "service", "retraining", "verdict", "promotion"


@dataclass(frozen=True)
class Service:
    """A stretch of time in which one version serves and is compared with one reference.

    It ends with every retraining, won or lost: a promoted challenger brings a new reference, and after a refusal
    the loss that could not be bettered is the new normal. anchor: start of the very first window; all others
    are counted from there.
    """

    version: int
    since: datetime
    anchor: datetime
    window: WindowLength
    reference: LossReference

    def windows_until(self, now: datetime, delay: timedelta) -> list[tuple[int, Window]]:
        """Windows with their numbers from the anchor that began or were open in this service and are due."""
        first = self.window.windows_until(self.anchor, self.since) - 1
        found, number = [], max(first, 0)
        while self.window.after(self.anchor, number + 1) + delay <= now:
            window = Window(
                self.window.after(self.anchor, number), self.window.after(self.anchor, number + 1)
            )
            found.append((number, window))
            number += 1
        return found


def begin_service(
    stores: Stores,
    version: int,
    *,
    now: datetime,
    anchor: datetime,
    window: WindowLength,
    reference: LossReference,
    author: str,
    reason: str,
) -> None:
    """Writes down that a version serves from now on, against this reference."""
    payload = {
        "version": version,
        "anchor": anchor.isoformat(),
        "window": str(window),
        "reference": asdict(reference),
        "reason": reason,
    }
    key = f"service {version} {now.isoformat()}"
    stores.log.append_event(SERVICE, payload, known_at=now, author=author, key=key)


def current_service(stores: Stores, now: datetime) -> Service | None:
    """The service at a moment; None before the first promotion."""
    events = stores.log.events(known_until=now, kind=SERVICE)
    return _service(events[-1].payload, events[-1].known_at) if events else None


def needed_service(stores: Stores, now: datetime) -> Service:
    service = current_service(stores, now)
    if service is None:
        raise UserError(
            f"{stores.project.name}: no version serves yet. Train one with losswatch train, "
            "then let it in with losswatch promote --first"
        )
    return service


def past_retrainings(stores: Stores, now: datetime) -> tuple[PastRetraining, ...]:
    """Every retraining that ended, in order."""
    events = stores.log.events(known_until=now, kind=RETRAINING)
    return tuple(PastRetraining(event.payload["window"], event.payload["promoted"]) for event in events)


def bundle_of(stores: Stores, version: int) -> Bundle:
    """The files of a version, verified once a process."""
    key = ("bundle", version)
    if key not in stores.memo:
        stores.memo[key] = read_bundle(stores.registry.bundle(version))
    bundle: Bundle = stores.memo[key]
    return bundle


def reference_of(stores: Stores, version: int) -> Reference:
    """What a version is compared with, of the columns that the log keeps as they came; read once a process."""
    key = ("reference", version)
    if key not in stores.memo:
        bundle, log = bundle_of(stores, version), stores.project.config.log
        hashed_dates = set(log.columns_with("hash")) & set(date_names(bundle.schema))
        gone = with_names_of_dates([*log.columns_with("drop"), *hashed_dates])
        stores.memo[key] = read_reference(bundle.reference).without(gone)
    found: Reference = stores.memo[key]
    return found


def known_levels(stores: Stores, version: int) -> dict[str, tuple[str, ...]]:
    """Of columns that the log keeps as hashes, the values that a version knows, by which they are named again."""
    hashed = stores.project.config.log.columns_with("hash")
    if not hashed:
        return {}
    columns = bundle_of(stores, version).schema.columns
    known = {column.name: set(getattr(column, "levels", ())) for column in columns if column.name in hashed}
    for bins in reference_of(stores, version).profile.bins:
        if bins.name in known:
            known[bins.name].update(bins.levels)
    return {name: tuple(sorted(levels)) for name, levels in known.items()}


def _service(payload: Mapping[str, Any], since: datetime) -> Service:
    return Service(
        version=payload["version"],
        since=since,
        anchor=datetime.fromisoformat(payload["anchor"]),
        window=WindowLength.parse(payload["window"].replace(" ", "")),
        reference=LossReference(**payload["reference"]),
    )
