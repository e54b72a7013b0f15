"""The scoring server beside MLflow's, beside itself without a log, and beside a bare server, in one run.

python -m benchmarks.serving [--quick] [--json FILE]

All servers run at once and are asked in turn, round after round; what is compared is the median of the ratios of a
round, so that other work on the machine weighs on both. Rows have 16 numbers and 4 names. `mlflow` is `mlflow models
serve` of the network as MLflow's flavour of Keras keeps it, asked for rows that are prepared already; `pyfunc` the same
of our version, which answers through ONNX there, too. `bare` is uvicorn and onnxruntime alone, `fixed` a server that
reads and scores nothing: with one client they tell what this machine lets any server in Python reach.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import options
from benchmarks.load import Load, measured
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure
from benchmarks.servers import cpu, free_port, memory, running

ROUNDS, QUICK_ROUNDS = 7, 1
SECONDS, QUICK_SECONDS = 2.0, 0.7
NUMBERS, NAMES, ROWS = 16, 4, 3000
PROJECT = """
[project]
name = "served"
[data]
path = "rows.csv"
target = "y"
time = "when"
[network]
epochs = 2
[serve]
port = {port}
"""


@dataclass(frozen=True)
class Server:
    """A server that is asked. files: by the rows of a request, what is sent; slow: asked for longer, but once."""

    name: str
    port: int
    pid: int
    started: float
    files: Mapping[int, Path]
    path: str = "/invocations"


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="losswatch-") as folder, ExitStack() as stack:
        project = made_project(Path(folder) / "project")
        bundle = _bundle(project)
        start = _starter(stack, Path(folder))
        ours, again = _ours(start, project)
        servers = {
            "losswatch": ours,
            "unlogged": start("unlogged", [*_module("servers", "unlogged"), "{port}", str(bundle)], "/livez"),
            "bare": start("bare", [*_module("servers", "bare"), "{port}", str(bundle)], "/"),
            "fixed": start("fixed", [*_module("servers", "fixed"), "{port}", str(bundle)], "/"),
            "mlflow": start("mlflow", _mlflow(str(_as_users_do(bundle))), "/ping", environ=_environ(project)),
            "pyfunc": start("pyfunc", _mlflow("models:/served@champion"), "/ping", environ=_environ(project)),
        }
        rounds = QUICK_ROUNDS if quick else ROUNDS
        found = [_round(servers, QUICK_SECONDS if quick else SECONDS, number) for number in range(rounds)]
        return _results(found, servers, again, decided=not quick)


@dataclass(frozen=True)
class Asked:
    """What the client measured, microseconds of CPU that the server took for a request, and the MB that it and its
    children held right afterwards: ours has rows moved by a process that comes and goes.
    """

    load: Load
    cpu: float
    memory: float

    @property
    def rate(self) -> float:
        return self.load.rate


Found = dict[tuple[str, int, int], Asked]  # by server, clients and rows
_MLFLOW, _LEAST = ("mlflow", "pyfunc"), ("bare", "fixed")
KINDS = ((1, 1), (16, 1), (1, 64))


def _round(servers: Mapping[str, Server], seconds: float, number: int) -> Found:
    found = {}
    for clients, rows in KINDS:
        for server in servers.values():
            if rows > 1 and server.name in _LEAST:
                continue
            length = seconds * 2 if server.name in _MLFLOW else seconds
            before = cpu(server.pid)
            load = measured(server.port, server.files[rows], length, clients, server.path)
            spent = (cpu(server.pid) - before) / max(load.requests, 1) * 1e6
            found[server.name, clients, rows] = Asked(load, spent, memory(server.pid))
        rates = ", ".join(
            f"{name} {found[name, clients, rows].rate:,.0f}/s"
            for name in servers
            if (name, clients, rows) in found
        )
        say(f"round {number + 1}, {clients} clients, {rows} rows: {rates}")
    return found


def _results(
    found: Sequence[Found], servers: Mapping[str, Server], again: float, *, decided: bool
) -> list[Result]:
    def of(name: str, clients: int, rows: int, what: Callable[[Asked], float]) -> float:
        return median(what(one[name, clients, rows]) for one in found)

    def ratio(clients: int, rows: int, other: str, name: str = "losswatch") -> float:
        return median(one[name, clients, rows].rate / one[other, clients, rows].rate for one in found)

    def cost(clients: int, rows: int) -> float:
        return 1 - ratio(clients, rows, "unlogged")

    def most(name: str) -> float:
        return max(one.memory for found_round in found for (by, *_), one in found_round.items() if by == name)

    alone = memory(servers["losswatch"].pid, children=False)
    results = [
        at_least(250, "one client, against mlflow", ratio(1, 1, "mlflow"), "times", decided=decided),
        figure("bare, one client, against mlflow", ratio(1, 1, "mlflow", "bare"), "times"),
        figure("a fixed answer, one client, against mlflow", ratio(1, 1, "mlflow", "fixed"), "times"),
        at_least(400, "16 clients, against mlflow", ratio(16, 1, "mlflow"), "times", decided=decided),
        at_least(60, "64 rows a request, against mlflow", ratio(1, 64, "mlflow"), "times", decided=decided),
        at_least(1 / 3, "one client, against bare", ratio(1, 1, "bare"), "times", decided=decided),
        figure("16 clients, against bare", ratio(16, 1, "bare"), "times"),
        at_most(
            0.25, "p50, one client", of("losswatch", 1, 1, lambda one: one.load.p50), "ms", decided=decided
        ),
        figure("p50 of bare, one client", of("bare", 1, 1, lambda one: one.load.p50), "ms"),
        figure("p50 of a fixed answer, one client", of("fixed", 1, 1, lambda one: one.load.p50), "ms"),
        at_most(3, "p99, one client", of("losswatch", 1, 1, lambda one: one.load.p99), "ms", decided=decided),
        at_most(0.3, "cost of the log, one client", cost(1, 1), "of 1", decided=decided),
        at_most(0.3, "cost of the log, 16 clients", cost(16, 1), "of 1", decided=decided),
        at_most(0.3, "cost of the log, 64 rows", cost(1, 64), "of 1", decided=decided),
        at_most(150, "memory of the server after all this", alone, "MB", decided=decided),
        figure("memory with the process that moves rows, most seen", most("losswatch"), "MB"),
        at_most(2, "start until ready", again, "s", decided=decided),
        figure("first start until ready", servers["losswatch"].started, "s"),
        figure("mlflow: memory", most("mlflow"), "MB"),
        figure("mlflow: start until ready", servers["mlflow"].started, "s"),
        figure("CPU of the client", of("losswatch", 1, 1, lambda one: one.load.cpu), "µs/request"),
    ]
    for name, clients, rows in found[0]:
        kind = f"{clients} {'client' if clients == 1 else 'clients'}, {rows} {'row' if rows == 1 else 'rows'}"
        results.append(figure(f"{name}: {kind}", of(name, clients, rows, lambda one: one.rate), "requests/s"))
        spent = of(name, clients, rows, lambda one: one.cpu)
        results.append(figure(f"{name}: {kind}, CPU of the server", spent, "µs/request"))
    return results


# --- what is asked ---


def made_project(folder: Path) -> Path:
    """A project with one version that serves, and the bodies of requests beside it."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    columns = {f"number_{place}": rng.normal(10, 3, ROWS).round(3) for place in range(NUMBERS)}
    names = {f"name_{place}": rng.choice(["a", "b", "c", "d", "e"], ROWS) for place in range(NAMES)}
    frame = pd.DataFrame({**columns, **names})
    frame["y"] = (frame["number_0"] - frame["number_1"] + rng.normal(size=ROWS)).round(3)
    frame.insert(0, "when", pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(ROWS) * 600, unit="s"))
    folder.mkdir(parents=True)
    frame.to_csv(folder / "rows.csv", index=False)
    (folder / "losswatch.toml").write_text(PROJECT.format(port=free_port()), "utf-8")
    asked = frame.drop(columns=["when", "y"])
    for rows in (1, 64):
        content = {"dataframe_split": asked.head(rows).to_dict(orient="split", index=False)}
        (folder / f"{rows}.json").write_text(json.dumps(content), "utf-8")
    say("training the version that all of them serve")
    for command in (["train"], ["promote", "--first"]):
        _run([sys.executable, "-m", "pipelines.cli", *command, "--project", str(folder)])
    return folder


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-800:]}")


