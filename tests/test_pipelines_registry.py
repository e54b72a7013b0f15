"""The registry's contract, on the fake and on MLflow, and what only MLflow can get wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fakes
import pytest

from models.history import EpochLoss
from pipelines.bundle import BrokenBundle
from pipelines.errors import UserError
from pipelines.registry import ChampionMoved, Registry, RunInProgress, TrackedRun


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one SQLite store for all tests of this module; making one takes seconds."""
    return tmp_path_factory.mktemp("store")


def _on_mlflow(folder: Path, name: str) -> Registry:
    return Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts" / name, name)


@pytest.fixture
def mlflow_registry(store: Path, request: pytest.FixtureRequest) -> Registry:
    return _on_mlflow(store, request.node.name.replace("[", "-").replace("]", ""))


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.slow)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "fake":
        return fakes.FakeRegistry(tmp_path / "registry")
    return request.getfixturevalue("mlflow_registry")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "any name"
    folder.mkdir()
    (folder / "version.json").write_text('{"task": "binary"}')
    (folder / "model.keras").write_bytes(b"a network")
    return folder


@pytest.fixture
def frame() -> Any:
    import pandas as pd

    return pd.DataFrame({"carrier": ["UA", None], "distance": [1400, 719]})


def _enter(registry: Any, key: str = "key", kind: str = "fit") -> Any:
    return registry.run(key, kind=kind, parameters={"epochs": 3}, tags={"data": "abc"})


def _version(registry: Any, bundle: Path, frame: Any, key: str = "key", **settings: Any) -> Any:
    with _enter(registry, key) as run:
        return run.register(bundle, signature_frame=frame, tags={"rows": 2}, **settings)


def _epoch(number: int, loss: float = 0.5) -> EpochLoss:
    return EpochLoss(number, loss, loss + 0.1, 1e-3, 0.2)


