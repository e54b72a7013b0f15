"""Which weights an L1 penalty has brought to about 0, and which inputs a network no longer uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

# of the largest weight of its array. Steps of a gradient pass through 0 and leave a weight beside it; on made rows,
# 5 of 20 inputs useful, l1 = 0.01, useless inputs ended below 0.042 of the largest and useful ones above 0.076
ABOUT_ZERO = 0.05


@dataclass(frozen=True)
class Sparsity:
    """weights: that multiply something, biases left out. about_zero: how many of them. inputs: of a row.

    unused: names of the inputs all of whose weights are about 0.
    """

    weights: int
    about_zero: int
    inputs: int
    unused: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the weights that are about 0; nan without weights."""
        return self.about_zero / self.weights if self.weights else float("nan")

    def sentence(self, most: int = 6) -> str:
        """What is left of the network, in one line, with so many names at most.

        >>> Sparsity(100, 62, 20, ("wind", "rain")).sentence()
        '62 % of the weights are about 0; 2 of 20 inputs are not used: wind, rain'
        """
        share = "over 99" if 0.99 < self.share < 1 else f"{100 * self.share:.0f}"
        told = f"{share} % of the weights are about 0; "
        if not self.unused:
            return f"{told}all {self.inputs} inputs are used"
        more = f" and {len(self.unused) - most} more" if len(self.unused) > most else ""
        names = ", ".join(self.unused[:most])
        return f"{told}{len(self.unused)} of {self.inputs} inputs are not used: {names}{more}"


def sparsity(
    model: keras.Model, input_names: Sequence[str], *, about_zero: float = ABOUT_ZERO
) -> Sparsity | None:
    """Counts the weights of a network of dense layers; None where no layer takes the inputs as they are.

    about_zero: share of the network's largest weight, below which a weight counts as 0: a penalty may bring whole
    layers down, and inputs are all of scale 1.
    """
    kernels = [np.abs(weight.numpy()) for weight in model.trainable_weights if len(weight.shape) == 2]
    first = [kernel for kernel in kernels if len(kernel) == len(input_names)]
    if not first:
        return None
    limit = about_zero * max(float(kernel.max(initial=0.0)) for kernel in kernels)
    idle = np.all([(kernel <= limit).all(axis=1) for kernel in first], axis=0)
    return Sparsity(
        weights=sum(kernel.size for kernel in kernels),
        about_zero=int(sum((kernel <= limit).sum() for kernel in kernels)),
        inputs=len(input_names),
        unused=tuple(name for name, unused in zip(input_names, idle, strict=True) if unused),
    )
