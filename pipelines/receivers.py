"""Who is told of alerts: by Apprise, or by a post of JSON. Addresses are secrets and stay out of every text."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import logging
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import orjson

from pipelines.errors import UserError
from pipelines.nearest import did_you_mean
from pipelines.secret import read_secret
from pipelines.section import KINDS

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # in ascending order
Status = Literal["new", "worse", "reminder", "over", "test"]

WEBHOOK = "webhook"  # the name of the receiver that the key of this name describes
_LEAST: Severity = "warning"  # what nobody has to do anything about wakes nobody who has not asked for it
_NAME = re.compile(r"[A-Za-z][\w-]{0,39}", re.ASCII)
_TIMEOUT = 5.0  # seconds; the monitor has other things to do than to wait for a chat
_LONGEST = 30.0  # seconds after which a receiver that neither takes nor refuses is given up for now
_BY_NAME = ("mailto",)  # goes to a server of one's own, which often takes mail from its neighbours only
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class AlertsConfig:
    """[alerts]"""

    receivers: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": 'who is told, by a name of your own: "env:NAME" or "file:PATH", which hold an address of Apprise or '
            "of a webhook",
            "kind": "secret",
            "example": '{team = "env:TEAM_CHAT"}',
        },
    )
    least: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": 'from which severity on a receiver is told: "info", "warning" (where nothing is written) or '
            '"critical"',
            "example": '{team = "info"}',
        },
    )
    webhook: str | None = field(
        default=None,
        metadata={"doc": "one receiver more, of this name, in one line", "kind": "secret"},
    )
    remind: timedelta = field(
        default=timedelta(days=1),  # a finding that stands is forgotten by the next morning
        metadata={
            "doc": "how long after an alert that nobody acknowledged it is told again, and again",
            "range": (timedelta(hours=1), timedelta(days=365)),
        },
    )
    resolved: bool = field(
        default=True, metadata={"doc": "whether it is told, once, that what an alert was about is over"}
    )

    def __post_init__(self) -> None:
        for name, written in self.receivers.items():
            if not _NAME.fullmatch(name) or name == WEBHOOK:
                raise ValueError(
                    "receivers: each has a name of your own, of letters, digits, - and _, e.g. team = "
                    '"env:TEAM_CHAT", and none is called webhook'
                )
            problem = KINDS["secret"](written) if isinstance(written, str) else "expected a text"
            if problem:
                raise ValueError(f"receivers: {name}: {problem}")
        self._check_least()

    def _check_least(self) -> None:
        known = [receiver.name for receiver in self.known()]
        for name, least in self.least.items():
            if name not in known:
                raise ValueError(f"least: {name!r} is no receiver{did_you_mean(name, known)}")
            if least not in SEVERITIES:
                near = did_you_mean(least, SEVERITIES) if isinstance(least, str) else ""
                raise ValueError(
                    f'least: {name} = {least!r}: not known. Write "info", "warning" or "critical"{near}'
                )

    def known(self) -> tuple[Receiver, ...]:
        """Every receiver."""
        told = {**self.receivers, **({WEBHOOK: self.webhook} if self.webhook else {})}
        return tuple(Receiver(name, written, self.least.get(name, _LEAST)) for name, written in told.items())


@dataclass(frozen=True)
class Receiver:
    """Somebody who is told. written: "env:NAME" or "file:PATH"; least: the severity from which on."""

    name: str
    written: str
    least: Severity = _LEAST

    @property
    def key(self) -> str:
        """Where it stands in the project file."""
        return "alerts.webhook" if self.name == WEBHOOK else f"alerts.receivers.{self.name}"

    def wants(self, severity: Severity) -> bool:
        """Whether it is told of alerts of a severity.

        >>> Receiver("pager", "env:PAGER", "critical").wants("warning")
        False
        """
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.least)

    def address(self, folder: Path, environ: Mapping[str, str] = os.environ) -> str:
        """Where to send; `UserError` where the variable or the file of the secret is gone. folder: the project's."""
        return read_secret(self.written, folder, environ, key=self.key)


