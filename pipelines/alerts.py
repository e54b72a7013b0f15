"""Alerts: one for each cause as long as it stands, an event in the log before anybody is told. Sending is `outbox`.

An alert is never changed: that it got worse, was told again, acknowledged, or is over are events of their own, each
with a key that it has only once, whoever finds it and however often.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from pipelines.log import Event, Log
from pipelines.receivers import SEVERITIES, AlertsConfig, Severity
from pipelines.service import SERVICE, VERDICT

if TYPE_CHECKING:
    from pipelines.stores import Stores

logger = logging.getLogger(__name__)

RAISED, REMINDED, OVER, ACKNOWLEDGED = "alert", "alert reminder", "alert over", "alert acknowledged"
SENT, NOT_SENT = "alert sent", "alert not sent"
KINDS = (RAISED, REMINDED, OVER, ACKNOWLEDGED, SENT, NOT_SENT)  # of events
AUTHOR = "monitor"
STALE = timedelta(days=7)  # what was over for so long when it was found tells nobody anything new


@dataclass(frozen=True)
class Finding:
    """Something that stands, and that a person should know of.

    cause: of one cause there is one alert as long as it stands; since: when it began. weight: what is worse among
    findings of one severity; subjects: what it is about, columns for instance, where one more of them is news.
    """

    cause: str
    since: datetime
    kind: str
    severity: Severity
    title: str
    body: str
    next: str
    weight: int = 0
    subjects: frozenset[str] = frozenset()
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, int]:
        """How bad it is; to be compared with others of its cause."""
        return SEVERITIES.index(self.severity), self.weight


@dataclass(frozen=True)
class Acknowledgement:
    """Somebody knows. stage: how bad it was by then; worse than that is told anew."""

    by: str
    at: datetime
    note: str
    stage: int


@dataclass(frozen=True)
class Alert:
    """A finding that was told, as it is known now.

    id: the same from a backfill and a live run; stage: 1, and one more each time that it got worse; since: when it
    began; raised: when it was first known, known_at: when this stage was; receivers: who is told; over: how it ended.
    """

    id: str
    stage: int
    kind: str
    severity: Severity
    cause: str
    title: str
    body: str
    next: str
    links: Mapping[str, str]
    since: datetime
    raised: datetime
    known_at: datetime
    weight: int
    subjects: frozenset[str]
    receivers: tuple[str, ...]
    acknowledged: Acknowledgement | None = None
    over: str | None = None
    over_at: datetime | None = None

    @property
    def open(self) -> bool:
        return self.over is None

    @property
    def waits_for_somebody(self) -> bool:
        """Whether nobody has said of it, as bad as it is now, that they know."""
        return self.open and (self.acknowledged is None or self.acknowledged.stage < self.stage)

    @property
    def rank(self) -> tuple[int, int]:
        """How bad it is, as `Finding.rank`."""
        return SEVERITIES.index(self.severity), self.weight

    def line(self) -> str:
        """The one line of it."""
        return f"{self.id}  {self.severity:<8}  {self.title}"

    def is_worse(self, finding: Finding) -> bool:
        """Whether a finding of the same cause is news."""
        return finding.rank > self.rank or not finding.subjects <= self.subjects


@dataclass(frozen=True)
class Episode:
    """A cause from its beginning to its end. stages: as it began, and each time that it got worse.

    over: how it ended; ended: when, as far as the rows say it; both None while it stands.
    """

    stages: tuple[Finding, ...]
    over: str | None = None
    ended: datetime | None = None


def alert_id(name: str, finding: Finding) -> str:
    """10 hexadecimal digits that say which project, which cause, since when.

    >>> from datetime import UTC
    >>> finding = Finding("loss", datetime(2013, 3, 1, tzinfo=UTC), "harmful shift", "warning", "", "", "")
    >>> alert_id("flights", finding)
    'd1e7072afb'
    """
    text = f"{name}\n{finding.cause}\n{finding.since.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:10]


# --- what the log says ---


def alerts_of(events: Iterable[Event]) -> dict[str, Alert]:
    """Every alert by its id, in the order in which they were raised."""
    found: dict[str, Alert] = {}
    later = []
    for event in events:
        if event.kind == RAISED and "id" in event.payload:
            before = found.get(event.payload["id"])
            found[event.payload["id"]] = _alert(event, before)
        elif event.kind in (OVER, ACKNOWLEDGED):
            later.append(event)
    for event in later:  # of one moment may be what raised an alert and what ended it
        alert = found.get(event.payload["id"])
        if alert is not None:
            found[alert.id] = _ended(alert, event) if event.kind == OVER else _known_by(alert, event)
    return found


def _alert(event: Event, before: Alert | None) -> Alert:
    said = event.payload
    if before is not None and before.stage >= said["stage"]:
        return before
    return Alert(
        id=said["id"],
        stage=said["stage"],
        kind=said["kind"],
        severity=said["severity"],
        cause=said["cause"],
        title=said["title"],
        body=said["body"],
        next=said["next"],
        links=said["links"],
        since=datetime.fromisoformat(said["since"]),
        raised=event.known_at if before is None else before.raised,
        known_at=event.known_at,
        weight=said["weight"],
        subjects=frozenset(said["subjects"]) | (before.subjects if before else frozenset()),
        receivers=tuple(dict.fromkeys((*(before.receivers if before else ()), *said["receivers"]))),
    )


def _ended(alert: Alert, event: Event) -> Alert:
    return replace(alert, over=event.payload["text"], over_at=event.known_at)


def _known_by(alert: Alert, event: Event) -> Alert:
    said = event.payload
    found = Acknowledgement(event.author, event.known_at, said["note"], said["stage"])
    earlier = alert.acknowledged
    return alert if earlier and earlier.stage >= found.stage else replace(alert, acknowledged=found)


# --- what is added to it ---


class Book:
    """The alerts of a log, to which what is found is added, each once."""

    def __init__(self, log: Log, name: str, config: AlertsConfig, now: datetime) -> None:
        """name: of the project; config: who is told; now: when what is added was known."""
        self._log, self._name, self._config, self._now = log, name, config, now
        self.events = log.events(kind=(*KINDS, VERDICT, SERVICE))
        self._keys = {event.key for event in self.events}
        self.alerts = alerts_of(self.events)

    def add(self, episode: Episode) -> None:
        """Adds what is new of a cause whose whole life is known; again it changes nothing."""
        first = episode.stages[0]
        id = alert_id(self._name, first)
        late = episode.ended is not None and episode.ended <= self._now - STALE
        for stage, finding in enumerate(episode.stages, start=1):
            self._raise(id, stage, finding, since=first.since, told=not late)
        if episode.over is not None:
            self.end(id, episode.over)

    def stand(self, findings: Sequence[Finding], *, causes: Collection[str], over: str) -> None:
        """Adds what stands at this moment, and ends what stands no longer, of these causes.

        causes: those that were looked at, or how they begin; over: what is said of those that have ended.
        """
        for finding in findings:
            known = self._open(finding.cause)
            if known is None:
                self._raise(alert_id(self._name, finding), 1, finding, since=finding.since)
            elif known.is_worse(finding):
                self._raise(known.id, known.stage + 1, finding, since=known.since)
        standing = {finding.cause for finding in findings}
        for alert in list(self.alerts.values()):
            looked = any(alert.cause == cause or alert.cause.startswith(f"{cause} ") for cause in causes)
            if alert.open and looked and alert.cause not in standing:
                self.end(alert.id, over)

    def end(self, id: str, text: str) -> None:
        """Says once that an alert is over."""
        alert = self.alerts.get(id)
        told = list(alert.receivers) if alert is not None and self._config.resolved else []
        if self._append(OVER, f"{OVER}:{id}", {"id": id, "text": text, "receivers": told}) and alert:
            logger.info("over: %s: %s", alert.title, text)

    def remind(self) -> None:
        """Tells again what stands, asks for somebody, and was told so long ago that it may be forgotten."""
        for alert in list(self.alerts.values()):
            due = (self._now - alert.known_at) // self._config.remind
            if alert.waits_for_somebody and alert.severity != "info" and due >= 1:
                payload = {
                    "id": alert.id,
                    "stage": alert.stage,
                    "number": due,
                    "receivers": self._taken(alert),
                }
                self._append(REMINDED, f"{REMINDED}:{alert.id}.{alert.stage}.{due}", payload)

    def _taken(self, alert: Alert) -> list[str]:
        """Who has heard of it: to others the alert itself is still to be sent."""
        message = f"{alert.id}.{alert.stage}"
        heard = {
            event.payload["receiver"]
            for event in self.events
            if event.kind == SENT and event.payload.get("alert") == message
        }
        return [name for name in alert.receivers if name in heard]

    def _open(self, cause: str) -> Alert | None:
        return next((one for one in self.alerts.values() if one.open and one.cause == cause), None)

    def _raise(self, id: str, stage: int, finding: Finding, *, since: datetime, told: bool = True) -> None:
        receivers = [
            one.name
            for one in self._config.known()
            if told and one.wants(finding.severity) and finding.cause != f"receiver {one.name}"
        ]
        payload = {
            "id": id,
            "stage": stage,
            "kind": finding.kind,
            "severity": finding.severity,
            "cause": finding.cause,
            "title": finding.title,
            "body": finding.body,
            "next": finding.next,
            "links": dict(finding.links),
            "since": since.isoformat(),
            "weight": finding.weight,
            "subjects": sorted(finding.subjects),
            "receivers": receivers,
        }
        if self._append(RAISED, f"{RAISED}:{id}.{stage}", payload) and told:
            level = logging.INFO if finding.severity == "info" else logging.WARNING
            logger.log(level, "%s: %s", finding.title, finding.body)

    def _append(self, kind: str, key: str, payload: Mapping[str, Any]) -> bool:
        """Adds an event, if neither this process nor another one has; what it says is known from then on."""
        if key in self._keys:
            return False
        new = self._log.append_event(kind, payload, known_at=self._now, author=AUTHOR, key=key)
        self._keys.add(key)
        self.events.append(Event(kind, self._now, AUTHOR, payload, key))
        self.alerts = alerts_of(self.events)
        return new


def open_book(stores: Stores, now: datetime) -> Book:
    """The alerts of a project."""
    return Book(stores.log, stores.project.name, stores.project.config.alerts, now)


def acknowledge(log: Log, id: str, *, now: datetime, by: str, note: str = "") -> Alert:
    """Somebody knows of an alert: it is not told again until it gets worse. id: or the letters that it begins with."""
    alert = _named(alerts_of(log.events(kind=KINDS)), id)
    if not alert.waits_for_somebody:
        return alert
    payload = {"id": alert.id, "stage": alert.stage, "note": note}
    key = f"{ACKNOWLEDGED}:{alert.id}.{alert.stage}"
    log.append_event(ACKNOWLEDGED, payload, known_at=now, author=by, key=key)
    return alerts_of(log.events(kind=KINDS))[alert.id]


def _named(alerts: Mapping[str, Alert], id: str) -> Alert:
    found = [alert for alert in alerts.values() if alert.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(alert.id for alert in alerts.values() if alert.open) or "none"
    problem = "several alerts begin so" if found else "there is no such alert"
    raise UserError(f"{id}: {problem}. Open are: {known}")
