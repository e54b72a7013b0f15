"""A round of alerts: found, remembered, sent; the monitor's run from the outside."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import listening
import pytest

from pipelines import heartbeat, steps
from pipelines.alerts import alerts_of
from pipelines.log import Log
from pipelines.outbox import Channel
from pipelines.project import open_project
from pipelines.receivers import Message
from pipelines.registry import Registry
from pipelines.service import VERDICT
from pipelines.stores import Stores
from pipelines.telling import tell, tell_prefect

ROOT = Path(__file__).parent.parent
NOW = datetime(2013, 3, 8, tzinfo=UTC)
WEEK = timedelta(days=7)
SETTINGS = '[data]\npath = "rows.csv"\ntarget = "y"\n[alerts]\nwebhook = "env:HOOK"\n'


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    (tmp_path / "losswatch.toml").write_text(SETTINGS)
    project = open_project(tmp_path)
    return Stores(project, cast(Registry, None), Log(project.log_folder()))


def verdict(stores: Stores, number: int, kind: str, action: str = "update") -> None:
    start = NOW + number * WEEK
    window = steps.JudgedWindow(
        number=number,
        start=start.isoformat(),
        end=(start + WEEK).isoformat(),
        rows=100,
        labelled=100,
        loss=0.7,
        version=1,
        verdict=kind,
        action=action,
        reasons=(f"loss 0.3 → 0.{number}",),
    )
    key = f"verdict {window.start}"
    stores.log.append_event(VERDICT, asdict(window), known_at=start + WEEK, author="losswatch", key=key)


def test_a_verdict_whose_monitor_was_killed_is_told_by_the_next(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict(stores, 0, "concept change")
    with listening.hook() as hook:
        monkeypatch.setenv("HOOK", hook.url)
        told = tell(stores, NOW + WEEK)
        assert [alert.kind for alert in told.new] == ["concept change"]
        assert tell(stores, NOW + WEEK).new == ()
        assert [one["title"].partition(": ")[2] for one in hook.received] == [
            "concept change in the window from 2013-03-08 00:00"
        ]


def test_weeks_one_by_one_and_all_at_once_give_the_same_ids(
    tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(stores.project), "name", "bikes")
    other = Stores(stores.project, cast(Registry, None), Log(tmp_path / "other"))
    kinds = ("quiet", "harmful shift", "concept change", "quiet", "data fault", "data fault")
    for number, kind in enumerate(kinds):
        verdict(stores, number, kind)
        tell(stores, NOW + (number + 1) * WEEK)
    for number, kind in reversed(list(enumerate(kinds))):
        verdict(other, number, kind)
    tell(other, NOW + len(kinds) * WEEK)
    live, later = (alerts_of(one.log.events()) for one in (stores, other))
    assert {id: (one.stage, one.over) for id, one in live.items() if one.kind != "receiver down"} == {
        id: (one.stage, one.over) for id, one in later.items()
    }


def test_two_monitors_at_once_tell_it_once(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict(stores, 0, "data fault", "fix data")
    with listening.hook() as hook:
        monkeypatch.setenv("HOOK", hook.url)
        code = (
            "import sys; from datetime import datetime; from pathlib import Path; from pipelines import stores\n"
            "from pipelines.project import open_project; from pipelines.telling import tell\n"
            "opened = stores.open_stores(open_project(Path(sys.argv[1])))\n"
            "tell(opened, datetime.fromisoformat(sys.argv[2]))\n"
        )
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code, stores.project.folder, (NOW + WEEK).isoformat()], cwd=ROOT
            )
            for _ in range(2)
        ]
        assert [one.wait(120) for one in both] == [0, 0]
        assert len(hook.received) == 1
    assert len(stores.log.events(kind="alert")) == 1


def test_what_the_server_says_of_alerts_is_left_beside_the_log(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    verdict(stores, 0, "data fault", "fix data")
    tell(stores, NOW + WEEK)
    seen = heartbeat.read(stores.project.log_folder())
    assert (seen.open, seen.waiting, seen.retry) == (
        (("critical", 1),),
        1,
        NOW + WEEK + timedelta(minutes=1),
    )


def test_prefect_is_a_receiver_like_any_other(stores: Stores) -> None:
    verdict(stores, 0, "data fault", "fix data")
    tell(stores, NOW + WEEK)
    got: list[Message] = []
    prefect = Channel("prefect", got.append, everything=True)
    for _ in range(2):
        tell_prefect(stores, prefect, NOW + WEEK)
    assert [message.kind for message in got] == ["data fault"]


def test_a_monitor_that_fails_tells_so_and_fails(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("at s3cret")

    verdict(stores, 0, "quiet", "keep")
    monkeypatch.setattr(steps, "open_stores", lambda _: stores)
    monkeypatch.setattr(steps, "monitor_stores", broken)
    with pytest.raises(ZeroDivisionError):
        steps.monitor(stores.project, NOW + WEEK)
    (alert,) = alerts_of(stores.log.events()).values()
    assert (alert.kind, alert.severity) == ("monitor failed", "critical")
    assert "s3cret" not in alert.body
    assert heartbeat.read(stores.project.log_folder()).failed == "ZeroDivisionError"
    monkeypatch.setattr(steps, "tell", broken)
    with pytest.raises(ZeroDivisionError):
        steps.monitor(stores.project, NOW + WEEK)
    assert "that the monitor failed could not be told: ZeroDivisionError" in caplog.text
    assert "s3cret" not in caplog.text


def test_an_alert_leads_to_the_page_and_to_the_run(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    stores.project.state.mkdir(exist_ok=True)
    (stores.project.state / "report.html").write_text("")
    monkeypatch.setattr(type(stores.project), "tracking", lambda _: "https://ann:s3cret@mlflow.example.org")
    registry = SimpleNamespace(version=lambda number: SimpleNamespace(run_id=f"run{number}"))
    linked = Stores(stores.project, cast(Registry, registry), stores.log)
    verdict(linked, 0, "data fault", "fix data")
    (alert,) = tell(linked, NOW + WEEK).new
    assert alert.links == {
        "Report": str(stores.project.state / "report.html"),
        "MLflow run": "https://mlflow.example.org/#/runs/run1",
    }
