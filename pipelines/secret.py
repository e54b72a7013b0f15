"""Secrets stay out of the project file: it names the variable or the file that holds one."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import UserError


def read_secret(written: str, folder: Path, environ: Mapping[str, str], *, key: str) -> str:
    """What "env:NAME" or "file:PATH" refers to; any other text is the value itself.

    key: where it was written, for messages, which never show the value.

    >>> read_secret("env:HOOK", Path("."), {"HOOK": "https://example.org/x"}, key="alerts.webhook")
    'https://example.org/x'
    """
    kind, _, place = written.partition(":")
    if kind == "env":
        if not environ.get(place):
            raise UserError(f"{key}: the environment variable {place} is not set")
        return environ[place]
    return _from_file(folder / place, key) if kind == "file" else written


def _from_file(path: Path, key: str) -> str:
    try:
        mode = path.stat().st_mode
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{key}: the secret file {path} cannot be read: {type(error).__name__}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(f"{key}: others may read the secret file {path}. Close it with chmod 600")
    if not value:
        raise UserError(f"{key}: the secret file {path} is empty")
    return value
