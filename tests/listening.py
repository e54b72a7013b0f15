"""Receivers on this machine: one that is posted to, one that takes mail; each may be down, or refuse."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "s3cret-of-the-address"  # in the path of every address


@dataclass
class Hook:
    """What a listener was posted, and what it answers."""

    port: int = 0
    status: int = 200
    location: str | None = None
    received: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of a plain post."""
        return f"http://127.0.0.1:{self.port}/{SECRET}"

    @property
    def service(self) -> str:
        """The address as Apprise takes it."""
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    @property
    def said(self) -> list[str]:
        """The ids of the messages, in the order in which they came, by either way."""
        return [
            one["key"] if "key" in one else one["message"].rpartition("Message ")[2] for one in self.received
        ]


@contextmanager
def hook(port: int = 0) -> Iterator[Hook]:
    """A listener, at a port that is free or at this one."""
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if found.status < 300:
                found.received.append(json.loads(body))
            self.send_response(found.status)
            if found.location is not None:
                self.send_header("location", found.location)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@dataclass
class Mailbox:
    """What a mail server took: the headers and the text of each mail. refuses: whether it takes none."""

    port: int = 0
    refuses: bool = False
    received: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The address as Apprise takes it."""
        return f"mailto://127.0.0.1:{self.port}?from=losswatch@example.org&to=team@example.org&format=text"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server that knows as much of SMTP as it takes to get a mail."""
    found = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                word = line.upper()
                if word.startswith("RCPT") and found.refuses:
                    self.say("550 nobody of that name")
                elif word == "DATA":
                    self.say("354 go on")
                    lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                    found.received.append(message_from_string("".join(lines)))
                    self.say("250 taken")
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 well")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()
