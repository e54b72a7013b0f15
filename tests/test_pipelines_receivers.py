"""A message reaches a receiver, or it is said why not, and never where it should have gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import listening
import pytest

from pipelines import receivers as module
from pipelines.errors import UserError
from pipelines.receivers import (
    SEVERITIES,
    AlertsConfig,
    Message,
    NotSent,
    Receiver,
    check_address,
    goes_open,
    plain_text,
    send,
)

KEY = "alerts.receivers.team"
MESSAGE = Message(
    id="3f2a9c01b2.1",
    alert="3f2a9c01b2",
    status="new",
    severity="warning",
    kind="harmful shift",
    title="flights: harmful shift in the window from 2013-03-01 00:00",
    body="loss 0.31 → 0.47",
    next="losswatch retrain",
    links={"MLflow run": "https://mlflow.example.org/#/runs/ab"},
    known_at="2013-03-08T00:00:00+00:00",
)


@pytest.fixture
def hook() -> Iterator[Any]:
    with listening.hook() as found:
        yield found


@pytest.fixture
def mailbox() -> Iterator[Any]:
    with listening.mailbox() as found:
        yield found


def refusal(address: str) -> str:
    with pytest.raises(NotSent) as refused:
        send(MESSAGE, address, key=KEY)
    return str(refused.value)


# --- what is sent ---


def test_a_webhook_gets_every_part_and_a_text_for_chats(hook: Any) -> None:
    send(MESSAGE, hook.url, key=KEY)
    assert hook.received == [
        {
            "key": "3f2a9c01b2.1",
            "alert": "3f2a9c01b2",
            "status": "new",
            "severity": "warning",
            "kind": "harmful shift",
            "title": "flights: harmful shift in the window from 2013-03-01 00:00",
            "body": "loss 0.31 → 0.47",
            "next": "losswatch retrain",
            "links": {"MLflow run": "https://mlflow.example.org/#/runs/ab"},
            "known_at": "2013-03-08T00:00:00+00:00",
            "text": "[warning] flights: harmful shift in the window from 2013-03-01 00:00\nloss 0.31 → 0.47\n"
            "Next: losswatch retrain\nMLflow run: https://mlflow.example.org/#/runs/ab\n"
            "Acknowledge: losswatch alerts ack 3f2a9c01b2\nMessage 3f2a9c01b2.1",
        }
    ]


@pytest.mark.parametrize(("severity", "kind"), [("info", "info"), ("critical", "failure")])
def test_apprise_gets_title_text_and_how_bad_it_is(hook: Any, severity: Any, kind: str) -> None:
    send(replace(MESSAGE, severity=severity), hook.service, key=KEY)
    (got,) = hook.received
    assert got["type"] == kind
    assert got["title"].startswith(f"[{severity}] flights: harmful shift")
    assert got["message"].splitlines()[0] == "loss 0.31 → 0.47"
    assert got["message"].endswith("Message 3f2a9c01b2.1")


def test_what_is_over_is_told_as_good_news_and_asks_for_nobody(hook: Any) -> None:
    send(replace(MESSAGE, status="over", next="", body="it is quiet"), hook.service, key=KEY)
    (got,) = hook.received
    assert (got["type"], "Acknowledge" in got["message"]) == ("success", False)
    assert got["title"].startswith("[warning] over: flights")


def test_a_mail_goes_to_a_mail_server(mailbox: Any) -> None:
    send(MESSAGE, mailbox.address, key=KEY)
    (mail,) = mailbox.received
    assert mail["To"] == "team@example.org"
    assert mail["Subject"].startswith("[warning] flights: harmful shift")
    text = mail.get_payload(decode=True).decode()
    assert "loss 0.31 → 0.47" in text
    assert "Message 3f2a9c01b2.1" in text


def test_a_column_of_the_data_cannot_write_a_header_of_its_own(mailbox: Any) -> None:
    send(replace(MESSAGE, title="flights\r\nBcc: all@example.org"), mailbox.address, key=KEY)
    (mail,) = mailbox.received
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("written", "left"),
    [("a\x1b[31mb", "a[31mb"), ("a\x00b\x7fc", "abc"), ("one\ntwo", "one\ntwo"), ("é→ü", "é→ü")],
)
def test_a_text_steers_no_terminal(written: str, left: str) -> None:
    assert plain_text(written) == left


# --- who does not take it ---


@pytest.mark.parametrize("status", [302, 404, 429, 500])
def test_a_status_is_the_reason(hook: Any, status: int) -> None:
    hook.status = status
    assert refusal(hook.url) == f"it answered {status}"
    assert refusal(hook.service) == f"it answered {status}"


def test_a_redirect_is_not_followed(hook: Any) -> None:
    with listening.hook() as elsewhere:
        hook.status, hook.location = 302, elsewhere.url
        assert refusal(hook.url) == refusal(hook.service) == "it answered 302"
        assert elsewhere.received == []


def test_a_mail_server_that_knows_nobody_of_that_name_is_no_success(mailbox: Any) -> None:
    mailbox.refuses = True
    assert "550" in refusal(mailbox.address) or refusal(mailbox.address) == "it was not taken"


def test_nobody_there_is_said_without_the_address(hook: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hook.port = 1
    assert refusal(hook.url) == "ConnectionRefusedError"
    assert refusal(hook.service) == "its host refuses the connection"
    assert listening.SECRET not in caplog.text


def test_what_apprise_and_its_libraries_log_is_in_no_log(hook: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    send(MESSAGE, hook.service, key=KEY)
    hook.status = 500
    refusal(hook.service)
    assert listening.SECRET not in caplog.text
    assert "apprise" not in {record.name for record in caplog.records}


def test_a_proxy_of_the_environment_is_not_asked_by_a_webhook(
    hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening.hook() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        send(MESSAGE, hook.url, key=KEY)
        assert (len(hook.received), proxy.received) == (1, [])


def test_a_receiver_that_neither_takes_nor_refuses_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_by_post", lambda *_: time.sleep(3))
    with pytest.raises(NotSent, match="did not answer in time"):
        send(MESSAGE, "https://hooks.example.org/x", key=KEY, longest=0.05)


def test_an_error_of_a_library_is_named_by_its_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("https://hooks.example.org/s3cret")

    monkeypatch.setattr(module, "_by_post", broken)
    with pytest.raises(NotSent, match=r"^RuntimeError$"):
        send(MESSAGE, "https://hooks.example.org/s3cret", key=KEY)


def test_an_address_says_neither_how_often_nor_that_a_failure_does_not_matter(hook: Any) -> None:
    hook.status = 500
    assert refusal(f"{hook.service}?optional=yes&retry=2") == "it answered 500"


# --- where it may go ---


@pytest.mark.parametrize(
    "address",
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
        "json://hooks.example.org/x",
        "xml://10.0.0.1/x",
        "nosuchservice://x",
    ],
)
def test_an_address_that_alerts_must_not_go_to_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"alerts\.receivers\.team") as refused:
        check_address(address, key=KEY)
    assert "example.org" not in str(refused.value)
    with pytest.raises(UserError, match=r"alerts\.receivers\.team"):
        send(MESSAGE, address, key=KEY)


@pytest.mark.parametrize(
    ("address", "open"),
    [
        ("https://hooks.example.org/x", False),
        ("http://localhost:8/x", False),
        ("http://[::1]:8/x", False),
        ("json://127.0.0.1/x", False),
        ("jsons://hooks.example.org/x", False),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", False),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", False),
        ("mailtos://user:password@mail.example.org?to=team@example.org", False),
        ("mailto://user:password@gmail.com", False),
        ("mailto://user:password@mail.example.org", True),
    ],
)
def test_an_address_on_this_machine_or_encrypted_is_taken(address: str, open: bool) -> None:
    check_address(address, key=KEY)
    assert goes_open(address) == open


# --- the section of the project file ---


def test_receivers_have_a_least_severity_each() -> None:
    config = AlertsConfig({"team": "env:TEAM", "pager": "file:pager"}, {"pager": "critical"}, "env:HOOK")
    assert config.known() == (
        Receiver("team", "env:TEAM", "warning"),
        Receiver("pager", "file:pager", "critical"),
        Receiver("webhook", "env:HOOK", "warning"),
    )
    assert [severity for severity in SEVERITIES if config.known()[0].wants(severity)] == [
        "warning",
        "critical",
    ]
    assert [one.key for one in config.known()[1:]] == ["alerts.receivers.pager", "alerts.webhook"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"receivers": {"team": "slack://s3cret"}}, "a secret has no place in this file"),
        ({"receivers": {"team": 3}}, "team: expected a text"),
        ({"receivers": {"slack://s3cret": "env:X"}}, "a name of your own"),
        ({"receivers": {"webhook": "env:X"}}, "none is called webhook"),
        ({"receivers": {"team": "env:X"}, "least": {"teem": "info"}}, "nearest is 'team'"),
        ({"receivers": {"team": "env:X"}, "least": {"team": "critcal"}}, "nearest is 'critical'"),
    ],
)
def test_a_section_that_cannot_be_meant_so_is_refused_without_its_secrets(
    written: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        AlertsConfig(**written)
    assert "s3cret" not in str(refused.value)


def test_a_secret_file_is_read_when_something_is_sent(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example.org/x\n")
    (tmp_path / "hook").chmod(0o600)
    assert Receiver("team", "file:hook").address(tmp_path, {}) == "https://hooks.example.org/x"
    with pytest.raises(UserError, match=r"alerts\.receivers\.team: the environment variable X is not set"):
        Receiver("team", "env:X").address(tmp_path, {})
