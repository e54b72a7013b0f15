"""The networks that come with losswatch: a name each, a file each, loaded when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import keras

    from models.schema import Schema

FAMILIES = {"mlp": "models.families.mlp"}
# without gelu, which Keras computes by a function that ONNX does not have; silu is its like
Activation = Literal[
    "relu", "leaky_relu", "elu", "selu", "silu", "mish", "softplus", "softsign", "tanh", "sigmoid"
]


class Builder(Protocol):
    """Makes an uncompiled network for rows of `schema`; further settings come by name."""

    def __call__(self, schema: Schema, **settings: Any) -> keras.Model: ...


def family(name: str) -> Builder:
    """The function that builds networks of this family.

    >>> family("mlp").__name__
    'mlp'
    """
    if name not in FAMILIES:
        raise ValueError(
            f"network.family = {name!r}: no such family. Take one of: {', '.join(sorted(FAMILIES))}."
        )
    builder: Builder = getattr(import_module(FAMILIES[name]), name)
    return builder
