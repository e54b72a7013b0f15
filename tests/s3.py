"""An S3 on this machine, in a process of its own: moto's server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

START_SECONDS = 60.0


@contextmanager
def running(*buckets: str) -> Iterator[dict[str, str]]:
    """The variables by which clients find it; it has these buckets, and forgets all when the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, port)
        for bucket in buckets:
            assert ask(port, "PUT", f"/{bucket}") == 200
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()


def ask(port: int, method: str, path: str) -> int:
    """The status of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "the S3 of the tests ended"
        try:
            ask(port, "GET", "/moto-api/data.json")
            return
        except OSError:
            assert time.monotonic() < end, "the S3 of the tests does not answer"
            time.sleep(0.05)
