"""Whether the places of a project's stores can be used, without leaving anything there."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from urllib.parse import urlparse

from pipelines.addresses import absolute_uri, local_path, sqlite_file, without_password
from pipelines.child import answers

_TIMEOUT = 5.0  # seconds
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written into a folder that need not exist yet; None where it can.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     unwritable(Path(folder) / "log") is None
    True
    """
    present = existing(folder)
    try:
        with tempfile.TemporaryFile(dir=present):
            return None
    except OSError as error:
        why = error.strerror or error
        return f"{folder} cannot be written: {why} ({present}). Mend its rights, or name another folder"


def existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def unreachable(tracking: str) -> str | None:
    """Why a tracking store cannot be used; None where it can, or where only MLflow itself could tell."""
    database = sqlite_file(absolute_uri(tracking, Path.cwd()))
    if database is not None:
        return unwritable(database.parent)
    if tracking.startswith("http"):
        health = f"{tracking.rstrip('/')}/health"
        return (
            None if answers(health) else f"no MLflow server answers at {without_password(tracking)}: start it"
        )
    return _silent(tracking)


def unusable_place(place: str) -> str | None:
    """Why a folder or an address cannot be used; of an address elsewhere nothing is known."""
    path = local_path(place)
    return None if path is None else unwritable(path)


def _silent(address: str) -> str | None:
    """Why nobody listens at the address of a database server."""
    parts = urlparse(address)
    scheme = parts.scheme.partition("+")[0]
    if not parts.hostname or scheme not in _PORTS:
        return None
    port = parts.port or _PORTS[scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=_TIMEOUT).close()
    except OSError as error:
        shown = without_password(address)
        return f"nobody answers at {parts.hostname}:{port} for {shown} ({error}): start the database"
    return None