@dataclass(frozen=True)
class Message:
    """What a receiver gets. id: of this message; the same one is sent again until it is known to have been taken.

    alert: the id of what it is about, by which it is acknowledged. next: what to do about it.
    """

    id: str
    alert: str
    status: Status
    severity: Severity
    kind: str
    title: str
    body: str
    next: str
    links: Mapping[str, str]
    known_at: str

    @property
    def headline(self) -> str:
        """One line without what could be taken for a second one."""
        said = {"worse": "worse: ", "reminder": "still: ", "over": "over: "}.get(self.status, "")
        return plain_text(f"[{self.severity}] {said}{self.title}").replace("\n", " ")

    @property
    def text(self) -> str:
        """Everything, for people."""
        lines = [self.body, *([f"Next: {self.next}"] if self.next else [])]
        lines += [f"{name}: {link}" for name, link in self.links.items()]
        asks = self.status not in ("over", "test")
        lines += [f"Acknowledge: losswatch alerts ack {self.alert}"] if asks else []
        return plain_text("\n".join([*lines, f"Message {self.id}"]))


def plain_text(text: str) -> str:
    """A text without what steers a terminal or a mail; a category's name may hold anything.

    >>> plain_text("carrier \\x1b[31mAA\\r\\nbcc: all")
    'carrier [31mAA\\nbcc: all'
    """
    return _CONTROL.sub("", text)


class NotSent(Exception):
    """A receiver did not take a message. The text never holds the address, which is a secret."""


def send(message: Message, address: str, *, key: str, longest: float = _LONGEST) -> None:
    """Sends a message; `NotSent` with the reason where it is not taken within so many seconds."""
    check_address(address, key=key)
    work = _by_apprise if _is_service(address) else _by_post
    _within(longest, lambda: work(message, address, key))


def check_address(address: str, *, key: str) -> None:
    """`UserError` for an address that alerts cannot or must not go to.

    Over the network it has to be encrypted, for it is a secret; mail may go to a server that wants it otherwise.
    """
    if not _is_service(address):
        _check_post(address, key)
        return
    plugin = _plugin(address)
    if plugin is None:
        raise UserError(f"{key}: the address is none that Apprise takes. See docs/alerts.md for the forms")
    if _is_open(plugin) and plugin.schema not in _BY_NAME:
        raise UserError(
            f"{key}: {plugin.schema}:// goes unencrypted to another machine. Write {plugin.schema}s://"
        )


def goes_open(address: str) -> bool:
    """Whether what is sent there can be read on its way, and so the password of a mail server."""
    plugin = _plugin(address) if _is_service(address) else None
    return plugin is not None and _is_open(plugin)


def _is_open(plugin: Any) -> bool:
    protocols = plugin.protocol if isinstance(plugin.protocol, list | tuple) else (plugin.protocol,)
    # a mail server known to Apprise is encrypted in any case
    mode = getattr(plugin, "secure_mode", "insecure")
    encrypted = plugin.schema not in protocols or str(getattr(mode, "value", mode)) != "insecure"
    return not encrypted and bool(plugin.host) and not _is_this_machine(str(plugin.host))


# --- a post of our own ---


