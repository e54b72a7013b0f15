"""Where a project stands: one sentence of what happened, one of what to do next, and the findings behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pipelines.addresses import absolute_uri, sqlite_file
from pipelines.figures import decimals_for, number
from pipelines.report_labels import read_coverage
from pipelines.report_windows import Life, ReportWindow, read_life
from pipelines.service import current_service

if TYPE_CHECKING:
    from pipelines.stores import Stores

Kind = Literal["quiet", "harmful", "concept", "fault", "benign", "thin", "promoted", "refused", "open"]

# the word in the records, and the short name of its mark
MARKS: dict[str, Kind] = {
    "quiet": "quiet",
    "not enough evidence": "thin",
    "benign shift": "benign",
    "harmful shift": "harmful",
    "concept change": "concept",
    "data fault": "fault",
}
OTHER: Kind = "thin"  # a verdict that this page does not know is shown, and not as quiet
SPARK = 40  # windows in the terminal
_BARS = "▁▂▃▄▅▆▇█"
_NAMED = 4  # columns that a sentence names
LATE = 2  # window lengths after which a monitor that has not judged is a finding


def mark_of(verdict: str) -> Kind:
    """The mark of a verdict.

    >>> mark_of("concept change"), mark_of("a verdict of tomorrow")
    ('concept', 'thin')
    """
    return MARKS.get(verdict, OTHER)


@dataclass(frozen=True)
class Finding:
    """One line of what was found. kind: its mark."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Standing:
    """kind: the mark of the whole. headline: what happened; advice: what to do next; command: to type, if any."""

    kind: Kind
    headline: str
    advice: str
    command: str | None
    findings: tuple[Finding, ...]

    def lines(self) -> list[str]:
        """For the terminal: the sentence, the findings, the next step."""
        told = [self.headline, *(f"  {finding.text}" for finding in self.findings)]
        return [*told, f"next: {self.command or self.advice}"]


@dataclass(frozen=True)
class Circumstances:
    """What a standing follows from. versions: how many were trained; silence: how long no label has come, in words,
    where they have stopped; overdue: windows that could have been judged and are not.
    """

    life: Life
    versions: int
    delay: timedelta = timedelta(0)
    silence: str | None = None
    overdue: int = 0

    @property
    def newest(self) -> ReportWindow:
        return self.life.windows[-1]


Rule = Callable[[Circumstances], tuple[Kind, str, str, str | None] | None]


def standing(found: Circumstances) -> Standing:
    """The first rule that has something to say gives the sentence; the findings hold the rest."""
    kind, headline, advice, command = next(said for rule in RULES if (said := rule(found)) is not None)
    findings = tuple(one for finder in FINDERS for one in finder(found)) if found.life.windows else ()
    return Standing(
        kind, headline, advice, command, tuple(one for one in findings if one.text not in headline)
    )


def markdown(name: str, found: Standing, windows: Sequence[ReportWindow], page: str) -> str:
    """The short form, for whoever shows Markdown: the sentence, the findings, the newest windows."""
    command = f": `{found.command}`" if found.command else ""
    told = [
        f"# {_escaped(name)}",
        f"**{_escaped(found.headline)}**",
        f"Next: {_escaped(found.advice)}{command}",
    ]
    told.append("\n".join(f"- {_escaped(finding.text)}" for finding in found.findings))
    decimals = decimals_for([window.loss for window in windows])
    rows = [
        f"| {span(one)} | {one.rows:,} | {number(one.loss, decimals)} | v{one.version} | {one.verdict} | {one.action} |"
        for one in reversed(windows[-10:])
    ]
    head = ["| window | rows | loss | version | verdict | action |", "|---|--:|--:|---|---|---|"]
    told.append("\n".join([*head, *rows]) if rows else "")
    return "\n\n".join([*(part for part in told if part), f"The page: `{page}`"]) + "\n"


def _escaped(text: str) -> str:
    """Text without what Markdown would take for its own.

    >>> print(_escaped("a_b <c>"))
    a\\_b &lt;c&gt;
    """
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#" else letter for letter in plain)


