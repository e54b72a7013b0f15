"""Where a network is computed, and in how many bits: switches that do nothing where there is no GPU, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import keras

Device = Literal["cpu", "gpu"]
Precision = Literal["full", "mixed"]
DEVICES: tuple[Device, ...] = ("cpu", "gpu")
PRECISIONS: tuple[Precision, ...] = ("full", "mixed")

# of the range of float32, so that no gradient is lost and no loss needs to be scaled; Kalamkar et al. 2019
_MIXED = "mixed_bfloat16"


def gpus() -> tuple[str, ...]:
    """The GPUs that TensorFlow can use in this process, by name."""
    import tensorflow as tf

    return tuple(device.name for device in tf.config.list_physical_devices("GPU"))


def device_remarks(device: Device, precision: Precision) -> tuple[str, ...]:
    """What the two switches do not do here, a sentence each; () where all is as it was asked for."""
    if device == "cpu":
        nothing = 'precision = "mixed" does nothing on a CPU; it is for device = "gpu"'
        return (nothing,) if precision == "mixed" else ()
    if gpus():
        return ()
    none = 'device = "gpu": TensorFlow finds no GPU here, so the CPU does it' + _built()
    return (none, 'precision = "mixed" does nothing without a GPU') if precision == "mixed" else (none,)


def _built() -> str:
    import tensorflow as tf

    if tf.test.is_built_with_cuda():
        return ""
    return " (the TensorFlow that is installed is made for CPUs alone, see docs/deploying.md)"


@contextmanager
def computing(model: keras.Model, precision: Precision) -> Iterator[None]:
    """A training inside takes its products in bfloat16 where that was asked for and a GPU does it quicker."""
    if precision == "mixed" and gpus():
        with lowered(model):
            yield
    else:
        yield


@contextmanager
def lowered(model: keras.Model) -> Iterator[None]:
    """The hidden layers of a model compute in bfloat16 inside; weights, answers and losses stay float32.

    After it, and in its files, the model is as it was. Layers that have another type than float32 keep theirs, and so
    do all of a model that is not made of layers one after the other or side by side.
    """
    layers = [layer for layer in _hidden(model) if layer.dtype_policy.name == "float32"]
    for layer in layers:
        layer.dtype_policy = _MIXED
    try:
        yield
    finally:
        for layer in layers:
            layer.dtype_policy = "float32"


def _hidden(model: keras.Model) -> list[keras.Layer]:
    """Layers with weights, but those whose answers are the model's own."""
    from keras.src.models.functional import Functional

    inner = model._functional if hasattr(model, "_functional") else model
    if not isinstance(inner, Functional):
        return []
    last = {id(output._keras_history.operation) for output in inner.outputs}
    return [layer for layer in model.layers if layer.weights and id(layer) not in last]
