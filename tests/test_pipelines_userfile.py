import sys
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.userfile import load_function, source_path


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def refusal(reference: str, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load_function(reference, folder, key="data.load")
    return str(error.value)


def test_a_function_is_loaded_by_the_place_of_its_file(tmp_path: Path) -> None:
    write(tmp_path, rides="def load():\n    return 5\n")
    assert load_function("rides:load", tmp_path, key="data.load")() == 5


def test_a_user_may_own_a_models_py_and_nobody_is_hidden_by_it(tmp_path: Path) -> None:
    before = list(sys.path)
    write(tmp_path, models="def load():\n    return __name__\n")
    name = load_function("models:load", tmp_path, key="data.load")()
    import models

    assert name != "models"
    assert str(tmp_path) not in str(models.__file__)
    assert sys.path == before


def test_two_projects_may_own_modules_of_one_name(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        write(folder, rides=f"def load():\n    return {name!r}\n")
        found.append(load_function("rides:load", folder, key="data.load")())
    assert found == ["a", "b"]


def test_a_module_reaches_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, rides="from .more import seven\ndef load():\n    return seven\n", more="seven = 7\n")
    assert load_function("rides:load", tmp_path, key="data.load")() == 7


def test_a_module_may_lie_deeper(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine", data="def load():\n    return 1\n")
    assert load_function("mine.data:load", tmp_path, key="data.load")() == 1
    assert source_path("mine.data:load", tmp_path) == tmp_path / "mine" / "data.py"


def test_a_package_is_a_module_too(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine", __init__="def load():\n    return 1\n")
    assert source_path("mine:load", tmp_path) == tmp_path / "mine" / "__init__.py"


def test_a_missing_module_is_told_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, rides="")
    text = refusal("ride:load", tmp_path)
    assert text == f"data.load: 'ride:load': there is no ride.py in {tmp_path}; the nearest is 'rides'"


def test_a_missing_function_is_told_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, rides="def load():\n    pass\n")
    assert refusal("rides:laod", tmp_path).endswith("rides has no 'laod'; the nearest is 'load'")


def test_a_name_that_is_no_function_is_told(tmp_path: Path) -> None:
    write(tmp_path, rides="load = 3\n")
    assert "has no callable 'load'" in refusal("rides:load", tmp_path)


def test_an_error_while_loading_names_the_line(tmp_path: Path) -> None:
    write(tmp_path, rides="import os\n1 / 0\n")
    assert "raised ZeroDivisionError: division by zero, line 2 of rides.py" in refusal("rides:load", tmp_path)


def test_broken_python_names_the_line(tmp_path: Path) -> None:
    write(tmp_path, rides="x = 1\ndef load(:\n")
    text = refusal("rides:load", tmp_path)
    assert "SyntaxError" in text
    assert "line 2 of rides.py" in text


def test_a_missing_library_is_told_with_the_line_that_wants_it(tmp_path: Path) -> None:
    write(tmp_path, rides="import no_such_library\n")
    assert "No module named 'no_such_library', line 1 of rides.py" in refusal("rides:load", tmp_path)


def test_a_mended_module_is_loaded_by_the_next_try(tmp_path: Path) -> None:
    write(tmp_path, rides="1 / 0\n")
    refusal("rides:load", tmp_path)
    write(tmp_path, rides="def load():\n    return 'mended'\n")
    assert load_function("rides:load", tmp_path, key="data.load")() == "mended"
