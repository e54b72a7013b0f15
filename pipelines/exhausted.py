"""What stops a command through nobody's mistake: memory or disk at an end, a training that is under way already."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.memory import in_words, usable_memory

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHAPE = re.compile(r"shape\[([\d,]+)\]")  # TensorFlow's words for what it could not allocate


def in_plain_words(error: BaseException, state: Path | None) -> str | None:
    """What ran out, and what to do; None of an error of another kind. state: the project's folder of ours."""
    rules: tuple[Callable[[BaseException, Path | None], str | None], ...] = (_memory, _disk, _under_way)
    for one in _causes(error):
        for rule in rules:
            if (told := rule(one, state)) is not None:
                return told
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _memory(error: BaseException, state: Path | None) -> str | None:
    if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
        return None  # TensorFlow's, which is not imported to ask
    shape = _SHAPE.search(str(error))
    what = f", an array of {shape[1].replace(',', ' x ')} numbers" if shape else ""
    return (
        f"out of memory{what}: the process may use {in_words(usable_memory())}. Write a smaller batch_size or smaller "
        "hidden in [network], in_batches = true in [data], or give it more; nothing was registered"
    )


def _disk(error: BaseException, state: Path | None) -> str | None:
    full = isinstance(error, OSError) and error.errno in _FULL
    if not full and "database or disk is full" not in str(error):  # SQLite's words
        return None
    named = getattr(error, "filename", None)
    place = Path(named).parent if isinstance(named, str) else state
    free = f", {in_words(_free(place))} are free there" if place is not None else ""
    return (
        f"the disk is full{f': {place}' if place else ''}{free}. Make room and type the same command again: "
        "what was whole is kept, and a training goes on after its last whole epoch"
    )


def _under_way(error: BaseException, state: Path | None) -> str | None:
    if type(error).__name__ != "RunInProgress":
        return None
    return f"{error}. Wait for its end; the same command then says what came of it"


def _free(place: Path | None) -> int:
    while place is not None and not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place or Path("/")).free
