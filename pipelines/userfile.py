"""A user's own module, loaded by its place in the project folder and never through sys.path.

The folder becomes a package under a private name, so a user may own a `models.py` or a `logging.py` without
hiding anybody's, and `from . import other` reaches the modules beside it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines.errors import UserError
from pipelines.nearest import did_you_mean


def _package(folder: Path) -> str:
    """The private package whose modules are the files of the folder."""
    name = f"_losswatch_user_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


def source_path(reference: str, folder: Path) -> Path:
    """The file that "module:function" lies in; UserError where there is none."""
    module = reference.partition(":")[0]
    place = folder.absolute() / Path(*module.split("."))
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return path
    beside = sorted(path.stem for path in folder.glob("*.py"))
    raise UserError(f"{reference!r}: there is no {module}.py in {folder}{did_you_mean(module, beside)}")


def _own_line(error: BaseException, folder: Path) -> str:
    """Where in the user's files an error came up: ", line 3 of flights.py", or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f", line {error.lineno} of {Path(error.filename).name}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    return f", line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""


def own_error(what: str, error: BaseException, folder: Path) -> UserError:
    """The UserError that says what a user's own code raised, and where."""
    return UserError(f"{what} raised {type(error).__name__}: {error}{_own_line(error, folder.absolute())}")


def load_function(reference: str, folder: Path, *, key: str) -> Callable[..., Any]:
    """The function that "module:function" names in a project folder.

    key: where the user wrote it, e.g. "data.load", for messages.
    """
    module_name, _, function_name = reference.partition(":")
    folder = folder.absolute()
    try:
        source_path(reference, folder)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    try:
        module = importlib.import_module(f"{_package(folder)}.{module_name}")
    except Exception as error:
        raise own_error(f"{key} = {reference!r}: loading {module_name}", error, folder) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        public = [
            name for name, value in vars(module).items() if callable(value) and not name.startswith("_")
        ]
        state = "has no" if function is None else "has no callable"
        raise UserError(
            f"{key} = {reference!r}: {module_name} {state} {function_name!r}"
            f"{did_you_mean(function_name, public)}"
        )
    found: Callable[..., Any] = function
    return found
