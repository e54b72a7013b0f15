"""The alerts of the report: who knows, what is to be done, what is over."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import lives

from pipelines.alerts import Acknowledgement
from pipelines.report_alerts import MOST_PAST, alerts_section
from pipelines.report_page import render_report

NIGHT = datetime(2013, 4, 20, 3, 15, tzinfo=UTC)


def said(*alerts: Any) -> str:
    text = re.sub(r"<[^>]+>", " ", alerts_section(alerts))
    return re.sub(r"\s+", " ", html.unescape(text)).strip()


def test_where_there_never_was_one_there_is_no_section() -> None:
    assert alerts_section(()) == ""
    assert 'href="#alerts"' not in render_report(lives.made_page())


def test_an_alert_says_since_when_what_to_do_and_how_to_acknowledge_it() -> None:
    assert said(lives.alert(body="loss < 0.62 & more")) == (
        "Alerts 1 stands bikes: harmful shift since 18 Apr 2013, 00:00 loss < 0.62 & more Next Wait for the gate "
        "warning; nobody has acknowledged it: losswatch alerts ack 000000002d"
    )


def test_who_knows_is_named_until_it_gets_worse() -> None:
    known = Acknowledgement("ann", NIGHT, "on it", stage=1)
    assert said(lives.alert(acknowledged=known)).endswith(
        "warning; ann knows since 20 Apr 2013, 03:15: on it"
    )
    worse = said(lives.alert(acknowledged=known, stage=2))
    assert worse.endswith(
        "ann knows since 20 Apr 2013, 03:15: on it; it got worse since: losswatch alerts ack 000000002d"
    )


def test_what_is_over_says_how_it_ended() -> None:
    past = [
        lives.alert(
            number,
            over="the next version is as good as the first was",
            over_at=NIGHT + timedelta(days=number),
        )
        for number in range(MOST_PAST + 2)
    ]
    told = said(*past)
    assert told.startswith(
        "Alerts nothing stands 52 alerts over 4 Mar 2013, 00:00: bikes: harmful shift; the next version"
    )
    assert told.endswith("2 older alerts not shown.")
    assert told.count("harmful shift;") == MOST_PAST


def test_only_addresses_that_anybody_can_open_are_links() -> None:
    links = {"page": "https://example.org/?a=1&b=2", "file": "file:///secret", "odd": "javascript:alert(1)"}
    found = re.findall(r'<a href="([^"]*)"', alerts_section([lives.alert(links=links)]))
    assert found == ["https://example.org/?a=1&amp;b=2"]


def test_it_stands_before_the_chart_and_can_be_jumped_to() -> None:
    text = render_report(lives.made_page(alerts=(lives.alert(title="<b>odd</b>"),)))
    assert text.index('href="#alerts"') < text.index('id="alerts"') < text.index('id="chart"')
    assert "<b>odd</b>" not in text
    over = render_report(lives.made_page(alerts=(lives.alert(over="back to normal", over_at=NIGHT),)))
    assert over.index('id="chart"') < over.index('id="alerts"')  # nothing stands any more
