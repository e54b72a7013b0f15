"""Alerts: one for each cause, in the log first, then to a webhook, again until it was taken."""

from __future__ import annotations

import http.client
import ipaddress
import logging
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from pipelines.errors import UserError
from pipelines.log import Event, Log

if TYPE_CHECKING:
    from pipelines.stores import Stores

logger = logging.getLogger(__name__)

RAISED, SENT, NOT_SENT = "alert", "alert sent", "alert not sent"
_TIMEOUT = 5.0  # seconds; the monitor has other things to do than to wait for a chat
_KEPT = timedelta(days=7)  # an older alert tells nobody anything new


@dataclass(frozen=True)
class Alert:
    """Something that a person should know. key: the cause; of one key there is one alert for ever."""

    kind: str
    title: str
    body: str
    key: str
    known_at: datetime


class NotSent(Exception):
    """The webhook did not take an alert. The text never holds the address, which is a secret."""


def raise_alert(stores: Stores, alert: Alert) -> bool:
    """Raises an alert once, as `send_alert` does, to the webhook of the project if it has one."""
    try:
        webhook = stores.project.webhook()
    except UserError as error:  # the variable or the file of the secret is gone; the monitor goes on
        logger.warning("%s", error)
        webhook = ""
    return send_alert(alert, stores.log, webhook)


def send_alert(alert: Alert, log: Log, webhook: str | None) -> bool:
    """Raises an alert once: an event, a line in the log of the process, and a post where a webhook is set.

    False where the cause was alerted before. A webhook that fails raises nothing: the alert is an event by
    then, and every later alert, or `deliver`, sends again what was not taken.
    """
    payload = {"kind": alert.kind, "title": alert.title, "body": alert.body, "webhook": webhook is not None}
    new = log.append_event(
        RAISED, payload, known_at=alert.known_at, author="monitor", key=f"{RAISED}:{alert.key}"
    )
    if new:
        logger.warning("%s: %s", alert.title, alert.body)
    if webhook is not None:
        deliver(log, webhook, now=alert.known_at)
    return new


def deliver(log: Log, webhook: str, *, now: datetime) -> int:
    """Posts alerts of the last 7 days that the webhook has not taken yet, oldest first; how many it took.

    It stops at the first that fails, so that their order stays; a repeated one carries the same key.
    """
    sent = 0
    for event in waiting(log, now):
        try:
            post(_message(event), webhook)
        except NotSent as error:
            reason = str(error)
            logger.warning("an alert was not taken by the webhook: %s", reason)
            log.append_event(NOT_SENT, {"alert": event.key, "reason": reason}, known_at=now, author="alerts")
            return sent
        log.append_event(SENT, {"alert": event.key}, known_at=now, author="alerts", key=f"{SENT}:{event.key}")
        sent += 1
    return sent


def waiting(log: Log, now: datetime) -> list[Event]:
    """Alerts of the last 7 days that were meant for a webhook and are not known to have arrived."""
    raised = [event for event in log.events(kind=RAISED) if event.payload["webhook"]]
    arrived = {event.payload["alert"] for event in log.events(kind=SENT)} if raised else set()
    return [event for event in raised if event.key not in arrived and event.known_at > now - _KEPT]


def _message(event: Event) -> dict[str, Any]:
    title, body = event.payload["title"], event.payload["body"]
    return {
        "key": (event.key or "").removeprefix(f"{RAISED}:"),
        "kind": event.payload["kind"],
        "title": title,
        "body": body,
        "known_at": event.known_at.isoformat(),
        "text": f"{title}\n{body}",  # what chats show
    }


def check_webhook(url: str) -> None:
    """`UserError` for an address that alerts must not go to: anything but https, or http on this machine.

    >>> check_webhook("http://example.org/hook")
    Traceback (most recent call last):
        ...
    pipelines.errors.UserError: alerts.webhook: expected https://...
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port == 0 or parts.username is not None or parts.password is not None:
        raise UserError("alerts.webhook: no address of a host. Write it as https://host/path, without user@")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_this_machine(host)):
        raise UserError("alerts.webhook: expected https://, or http:// on this machine, for it is a secret")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def post(message: dict[str, Any], url: str, *, timeout: float = _TIMEOUT) -> None:
    """Posts JSON, follows no redirect and uses no proxy; `NotSent` with the reason where it is not taken."""
    try:
        check_webhook(url)
        request = urllib.request.Request(
            url, data=orjson.dumps(message), headers={"content-type": "application/json"}, method="POST"
        )
        with _opener().open(request, timeout=timeout):
            return
    except urllib.error.HTTPError as error:
        with error:
            raise NotSent(f"it answered {error.code}") from None
    except UserError as error:
        raise NotSent(str(error)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotSent(type(reason).__name__ if isinstance(reason, Exception) else "no answer") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other, and no reason to post elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
