"""Every message reaches its receivers: once while they are up, in the end where they were down, never lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import listening
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import outbox
from pipelines.alerts import Book, Episode, Finding, acknowledge, alerts_of
from pipelines.log import Log
from pipelines.outbox import Channel, channels, deliver, lock_of, receiver_states, waiting
from pipelines.project import open_project
from pipelines.receivers import AlertsConfig, Message, NotSent

ROOT = Path(__file__).parent.parent
NOW = datetime(2013, 3, 8, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CONFIG = AlertsConfig({"team": "env:TEAM"})
FINDING = Finding("loss", NOW - DAY, "harmful shift", "warning", "flights: harm", "loss 0.3 → 0.5", "retrain")


class Team:
    """A receiver in memory. fails: how often it will not take a message."""

    def __init__(self, name: str = "team", fails: int = 0) -> None:
        self.name, self.fails, self.got = name, fails, list[str]()

    def send(self, message: Message) -> None:
        if self.fails:
            self.fails -= 1
            raise NotSent("it answered 500")
        self.got.append(message.id.partition(".")[2])

    @property
    def channel(self) -> Channel:
        return Channel(self.name, self.send)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def stand(log: Log, *findings: Finding, now: datetime = NOW, config: AlertsConfig = CONFIG) -> None:
    Book(log, "flights", config, now).stand(findings, causes=["loss", "rows"], over="it is quiet")


def send(log: Log, *teams: Team, now: datetime = NOW, at_once: bool = False) -> outbox.Delivered:
    lock = Path(log._folder) / "alerts.lock"
    return deliver(log, [team.channel for team in teams], lock=lock, now=now, at_once=at_once)


def states(log: Log, *teams: Team, now: datetime = NOW) -> tuple[outbox.ReceiverState, ...]:
    return receiver_states(log.events(), [team.channel for team in teams], now)


def test_what_is_new_worse_reminded_and_over_is_sent_in_its_order_each_once(log: Log) -> None:
    team = Team()
    steps: list[Callable[[datetime], None]] = [
        lambda now: stand(log, FINDING, now=now),
        lambda now: stand(log, replace(FINDING, severity="critical"), now=now),
        lambda now: Book(log, "flights", CONFIG, now).remind(),
        lambda now: stand(log, now=now),
    ]
    for number, step in enumerate(steps):
        now = NOW + number * DAY
        step(now)
        for _ in range(2):
            send(log, team, now=now)
    assert team.got == ["1", "2", "2.reminder-1", "over"]
    assert states(log, team)[0].waiting == 0


def test_what_nobody_took_is_sent_again_in_order_and_under_the_same_id(log: Log) -> None:
    team = Team(fails=2)
    stand(log, FINDING)
    assert send(log, team) == outbox.Delivered({}, {"team": "it answered 500"})
    stand(log, replace(FINDING, severity="critical"), now=NOW + HOUR)
    send(log, team, now=NOW + HOUR)
    assert team.got == []
    assert send(log, team, now=NOW + 2 * HOUR).sent == {"team": 2}
    assert team.got == ["1", "2"]
    refused = [event.payload for event in log.events(kind="alert not sent")]
    assert [one["alert"].partition(".")[2] for one in refused] == ["1", "1"]


def test_after_a_failure_comes_a_pause_that_grows(log: Log) -> None:
    team = Team(fails=100)
    stand(log, FINDING)
    tried = []
    for minutes in range(200):
        failed = send(log, team, now=NOW + minutes * MINUTE).failed
        tried += [minutes] if failed else []
    assert tried == [0, 1, 5, 21, 81, 141]
    assert send(log, team, now=NOW + 200 * MINUTE, at_once=True).failed


def test_a_clock_that_was_set_back_does_not_make_it_wait(log: Log) -> None:
    team = Team(fails=1)
    stand(log, FINDING)
    send(log, team)
    assert send(log, team, now=NOW - DAY).sent == {"team": 1}


def test_one_that_is_down_holds_up_no_other(log: Log) -> None:
    down, up = Team("team", fails=100), Team("mail")
    config = AlertsConfig({"team": "env:A", "mail": "env:B"})
    stand(log, FINDING, config=config)
    send(log, down, up)
    assert (down.got, up.got) == ([], ["1"])
    for hours in range(1, 4):
        send(log, down, up, now=NOW + hours * HOUR)
    down_state, up_state = states(log, down, up, now=NOW + 3 * HOUR)
    assert (down_state.failures, down_state.since, down_state.waiting) == (4, NOW, 1)
    assert down_state.is_down(NOW + 3 * HOUR)
    assert not up_state.failures


def test_what_is_older_than_a_week_is_given_up_unless_it_stands(log: Log) -> None:
    team = Team(fails=1)
    stand(log, FINDING, replace(FINDING, cause="rows"))
    stand(log, FINDING, now=NOW + HOUR)
    send(log, team, now=NOW + HOUR)
    send(log, team, now=NOW + 30 * DAY)
    assert team.got == ["1"]  # the one that stands; the other one and its end are of last month
    assert states(log, team, now=NOW + 30 * DAY)[0].given_up == 2


def test_a_receiver_that_is_new_is_not_told_of_the_past(log: Log) -> None:
    stand(log, FINDING)
    assert waiting(log.events(), [Team("mail").channel], NOW) == {"mail": []}
    prefect = Channel("prefect", lambda _: None, everything=True)
    assert len(waiting(log.events(), [prefect], NOW)["prefect"]) == 1


def test_two_that_send_at_once_send_each_message_once(log: Log) -> None:
    team = Team()
    stand(log, FINDING)
    first = threading.Event()

    def slow(message: Message) -> None:
        first.set()
        threading.Event().wait(0.3)
        team.send(message)

    lock = lock_of(Path(log._folder))
    again = Log(Path(log._folder))
    how = {"lock": lock, "now": NOW}
    one = threading.Thread(target=deliver, args=(log, [Channel("team", slow)]), kwargs=how)
    one.start()
    first.wait(10)
    deliver(again, [Channel("team", slow)], lock=lock, now=NOW)
    one.join()
    assert team.got == ["1"]


def test_who_cannot_have_a_turn_leaves_it_to_the_other(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.file_lock import file_lock

    monkeypatch.setattr(outbox, "_PATIENCE", 0.1)
    stand(log, FINDING)
    team = Team()
    with file_lock(Path(log._folder) / "alerts.lock"):
        assert send(log, team) == outbox.Delivered({}, {})
    assert send(log, team).sent == {"team": 1}


# --- real receivers ---

SETTINGS = '[data]\npath = "rows.csv"\ntarget = "y"\n[alerts]\nreceivers = {team = "env:TEAM_CHAT"}\n'


def project_of(folder: Path) -> Any:
    (folder / "losswatch.toml").write_text(SETTINGS)
    return open_project(folder)


def test_an_outage_of_a_day_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of(tmp_path)
    log = Log(project.log_folder())
    with listening.hook() as hook:
        port, address = hook.port, hook.service
    monkeypatch.setenv("TEAM_CHAT", address)
    to, lock = channels(project), lock_of(project.log_folder())
    for hour in range(0, 24, 4):
        finding = replace(FINDING, cause=f"loss {hour}", since=NOW + hour * HOUR)
        Book(log, "flights", CONFIG, NOW).stand([finding], causes=[], over="")
        assert deliver(log, to, lock=lock, now=NOW + hour * HOUR).failed == {
            "team": "its host refuses the connection"
        }
    with listening.hook(port) as hook:
        assert deliver(log, to, lock=lock, now=NOW + DAY).sent == {"team": 6}
        assert hook.said == [f"{alert.id}.1" for alert in alerts_of(log.events()).values()]


def test_a_secret_that_is_gone_is_a_receiver_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEAM_CHAT", raising=False)
    project = project_of(tmp_path)
    log = Log(project.log_folder())
    stand(log, FINDING)
    found = deliver(log, channels(project), lock=lock_of(project.log_folder()), now=NOW)
    assert found.failed == {"team": "alerts.receivers.team: the environment variable TEAM_CHAT is not set"}


def test_no_address_is_in_any_event_or_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    project = project_of(tmp_path)
    log = Log(project.log_folder())
    with listening.hook() as hook:
        for number, address in enumerate((hook.service, hook.url)):
            monkeypatch.setenv("TEAM_CHAT", address)
            stand(log, replace(FINDING, severity="critical" if number else "warning"))
            hook.status = 500
            deliver(log, channels(project), lock=lock_of(project.log_folder()), now=NOW, at_once=True)
            hook.status = 200
            deliver(log, channels(project), lock=lock_of(project.log_folder()), now=NOW, at_once=True)
        assert hook.said == [f"{next(iter(alerts_of(log.events())))}.{stage}" for stage in (1, 2)]
    assert listening.SECRET not in f"{log.events()}{caplog.text}"
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert [file for file in files if listening.SECRET.encode() in file] == []


PROCESS = """
    import os, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from pipelines import outbox
    from pipelines.log import Log
    from pipelines.project import open_project

    project, dies, now = open_project(Path(sys.argv[1])), sys.argv[2], datetime(2013, 3, 8, tzinfo=UTC)
    (channel,) = outbox.channels(project)

    def send(message):
        if dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        channel.send(message)
        if dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    folder = project.log_folder()
    to = [outbox.Channel("team", send)]
    outbox.deliver(Log(folder), to, lock=outbox.lock_of(folder), now=now)
