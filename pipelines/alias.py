"""Which version an alias points at, asked often and cheaply, so that a server need not load MLflow.

python -m pipelines.alias PROJECT NAME        the version as JSON, null for none
python -m pipelines.alias PROJECT --files N   the folder of a version's files, verified
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.environment import PYTHON
from pipelines.project import Project

_SECONDS = 300.0  # for MLflow to load and to fetch a version's files
# seconds until a version whose files could not be had is asked for again, for it costs 4 s of CPU
_AGAIN = 30.0
_NO_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # what MLflow says where there is no alias


@dataclass(frozen=True)
class Pointed:
    """The version that an alias points at."""

    version: int


class DistantRegistry:
    """The part of the registry that a server asks, without MLflow in its process.

    The alias is looked up in MLflow's database or by its REST API; only when it moves does a process of its own load
    MLflow, fetch the version's files and verify them.
    """

    def __init__(self, project: Project, environ: Mapping[str, str] = os.environ) -> None:
        self._project, self._environ = project, environ
        self._failed: dict[int, tuple[float, str]] = {}
        self._asked: tuple[float, Pointed | None] | None = None

    def alias(self, name: str) -> Pointed | None:
        """The version that an alias points at, if any; any of several errors where nobody can say."""
        uri = self._project.tracking(self._environ)
        if uri.startswith("sqlite:///"):
            return _pointed(of_database(Path(uri.removeprefix("sqlite:///")), self._project.name, name))
        if uri.startswith(("http://", "https://")):
            return _pointed(of_server(uri, self._project.name, name, self._environ))
        return self._rarely(name)

    def bundle(self, version: int) -> Path:
        """The folder of a version's files on this machine, its digest verified; RuntimeError says why not."""
        failed = self._failed.get(version)
        if failed is not None and time.monotonic() - failed[0] < _AGAIN:
            raise RuntimeError(failed[1])
        try:
            return Path(self._child("--files", str(version)))
        except RuntimeError as error:
            self._failed[version] = (time.monotonic(), str(error))
            raise

    def _rarely(self, name: str) -> Pointed | None:
        if self._asked is None or time.monotonic() - self._asked[0] > _AGAIN:
            self._asked = (time.monotonic(), _pointed(self._child(name)))
        return self._asked[1]

    def _child(self, *arguments: str) -> Any:
        command = [*PYTHON, "-m", "pipelines.alias", str(self._project.folder), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=dict(self._environ),
            start_new_session=True,
        )
        if done.returncode:
            raise RuntimeError(
                done.stderr.strip()[-500:] or f"the registry's process ended with {done.returncode}"
            )
        return json.loads(done.stdout.splitlines()[-1])


def _pointed(version: Any) -> Pointed | None:
    return None if version is None else Pointed(int(version))


def of_database(path: Path, model: str, alias: str) -> int | None:
    """The version in MLflow's own SQLite database; None where there is none, or no database yet."""
    if not path.exists():
        return None
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        if not connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'registered_model_aliases'"
        ).fetchone():
            return None
        found = connection.execute(
            "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", (model, alias)
        ).fetchone()
    return int(found[0]) if found else None


def of_server(uri: str, model: str, alias: str, environ: Mapping[str, str]) -> int | None:
    """The version that a tracking server names; `OSError` where it does not answer."""
    parts = urllib.parse.urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    query = urllib.parse.urlencode({"name": model, "alias": alias})
    path = f"{parts.path.rstrip('/')}/api/2.0/mlflow/registered-models/alias"
    address = urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))
    request = urllib.request.Request(address, headers=_authorization(parts, environ))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(json.load(answer)["model_version"]["version"])
    except urllib.error.HTTPError as error:
        if error.code in (400, 404) and _error_code(error) in _NO_SUCH:
            return None
        raise


def _authorization(parts: urllib.parse.SplitResult, environ: Mapping[str, str]) -> dict[str, str]:
    if token := environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = parts.username or environ.get("MLFLOW_TRACKING_USERNAME")
    if not user:
        return {}
    password = parts.password or environ.get("MLFLOW_TRACKING_PASSWORD", "")
    both = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
    return {"Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}


def _error_code(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error_code"])
    except (ValueError, KeyError, TypeError):
        return ""


def main(arguments: list[str]) -> None:
    """In a process of its own: asks the registry itself."""
    from pipelines.project import open_project
    from pipelines.registry import Registry

    project = open_project(Path(arguments[0]))
    registry = Registry(project.tracking(), project.artifacts(), project.name, cache=project.state)
    if arguments[1] == "--files":
        said: Any = str(registry.bundle(int(arguments[2])))
    else:
        found = registry.alias(arguments[1])
        said = None if found is None else found.version
    sys.stdout.write(f"{json.dumps(said)}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as problem:
        sys.exit(f"{type(problem).__name__}: {problem}")
