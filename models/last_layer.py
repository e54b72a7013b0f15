"""What a network ends with: its last activation, and the numbers that it can answer at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_EVERYTHING = (-math.inf, math.inf)
# least and largest value of an activation of Keras, by its name; the others reach every number
_REACH = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "elu": (-1.0, math.inf),
    "selu": (-1.7581, math.inf),
    "gelu": (-0.17, math.inf),
    "silu": (-0.2785, math.inf),
    "mish": (-0.3088, math.inf),
}
_ACTIVATION_LAYERS = {
    "Softmax": "softmax",
    "ReLU": "relu",
    "ELU": "elu",
}  # activations that are layers of their own
_LINEAR = (
    "Add",
    "Subtract",
    "Average",
    "BatchNormalization",
    "LayerNormalization",
)  # whose sums reach every number
_PASSING = ("Dropout", "Identity", "Reshape", "Flatten", "ActivityRegularization")  # they change no number


@dataclass(frozen=True)
class LastLayer:
    """activation: its name, "linear" for none; None where the network does not tell.

    least, largest: what an answer can be, after a `Rescaling` behind the activation.
    """

    activation: str | None
    least: float = -math.inf
    largest: float = math.inf


def last_layer(model: keras.Model) -> LastLayer:
    """The end of a network that Keras knows as a graph or a row of layers; nothing is known of other classes."""
    scale, offset = 1.0, 0.0
    for layer in _backwards(model):
        kind = type(layer).__name__
        if kind in _PASSING:
            continue
        if kind == "Rescaling" and _is_number(layer.scale) and _is_number(layer.offset):
            offset, scale = offset + scale * float(layer.offset), scale * float(layer.scale)
            continue
        name = "linear" if kind in _LINEAR else _ACTIVATION_LAYERS.get(kind) or _activation(layer)
        if name is None:
            break
        ends = sorted(offset + scale * end for end in _REACH.get(name, _EVERYTHING))
        return LastLayer(name, *ends)
    return LastLayer(None)


def _activation(layer: keras.layers.Layer) -> str | None:
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _backwards(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers from the answer back, as long as each has one before it."""
    try:
        config = model.get_config()
    except Exception:  # whatever a user's own class raises that says nothing of itself
        return
    if type(model).__name__ == "Sequential":
        yield from reversed(model.layers)
        return
    ends = config.get("output_layers")
    inputs = {layer["name"]: layer.get("inbound_nodes", ()) for layer in config.get("layers", ())}
    layers = {
        layer.name: layer for layer in model.layers
    }  # without plain operations, of which nothing is known
    before = {ends[0]} if ends and isinstance(ends[0], str) else {end[0] for end in ends or ()}
    while len(before) == 1 and (name := before.pop()) in layers:
        yield layers[name]
        before = set(_inputs(list(inputs.get(name, ()))[:1]))


def _inputs(nodes: Any) -> Iterator[str]:
    """The names of the layers that a layer takes its input from, wherever they stand in its configuration."""
    if isinstance(nodes, dict):
        history = nodes.get("keras_history")
        if history:
            yield history[0]
        for value in nodes.values():
            yield from _inputs(value)
    elif isinstance(nodes, list | tuple):
        for value in nodes:
            yield from _inputs(value)
