"""Addresses of stores and of files: what is local, what is absolute, what may be shown."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlparse

_SQLITE = "sqlite:///"


def absolute_uri(uri: str, folder: Path) -> str:
    """A tracking address whose SQLite file, if it has one, is named from the root.

    >>> absolute_uri("sqlite:///mlflow.db", Path("/home/ann"))
    'sqlite:////home/ann/mlflow.db'
    >>> absolute_uri("http://127.0.0.1:5000", Path("/home/ann"))
    'http://127.0.0.1:5000'
    """
    if not uri.startswith(_SQLITE):
        return uri
    path, mark, options = uri.removeprefix(_SQLITE).partition("?")
    return f"{_SQLITE}{os.path.abspath(folder / path)}{mark}{options}"


def sqlite_file(uri: str) -> Path | None:
    """The file behind a SQLite address; None for any other.

    >>> sqlite_file("sqlite:////home/ann/mlflow.db").as_posix()
    '/home/ann/mlflow.db'
    """
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]) if uri.startswith(_SQLITE) else None


def local_path(location: str) -> Path | None:
    """The path behind a plain path or a `file:` address; None where the files lie elsewhere.

    >>> local_path("file:///home/ann/my%20files").as_posix(), local_path("s3://bucket/files")
    ('/home/ann/my files', None)
    """
    parts = urlparse(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(location)


def without_password(uri: str) -> str:
    """An address as it may be shown.

    >>> without_password("postgresql://ann:secret@db/mlflow")
    'postgresql://ann:***@db/mlflow'
    """
    password = urlparse(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri
