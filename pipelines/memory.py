"""How much memory this process may use: what the machine has, or less where somebody set a limit."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_LARGEST_KEPT = 2**25  # as much as glibc takes for it


def usable_memory(root: Path = Path("/")) -> int:
    """Bytes: the least of the machine's memory, the limits of the control groups, and those of `ulimit`.

    Not what is free at the moment: the same data are read in the same way today and tomorrow. root: where /proc and
    /sys lie.
    """
    found = [*_machine(root), *_groups(root), *_limits()]
    return min(found) if found else 1 << 62


def keep_freed_memory() -> None:
    """Has the C library hand out again what was freed, for a process that works in steps and ends soon.

    It gives large pieces back to the system at once, which clears them anew for the next step: a sixth of the CPU of
    counting rows. Does nothing where the library is not glibc.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        library.mallopt(_TRIM_THRESHOLD, _LARGEST_KEPT)


def in_words(size: float) -> str:
    """Bytes as people say them.

    >>> in_words(1_536_000_000), in_words(40_000_000)
    ('1.5 GB', '40 MB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _machine(root: Path) -> Iterator[int]:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            yield int(line.split()[1]) * 1024


def _groups(root: Path) -> Iterator[int]:
    """The limits of the control groups that this process is in, and of those around them, of both versions."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            yield from _up(root / "sys/fs/cgroup", place, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _up(root / "sys/fs/cgroup/memory", place, "memory.limit_in_bytes")


def _up(base: Path, place: str, name: str) -> Iterator[int]:
    folder = base / place.lstrip("/")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(base):
            return
        if (text := _text(group / name).strip()).isdigit():  # else "max", or no limit here
            yield int(text)


def _limits() -> Iterator[int]:
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
