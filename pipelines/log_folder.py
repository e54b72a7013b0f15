"""The folder of a log: which version of losswatch may read it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from pipelines.errors import UserError

STORE_VERSION = "1"
MOVING = "moving.lock"  # who moves rows into the tables, or removes them, holds it
MOVING_SECONDS = 600.0


def check_version(folder: Path) -> None:
    """`UserError` where another version of losswatch wrote the log, or it lies elsewhere."""
    if folder.parts and folder.parts[0].endswith(":"):
        raise UserError(f"{folder}: the log lies in a folder on this machine. Write a path instead")
    path = folder / "version"
    tables = any((folder / name).exists() for name in ("predictions", "labels", "events"))  # these come later
    found = path.read_text("utf-8", "replace").strip() if path.is_file() else None
    if found is None and tables:
        raise UserError(
            f"{folder}: a log without its file 'version'. Restore the whole folder from a backup; "
            f"or, if this losswatch wrote it, write {STORE_VERSION} into {path}"
        )
    if found not in (None, STORE_VERSION):
        raise UserError(
            f"{folder}: a log of version {found!r}, and this losswatch reads version {STORE_VERSION!r}. "
            "Install the losswatch that wrote it, or move the folder away to begin a new log"
        )


def prepare(folder: Path, *, durable: bool = False) -> None:
    """Makes the folder of a log, whole or not at all. durable: it is on disk when the call returns."""
    path = folder / "version"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        whole = path.with_name(f".version.{os.getpid()}.{threading.get_ident()}")
        whole.write_text(STORE_VERSION + "\n", "utf-8")
        os.replace(whole, path)
        if durable:
            for made in (path, folder, *list(folder.absolute().parents)[:2]):
                sync(made)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk and not only with the operating system."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
