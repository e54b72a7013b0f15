"""`losswatch alerts` as a user types it: what stands, who knows, whether receivers take it, what waits."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import listening
import pytest

from pipelines import alert_list
from pipelines.alerts import Book, Finding
from pipelines.cli import main
from pipelines.errors import UserError
from pipelines.log import Log
from pipelines.project import Project, open_project
from pipelines.stores import open_stores

NOW = datetime(2013, 3, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = '[data]\npath = "rows.csv"\ntarget = "y"\n[alerts]\nreceivers = {team = "env:TEAM_CHAT", box = "file:box"}\n'
FINDING = Finding(
    "loss", NOW - 24 * HOUR, "harmful shift", "warning", "bikes: harm", "loss 0.3 → 0.5", "losswatch retrain"
)


@dataclass
class Bikes:
    """A project with two receivers that are up."""

    project: Project
    hook: Any
    box: Any

    @property
    def log(self) -> Log:
        return open_stores(self.project).log

    def stand(self, *findings: Finding, now: datetime = NOW) -> None:
        Book(self.log, "bikes", self.project.config.alerts, now).stand(
            findings, causes=["loss", "rows"], over="it is quiet"
        )

    def run(self, *arguments: str) -> int:
        return main(["alerts", *arguments, "--project", str(self.project.folder)])


@pytest.fixture
def bikes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bikes]:
    with listening.hook() as hook, listening.mailbox() as box:
        (tmp_path / "losswatch.toml").write_text(SETTINGS)
        (tmp_path / "box").write_text(box.address)
        (tmp_path / "box").chmod(0o600)
        monkeypatch.setenv("TEAM_CHAT", hook.url)
        yield Bikes(open_project(tmp_path), hook, box)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    return told.out + told.err


def test_a_project_without_a_log_has_nothing_to_say(bikes: Bikes, capsys: pytest.CaptureFixture[str]) -> None:
    assert bikes.run() == 0
    assert said(capsys).splitlines()[0].endswith("nothing stands")
    assert bikes.run("deliver") == 0
    assert said(capsys) == "nothing waits\n"
    assert not bikes.project.state.exists()


def test_what_stands_is_listed_with_its_evidence_and_what_to_do(bikes: Bikes) -> None:
    bikes.stand(FINDING)
    found = alert_list.alerts(bikes.project, NOW)
    id = found.open[0].id
    assert found.lines() == [
        f"{id}  warning   bikes: harm",
        "    since 2013-03-07 00:00; nobody has acknowledged it",
        "    loss 0.3 → 0.5",
        "    next: losswatch retrain",
        "receiver team: 1 wait",
        "receiver box: 1 wait",
    ]


def test_what_is_over_is_listed_below_newest_first(bikes: Bikes) -> None:
    for day in range(12):
        since = NOW + 24 * day * HOUR
        bikes.stand(Finding("rows", since, "no rows", "info", f"bikes: {day}", "", ""), now=since)
        bikes.stand(now=since + HOUR)
    lines = alert_list.alerts(bikes.project, NOW + 300 * HOUR).lines()
    assert lines[1] == "over:"
    assert "bikes: 11; over 2013-03-19 01:00: it is quiet" in lines[2]
    assert "and 2 more, all of them with --json" in lines[12]


def test_the_gravest_stands_first(bikes: Bikes) -> None:
    bikes.stand(FINDING, Finding("rows", NOW, "no rows", "critical", "bikes: rows", "", ""))
    assert [alert.kind for alert in alert_list.alerts(bikes.project, NOW).open] == [
        "no rows",
        "harmful shift",
    ]


def test_all_of_it_is_there_as_json(bikes: Bikes, capsys: pytest.CaptureFixture[str]) -> None:
    bikes.stand(FINDING)
    assert bikes.run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["open"][0]["cause"], found["past"]) == ("loss", [])
    assert [one["name"] for one in found["receivers"]] == ["team", "box"]


def test_somebody_acknowledges_by_the_first_letters(bikes: Bikes, capsys: pytest.CaptureFixture[str]) -> None:
    bikes.stand(FINDING)
    id = alert_list.alerts(bikes.project, NOW).open[0].id
    assert bikes.run("ack", id[:4], "--note", "mending it", "--by", "ann") == 0
    assert "acknowledged by ann at" in said(capsys)
    assert bikes.run() == 0
    assert "; ann knows, " in (told := said(capsys))
    assert ": mending it" in told
    bikes.stand(Finding(**{**FINDING.__dict__, "severity": "critical"}), now=NOW + HOUR)
    assert ", before it got worse" in alert_list.alerts(bikes.project, NOW).lines()[1]


def test_who_is_logged_in_is_who_knows(bikes: Bikes, monkeypatch: pytest.MonkeyPatch) -> None:
    bikes.stand(FINDING)
    id = alert_list.alerts(bikes.project, NOW).open[0].id
    monkeypatch.setattr(getpass, "getuser", lambda: "bob")
    (known,) = alert_list.ack(bikes.project, [id], NOW).alerts
    assert known.acknowledged is not None
    assert known.acknowledged.by == "bob"

    def nobody() -> str:
        raise KeyError("no entry")

    monkeypatch.setattr(getpass, "getuser", nobody)
    bikes.stand(Finding("rows", NOW, "no rows", "critical", "bikes: rows", "", ""))
    newest = alert_list.alerts(bikes.project, NOW).open[0].id
    (known,) = alert_list.ack(bikes.project, [newest], NOW).alerts
    assert known.acknowledged is not None
    assert known.acknowledged.by == "operator"


def test_what_is_over_needs_nobody(bikes: Bikes) -> None:
    bikes.stand(FINDING)
    bikes.stand(now=NOW + HOUR)
    (id,) = [alert.id for alert in alert_list.alerts(bikes.project, NOW).past]
    assert alert_list.ack(bikes.project, [id], NOW).lines()[0].endswith(": it is over")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ack"], "name the alert"),
        (["ack", "zz"], "there is no such alert"),
        (["list", "zz"], "takes no names"),
        (["test", "teem"], "teem: no such receiver. There are: team, box"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    bikes: Bikes, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert bikes.run(*arguments) == 2
    assert words in said(capsys)


def test_trying_reaches_a_chat_and_a_mailbox(bikes: Bikes, capsys: pytest.CaptureFixture[str]) -> None:
    assert bikes.run("test") == 0
    assert said(capsys) == "team: taken\nbox: taken\n"
    assert bikes.hook.received[0]["status"] == "test"
    assert "a test of losswatch alerts" in bikes.box.received[0]["Subject"]


def test_trying_says_who_does_not_take_it_and_ends_with_1(
    bikes: Bikes, capsys: pytest.CaptureFixture[str]
) -> None:
    bikes.hook.status = 403
    assert bikes.run("test") == 1
    assert capsys.readouterr().out.splitlines() == ["team: it answered 403", "box: taken"]
    assert bikes.run("test", "box", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"results": {"box": None}}


def test_a_success_of_trying_ends_that_a_receiver_counts_as_down(bikes: Bikes) -> None:
    bikes.hook.status = 500
    alert_list.try_receivers(bikes.project, ["team"], NOW)
    state = alert_list.alerts(bikes.project, NOW).receivers[0]
    assert alert_list.receiver_lines([state]) == [
        "receiver team: takes nothing since 2013-03-08 00:00 (1 try failed: it answered 500); 0 wait"
    ]
    bikes.hook.status = 200
    alert_list.try_receivers(bikes.project, ["team"], NOW)
    assert alert_list.alerts(bikes.project, NOW).receivers[0].failures == 0


def test_without_a_receiver_it_is_said_how_to_write_one(tmp_path: Path) -> None:
    (tmp_path / "losswatch.toml").write_text('[data]\npath = "rows.csv"\ntarget = "y"\n')
    project = open_project(tmp_path)
    with pytest.raises(UserError, match=r"Write e\.g\. receivers = "):
        alert_list.try_receivers(project, [], NOW)
    assert alert_list.alerts(project, NOW).lines()[-1].startswith("receivers: none")


def test_what_waits_is_sent_at_once(bikes: Bikes, capsys: pytest.CaptureFixture[str]) -> None:
    bikes.stand(FINDING)
    bikes.hook.status = 500
    now = (NOW + HOUR).isoformat()
    assert bikes.run("deliver", "--now", now) == 1
    assert capsys.readouterr().out.splitlines() == ["box: 1 sent", "team: it answered 500"]
    bikes.hook.status = 200
    assert bikes.run("deliver", "--now", now) == 0
    assert capsys.readouterr().out.splitlines() == ["team: 1 sent"]
    assert (len(bikes.hook.received), len(bikes.box.received)) == (1, 1)


def test_a_name_out_of_the_data_steers_no_terminal(bikes: Bikes) -> None:
    bikes.stand(Finding("loss", NOW, "harmful shift", "warning", "bikes\x1b[2J", "a\x07b", ""))
    assert not {"\x1b", "\x07"} & set("\n".join(alert_list.alerts(bikes.project, NOW).lines()))
    assert not {"\x1b", "\x07"} & set("\n".join(alert_list.alert_lines(open_stores(bikes.project), NOW)))


def test_no_secret_is_in_anything_that_is_printed_or_kept(
    bikes: Bikes, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = listening.SECRET
    bikes.stand(FINDING)
    for status in (500, 200):
        bikes.hook.status = status
        for arguments in (["deliver"], ["test"], [], ["--json"], ["test", "--debug"]):
            bikes.run(*arguments)
    main(["doctor", "--project", str(bikes.project.folder)])
    main(["status", "--project", str(bikes.project.folder)])
    assert secret not in said(capsys)
    files = [path.read_bytes() for path in bikes.project.state.rglob("*") if path.is_file()]
    assert [file for file in files if secret.encode() in file] == []
