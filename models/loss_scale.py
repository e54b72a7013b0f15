"""A loss read against the scale of the problem: beside the best constant and a simple model, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.losses import CATALOGUE, canonical

_CHANCE = ("binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy")


@dataclass(frozen=True)
class LossScale:
    """The mean loss of a network, of the best constant and of a simple model on the same rows.

    name: of the loss; any other than those of the catalogue is a user's own.

    >>> LossScale("mean_squared_error", 4.0, 16.0, 8.0).sentence()
    'a typical error of 2; 75 % of what the best constant leaves open is explained, by the simple model 50 %'
    """

    name: str
    loss: float
    constant: float
    simple: float

    @property
    def explained(self) -> float:
        """Share of the constant's loss, above the lowest possible, that the network takes away.

        1 is perfect, 0 no better than the constant, below 0 worse. nan where the loss has no lowest value (a
        likelihood, a user's own) or the constant is perfect already. For squared errors it is R2, but for the rows that
        the constant was found on; for cross-entropy McFadden's.
        """
        return self._share(self.loss)

    @property
    def explained_simply(self) -> float:
        """The same of the simple model."""
        return self._share(self.simple)

    @property
    def beats_constant(self) -> bool:
        """Whether the network has learned anything that helps."""
        return self.loss < self.constant

    @property
    def beats_simple(self) -> bool:
        """Whether the network is worth its trouble."""
        return self.loss < self.simple

    def sentence(self) -> str:
        """What the loss means, in one line."""
        told = [reading] if (reading := self._reading()) else []
        return "; ".join([*told, self._compared()])

    def _share(self, loss: float) -> float:
        lowest = _lowest(self.name)
        room = self.constant - lowest
        return (self.constant - loss) / room if math.isfinite(room) and room > 0 else math.nan

    def _reading(self) -> str | None:
        """The loss in a unit that can be pictured."""
        name = _name(self.name)
        if name == "mean_squared_error" and self.loss >= 0:
            return f"a typical error of {math.sqrt(self.loss):.3g}"
        if name == "mean_absolute_error":
            return f"an error of {self.loss:.3g} on average"
        if name == "mean_absolute_percentage_error":
            return f"an error of {self.loss:.3g} % on average"
        if name in _CHANCE and self.loss >= 0:
            return f"the truth gets a chance of {100 * math.exp(-self.loss):.0f} % (geometric mean)"
        return None

    def _compared(self) -> str:
        if math.isnan(self.loss) or math.isnan(self.constant):
            return "nothing to compare with"
        if not self.beats_constant:
            return f"no better than the best constant ({self.constant:.4g}): nothing that helps was learned"
        if math.isnan(self.explained):
            return f"below the best constant ({self.constant:.4g}); the simple model has {self.simple:.4g}"
        return (
            f"{100 * self.explained:.0f} % of what the best constant leaves open is explained, by the simple model "
            f"{100 * self.explained_simply:.0f} %"
        )


def _name(loss: str) -> str | None:
    try:
        return canonical(loss)
    except ValueError:
        return None


def _lowest(loss: str) -> float:
    name = _name(loss)
    return CATALOGUE[name].lowest if name else -math.inf
