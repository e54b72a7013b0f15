"""What a replay found: its windows, its sums, the table by month and the JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.bundle import plain
from pipelines.table import Column, render

JSON_VERSION = 1


@dataclass(frozen=True)
class ReplayWindow:
    """What happened in a window. Losses are means over its rows, in the project's own loss."""

    start: str
    end: str
    rows: int
    loss_never: float
    loss: float
    loss_constant: float
    loss_simple: float
    loss_schedule: float
    version: int
    verdict: str
    action: str
    reasons: tuple[str, ...]
    challenger: int | None
    promoted: bool
    gate: tuple[str, ...]


@dataclass(frozen=True)
class ReplaySummary:
    """The whole replay in numbers; losses are means over all rows. cpu_training: seconds of CPU spent learning."""

    rows: int
    loss_never: float
    loss: float
    loss_constant: float
    loss_simple: float
    loss_schedule: float
    retrainings: int
    promotions: int
    refusals: int
    alarms: int
    seconds: float
    cpu_training: float


@dataclass(frozen=True)
class ReplayResult:
    """A replay: the project's name and loss, its windows, and what to look at."""

    name: str
    loss_name: str
    window: str
    windows: tuple[ReplayWindow, ...]
    summary: ReplaySummary
    page: str
    json: str | None

    def lines(self) -> list[str]:
        s = self.summary
        told = [*month_table(self), ""]
        told.append(
            f"{self.loss_name}: {s.loss:.4g} served, {s.loss_never:.4g} never retrained, "
            f"{s.loss_schedule:.4g} on a fixed schedule of {s.retrainings}"
        )
        told.append(
            f"{s.retrainings} retrainings: {s.promotions} promoted, {s.refusals} refused; {s.alarms} alarms; "
            f"{s.seconds:.0f} s, of them {s.cpu_training:.0f} s of CPU learning"
        )
        told += ["", "the page, loss from the first epoch to the last window:", f"  {self.page}"]
        return [*told, *_look(Path(self.page).parent)]


def _look(state: Path) -> list[str]:
    """The commands that open the servers' pages on what a replay made."""
    prefect = os.environ.get("PREFECT_HOME", str(state.parent / "prefect"))
    return [
        "runs, curves and versions, in MLflow:",
        f"  mlflow ui --backend-store-uri sqlite:///{state / 'mlflow.db'} --port 5000",
        "the flow run, in Prefect (where it ran with --flow):",
        f"  PREFECT_HOME={prefect} prefect server start --port 4200",
    ]


MONTH_COLUMNS = (
    Column("month", "month"),
    Column("rows", "rows"),
    Column("losswatch", "losswatch", 4),
    Column("never", "never", 4),
    Column("schedule", "schedule", 4),
    Column("simple", "simple", 4),
    Column("constant", "base rate", 4),
    Column("retrained", "retrained"),
    Column("promoted", "promoted"),
    Column("alarms", "alarms"),
)


def months(result: ReplayResult) -> list[dict[str, Any]]:
    """The windows by the month in which they begin, and last the whole replay."""
    groups: dict[str, list[ReplayWindow]] = {}
    for window in result.windows:
        groups.setdefault(window.start[:7], []).append(window)
    return [_month(name, group) for name, group in [*groups.items(), ("all", list(result.windows))]]


def _month(name: str, windows: Sequence[ReplayWindow]) -> dict[str, Any]:
    weights = np.array([window.rows for window in windows], dtype=float)

    def mean(key: str) -> float:
        values = np.array([getattr(window, key) for window in windows])
        held = weights > 0
        return float(np.average(values[held], weights=weights[held])) if held.any() else float("nan")

    return {
        "month": name,
        "rows": int(weights.sum()),
        "losswatch": mean("loss"),
        "never": mean("loss_never"),
        "schedule": mean("loss_schedule"),
        "simple": mean("loss_simple"),
        "constant": mean("loss_constant"),
        "retrained": sum(window.challenger is not None for window in windows),
        "promoted": sum(window.promoted for window in windows),
        "alarms": sum(window.verdict in ("harmful shift", "concept change") for window in windows),
    }


def month_table(result: ReplayResult) -> list[str]:
    """The table that a replay ends with."""
    rows = months(result)
    return render(rows[:-1], MONTH_COLUMNS, totals=rows[-1:])


def write_json(result: ReplayResult, path: Path) -> None:
    """The contract of `losswatch replay --json`: see docs/replay.md. Whole or not at all."""

    content = {"losswatch_replay": JSON_VERSION, **asdict(result)}
    del content["json"]
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(json.dumps(plain(content), indent=1) + "\n", "utf-8")
    os.replace(new, path)
