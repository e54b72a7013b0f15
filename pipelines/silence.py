"""Silence is a finding: no rows, no labels, fewer labels, a monitor that does not run, a receiver that takes nothing.

These are about this moment; what is over when somebody looks is told to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from monitoring.label_coverage import BEFORE, LOOKED, coverages, fallen_since
from monitoring.label_delay import Silence
from monitoring.row_silence import row_silence
from pipelines import heartbeat
from pipelines.alerts import Book, Finding
from pipelines.heartbeat import Late
from pipelines.labels import DAYS, label_silence
from pipelines.log import LabelTimes
from pipelines.moments import numpy_moment
from pipelines.outbox import receiver_states
from pipelines.service import Service, current_service
from pipelines.stores import Stores

if TYPE_CHECKING:
    from pipelines.plain_columns import Array

STOPPED, COVERAGE = "labels stopped", "label coverage"
# cause: what is said when it is over
CAUSES = {
    "rows": "rows come again",
    "labels": "labels come again",
    COVERAGE: "labels come as they have for weeks",
    "monitor": "the monitor ran",
    "receiver": "it takes alerts again",
}
# of a service that has never had a row; the first may have begun with nobody knowing of it
_EMPTY_WINDOWS = 2


@dataclass(frozen=True)
class Looked:
    """What one look finds. labels: how long none has come, where they have stopped."""

    findings: tuple[Finding, ...]
    labels: Silence | None = None


def look(stores: Stores, now: datetime, *, low: bool = False) -> Looked:
    """What is silent among rows and labels; rows are missed only while something serves.

    low: whether fewer labels than before came already.
    """
    service = current_service(stores, now)
    days = timedelta(days=BEFORE + LOOKED)
    rows = stores.log.label_times(now - days, now, now)
    name = stores.project.name
    found = _rows(rows, service, name, now) if service is not None else []
    quiet = label_silence(_since(rows, now - timedelta(days=DAYS)), now)
    if quiet is not None:
        return Looked((*found, _stopped(*quiet, name)), quiet[0])
    return Looked((*found, *_coverage(rows, name, now, low)))


def tell_of_silence(
    stores: Stores, book: Book, now: datetime, *, failed: str | None = None
) -> Silence | None:
    """Adds to a project's alerts what is silent, and ends what is not any more; gives the silence of labels.

    failed: the type of the error by which the monitor has just ended.
    """
    looked = look(stores, now, low=any(one.open and one.cause == COVERAGE for one in book.alerts.values()))
    findings = [*looked.findings, *_failed(stores, failed, now), *_receivers(stores, book, now)]
    _stand(book, findings, CAUSES)
    return looked.labels


def tell_of_monitor(stores: Stores, book: Book, now: datetime) -> Late | None:
    """Adds to a project's alerts that its monitor does not run, where it does not; for whoever is not the monitor."""
    late = monitor_late(stores, now)
    if late is not None:
        _stand(book, [_late(late, stores.project.name)], ("monitor",))
    _stand(book, _receivers(stores, book, now), ("receiver",))
    return late


def monitor_late(stores: Stores, now: datetime) -> Late | None:
    """Whether the monitor of a project should have run and did not; None where nothing serves."""
    service = current_service(stores, now)
    seen = heartbeat.read(stores.project.log_folder())
    cron = stores.project.config.schedule.monitor
    return heartbeat.late(seen, cron, now, serving_since=service.since if service else None)


def _stand(book: Book, findings: Sequence[Finding], causes: Iterable[str]) -> None:
    for cause in causes:
        mine = [one for one in findings if one.cause == cause or one.cause.startswith(f"{cause} ")]
        book.stand(mine, causes=(cause,), over=CAUSES[cause])


# --- rows ---


def _rows(rows: LabelTimes, service: Service, name: str, now: datetime) -> list[Finding]:
    if not len(rows):
        return _never(service, name, now)
    quiet = row_silence(_days(rows.known_at), _days_of(now))
    if quiet is None or not quiet.stopped:
        return []
    since = _moment(quiet.since)
    return [
        Finding(
            cause="rows",
            since=since,
            kind="no rows",
            severity="critical",
            title=f"{name}: no rows have come since {since:%Y-%m-%d %H:%M} UTC",
            body=str(quiet),
            next="losswatch doctor says whether the scoring server answers; then ask who sends it rows",
        )
    ]


