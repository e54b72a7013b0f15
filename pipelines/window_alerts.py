"""What the verdicts on windows mean for people: small rules, and causes that last from window to window.

A pure function of the verdicts and services in the log, so a backfill finds the alerts that a live run found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pipelines.alerts import Book, Episode, Finding
from pipelines.service import SERVICE, VERDICT

if TYPE_CHECKING:
    from pipelines.log import Event
    from pipelines.stores import Stores

FAULT, LOSS, INPUTS = "data fault", "loss", "inputs"  # causes
_ACTS = ("update", "refit")  # what losswatch does about harm by itself
_HARM = ("harmful shift", "concept change")  # the second asks more of whoever has to understand it
_KNOWN_LOSS = ("quiet", "benign shift", *_HARM)  # verdicts that know of the loss


@dataclass(frozen=True)
class Judged:
    """A verdict of the log. faults: columns of which the feed is broken, each with what is wrong with it."""

    start: datetime
    end: datetime
    rows: int
    version: int
    verdict: str
    action: str
    reasons: tuple[str, ...]
    faults: frozenset[str] = field(default_factory=frozenset)

    @property
    def why(self) -> str:
        return "; ".join(self.reasons)


def judged(payload: Mapping[str, Any]) -> Judged:
    """A verdict from what its event says."""
    faults = payload.get("evidence", {}).get("faults", [])
    return Judged(
        start=datetime.fromisoformat(payload["start"]),
        end=datetime.fromisoformat(payload["end"]),
        rows=payload["rows"],
        version=payload["version"],
        verdict=payload["verdict"],
        action=payload["action"],
        reasons=tuple(payload["reasons"]),
        faults=frozenset(f"{one['column']}: {one['kind']}" for one in faults),
    )


# --- the rules: what a window says of each cause ---


def _data_fault(window: Judged, name: str, links: Mapping[str, str]) -> Finding | None:
    if window.verdict != "data fault":
        return None
    return Finding(
        cause=FAULT,
        since=window.start,
        kind=window.verdict,
        severity="critical",  # only a person can mend a feed, and no retraining helps meanwhile
        title=_title(window, name),
        body=window.why,
        next="mend the feed of the columns that are named; nothing is retrained on such rows",
        subjects=window.faults,
        links=links,
    )


def _loss(window: Judged, name: str, links: Mapping[str, str]) -> Finding | None:
    if window.verdict not in _HARM:
        return None
    acts = window.action in _ACTS
    by_itself = "losswatch retrain, unless losswatch up does it by itself"
    by_hand = (
        "losswatch report shows what changed; losswatch does nothing about it for now, for the reason above"
    )
    return Finding(
        cause=LOSS,
        since=window.start,
        kind=window.verdict,
        severity="warning" if acts else "critical",
        title=_title(window, name),
        body=window.why,
        next=by_itself if acts else by_hand,
        weight=_HARM.index(window.verdict),
        links=links,
    )


def _inputs(window: Judged, name: str, links: Mapping[str, str]) -> Finding | None:
    if window.verdict != "benign shift":
        return None
    return Finding(
        cause=INPUTS,
        since=window.start,
        kind=window.verdict,
        severity="info",  # it does not hurt
        title=_title(window, name),
        body=window.why,
        next="nothing: the loss is what it was",
        links=links,
    )


RULES: tuple[Callable[[Judged, str, Mapping[str, str]], Finding | None], ...] = (_data_fault, _loss, _inputs)


def _title(window: Judged, name: str) -> str:
    return f"{name}: {window.verdict} in the window from {window.start:%Y-%m-%d %H:%M}"


def state(window: Judged, cause: str) -> Literal["stands", "over", "unknown"]:
    """What a window says of a cause that stood before it: a broken feed, for one, says nothing of the loss.

    >>> window = Judged(datetime(2013, 3, 1), datetime(2013, 3, 8), 0, 1, "not enough evidence", "keep", ())
    >>> state(window, "loss"), state(window, "data fault")
    ('unknown', 'unknown')
    """
    stands = {FAULT: ("data fault",), LOSS: _HARM, INPUTS: ("benign shift", "harmful shift")}
    knows = {FAULT: window.rows > 0, LOSS: window.verdict in _KNOWN_LOSS, INPUTS: window.verdict == "quiet"}
    if window.verdict in stands[cause]:
        return "stands"
    return "over" if knows[cause] else "unknown"


# --- causes from window to window ---


@dataclass
class _Going:
    """A cause that stands at a window."""

    stages: list[Finding]

    def add(self, finding: Finding) -> None:
        """Keeps what is worse than all before, or about more."""
        subjects = frozenset[str]().union(*(stage.subjects for stage in self.stages))
        if finding.rank > max(stage.rank for stage in self.stages) or not finding.subjects <= subjects:
            self.stages.append(finding)


def episodes(
    name: str,
    windows: Iterable[Judged],
    services: Sequence[tuple[datetime, str]],
    links: Callable[[int], Mapping[str, str]] = lambda version: {},
) -> tuple[Episode, ...]:
    """Every cause from its first window to its end, in the order of their ends, those that stand last.

    windows, services: of the log, in any order; of a service when it began and what is said of it. A new service
    ends what was told of the one before: it is compared with a reference of its own.
    """
    going: dict[str, _Going] = {}
    done: list[Episode] = []
    starts = sorted(services)
    place = 0
    for window in sorted(set(windows), key=lambda one: one.start):
        while place < len(starts) and starts[place][0] < window.end:
            done += _all_over(going, *starts[place])
            place += 1
        done += _judged_over(going, window)
        for rule in RULES:
            finding = rule(window, name, links(window.version))
            if finding is not None and finding.cause in going:
                going[finding.cause].add(finding)
            elif finding is not None:
                going[finding.cause] = _Going([finding])
    for since, said in starts[place:]:
        done += _all_over(going, since, said)
    return (*done, *(Episode(tuple(one.stages)) for one in going.values()))


def _all_over(going: dict[str, _Going], since: datetime, said: str) -> list[Episode]:
    ended = [Episode(tuple(one.stages), said, since) for one in going.values()]
    going.clear()
    return ended


def _judged_over(going: dict[str, _Going], window: Judged) -> list[Episode]:
    over = [cause for cause in going if state(window, cause) == "over"]
    said = f"the window from {window.start:%Y-%m-%d %H:%M} is judged {window.verdict}"
    return [Episode(tuple(going.pop(cause).stages), said, window.end) for cause in over]


# --- a project ---


def tell_of_windows(stores: Stores, book: Book) -> None:
    """Adds to a project's alerts what the verdicts in its log mean."""
    windows = [judged(event.payload) for event in book.events if event.kind == VERDICT]
    begun = [_begun(event) for event in book.events if event.kind == SERVICE]
    for episode in episodes(stores.project.name, windows, begun, lambda version: links_of(stores, version)):
        book.add(episode)


def _begun(event: Event) -> tuple[datetime, str]:
    said = event.payload
    return (
        event.known_at,
        f"version {said['version']} is in service since {event.known_at:%Y-%m-%d %H:%M} and is compared with its "
        f"own reference: {said['reason']}",
    )


def links_of(stores: Stores, version: int) -> Mapping[str, str]:
    """Where to look: the page, where one was written, and the run of the version in MLflow, where one can open it."""
    key = ("links", version)
    if key not in stores.memo:
        stores.memo[key] = _links(stores, version)
    found: Mapping[str, str] = stores.memo[key]
    return found


def _links(stores: Stores, version: int) -> Mapping[str, str]:
    page = stores.project.state / "report.html"
    found = {"Report": str(page)} if page.is_file() else {}
    tracking = stores.project.tracking()
    if tracking.startswith("http"):
        run = stores.registry.version(version).run_id
        server = urlsplit(tracking)
        host = server.netloc.rpartition("@")[2]  # without a user and a password
        found["MLflow run"] = f"{server.scheme}://{host}{server.path.rstrip('/')}/#/runs/{run}"
    return found
