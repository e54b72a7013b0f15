"""`losswatch alerts`: what stands, who knows, who was told; acknowledging, trying, and sending what waits."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pipelines import heartbeat
from pipelines.alerts import KINDS, Alert, acknowledge
from pipelines.errors import UserError
from pipelines.outbox import (
    Channel,
    ReceiverState,
    channels,
    open_alerts,
    past_alerts,
    receiver_states,
    send_all,
)
from pipelines.receivers import Message, plain_text
from pipelines.silence import monitor_late
from pipelines.stores import Stores, open_stores

if TYPE_CHECKING:
    from pipelines.project import Project

Action = Literal["list", "ack", "test", "deliver"]
ACTIONS: tuple[Action, ...] = ("list", "ack", "test", "deliver")
_SHOWN = 10  # alerts that are over; --json has all


@dataclass(frozen=True)
class AlertsResult:
    """What stands, what is over, and how the receivers fare."""

    name: str
    open: tuple[Alert, ...]
    past: tuple[Alert, ...]
    receivers: tuple[ReceiverState, ...]

    def lines(self) -> list[str]:
        told = [line for alert in self.open for line in _open_lines(alert)] or [
            f"{self.name}: nothing stands"
        ]
        if self.past:
            shown = self.past[:_SHOWN]
            left = len(self.past) - len(shown)
            told += ["over:", *(f"  {_past_line(alert)}" for alert in shown)]
            told += [f"  and {left} more, all of them with --json"] if left else []
        return [*map(plain_text, told), *receiver_lines(self.receivers)]


def _open_lines(alert: Alert) -> list[str]:
    known = f"since {alert.since:%Y-%m-%d %H:%M}"
    if alert.acknowledged is not None:
        note = f": {alert.acknowledged.note}" if alert.acknowledged.note else ""
        worse = "" if alert.acknowledged.stage == alert.stage else ", before it got worse"
        known += f"; {alert.acknowledged.by} knows, {alert.acknowledged.at:%Y-%m-%d %H:%M}{note}{worse}"
    else:
        known += "; nobody has acknowledged it"
    links = [f"    {name}: {link}" for name, link in alert.links.items()]
    return [alert.line(), f"    {known}", f"    {alert.body}", f"    next: {alert.next}", *links]


def _past_line(alert: Alert) -> str:
    ended = f"{alert.over_at:%Y-%m-%d %H:%M}" if alert.over_at else ""
    return f"{alert.line()}; over {ended}: {alert.over}"


def receiver_lines(states: Sequence[ReceiverState]) -> list[str]:
    """A line for each receiver."""
    if not states:
        return ["receivers: none; alerts are in the log alone until [alerts] names one"]
    return [f"receiver {state.name}: {_state(state)}" for state in states]


def _state(state: ReceiverState) -> str:
    lost = f"; {state.given_up} were too old when they could have been sent" if state.given_up else ""
    if state.failures and state.since is not None:
        tries = f"{state.failures} {'try' if state.failures == 1 else 'tries'} failed"
        return (
            f"takes nothing since {state.since:%Y-%m-%d %H:%M} ({tries}: {state.reason}); "
            f"{state.waiting} wait{lost}"
        )
    return f"{state.waiting} wait{lost}" if state.waiting else f"nothing waits{lost}"


def alerts(project: Project, now: datetime) -> AlertsResult:
    """Every alert of a project, what stands first and the gravest of it before the others."""
    events = open_stores(project).log.events(kind=KINDS) if project.log_folder().is_dir() else []
    return AlertsResult(
        project.name,
        tuple(open_alerts(events)),
        tuple(past_alerts(events)),
        receiver_states(events, project.config.alerts.known(), now),
    )


def alert_lines(stores: Stores, now: datetime) -> list[str]:
    """What `losswatch status` says of alerts and of the monitor."""
    project = stores.project
    late = monitor_late(stores, now)
    last = heartbeat.read(project.log_folder()).last
    ran = [str(late)] if late else [f"the monitor last ran at {last:%Y-%m-%d %H:%M}"] if last else []
    events = stores.log.events(kind=KINDS)
    states = receiver_states(events, project.config.alerts.known(), now)
    down = receiver_lines([state for state in states if state.failures]) if states else []
    return [*ran, *(plain_text(f"alert {alert.line()}") for alert in open_alerts(events)), *down]


# --- somebody knows ---


@dataclass(frozen=True)
class Acknowledged:
    """The alerts that somebody knows of now."""

    alerts: tuple[Alert, ...]

    def lines(self) -> list[str]:
        return [plain_text(_known_line(alert)) for alert in self.alerts]


def _known_line(alert: Alert) -> str:
    if not alert.open or alert.acknowledged is None:
        return f"{alert.line()}: it is over"
    by = alert.acknowledged
    return (
        f"{alert.line()}: acknowledged by {by.by} at {by.at:%Y-%m-%d %H:%M}; told again only if it gets worse"
    )


def ack(project: Project, ids: Sequence[str], now: datetime, *, note: str = "", by: str = "") -> Acknowledged:
    """Acknowledges alerts by their ids, or by how these begin; by: who, by default who is logged in."""
    if not ids:
        raise UserError("name the alert: losswatch alerts ack ID. losswatch alerts lists them")
    log = open_stores(project).log
    who = by or _user()
    return Acknowledged(tuple(acknowledge(log, id, now=now, by=who, note=note) for id in ids))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a process without a name
        return "operator"


# --- trying ---


@dataclass(frozen=True)
class Tried:
    """What became of a message to each receiver; None where it was taken, else why not."""

    results: dict[str, str | None] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return any(reason is not None for reason in self.results.values())

    def lines(self) -> list[str]:
        return [
            f"{name}: taken" if reason is None else f"{name}: {reason}"
            for name, reason in self.results.items()
        ]


def try_receivers(project: Project, names: Sequence[str], now: datetime) -> Tried:
    """Sends a message to receivers, all where none is named, whatever their least severity is."""
    log = open_stores(project).log
    message = _test_message(project.name, now)
    results: dict[str, str | None] = {}
    for channel in _chosen(project, names):
        _, reason = send_all(log, channel, [message], now)
        results[channel.name] = reason or None
    return Tried(results)


def _chosen(project: Project, names: Sequence[str]) -> tuple[Channel, ...]:
    known = channels(project)
    if not known:
        raise UserError('no receiver is set. Write e.g. receivers = {team = "env:TEAM_CHAT"} into [alerts]')
    unknown = [name for name in names if name not in {channel.name for channel in known}]
    if unknown:
        raise UserError(
            f"{unknown[0]}: no such receiver. There are: {', '.join(channel.name for channel in known)}"
        )
    return tuple(channel for channel in known if not names or channel.name in names)


def _test_message(name: str, now: datetime) -> Message:
    return Message(
        id=f"test.{now:%Y%m%dT%H%M%S%f}",
        alert="test",
        status="test",
        severity="info",
        kind="test",
        title=f"{name}: a test of losswatch alerts",
        body="This receiver gets the alerts of this project. Nothing is the matter.",
        next="",
        links={},
        known_at=now.isoformat(),
    )


# --- sending what waits ---


@dataclass(frozen=True)
class Sent:
    """What was sent now, and why the rest was not. late: that the monitor does not run, where it does not."""

    sent: dict[str, int]
    failures: dict[str, str]
    waiting: int
    late: str | None

    @property
    def failed(self) -> bool:
        return bool(self.failures)

    def lines(self) -> list[str]:
        told = [f"{name}: {count} sent" for name, count in self.sent.items()]
        told += [f"{name}: {reason}" for name, reason in self.failures.items()]
        told += [self.late] if self.late else []
        return told or ["nothing waits"]


def send_waiting(project: Project, now: datetime) -> Sent:
    """Sends at once what waits, and says first where the monitor does not run."""
    from pipelines.telling import tell_that_nobody_watches

    stores = open_stores(project)
    if not project.log_folder().is_dir():
        return Sent({}, {}, 0, None)
    told = tell_that_nobody_watches(stores, now, at_once=True)
    late = monitor_late(stores, now)
    waiting = heartbeat.read(project.log_folder()).waiting
    return Sent(dict(told.delivered.sent), dict(told.delivered.failed), waiting, str(late) if late else None)
