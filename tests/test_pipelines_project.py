from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.project import Project, open_project


def project(folder: Path, more: str = "") -> Project:
    text = f'[data]\ntarget = "cnt"\npath = "bikes.csv"\n{more}'
    (folder / "losswatch.toml").write_text(text, encoding="utf-8")
    return open_project(folder)


def test_opening_a_project_creates_nothing(tmp_path: Path) -> None:
    project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["losswatch.toml"]


def test_a_project_knows_its_folder_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    found = open_project(Path(tmp_path.name))
    assert found.folder == tmp_path
    assert found.name == tmp_path.name


def test_by_default_everything_lies_in_the_state(tmp_path: Path) -> None:
    found = project(tmp_path)
    assert found.state == tmp_path / ".losswatch"
    assert found.tracking({}) == f"sqlite:///{tmp_path}/.losswatch/mlflow.db"
    assert found.artifacts({}) == f"{tmp_path}/.losswatch/artifacts"
    assert found.log_folder({}) == tmp_path / ".losswatch/log"
    assert found.config.alerts.known() == ()


def test_stores_may_lie_elsewhere(tmp_path: Path) -> None:
    found = project(tmp_path, '[store]\ntracking = "env:URI"\nartifacts = "s3://bucket/a"\nlog = "rows"\n')
    assert found.tracking({"URI": "http://127.0.0.1:5000"}) == "http://127.0.0.1:5000"
    assert found.artifacts({}) == "s3://bucket/a"
    assert found.log_folder({}) == tmp_path / "rows"


def test_the_address_of_a_receiver_is_read_from_its_variable(tmp_path: Path) -> None:
    found = project(tmp_path, '[alerts]\nwebhook = "env:HOOK"\n')
    (receiver,) = found.config.alerts.known()
    assert receiver.address(found.folder, {"HOOK": "https://example.org"}) == "https://example.org"


def test_a_replay_has_stores_of_its_own(tmp_path: Path) -> None:
    found = project(tmp_path, '[store]\ntracking = "http://127.0.0.1:5000"\nlog = "rows"\n').for_replay()
    assert found.state == tmp_path / ".losswatch" / "replay"
    assert found.tracking({}) == f"sqlite:///{tmp_path}/.losswatch/replay/mlflow.db"
    assert found.log_folder({}) == tmp_path / ".losswatch/replay/log"


def test_now_is_in_utc(tmp_path: Path) -> None:
    assert abs(project(tmp_path).now() - datetime.now(UTC)) < timedelta(minutes=1)
