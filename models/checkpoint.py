"""Where a training stands, in one file that is either whole or not there."""

from __future__ import annotations

import glob
import hashlib
import io
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.history import LossHistory

logger = logging.getLogger(__name__)

State = list[NDArray[Any]]  # every variable of a model and of its optimisers, in their fixed order

_FIRST_LINE = b"losswatch checkpoint 1\n"


@dataclass(frozen=True)
class Checkpoint:
    """A training after the last epoch of `history`.

    fingerprint: of rows, settings and starting weights; another training has another one.
    best: the state of `history.best_epoch`; None where that is the last epoch.
    """

    fingerprint: str
    history: LossHistory
    state: State
    best: State | None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the file so that a kill at any moment leaves the old one or the new one whole."""
    content = _packed(checkpoint)
    digest = hashlib.sha256(content).hexdigest().encode()
    write_whole(path, _FIRST_LINE + digest + b"\n" + content)


def read_checkpoint(path: Path, fingerprint: str) -> Checkpoint | None:
    """The state to go on from; None, with a warning, where the file is damaged or of another training."""
    if not path.exists():
        return None
    try:
        checkpoint = _unpacked(path.read_bytes())
    except (ValueError, KeyError, OSError) as fault:
        logger.warning("checkpoint %s is damaged (%s): training starts from the beginning", path, fault)
        return None
    if checkpoint.fingerprint != fingerprint:
        logger.warning("checkpoint %s belongs to another training: training starts from the beginning", path)
        return None
    return checkpoint


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file by temporary name, fsync and rename; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def remove_checkpoint(path: Path) -> None:
    """Removes the file, those of its restarts, and what a kill may have left of an unfinished one."""
    for file in path.parent.glob(f"{glob.escape(path.name)}*"):
        file.unlink(missing_ok=True)


def digest_of(arrays: Sequence[NDArray[Any] | None], settings: object) -> str:
    """One name for these arrays and settings: 64 hex digits, another for any other content.

    >>> digest_of([np.zeros(2)], {"seed": 1}) == digest_of([np.zeros(2)], {"seed": 2})
    False
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _packed(checkpoint: Checkpoint) -> bytes:
    header = json.dumps({"fingerprint": checkpoint.fingerprint, "history": checkpoint.history.to_json()})
    arrays: dict[str, Any] = {f"state_{position}": array for position, array in enumerate(checkpoint.state)}
    arrays |= {f"best_{position}": array for position, array in enumerate(checkpoint.best or ())}
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array(header), **arrays)
    return buffer.getvalue()


def _unpacked(content: bytes) -> Checkpoint:
    if not content.startswith(_FIRST_LINE):
        raise ValueError("not a checkpoint of this version")
    digest, _, packed = content.removeprefix(_FIRST_LINE).partition(b"\n")
    if hashlib.sha256(packed).hexdigest().encode() != digest:
        raise ValueError("its content does not match its checksum")
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        header = json.loads(str(arrays["header"]))
        history = LossHistory.from_json(header["history"])
        return Checkpoint(
            header["fingerprint"], history, _series(arrays, "state"), _series(arrays, "best") or None
        )


def _series(arrays: Any, name: str) -> State:
    count = sum(key.startswith(f"{name}_") for key in arrays.files)
    return [arrays[f"{name}_{position}"] for position in range(count)]
