"""A project that lives: real servers, a real network, and a flow that retrains what a change of concept has harmed.

Only the clock is made: every process reads it from a file of the project, and the story turns it on from day to day.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streams

from pipelines import flows
from pipelines.left_over import end_left_over
from pipelines.log import Event, Log
from pipelines.project import Project, open_project

# days: in the file, then live before and after the change of concept; one harmed window alone is no proof yet
HISTORY, CALM, CHANGED = 20, 2, 2
BEGIN = np.datetime64("2021-01-21")  # the first live day
CLOCK = """
from datetime import datetime
from pipelines.project import Project

Project.now = lambda project: datetime.fromisoformat((project.folder / "clock").read_text())
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # whichever test comes first waits for the story
]


@dataclass(frozen=True)
class Live:
    """A project between `losswatch up` and its end."""

    project: Project
    environment: dict[str, str]
    started: dict[str, Any]

    def command(self, *arguments: str) -> str:
        return _command(self.environment, *arguments, "--project", str(self.project.folder))

    def turn_clock(self, moment: np.datetime64) -> None:
        _write_clock(self.project.folder, moment)

    def prefect(self, path: str, content: dict[str, Any] | None = None) -> Any:
        """An answer of Prefect; where its database is locked it says 503, and its own clients ask again too."""

        def answered() -> tuple[Any] | None:
            try:
                with _ask(f"{self.started['prefect']}/api/{path}", content) as answer:
                    return (json.load(answer),)
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                return None

        (found,) = _wait(answered)
        return found

    def monitor(self) -> dict[str, Any]:
        """A run of the monitor's deployment, when it has ended."""
        deployment = self.prefect(f"deployments/name/{flows.MONITOR}/shop")
        now = (self.project.folder / "clock").read_text()
        run = self.prefect(
            f"deployments/{deployment['id']}/create_flow_run",
            {
                "parameters": {"project": str(self.project.folder), "now": now},
                "idempotency_key": secrets.token_hex(8),  # asked twice, it is one run all the same
            },
        )

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.prefect(f"flow_runs/{run['id']}")
            return found if _has_ended(found) else None

        found: dict[str, Any] = _wait(ended)
        return found

    def retrainings(self) -> list[dict[str, Any]]:
        condition = {"flows": {"name": {"any_": [flows.RETRAIN]}}, "limit": 5, "sort": "START_TIME_DESC"}
        found: list[dict[str, Any]] = self.prefect("flow_runs/filter", condition)
        return found

    def live_through(self, day: pd.DataFrame) -> None:
        """The rows of a day are asked, and in its last second the truth of each comes in."""
        self.turn_clock(day["when"].to_numpy()[0].astype("datetime64[D]") + np.timedelta64(86_399, "s"))
        ids = [f"row {place}" for place in day.index]
        times = [f"{moment.isoformat()}Z" for moment in day["when"]]
        rows = json.loads(day.drop(columns=["when", "y"]).to_json(orient="records"))
        scoring = self.started["scoring"]
        asked = {"dataframe_records": rows, "ids": ids, "times": times}
        with _ask(f"{scoring}/invocations", asked) as answer:
            assert len(json.load(answer)["predictions"]) == len(day)
        truth = [{"id": row, "value": int(value)} for row, value in zip(ids, day["y"], strict=True)]
        with _ask(f"{scoring}/labels", {"labels": truth}) as answer:
            assert json.load(answer) == {"accepted": len(day)}

    def version(self) -> str | None:
        """The version that the scoring server answers with."""
        try:
            with _ask(f"{self.started['scoring']}/ping") as answer:
                found: str | None = answer.headers["losswatch-version"]
                return found
        except OSError:
            return None


