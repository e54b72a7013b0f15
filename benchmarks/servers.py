"""Servers that a benchmark starts beside ours, each in a process of its own.

python -m benchmarks.servers bare PORT BUNDLE       uvicorn and onnxruntime, with neither checks nor log
python -m benchmarks.servers unlogged PORT BUNDLE   our server, with a log that forgets
python -m benchmarks.servers fixed PORT BUNDLE      says the same to whatever comes: what the machine's loopback takes
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.arrival import Arrival, ArrivingLabel, Conflict, Stored


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str],
    address: str,
    *,
    environ: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Iterator[tuple[int, float]]:
    """The process id of a server and the seconds until it was ready; ended with SIGTERM after the block."""
    begun = time.monotonic()
    with (output or Path(os.devnull)).open("ab") as said:
        process = subprocess.Popen(
            command, env={**os.environ, **(environ or {})}, stdout=said, stderr=said, start_new_session=True
        )
    try:
        while not _answers(address):
            if process.poll() is not None or time.monotonic() - begun > 300:
                raise RuntimeError(f"{' '.join(command)} does not answer at {address}; see {output}")
            time.sleep(0.01)
        yield process.pid, time.monotonic() - begun
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def memory(pid: int, *, children: bool = True) -> float:
    """MB that a process and its children hold (RSS)."""
    import psutil  # type: ignore[import-untyped]

    process = psutil.Process(pid)
    total = 0
    for one in (process, *(process.children(recursive=True) if children else ())):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def cpu(pid: int) -> float:
    """Seconds of CPU that a process and all that it started have used."""
    import psutil

    process, total = psutil.Process(pid), 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return float(total)


def bare(port: int, bundle: Path) -> None:
    """The least that a server in Python does for an answer."""
    import numpy as np
    import orjson
    import uvicorn

    from models.onnx_runtime import onnx_runtime

    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(bundle / "model.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(parts)
        answer = b"{}"
        if body:
            rows = np.array(orjson.loads(body)["inputs"], dtype=np.float32)
            answer = orjson.dumps({"predictions": session.run(None, {name: rows})[0].tolist()})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def fixed(port: int, bundle: Path) -> None:
    """Reads no request and scores nothing: no server in Python answers sooner on this machine."""
    import asyncio

    import uvloop

    said = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

    class Saying(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._transport.write(said)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Saying, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(serve())


class Forgetful:
    """A log that keeps nothing."""

    def arrive_together(
        self, arrivals: Sequence[Arrival], *, wait: bool = True
    ) -> list[Stored | Conflict | None]:
        return [None] * len(arrivals)

    def take_labels(self, labels: Sequence[ArrivingLabel]) -> None:
        return None

    def tidy_along(self) -> None:
        return None

    def flush(self) -> int:
        return 0

    def hurry(self) -> None:
        return None


def unlogged(port: int, bundle: Path) -> None:
    """Our server without its log."""
    from pipelines.champion import Served
    from pipelines.scoring import Scorer
    from pipelines.serving import ScoringServer, prepare_process
    from pipelines.tokens import Tokens

    served = Served(1, Scorer.load(bundle))

    class Fixed:
        def current(self) -> Served:
            return served

    folder = Path(tempfile.gettempdir())
    server = ScoringServer(
        Fixed(),
        Forgetful(),
        folder=folder,
        now=lambda: datetime.now(UTC),
        tokens=Tokens(folder / "losswatch-no-tokens.json"),
    )
    with socket.create_server(("127.0.0.1", port), backlog=512) as listening:
        prepare_process()
        server.run(listening, signals=True)


if __name__ == "__main__":
    {"bare": bare, "fixed": fixed, "unlogged": unlogged}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
