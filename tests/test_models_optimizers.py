"""Every optimiser of Keras by name: its parameters, its unit, and that it learns, is stored and goes on."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.export import load_keras, save_keras
from models.fit import fit, predict, update
from models.optimizers import (
    CATALOGUE,
    OPTIMIZERS,
    WRAPPERS,
    OptimizerConfig,
    optimizer_faults,
    optimizer_parameters,
    optimizer_remarks,
)
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.rows import Rows
from models.schedules import Schedule
from models.schema import NumberColumn, Schema, Target

WIDTH = 4
COMMON = {
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "loss_scale_factor",
    "name",
}


def schema(scale: float = 1.0) -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH))
    return Schema(columns, Target("y", "regression", (), 0.0, scale))


def rows(count: int, scale: float = 1.0, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, WIDTH)).astype(np.float32)
    target = inputs @ np.array([0.6, -0.6, 0.3, 0.0]) + random.normal(size=count) / 4
    return Rows(inputs, (target * scale).astype(np.float32))


def network(name: Any, **more: Any) -> NetworkConfig:
    """A straight line, learned at a rate that suits the optimiser."""
    rate = float(np.sqrt(np.prod(CATALOGUE[name].rates)))
    settings = {"hidden": (), "optimizer": name, "learning_rate": rate, "epochs": 4, "weight_decay": 0.01}
    return NetworkConfig(**{**settings, **more})


def test_the_catalogue_is_all_of_keras_but_for_wrappers() -> None:
    classes = {
        name
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer) and name != "Optimizer"
    }
    ours = {known.keras for known in CATALOGUE.values()}
    assert classes - ours == set(WRAPPERS) & classes
    assert tuple(CATALOGUE) == OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_is_one_of_keras_with_its_default(name: Any) -> None:
    signature = inspect.signature(getattr(keras.optimizers, CATALOGUE[name].keras))
    theirs = {
        one.name: one.default for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD
    }
    theirs = {key: value for key, value in theirs.items() if key not in {*COMMON, "exclude_layers"}}
    assert {key: one.default for key, one in optimizer_parameters(name).items()} == theirs


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_learns_is_stored_and_goes_on_as_if_it_had_not_been(
    name: Any, tmp_path: Path
) -> None:
    train, validation = rows(400), rows(100, seed=1)
    recipe, config = recipe_from(network(name), "regression"), FitConfig(epochs=4)
    fitted = fit(recipe, schema(), train, validation, config)
    first, last = fitted.history.epochs[0].loss, fitted.history.best_loss
    assert last < first
    save_keras(fitted.model, tmp_path / "model.keras")
    stored = load_keras(tmp_path / "model.keras")
    further = [update(model, train, validation, FitConfig(epochs=1)) for model in (fitted.model, stored)]
    answers = [predict(one.model, validation.inputs) for one in further]
    np.testing.assert_array_equal(answers[0], answers[1])


# adadelta compares its epsilon with gradients and with steps alike, which no unit can mend
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "adadelta"])
def test_metres_and_millimetres_learn_alike(name: Any) -> None:
    recipe = recipe_from(network(name), "regression")
    small = fit(recipe, schema(), rows(300), rows(50, seed=1), FitConfig(epochs=2)).model
    large = fit(recipe, schema(1e3), rows(300, 1e3), rows(50, 1e3, seed=1), FitConfig(epochs=2)).model
    inputs = rows(50, seed=2).inputs
    np.testing.assert_allclose(predict(large, inputs), 1e3 * predict(small, inputs), rtol=5e-3, atol=2.0)


@pytest.mark.parametrize(
    ("clip_by", "keyword"), [("global_norm", "global_clipnorm"), ("norm", "clipnorm"), ("value", "clipvalue")]
)
def test_gradients_are_clipped_in_the_way_asked_for(clip_by: Any, keyword: str) -> None:
    optimizer = OptimizerConfig("sgd", 1.0, 0.0, clip_norm=0.5, clip_by=clip_by).made(unit=10.0)
    assert getattr(optimizer, keyword) == 5.0
    others = {"global_clipnorm", "clipnorm", "clipvalue"} - {keyword}
    assert [getattr(optimizer, other) for other in others] == [None, None]
    weight = keras.Variable(np.zeros(2, np.float32))
    optimizer.build([weight])
    optimizer.apply_gradients([(keras.ops.convert_to_tensor([300.0, 400.0]), weight)])
    length = 5.0 * np.sqrt(2) if clip_by == "value" else 5.0
    # a rate of 1 in a unit of 10
    assert float(np.linalg.norm(weight.numpy())) == pytest.approx(length / 10.0)


def test_parameters_reach_keras_and_those_with_a_unit_are_multiplied_by_it() -> None:
    made = OptimizerConfig("rmsprop", parameters={"rho": 0.5, "epsilon": 1e-3}).made(unit=10.0)
    assert (made.rho, made.epsilon) == (0.5, pytest.approx(0.1))
    made = OptimizerConfig("sgd", 0.1, 0.3, parameters={"momentum": 0.9, "nesterov": True}).made()
    assert (made.momentum, made.nesterov, made.weight_decay) == (0.9, True, 0.3)
    assert OptimizerConfig("muon", weight_decay=0.2).made().adam_weight_decay == 0.2


def test_no_decay_can_be_asked_of_every_optimiser() -> None:
    decays = {name: OptimizerConfig(name, weight_decay=0.0).made().weight_decay for name in OPTIMIZERS}
    assert {decay for decay in decays.values() if decay} == set()


def test_mistakes_are_told_all_at_once() -> None:
    assert optimizer_faults("sgd", {"momentum": 2, "rho": 1}) == (
        "momentum = 2: expected a number from 0 to 1",
        "sgd has no parameter 'rho'; it takes momentum, nesterov, use_ema, ema_momentum, ema_overwrite_frequency, "
        "gradient_accumulation_steps.",
    )
    assert "needs ema_overwrite_frequency" in optimizer_faults("adam", {"use_ema": True})[0]
    assert "needs a momentum" in optimizer_faults("sgd", {"nesterov": True})[0]
    assert "expected one of adamw" in optimizer_faults("adaam", {})[0]
    with pytest.raises(ValueError, match="optimizer 'adam': beta_1 = 2: expected a number from 0 to 1"):
        OptimizerConfig("adam", parameters={"beta_1": 2})


def test_what_is_odd_about_an_optimiser_is_told_and_the_default_is_not() -> None:
    assert optimizer_remarks(OptimizerConfig(), linear=False) == ()
    far = optimizer_remarks(OptimizerConfig("adadelta"), linear=False)
    assert "learning_rate = 0.001 is far from where adadelta usually learns, 0.1 to 3" in far[0]
    ftrl = OptimizerConfig("ftrl", 0.1)
    assert "it is for linear models" in optimizer_remarks(ftrl, linear=False)[0]
    assert optimizer_remarks(ftrl, linear=True) == ()
    free = OptimizerConfig("schedule_free_adamw", 3e-3)
    assert optimizer_remarks(free, linear=False) == ()
    moved = OptimizerConfig("schedule_free_adamw", 3e-3, schedule=Schedule("cosine"))
    assert "leave schedule at constant" in optimizer_remarks(moved, linear=False)[0]


def test_averaged_weights_are_used_where_they_overwrite() -> None:
    settings = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 4}
    averaged = recipe_from(network("sgd", optimizer_parameters=settings), "regression")
    plain = recipe_from(network("sgd"), "regression")
    models = [fit(one, schema(), rows(300), rows(50), FitConfig(epochs=1)).model for one in (averaged, plain)]
    assert not np.array_equal(*(predict(model, rows(9).inputs) for model in models))
