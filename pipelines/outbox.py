"""What is still to be sent, to whom, and sending it: each message until its receiver has taken it.

What is to be sent follows from the events of the log alone. A message that was taken is an event too, so a process
that is killed in between sends it once more, with the same id; two at once take turns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.alerts import KINDS, NOT_SENT, OVER, RAISED, REMINDED, SENT, STALE, Alert, alerts_of
from pipelines.errors import UserError
from pipelines.file_lock import Locked, file_lock
from pipelines.log import Event, Log
from pipelines.receivers import Message, NotSent, Receiver, send

if TYPE_CHECKING:
    from pipelines.project import Project

logger = logging.getLogger(__name__)

AUTHOR = "alerts"
# between two tries, fourfold from one to the next
_FIRST, _LONGEST = timedelta(minutes=1), timedelta(hours=1)
_PATIENCE = 120.0  # seconds to wait for another process that sends
DOWN_TRIES, DOWN_FOR = 3, timedelta(hours=1)  # from then on others are told of it


@dataclass(frozen=True)
class Channel:
    """A receiver and how to reach it. everything: whether it gets all messages, meant for it or not."""

    name: str
    send: Callable[[Message], None]
    everything: bool = False


@dataclass(frozen=True)
class Waiting:
    """A message, and who has not taken it yet."""

    message: Message
    receivers: tuple[str, ...]


@dataclass(frozen=True)
class ReceiverState:
    """How a receiver fares. failures: since it last took something; since, last: of these; reason: of the last.

    waiting: messages that it has still to take; given_up: that were too old before it took them.
    """

    name: str
    failures: int
    since: datetime | None
    last: datetime | None
    reason: str
    waiting: int
    given_up: int

    def may_be_tried(self, now: datetime) -> bool:
        """Whether enough time has passed since the last failure; also where the clock was set back."""
        return self.last is None or not timedelta(0) <= now - self.last < pause(self.failures)

    def is_down(self, now: datetime) -> bool:
        """Whether it has failed so often and so long that somebody else should know."""
        return self.failures >= DOWN_TRIES and self.since is not None and now - self.since >= DOWN_FOR


def pause(failures: int) -> timedelta:
    """How long to wait after so many failures in a row.

    >>> [str(pause(failures)) for failures in range(1, 6)]
    ['0:01:00', '0:04:00', '0:16:00', '1:00:00', '1:00:00']
    """
    return min(_FIRST * int(4 ** min(failures - 1, 10)), _LONGEST)


# --- what the log says ---


def messages(events: Sequence[Event]) -> list[Waiting]:
    """Every message that was ever to be sent, oldest first, and for whom."""
    alerts = alerts_of(events)
    stages = {
        (event.payload["id"], event.payload["stage"]): event
        for event in events
        if event.kind == RAISED and "id" in event.payload
    }
    found = []
    for event in events:
        said = event.payload
        if event.kind == RAISED and "id" in said:
            status = "new" if said["stage"] == 1 else "worse"
            message = _message(event, event, f"{said['id']}.{said['stage']}", status)
        elif event.kind == REMINDED and (said["id"], said["stage"]) in stages:
            raised = stages[said["id"], said["stage"]]
            message = _message(
                raised, event, f"{said['id']}.{said['stage']}.reminder-{said['number']}", "reminder"
            )
        elif event.kind == OVER and said["id"] in alerts:
            raised = stages[said["id"], alerts[said["id"]].stage]
            message = _message(raised, event, f"{said['id']}.over", "over")
        else:
            continue
        found.append(Waiting(message, tuple(said["receivers"])))
    return found


def _message(raised: Event, event: Event, id: str, status: str) -> Message:
    said = raised.payload
    over = status == "over"
    return Message(
        id=id,
        alert=said["id"],
        status=status,  # type: ignore[arg-type]
        severity=said["severity"],
        kind=said["kind"],
        title=said["title"],
        body=event.payload["text"] if over else said["body"],
        next="" if over else said["next"],
        links=said["links"],
        known_at=event.known_at.isoformat(),
    )


def waiting(
    events: Sequence[Event], channels: Iterable[Channel | Receiver], now: datetime
) -> dict[str, list[Message]]:
    """By receiver, what it has still to take, oldest first.

    What is older than 7 days is given up, but for the newest word on an alert that stands.
    """
    taken = _taken(events)
    every = messages(events)
    fresh = _fresh(events, every, now)
    found: dict[str, list[Message]] = {}
    for channel in channels:
        meant = [
            one.message
            for one in every
            if (channel.name in one.receivers or getattr(channel, "everything", False))
            and (channel.name, one.message.id) not in taken
        ]
        found[channel.name] = [message for message in meant if message.id in fresh]
    return found


def _taken(events: Iterable[Event]) -> set[tuple[str, str]]:
    return {
        (event.payload["receiver"], event.payload["alert"])
        for event in events
        if event.kind == SENT and "receiver" in event.payload
    }


def _fresh(events: Sequence[Event], every: Sequence[Waiting], now: datetime) -> set[str]:
    standing = {f"{alert.id}.{alert.stage}" for alert in alerts_of(events).values() if alert.open}
    return {
        one.message.id
        for one in every
        if one.message.id in standing or datetime.fromisoformat(one.message.known_at) > now - STALE
    }


def receiver_states(
    events: Sequence[Event], receivers: Iterable[Channel | Receiver], now: datetime
) -> tuple[ReceiverState, ...]:
    """How every receiver fares, by what the log says."""
    known = tuple(receivers)
    left = waiting(events, known, now)
    return tuple(_state(events, one, left[one.name], now) for one in known)


def _state(
    events: Sequence[Event], channel: Channel | Receiver, left: Sequence[Message], now: datetime
) -> ReceiverState:
    failures: list[Event] = []
    for event in events:
        if event.kind in (SENT, NOT_SENT) and event.payload.get("receiver") == channel.name:
            failures = [*failures, event] if event.kind == NOT_SENT else []
    taken, every = _taken(events), messages(events)
    fresh = _fresh(events, every, now)
    lost = [
        one
        for one in every
        if channel.name in one.receivers
        and one.message.id not in fresh
        and (channel.name, one.message.id) not in taken
    ]
    return ReceiverState(
        name=channel.name,
        failures=len(failures),
        since=failures[0].known_at if failures else None,
        last=failures[-1].known_at if failures else None,
        reason=str(failures[-1].payload["reason"]) if failures else "",
        waiting=len(left),
        given_up=len(lost),
    )


# --- sending ---


@dataclass(frozen=True)
class Delivered:
    """What came of an attempt. sent: by receiver, how many it took; failed: by receiver, why it did not."""

    sent: Mapping[str, int]
    failed: Mapping[str, str]


def channels(project: Project) -> tuple[Channel, ...]:
    """The receivers of a project; a secret is read when something is to be sent, and may be gone then."""
    return tuple(_channel(project, receiver) for receiver in project.config.alerts.known())


def _channel(project: Project, receiver: Receiver) -> Channel:
    def work(message: Message) -> None:
        try:
            send(message, receiver.address(project.folder), key=receiver.key)
        except UserError as error:  # which names the key and the variable, and holds no address
            raise NotSent(str(error)) from None

    return Channel(receiver.name, work)


def deliver(
    log: Log, to: Sequence[Channel], *, lock: Path, now: datetime, at_once: bool = False
) -> Delivered:
    """Sends what waits, each receiver's oldest first, until it fails; one that failed lately has its pause.

    lock: a file, by which two processes take turns; at_once: without a pause.
    """
    if not to:
        return Delivered({}, {})
    try:
        with file_lock(lock, wait=_PATIENCE):
            return _deliver(log, to, now, at_once)
    except Locked:
        logger.info("another process is sending alerts")
        return Delivered({}, {})


def _deliver(log: Log, to: Sequence[Channel], now: datetime, at_once: bool) -> Delivered:
    events = log.events(kind=KINDS)  # under the lock: what another process has sent is among them
    left = waiting(events, to, now)
    states = {state.name: state for state in receiver_states(events, to, now)}
    sent: dict[str, int] = {}
    failed: dict[str, str] = {}
    for channel in to:
        if not left[channel.name] or not (at_once or states[channel.name].may_be_tried(now)):
            continue
        count, reason = send_all(log, channel, left[channel.name], now)
        sent |= {channel.name: count} if count else {}
        failed |= {channel.name: reason} if reason else {}
    return Delivered(sent, failed)


def send_all(log: Log, channel: Channel, left: Sequence[Message], now: datetime) -> tuple[int, str]:
    """Sends messages in their order until one fails; how many were taken, and why the next one was not."""
    for count, message in enumerate(left):
        about = {"alert": message.id, "receiver": channel.name}
        try:
            channel.send(message)
        except NotSent as error:
            logger.warning("%s did not take an alert: %s", channel.name, error)
            log.append_event(NOT_SENT, {**about, "reason": str(error)}, known_at=now, author=AUTHOR)
            return count, str(error)
        key = f"{SENT}:{channel.name}:{message.id}"
        log.append_event(SENT, about, known_at=now, author=AUTHOR, key=key)
    return len(left), ""


def lock_of(log: Path) -> Path:
    """The file by which processes that send take turns. log: the folder of the log."""
    return log / "alerts.lock"


def past_alerts(events: Iterable[Event]) -> list[Alert]:
    """Alerts that are over, the newest first."""
    past = [alert for alert in alerts_of(events).values() if not alert.open]
    return sorted(past, key=lambda alert: alert.over_at or alert.known_at, reverse=True)


def open_alerts(events: Iterable[Event]) -> list[Alert]:
    """Alerts that stand, the gravest first."""
    standing = [alert for alert in alerts_of(events).values() if alert.open]
    return sorted(standing, key=lambda alert: alert.rank, reverse=True)
