"""How wide the answers of a network are, asked of two rows of zeros."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def outputs_of(model: keras.Model, width: int) -> int:
    """How many numbers the network answers a row of this width with.

    Raises ValueError where it does not take such rows, or does not answer with one array (n, outputs).
    """
    try:
        answers = model(np.zeros((2, width), np.float32), training=False)
    except Exception as fault:  # whatever the first layer that does not fit raises
        raise ValueError(
            f"The network does not take rows of {width} inputs. Begin it with keras.Input((schema.width,)) "
            f"and reshape inside. It said: {fault}"
        ) from fault
    shape = getattr(answers, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != 2:
        what = f"{type(answers).__name__}" if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"The network answers 2 rows with {what}; expected one array of shape (2, outputs). "
            "End it with one keras.layers.Dense."
        )
    return int(shape[1])


def output_sizes(model: keras.Model, width: int) -> dict[str, int]:
    """How many numbers each output answers a row of this width with, by name, in the network's order.

    Raises ValueError where an output is not one array (rows, k).
    """
    sizes = {}
    for name, answer in by_output(model, model(np.zeros((2, width), np.float32), training=False)).items():
        shape = tuple(getattr(answer, "shape", ()))
        if len(shape) != 2 or shape[0] != 2:
            raise ValueError(
                f"The output {name!r} answers 2 rows with shape {shape}; expected one array (2, k). "
                "End it with one keras.layers.Dense."
            )
        sizes[name] = int(shape[1])
    return sizes


def by_output(model: keras.Model, answers: Any) -> dict[str, Any]:
    """The answers of a network by the names of its outputs.

    A mapping that the network returns names them; those of a list have the names of their layers.
    """
    if isinstance(answers, Mapping):
        return dict(answers)
    if not isinstance(answers, list | tuple):
        answers = [answers]
    return dict(zip(model.output_names, answers, strict=True))
