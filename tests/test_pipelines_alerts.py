"""One alert for each cause, which reaches the webhook in the end and never stops the monitor."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.alerts import Alert, NotSent, check_webhook, deliver, post, raise_alert, send_alert, waiting
from pipelines.errors import UserError
from pipelines.log import Log

NOW = datetime(2013, 3, 8, tzinfo=UTC)
ALERT = Alert("harmful shift", "flights: harmful shift", "loss 0.31 → 0.47", "flights 2013-03-01", NOW)


@dataclass
class Hook:
    """What a listener on this machine was sent, and what it answers."""

    url: str = ""
    status: int = 200
    location: str | None = None
    received: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hook.received.append(json.loads(body))
            self.send_response(hook.status)
            if hook.location is not None:
                self.send_header("location", hook.location)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}/secret-path"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield hook
        server.shutdown()
        thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as opened:
        yield opened


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def test_an_alert_is_an_event_a_line_and_a_post(
    log: Log, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    assert send_alert(ALERT, log, hook.url)
    assert hook.received == [
        {
            "key": "flights 2013-03-01",
            "kind": "harmful shift",
            "title": "flights: harmful shift",
            "body": "loss 0.31 → 0.47",
            "known_at": "2013-03-08T00:00:00+00:00",
            "text": "flights: harmful shift\nloss 0.31 → 0.47",
        }
    ]
    assert "flights: harmful shift: loss 0.31 → 0.47" in caplog.text
    assert [event.kind for event in log.events()] == ["alert", "alert sent"]
    assert waiting(log, NOW) == []


def test_a_cause_is_alerted_once(log: Log, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    send_alert(ALERT, log, hook.url)
    caplog.clear()
    assert not send_alert(replace(ALERT, body="again", known_at=NOW + timedelta(days=1)), log, hook.url)
    assert len(hook.received) == 1
    assert caplog.text == ""


def test_without_a_webhook_an_alert_is_an_event_and_a_line(log: Log, hook: Hook) -> None:
    assert send_alert(ALERT, log, None)
    assert [event.kind for event in log.events()] == ["alert"]
    assert deliver(log, hook.url, now=NOW) == 0  # it was not meant for a webhook when it was raised


@pytest.mark.parametrize("status", [404, 500])
def test_what_the_webhook_did_not_take_is_sent_again_in_order(status: int, log: Log, hook: Hook) -> None:
    hook.status = status
    assert send_alert(ALERT, log, hook.url)
    second = replace(ALERT, key="flights 2013-03-08", known_at=NOW + timedelta(hours=1))
    assert send_alert(second, log, hook.url)
    refused = log.events(kind="alert not sent")
    assert [event.payload["reason"] for event in refused] == [f"it answered {status}"] * 2
    hook.status, hook.received[:] = 200, []
    assert deliver(log, hook.url, now=NOW + timedelta(hours=2)) == 2
    assert [message["key"] for message in hook.received] == ["flights 2013-03-01", "flights 2013-03-08"]


def test_an_alert_of_last_month_is_not_sent_any_more(log: Log, hook: Hook) -> None:
    hook.status = 500
    send_alert(ALERT, log, hook.url)
    hook.status = 200
    assert deliver(log, hook.url, now=NOW + timedelta(days=30)) == 0


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    with listening() as elsewhere:
        hook.status, hook.location = 302, elsewhere.url
        with pytest.raises(NotSent, match="it answered 302"):
            post({"n": 1}, hook.url)
        assert elsewhere.received == []


def test_nobody_there_is_said_without_the_address(
    log: Log, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    closed = hook.url.replace(hook.url.split(":")[2].split("/")[0], "1")
    assert send_alert(ALERT, log, closed)
    (event,) = log.events(kind="alert not sent")
    assert event.payload["reason"] == "ConnectionRefusedError"
    assert "secret-path" not in caplog.text + str(log.events())


def test_a_proxy_of_the_environment_is_not_asked(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        post({"n": 1}, hook.url)
        assert (len(hook.received), proxy.received) == (1, [])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org/x",
        "http://hooks.example.org/x",
        "http://169.254.169.254/latest",
        "http://2130706433/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "https://ann@hooks.example.org/x",
        "https://:8000/x",
        "https://hooks.example.org:99999/x",
        "https://[::1/x",
    ],
)
def test_an_address_that_alerts_must_not_go_to_is_refused(url: str, log: Log) -> None:
    with pytest.raises(UserError, match=r"alerts\.webhook"):
        check_webhook(url)
    assert send_alert(ALERT, log, url)
    (event,) = log.events(kind="alert not sent")
    assert "alerts.webhook" in event.payload["reason"]


@pytest.mark.parametrize(
    "url", ["https://hooks.example.org/x", "http://localhost:8/x", "http://[::1]:8/x", "http://127.0.0.1/x"]
)
def test_an_address_on_this_machine_or_encrypted_is_taken(url: str) -> None:
    check_webhook(url)


def test_a_secret_that_is_gone_does_not_stop_the_monitor(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    def webhook() -> str:
        raise UserError("alerts.webhook: the environment variable HOOK is not set")

    stores: Any = SimpleNamespace(project=SimpleNamespace(webhook=webhook), log=log)
    assert raise_alert(stores, ALERT)
    assert "the environment variable HOOK is not set" in caplog.text
    assert [event.key for event in waiting(log, NOW)] == ["alert:flights 2013-03-01"]


def test_a_project_alerts_its_own_webhook(log: Log, hook: Hook) -> None:
    stores: Any = SimpleNamespace(project=SimpleNamespace(webhook=lambda: hook.url), log=log)
    assert raise_alert(stores, ALERT)
    assert len(hook.received) == 1
