"""One round of alerts: what is found becomes events, what stands is remembered, what waits is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitoring.label_delay import Silence
from pipelines import heartbeat
from pipelines.alerts import KINDS, Alert, Book, open_book
from pipelines.outbox import (
    Channel,
    Delivered,
    channels,
    deliver,
    lock_of,
    open_alerts,
    pause,
    receiver_states,
)
from pipelines.silence import tell_of_monitor, tell_of_silence
from pipelines.window_alerts import tell_of_windows

if TYPE_CHECKING:
    from pipelines.stores import Stores


@dataclass(frozen=True)
class Told:
    """What came of a round. new: alerts that began or got worse; labels: how long none has come, if they stopped."""

    new: tuple[Alert, ...]
    delivered: Delivered
    labels: Silence | None = None


def tell(stores: Stores, now: datetime, *, failed: str | None = None) -> Told:
    """What the monitor does at its end, well or badly. failed: the type of the error by which it ended."""
    book = open_book(stores, now)
    before = _stages(book)
    tell_of_windows(stores, book)
    labels = tell_of_silence(stores, book, now, failed=failed)
    delivered = _send(stores, book, now)
    new = [alert for alert in book.alerts.values() if (alert.id, alert.stage) not in before and alert.open]
    return Told(tuple(new), delivered, labels)


def tell_that_nobody_watches(stores: Stores, now: datetime, *, at_once: bool = False) -> Told:
    """What somebody else does, who noticed that the monitor does not run, or that alerts wait; at_once: by hand."""
    book = open_book(stores, now)
    before = _stages(book)
    tell_of_monitor(stores, book, now)
    delivered = _send(stores, book, now, at_once=at_once)
    new = [alert for alert in book.alerts.values() if (alert.id, alert.stage) not in before and alert.open]
    return Told(tuple(new), delivered)


def tell_prefect(stores: Stores, channel: Channel, now: datetime) -> Delivered:
    """Gives the alerts of the last days to Prefect, each once, as to any receiver."""
    folder = stores.project.log_folder()
    return (
        deliver(stores.log, [channel], lock=lock_of(folder), now=now)
        if folder.is_dir()
        else Delivered({}, {})
    )


def _stages(book: Book) -> set[tuple[str, int]]:
    return {(alert.id, alert.stage) for alert in book.alerts.values()}


def _send(stores: Stores, book: Book, now: datetime, *, at_once: bool = False) -> Delivered:
    folder = stores.project.log_folder()
    book.remind()
    to = channels(stores.project)
    delivered = deliver(stores.log, to, lock=lock_of(folder), now=now, at_once=at_once)
    _note(stores, folder, to, now)
    return delivered


def _note(stores: Stores, folder: Path, to: Sequence[Channel], now: datetime) -> None:
    """Leaves beside the log what the scoring server says of alerts, and when sending is to be tried again."""
    events = stores.log.events(kind=KINDS)
    states = receiver_states(events, to, now)
    standing = Counter(alert.severity for alert in open_alerts(events))
    again = [state.last + pause(state.failures) for state in states if state.waiting and state.last]
    seen = heartbeat.read(folder)
    heartbeat.write(
        folder,
        replace(
            seen,
            open=tuple(sorted(standing.items())),
            waiting=sum(state.waiting for state in states),
            retry=min(again, default=None),
        ),
    )