def sparkline(losses: Sequence[float | None]) -> str:
    """Losses as one line of text, from the lowest to the highest; a space where there is none.

    >>> sparkline([0.1, 0.2, None, 0.8])
    '▁▂ █'
    """
    known = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(
        " " if loss is None or not math.isfinite(loss) else _BARS[round((loss - low) / step)]
        for loss in losses
    )


def spark_of(windows: Sequence[ReportWindow]) -> str | None:
    """The newest losses with their lowest and highest; None where no window has one."""
    shown = windows[-SPARK:]
    known = [window.loss for window in shown if window.loss is not None and math.isfinite(window.loss)]
    if not known:
        return None
    decimals = decimals_for(known)
    low, high = number(min(known), decimals), number(max(known), decimals)
    line = sparkline([window.loss for window in shown])
    return f"loss {line}  {low} to {high} in {counted(len(shown), 'window')}"


# --- from the stores ---


def version_count(stores: Stores) -> int:
    """How many versions there are; a store that is not there yet is not made for a look at it."""
    database = sqlite_file(absolute_uri(stores.project.tracking(), stores.project.folder))
    return 0 if database is not None and not database.is_file() else len(stores.registry.versions())


def circumstances(
    stores: Stores, life: Life, now: datetime, *, silence: str | None = None, versions: int | None = None
) -> Circumstances:
    """What the standing of a project at a moment follows from."""
    service, delay = current_service(stores, now), stores.project.config.data.label_delay
    last = max((window.number for window in life.windows), default=-1)
    due = service.windows_until(now, delay) if service is not None else []
    return Circumstances(
        life=life,
        versions=version_count(stores) if versions is None else versions,
        delay=delay,
        silence=silence,
        overdue=sum(number > last for number, _ in due),
    )


def read_standing(stores: Stores, now: datetime) -> tuple[Standing, Life]:
    """Where a project stands, from its log and registry alone: no row is read but the times of labels."""
    life = read_life(stores.log.events(known_until=now))
    silence = read_coverage(stores.log, now).silence if life.windows else None
    return standing(circumstances(stores, life, now, silence=silence)), life


# --- the sentence ---