def _interrupted(registry: Any, *losses: EpochLoss, figures: dict[str, float] | None = None) -> str:
    """Ctrl-C in the middle of the run; its id."""
    with contextlib.suppress(KeyboardInterrupt), _enter(registry) as run:
        for loss in losses:
            run.epoch(loss)
        run.figures(figures or {})
        raise KeyboardInterrupt
    return str(run.run_id)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program runs after it."""


# The contract: runs


def test_a_new_key_begins_a_new_run(registry: Any) -> None:
    with _enter(registry, "one") as one, _enter(registry, "two") as two:
        assert one.run_id != two.run_id
    assert (one.resumed, one.version) == (False, None)


def test_the_losses_of_every_epoch_come_back_in_order(registry: Any) -> None:
    with _enter(registry) as run:
        for number in range(3):
            run.epoch(_epoch(number))
    assert registry.curve(run.run_id) == tuple(_epoch(number) for number in range(3))


def test_the_model_as_it_came_is_epoch_minus_one(registry: Any) -> None:
    with _enter(registry, kind="update") as run:
        run.epoch(EpochLoss(-1, float("nan"), 0.5, 1e-3, 0.1))
        run.epoch(_epoch(0))
    assert [(epoch.epoch, epoch.validation_loss) for epoch in registry.curve(run.run_id)] == [
        (-1, 0.5),
        (0, 0.6),
    ]


def test_an_interrupted_run_goes_on_as_the_same_run(registry: Any) -> None:
    first = _interrupted(registry, _epoch(0))
    with _enter(registry) as second:
        assert second.run_id == first
        assert second.resumed


def test_an_epoch_is_noted_once_however_often_a_run_is_resumed(registry: Any) -> None:
    _interrupted(registry, _epoch(0), _epoch(1))
    with _enter(registry) as run:
        run.epoch(_epoch(1))
        run.epoch(_epoch(2))
    assert [epoch.epoch for epoch in registry.curve(run.run_id)] == [0, 1, 2]


def test_after_a_failure_the_key_begins_a_new_run(registry: Any) -> None:
    with pytest.raises(ValueError, match="no rows"), _enter(registry) as failed:
        raise ValueError("no rows")
    with _enter(registry) as run:
        assert run.run_id != failed.run_id
        assert not run.resumed


def test_a_finished_run_comes_back_with_its_version(registry: Any, bundle: Path, frame: Any) -> None:
    version = _version(registry, bundle, frame)
    with _enter(registry) as run:
        assert run.resumed
        assert run.version == version
    assert registry.versions() == [version]


def test_the_latest_figure_counts(registry: Any) -> None:
    _interrupted(registry, figures={"test_loss": 0.5})
    with _enter(registry) as run:
        run.figures({"test_loss": 0.4})
    assert registry.figures(run.run_id)["test_loss"] == 0.4


def test_a_key_is_worked_on_by_one_at_a_time(registry: Any) -> None:
    with _enter(registry), pytest.raises(RunInProgress, match="'key' is being worked on"), _enter(registry):
        pass


def test_a_key_with_a_quote_is_refused(registry: Any) -> None:
    with pytest.raises(ValueError, match="without quotes"), _enter(registry, "it's"):
        pass


def test_runs_are_listed_from_the_newest_with_what_became_of_them(registry: Any) -> None:
    first = _interrupted(registry)
    with pytest.raises(ValueError, match="no rows"), _enter(registry, "two", kind="update") as failed:
        raise ValueError("no rows")
    newest, oldest = registry.runs()
    assert (newest.run_id, newest.kind, newest.status) == (failed.run_id, "update", "FAILED")
    assert newest.failure == "ValueError: no rows"
    assert (oldest.run_id, oldest.status, oldest.failure) == (first, "KILLED", "")
    assert newest.begun >= oldest.begun
    assert [run.run_id for run in registry.runs(1)] == [newest.run_id]


def test_files_of_a_run_are_read_again_and_replaced(registry: Any, tmp_path: Path) -> None:
    run_id = _interrupted(registry)
    for content in (b"one", b"two"):
        (tmp_path / "loss.png").write_bytes(content)
        registry.attach(run_id, [tmp_path / "loss.png"])
        registry.attach(run_id, [tmp_path / "loss.png"], under="pictures")
        assert registry.read(run_id, "loss.png") == content
        assert registry.read(run_id, "pictures/loss.png") == content
    assert registry.read(run_id, "steps.parquet") is None
    assert registry.read(run_id, "other/loss.png") is None


# The contract: versions and aliases


def test_the_pages_of_the_report_are_no_training(registry: Any, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    for text in ("first", "second"):
        page.write_text(text)
        registry.keep_report([page])
    assert registry.runs() == []


def test_a_version_says_where_it_comes_from(registry: Any, bundle: Path, frame: Any) -> None:
    until = datetime(2013, 3, 1, tzinfo=UTC)
    with _enter(registry, kind="update") as run:
        version = run.register(bundle, signature_frame=frame, tags={"rows": 2}, parent=7, trained_until=until)
    assert (version.version, version.kind, version.parent, version.trained_until) == (1, "update", 7, until)
    assert version.tags["rows"] == "2"
    assert version.run_id == run.run_id
    assert version.servable
    assert registry.version(1) == version


def test_a_run_makes_one_version_however_often_it_registers(registry: Any, bundle: Path, frame: Any) -> None:
    with _enter(registry) as run:
        first = run.register(bundle, signature_frame=frame, tags={})
        second = run.register(bundle, signature_frame=frame, tags={})
    assert first == second
    assert len(registry.versions()) == 1


def test_what_is_found_out_later_goes_into_the_run_of_its_version(
    registry: Any, bundle: Path, frame: Any, tmp_path: Path
) -> None:
    version, found = _version(registry, bundle, frame), tmp_path / "evaluation.json"
    for auc in (0.7, 0.8):
        found.write_text(f'{{"auc": {auc}}}')
        registry.add(version, {"evaluate_auc": auc}, [found])
    assert registry.figures(version.run_id)["evaluate_auc"] == 0.8
    assert registry.version(version.version) == version
    with _enter(registry) as run:
        assert run.version == version


def test_versions_are_listed_from_the_oldest(registry: Any, bundle: Path, frame: Any) -> None:
    for key in ("one", "two", "three"):
        _version(registry, bundle, frame, key)
    assert [version.version for version in registry.versions()] == [1, 2, 3]


def test_an_unknown_version_is_answered_with_those_that_exist(
    registry: Any, bundle: Path, frame: Any
) -> None:
    _version(registry, bundle, frame)
    with pytest.raises(UserError, match="no version 9; there are: 1"):
        registry.version(9)


def test_an_alias_points_at_one_version_or_at_none(registry: Any, bundle: Path, frame: Any) -> None:
    version = _version(registry, bundle, frame)
    assert registry.alias("challenger") is None
    registry.point("challenger", 1)
    assert registry.alias("challenger") == version
    registry.point("challenger", None)
    assert registry.alias("challenger") is None
    registry.point("challenger", None)


def test_the_bundle_comes_back_file_by_file(registry: Any, bundle: Path, frame: Any) -> None:
    version = _version(registry, bundle, frame)
    found = registry.bundle(version.version)
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {
        path.name: path.read_bytes() for path in bundle.iterdir()
    }


def test_a_version_whose_files_were_changed_neither_serves_nor_is_promoted(
    registry: Any, bundle: Path, frame: Any
) -> None:
    _version(registry, bundle, frame)
    (registry.bundle(1) / "model.keras").write_bytes(b"another network")
    with pytest.raises(BrokenBundle, match="were changed"):
        registry.bundle(1)
    with pytest.raises(BrokenBundle, match="were changed"):
        registry.promote(1, expected=None, author="ann", reason="better")
    assert registry.alias("champion") is None


def test_a_promotion_remembers_the_champion_before(registry: Any, bundle: Path, frame: Any) -> None:
    for key in ("one", "two"):
        _version(registry, bundle, frame, key)
    registry.promote(1, expected=None, author="ann", reason="the first")
    promoted = registry.promote(2, expected=1, author="gate", reason="0.50 against 0.55")
    assert registry.alias("champion").version == 2
    assert registry.alias("previous").version == 1
    assert promoted.tags["promoted.author"] == "gate"
    assert promoted.tags["promoted.reason"] == "0.50 against 0.55"


def test_a_promotion_judged_against_another_champion_changes_nothing(
    registry: Any, bundle: Path, frame: Any
) -> None:
    for key in ("one", "two", "three"):
        _version(registry, bundle, frame, key)
    registry.promote(1, expected=None, author="ann", reason="the first")
    registry.promote(2, expected=1, author="ann", reason="better")
    with pytest.raises(ChampionMoved, match="champion is version 2, not 1"):
        registry.promote(3, expected=1, author="gate", reason="better than 1")
    assert registry.alias("champion").version == 2
    assert registry.alias("previous").version == 1


def test_promoting_the_champion_keeps_the_previous_one(registry: Any, bundle: Path, frame: Any) -> None:
    for key in ("one", "two"):
        _version(registry, bundle, frame, key)
    registry.promote(1, expected=None, author="ann", reason="the first")
    registry.promote(2, expected=1, author="ann", reason="better")
    registry.promote(2, expected=2, author="ann", reason="again")
    assert registry.alias("previous").version == 1


def test_a_rollback_makes_the_previous_champion_serve_again(registry: Any, bundle: Path, frame: Any) -> None:
    for key in ("one", "two"):
        _version(registry, bundle, frame, key)
    registry.promote(1, expected=None, author="ann", reason="the first")
    registry.promote(2, expected=1, author="gate", reason="better")
    assert registry.rollback(author="ann", reason="complaints").version == 1
    assert registry.alias("champion").version == 1
    assert registry.version(2).tags["rolled_back.reason"] == "complaints"
    with pytest.raises(UserError, match="no previous champion"):
        registry.rollback(author="ann", reason="once more")


def test_without_a_previous_champion_there_is_nothing_to_go_back_to(registry: Any) -> None:
    with pytest.raises(UserError, match="no previous champion"):
        registry.rollback(author="ann", reason="complaints")


# Only MLflow


def test_a_name_that_mlflow_cannot_store_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without / : "):
        Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, "a/b")


def test_a_server_needs_a_folder_for_copies(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cache: needed"):
        Registry("http://127.0.0.1:1", tmp_path, "rides")


def test_the_import_is_cheap_and_loads_no_mlflow() -> None:
    code = "import sys, pipelines.registry; assert not {'mlflow', 'pandas', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_created_before_the_first_use(tmp_path: Path) -> None:
    _on_mlflow(tmp_path, "rides")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_said_at_once(tmp_path: Path) -> None:
    registry = Registry("http://127.0.0.1:9", "mlflow-artifacts:/", "rides", cache=tmp_path)
    with pytest.raises(UserError, match=r"no MLflow server answers at http://127.0.0.1:9"):
        registry.versions()


@pytest.mark.slow
def test_a_file_that_is_no_database_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a,b\n1,2\n" * 200)
    with pytest.raises(UserError, match="cannot be opened as an MLflow store"):
        _on_mlflow(tmp_path, "rides").versions()
    assert (tmp_path / "mlflow.db").read_text().startswith("a,b")


@pytest.mark.slow
def test_a_store_of_another_mlflow_is_said_with_the_way_out(tmp_path: Path, store: Path) -> None:
    _on_mlflow(store, "template").versions()
    with sqlite3.connect(store / "mlflow.db") as source, sqlite3.connect(tmp_path / "mlflow.db") as copy:
        source.backup(copy)
        copy.execute("update alembic_version set version_num = 'f5a4f2784254'")
    source.close()
    copy.close()
    with pytest.raises(UserError, match=r"another version of MLflow .* mlflow db upgrade sqlite:///"):
        _on_mlflow(tmp_path, "rides").versions()


@pytest.mark.slow
def test_a_kill_while_the_store_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(source: Any, target: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            _on_mlflow(tmp_path, "rides").versions()
    assert not (tmp_path / "mlflow.db").exists()
    assert _on_mlflow(tmp_path, "rides").versions() == []


@pytest.mark.slow
def test_a_store_whose_folder_was_moved_is_refused(store: Path) -> None:
    _on_mlflow(store, "moved").versions()
    elsewhere = Registry(f"sqlite:///{store}/mlflow.db", store / "elsewhere", "moved")
    with pytest.raises(UserError, match="keeps its files under"):
        elsewhere.versions()


@pytest.mark.slow
def test_a_deleted_experiment_is_said_with_the_way_back(store: Path) -> None:
    registry = _on_mlflow(store, "deleted")
    registry._client.delete_experiment(registry._experiment)
    with pytest.raises(UserError, match="mlflow experiments restore --experiment-id"):
        _on_mlflow(store, "deleted").versions()


@pytest.mark.slow
def test_a_failed_run_says_why_in_a_tag(mlflow_registry: Registry) -> None:
    with pytest.raises(ValueError, match="no rows"), _enter(mlflow_registry) as run:
        raise ValueError("no rows")
    found = mlflow_registry._client.get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["losswatch.failure"] == "ValueError: no rows"


@pytest.mark.slow
def test_a_metric_has_one_value_for_each_step_after_a_resume(mlflow_registry: Registry) -> None:
    _interrupted(mlflow_registry, _epoch(0))
    with _enter(mlflow_registry) as run:
        run.epoch(_epoch(0))
        run.epoch(_epoch(1))
    history = mlflow_registry._client.get_metric_history(run.run_id, "validation_loss")
    assert [point.step for point in history] == [0, 1]


@pytest.mark.slow
def test_a_resumed_run_with_other_parameters_is_refused(mlflow_registry: Registry) -> None:
    _interrupted(mlflow_registry)
    with pytest.raises(ValueError, match="epochs differ"):
        mlflow_registry.run("key", kind="fit", parameters={"epochs": 4}, tags={}).__enter__()


@pytest.mark.slow
def test_the_newest_report_takes_the_place_of_the_one_before(
    mlflow_registry: Registry, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    for text in ("first", "second"):
        page.write_text(text)
        mlflow_registry.keep_report([page])
    (run,) = mlflow_registry._client.search_runs([mlflow_registry._experiment])
    assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
    assert mlflow_registry.read(run.info.run_id, "report.html") == b"second"


def test_files_are_kept_with_the_run(mlflow_registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "loss.txt").write_text("0.5")
    (tmp_path / "note.txt").write_text("well")
    with _enter(mlflow_registry) as run:
        run.artifact(tmp_path / "note.txt")
        run.artifact(tmp_path / "plots")
    found = mlflow_registry._client.list_artifacts(run.run_id)
    assert sorted(item.path for item in found) == ["note.txt", "plots"]


POINTS = ["_start", "_upload", "_create_version", "_registered", "_leave"]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_leaves_one_run_and_one_version(
    mlflow_registry: Registry,
    bundle: Path,
    frame: Any,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    when: str,
) -> None:
    def work() -> None:
        with _enter(mlflow_registry) as run:
            if run.version is None:
                run.epoch(_epoch(0))
                run.register(bundle, signature_frame=frame, tags={})

    with monkeypatch.context() as patch:
        _kill_at(patch, point, when)
        with pytest.raises(Killed):
            work()
    work()
    work()
    runs = mlflow_registry._client.search_runs([mlflow_registry._experiment])
    models = mlflow_registry._client.search_logged_models([mlflow_registry._experiment])
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert len(models) == 1
    assert [version.version for version in mlflow_registry.versions()] == [1]
    assert len(mlflow_registry.curve(runs[0].info.run_id)) == 1
    assert mlflow_registry.bundle(1).is_dir()


def _kill_at(patch: pytest.MonkeyPatch, point: str, when: str) -> None:
    owner: Any = Registry if point == "_start" else TrackedRun
    original = getattr(owner, point)
    dead = False

    def killed(self: Any, *given: Any, **named: Any) -> Any:
        nonlocal dead
        if dead:  # a dead process writes no end
            return None
        if when == "after":
            original(self, *given, **named)
        dead = True
        raise Killed

    patch.setattr(owner, point, killed)
    if point != "_leave":
        leave = TrackedRun._leave
        patch.setattr(
            TrackedRun,
            "_leave",
            lambda self, *given, **named: None if dead else leave(self, *given, **named),
        )


@pytest.mark.slow
def test_a_kill_between_the_two_aliases_leaves_the_old_champion(
    mlflow_registry: Registry, bundle: Path, frame: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("one", "two"):
        _version(mlflow_registry, bundle, frame, key)
    mlflow_registry.promote(1, expected=None, author="ann", reason="the first")

    def killed(self: Registry, alias: str, version: int | None) -> None:
        if alias == "champion":
            raise Killed
        original(self, alias, version)

    original = Registry.point
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "point", killed)
        with pytest.raises(Killed):
            mlflow_registry.promote(2, expected=1, author="gate", reason="better")
    champion = mlflow_registry.alias("champion")
    assert champion is not None
    assert champion.version == 1
    mlflow_registry.promote(2, expected=1, author="gate", reason="better")
    assert mlflow_registry.rollback(author="ann", reason="worse").version == 1


CHILD = """
import os, signal, sys
from pathlib import Path
import pandas as pd
from models.history import EpochLoss
from pipelines.registry import Registry