"""


@pytest.mark.parametrize(("dies", "times"), [("before", 1), ("after", 2)])
def test_a_process_that_is_killed_loses_nothing_and_repeats_the_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str, times: int
) -> None:
    project = project_of(tmp_path)
    stand(Log(project.log_folder()), FINDING)
    with listening.hook() as hook:
        monkeypatch.setenv("TEAM_CHAT", hook.service)
        code = textwrap.dedent(PROCESS)
        ended = [
            subprocess.run([sys.executable, "-c", code, tmp_path, how], cwd=ROOT, check=False).returncode
            for how in (dies, "never", "never")
        ]
        assert ended == [-signal.SIGKILL, 0, 0]
        assert len(hook.said) == times
        assert len(set(hook.said)) == 1


# --- the same events in any order, any number of runs ---

moves = st.lists(
    st.tuples(
        st.sampled_from(("one", "other", "both", "none", "worse", "whole", "remind", "ack")),
        st.integers(0, 3),  # runs of whoever sends
        st.integers(0, 20),  # hours until the next move: together less than the week for which it is tried
    ),
    max_size=8,
)


@given(moves, st.integers(0, 2))
@settings(max_examples=25)
def test_whatever_happens_each_message_is_taken_once_while_the_receiver_is_up(
    wanted: list[tuple[str, int, int]], fails: int
) -> None:
    with TemporaryDirectory() as folder:
        log, team, now = Log(Path(folder) / "log"), Team(fails=fails), NOW
        for move, runs, hours in wanted:
            _move(log, move, now)
            for _ in range(runs):
                send(log, team, now=now)
            now += hours * HOUR
        for _ in range(3):  # it is up in the end
            send(log, team, now=now, at_once=True)
        meant = [one.message.id for one in outbox.messages(log.events()) if "team" in one.receivers]
        taken = [event.payload["alert"] for event in log.events(kind="alert sent")]
        assert sorted(taken) == sorted(set(taken)) == sorted(meant)
        assert len(team.got) == len(taken)


def _move(log: Log, move: str, now: datetime) -> None:
    rows = replace(FINDING, cause="rows", since=now)
    sets = {
        "one": [FINDING],
        "other": [rows],
        "both": [FINDING, rows],
        "none": [],
        "worse": [replace(FINDING, severity="critical")],
    }
    book = Book(log, "flights", CONFIG, now)
    if move in sets:
        book.stand(sets[move], causes=["loss", "rows"], over="over")
    elif move == "whole":
        book.add(Episode((replace(FINDING, cause="inputs"), replace(FINDING, cause="inputs")), "quiet", now))
    elif move == "remind":
        book.remind()
    for id in [alert.id for alert in book.alerts.values() if alert.open] if move == "ack" else []:
        acknowledge(log, id, now=now, by="ann")
