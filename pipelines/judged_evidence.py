"""The evidence behind a verdict, as the log keeps it beside the verdict: what the report draws, without any row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.watch import WindowJudgement

# parts of a judgement that are kept as they are; one that a judgement does not have is left out
PARTS = ("alarm", "recovery", "estimate", "slices", "explanation", "power", "input_alarm", "faults")
# what a record says of itself, beside its fields
SAYINGS = (
    "raised",
    "shown",
    "shifted",
    "low",
    "high",
    "error",
    "rise",
    "explained",
    "clear",
    "columns",
    "pairs",
)
SLICE = ("name", "rows", "loss", "reference_loss", "raised")
MOST_SLICES = 12  # those that an alarm names come first
MOST = 40  # records of one part: beyond it nobody reads, and a verdict has to stay small


def kept_evidence(judgement: WindowJudgement) -> dict[str, Any]:
    """The evidence of a judgement as plain values. "shifted": the columns that moved, the furthest first."""
    found = {name: plain(getattr(judgement, name, None)) for name in PARTS}
    kept = {name: value for name, value in found.items() if value not in (None, [], {})}
    if isinstance(kept.get("slices"), dict):
        kept["slices"] |= {"slices": [_slice(one) for one in kept["slices"].get("slices", ())[:MOST_SLICES]]}
    return kept | {"shifted": plain(judgement.shift.shifted_columns)}


def _slice(one: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of a slice: there are many in every window, and every reader of verdicts reads them."""
    return {name: one[name] for name in SLICE if name in one}


def plain(value: Any) -> Any:
    """A record as a mapping of its fields, of what it says of itself, and of its text where it has one of its own.

    >>> from monitoring.faults import DataFault
    >>> plain(DataFault("wind", "constant", "3 in all rows"))["text"]
    'wind: constant: 3 in all rows'
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _record(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in list(value.items())[:MOST]}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value[:MOST]]
    if isinstance(value, float):
        return float(f"{value:.6g}")  # numpy's too
    return value.isoformat() if hasattr(value, "isoformat") else value


def _record(record: Any) -> dict[str, Any]:
    fields = {field.name: plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
    kind = type(record)
    says = {
        name: plain(getattr(record, name))
        for name in SAYINGS
        if isinstance(getattr(kind, name, None), property)
    }
    written = {"text": str(record)} if any("__str__" in vars(one) for one in kind.__mro__[:-1]) else {}
    return fields | says | written
