"""A problem of a project, in the user's words: what came, what was expected, what to do."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.errors import UserError
from pipelines.userfile import own_error

Severity = Literal["fault", "warning", "note"]


@dataclass(frozen=True)
class Problem:
    """severity: a fault stops the work or makes it worthless, a warning costs something, a note only tells.

    about: the part of the project, e.g. "data" or "network.loss". check: the name of the rule that found it, ""
    where it came up by itself.
    """

    severity: Severity
    about: str
    text: str
    check: str = ""

    def line(self) -> str:
        return f"{self.severity}: {self.text}"


class Trouble(Exception):
    """A problem that lets nothing behind it be tried."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.text)


def faults(about: str, text: str) -> list[Problem]:
    """One fault for each line of a message that tells several together.

    >>> [problem.text for problem in faults("data", "no column 'a'\\nno column 'b'")]
    ["no column 'a'", "no column 'b'"]
    """
    return [Problem("fault", about, line.strip()) for line in text.splitlines() if line.strip()]


@contextmanager
def trying(about: str, what: str, folder: Path) -> Iterator[None]:
    """Turns whatever goes wrong inside into `Trouble`, whose problem says what `what` raised, and where.

    folder: of the project; an error that came up in a file of the user's names the file and the line.
    """
    try:
        yield
    except Trouble:
        raise
    except Exception as error:
        raise Trouble(Problem("fault", about, told(error, what, folder))) from error


def told(error: Exception, what: str, folder: Path) -> str:
    """An error in the user's words: advice of ours as it is, anything else with its kind."""
    if isinstance(error, UserError):
        return str(error)
    if not _came_up_in(folder, error):
        if isinstance(error, ValueError | ArithmeticError):  # the advice of models/
            return f"{what}: {_first_lines(error)}"
        return f"{what} raised {type(error).__name__}: {_first_lines(error)}"
    return str(own_error(what, error, folder))


def _came_up_in(folder: Path, error: Exception) -> bool:
    """Whether a file of the user's is on the way to the error."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    own = [file for file in files if file.is_relative_to(folder.absolute())]
    return any("site-packages" not in file.parts for file in own)


def _first_lines(error: Exception) -> str:
    """The beginning of a message that may be a page long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:800] or type(error).__name__
