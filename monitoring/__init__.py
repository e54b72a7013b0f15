"""What the loss and the inputs of a deployed model say: statistics only, no Keras and no world.

The public names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "ColumnBins": "bins",
    "ColumnProfile": "profile",
    "ColumnShift": "shift",
    "DataFault": "faults",
    "Profile": "profile",
    "ShiftResult": "shift",
    "ShiftThresholds": "shift",
    "Window": "window",
    "WindowLength": "window",
    "calibrate": "shift",
    "compare": "shift",
    "cut": "window",
    "data_faults": "faults",
    "default_window": "window",
    "evidently_report": "report",
    "locate": "window",
    "merge": "profile",
    "reference_bins": "bins",
    "rows_by_window": "window",
}  # public name -> its module; `profile` the function stays in `profile` the module, which has its name

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
