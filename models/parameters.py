"""What may be written as a parameter of a loss, an optimiser or a schedule, and what is wrong with what was."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Parameters = Mapping[str, Any]  # name -> value, as a user writes them


@dataclass(frozen=True)
class Parameter:
    """A number, a switch or a text with its default.

    least, most: both allowed, unless `inside`, which allows what lies between them only. whole: no fractions.
    none: may also be left undefined (None). choices: the only values allowed, where there are any.
    """

    default: Any
    least: float = -math.inf
    most: float = math.inf
    inside: bool = False
    whole: bool = False
    none: bool = False
    choices: tuple[Any, ...] = ()

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value, and what to write; None where nothing is.

        >>> Parameter(1.0, least=0.0, inside=True).fault(0)
        'expected a number above 0'
        >>> Parameter(False).fault(True) is None
        True
        """
        if self.choices:
            allowed = any(value == choice and type(value) is type(choice) for choice in self.choices)
            return None if allowed else f"expected {' or '.join(map(_written, self.choices))}"
        if isinstance(self.default, bool):
            return None if isinstance(value, bool) else "expected true or false"
        if value is None and self.none:
            return None
        return None if self._takes(value) else f"expected {self._wanted()}"

    def _takes(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        if self.inside:
            return bool(self.least < value < self.most)
        return bool(math.isfinite(value) and self.least <= value <= self.most)

    def _wanted(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if math.isinf(self.least) and math.isinf(self.most):
            return kind
        if math.isinf(self.most):
            return f"{kind} above {self.least:g}" if self.inside else f"{kind} of {self.least:g} or more"
        if self.inside:
            return f"{kind} between {self.least:g} and {self.most:g}, both excluded"
        return f"{kind} from {self.least:g} to {self.most:g}"


def parameter_faults(owner: str, known: Mapping[str, Parameter], written: Parameters) -> tuple[str, ...]:
    """Everything that is wrong with the parameters of one owner, a sentence each; () where nothing is.

    owner: as messages name it, e.g. "huber".

    >>> parameter_faults("huber", {"delta": Parameter(1.0, least=0.0, inside=True)}, {"delta": -1, "detla": 2})
    ('delta = -1: expected a number above 0', "huber has no parameter 'detla'; did you mean 'delta'?")
    """
    faults = []
    for name, value in written.items():
        if name not in known:
            faults.append(f"{owner} has no parameter {name!r}; {_advice(name, known)}")
        elif problem := known[name].fault(value):
            faults.append(f"{name} = {_written(value)}: {problem}")
    return tuple(faults)


def with_defaults(known: Mapping[str, Parameter], written: Parameters) -> dict[str, Any]:
    """Every parameter with its value.

    >>> with_defaults({"delta": Parameter(1.0), "axis": Parameter(-1)}, {"delta": 2.0})
    {'delta': 2.0, 'axis': -1}
    """
    return {name: written.get(name, parameter.default) for name, parameter in known.items()}


def _advice(name: str, known: Mapping[str, Parameter]) -> str:
    if not known:
        return "it takes none."
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}."


def _written(value: Any) -> str:
    """A value as a project file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
