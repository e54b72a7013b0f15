"""One alert for each cause as long as it stands; whoever finds it, and however often."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.alerts import Alert, Book, Episode, Finding, acknowledge, alert_id, alerts_of
from pipelines.errors import UserError
from pipelines.log import Log
from pipelines.receivers import AlertsConfig

NOW = datetime(2013, 3, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CONFIG = AlertsConfig({"team": "env:TEAM", "pager": "env:PAGER"}, {"pager": "critical"})
FINDING = Finding(
    cause="loss",
    since=NOW - 7 * DAY,
    kind="harmful shift",
    severity="warning",
    title="flights: harmful shift",
    body="loss 0.31 → 0.47",
    next="losswatch retrain",
)
WORSE = replace(FINDING, severity="critical", body="the budget of retrainings is used up")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def book(log: Log, now: datetime = NOW) -> Book:
    return Book(log, "flights", CONFIG, now)


def only(log: Log) -> Alert:
    (alert,) = alerts_of(log.events()).values()
    return alert


def test_an_alert_is_an_event_and_a_line(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    book(log).stand([FINDING], causes=["loss"], over="")
    assert "flights: harmful shift: loss 0.31 → 0.47" in caplog.text
    alert = only(log)
    assert (alert.id, alert.stage, alert.open) == (alert_id("flights", FINDING), 1, True)
    assert (alert.since, alert.raised, alert.receivers) == (FINDING.since, NOW, ("team",))


def test_what_stands_is_told_once(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    book(log).stand([FINDING], causes=["loss"], over="")
    caplog.clear()
    later = replace(FINDING, body="loss 0.31 → 0.52", since=NOW)
    book(log, NOW + DAY).stand([later], causes=["loss"], over="")
    assert [event.kind for event in log.events()] == ["alert"]
    assert caplog.text == ""


def test_what_gets_worse_is_told_again_to_those_whom_it_now_concerns(log: Log) -> None:
    book(log).stand([FINDING], causes=["loss"], over="")
    book(log, NOW + HOUR).stand([WORSE], causes=["loss"], over="")
    book(log, NOW + 2 * HOUR).stand([FINDING], causes=["loss"], over="")
    alert = only(log)
    assert (alert.stage, alert.severity, alert.receivers) == (2, "critical", ("team", "pager"))
    assert (alert.raised, alert.known_at) == (NOW, NOW + HOUR)


def test_one_more_column_is_news(log: Log) -> None:
    first = replace(FINDING, subjects=frozenset({"wind: constant"}))
    book(log).stand([first], causes=["loss"], over="")
    book(log).stand(
        [replace(first, subjects=frozenset({"wind: constant", "dep: another unit"}))],
        causes=["loss"],
        over="",
    )
    book(log).stand([replace(first, subjects=frozenset({"dep: another unit"}))], causes=["loss"], over="")
    assert only(log).stage == 2


def test_what_stands_no_longer_is_over_once_and_may_come_back_as_another(log: Log) -> None:
    book(log).stand([FINDING], causes=["loss"], over="")
    for hours in (1, 2):
        book(log, NOW + hours * HOUR).stand([], causes=["loss"], over="it is quiet")
    assert (only(log).over, only(log).over_at) == ("it is quiet", NOW + HOUR)
    book(log, NOW + DAY).stand([replace(FINDING, since=NOW + DAY)], causes=["loss"], over="")
    assert [alert.open for alert in alerts_of(log.events()).values()] == [False, True]


def test_causes_that_were_not_looked_at_stay_as_they_are(log: Log) -> None:
    book(log).stand([FINDING, replace(FINDING, cause="receiver team")], causes=[], over="")
    book(log).stand([], causes=["labels", "receiver"], over="over")
    assert [alert.open for alert in alerts_of(log.events()).values()] == [True, False]


def test_a_receiver_is_not_told_that_it_is_down_itself(log: Log) -> None:
    book(log).stand([replace(WORSE, cause="receiver team")], causes=[], over="")
    assert only(log).receivers == ("pager",)


def test_an_id_is_the_same_from_any_run_and_another_for_another_cause() -> None:
    assert alert_id("flights", FINDING) == alert_id("flights", replace(WORSE, body="", title=""))
    others = {
        alert_id("flights", FINDING),
        alert_id("bikes", FINDING),
        alert_id("flights", replace(FINDING, cause="rows")),
        alert_id("flights", replace(FINDING, since=NOW)),
    }
    assert len(others) == 4


def test_a_whole_life_is_added_once(log: Log) -> None:
    episode = Episode((FINDING, WORSE), "the window from 2013-03-08 is judged quiet", NOW)
    for hours in (0, 1):
        book(log, NOW + hours * HOUR).add(episode)
    assert [event.kind for event in log.events()] == ["alert", "alert", "alert over"]
    assert (only(log).stage, only(log).open) == (2, False)


def test_what_was_over_long_before_it_was_found_is_told_to_nobody(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    book(log, NOW + 30 * DAY).add(Episode((WORSE,), "quiet", NOW))
    assert (only(log).receivers, caplog.text) == ((), "")


# --- somebody knows ---


def test_an_acknowledged_alert_is_not_told_again_until_it_gets_worse(log: Log) -> None:
    book(log).stand([FINDING], causes=[], over="")
    found = acknowledge(log, only(log).id[:4], now=NOW + HOUR, by="ann", note="being mended")
    assert found.acknowledged is not None
    assert (found.acknowledged.by, found.acknowledged.note, found.waits_for_somebody) == (
        "ann",
        "being mended",
        False,
    )
    book(log, NOW + 3 * DAY).remind()
    assert log.events(kind="alert reminder") == []
    book(log, NOW + 3 * DAY).stand([WORSE], causes=[], over="")
    assert only(log).waits_for_somebody
    assert acknowledge(log, only(log).id, now=NOW + 4 * DAY, by="bob").acknowledged != found.acknowledged


def test_the_first_who_acknowledges_stays_the_one(log: Log) -> None:
    book(log).stand([FINDING], causes=[], over="")
    acknowledge(log, only(log).id, now=NOW, by="ann")
    assert (known := acknowledge(log, only(log).id, now=NOW + HOUR, by="bob").acknowledged) is not None
    assert known.by == "ann"


def test_an_id_that_is_none_is_told_with_those_that_are(log: Log) -> None:
    with pytest.raises(UserError, match=r"abc: there is no such alert\. Open are: none"):
        acknowledge(log, "abc", now=NOW, by="ann")
    book(log).stand([FINDING, replace(FINDING, cause="rows")], causes=[], over="")
    with pytest.raises(UserError, match="several alerts begin so"):
        acknowledge(log, "", now=NOW, by="ann")


# --- again ---


def sent(log: Log, *receivers: str) -> None:
    for name in receivers:
        about = {"alert": f"{only(log).id}.1", "receiver": name}
        log.append_event("alert sent", about, known_at=NOW, author="alerts")


def test_what_nobody_acknowledged_is_told_again_each_day_to_those_who_heard_of_it(log: Log) -> None:
    book(log).stand([WORSE], causes=[], over="")
    sent(log, "team")
    for hours in (1, 23, 24, 30, 47, 49):
        book(log, NOW + hours * HOUR).remind()
    found = [event.payload for event in log.events(kind="alert reminder")]
    assert [(one["number"], one["receivers"]) for one in found] == [(1, ["team"]), (2, ["team"])]


def test_a_monitor_that_was_away_reminds_once(log: Log) -> None:
    book(log).stand([FINDING], causes=[], over="")
    book(log, NOW + 10 * DAY).remind()
    assert [event.payload["number"] for event in log.events(kind="alert reminder")] == [10]


def test_what_nobody_has_to_do_anything_about_is_told_once(log: Log) -> None:
    book(log).stand([replace(FINDING, severity="info")], causes=[], over="")
    book(log, NOW + 10 * DAY).remind()
    assert log.events(kind="alert reminder") == []


def test_alerts_of_older_logs_are_passed_over(log: Log) -> None:
    log.append_event("alert", {"kind": "data fault", "title": "", "body": ""}, known_at=NOW, author="monitor")
    assert alerts_of(log.events()) == {}