def _never(service: Service, name: str, now: datetime) -> list[Finding]:
    """A service that has had no row, for two whole windows."""
    whole = service.window.windows_until(service.anchor, now)
    before = service.window.windows_until(service.anchor, service.since)
    if whole - before <= _EMPTY_WINDOWS:
        return []
    since = service.since
    return [
        Finding(
            cause="rows",
            since=since,
            kind="no rows",
            severity="critical",
            title=f"{name}: version {service.version} is in service and no rows come",
            body=f"in {whole - before - 1} whole windows since {since:%Y-%m-%d %H:%M} UTC no row was scored",
            next="losswatch doctor says whether the scoring server answers; then ask who should send it rows",
        )
    ]


# --- labels ---


def _stopped(quiet: Silence, last: datetime, name: str) -> Finding:
    return Finding(
        cause="labels",
        since=last,
        kind=STOPPED,
        severity="critical",  # without labels nobody sees what the loss does
        title=f"{name}: labels have stopped since {last:%Y-%m-%d %H:%M} UTC",
        body=str(quiet),
        next="ask whoever sends labels; losswatch labels shows how they came",
    )


def _coverage(rows: LabelTimes, name: str, now: datetime, before: bool) -> list[Finding]:
    labelled = _days(rows.first_known)
    found = coverages(_days(rows.times), labelled, _days_of(now))
    low = fallen_since(found, before=before)
    if low is None:
        return []
    return [
        Finding(
            cause=COVERAGE,
            since=_moment(float(low.day)),
            kind=COVERAGE,
            severity="warning",
            title=f"{name}: fewer rows get a label than before, seen on {_moment(float(low.day)):%Y-%m-%d}",
            body=str(found[-1]),
            next="losswatch labels shows by day what is missing; the loss is known of rows with a label alone",
        )
    ]


# --- the monitor and the receivers ---


def _failed(stores: Stores, failed: str | None, now: datetime) -> list[Finding]:
    if failed is None:
        return []
    return [
        Finding(
            cause="monitor",
            since=now,
            kind="monitor failed",
            severity="critical",
            title=f"{stores.project.name}: the monitor ended with an error",
            body=f"{failed}; its windows stay due and are judged by the next run that does not fail",
            next="losswatch monitor --debug shows where; losswatch doctor looks at the stores",
        )
    ]


def _late(late: Late, name: str) -> Finding:
    return Finding(
        cause="monitor",
        since=late.since,
        kind="monitor silent",
        severity="critical",
        title=f"{name}: the monitor does not run",
        body=str(late),
        next="losswatch doctor says what of losswatch up is missing; losswatch monitor judges what is due now",
    )


def _receivers(stores: Stores, book: Book, now: datetime) -> list[Finding]:
    states = receiver_states(book.events, stores.project.config.alerts.known(), now)
    return [
        Finding(
            cause=f"receiver {state.name}",
            since=state.since,
            kind="receiver down",
            severity="warning",
            title=f"{stores.project.name}: {state.name} takes no alerts since {state.since:%Y-%m-%d %H:%M} UTC",
            body=f"{state.failures} tries failed, the last one because: {state.reason}; {state.waiting} wait for it",
            next="losswatch alerts test tries it now; docs/alerts.md has the forms of an address",
        )
        for state in states
        if state.since is not None and state.is_down(now)
    ]


# --- days since 1970 ---


def _days(moments: Array) -> Array:
    """Moments as days since 1970; NaT becomes nan."""
    found: Array = moments.astype("datetime64[us]").astype(np.float64) / 86_400e6
    found[np.isnat(moments)] = np.nan
    return found


def _days_of(moment: datetime) -> float:
    return float(_days(np.array([numpy_moment(moment)]))[0])


def _moment(days: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(days * 86_400e6))


def _since(rows: LabelTimes, moment: datetime) -> LabelTimes:
    kept = rows.times >= numpy_moment(moment)
    return LabelTimes(rows.times[kept], rows.known_at[kept], rows.first_known[kept])
