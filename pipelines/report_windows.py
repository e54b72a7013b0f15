"""What became of a project, read from the events of its log: windows, versions that came and went, services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pipelines.estimating import ESTIMATE
from pipelines.retraining import AUTHOR
from pipelines.service import RETRAINING, SERVICE, VERDICT

if TYPE_CHECKING:
    from pipelines.log import Event

ALARMS = ("harmful shift", "concept change")
ROLLBACK = "rollback"

TurnKind = Literal["first", "promoted", "refused", "rolled back", "by hand"]


@dataclass(frozen=True)
class Estimate:
    """The loss that was expected before labels came, with its interval; trusted: while it has been right."""

    loss: float
    low: float
    high: float
    trusted: bool
    reason: str


@dataclass(frozen=True)
class ReportWindow:
    """A judged window: its loss, the verdict with its evidence, and what was done.

    loss: None where no truth has come. challenger: the version that this window's retraining made; promoted:
    whether it was let in. gate: why. evidence: what the log keeps beside the verdict, {} of an older log.
    """

    number: int
    start: datetime
    end: datetime
    known_at: datetime
    rows: int
    labelled: int
    loss: float | None
    version: int
    verdict: str
    action: str
    reasons: tuple[str, ...]
    challenger: int | None = None
    promoted: bool = False
    gate: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alarmed(self) -> bool:
        return self.verdict in ALARMS

    @property
    def outcome(self) -> Literal["promoted", "refused", "open", ""]:
        """What became of a retraining that this window asked for; "" where it asked for none."""
        if self.challenger is not None:
            return "promoted" if self.promoted else "refused"
        return "open" if self.action in ("update", "refit") else ""

    @property
    def shifted(self) -> tuple[str, ...]:
        """Names of the columns that the verdict calls shifted, most evidence first."""
        if alarm := self.evidence.get("input_alarm"):
            return tuple(map(str, alarm.get("columns", ())))
        return tuple(str(column["name"]) for column in self.evidence.get("shifted", ()))

    @property
    def names_columns(self) -> bool:
        """Whether the evidence says which columns moved; that of an older log does not."""
        return "shifted" in self.evidence or "input_alarm" in self.evidence

    @property
    def estimate(self) -> Estimate | None:
        return _estimate(self.evidence.get("estimate"))


@dataclass(frozen=True)
class Pending:
    """A window that has ended and whose labels are not due yet, with what is expected of it."""

    start: datetime
    end: datetime
    estimate: Estimate


@dataclass(frozen=True)
class Turn:
    """A moment at which another version began to serve, or was kept from it."""

    at: datetime
    kind: TurnKind
    version: int
    author: str
    reason: str


@dataclass(frozen=True)
class Stretch:
    """A service: one version against one reference. until: None while it lasts; loss: of the reference."""

    version: int
    since: datetime
    until: datetime | None
    loss: float | None


@dataclass(frozen=True)
class Life:
    """Everything that the events tell, the oldest first."""

    windows: tuple[ReportWindow, ...]
    turns: tuple[Turn, ...]
    services: tuple[Stretch, ...]
    pending: tuple[Pending, ...] = ()

    def since_of(self, window: ReportWindow) -> datetime:
        """When the service began that a verdict is about; the one that it led to began at the same moment."""
        begun = [service.since for service in self.services if service.since < window.known_at]
        return begun[-1] if begun else datetime(1970, 1, 1, tzinfo=UTC)


def read_life(events: Sequence[Event]) -> Life:
    """The life of a project, from the events of its log in the order in which they were known."""
    retrained = {event.payload["window"]: event.payload for event in events if event.kind == RETRAINING}
    verdicts = sorted(
        (event for event in events if event.kind == VERDICT), key=lambda event: event.payload["number"]
    )
    windows = tuple(_window(event, retrained.get(event.payload["number"], {})) for event in verdicts)
    return Life(windows, _turns(events), _stretches(events), _pending(events, windows))


def _window(event: Event, retrained: Mapping[str, Any]) -> ReportWindow:
    payload = event.payload
    return ReportWindow(
        number=payload["number"],
        start=datetime.fromisoformat(payload["start"]),
        end=datetime.fromisoformat(payload["end"]),
        known_at=event.known_at,
        rows=payload["rows"],
        labelled=payload["labelled"],
        loss=payload["loss"],
        version=payload["version"],
        verdict=payload["verdict"],
        action=payload["action"],
        reasons=tuple(payload["reasons"]),
        challenger=retrained.get("challenger"),
        promoted=bool(retrained.get("promoted")),
        gate=tuple(retrained.get("reasons", ())),
        evidence=payload.get("evidence") or {},
    )


def _estimate(kept: Mapping[str, Any] | None) -> Estimate | None:
    if not kept or kept.get("loss") is None:
        return None
    loss = float(kept["loss"])
    low, high = (loss if kept.get(name) is None else float(kept[name]) for name in ("low", "high"))
    return Estimate(loss, low, high, bool(kept.get("trusted", True)), str(kept.get("reason") or ""))


def _pending(events: Sequence[Event], windows: Sequence[ReportWindow]) -> tuple[Pending, ...]:
    """Of windows after the last that was judged; of several estimates of one the newest."""
    judged = windows[-1].end if windows else datetime(1970, 1, 1, tzinfo=UTC)
    found: dict[datetime, Pending] = {}
    for event in events:
        estimate = _estimate(event.payload) if event.kind == ESTIMATE else None
        if estimate is not None and (start := datetime.fromisoformat(event.payload["start"])) >= judged:
            found[start] = Pending(start, datetime.fromisoformat(event.payload["end"]), estimate)
    return tuple(found[start] for start in sorted(found))


def _turns(events: Sequence[Event]) -> tuple[Turn, ...]:
    """A retraining's end first, for the service that it led to began at the same moment."""
    rolled = {event.known_at for event in events if event.kind == ROLLBACK}
    found, served = [], 0
    for event in events:
        if event.kind == RETRAINING and event.payload.get("challenger") is not None:
            kind: TurnKind = "promoted" if event.payload["promoted"] else "refused"
            reason = "; ".join(event.payload["reasons"])
            found.append(Turn(event.known_at, kind, event.payload["challenger"], event.author, reason))
        elif event.kind == SERVICE and (event.author != AUTHOR or not served):
            by_hand: TurnKind = "rolled back" if event.known_at in rolled else "by hand"
            kind = by_hand if served else "first"
            reason = str(event.payload.get("reason", ""))
            found.append(Turn(event.known_at, kind, event.payload["version"], event.author, reason))
        served += event.kind == SERVICE
    return tuple(found)


def _stretches(events: Sequence[Event]) -> tuple[Stretch, ...]:
    begun = [event for event in events if event.kind == SERVICE]
    ends: list[datetime | None] = [event.known_at for event in begun[1:]]
    return tuple(
        Stretch(event.payload["version"], event.known_at, until, _reference_loss(event))
        for event, until in zip(begun, [*ends, None][: len(begun)], strict=True)
    )


def _reference_loss(event: Event) -> float | None:
    loss = event.payload.get("reference", {}).get("loss")
    return None if loss is None else float(loss)
