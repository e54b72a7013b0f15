"""What a version was made of, beside its rows: the project file, the user's code, losswatch and its libraries."""

from __future__ import annotations

import difflib
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.config import FILE_NAME
from pipelines.userfile import source_path

if TYPE_CHECKING:
    from pipelines.project import Project

# what the numbers of a training follow from; the others that are installed change none
LIBRARIES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "pandas", "scikit-learn", "scipy")
MOST_LINES = 20  # of a change in the project file that are told


@dataclass(frozen=True)
class MadeOf:
    """The circumstances of a training. project_file: its text. code: digests of the user's modules by their names.
    losswatch: the digest of our own source. libraries: versions by name. machine: the processor's kind.
    """

    project_file: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    losswatch: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    machine: str = ""

    def tags(self) -> Mapping[str, str]:
        """What a run in the registry says of it: two that say the same were made of the same."""
        libraries = ", ".join(f"{name} {release}" for name, release in self.libraries.items())
        return {
            "losswatch.project_file": _digest(self.project_file),
            "losswatch.user_code": _digest(json.dumps(self.code, sort_keys=True)) if self.code else "none",
            "losswatch.source": self.losswatch,
            "losswatch.libraries": f"{libraries}, Python {self.python}",
        }


def made_of(project: Project) -> MadeOf:
    """What a training that starts now is made of."""
    return MadeOf(
        project_file=_text(project.folder / FILE_NAME),
        code={path.name: _digest(path.read_bytes()) for path in _modules(project)},
        losswatch=_own_source(),
        libraries={name: found for name in LIBRARIES if (found := _installed(name))},
        python=platform.python_version(),
        machine=platform.machine(),
    )


def read_made_of(settings: Mapping[str, Any]) -> MadeOf | None:
    """What the settings of a version say of how it was made; None of one that knows nothing of it."""
    known = settings.get("made_of")
    return None if known is None else MadeOf(**known)


def differences(then: MadeOf, now: MadeOf) -> tuple[str, ...]:
    """What is not as it was, a sentence each; () where nothing could change a weight.

    >>> differences(MadeOf(libraries={"keras": "3.14"}), MadeOf(libraries={"keras": "3.15"}))
    ('keras 3.14 then, 3.15 now',)
    """
    found = [
        *_of_file(then.project_file, now.project_file),
        *(f"{name}: the code has changed since" for name in _changed(then.code, now.code)),
    ]
    if then.losswatch != now.losswatch:
        found.append("losswatch itself is of another release, or its code was changed")
    for name in _changed(then.libraries, now.libraries):
        one, other = then.libraries.get(name, "absent"), now.libraries.get(name, "absent")
        found.append(f"{name} {one} then, {other} now")
    if then.python != now.python:
        found.append(f"Python {then.python} then, {now.python} now")
    if then.machine != now.machine:
        found.append(f"a processor of the kind {then.machine} then, {now.machine} now")
    return tuple(found)


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]


def _of_file(then: str, now: str) -> Iterator[str]:
    if then == now:
        return
    lines = [
        line
        for line in difflib.unified_diff(then.splitlines(), now.splitlines(), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    more = f" and {len(lines) - MOST_LINES} more lines" if len(lines) > MOST_LINES else ""
    yield f"{FILE_NAME} has changed since: " + "; ".join(lines[:MOST_LINES]) + more


def _modules(project: Project) -> list[Path]:
    """The files of the user's own functions that the project file names."""
    config, found = project.config, []
    for reference in (config.data.load, config.code.build, config.network.loss):
        if reference and ":" in reference:
            path = source_path(reference, project.folder)
            if path not in found:
                found.append(path)
    return found


@cache
def _own_source() -> str:
    """A digest of all Python files of losswatch."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("models", "monitoring", "pipelines"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None  # one of the two TensorFlows always is


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]