def _check_post(address: str, key: str) -> None:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port == 0 or parts.username is not None or parts.password is not None:
        raise UserError(f"{key}: no address of a host. Write it as https://host/path, without user@")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_this_machine(host)):
        raise UserError(f"{key}: expected https://, or http:// on this machine, for it is a secret")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _by_post(message: Message, address: str, key: str) -> None:
    """Posts JSON, follows no redirect and uses no proxy."""
    body = orjson.dumps(
        {
            "key": message.id,
            "alert": message.alert,
            "status": message.status,
            "severity": message.severity,
            "kind": message.kind,
            "title": message.title,
            "body": message.body,
            "next": message.next,
            "links": dict(message.links),
            "known_at": message.known_at,
            "text": f"{message.headline}\n{message.text}",  # what chats show
        }
    )
    headers = {"content-type": "application/json"}
    try:
        request = urllib.request.Request(address, data=body, headers=headers, method="POST")
        with _opener().open(request, timeout=_TIMEOUT):
            return
    except urllib.error.HTTPError as error:
        with error:
            raise NotSent(f"it answered {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotSent(type(reason).__name__ if isinstance(reason, Exception) else "no answer") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other, and no reason to post elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


# --- Apprise ---


def _is_service(address: str) -> bool:
    """Whether Apprise is asked: for all but http and https, and for those addresses that it knows a chat by."""
    if not address.lower().startswith(("http://", "https://")):
        return "://" in address
    return _plugin(address) is not None


@cache
def _apprise() -> Any:
    """Apprise with all its services, loaded when the first address is looked at: 0.4 s of CPU."""
    import warnings

    with _unheard(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of modules that it imports for old Pythons
        import apprise

        apprise.Apprise.instantiate("json://localhost")
    return apprise


def _plugin(address: str) -> Any:
    apprise = _apprise()
    asset = apprise.AppriseAsset(
        async_mode=False, http_redirects=False, app_id="losswatch", app_desc="losswatch"
    )
    with _unheard():
        return apprise.Apprise.instantiate(address, asset=asset)


def _by_apprise(message: Message, address: str, key: str) -> None:
    apprise = _apprise()
    kinds = {"info": "info", "warning": "warning", "critical": "failure"}
    plugin = _plugin(address)
    plugin.retry, plugin.optional = 0, False  # whether and when again is ours to say
    sender = apprise.Apprise()
    sender.add(plugin)
    with _unheard() as heard:
        taken = sender.notify(
            message.text,
            title=message.headline,
            notify_type="success" if message.status == "over" else kinds[message.severity],
            body_format="text",
        )
    if not taken:
        raise NotSent(_reason("\n".join(heard)))


# what libraries say when something is wrong, and what of it may be said: their own words hold addresses
_SIGNS = (
    (r"Name or service not known|name resolution|getaddrinfo", "its host is not known"),
    (r"Connection refused", "its host refuses the connection"),
    (r"CERTIFICATE|SSLError", "its certificate is not valid"),
    (r"timed out|Timeout", "it did not answer in time"),
    (r"Authentication", "it does not know the user or the password"),
)


def _reason(said: str) -> str:
    """
    >>> _reason("Failed to send JSON POST notification: Unauthorized, error=401.")
    'it answered 401'
    >>> _reason("https://hooks.example.org/secret: something else")
    'it was not taken'
    """
    if status := re.search(r"error=(\d{3})\b", said):
        return f"it answered {status[1]}"
    if status := re.search(r"\((\d{3}), b'", said):  # a mail server's
        return f"the mail server answered {status[1]}"
    return next((reason for sign, reason in _SIGNS if re.search(sign, said)), "it was not taken")


# their lines hold addresses
_TALKATIVE = ("apprise", "requests", "urllib3", "urllib3.connectionpool", "urllib3.util.retry")
_HEARING = threading.local()


class _Ear(logging.Filter):
    """Keeps what a library logs in a thread that sends out of every log, and remembers it for the reason."""

    def filter(self, record: logging.LogRecord) -> bool:
        heard: list[str] | None = getattr(_HEARING, "heard", None)
        if heard is None:
            return record.levelno >= logging.WARNING or not record.name.startswith("apprise")
        heard.append(record.getMessage())
        return False


_EAR = _Ear()


@contextlib.contextmanager
def _unheard() -> Iterator[list[str]]:
    """What these libraries log in this thread, which is logged nowhere else."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_EAR)  # once, however often it is called
    logging.getLogger("apprise").setLevel(logging.DEBUG)  # its reasons are of that level
    heard: list[str] = []
    before = getattr(_HEARING, "heard", None)
    _HEARING.heard = heard
    try:
        yield heard
    finally:
        _HEARING.heard = before


def _within(seconds: float, work: Callable[[], None]) -> None:
    """Does the work, or raises `NotSent` after so many seconds; one byte a minute would hold it up for days."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="alert", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise NotSent("it did not answer in time")
    if failed:
        known = isinstance(failed[0], NotSent | UserError)
        raise failed[0] if known else NotSent(type(failed[0]).__name__) from None
