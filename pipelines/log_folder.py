"""The folder of a log: which version of losswatch may read it, and where its tables are if they lie elsewhere."""

from __future__ import annotations

import json
import os
import secrets
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.errors import UserError

STORE_VERSION = "1"
MOVING = "moving.lock"  # who moves rows into the tables, or removes them, holds it
MOVING_SECONDS = 600.0
PLACE = "tables.json"
ARRIVING = "arriving"  # under this name tables remember the last batch that was moved into them


@dataclass(frozen=True)
class Place:
    """Where the tables are, if not in the folder. writer: this machine's name among all that move rows there."""

    address: str
    writer: str

    @property
    def mark(self) -> str:
        """Under this name the tables remember what this machine moved: a batch 7 of another one is another batch."""
        return f"{ARRIVING}-{self.writer}"


def written_place(folder: Path) -> Place | None:
    """What the folder says of its tables; None where they lie in it."""
    try:
        return Place(**json.loads((folder / PLACE).read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_place(folder: Path, address: str | None) -> None:
    """`UserError` where what was logged on this machine lies elsewhere. address: what the project says; None: here."""
    written = written_place(folder)
    here = written is None and (folder / "version").is_file()
    if address is not None and here:
        raise UserError(
            f"store.log = {address!r}, and {folder} holds a log already. Take that line out, or copy the folders "
            f"predictions, labels and events to {address} and move {folder} away"
        )
    if written is not None and written.address != address:
        raise UserError(
            f"store.log = {address or str(folder)!r}, and what was logged on this machine lies at {written.address}. "
            f"Write that address, or move {folder} away to begin anew"
        )


def check_version(folder: Path) -> None:
    """`UserError` where another version of losswatch wrote the log, or the folder is an address."""
    if folder.parts and folder.parts[0].endswith(":"):
        raise UserError(f"{folder}: the log needs a folder on this machine; its tables may lie at an address")
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


def prepare(folder: Path, *, durable: bool = False, address: str | None = None) -> None:
    """Makes the folder of a log, whole or not at all.

    durable: it is on disk when the call returns; address: where the tables are, if not in it.
    """
    if not (folder / "version").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if address is not None and written_place(folder) is None:
            place = Place(address, secrets.token_hex(6))
            _write(folder / PLACE, json.dumps(asdict(place)), durable=durable, instead=False)
        _write(folder / "version", STORE_VERSION + "\n", durable=durable)
        if durable:
            for made in (folder, *list(folder.absolute().parents)[:2]):
                sync(made)


def _write(path: Path, text: str, *, durable: bool, instead: bool = True) -> None:
    """Writes a file whole. instead: whether in place of one that another process wrote meanwhile."""
    whole = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    whole.write_text(text, "utf-8")
    if durable:
        sync(whole)
    if instead:
        os.replace(whole, path)
        return
    try:
        os.link(whole, path)
    except FileExistsError:  # its name holds
        pass
    finally:
        whole.unlink()


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk and not only with the operating system."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