def _bundle(project: Path) -> Path:
    from pipelines.bundle import read_bundle

    (network,) = (project / ".losswatch" / "artifacts").rglob("model.onnx")
    width = read_bundle(network.parent).schema.width
    for rows in (1, 64):
        inputs = [[0.25] * width] * rows  # rows that are prepared already
        (project / f"bare-{rows}.json").write_text(json.dumps({"inputs": inputs}), "utf-8")
    return network.parent


KERAS = """
import sys
import mlflow, numpy as np
from mlflow.models import infer_signature
from models.export import load_keras
model = load_keras(sys.argv[1] + "/model.keras", compiled=False)
rows = np.zeros((2, model.input_shape[-1]), np.float32)
signature = infer_signature(rows, np.asarray(model(rows)))
mlflow.tensorflow.save_model(model, sys.argv[2], signature=signature, pip_requirements=["keras", "tensorflow-cpu"])
"""


def _as_users_do(bundle: Path) -> Path:
    """The network of a version as MLflow's own flavour keeps one of Keras."""
    folder = bundle.parents[3] / f"keras-{bundle.parent.parent.name}"
    _run([sys.executable, "-c", KERAS, str(bundle), str(folder)])
    return folder


Start = Callable[..., Server]


def _starter(stack: ExitStack, folder: Path) -> Start:
    def start(
        name: str,
        command: Sequence[str],
        ready: str,
        *,
        port: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> Server:
        say(f"starting {name}")
        port = port or free_port()
        filled = [part.format(port=port) for part in command]
        address = f"http://127.0.0.1:{port}{ready}"
        server = running(filled, address, environ=environ, output=folder / f"{name}.log")
        pid, seconds = stack.enter_context(server)
        kind = "bare-" if name in (*_LEAST, "mlflow") else ""
        files = {rows: folder / "project" / f"{kind}{rows}.json" for rows in (1, 64)}
        return Server(name, port, pid, seconds, files, "/" if name in _LEAST else "/invocations")

    return start


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]


def _ours(start: Start, project: Path) -> tuple[Server, float]:
    """The server, and the seconds that it takes to start again; it knows its champion from before."""
    from pipelines.project import open_project

    port = open_project(project).config.serve.port
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--project", str(project)]
    with running(command, f"http://127.0.0.1:{port}/readyz") as (_, first):
        say(f"first start: {first:.1f} s")
    seconds = []
    for _ in range(3):
        with running(command, f"http://127.0.0.1:{port}/readyz") as (_, again):
            seconds.append(again)
    server = start("losswatch", command, "/readyz", port=port)
    values = {**server.__dict__, "started": first}
    return Server(**values), min(seconds)


def _mlflow(model: str) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
    return [*command, "--env-manager", "local", "--host", "127.0.0.1", "-p", "{port}"]


def _environ(project: Path) -> dict[str, str]:
    """Where MLflow finds the version, and the uvicorn that it starts through a shell."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    store = f"sqlite:///{project / '.losswatch' / 'mlflow.db'}"
    return {"PATH": path, "MLFLOW_TRACKING_URI": store, "MLFLOW_DISABLE_TELEMETRY": "true"}


if __name__ == "__main__":
    sys.exit(options.run("serving", measure))
