"""The alerts of the report: what stands, who knows of it and how to say so, and what is over."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pipelines.alerts import Alert
from pipelines.document import symbol
from pipelines.standing import counted, day, mark_of

MOST_PAST = 50  # that are over; the newest


def alerts_section(alerts: Sequence[Alert]) -> str:
    """The section of the page; "" where there never was an alert.

    alerts: those that stand first, the gravest before the others; then those that are over, the newest first.
    """
    if not alerts:
        return ""
    standing = [alert for alert in alerts if alert.open]
    past = [alert for alert in alerts if not alert.open]
    told = f"{len(standing)} {'stands' if len(standing) == 1 else 'stand'}" if standing else "nothing stands"
    listed = "".join(map(_standing, standing))
    return f"""<section class="card" id="alerts" aria-labelledby="alerts-title">
<h2 id="alerts-title">Alerts<small>{told}</small></h2>
{f'<ul class="alerts">{listed}</ul>' if standing else ""}{_past(past)}</section>"""


def _standing(alert: Alert) -> str:
    links = "".join(
        f' <a href="{escape(link)}">{escape(name)}</a>'
        for name, link in alert.links.items()
        # a file of this machine is none of whoever reads the page
        if link.startswith(("http://", "https://"))
    )
    since = day(alert.since, hours=True)
    return (
        f"<li><h3>{symbol(mark_of(alert.kind))}{escape(alert.title)}<time>since {since}</time></h3>"
        f"<p>{escape(alert.body)}</p>"
        f'<p class="advice"><b>Next</b> {escape(alert.next)}{links}</p>'
        f"<p>{_known(alert)}</p></li>\n"
    )


def _known(alert: Alert) -> str:
    who = alert.acknowledged
    command = f"<code>losswatch alerts ack {escape(alert.id)}</code>"
    if who is None:
        return f"{escape(alert.severity)}; nobody has acknowledged it: {command}"
    note = f": {escape(who.note)}" if who.note else ""
    known = f"{escape(alert.severity)}; {escape(who.by)} knows since {day(who.at, hours=True)}{note}"
    return f"{known}; it got worse since: {command}" if alert.waits_for_somebody else known


def _past(past: Sequence[Alert]) -> str:
    if not past:
        return ""
    items = "".join(
        f"<li>{day(alert.since, hours=True)}: {escape(alert.title)}; {escape(alert.over or '')}"
        f"{f', {day(alert.over_at, hours=True)}' if alert.over_at else ''}</li>\n"
        for alert in past[:MOST_PAST]
    )
    left = len(past) - MOST_PAST
    more = f'<p class="note">{counted(left, "older alert")} not shown.</p>' if left > 0 else ""
    told = f"{counted(len(past), 'alert')} over"
    return f'<details><summary>{told}</summary><ul class="note">{items}</ul>{more}</details>'
