"""What an L1 penalty leaves of a network, by hand and on rows of which few inputs matter."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from models.fit import fit
from models.recipe import NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target
from models.sparsity import Sparsity, sparsity


def dense(*kernels: list[list[float]]) -> keras.Model:
    arrays = [np.array(kernel, np.float32) for kernel in kernels]
    layers = [keras.layers.Dense(array.shape[1], use_bias=False) for array in arrays]
    model = keras.Sequential([keras.Input((len(arrays[0]),)), *layers])
    model.set_weights(arrays)
    return model


def test_weights_and_inputs_are_counted_by_hand() -> None:
    found = sparsity(dense([[1.0, 0.5], [0.09, 0.0], [0.0, -2.0]], [[1.0], [0.001]]), ("a", "b", "c"))
    assert found == Sparsity(weights=8, about_zero=4, inputs=3, unused=("b",))  # below 0.05 * 2
    assert found.share == 0.5
    assert found.sentence() == "50 % of the weights are about 0; 1 of 3 inputs are not used: b"


def test_a_network_of_zeros_uses_nothing() -> None:
    found = sparsity(dense([[0.0], [0.0]]), ("a", "b"))
    assert found is not None
    assert (found.share, found.unused) == (1.0, ("a", "b"))


def test_all_inputs_used_and_too_many_names() -> None:
    assert Sparsity(10, 0, 3, ()).sentence() == "0 % of the weights are about 0; all 3 inputs are used"
    names = tuple("abcdefgh")
    assert Sparsity(10, 9, 9, names).sentence(2).endswith("8 of 9 inputs are not used: a, b and 6 more")
    assert math.isnan(Sparsity(0, 0, 0, ()).share)
    assert Sparsity(1000, 999, 3, ()).sentence().startswith("over 99 % of the weights")


def test_a_network_that_changes_its_inputs_first_is_not_counted() -> None:
    inputs = keras.Input((4,))
    folded = keras.layers.Reshape((2, 2))(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(keras.layers.Dense(3)(folded)))
    assert sparsity(model, ("a", "b", "c", "d")) is None


@pytest.mark.parametrize(("l1", "least"), [(0.0, 0), (0.01, 13)])
def test_a_penalty_finds_the_inputs_that_matter(l1: float, least: int) -> None:
    random = np.random.default_rng(1)
    inputs = random.normal(size=(2000, 16)).astype(np.float32)
    target = (inputs[:, 0] - inputs[:, 1] + random.normal(size=2000) / 3).astype(np.float32)
    names = tuple(f"x{place}" for place in range(16))
    columns = tuple(NumberColumn(name, 0.0, 0.0, 1.0, indicator=False) for name in names)
    schema = Schema(columns, Target("y", "regression", (), 0.0, float(target.std())))
    network = NetworkConfig(hidden=(8,), l1=l1, learning_rate=0.01, epochs=25, patience=25)
    rows = Rows(inputs, target)
    fitted = fit(recipe_from(network, "regression"), schema, rows, rows, network.fit_config(seed=0))
    found = sparsity(fitted.model, schema.input_names)
    assert found is not None
    assert len(found.unused) >= least
    assert not {"x0", "x1"} & set(found.unused)
