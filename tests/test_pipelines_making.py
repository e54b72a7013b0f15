"""What a version was made of, and what is said of it when it has changed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.making import MadeOf, differences, made_of, read_made_of
from pipelines.project import open_project

FILE = '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n[network]\nbuild = "mine:network"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "losswatch.toml").write_text(FILE)
    (tmp_path / "mine.py").write_text("def network(schema): ...\n")
    return tmp_path


def _now(folder: Path) -> MadeOf:
    return made_of(open_project(folder))


def test_the_same_project_is_made_of_the_same(folder: Path) -> None:
    then = _now(folder)
    assert differences(then, _now(folder)) == ()
    assert then.project_file == FILE
    assert set(then.code) == {"mine.py"}
    assert {"keras", "numpy"} <= set(then.libraries)


def test_a_changed_project_file_is_told_line_by_line(folder: Path) -> None:
    then = _now(folder)
    (folder / "losswatch.toml").write_text(FILE + "epochs = 3\n")
    (told,) = differences(then, _now(folder))
    assert told == "losswatch.toml has changed since: +epochs = 3"


def test_a_long_change_is_told_in_part() -> None:
    (told,) = differences(MadeOf(), MadeOf(project_file="".join(f"line{n} = 1\n" for n in range(50))))
    assert "+line19 = 1" in told
    assert "+line20" not in told
    assert told.endswith("and 30 more lines")


def test_a_changed_module_of_the_user_is_named(folder: Path) -> None:
    then = _now(folder)
    (folder / "mine.py").write_text("def network(schema): return None\n")
    assert differences(then, _now(folder)) == ("mine.py: the code has changed since",)


def test_another_release_of_anything_is_named(folder: Path) -> None:
    now = _now(folder)
    then = replace(
        now,
        libraries={**now.libraries, "keras": "3.0.0"},
        python="3.9.1",
        machine="abacus",
        losswatch="another",
    )
    told = differences(then, now)
    assert any(text.startswith("keras 3.0.0 then, ") for text in told)
    assert any(text.startswith("Python 3.9.1 then, ") for text in told)
    assert any("abacus then" in text for text in told)
    assert any("losswatch itself" in text for text in told)
    assert len(told) == 4


def test_it_survives_the_settings_of_a_version(folder: Path) -> None:
    now = _now(folder)
    assert read_made_of({"made_of": asdict(now)}) == now
    assert read_made_of({}) is None


def test_runs_of_the_same_making_carry_the_same_tags(folder: Path) -> None:
    tags = _now(folder).tags()
    assert tags == _now(folder).tags()
    (folder / "mine.py").write_text("def network(schema): return None\n")
    other = _now(folder).tags()
    assert {name for name in tags if tags[name] != other[name]} == {"losswatch.user_code"}
