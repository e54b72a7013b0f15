"""Vectors for the levels of a category, learned with the network that uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras import initializers, layers

if TYPE_CHECKING:
    import keras

    from models.schema import Schema

SCALE = 0.05  # the vectors begin near 0: a level that few rows have says little until they do


def embedded(inputs: keras.KerasTensor, schema: Schema) -> keras.KerasTensor:
    """The inputs with a vector in the place of each embedded category; the same inputs where there is none.

    The vectors are the weights (levels + 2, size) of a layer called `embedding_0`, `embedding_1`, ...: after those of
    the levels come that of any other level and that of a missing one.
    Guo and Berkhahn 2016, "Entity Embeddings of Categorical Variables".

    inputs: float32 (n, schema.width). Returns float32 (n, k), the other inputs first, then the vectors.
    """
    if not schema.embedded:
        return inputs
    rest, start = [], 0
    for _, place in schema.embedded:
        rest.append((start, place.start))
        start = place.stop
    rest.append((start, schema.width))
    parts = [inputs[:, first:last] for first, last in rest if first < last]
    for position, (column, place) in enumerate(schema.embedded):
        vector = layers.Dense(
            column.size,
            use_bias=False,
            kernel_initializer=initializers.RandomUniform(-SCALE, SCALE),
            name=f"embedding_{position}",
        )
        parts.append(vector(inputs[:, place]))
    return layers.Concatenate(name="embedded")(parts) if len(parts) > 1 else parts[0]
