"""The version that serves changes only to one that is in order, and nothing that fails takes it away."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import versions

from pipelines.champion import Champion


@dataclass
class Named:
    version: int


@dataclass
class Registry:
    """The part of a registry that a server asks."""

    folders: dict[int, Path] = field(default_factory=dict)
    champion: int | None = None
    down: bool = False
    asked: int = 0

    def alias(self, name: str) -> Any:
        assert name == "champion"
        if self.down:
            raise ConnectionError("the registry is down")
        return None if self.champion is None else Named(self.champion)

    def bundle(self, version: int) -> Path:
        self.asked += 1
        return self.folders[version]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("champion")
    made = {number: versions.write_version(folder / str(number), seed=number) for number in (1, 2)}
    return made | {3: versions.write_version(folder / "3", golden_shift=0.1), 4: folder / "nothing"}


def follow(folders: dict[int, Path], tmp_path: Path, version: int | None = 1) -> tuple[Registry, Champion]:
    registry = Registry(folders, version)
    return registry, Champion(lambda: registry, tmp_path / "serving.json", every=0.02)


def served(champion: Champion) -> int | None:
    current = champion.current()
    return None if current is None else current.version


def test_the_champion_is_loaded_and_the_next_one_takes_its_place(folders: Any, tmp_path: Path) -> None:
    registry, champion = follow(folders, tmp_path)
    assert served(champion) is None
    champion.refresh()
    assert served(champion) == 1
    registry.champion = 2
    champion.refresh()
    assert served(champion) == 2
    champion.refresh()
    assert registry.asked == 2


def test_without_a_champion_nothing_serves_and_an_alias_that_is_gone_changes_nothing(
    folders: Any, tmp_path: Path
) -> None:
    registry, champion = follow(folders, tmp_path, version=None)
    champion.refresh()
    assert served(champion) is None
    registry.champion = 1
    champion.refresh()
    registry.champion = None
    champion.refresh()
    assert served(champion) == 1


@pytest.mark.parametrize(("broken", "reason"), [(3, "its answers differ"), (4, "BrokenBundle")])
def test_a_version_that_is_not_in_order_does_not_serve(
    broken: int, reason: str, folders: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry, champion = follow(folders, tmp_path)
    champion.refresh()
    registry.champion = broken
    champion.refresh()
    champion.refresh()
    assert served(champion) == 1
    assert registry.asked == 2
    assert f"version {broken} is not served: {reason}" in caplog.text


def test_a_registry_that_is_down_changes_nothing_and_is_asked_again(
    folders: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry, champion = follow(folders, tmp_path)
    registry.down = True
    champion.start()
    try:
        _until(lambda: "ConnectionError: the registry is down" in caplog.text)
        registry.down = False
        _until(lambda: served(champion) == 1)
    finally:
        champion.stop()
    registry.champion = 2
    time.sleep(0.1)
    assert served(champion) == 1


def test_after_a_restart_the_last_champion_answers_before_the_registry_does(
    folders: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, champion = follow(folders, tmp_path, version=2)
    champion.refresh()
    registry, restarted = follow(folders, tmp_path)
    registry.down = True
    restarted.start()
    restarted.stop()
    assert served(restarted) == 2
    assert "version 2 serves (onnx)" in caplog.text


@pytest.mark.parametrize("damage", ["model", "note", "folder"])
def test_what_was_remembered_does_not_serve_where_it_was_changed(damage: str, tmp_path: Path) -> None:
    folder = versions.write_version(tmp_path / "version")
    _, champion = follow({1: folder}, tmp_path)
    champion.refresh()
    if damage == "model":
        (folder / "schema.json").write_text("{}")
    elif damage == "note":
        (tmp_path / "serving.json").write_text("{")
    else:
        folder.rename(tmp_path / "elsewhere")
    registry, restarted = follow({}, tmp_path)
    registry.down = True
    restarted.start()
    restarted.stop()
    assert served(restarted) is None


def test_a_note_that_cannot_be_written_is_no_reason_not_to_serve(
    folders: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(folders, 1)
    champion = Champion(lambda: registry, tmp_path / "no such folder" / "serving.json")
    champion.refresh()
    assert served(champion) == 1
    assert "cannot be written" in caplog.text


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