def _nothing_trained(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    if found.versions or found.life.services:
        return None
    return "open", "No version has been trained yet.", "Train the first one", "losswatch train"


def _nothing_serves(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    if found.life.services:
        return None
    trained = (
        f"{counted(found.versions, 'version')} {'is' if found.versions == 1 else 'are'} trained; none serves."
    )
    return "open", trained, "Let the first one in", "losswatch promote --first"


def _nothing_judged(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    if found.life.windows:
        return None
    service = found.life.services[-1]
    said = f"Version {service.version} serves since {day(service.since)}; no window has been judged yet."
    if found.overdue:
        return "open", said, "Judge the windows that are due", "losswatch monitor"
    return "open", said, "Nothing: each window is judged once it is over and its labels are due", None


def _asks(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    window = found.newest
    if window.outcome != "open" or found.life.services[-1].since > window.known_at:
        return None
    said = f"{_harm(found)} A retraining ({window.action}) is asked for and has not happened."
    return mark_of(window.verdict), said, "Train a challenger", "losswatch retrain"


def _fault(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    window = found.newest
    if window.verdict != "data fault":
        return None
    faults = window.evidence.get("faults") or ()
    what = str(faults[0]["text"]) if faults else _first(window)
    said = f"The data of the newest window ({span(window)}) are faulty: {what}."
    return "fault", said, "Mend the feed; nothing is retrained on faulty data", None


def _retrained(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    window = found.newest
    if window.outcome == "promoted":
        said = f"{_harm(found)} Version {window.challenger} was let in and serves since."
        return "promoted", said, "Nothing to do: the next windows show whether it holds", None
    if window.outcome == "refused":
        said = f"{_harm(found)} Version {window.challenger} was not better: version {window.version} stays."
        return "refused", said, "See the gate's reasons, and what an evaluation says", "losswatch evaluate"
    return None


def _harmed(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    window = found.newest
    if not window.alarmed:
        return None
    return mark_of(window.verdict), _harm(found), "See the reasons below for why nothing was retrained", None


def _silent(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    if found.silence is None:
        return None
    return "thin", f"Labels have stopped: {found.silence}.", "See how labels come", "losswatch labels"


def _late(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    if found.overdue < LATE:
        return None
    said = f"The monitor has not run: {counted(found.overdue, 'window')} since {day(found.newest.end)} are not judged."
    return "thin", said, "Judge them, or keep everything running with losswatch up", "losswatch monitor"


def _thin(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    window = found.newest
    if window.verdict != "not enough evidence":
        return None
    labels = f"{window.labelled:,} labels for {window.rows:,} rows"
    said = f"The newest window ({span(window)}) has {labels}: too few to judge."
    return "thin", said, "See how labels come", "losswatch labels"


def _benign(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    window = found.newest
    if window.verdict != "benign shift":
        return None
    moved = _names(window.shifted) or "some columns"
    said = f"The inputs of the newest window moved ({moved}); no harm is shown: {_loss(found)}."
    return "benign", said, "Nothing to do", None


def _other(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    window = found.newest
    if window.verdict == "quiet":
        return None
    said = f"The newest window ({span(window)}): {window.verdict}; {_first(window)}."
    return mark_of(window.verdict), said, "See its reasons below", None


def _quiet(found: Circumstances) -> tuple[Kind, str, str, str | None] | None:
    windows = found.life.windows
    calm = next((k for k, one in enumerate(reversed(windows)) if one.verdict != "quiet"), len(windows))
    return "quiet", f"All is quiet for {counted(calm, 'window')}: {_loss(found)}.", "Nothing to do", None


RULES: tuple[Rule, ...] = (
    _nothing_trained, _nothing_serves, _nothing_judged, _asks, _fault, _retrained, _harmed, _silent, _late, _thin,
    _benign, _other, _quiet,
)  # fmt: skip


def _harm(found: Circumstances) -> str:
    window = found.newest
    what = (
        "The world that it learned has changed"
        if window.verdict == "concept change"
        else "The loss has risen"
    )
    return f"{what} ({span(window)}): {_loss(found)}."


def _loss(found: Circumstances) -> str:
    """The newest loss beside the reference of the service that it is about."""
    window = found.newest
    before = [one for one in found.life.services if one.since < window.known_at]
    reference = before[-1].loss if before else None
    decimals = decimals_for([window.loss, reference])
    if window.loss is None:
        return "no loss is known yet"
    if reference is None:
        return f"loss {number(window.loss, decimals)}"
    change = _change(window.loss, reference)
    return f"loss {number(window.loss, decimals)}, reference {number(reference, decimals)}{change}"


def _change(loss: float, reference: float) -> str:
    """
    >>> _change(0.6, 0.5), _change(0.5, 0.0)
    (' (+20 %)', '')
    """
    if not reference > 0 or not math.isfinite(loss):
        return ""
    return f" ({100 * (loss / reference - 1):+.0f} %)".replace("-", "−")


# --- the findings ---


def _reasons(found: Circumstances) -> list[Finding]:
    window = found.newest
    return (
        [Finding(mark_of(window.verdict), reason) for reason in window.reasons[:3]]
        if window.verdict != "quiet"
        else []
    )


def _estimated(found: Circumstances) -> list[Finding]:
    """Of the newest window whose labels are not due; of the newest that was judged where there is none."""
    pending = found.life.pending
    estimate = pending[-1].estimate if pending else found.newest.estimate
    if estimate is None or not estimate.trusted:
        return []
    decimals = decimals_for([estimate.loss])
    low, high = number(estimate.low, decimals), number(estimate.high, decimals)
    return [
        Finding(
            "quiet", f"estimated without labels: loss {number(estimate.loss, decimals)} ({low} to {high})"
        )
    ]


def _slices(found: Circumstances) -> list[Finding]:
    raised = [str(one.get("name")) for one in slices_of(found.newest) if one.get("raised")]
    return [Finding("harmful", f"slices that lose more: {_names(raised)}")] if raised else []


def _moved(found: Circumstances) -> list[Finding]:
    window = found.newest
    if not window.shifted or window.verdict in ("benign shift",):
        return []
    return [Finding("benign", f"columns that moved: {_names(window.shifted)}")]


def _power(found: Circumstances) -> list[Finding]:
    """What a window that shows nothing could have shown."""
    told = (found.newest.evidence.get("power") or {}).get("text")
    calm = found.newest.verdict in ("quiet", "benign shift", "not enough evidence")
    return [Finding("quiet", str(told))] if told and calm else []


def _last_turn(found: Circumstances) -> list[Finding]:
    if found.newest.outcome in ("promoted", "refused") or len(found.life.turns) < 2:
        return []
    turn = found.life.turns[-1]
    words = {
        "promoted": f"version {turn.version} was let in",
        "refused": f"version {turn.version} was refused",
        "rolled back": f"rolled back to version {turn.version} by {turn.author}",
        "by hand": f"version {turn.version} was let in by {turn.author}",
        "first": f"version {turn.version} began to serve",
    }
    return [
        Finding(
            "refused" if turn.kind == "refused" else "promoted",
            f"last change: {words[turn.kind]} on {day(turn.at)}",
        )
    ]


def _last_alarm(found: Circumstances) -> list[Finding]:
    alarms = [window for window in found.life.windows if window.alarmed]
    if not alarms:
        return [Finding("quiet", f"no alarm in {counted(len(found.life.windows), 'window')}")]
    last = alarms[-1]
    if last is found.newest:
        return []
    many = f"{counted(len(alarms), 'alarm')} in {counted(len(found.life.windows), 'window')}"
    return [Finding(mark_of(last.verdict), f"{many}, the last one a {last.verdict} ({span(last)})")]


def _silence(found: Circumstances) -> list[Finding]:
    return [Finding("thin", f"labels have stopped: {found.silence}")] if found.silence else []


def _overdue(found: Circumstances) -> list[Finding]:
    if found.overdue < LATE:
        return []
    return [Finding("thin", f"{counted(found.overdue, 'window')} are due and not judged: losswatch monitor")]


FINDERS: tuple[Callable[[Circumstances], list[Finding]], ...] = (
    _reasons, _slices, _moved, _estimated, _power, _last_turn, _last_alarm, _silence, _overdue,
)  # fmt: skip


# --- words ---


def slices_of(window: ReportWindow) -> tuple[dict[str, object], ...]:
    """The slices that the evidence of a window tells of."""
    kept = window.evidence.get("slices") or ()
    return tuple(dict(one) for one in (kept.get("slices", ()) if isinstance(kept, Mapping) else kept))


def counted(count: int, what: str) -> str:
    """
    >>> counted(1, "window"), counted(1200, "window")
    ('1 window', '1,200 windows')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def day(time: datetime, *, hours: bool = False) -> str:
    """A time as people write it.

    >>> day(datetime(2013, 3, 4)), day(datetime(2013, 3, 4, 6, 30), hours=True)
    ('4 Mar 2013', '4 Mar 2013, 06:30')
    """
    return f"{time.day} {time:%b %Y}" + (f", {time:%H:%M}" if hours else "")


def span(window: ReportWindow) -> str:
    """The time of a window: its day, or its first and last day, with hours where it is shorter."""
    if window.end - window.start < timedelta(days=1):
        return f"{day(window.start, hours=True)} to {window.end:%H:%M}"
    last = window.end - timedelta(microseconds=1)
    if last.date() == window.start.date():
        return day(window.start)
    year = "" if window.start.year == last.year else f" {window.start.year}"
    return f"{window.start.day} {window.start:%b}{year} to {day(last)}"


def _first(window: ReportWindow) -> str:
    return window.reasons[0] if window.reasons else "no reason was kept"


def _names(names: Sequence[str]) -> str:
    """
    >>> _names(["a", "b"]), _names(list("abcdef"))
    ('a, b', 'a, b, c, d and 2 more')
    """
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
