"""What a network ends with: its last activation, the numbers that it can answer, and what its last layer reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

MOST_UNITS = 4096  # of activations; more would cost each row more than its answer
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
# activations that are layers of their own; layers whose sums reach every number
_ACTIVATION_LAYERS = {"Softmax": "softmax", "ReLU": "relu", "ELU": "elu"}
_LINEAR = ("Add", "Subtract", "Average", "BatchNormalization", "LayerNormalization")
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


def last_activations(model: keras.Model) -> keras.Model | None:
    """What the last layer with weights reads, as a network of its own: the same inputs to float32 (n, units).

    Of several that are added up, such as the linear part beside a deep one, what each of them reads that is itself
    made by weights. None where the last layer reads the inputs themselves, and where Keras knows no graph.
    """
    import keras

    graph = _graph(model)
    if graph is None:
        return None
    read = {id(one): one for one in graph.read_last(model.outputs[0]) if graph.is_made(one)}
    tensors = list(read.values())
    if not tensors or any(len(one.shape) != 2 or one.shape[1] is None for one in tensors):
        return None
    if sum(one.shape[1] for one in tensors) > MOST_UNITS:
        return None
    joined = tensors[0] if len(tensors) == 1 else keras.layers.Concatenate()(tensors)
    return keras.Model(model.inputs[0], joined)


@dataclass(frozen=True)
class _Graph:
    """Which layer made a tensor; those of plain operations, of which nothing is known, are not here."""

    made_by: dict[int, keras.layers.Layer]

    def read_last(self, tensor: Any) -> list[Any]:
        """What the last layers with weights on the way to a tensor read."""
        layer = self.made_by.get(id(tensor))
        if layer is None:
            return []
        before = _tensors(layer.input)
        return before if _has_weights(layer) else [one for each in before for one in self.read_last(each)]

    def is_made(self, tensor: Any) -> bool:
        """Whether a layer with weights stands before a tensor."""
        layer = self.made_by.get(id(tensor))
        return layer is not None and (_has_weights(layer) or any(map(self.is_made, _tensors(layer.input))))


def _graph(model: keras.Model) -> _Graph | None:
    inputs, outputs = (getattr(model, name, None) or () for name in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1:  # a class of the user's own has none
        return None
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    return _Graph({id(tensor): layer for layer in layers for tensor in _tensors(layer.output)})


def _tensors(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


def _has_weights(layer: keras.layers.Layer) -> bool:
    """A layer that only scales what comes has learned nothing."""
    return bool(layer.weights) and type(layer).__name__ != "Normalization"


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