@dataclass(frozen=True)
class Story:
    """What was seen on the way. Runs are Prefect's."""

    before_promotion: dict[str, Any]
    calm: dict[str, Any]
    calm_retrainings: list[dict[str, Any]]
    harmed: dict[str, Any]
    retraining: dict[str, Any]
    served_before: str | None
    served_after: str | None
    again: dict[str, Any]
    retrainings: list[dict[str, Any]]
    events: tuple[Event, ...]
    status: dict[str, Any]
    champion: int


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    rows = streams.stream(HISTORY + CALM + CHANGED, change_on=HISTORY + CALM)
    day = ((rows["when"].to_numpy() - np.datetime64("2021-01-01")) // np.timedelta64(1, "D")).astype(int)
    folder = tmp_path_factory.mktemp("live")
    rows[day < HISTORY].to_csv(folder / "rows.csv", index=False)
    with _live(folder) as live:
        before = live.monitor()
        live.command("promote", "--first")
        first = _wait(live.version)
        for number in range(HISTORY, HISTORY + CALM):
            live.live_through(rows[day == number])
        live.turn_clock(BEGIN + np.timedelta64(CALM, "D"))
        calm, calm_retrainings = live.monitor(), live.retrainings()
        for number in range(HISTORY + CALM, HISTORY + CALM + CHANGED):
            live.live_through(rows[day == number])
        live.turn_clock(BEGIN + np.timedelta64(CALM + CHANGED, "D"))
        harmed = live.monitor()
        retraining = _wait(lambda: next(filter(_has_ended, live.retrainings()), None))
        served = _wait(lambda: live.version() if live.version() != first else None, 60)
        yield Story(
            before_promotion=before,
            calm=calm,
            calm_retrainings=calm_retrainings,
            harmed=harmed,
            retraining=retraining,
            served_before=first,
            served_after=served,
            again=live.monitor(),
            events=tuple(Log(live.project.log_folder()).events()),
            status=json.loads(live.command("status", "--json")),
            champion=_champion(live.project),
            retrainings=live.retrainings(),  # last: an event needs a second until its run is there
        )


@contextlib.contextmanager
def _live(folder: Path) -> Iterator[Live]:
    """A project from `losswatch init` to `losswatch up`, with a first version that nobody has let in yet."""
    clock = folder / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(CLOCK)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    paths = [str(clock), environment.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    shop = folder / "shop"
    data = ["--data", str(folder / "rows.csv"), "--target", "y", "--time", "when"]
    _command(environment, "init", str(shop), *data)
    _write_clock(shop, BEGIN)
    text = (shop / "losswatch.toml").read_text()
    text = text.replace("# port = 8000", f"port = {_free_port()}")
    text = text.replace(
        '# monitor = "5 * * * *"', 'monitor = "0 3 1 1 *"'
    )  # the story starts each run itself
    (shop / "losswatch.toml").write_text(text)
    _command(environment, "train", "--project", str(shop))
    project = open_project(shop)
    with _up(project, environment) as started:
        yield Live(project, environment, started)


@contextlib.contextmanager
def _up(project: Project, environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """`losswatch up`, ended with SIGTERM, as a service manager would."""
    output = project.folder / "output"
    command = [sys.executable, "-m", "pipelines.cli", "up", "--project", str(project.folder)]
    with output.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env=environment, start_new_session=True)
    started = project.state / "up.json"
    try:
        _wait(lambda: started.exists() or process.poll() is not None, 500)
        assert process.poll() is None, output.read_text()
        yield json.loads(started.read_text())
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()  # it has ended, or never will
        end_left_over(project.state / "up", seconds=10)


def _command(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _write_clock(project: Path, moment: np.datetime64) -> None:
    part = project / "clock.part"
    part.write_text(f"{moment.astype('datetime64[s]')}+00:00")
    part.replace(project / "clock")


def _ask(address: str, content: dict[str, Any] | None = None) -> Any:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, data=data, headers={"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=60)


def _has_ended(run: dict[str, Any]) -> bool:
    return run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def _wait(condition: Callable[[], Any], seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise TimeoutError


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _champion(project: Project) -> int:
    """The alias, as any client of MLflow sees it."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=project.tracking())
    return int(client.get_model_version_by_alias("shop", "champion").version)


def _of_kind(story: Story, kind: str) -> list[dict[str, Any]]:
    return [dict(event.payload) for event in story.events if event.kind == kind]


def test_a_monitor_before_any_version_serves_ends_well_and_says_so(story: Story) -> None:
    assert story.before_promotion["state_type"] == "COMPLETED"
    assert "no version serves yet" in story.before_promotion["state"]["message"]


def test_calm_days_are_judged_and_start_nothing(story: Story) -> None:
    assert story.calm["state_type"] == "COMPLETED"
    assert [verdict["action"] for verdict in _of_kind(story, "verdict")[:CALM]] == ["keep"] * CALM
    assert story.calm_retrainings == []


def test_a_change_of_concept_starts_a_retraining_by_itself(story: Story) -> None:
    assert story.harmed["state_type"] == "COMPLETED"
    assert _of_kind(story, "verdict")[-1]["action"] in ("update", "refit")
    assert story.retraining["state_type"] == "COMPLETED"
    assert "harmful window" in story.retraining["created_by"]["display_value"]
    assert story.retraining["parameters"]["reason"]


def test_the_challenger_is_promoted_and_the_log_says_so(story: Story) -> None:
    (retraining,) = _of_kind(story, "retraining")
    assert (retraining["promoted"], retraining["challenger"]) == (True, 2)
    assert [(one["from"], one["to"]) for one in _of_kind(story, "promotion")] == [(None, 1), (1, 2)]
    assert [one["version"] for one in _of_kind(story, "service")] == [1, 2]
    assert story.champion == 2


def test_the_scoring_server_changes_over_to_it(story: Story) -> None:
    assert (story.served_before, story.served_after) == ("1", "2")


def test_a_retraining_that_has_happened_is_not_asked_for_again(story: Story) -> None:
    assert story.again["state_type"] == "COMPLETED"
    assert len(story.retrainings) == 1


def test_status_says_what_happened(story: Story) -> None:
    assert story.status["champion"] == 2
    assert (story.status["windows_judged"], story.status["promotions"]) == (CALM + CHANGED, 1)
    assert story.status["rows_logged"] == 520 * (CALM + CHANGED)
