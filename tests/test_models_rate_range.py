"""The rate range test: read by hand, on real networks, and without touching anybody's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.callbacks import Diverged
from models.fit import fit
from models.rate_range import rate_range, read_losses
from models.recipe import NetworkConfig, Recipe, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target

WIDTH = 4
RATES = np.geomspace(1e-5, 10.0, 181)


def schema(scale: float = 1.0) -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH))
    return Schema(columns, Target("y", "regression", (), 0.0, scale))


def rows(count: int, scale: float = 1.0, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, WIDTH)).astype(np.float32)
    target = inputs @ np.array([0.6, -0.6, 0.3, 0.0]) + random.normal(size=count) / 4
    return Rows(inputs, (target * scale).astype(np.float32))


def from_nothing(network: NetworkConfig) -> Recipe:
    """As the rates are judged: beside a simple model in the network there would be nothing to learn here."""
    return replace(recipe_from(network, "regression"), linear_start=False)


def valley(floor: float = 0.01, wall: float = 1.0) -> Any:
    """Losses that fall from 1 to 0.2 about the rate `floor`, and explode from `wall` on."""
    fallen = 0.2 + 0.8 / (1 + (RATES / floor) ** 2)
    return np.where(wall > RATES, fallen, fallen * (1 + (RATES / wall - 1) * 30))


def test_the_rate_is_suggested_below_the_lowest_loss_and_the_explosion_is_found() -> None:
    found = read_losses(RATES, valley(), before=1.0)
    assert found.suggested is not None
    assert 0.03 < found.suggested < 0.3
    assert found.steepest == pytest.approx(0.01, rel=0.3)
    assert found.diverged_at is not None
    assert 1.0 < found.diverged_at < 1.5
    assert "fastest at 0.01" in found.reasons[0]


def test_losses_that_never_fall_suggest_nothing_and_say_so() -> None:
    found = read_losses(RATES, np.linspace(1.0, 1.5, len(RATES)), before=1.0)
    assert (found.suggested, found.steepest) == (None, None)
    assert "no rate from 1e-05 to 10 lowered the loss" in found.reasons[0]


def test_losses_that_still_fall_at_the_end_ask_for_higher_rates() -> None:
    found = read_losses(RATES, np.linspace(1.0, 0.5, len(RATES)), before=1.0)
    assert found.diverged_at is None
    assert "try higher ones" in found.reasons[-1]


def test_losses_that_are_no_numbers_are_where_it_diverged() -> None:
    losses = valley(wall=99.0)
    losses[120:] = np.nan
    found = read_losses(RATES, losses, before=1.0)
    assert found.diverged_at == RATES[120]
    assert found.suggested is not None
    assert found.suggested < RATES[120]
    nothing = read_losses(RATES, np.full(len(RATES), np.nan), before=1.0)
    assert (nothing.suggested, nothing.diverged_at) == (None, RATES[0])


@settings(max_examples=40)
@given(factor=st.floats(1e-6, 1e6), floor=st.floats(1e-4, 0.3))
def test_the_unit_of_the_loss_does_not_matter(factor: float, floor: float) -> None:
    plain = read_losses(RATES, valley(floor), before=1.0)
    scaled = read_losses(RATES, factor * valley(floor), before=factor)
    assert scaled.suggested == pytest.approx(plain.suggested, rel=0.1)
    assert (scaled.steepest, scaled.diverged_at) == (plain.steepest, plain.diverged_at)


NETWORKS = [
    NetworkConfig(),
    NetworkConfig(optimizer="sgd", hidden=()),
    NetworkConfig(optimizer="lion", hidden=(8,)),
    NetworkConfig(loss="mae", optimizer="adam", schedule="cosine"),
]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_the_suggested_rate_trains_well_and_a_hundredth_of_it_worse(
    network: NetworkConfig, scale: float
) -> None:
    config, made = network.fit_config(seed=0), from_nothing(network)
    found = rate_range(made, schema(scale), rows(600, scale), replace(config, batch_size=32))
    assert found.suggested is not None
    losses = []
    for rate in (found.suggested, found.suggested / 100):
        recipe = replace(made, learning_rate=rate)
        short = replace(config, epochs=5, batch_size=32)
        losses.append(
            fit(recipe, schema(scale), rows(600, scale), rows(200, scale, 1), short).history.best_loss
        )
    assert losses[0] < 0.6 * losses[1]


def test_the_highest_rates_do_harm_which_is_found() -> None:
    network = NetworkConfig(optimizer="sgd", hidden=(), clip_norm=0.0)
    found = rate_range(recipe_from(network, "regression"), schema(), rows(600), network.fit_config(seed=0))
    assert found.diverged_at is not None
    assert found.suggested is not None
    assert found.suggested < found.diverged_at
    bad = from_nothing(NetworkConfig(optimizer="sgd", hidden=(), clip_norm=0.0, learning_rate=9.9))
    with pytest.raises(Diverged):
        fit(bad, schema(), rows(600), rows(50), NetworkConfig(epochs=30, patience=30).fit_config(seed=0))


def test_the_test_is_repeatable_and_changes_no_network_of_the_caller() -> None:
    kept: list[keras.Model] = []

    def build(schema: Schema) -> keras.Model:
        kept.append(keras.Sequential([keras.Input((schema.width,)), keras.layers.Dense(1)]))
        return kept[-1]

    recipe, config = Recipe(build, "mse"), NetworkConfig().fit_config(seed=3)
    mine = recipe.compiled(schema(), seed=3)
    before = [weight.numpy().copy() for weight in mine.weights]
    first, again = (rate_range(recipe, schema(), rows(300), config, steps=40) for _ in range(2))
    np.testing.assert_array_equal(first.losses, again.losses)
    assert all(np.array_equal(weight.numpy(), old) for weight, old in zip(mine.weights, before, strict=True))


def test_steps_are_told_and_the_test_ends_where_nothing_is_left_to_see() -> None:
    told: list[tuple[int, int]] = []
    network = NetworkConfig(optimizer="sgd", hidden=(), clip_norm=0.0)
    recipe = recipe_from(network, "regression")
    config = network.fit_config(seed=0)
    found = rate_range(
        recipe, schema(), rows(300), config, highest=1e4, steps=60, on_step=lambda *one: told.append(one)
    )
    assert told[0] == (0, 60)
    assert len(found.rates) < 60


def test_rates_out_of_order_and_a_network_with_a_schedule_of_its_own_are_refused() -> None:
    config = NetworkConfig().fit_config(seed=0)
    with pytest.raises(ValueError, match="expected 0 < lowest < highest"):
        rate_range(
            recipe_from(NetworkConfig(), "regression"), schema(), rows(50), config, lowest=1.0, highest=0.1
        )

    def build(schema: Schema) -> keras.Model:
        model = keras.Sequential([keras.Input((schema.width,)), keras.layers.Dense(1)])
        plan = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
        model.compile(keras.optimizers.SGD(plan), "mse")
        return model

    with pytest.raises(ValueError, match="Compile it with a plain number"):
        rate_range(Recipe(build, "mse"), schema(), rows(50), config)