folder, bundle, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
registry = Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts", "child")
with registry.run("same" if mode != "many" else str(os.getpid()), kind="fit", parameters={}, tags={}) as run:
    run.epoch(EpochLoss(0, 0.5, 0.6, 1e-3, 0.1))
    if mode == "die":
        run._flush()
        os.kill(os.getpid(), signal.SIGKILL)
    run.register(bundle, signature_frame=pd.DataFrame({"a": [1]}), tags={})
"""


def _child(folder: Path, bundle: Path, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(bundle), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )


@pytest.mark.slow
def test_a_process_killed_by_the_system_is_continued_and_nothing_is_printed(
    store: Path, bundle: Path
) -> None:
    killed = _child(store, bundle, "die")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    again = _child(store, bundle, "go on")
    assert again.communicate(timeout=120)[0] == ""
    assert again.returncode == 0
    registry = Registry(f"sqlite:///{store}/mlflow.db", store / "artifacts", "child")
    assert len(registry._client.search_runs([registry._experiment])) == 1
    assert len(registry.versions()) == 1


@pytest.mark.slow
def test_processes_may_start_together_on_an_empty_store(tmp_path: Path, bundle: Path) -> None:
    children = [_child(tmp_path, bundle, "many") for _ in range(3)]
    outputs = [child.communicate(timeout=240)[0] for child in children]
    assert outputs == [""] * 3
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts", "child")
    assert [version.version for version in registry.versions()] == [1, 2, 3]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 270
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    raise TimeoutError(f"{address} does not answer")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real tracking server with a store of its own."""
    with _served(tmp_path, str(_free_port())) as address:
        yield address


