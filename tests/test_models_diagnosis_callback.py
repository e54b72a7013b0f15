"""The diagnosis in `keras.Model.fit`, and what `models.fit` stops: with real networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from models.callbacks import Diverged
from models.diagnosis_callback import Diagnose
from models.fit import fit
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((512, 4)).astype(np.float32)
TARGETS = (INPUTS @ np.array([1.0, -1.0, 0.5, 0.0]) + 0.5 * RNG.standard_normal(512)).astype(np.float32)


def network(rate: float, *, dropout: float = 0.0, together: int = 1) -> keras.Model:
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(dropout), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *hidden])
    model.compile(keras.optimizers.SGD(rate), "mse", steps_per_execution=together)
    return model


def trained(model: keras.Model, follow: Diagnose, epochs: int = 3) -> Diagnose:
    given = {"validation_data": (INPUTS[384:], TARGETS[384:]), "epochs": epochs, "verbose": 0}
    model.fit(INPUTS[:384], TARGETS[:384], batch_size=32, callbacks=[follow], **given)
    return follow


def test_it_gives_the_losses_of_every_step_and_epoch() -> None:
    follow = trained(network(0.03), Diagnose(baselines={"constant": 2.5}, rows=384))
    curve = follow.curve
    assert [len(steps) for steps in curve.steps] == [12, 12, 12]
    for steps, loss in zip(curve.steps, curve.training, strict=True):
        assert np.mean(steps) == pytest.approx(loss, rel=1e-4)
    assert len(curve.validation) == 3
    assert curve.learning_rates == pytest.approx((0.03, 0.03, 0.03))
    assert (curve.baselines, curve.rows, curve.altered) == ({"constant": 2.5}, 384, False)


def test_steps_taken_together_count_as_one() -> None:
    follow = trained(network(0.03, together=4), Diagnose(), epochs=1)
    assert len(follow.curve.steps[0]) == 3


def test_dropout_makes_the_training_loss_another_one() -> None:
    assert trained(network(0.01, dropout=0.3), Diagnose(), epochs=1).curve.altered


def test_it_may_serve_several_trainings() -> None:
    follow = Diagnose()
    for _ in range(2):
        assert len(trained(network(0.03), follow, epochs=2).curve.training) == 2


def test_a_run_that_diverges_stops_in_its_epoch_and_says_so() -> None:
    follow = Diagnose()
    with pytest.raises(Diverged) as fault:
        trained(network(30.0), follow)
    assert fault.value.epoch == 0
    assert fault.value.step is not None
    assert fault.value.step < 12
    assert follow.diagnosis.kind == "divergence"
    assert len(follow.curve.training) == 1


def test_it_can_watch_without_stopping() -> None:
    follow = trained(network(30.0), Diagnose(stop=False))
    assert len(follow.curve.training) == 3
    assert follow.diagnosis.kind == "divergence"


def test_a_rise_that_stays_a_number_stops_too() -> None:
    model = network(-0.004)  # uphill
    follow = Diagnose(baselines={"constant": 2.0})
    with pytest.raises(Diverged, match="rose to"):
        trained(model, follow, epochs=40)
    assert np.isfinite(follow.curve.training[-1])
    assert follow.diagnosis.kind == "divergence"


# --- in models.fit ---


SCHEMA = Schema(
    tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(4)),
    Target("y", "regression"),
)
CONFIG = FitConfig(epochs=5, batch_size=32, seed=1)


def plain(rate: float) -> Any:
    def build(schema: Any) -> keras.Model:
        return network(rate)

    return recipe_from(NetworkConfig(), "regression", build=build)


def test_fit_stops_a_run_that_diverges() -> None:
    with pytest.raises(Diverged, match=r"epoch 0, at step \d+\. Lower the learning rate") as fault:
        fit(plain(30.0), SCHEMA, Rows(INPUTS, TARGETS), Rows(INPUTS, TARGETS), CONFIG)
    assert fault.value.rows == ()


def test_fit_stops_a_run_that_rises() -> None:
    with pytest.raises(Diverged, match="The training loss rose to"):
        fit(
            plain(-0.004),
            SCHEMA,
            Rows(INPUTS, TARGETS),
            Rows(INPUTS, TARGETS),
            replace(CONFIG, epochs=40, patience=40),
        )


def test_fit_names_the_row_that_threw_the_weights_away() -> None:
    inputs = INPUTS.copy()
    inputs[123] = 1e30
    with pytest.raises(Diverged, match="Look at rows 123, far from all others") as fault:
        fit(plain(0.01), SCHEMA, Rows(inputs, TARGETS), Rows(INPUTS, TARGETS), CONFIG)
    assert fault.value.rows == (123,)
