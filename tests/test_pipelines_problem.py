from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.problem import Problem, Trouble, told, trying
from pipelines.userfile import load_function


def trouble(step: Callable[[], object], folder: Path) -> str:
    with pytest.raises(Trouble) as raised, trying("network", "the network", folder):
        step()
    return raised.value.problem.text


def raising(error: Exception) -> Callable[[], object]:
    def step() -> object:
        raise error

    return step


def test_advice_of_ours_is_told_as_it_is(tmp_path: Path) -> None:
    assert trouble(raising(UserError("write a = 1")), tmp_path) == "write a = 1"
    assert trouble(raising(ValueError("End it with Dense.")), tmp_path) == "the network: End it with Dense."


def test_any_other_error_is_told_with_its_kind(tmp_path: Path) -> None:
    assert trouble(raising(KeyError("a")), tmp_path) == "the network raised KeyError: 'a'"


def test_an_error_of_the_users_own_code_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def build():\n    raise ValueError('odd')\n")
    build = load_function("own:build", tmp_path, key="network.build")
    assert trouble(build, tmp_path) == "the network raised ValueError: odd, line 2 of own.py"


def test_an_environment_inside_the_project_is_not_the_users_own_code(tmp_path: Path) -> None:
    place = tmp_path / "env" / "site-packages"
    place.mkdir(parents=True)
    (place / "library.py").write_text("def build():\n    raise ValueError('odd')\n")
    build = load_function("library:build", place, key="network.build")
    assert trouble(build, tmp_path) == "the network: odd"


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    assert len(told(ValueError("line\n" * 1000), "it", tmp_path)) < 100


def test_trouble_passes_through(tmp_path: Path) -> None:
    first = Trouble(Problem("fault", "data", "none"))
    with pytest.raises(Trouble) as raised, trying("network", "the network", tmp_path):
        raise first
    assert raised.value is first