@contextlib.contextmanager
def _served(tmp_path: Path, port: str) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--workers",
        "1",
    ]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", str(tmp_path / "files")]
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight more processes, for nothing that is tested here
    }
    with open(tmp_path / "server.log", "wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=tmp_path, env=environment, start_new_session=True
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_through_a_server_the_files_are_copied_once_and_verified(
    server: str, tmp_path: Path, bundle: Path, frame: Any
) -> None:
    registry = Registry(server, "mlflow-artifacts:/", "rides", cache=tmp_path / "cache")
    assert _version(registry, bundle, frame).version == 1
    found = registry.bundle(1)
    assert found.is_relative_to(tmp_path / "cache" / "bundles")
    assert (found / "model.keras").read_bytes() == b"a network"
    assert registry.bundle(1) == found
    assert registry.promote(1, expected=None, author="ann", reason="the first").version == 1
    assert _version(registry, bundle, frame).version == 1


@pytest.mark.slow
def test_what_lies_with_a_run_is_read_through_a_server(server: str, tmp_path: Path) -> None:
    registry = Registry(server, "mlflow-artifacts:/", "rides", cache=tmp_path / "cache")
    run_id = _interrupted(registry)
    (tmp_path / "loss.png").write_bytes(b"a picture")
    registry.attach(run_id, [tmp_path / "loss.png"], under="pictures")
    assert registry.read(run_id, "pictures/loss.png") == b"a picture"
    assert registry.read(run_id, "training.json") is None
    assert [run.run_id for run in registry.runs()] == [run_id]


@pytest.mark.slow
def test_a_training_goes_on_while_the_server_is_away_and_its_losses_come_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = str(_free_port())
    with contextlib.ExitStack() as run_ends:
        with _served(tmp_path, port) as address:
            registry = Registry(address, "mlflow-artifacts:/", "rides", cache=tmp_path / "cache")
            run = run_ends.enter_context(_enter(registry))
            run.epoch(_epoch(0))
        run._flush_at = 0.0  # it is time to send
        run.epoch(_epoch(1))
        assert "does not answer: the training goes on" in caplog.text
        back = _served(tmp_path, port)
        back.__enter__()
    try:
        assert registry.curve(run.run_id) == (_epoch(0), _epoch(1))
    finally:
        back.__exit__(None, None, None)


def test_points_are_noted_once_each(registry: Any) -> None:
    with _enter(registry) as run:
        run.points("step_loss", {3: 0.5, 7: float("nan"), 9: 0.4})
        run.points("step_loss", {9: 0.3, 12: 0.2})
    noted = run.pointed["step_loss"] if hasattr(run, "pointed") else registry._points(run.run_id, "step_loss")
    assert {step: value for step, value in noted.items() if value == value} == {3: 0.5, 9: 0.4, 12: 0.2}
