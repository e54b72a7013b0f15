"""The nearest known name, for messages about unknown ones."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, whatever its case; None where none comes close.

    >>> nearest("Traget", ["target", "time", "drop"])
    'target'
    """
    import difflib

    by_lower = {candidate.lower(): candidate for candidate in known}
    lower = name.lower()
    found = difflib.get_close_matches(lower, by_lower, n=1, cutoff=0.6)
    if not found and len(lower) > 2:  # a part of the name is the usual way to shorten one
        found = [other for other in by_lower if lower in other or (len(other) > 2 and other in lower)]
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all where there are few.

    >>> did_you_mean("cont", ["cnt", "hr"]), did_you_mean("zzz", ["cnt", "hr"]), did_you_mean("zzz", [])
    ("; the nearest is 'cnt'", "; known are 'cnt', 'hr'", '')
    """
    names = list(known)
    close = nearest(name, names)
    if close is not None:
        return f"; the nearest is {close!r}"
    shown = ", ".join(repr(candidate) for candidate in names[:20])
    return f"; known are {shown}{' ...' if len(names) > 20 else ''}" if names else ""
